/*
 * The status of a pod as the API shows it, made from what the kubelet knows. Pure; the caller holds
 * pod->lock, since probe results are read.
 */
#ifndef KATENA_KUBELET_POD_STATUS_H
#define KATENA_KUBELET_POD_STATUS_H

#include "kubelet/kubelet_internal.h"

struct pod_status_context {
    const json_t *object;
    bool over; /* nothing is started any more */
    bool deleting;
    int64_t now_us; /* wall clock */
};

/* A new status object: phase, conditions, container states, addresses. */
json_t *pod_status(const struct kubelet_pod *pod, const struct pod_status_context *context);

/* Whether the status that the API has says all that ours says (times of conditions aside). */
bool pod_status_covered(const json_t *existing, const json_t *wanted);

/* A duration as Go prints it: "10s", "2m40s". */
void pod_duration(char out[32], int64_t seconds);

#endif
