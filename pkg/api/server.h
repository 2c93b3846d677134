/*
 * The API server of a node: what all requests share, and the ways in.
 */
#ifndef KATENA_API_SERVER_H
#define KATENA_API_SERVER_H

#include "api/request.h"
#include "pki/pki.h"

/* What the node's kubelet offers to the API: logs and streams of the pods that run here. NULL members (or
 * no table at all): the node has no kubelet. `pod` is the pod object. */
struct api_pod_log_options {
    const char *container;
    bool follow;
    bool previous;
    bool timestamps;
    int64_t tail_lines;    /* -1: all */
    int64_t limit_bytes;   /* -1: all */
    int64_t since_time_us; /* 0: all */
};
struct api_kubelet_ops {
    /* A file descriptor from which the log can be read until end of file; the caller closes it, which ends
     * a follow. */
    int (*logs)(void *kubelet, const json_t *pod, const struct api_pod_log_options *options, int *fd,
                struct err *err);
    /* URLs of the container runtime's streaming server (http://127.0.0.1:…); the caller frees *url. */
    int (*exec)(void *kubelet, const json_t *pod, const char *container, const char *const *command,
                bool stdin_, bool stdout_, bool stderr_, bool tty, char **url, struct err *err);
    int (*attach)(void *kubelet, const json_t *pod, const char *container, bool stdin_, bool stdout_,
                  bool stderr_, bool tty, char **url, struct err *err);
    int (*port_forward)(void *kubelet, const json_t *pod, const int *ports, size_t port_count, char **url,
                        struct err *err);
};

struct api_options {
    struct ledger *ledger;
    struct pki *pki;
    const char *data_dir;
    const char *node_name;
    const char *bind_address; /* "0.0.0.0" */
    int port;                 /* 6443; 0: no HTTP (tests of the verbs) */
    const char *service_cidr; /* "10.43.0.0/16" */
    const char *cluster_cidr; /* "10.42.0.0/16": told to nodes that join */
    const char *advertise_address;
};

/* Makes the server; writes bootstrap objects (namespaces, built-in RBAC roles, the kubernetes Service) into
 * an empty ledger. With a port it listens before it returns. */
int api_server_start(struct api_server **out, const struct api_options *options, struct err *err);
void api_server_stop(struct api_server *server); /* ends connections, frees */

/* Joins the kubelet to the API, any time after the start. */
void api_server_set_kubelet(struct api_server *server, const struct api_kubelet_ops *ops, void *kubelet);

/* Brings the endpoints of the kubernetes Service in line with the nodes of the cluster. Blocks. */
int api_server_refresh_endpoints(struct api_server *server, struct err *err);

/* Joins the peer manager to the API (node list, metrics), any time after the start; NULL before it stops. */
struct peers;
void api_server_set_peers(struct api_server *server, struct peers *peers);

/* What begins a change of this node's key: katena node rotate-keys. It returns when the change has begun. */
void api_server_on_rotate(struct api_server *server, int (*fn)(void *arg, struct err *err), void *arg);

/* An in-process client that acts as user (e.g. "system:kube-scheduler"), member of groups. */
struct client *api_local_client(struct api_server *server, const char *user, const char *const *groups,
                                size_t group_count);
void api_local_client_free(struct client *client);

#endif
