/* What a ReplicaSet needs, from the set and the pods that it controls. Pure. */
#ifndef KATENA_CONTROLLER_REPLICASET_PLAN_H
#define KATENA_CONTROLLER_REPLICASET_PLAN_H

#include <jansson.h>
#include <stdint.h>

#define REPLICASET_BURST 500 /* pods made or removed in one go */

struct replicaset_plan {
    int create;
    json_t *remove; /* pods, those first whose loss matters least; NULL: none. The caller's */
};

void replicaset_plan(struct replicaset_plan *out, const json_t *rs, const json_t *pods, int64_t now_us);

/* A new pod from the set's template. */
json_t *replicaset_pod(const json_t *rs);

/* The status that rs should have. failure_reason ("FailedCreate", "FailedDelete" or NULL) and message make
 * the condition ReplicaFailure. *due_us: when time alone makes a further pod available; 0: never. */
json_t *replicaset_status(const json_t *rs, const json_t *pods, const char *failure_reason,
                          const char *message, int64_t now_us, int64_t *due_us);

/* How many pods to make in the batch after one of this size that went well: 1, 2, 4, … */
int replicaset_next_batch(int batch, int left);

#endif
