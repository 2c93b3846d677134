/*
 * See vdf_worker.h. Two threads: one evaluates, at the lowest priority, and one tells the result.
 *
 * Where others take all processors, the first may not come to run for long, wherever it stands. So it never
 * holds a lock, and nobody ever waits for it: requests and results lie in places that are exchanged in one
 * step, and it is not waited for at the end; the last who is there frees the worker.
 */
#include "ledger/vdf_worker.h"

#include "base/clock.h"
#include "base/mem.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define SLICE_STEPS 500
#define SLICE_US 2000
#define PAUSE_SLICES 4 /* a pause is that many times as long as the slice before it */
#define NICE 19
#define IDLE_US (10 * 1000 * 1000) /* so long it takes only what nobody else wants: a third of an epoch */

struct request {
    uint64_t number;
    uint64_t difficulty;
    uint8_t seed[VDF_SEED_SIZE];
};

struct result {
    uint64_t number; /* of its request */
    struct vdf_proof proof;
};

struct vdf_worker {
    vdf_done_fn done;
    void *arg;
    bool evaluates, tells; /* there is such a thread */
    pthread_t teller;
    uint64_t last_number;
    _Atomic int users; /* the owner, and the thread that evaluates */
    _Atomic bool stopping;
    _Atomic uint64_t newest;           /* number of the newest request */
    struct request *_Atomic requested; /* NULL: nothing new */
    struct result *_Atomic result;     /* NULL: none that was not told */
    sem_t has_request, has_result;     /* or is to end */
};

static void release(struct vdf_worker *worker)
{
    if (atomic_fetch_sub(&worker->users, 1) > 1)
        return;
    free(atomic_load(&worker->requested));
    free(atomic_load(&worker->result));
    sem_destroy(&worker->has_request);
    sem_destroy(&worker->has_result);
    free(worker);
}

/* ---- evaluating ---- */

static bool is_interrupted(struct vdf_worker *worker)
{
    return atomic_load(&worker->stopping) || atomic_load(&worker->requested);
}

static void pause_for(struct vdf_worker *worker, int64_t us)
{
    int64_t until = clock_mono_us() + us;
    struct timespec at = {.tv_sec = until / 1000000, .tv_nsec = until % 1000000 * 1000};
    sem_clockwait(&worker->has_request, CLOCK_MONOTONIC, &at);
}

/* Works for about SLICE_US. *took_us: how long it was. True: finished. */
static bool slice(struct vdf_work *work, int64_t *took_us)
{
    int64_t began = clock_mono_us();
    bool finished = false;
    do {
        finished = vdf_work_step(work, SLICE_STEPS);
        *took_us = clock_mono_us() - began;
    } while (!finished && *took_us < SLICE_US);
    return finished;
}

/* Whoever wakes up beside an idle thread takes its processor at once, and one that only runs such a thread
 * counts as free; a nice thread keeps it for a moment, which a write that goes through three nodes would wait
 * for again and again. Where everything is busy for long, it may not come to run at all, so then it is merely
 * nice. */
static void yield_to_others(bool always)
{
    struct sched_param none = {0};
    pthread_setschedparam(pthread_self(), always ? SCHED_IDLE : SCHED_OTHER, &none);
    setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
}

/* False: something else is wanted. */
static bool evaluate(struct vdf_worker *worker, struct vdf_work *work)
{
    bool idle = true;
    int64_t took_us, began_us = clock_mono_us();
    yield_to_others(true);
    while (!slice(work, &took_us)) {
        pause_for(worker, took_us * PAUSE_SLICES);
        if (is_interrupted(worker))
            return false;
        if (idle && clock_mono_us() - began_us > IDLE_US)
            yield_to_others(idle = false);
    }
    return true;
}

static void answer(struct vdf_worker *worker, const struct request *request)
{
    struct vdf_work *work = vdf_work_new(request->seed, request->difficulty);
    if (evaluate(worker, work)) {
        struct result *result = mem_zalloc(sizeof(*result));
        result->number = request->number;
        vdf_work_result(work, &result->proof);
        free(atomic_exchange(&worker->result, result));
        sem_post(&worker->has_result);
    }
    vdf_work_free(work);
}

static void *run(void *arg)
{
    struct vdf_worker *worker = arg;
    pthread_setname_np(pthread_self(), "ledger-vdf");
    while (!atomic_load(&worker->stopping)) {
        struct request *request = atomic_exchange(&worker->requested, NULL);
        if (request)
            answer(worker, request);
        else
            sem_wait(&worker->has_request);
        free(request);
    }
    release(worker);
    return NULL;
}

/* ---- telling ---- */

static void *tell(void *arg)
{
    struct vdf_worker *worker = arg;
    pthread_setname_np(pthread_self(), "ledger-seeds");
    while (!atomic_load(&worker->stopping)) {
        struct result *result = atomic_exchange(&worker->result, NULL);
        if (!result)
            sem_wait(&worker->has_result);
        else if (result->number == atomic_load(&worker->newest))
            worker->done(worker->arg, &result->proof);
        free(result);
    }
    return NULL;
}

/* ---- for the owner ---- */

struct vdf_worker *vdf_worker_new(vdf_done_fn done, void *arg)
{
    struct vdf_worker *worker = mem_zalloc(sizeof(*worker));
    worker->done = done;
    worker->arg = arg;
    worker->users = 1;
    sem_init(&worker->has_request, 0, 0);
    sem_init(&worker->has_result, 0, 0);
    return worker;
}

/* A thread that cannot be made is tried again with the next request; they stay. */
static void start_threads(struct vdf_worker *worker)
{
    pthread_t evaluator;
    if (!worker->tells)
        worker->tells = pthread_create(&worker->teller, NULL, tell, worker) == 0;
    if (worker->evaluates)
        return;
    atomic_fetch_add(&worker->users, 1);
    worker->evaluates = pthread_create(&evaluator, NULL, run, worker) == 0;
    if (worker->evaluates)
        pthread_detach(evaluator);
    else
        atomic_fetch_sub(&worker->users, 1);
}

void vdf_worker_start(struct vdf_worker *worker, const uint8_t seed[VDF_SEED_SIZE], uint64_t difficulty)
{
    struct request *request = mem_zalloc(sizeof(*request));
    *request = (struct request){.number = ++worker->last_number, .difficulty = difficulty};
    memcpy(request->seed, seed, VDF_SEED_SIZE);
    atomic_store(&worker->newest, request->number);
    free(atomic_exchange(&worker->requested, request));
    start_threads(worker);
    sem_post(&worker->has_request);
}

void vdf_worker_free(struct vdf_worker *worker)
{
    if (!worker)
        return;
    atomic_store(&worker->stopping, true);
    sem_post(&worker->has_request);
    sem_post(&worker->has_result);
    if (worker->tells)
        pthread_join(worker->teller, NULL);
    release(worker);
}
