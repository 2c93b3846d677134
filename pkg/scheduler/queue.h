/* The pods that wait for a node: by priority, then by age. Pure; the owner brings the lock and the time. */
#ifndef KATENA_SCHEDULER_QUEUE_H
#define KATENA_SCHEDULER_QUEUE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QUEUE_BACKOFF_MIN_US 1000000LL
#define QUEUE_BACKOFF_MAX_US 10000000LL

struct queue_pod {
    char *key;
    uint64_t uid;  /* digest */
    uint64_t spec; /* digest of what a decision depends on */
    uint64_t group;
    int64_t created_us;
    int priority;
    int attempts;   /* without success */
    int64_t due_us; /* not before; INT64_MAX: parked until something changes that could help */
    int64_t tried_us;
};

struct queue {
    struct queue_pod **pods;
    size_t count, cap;
};

void queue_free(struct queue *q);

/* Adds a pod, or takes note of its change: one that has become another is tried again. */
void queue_set(struct queue *q, const json_t *pod, int64_t now_us);
/* uid NULL: whichever pod has the key. */
void queue_remove(struct queue *q, const char *key, const char *uid);

/* The key of the next pod that is due (a copy, the caller's), which counts as tried; NULL: none, and *next_us
 * is when one will be (INT64_MAX: never). */
char *queue_take(struct queue *q, int64_t now_us, int64_t *next_us);

/* What the pod is placed together with, by one scheduler: the pods of its controller, or itself alone. 0: no
 * pod has the key. */
uint64_t queue_group(const struct queue *q, const char *key);

/* The pod that was taken fits nowhere, or (again) something failed that passes by itself. */
void queue_park(struct queue *q, const char *key, bool again, int64_t now_us);

/* The pod that was taken is another node's to place: it is kept as if it had never been tried, until
 * queue_wake. */
void queue_leave(struct queue *q, const char *key);

/* Something changed that may help: parked pods come again, each not before its back-off. */
void queue_wake(struct queue *q, int64_t now_us);

#endif
