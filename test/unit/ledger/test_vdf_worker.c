/* The thread that evaluates delay functions: right results, the newest request, and an end at any time. */
#include "unit.h"

#include "ledger/vdf_worker.h"

#include <pthread.h>
#include <unistd.h>

struct results {
    pthread_mutex_t lock;
    pthread_cond_t came;
    size_t count;
    struct vdf_proof last;
};

static void on_done(void *arg, const struct vdf_proof *proof)
{
    struct results *results = arg;
    pthread_mutex_lock(&results->lock);
    results->count++;
    results->last = *proof;
    pthread_cond_signal(&results->came);
    pthread_mutex_unlock(&results->lock);
}

static void wait_for(struct results *results, size_t count)
{
    pthread_mutex_lock(&results->lock);
    while (results->count < count)
        pthread_cond_wait(&results->came, &results->lock);
    pthread_mutex_unlock(&results->lock);
}

static void test_results(void **state)
{
    (void)state;
    struct results results = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, {{0}, {0}}};
    struct vdf_worker *worker = vdf_worker_new(on_done, &results);
    for (uint8_t i = 1; i < 4; i++) {
        uint8_t seed[VDF_SEED_SIZE] = {i};
        vdf_worker_start(worker, seed, 1000);
        wait_for(&results, i);
        assert_true(vdf_verify(seed, 1000, &results.last));
        usleep(i * 1000); /* the thread may be there still, or not */
    }
    vdf_worker_free(worker);
    assert_int_equal(results.count, 3);
}

static void test_the_newest_counts(void **state)
{
    (void)state;
    struct results results = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, {{0}, {0}}};
    struct vdf_worker *worker = vdf_worker_new(on_done, &results);
    uint8_t endless[VDF_SEED_SIZE] = {1}, seed[VDF_SEED_SIZE] = {2};
    vdf_worker_start(worker, endless, VDF_DIFFICULTY_MAX);
    usleep(20000);
    vdf_worker_start(worker, seed, 500);
    wait_for(&results, 1);
    assert_true(vdf_verify(seed, 500, &results.last));
    vdf_worker_start(worker, endless, VDF_DIFFICULTY_MAX);
    usleep(5000);
    vdf_worker_free(worker);
    assert_int_equal(results.count, 1);
    vdf_worker_free(NULL);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_results),
    cmocka_unit_test(test_the_newest_counts),
};

UNIT_MAIN(tests)
