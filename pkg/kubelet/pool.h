/*
 * Tasks run by a pool of threads that grows with what blocks and shrinks again. A task is run by one thread
 * at a time; asked for while it runs, it runs again afterwards.
 *
 * The owner embeds struct task. Threads: any.
 */
#ifndef KATENA_KUBELET_POOL_H
#define KATENA_KUBELET_POOL_H

#include <stdbool.h>
#include <stdint.h>

#define POOL_NEVER INT64_MAX

struct pool;

struct task {
    /* Returns when to run again (a clock_mono_us time, POOL_NEVER: only when asked). */
    int64_t (*run)(struct task *task);
    /* Called after the last run when run said POOL_RELEASE: the task may be freed there. */
    void (*release)(struct task *task);
    struct task *next;
    int64_t due_us;
    bool queued;
    bool running;
    bool released;    /* has returned POOL_RELEASE: what still schedules it is on its own way out */
    int64_t again_us; /* asked for while running; POOL_NEVER: not */
};

/* What run returns to have its task released. */
#define POOL_RELEASE (-1)

struct pool *pool_new(void);
/* Waits for the tasks in progress, starts no others, frees. */
void pool_free(struct pool *pool);
/* From now on no task is started; those in progress are waited for. */
void pool_stop(struct pool *pool);

void task_init(struct task *task, int64_t (*run)(struct task *), void (*release)(struct task *));

/* Runs the task at due_us (0: now), or earlier if it is due earlier. */
void pool_schedule(struct pool *pool, struct task *task, int64_t due_us);

/* Takes the task out and waits for its run in progress; not from within that run. */
void pool_cancel(struct pool *pool, struct task *task);

#endif
