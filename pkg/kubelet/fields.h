/*
 * What a pod can be told about itself (downward API): fields of its object, and the resources of its
 * containers.
 */
#ifndef KATENA_KUBELET_FIELDS_H
#define KATENA_KUBELET_FIELDS_H

#include "base/buf.h"
#include "base/err.h"

#include <jansson.h>
#include <stdint.h>

/* What is known of the pod beside its object. */
struct fields_context {
    const json_t *pod;
    const char *pod_ip; /* NULL: not yet known */
    const char *host_ip;
    int64_t node_cpu_milli;
    int64_t node_memory_bytes;
};

/* The text of a fieldRef's path: "metadata.labels['app']", "status.podIP", "metadata.annotations" (as lines
 * key="value"), … */
int fields_value(struct buf *out, const struct fields_context *context, const char *path, struct err *err);

/* The number of a resourceFieldRef for the container (its spec; NULL: named by the reference). */
int fields_resource(struct buf *out, const struct fields_context *context, const json_t *container,
                    const json_t *ref, struct err *err);

/* $(NAME) becomes the value from env (an object of strings), $$ a $; unknown names stay as they are. */
void fields_expand(struct buf *out, const char *text, const json_t *env);

/* "Guaranteed", "Burstable" or "BestEffort". */
const char *fields_qos(const json_t *pod);

#endif
