/* See pool.h. The queue is a list ordered by time: it has a few hundred entries at most. */
#include "kubelet/pool.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#include <assert.h>
#include <pthread.h>
#include <time.h>

#define THREADS_MAX 256
#define IDLE_LIMIT_US (5 * INT64_C(1000000))
#define STACK_SIZE (256 * 1024)

struct pool {
    pthread_mutex_t lock;
    pthread_cond_t work;    /* the head of the queue changed, or stopping */
    pthread_cond_t settled; /* a run ended, or a thread */
    struct task *head;
    int threads;
    int idle;
    int running;
    bool stopping;
};

struct pool *pool_new(void)
{
    struct pool *pool = mem_zalloc(sizeof(*pool));
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, &attributes);
    pthread_cond_init(&pool->settled, &attributes);
    pthread_condattr_destroy(&attributes);
    return pool;
}

void pool_stop(struct pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    pthread_cond_broadcast(&pool->work);
    while (pool->threads > 0)
        pthread_cond_wait(&pool->settled, &pool->lock);
    for (struct task *task = pool->head; task; task = task->next)
        task->queued = false;
    pool->head = NULL;
    pthread_mutex_unlock(&pool->lock);
}

void pool_free(struct pool *pool)
{
    pool_stop(pool);
    pthread_mutex_destroy(&pool->lock);
    pthread_cond_destroy(&pool->work);
    pthread_cond_destroy(&pool->settled);
    free(pool);
}

void task_init(struct task *task, int64_t (*run)(struct task *), void (*release)(struct task *))
{
    *task = (struct task){.run = run, .release = release, .again_us = POOL_NEVER};
}

static void queue_remove(struct pool *pool, struct task *task)
{
    if (!task->queued)
        return;
    struct task **at = &pool->head;
    while (*at != task)
        at = &(*at)->next;
    *at = task->next;
    task->queued = false;
}

static void queue_insert(struct pool *pool, struct task *task, int64_t due_us)
{
    struct task **at = &pool->head;
    while (*at && (*at)->due_us <= due_us)
        at = &(*at)->next;
    task->due_us = due_us;
    task->next = *at;
    task->queued = true;
    *at = task;
}

/* Waits for the head to be due; false: this thread has been idle for long, or the pool stops. */
static bool wait_for_work(struct pool *pool)
{
    int64_t since = clock_mono_us();
    for (;;) {
        int64_t now = clock_mono_us();
        if (pool->stopping)
            return false;
        if (pool->head && pool->head->due_us <= now)
            return true;
        bool last = pool->idle == 0;
        if (!last && now - since > IDLE_LIMIT_US)
            return false;
        int64_t until = last ? POOL_NEVER : since + IDLE_LIMIT_US + 1;
        if (pool->head && pool->head->due_us < until)
            until = pool->head->due_us;
        pool->idle++;
        if (until == POOL_NEVER) {
            pthread_cond_wait(&pool->work, &pool->lock);
        } else {
            struct timespec at = {.tv_sec = until / 1000000, .tv_nsec = until % 1000000 * 1000};
            pthread_cond_timedwait(&pool->work, &pool->lock, &at);
        }
        pool->idle--;
    }
}

static void run_head(struct pool *pool)
{
    struct task *task = pool->head;
    pool->head = task->next;
    task->queued = false;
    task->running = true;
    task->again_us = POOL_NEVER;
    pthread_mutex_unlock(&pool->lock);
    int64_t next = task->run(task);
    pthread_mutex_lock(&pool->lock);
    task->running = false;
    if (next == POOL_RELEASE) {
        queue_remove(pool, task);
        task->released = true;
        pthread_mutex_unlock(&pool->lock);
        task->release(task);
        pthread_mutex_lock(&pool->lock);
    } else {
        if (task->again_us < next)
            next = task->again_us;
        if (next != POOL_NEVER)
            queue_insert(pool, task, next);
    }
    pthread_cond_broadcast(&pool->settled);
}

static void *thread_main(void *arg)
{
    struct pool *pool = arg;
    pthread_mutex_lock(&pool->lock);
    while (wait_for_work(pool)) {
        if (pool->head->next && pool->head->next->due_us <= clock_mono_us())
            pthread_cond_signal(&pool->work);
        run_head(pool);
    }
    pool->threads--;
    pthread_cond_broadcast(&pool->settled);
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

static void spawn_thread(struct pool *pool)
{
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK_SIZE);
    if (pthread_create(&thread, &attributes, thread_main, pool) == 0)
        pool->threads++;
    else
        log_error("kubelet", "cannot start a thread");
    pthread_attr_destroy(&attributes);
}

void pool_schedule(struct pool *pool, struct task *task, int64_t due_us)
{
    pthread_mutex_lock(&pool->lock);
    if (pool->stopping || task->released) {
        /* nothing is started any more; or the task is on its way out */
    } else if (task->running) {
        if (due_us < task->again_us)
            task->again_us = due_us;
    } else if (!task->queued || due_us < task->due_us) {
        queue_remove(pool, task);
        queue_insert(pool, task, due_us);
        if (pool->idle > 0)
            pthread_cond_signal(&pool->work);
        if ((pool->idle == 0 || due_us <= clock_mono_us()) && pool->idle < 2 && pool->threads < THREADS_MAX)
            spawn_thread(pool);
    }
    pthread_mutex_unlock(&pool->lock);
}

void pool_cancel(struct pool *pool, struct task *task)
{
    pthread_mutex_lock(&pool->lock);
    while (task->running)
        pthread_cond_wait(&pool->settled, &pool->lock);
    queue_remove(pool, task);
    pthread_mutex_unlock(&pool->lock);
}
