/*
 * What the files of pkg/api share.
 *
 *     server.c                          start and stop, in this order: verbs, hub, bootstrap, HTTP
 *     http_*.c  route.c  negotiate.c    the edge: connections, routing, representations, streams
 *     authn*.c  discovery*.c            who asks; what is served
 *     verbs_*.c  admission*.c  authz.c  the requests themselves, free of HTTP
 *     hub*.c  local_client.c  bootstrap*.c
 *
 * Each side keeps its state behind a pointer of its own in struct api_server.
 */
#ifndef KATENA_API_INTERNAL_H
#define KATENA_API_INTERNAL_H

#include "api/request.h"
#include "api/server.h"

#include <pthread.h>
#include <stdatomic.h>

#define API_BODY_MAX (3 * 1024 * 1024)
#define API_TOKEN_ISSUER "https://kubernetes.default.svc.cluster.local"
#define API_TOKEN_AUDIENCE                                                          \
    "https://kubernetes.default.svc.cluster.local" /* the default and the API's own \
                                                    */

struct api_hub;     /* watch: hub.c */
struct api_verbs;   /* verbs_*.c: allocators, sealing, caches */
struct api_http;    /* http_server.c */
struct api_events;  /* node_events.c */
struct api_orphans; /* orphans.c */

struct api_server {
    struct ledger *ledger;
    struct pki *pki;
    char *data_dir;
    char *node_name;
    char *bind_address;
    char *service_cidr;
    char *cluster_cidr;
    char *advertise_address;
    int port;

    struct api_hub *hub;
    struct api_verbs *verbs;
    struct api_http *http;
    struct api_events *events;
    struct api_orphans *orphans;

    /* Set by api_server_set_kubelet, read by log and stream requests. */
    pthread_mutex_t kubelet_lock;
    const struct api_kubelet_ops *kubelet_ops;
    void *kubelet;

    /* Set by api_server_set_peers. */
    pthread_rwlock_t peers_lock;
    struct peers *peers;
    int (*rotate)(void *arg, struct err *err); /* api_server_on_rotate */
    void *rotate_arg;
};

/* Requests without HTTP (verbs_server.c): everything that api_handle needs, including the hub and the
 * bootstrap objects. stop ends all watches and waits until no callback is under way. */
int api_verbs_start(struct api_server *server, struct err *err);
void api_verbs_stop(struct api_server *server);

/* HTTP (http_server.c); start listens before it returns. stop ends every connection. */
int api_http_start(struct api_server *server, struct err *err);
void api_http_stop(struct api_server *server);

/* ---- authentication (authn.c) ---- */

/* An identity that owns its strings. */
struct api_identity {
    char *name;
    char *uid; /* "" for none */
    char **groups;
    size_t group_count;
    json_t *extra; /* object of string arrays, or NULL */
};
void api_identity_free(struct api_identity *identity);
/* A view of identity, valid as long as it is. */
struct api_user api_identity_user(const struct api_identity *identity);

/* Who a service account token names: signature, issuer, audience, expiry, and the service account (and the
 * pod or secret that it is bound to) must still live with the same UID. audiences NULL: the API's own. On
 * success *out is the caller's to free; ERR_UNAUTHORIZED otherwise. now_s is the wall clock. */
int api_authn_token(struct api_server *server, const char *token, const char *const *audiences,
                    size_t audience_count, int64_t now_s, struct api_identity *out, struct err *err);

/* ---- authorization (authz.c) ---- */

/* 0, or ERR_FORBIDDEN with Kubernetes' text: `pods "x" is forbidden: User "u" cannot get resource "pods/log"
 * in API group "" in the namespace "default"`; for a non-resource path: `forbidden: User "u" cannot get path
 * "/x"`. The user and groups of attributes are set from user. */
int api_authorize(struct api_server *server, const struct api_user *user,
                  const struct rbac_attributes *attributes, struct err *err);

/* ---- objects (verbs_read.c) ---- */

/* The JSON text of a live object with its resourceVersion, appended to out, without authorization: for log
 * and stream requests, which have authorized their subresource. ERR_NOT_FOUND with Kubernetes' text. */
int api_read_object(struct api_server *server, const struct schema_kind *kind, const char *namespace,
                    const char *name, struct buf *out, struct err *err);

/* ---- answers (status.c) ---- */

/* api_status_text from an err: its code's HTTP status, its message, and the details of the object asked for
 * (kind may be NULL). causes (an array, may be NULL) is borrowed. Returns the HTTP status. */
int api_status_of(struct buf *out, const struct err *err, const struct schema_kind *kind, const char *name,
                  const json_t *causes);

#endif
