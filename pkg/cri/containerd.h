/*
 * The node's own containerd: written configuration, started, watched over, and left running when katena ends.
 * Everything of it lies under <data-dir>/containerd (root, state, config.toml, containerd.log, the socket)
 * and <data-dir>/cni (the network of the pods). Pods and their shims depend on neither katena nor containerd
 * being up, so a restart of katena finds the same containers.
 *
 * Threads: start, release and stop_all on one thread; the endpoint may be read by any.
 */
#ifndef KATENA_CRI_CONTAINERD_H
#define KATENA_CRI_CONTAINERD_H

#include "base/err.h"

/* The image of sandbox containers, made by the node itself. */
#define CONTAINERD_PAUSE_IMAGE "katena.local/pause:1"

struct containerd;

struct containerd_options {
    const char *data_dir; /* absolute */
    const char *pod_cidr; /* of this node: "10.42.0.0/24" */
    const char *bridge;   /* NULL: "katena0"; one name per node of a host */
    /* The file with the key of sealed.h: makes the runtime of oci_runtime.h. NULL: there is none. */
    const char *seal_key_file;
};

/* Starts containerd, or attaches to the one that a former process of this node left running, and returns
 * when it answers and the sandbox image is there. It is started again whenever it dies. */
int containerd_start(struct containerd **out, const struct containerd_options *options, struct err *err);

/* The path of its socket. Owned by c. */
const char *containerd_endpoint(const struct containerd *c);

/* Ends the supervision and frees c; containerd, the shims and the containers go on. NULL is fine. */
void containerd_release(struct containerd *c);

/* Imports an image archive (docker or OCI layout in a tar file). */
int containerd_import(const char *endpoint, const char *tar_path, struct err *err);

/* Ends everything that a node without a running katena left on the host: pods, shims, containerd, mounts
 * below data_dir, network namespaces, the bridge. Images stay. Succeeds when there is nothing. */
int containerd_stop_all(const char *data_dir, struct err *err);

#endif
