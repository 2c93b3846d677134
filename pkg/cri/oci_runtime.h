/*
 * An OCI runtime in front of runc, for containers whose configuration holds sealed texts (sealed.h):
 * containerd calls it as it calls runc. What `create` and `exec` read of the container's process is opened in
 * memory; all other calls are runc's own.
 */
#ifndef KATENA_CRI_OCI_RUNTIME_H
#define KATENA_CRI_OCI_RUNTIME_H

#include "base/buf.h"
#include "base/err.h"
#include "cri/sealed.h"

/* The name of the runtime in containerd's configuration, and of the pods' runtime handler. */
#define OCI_RUNTIME_HANDLER "katena-sealed"

/* Opens what is sealed in `env` and `args` of a process, either the whole document (exec) or its member
 * "process" (create, with bundle, on which a relative root.path is made to stand). Replaces *json by the
 * text. */
int oci_runtime_open(struct buf *json, const uint8_t key[SEALED_KEY_SIZE], const char *bundle,
                     struct err *err);

/* Becomes runc with these arguments (NULL-terminated, the first one a placeholder for runc's name). Returns
 * only when that fails. */
int oci_runtime_exec(const char *runc, const uint8_t key[SEALED_KEY_SIZE], char **argv, struct err *err);

#endif
