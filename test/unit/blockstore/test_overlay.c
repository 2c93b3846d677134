/*
 * Blocks that are in the log and not in LMDB yet: whatever is read while they wait is the same as after. A
 * test keeps them waiting by holding the lock that a transaction of LMDB needs.
 */
#include "unit.h"
#include "scratch.h"
#include "store_steps.h"

#include "blockstore/blockstore_internal.h"
#include "blockstore/lmdb_key.h"

#include <sys/wait.h>
#include <unistd.h>

static struct tx_fixture f;
static struct scratch dir;
static struct blockstore *store;

static void open_store(void)
{
    struct blockstore_options options = {.dir = dir.path};
    struct err err;
    if (blockstore_open(&store, &options, &err))
        fail_msg("%s", err.message);
}

static int setup(void **state)
{
    (void)state;
    struct err err;
    tx_fixture_begin(&f);
    scratch_make_in_memory(&dir);
    open_store();
    assert_int_equal(store_fixture_genesis(&f, store, &err), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    blockstore_close(store);
    scratch_remove(&dir);
    tx_fixture_end(&f);
    return 0;
}

static void hold(void)
{
    struct err err;
    assert_int_equal(lmdb_batch_settle(store, &err), 0);
    pthread_mutex_lock(&store->commit_lock);
}

static void let_go(void)
{
    struct err err;
    pthread_mutex_unlock(&store->commit_lock);
    assert_int_equal(lmdb_batch_settle(store, &err), 0);
    assert_null(store->overlay);
}

static void put(const char *name, const char *value, bool tentative)
{
    struct err err;
    struct tx *tx = store_fixture_pod(&f, store, name, value, NULL);
    if (store_fixture_commit(&f, store, &tx, 1, tentative, &err))
        fail_msg("%s", err.message);
}

/* The names that a walk meets, in its order. */
static void names(struct buf *out, struct state_snapshot *snapshot, const char *prefix, const char *start)
{
    struct resource_key from = tx_fixture_key_of("pods", "default", start ? start : prefix);
    struct resource_key of = tx_fixture_key_of("pods", "default", prefix);
    uint8_t start_bytes[LMDB_KEY_MAX], prefix_bytes[LMDB_KEY_MAX];
    size_t start_len = lmdb_key_of(start_bytes, &from), prefix_len = lmdb_key_of(prefix_bytes, &of);
    struct state_iter *iter = blockstore_ops()->iter_begin(snapshot, prefix_bytes, prefix_len,
                                                           start ? start_bytes : NULL, start ? start_len : 0);
    struct state_object object;
    buf_clear(out);
    while (blockstore_ops()->iter_next(iter, &object))
        buf_printf(out, "%s=%.*s ", object.key.name, (int)object.content_len, object.content);
    blockstore_ops()->iter_end(iter);
}

static void expect_names(const char *prefix, const char *start, const char *expected)
{
    buf_auto struct buf found = BUF_INIT;
    struct state_snapshot *snapshot = blockstore_ops()->snapshot_begin(store);
    names(&found, snapshot, prefix, start);
    blockstore_ops()->snapshot_end(snapshot);
    assert_string_equal(buf_str(&found), expected);
}

static void expect_all(void)
{
    expect_names("", NULL, "a=1 b=7 bb=2 c=3 d=9 e=1 ");
    expect_names("b", NULL, "b=7 bb=2 ");
    expect_names("", "bb", "bb=2 c=3 d=9 e=1 ");
    expect_names("", "bbb", "c=3 d=9 e=1 ");
    expect_names("", "z", "");
    expect_names("f", NULL, "");
}

static void test_walks_merge(void **state)
{
    (void)state;
    put("a", "1", false);
    put("b", "1", false);
    put("c", "1", false);
    put("d", "1", false);
    put("f", "1", false);
    hold();
    expect_names("", NULL, "a=1 b=1 c=1 d=1 f=1 ");
    put("b", "7", false);
    put("bb", "2", false);
    put("c", "2", false);
    put("c", NULL, false);
    put("c", "3", false);
    put("d", NULL, false);
    put("d", "9", false);
    put("e", "1", false);
    put("f", NULL, false);
    put("g", "1", false);
    put("g", NULL, false);
    expect_all();
    let_go();
    expect_all();
}

/* Claims, index terms, the head, blocks by height, hash, time and transaction. */
static void show(struct buf *out)
{
    struct blockstore_head head;
    struct err err;
    store_fixture_dump(out, store);
    assert_int_equal(blockstore_head(store, &head, &err), 0);
    for (uint64_t height = 0; height <= head.header.height + 1; height++) {
        struct block_header header;
        struct block *block = NULL;
        uint64_t by_hash, by_time, by_tx;
        uint32_t index;
        int rc = blockstore_header_at(store, height, &header, &err);
        assert_int_equal(rc, height <= head.header.height ? 0 : ERR_NOT_FOUND);
        if (rc)
            continue;
        assert_int_equal(blockstore_height_of_hash(store, header.hash, &by_hash, &err), 0);
        assert_int_equal(by_hash, height);
        assert_int_equal(blockstore_height_at_time(store, header.time_us, &by_time, &err), 0);
        assert_int_equal(by_time, height);
        assert_int_equal(blockstore_block_at(store, height, &block, &err), 0);
        for (uint32_t i = 0; i < block->header.tx_count; i++) {
            assert_int_equal(blockstore_height_of_tx(store, block->txs[i]->id, &by_tx, &index, &err), 0);
            assert_true(by_tx == height && index == i);
        }
        buf_printf(out, "%llu %02x%02x\n", (unsigned long long)height, header.hash[0], header.hash[1]);
        block_free(block);
    }
}

static void test_reads_are_the_same(void **state)
{
    (void)state;
    buf_auto struct buf before = BUF_INIT, after = BUF_INIT;
    for (uint64_t seed = 1, round = 0; round < 20; round++) {
        struct err err;
        uint32_t count = 1 + store_steps_random(&seed) % 12;
        hold();
        for (uint32_t i = 0; i < count; i++)
            assert_int_equal(store_steps_commit(&f, store, &seed, &err), 0);
        assert_non_null(store->overlay);
        show(&before);
        let_go();
        show(&after);
        assert_string_equal(buf_str(&before), buf_str(&after));
    }
}

static void test_a_snapshot_stays(void **state)
{
    (void)state;
    buf_auto struct buf found = BUF_INIT;
    put("a", "1", true);
    hold();
    put("b", "1", true);
    struct state_snapshot *snapshot = blockstore_ops()->snapshot_begin(store);
    uint64_t rv = blockstore_ops()->snapshot_rv(snapshot);
    put("a", NULL, true);
    let_go();
    put("b", "2", true);
    struct err err;
    assert_int_equal(blockstore_rewind(store, 1, &err), 0);
    names(&found, snapshot, "", NULL);
    assert_string_equal(buf_str(&found), "a=1 b=1 ");
    assert_int_equal(blockstore_ops()->snapshot_rv(snapshot), rv);
    blockstore_ops()->snapshot_end(snapshot);
    expect_names("", NULL, "a=1 ");
}

/* Ids leave memory for LMDB's index while somebody reads from an older state. */
static void test_ids_move_to_the_index(void **state)
{
    (void)state;
    enum { COUNT = 1000 };
    struct err err;
    uint64_t height = 0;
    uint8_t id[TX_ID_SIZE];
    struct tx *tx = store_fixture_pod(&f, store, "first", "1", NULL);
    memcpy(id, tx->id, TX_ID_SIZE);
    assert_int_equal(store_fixture_commit(&f, store, &tx, 1, true, &err), 0);
    struct state_snapshot *snapshot = blockstore_ops()->snapshot_begin(store);
    for (int block = 0; block < 4; block++) {
        struct tx *txs[COUNT];
        for (int i = 0; i < COUNT; i++) {
            char name[32];
            snprintf(name, sizeof(name), "p%d-%d", block, i);
            txs[i] = store_fixture_pod(&f, store, name, "1", NULL);
        }
        assert_int_equal(store_fixture_commit(&f, store, txs, COUNT, true, &err), 0);
        assert_int_equal(lmdb_batch_settle(store, &err), 0);
    }
    uint32_t index;
    assert_false(recent_find(store->recent, id, RECENT_TX, &height, &index));
    assert_true(blockstore_ops()->find_tx(snapshot, id, &height));
    assert_int_equal(height, 1);
    blockstore_ops()->snapshot_end(snapshot);
}

/* What waits is in the log: a process that is killed has lost nothing. */
static void test_killed_while_they_wait(void **state)
{
    (void)state;
    buf_auto struct buf before = BUF_INIT, after = BUF_INIT;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    blockstore_close(store);
    pid_t pid = fork();
    if (pid == 0) {
        open_store();
        hold();
        for (int i = 0; i < 20; i++)
            put(i % 2 ? "a" : "b", i % 7 == 3 ? NULL : "1", i % 3 > 0);
        show(&before);
        if (write(ends[1], before.data, before.len) != (ssize_t)before.len)
            _exit(1);
        _exit(0);
    }
    close(ends[1]);
    char part[4096];
    for (ssize_t n; (n = read(ends[0], part, sizeof(part))) > 0;)
        buf_append(&before, part, (size_t)n);
    close(ends[0]);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    open_store();
    show(&after);
    assert_string_equal(buf_str(&before), buf_str(&after));
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(test_walks_merge, setup, teardown),
    cmocka_unit_test_setup_teardown(test_reads_are_the_same, setup, teardown),
    cmocka_unit_test_setup_teardown(test_a_snapshot_stays, setup, teardown),
    cmocka_unit_test_setup_teardown(test_ids_move_to_the_index, setup, teardown),
    cmocka_unit_test_setup_teardown(test_killed_while_they_wait, setup, teardown),
};

UNIT_MAIN(tests)
