/*
 * One request to the API, free of HTTP: the edge (http_*.c) and the in-process client (local_client.c) make
 * them, the verbs (verbs_*.c) answer them.
 *
 * A request is asynchronous, since a write is answered when its block is durable: api_handle calls done
 * exactly once, either before it returns or later on the ledger's thread, where it must not block.
 */
#ifndef KATENA_API_REQUEST_H
#define KATENA_API_REQUEST_H

#include "base/buf.h"
#include "base/err.h"
#include "client/client.h"
#include "ledger/ledger.h"
#include "object/schema.h"

#include <jansson.h>

struct api_server; /* ledger, watch hub, secret sealing, service account keys, allocators; see server.h */

enum api_verb {
    API_GET,
    API_LIST,
    API_WATCH,
    API_CREATE,
    API_UPDATE,
    API_PATCH,
    API_DELETE,
    API_DELETE_COLLECTION,
};

/* Who asks, as the authenticator found. */
struct api_user {
    const char *name;
    const char *uid;
    const char *const *groups;
    size_t group_count;
    const json_t *extra; /* object of string arrays; may be NULL */
};

enum api_field_validation { API_FIELDS_WARN, API_FIELDS_IGNORE, API_FIELDS_STRICT };

/* Everything is borrowed until done has been called. NULL strings are absent parameters. */
struct api_request {
    struct api_user user;
    enum api_verb verb;
    const struct schema_kind *kind;
    const char *subresource; /* "" for none */
    const char *namespace;   /* "" for cluster scope or all namespaces */
    const char *name;        /* "" for collections */

    const char *content_type; /* of body, without parameters; the patch types too */
    const void *body;         /* bytes as received, … */
    size_t body_len;
    const json_t *body_value; /* … or, from the in-process client, a value */

    const char *label_selector;
    const char *field_selector;
    const char *owner_uid; /* in-process only */
    const char *resource_version;
    const char *resource_version_match;
    const char *continue_token;
    int64_t limit;     /* 0: none */
    int64_t timeout_s; /* watch; 0: a default */
    bool allow_bookmarks;
    bool send_initial_events;
    bool send_initial_events_set;
    bool dry_run;
    bool force;
    bool orphan_dependents; /* the old query parameters of delete */
    bool orphan_dependents_set;
    const char *propagation_policy;
    int64_t grace_period_s; /* -1: not given */
    const char *field_manager;
    enum api_field_validation field_validation;
    const char *user_agent; /* the default field manager is its part before "/" */

    bool may_block; /* the calling thread has nothing else to do: it may make the block itself, which
                       saves two hand-offs between threads; done is then called before api_handle returns */
    int tries;      /* kept by the verbs across retries; 0 at first */
};

/* A list that is being read: items come one by one out of a snapshot, so it is never whole in memory. */
struct api_list;
/* The next item's JSON text into out (cleared first); false at the end. */
bool api_list_next(struct api_list *list, struct buf *out);
uint64_t api_list_rv(const struct api_list *list);
/* After the end: the continue token ("" when nothing remains) and how many remain (-1: unknown). */
const char *api_list_continue(const struct api_list *list);
int64_t api_list_remaining(const struct api_list *list);
void api_list_free(struct api_list *list);

/* A watch that is being read. Events come in order and none is lost; a watch that falls behind the kept
 * window ends with an ERROR event of reason Expired. */
struct api_watch;
struct api_watch_event {
    const char *type; /* ADDED, MODIFIED, DELETED, BOOKMARK, ERROR */
    const char *json; /* the object's (or Status') text, shared by all watchers; valid until the next call */
    size_t json_len;
    bool initial_end; /* a bookmark that carries k8s.io/initial-events-end */
};
/* The next event without waiting; false when there is none now. */
bool api_watch_next(struct api_watch *watch, struct api_watch_event *event);
/* wake is called (on any thread, must not block) whenever events may have come since the last _next that
 * returned false. Set once, before the first _next. */
void api_watch_on_ready(struct api_watch *watch, void (*wake)(void *arg), void *arg);
void api_watch_close(struct api_watch *watch); /* wake is not called after this returns */

struct api_response {
    int status;      /* HTTP status */
    struct buf body; /* JSON text of the object, or of a Status; when there is neither list nor watch */
    struct api_list *list;
    struct api_watch *watch;
    json_t *warnings; /* array of strings for Warning headers; may be NULL */
    bool has_tx;      /* a write: the transaction that made the object what it is now, … */
    bool wait_final;  /* … which the object itself asks to wait for until it is final (katena.io/commit) */
    uint8_t tx_id[TX_ID_SIZE];
    uint64_t height; /* its block; 0: an earlier one, since there was nothing to change */
    bool retry;      /* lost a race without a precondition: call api_handle again with the same request */
};
void api_response_free(struct api_response *response);

/* response is the callee's (done's) to free, with api_response_free. */
typedef void (*api_done_fn)(void *arg, struct api_response *response);

/* Authorizes, decodes, admits, validates, and answers a request for a resource. */
void api_handle(struct api_server *server, struct api_request *request, api_done_fn done, void *arg);

/* A Status object for an error, as text: {"kind":"Status","apiVersion":"v1",…,"reason":…,"code":…}. details
 * (may be NULL) is borrowed. */
void api_status_text(struct buf *out, int code, const char *message, const json_t *details);

#endif
