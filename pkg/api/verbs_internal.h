/*
 * What the verbs (verbs_*.c, admission*.c, allocate*.c, reviews*.c) share: one call in progress, from its
 * request to its answer.
 *
 * A call takes one path: api_handle authorizes it and picks the verb's function, which reads under one
 * snapshot, decides, and ends in exactly one of
 *
 *     a negative return with call->err set       api_handle answers with a Status
 *     call_reply_*(call, …) and return 0          answered
 *     call_commit(call, …) and return 0           handed to the ledger, answered when the block is durable
 *
 * After the last two the call is gone. Until then it belongs to the thread that called api_handle; its end
 * after call_commit runs on the ledger's thread.
 */
#ifndef KATENA_API_VERBS_INTERNAL_H
#define KATENA_API_VERBS_INTERNAL_H

#include "api/api_internal.h"
#include "codec/json.h"
#include "object/semantics.h"

#define VERBS_TRIES_MAX 24
#define VERBS_MANAGER_MAX 128

struct api_allocator; /* allocate.c */

/* What the verbs keep in a server (verbs_server.c). */
struct api_verbs {
    struct api_allocator *allocator;
    pthread_mutex_t lock; /* guards calls */
    pthread_cond_t idle;  /* calls became 0 */
    unsigned calls;       /* writes in the ledger's hands */
};

struct api_call {
    struct api_server *server;
    struct api_request *request;
    api_done_fn done;
    void *arg;
    const struct schema_kind *kind;
    struct state_snapshot *snapshot; /* NULL until call_snapshot, and again after the call was handed over */
    const struct state_object *parent; /* the namespace, once it was looked up; ends with the snapshot */
    struct state_object parent_state;
    int64_t now_us;
    char manager[VERBS_MANAGER_MAX + 1]; /* whose fields they become */
    bool dry_run;
    bool applied; /* server-side apply has set managedFields already */
    json_t *warnings;
    json_t *causes;
    bool nameless; /* the details of a failure do not name the object */
    struct err err;

    /* The object as it stands, when the verb changes one: call_live fills both. */
    bool has_live;
    struct state_object live_state; /* points into the snapshot */
    json_t *live;

    /* The write in the ledger's hands. */
    struct buf text; /* the object to answer with */
    uint32_t rv_offset;
    json_t *reply; /* answered instead of text, with metadata.resourceVersion set when it has metadata */
    int status;    /* on success */
    bool strict;
    bool creating;
    bool generated;          /* the name is ours: when it is taken, another one is tried */
    bool more;               /* the request has further rounds to go (deletecollection) */
    char *name;              /* of the object written */
    bool has_tx, wait_final; /* for the response */
    uint8_t tx_id[TX_ID_SIZE];
    uint64_t height;
    struct api_reserved *reserved; /* addresses taken for it: kept or given back at the end */
};

/* ---- verbs_call.c ---- */

struct state_snapshot *call_snapshot(struct api_call *call);
void call_snapshot_end(struct api_call *call);

/* The state of an object; ERR_NOT_FOUND without filling call->err. The pointers belong to the snapshot. */
int call_find(struct api_call *call, const struct schema_kind *kind, const char *namespace, const char *name,
              struct state_object *out);
/* The same of the namespace that the request names, for all who ask; it is call->parent then. */
int call_find_parent(struct api_call *call);

/* Reads and parses the object that the request names into live and live_state; 404 when it is not there. */
int call_live(struct api_call *call);

/* 404, 409 and 422 with Kubernetes' texts; they return the code. */
int call_not_found(struct api_call *call, const struct schema_kind *kind, const char *name);
int call_exists(struct api_call *call, const char *name);
int call_conflict(struct api_call *call, const char *name, const char *why);
int call_forbidden(struct api_call *call, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int call_invalid(struct api_call *call, const struct field_errors *errors, const struct schema_kind *kind,
                 const char *name);
/* One finding. */
int call_invalid_field(struct api_call *call, const char *name, const char *reason, const char *field,
                       const char *format, ...) __attribute__((format(printf, 5, 6)));

void call_add_cause(struct api_call *call, const char *reason, const char *message, const char *field);
void call_warn(struct api_call *call, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* "pods", "deployments.apps". */
void kind_group_resource(char *out, size_t size, const struct schema_kind *kind);
bool kind_is(const struct schema_kind *kind, const char *group, const char *plural);
bool kind_has_subresource(const struct schema_kind *kind, const char *name);

/* Answers. text and object are the callee's. */
void call_reply_text(struct api_call *call, int status, struct buf *text);
void call_reply_stream(struct api_call *call, struct api_list *list, struct api_watch *watch);
void call_reply_object(struct api_call *call, int status, json_t *object);
void call_reply_success(struct api_call *call, int status, const char *name, const char *uid);
void call_reply_error(struct api_call *call);
/* The request has to be handled again from the start. */
void call_reply_retry(struct api_call *call);
void call_free(struct api_call *call);

/* ---- verbs_decode.c ---- */

/* The body as an object of kind, or of any message with the group version and kind that it goes by (version
 * "": every group version is accepted, as for DeleteOptions). Unknown fields become warnings or an error as
 * the request asks. The caller owns *out. */
int call_decode_object(struct api_call *call, const struct schema_kind *kind, json_t **out);
int call_decode_message(struct api_call *call, const char *message, const char *group, const char *version,
                        const char *kind, json_t **out);
/* The body as any JSON value, from JSON or YAML (patches). */
int call_decode_value(struct api_call *call, json_t **out);
/* Coerces a value (the result of a patch) to kind, treating unknown fields as the request asks; as_sent: a
 * configuration of server-side apply, which is not completed. */
int call_coerce(struct api_call *call, const struct schema_kind *kind, const json_t *value, bool as_sent,
                json_t **out);
/* What a body or a patched object must agree with: the URL's name and namespace. Sets the namespace. */
int call_check_identity(struct api_call *call, json_t *object, bool create);

/* ---- verbs_meta.c ---- */

/* Readies a decoded object for its creation: metadata that only the server sets, status, generation. */
int meta_prepare_create(struct api_call *call, json_t *object);
/* Readies the new version of call->live: what a client may not change is kept. subresource "" or "status". */
int meta_prepare_update(struct api_call *call, json_t *object, const char *subresource);
/* Counts generation when anything but metadata and status changed. */
void meta_update_generation(const struct schema_kind *kind, const char *subresource, json_t *object,
                            const json_t *live);
/* Whether a write of object over live would change nothing that counts. */
bool meta_same(const json_t *object, const json_t *live);
bool meta_has_finalizer(const json_t *object, const char *finalizer);
void meta_add_finalizer(json_t *object, const char *finalizer);
void meta_remove_finalizer(json_t *object, const char *finalizer);
/* Records the manager's fields after a write that is not an apply. */
void meta_track(struct api_call *call, json_t *object, const char *subresource);
/* The path of intent: what of live the write changes, as an object with the old values. The caller owns it.
 */
json_t *meta_base(const json_t *live, const json_t *object);

/* ---- verbs_commit.c ---- */

struct call_write {
    const char *verb; /* of the transaction */
    const char *subresource;
    bool remove;    /* the object goes */
    json_t *object; /* its new (for remove: last) content; borrowed */
    bool strict;    /* the client gave a precondition */
    int status;     /* HTTP status on success */
    json_t *reply;  /* answered instead; the callee's, sharing nothing with object; may be NULL */
    const struct state_object *node; /* for bindings: the node it must fit; may be NULL */
    const json_t *patch;             /* for the intent; may be NULL */
};
/* Hands the write to the ledger, or, when it is a dry run, answers at once. */
int call_commit(struct api_call *call, const struct call_write *write);
/* Its steps, for a transaction of several writes: begin, add for each (with call->live and live_state of that
 * object), end. After a failure of add the caller frees the transaction. */
struct tx *commit_begin(struct api_call *call, const struct call_write *write);
int commit_add(struct api_call *call, const struct call_write *write, struct tx *tx);
int commit_end(struct api_call *call, struct tx *tx);
/* Whether an object asks that its writes be answered when they are final: the annotation katena.io/commit. */
bool commit_wants_final(const json_t *object);

/* Takes call->live to object (whole pipeline after decoding: metadata, defaults, admission, validation,
 * managed fields, no-op) and commits. */
int call_update_to(struct api_call *call, json_t *object, const struct call_write *write);
/* The same for a new object. */
int call_create_from(struct api_call *call, json_t *object, const struct call_write *write);
/* The resourceVersion that object names as a precondition on call->live, if any. */
int call_check_version(struct api_call *call, const json_t *object, bool *strict);

/* ---- the verbs ---- */

int verbs_get(struct api_call *call);
int verbs_list(struct api_call *call);
int verbs_watch(struct api_call *call);
int verbs_create(struct api_call *call);
int verbs_update(struct api_call *call);
int verbs_patch(struct api_call *call);
int verbs_delete(struct api_call *call);
int verbs_delete_collection(struct api_call *call);

/* Subresources and kinds with functions of their own. */
int verbs_scale(struct api_call *call);
int verbs_binding(struct api_call *call);
int verbs_eviction(struct api_call *call);
int verbs_namespace_finalize(struct api_call *call);
int verbs_token(struct api_call *call);
int verbs_review(struct api_call *call);

/* Applies a patch of the request's type to object: *out is the caller's. */
int verbs_patch_apply(struct api_call *call, const struct schema_message *message, const json_t *object,
                      const json_t *patch, json_t **out);

/* How a delete is to be done. */
struct delete_options {
    int64_t grace_s;                    /* -1: not given */
    const char *policy;                 /* "Background", "Foreground", "Orphan" or "" */
    const char *uid, *resource_version; /* preconditions; NULL: none */
    json_t *body;                       /* owns the strings */
};
int delete_options_read(struct api_call *call, struct delete_options *out);
/* What deleting call->live comes to. */
enum delete_outcome { DELETE_NOW, DELETE_MARK, DELETE_NOTHING };
/* The outcome, with the marked object in *object (the caller's) for DELETE_MARK; or an error. */
int delete_decide(struct api_call *call, const struct delete_options *options, enum delete_outcome *outcome,
                  json_t **object);
/* Deletes call->live; reply (may be NULL) is the callee's. */
int delete_live(struct api_call *call, const struct delete_options *options, const char *verb,
                const char *subresource, json_t *reply);

/* Content types of patches: "application/json-patch+json", … */
bool content_is(const struct api_call *call, const char *type);

/* ---- admission*.c: change or refuse an object before it is validated ---- */

int admission_create(struct api_call *call, json_t *object);
int admission_update(struct api_call *call, json_t *object);
int admission_delete(struct api_call *call);
/* After defaulting, since it depends on defaulted fields. */
int admission_allocate(struct api_call *call, json_t *object);

int admission_namespace(struct api_call *call, const json_t *object);
void admission_secret(json_t *secret);
int admission_service_account(struct api_call *call, json_t *pod);
int admission_pod(struct api_call *call, json_t *pod);
int admission_rbac(struct api_call *call, const json_t *object);
const char *pod_qos_class(const json_t *pod);

/* ---- allocate*.c: cluster IPs and node ports ---- */

struct api_allocator *allocator_new(const char *cidr, struct err *err);
void allocator_free(struct api_allocator *allocator);
/* Gives a Service what it lacks. */
int allocate_service(struct api_call *call, json_t *service);
/* Ends the reservation of a call: the addresses are in the chain now, or nobody's. */
void allocate_release(struct api_server *server, struct api_reserved *reserved);
/* The address with this number in the service network ("10.43.0.1" for 1). */
void allocator_address(const struct api_allocator *allocator, uint32_t number, char out[16]);

/* ---- object_bytes.c ---- */

/* Appends the compact JSON text of any value. */
void object_write_value(struct buf *out, const json_t *value);
/* Appends an object's canonical text: kind, apiVersion, metadata in the order of the schema, the rest. With
 * placeholder, metadata.resourceVersion is TX_RV_PLACEHOLDER and *rv_offset its place in out; otherwise
 * whatever the object has. */
void object_write(struct buf *out, const json_t *object, bool placeholder, uint32_t *rv_offset);
/* Puts the digits of rv at offset. */
void object_splice(struct buf *text, size_t offset, uint64_t rv);
/* Appends the text of a stored object, opened when it is sealed, with its resourceVersion. */
int object_open(struct api_server *server, const struct state_object *state, struct buf *out,
                struct err *err);
/* The same, parsed; NULL with err. */
json_t *object_parse(struct api_server *server, const struct state_object *state, struct err *err);
/* metadata.labels out of an object's canonical text, without parsing the rest: for selectors over long lists.
 * NULL when there are none; the caller owns it. */
json_t *object_labels(const struct buf *text);
/* Whether the contents of a kind are sealed in the chain. */
bool object_sealed_kind(const struct resource_key *key);
/* Appends nonce and ciphertext of text, bound to key. */
void object_seal(struct api_server *server, const struct resource_key *key, const void *text, size_t len,
                 struct buf *out);

/* ---- bootstrap.c ---- */

int bootstrap_run(struct api_server *server, struct err *err);

/* ---- hub.c ---- */

int hub_start(struct api_server *server, struct err *err);
void hub_stop(struct api_server *server);
/* Opens a watch for a request that is authorized. */
int hub_watch(struct api_call *call, struct api_watch **out);

/* ---- verbs_list.c ---- */

/* A list of the request's objects over a snapshot of its own. */
int list_open(struct api_call *call, struct api_list **out);
/* How long it may hold a snapshot (for tests). */
void list_set_hold(struct api_list *list, int64_t hold_us);

#endif
