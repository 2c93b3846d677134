/*
 * The kubelet: runs the pods that are bound to this node in a container runtime and tells the API about them.
 *
 * Work is driven by events (a watch of the node's pods, the runtime's exit events, probe results, timers);
 * nothing polls, and an idle node makes no calls and writes nothing. See docs/kubelet.md.
 */
#ifndef KATENA_KUBELET_KUBELET_H
#define KATENA_KUBELET_KUBELET_H

#include "base/err.h"
#include "client/client.h"

#include <stdint.h>

struct kubelet;
struct api_kubelet_ops;
struct cri_runtime;

struct kubelet_options {
    struct client *client; /* acts as system:node:<name>; outlives the kubelet */
    const char *endpoint;  /* the CRI socket */
    const char *data_dir;  /* absolute; pods and pods-logs lie below it */
    const char *node_name;
    const char *node_address; /* the node's InternalIP */
    const char *pod_cidr;
    const char *api_endpoint; /* "HOST:PORT" by which other nodes reach this one's API; NULL: not told */
    /* SEALED_KEY_SIZE bytes, copied: the runtime knows OCI_RUNTIME_HANDLER, and variables of containers that
     * take some from Secrets are handed to it sealed (cri/sealed.h). NULL: it does not. */
    const uint8_t *seal_key;
};

/* Takes over the pods that run already, registers the node, and starts to work. */
int kubelet_start(struct kubelet **out, const struct kubelet_options *options, struct err *err);

/* Stops working and frees; containers go on running. NULL is fine. */
void kubelet_stop(struct kubelet *kubelet);

/* What the API needs of a kubelet: logs and streams; the context is the struct kubelet. Static. */
const struct api_kubelet_ops *kubelet_api_ops(void);

#endif
