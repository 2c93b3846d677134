/*
 * While a record of the log becomes durable, nobody may see what it says, though LMDB may have it already,
 * and it has to go again when the sync fails. fdatasync is ours here: it can be watched, and fail.
 */
#include "unit.h"
#include "scratch.h"
#include "store_steps.h"

#include "blockstore/blockstore_internal.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

static _Atomic int failures; /* of fdatasync that are to come */
static void (*_Atomic watch)(void);

int fdatasync(int fd)
{
    void (*seen)(void) = atomic_exchange(&watch, NULL);
    if (seen)
        seen();
    if (failures > 0) {
        failures--;
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

static struct blockstore *open_at(const char *path)
{
    struct blockstore_options options = {.dir = path, .first_segment = 64u << 10};
    struct blockstore *store = NULL;
    struct err err;
    if (blockstore_open(&store, &options, &err))
        fail_msg("%s", err.message);
    return store;
}

static int put(struct tx_fixture *f, struct blockstore *store, const char *name, bool tentative,
               struct err *err)
{
    struct tx *tx = store_fixture_pod(f, store, name, "1", NULL);
    return store_fixture_commit(f, store, &tx, 1, tentative, err);
}

static bool has_pod(struct state_snapshot *snapshot, const char *name)
{
    struct resource_key key = tx_fixture_key_of("pods", "default", name);
    struct state_object object;
    return blockstore_ops()->get(snapshot, &key, &object, NULL) == 0;
}

/* ---- what others see meanwhile ---- */

enum { READERS = 40 };

static struct blockstore *watched;
static uint64_t rv_before;
static pthread_t reader;
static _Atomic int readers_waiting;

static void look_at_block(void)
{
    struct state_snapshot *snapshot = blockstore_ops()->snapshot_begin(watched);
    bool unseen = blockstore_ops()->snapshot_rv(snapshot) == rv_before && !has_pod(snapshot, "b");
    blockstore_ops()->snapshot_end(snapshot);
    assert_true(unseen);
}

/* More snapshots than there are of the state before: the last ones wait for the state after. A thread of its
 * own, where cmocka's assertions do not work. */
static void *take_many(void *arg)
{
    (void)arg;
    const struct state_store_ops *ops = blockstore_ops();
    struct state_snapshot *all[READERS];
    bool seen = false;
    for (int i = 0; i < READERS; i++) {
        readers_waiting = i;
        all[i] = ops->snapshot_begin(watched);
        bool is_new = ops->snapshot_rv(all[i]) < rv_before;
        assert(is_new || !seen); /* never back again */
        assert(has_pod(all[i], "b") != is_new);
        seen = is_new;
    }
    assert(seen);
    for (int i = 0; i < READERS; i++)
        ops->snapshot_end(all[i]);
    return NULL;
}

/* Whether LMDB has the rewind, and hides it. */
static bool has_unseen(struct blockstore *store)
{
    MDB_envinfo info;
    pthread_mutex_lock(&store->pool_lock);
    mdb_env_info(store->env, &info);
    bool has = store->concealed && info.me_last_txnid > store->shown;
    pthread_mutex_unlock(&store->pool_lock);
    return has;
}

static void look_at_rewind(void)
{
    assert_true(has_unseen(watched));
    pthread_create(&reader, NULL, take_many, NULL);
    usleep(100000);
    assert_true(readers_waiting < READERS - 1);
}

static bool is_there(struct blockstore *store, const char *name, uint64_t *rv)
{
    struct state_snapshot *snapshot = blockstore_ops()->snapshot_begin(store);
    bool has = has_pod(snapshot, name);
    *rv = blockstore_ops()->snapshot_rv(snapshot);
    blockstore_ops()->snapshot_end(snapshot);
    return has;
}

static void test_unseen_until_durable(void **state)
{
    (void)state;
    struct scratch dir;
    struct tx_fixture f;
    struct err err;
    uint64_t rv;
    scratch_make(&dir);
    tx_fixture_begin(&f);
    struct blockstore *store = watched = open_at(dir.path);
    assert_int_equal(store_fixture_genesis(&f, store, &err), 0);
    assert_int_equal(put(&f, store, "a", true, &err), 0);
    assert_true(is_there(store, "a", &rv_before));
    watch = look_at_block;
    assert_int_equal(put(&f, store, "b", true, &err), 0);
    assert_null(watch);
    assert_true(is_there(store, "b", &rv_before));
    watch = look_at_rewind;
    assert_int_equal(blockstore_rewind(store, 1, &err), 0);
    assert_null(watch);
    pthread_join(reader, NULL);
    assert_false(is_there(store, "b", &rv));
    assert_true(rv < rv_before);
    blockstore_close(store);
    scratch_remove(&dir);
    tx_fixture_end(&f);
}

/* ---- a sync that fails ---- */

enum what { BLOCK, TENTATIVE, REWIND, RECORD };

static int fail_at(enum what what, struct tx_fixture *f, struct blockstore *store, struct err *err)
{
    switch (what) {
    case BLOCK:
    case TENTATIVE:
        return put(f, store, "lost", what == TENTATIVE, err);
    case REWIND:
        return blockstore_rewind(store, 1, err);
    default:
        return blockstore_put_record(store, "lost", 4, err);
    }
}

static void check_failure(enum what what, int times, bool checkpoint)
{
    struct scratch dir;
    struct tx_fixture f;
    struct err err;
    buf_auto struct buf before = BUF_INIT, found = BUF_INIT;
    scratch_make(&dir);
    tx_fixture_begin(&f);
    struct blockstore *store = open_at(dir.path);
    assert_int_equal(store_fixture_genesis(&f, store, &err), 0);
    assert_int_equal(put(&f, store, "a", false, &err), 0);
    assert_int_equal(put(&f, store, "b", true, &err), 0);
    if (checkpoint)
        assert_int_equal(blockstore_checkpoint(store, &err), 0);
    assert_int_equal(put(&f, store, "c", true, &err), 0);
    store_steps_show(&before, store);
    failures = times;
    assert_int_equal(fail_at(what, &f, store, &err), ERR_IO);
    failures = 0;
    store_steps_show(&found, store);
    assert_string_equal(buf_str(&found), buf_str(&before));
    /* Nothing is written any more, and reads go on. */
    assert_int_equal(put(&f, store, "d", false, &err), ERR_IO);
    assert_int_equal(blockstore_finalize(store, 2, &err), 0);
    assert_int_equal(blockstore_checkpoint(store, &err), 0);
    store_steps_show(&found, store);
    blockstore_close(store);
    store = open_at(dir.path);
    store_steps_show(&found, store);
    assert_string_equal(buf_str(&found), buf_str(&before));
    assert_int_equal(put(&f, store, "d", false, &err), 0);
    blockstore_close(store);
    scratch_remove(&dir);
    tx_fixture_end(&f);
}

static void test_failed_sync(void **state)
{
    (void)state;
    for (enum what what = BLOCK; what <= RECORD; what++)
        for (int times = 1; times <= 2; times++)
            for (int checkpoint = 0; checkpoint < 2; checkpoint++)
                check_failure(what, times, checkpoint);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_unseen_until_durable),
    cmocka_unit_test(test_failed_sync),
};

UNIT_MAIN(tests)
