/*
 * The work queue of the controllers: keys that are to be reconciled, now or later. Pure: time is an
 * argument, and the caller brings the lock.
 *
 *   - A key is in it once, however often it is added; the earliest time that was asked for counts.
 *   - A key that is being worked on is given to nobody else; added meanwhile, it comes again afterwards.
 *   - A key that failed comes again after a delay that doubles with each failure.
 *   - A key that nobody waits for takes no memory.
 */
#ifndef KATENA_CONTROLLER_WORKQUEUE_H
#define KATENA_CONTROLLER_WORKQUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WORKQUEUE_BACKOFF_MIN_US 5000LL
#define WORKQUEUE_BACKOFF_MAX_US 120000000LL

struct workqueue;

struct work_item {
    int owner;  /* the controller */
    char key[]; /* NUL-terminated */
};

struct workqueue *workqueue_new(void);
void workqueue_free(struct workqueue *q);

/* Asks for (owner, key) at due_us, a monotonic time; the past means now. */
void workqueue_add(struct workqueue *q, int owner, const char *key, int64_t due_us);

/* The earliest key that is due, marked as being worked on until workqueue_done; the queue owns it. NULL:
 * none; then *next_due_us is when one will be (INT64_MAX: never). Equal times come in the order of adding. */
struct work_item *workqueue_take(struct workqueue *q, int64_t now_us, int64_t *next_due_us);

/* The work is done; item is no longer the caller's. failed: again after the back-off; else again at
 * again_us if that is not 0, and, either way, as soon as it was asked for meanwhile. */
void workqueue_done(struct workqueue *q, struct work_item *item, bool failed, int64_t again_us,
                    int64_t now_us);

/* Nothing is being worked on, and nothing is due at now_us. */
bool workqueue_idle(const struct workqueue *q, int64_t now_us);
size_t workqueue_count(const struct workqueue *q);

#endif
