/* A chain that goes back: state, indexes, side blocks and orphans, over restarts and after cuts anywhere. */
#include "unit.h"
#include "scratch.h"
#include "store_fixture.h"

#include "base/log.h"
#include "blockstore/blocklog.h"

#include <fcntl.h>
#include <sys/stat.h>

static struct tx_fixture f;
static struct scratch dir;
static struct blockstore *store;

static void open_store(const char *path)
{
    struct blockstore_options options = {.dir = path, .first_segment = 65536};
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
    open_store(dir.path);
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

static void reopen(void)
{
    blockstore_close(store);
    open_store(dir.path);
}

/* One block with one transaction; its id and the block's hash are told where they are asked for. */
static void put(const char *name, const char *value, bool tentative, uint8_t *id, uint8_t *hash)
{
    struct tx *tx = store_fixture_pod(&f, store, name, value, NULL);
    struct err err;
    struct blockstore_head head;
    if (id)
        memcpy(id, tx->id, TX_ID_SIZE);
    if (store_fixture_commit(&f, store, &tx, 1, tentative, &err))
        fail_msg("%s", err.message);
    assert_int_equal(blockstore_head(store, &head, &err), 0);
    if (hash)
        memcpy(hash, head.header.hash, HASH_SIZE);
}

static void rewind_to(uint64_t height)
{
    struct err err;
    if (blockstore_rewind(store, height, &err))
        fail_msg("%s", err.message);
}

static bool has_tx(const uint8_t *id)
{
    struct state_snapshot *snapshot = blockstore_ops()->snapshot_begin(store);
    uint64_t height;
    bool has = blockstore_ops()->find_tx(snapshot, id, &height);
    blockstore_ops()->snapshot_end(snapshot);
    return has;
}

static size_t count_orphans(void)
{
    struct tx *tx;
    struct err err;
    uint64_t number = 0;
    size_t count = 0;
    while (!blockstore_orphan_next(store, number, &number, &tx, &err)) {
        count++;
        tx_free(tx);
    }
    return count;
}

static void expect_dump(const struct buf *expected)
{
    buf_auto struct buf found = BUF_INIT;
    store_fixture_dump(&found, store);
    assert_string_equal(buf_str(&found), buf_str(expected));
}

static void test_there_and_back(void **state)
{
    (void)state;
    buf_auto struct buf before = BUF_INIT, after = BUF_INIT;
    uint8_t ids[4][TX_ID_SIZE], hashes[4][HASH_SIZE];
    struct err err;
    struct block *block;
    uint64_t height;
    uint32_t index;
    put("a", "100", false, NULL, NULL);
    put("b", "20", true, ids[0], hashes[0]);
    store_fixture_dump(&before, store);
    put("a", "150", true, ids[1], hashes[1]);
    put("b", NULL, true, ids[2], hashes[2]);
    put("c", "7", true, ids[3], hashes[3]);
    store_fixture_dump(&after, store);
    assert_int_equal(blockstore_height_of_hash(store, hashes[2], &height, &err), 0);
    assert_int_equal(height, 4);

    rewind_to(2);
    for (int i = 0; i < 2; i++) {
        expect_dump(&before);
        assert_true(has_tx(ids[0]) && !has_tx(ids[1]) && !has_tx(ids[2]) && !has_tx(ids[3]));
        assert_int_equal(blockstore_height_of_tx(store, ids[1], &height, &index, &err), ERR_NOT_FOUND);
        assert_int_equal(blockstore_height_of_hash(store, hashes[1], &height, &err), ERR_NOT_FOUND);
        assert_int_equal(blockstore_header_at(store, 3, &(struct block_header){0}, &err), ERR_NOT_FOUND);
        assert_int_equal(blockstore_side_block(store, hashes[0], &block, &err), ERR_NOT_FOUND);
        for (int side = 1; side < 4; side++) {
            assert_int_equal(blockstore_side_block(store, hashes[side], &block, &err), 0);
            assert_memory_equal(block->txs[0]->id, ids[side], TX_ID_SIZE);
            block_free(block);
        }
        reopen();
    }
    /* The same blocks again: they are side blocks no more, their transactions no orphans. */
    for (int side = 1; side < 4; side++) {
        assert_int_equal(blockstore_side_block(store, hashes[side], &block, &err), 0);
        struct tx *tx = block->txs[0];
        block->header.tx_count = 0;
        f.now_us = block->header.time_us - 1000;
        block_free(block);
        assert_int_equal(store_fixture_commit(&f, store, &tx, 1, true, &err), 0);
        assert_int_equal(count_orphans(), 3 - side);
        assert_int_equal(blockstore_side_block(store, hashes[side], &block, &err), ERR_NOT_FOUND);
    }
    expect_dump(&after);
    struct blockstore_stats stats;
    assert_int_equal(blockstore_stats(store, &stats, &err), 0);
    assert_int_equal(stats.transactions, 5);
    assert_true(stats.orphans == 0 && stats.side_blocks == 0 && stats.final_height == 1);
}

static void test_orphans(void **state)
{
    (void)state;
    uint8_t ids[6][TX_ID_SIZE];
    struct err err;
    struct tx *tx, *two[2];
    uint64_t number = 0;
    put("a", "1", true, NULL, NULL);
    put("x", "1", true, ids[0], NULL);
    two[0] = store_fixture_pod(&f, store, "y", "1", NULL);
    two[1] = store_fixture_pod(&f, store, "z", "1", NULL);
    memcpy(ids[1], two[0]->id, TX_ID_SIZE);
    memcpy(ids[2], two[1]->id, TX_ID_SIZE);
    assert_int_equal(store_fixture_commit(&f, store, two, 2, true, &err), 0);
    put("x", "2", true, ids[3], NULL);
    rewind_to(1);
    put("a", "2", true, ids[4], NULL);
    rewind_to(1);
    for (int round = 0; round < 2; round++) {
        number = 0;
        for (int i = 0; i < 5; i++) {
            assert_int_equal(blockstore_orphan_next(store, number, &number, &tx, &err), 0);
            assert_int_equal(number, i + 1);
            assert_memory_equal(tx->id, ids[i], TX_ID_SIZE);
            assert_non_null(tx->outputs[0].content);
            tx_free(tx);
        }
        assert_int_equal(blockstore_orphan_next(store, number, &number, &tx, &err), ERR_NOT_FOUND);
        reopen();
    }
    /* Done: not given again, but still to be found. */
    assert_int_equal(blockstore_orphan_done(store, 2, &err), 0);
    assert_int_equal(blockstore_orphan_done(store, 2, &err), 0);
    assert_int_equal(blockstore_orphan_done(store, 77, &err), 0);
    number = 1;
    assert_int_equal(blockstore_orphan_next(store, number, &number, &tx, &err), 0);
    assert_int_equal(number, 3);
    tx_free(tx);
    assert_int_equal(blockstore_tx(store, ids[1], &tx, &err), 0);
    assert_memory_equal(tx->id, ids[1], TX_ID_SIZE);
    tx_free(tx);
    /* One comes back in another form, and is an orphan until somebody says that it is taken care of. */
    tx = store_fixture_pod(&f, store, "x", "9", ids[3]);
    memcpy(ids[5], tx->id, TX_ID_SIZE);
    assert_int_equal(store_fixture_commit(&f, store, &tx, 1, true, &err), 0);
    assert_int_equal(count_orphans(), 4);
    for (int round = 0; round < 2; round++) {
        uint64_t height;
        uint32_t index;
        assert_true(has_tx(ids[3]) && has_tx(ids[5]) && !has_tx(ids[0]));
        assert_int_equal(blockstore_height_of_tx(store, ids[3], &height, &index, &err), ERR_NOT_FOUND);
        assert_int_equal(blockstore_height_of_rebased(store, ids[3], &height, &index, &err), 0);
        assert_true(height == 2 && index == 0);
        assert_int_equal(blockstore_height_of_rebased(store, ids[5], &height, &index, &err), ERR_NOT_FOUND);
        assert_int_equal(count_orphans(), 4);
        reopen();
    }
    assert_int_equal(blockstore_orphan_done(store, 4, &err), 0);
    assert_int_equal(count_orphans(), 3);
    rewind_to(1);
    assert_true(!has_tx(ids[3]) && !has_tx(ids[5]));
    assert_int_equal(count_orphans(), 4);
}

/* A transaction index that was written to LMDB is right after a rewind, too. */
static void test_indexed(void **state)
{
    (void)state;
    enum { BLOCKS = 5, EACH = 500 };
    struct tx *txs[EACH];
    static uint8_t ids[BLOCKS][EACH][TX_ID_SIZE];
    struct err err;
    for (int b = 0; b < BLOCKS; b++) {
        for (int i = 0; i < EACH; i++) {
            char name[32];
            snprintf(name, sizeof(name), "p-%d-%d", b, i);
            txs[i] = store_fixture_pod(&f, store, name, "1", NULL);
            memcpy(ids[b][i], txs[i]->id, TX_ID_SIZE);
        }
        assert_int_equal(store_fixture_commit(&f, store, txs, EACH, true, &err), 0);
    }
    rewind_to(2);
    put("other", "1", true, NULL, NULL);
    for (int round = 0; round < 2; round++) {
        for (int b = 0; b < BLOCKS; b++)
            for (int i = 0; i < EACH; i++)
                assert_int_equal(has_tx(ids[b][i]), b < 2);
        reopen();
    }
    assert_int_equal(count_orphans(), 3 * EACH);
    struct tx *tx;
    assert_int_equal(blockstore_tx(store, ids[0][3], &tx, &err), 0);
    tx_free(tx);
    assert_int_equal(blockstore_tx(store, ids[4][3], &tx, &err), 0);
    tx_free(tx);
    uint8_t unknown[TX_ID_SIZE] = {1};
    assert_int_equal(blockstore_tx(store, unknown, &tx, &err), ERR_NOT_FOUND);
}

/* Hashes of blocks that were final at once have no index; those of others do. All are found, no other is. */
static void test_hashes(void **state)
{
    (void)state;
    enum { BLOCKS = 300 };
    static uint8_t hashes[BLOCKS][HASH_SIZE];
    struct err err;
    uint64_t height;
    for (int i = 0; i < BLOCKS; i++) {
        put("a", i % 2 ? "1" : "2", i >= 100 && i < 150, NULL, hashes[i]);
        if (i % 30 == 7)
            assert_int_equal(blockstore_height_of_hash(store, f.genesis->header.parent, &height, &err),
                             ERR_NOT_FOUND);
    }
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < BLOCKS; i++) {
            uint8_t other[HASH_SIZE];
            memcpy(other, hashes[i], HASH_SIZE);
            other[7] ^= 1;
            assert_int_equal(blockstore_height_of_hash(store, hashes[i], &height, &err), 0);
            assert_int_equal(height, i + 1);
            assert_int_equal(blockstore_height_of_hash(store, other, &height, &err), ERR_NOT_FOUND);
        }
        reopen();
    }
}

struct told {
    struct buf text;
};

static void tell(void *arg, const struct state_change *change)
{
    struct told *told = arg;
    buf_printf(&told->text, "%c%s:%.*s<%.*s ", "AMD"[change->type], change -> object.key.name,
               (int)change->object.content_len, change->object.content,
               change->has_old ? (int)change->old.content_len : 0, change->old.content);
}

static void test_undone_is_told(void **state)
{
    (void)state;
    struct told told = {BUF_INIT};
    put("a", "1", true, NULL, NULL);
    put("a", "2", true, NULL, NULL);
    put("b", "3", true, NULL, NULL);
    put("a", NULL, true, NULL, NULL);
    blockstore_on_undone(store, tell, &told);
    rewind_to(1);
    assert_string_equal(buf_str(&told.text), "Aa:2< Db:3<3 Ma:1<2 ");
    buf_free(&told.text);
}

static void test_final(void **state)
{
    (void)state;
    uint8_t low[HASH_SIZE], high[HASH_SIZE], main_[HASH_SIZE];
    struct err err;
    struct block *block;
    put("a", "1", true, NULL, NULL);
    put("b", "1", true, NULL, low);
    rewind_to(1);
    put("c", "1", true, NULL, main_);
    put("d", "1", true, NULL, high);
    rewind_to(2);
    put("e", "1", true, NULL, NULL);
    assert_int_equal(blockstore_finalize(store, 9, &err), ERR_NOT_FOUND);
    assert_int_equal(blockstore_finalize(store, 2, &err), 0);
    assert_int_equal(blockstore_final_height(store), 2);
    assert_int_equal(blockstore_rewind(store, 1, &err), ERR_GONE);
    put("f", "1", true, NULL, NULL);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(blockstore_final_height(store), 2);
        assert_int_equal(blockstore_rewind(store, 1, &err), ERR_GONE);
        assert_int_equal(blockstore_rewind(store, 8, &err), ERR_NOT_FOUND);
        assert_int_equal(blockstore_side_block(store, low, &block, &err), ERR_NOT_FOUND);
        assert_int_equal(blockstore_side_block(store, high, &block, &err), 0);
        block_free(block);
        assert_int_equal(count_orphans(), 2);
        reopen();
    }
    rewind_to(2);
    rewind_to(2);
    assert_int_equal(blockstore_finalize(store, 2, &err), 0);
    /* What became final last is known after a clean end, without a commit. */
    put("g", "1", true, NULL, NULL);
    assert_int_equal(blockstore_finalize(store, 3, &err), 0);
    reopen();
    assert_int_equal(blockstore_final_height(store), 3);
}

static void test_record(void **state)
{
    (void)state;
    struct err err;
    buf_auto struct buf record = BUF_INIT;
    assert_int_equal(blockstore_get_record(store, &record, &err), ERR_NOT_FOUND);
    assert_int_equal(blockstore_put_record(store, "one", 3, &err), 0);
    assert_int_equal(blockstore_put_record(store, "other", 5, &err), 0);
    put("a", "1", true, NULL, NULL);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(blockstore_get_record(store, &record, &err), 0);
        assert_string_equal(buf_str(&record), "other");
        reopen();
    }
    rewind_to(0);
    assert_int_equal(blockstore_get_record(store, &record, &err), 0);
    assert_string_equal(buf_str(&record), "other");
    assert_int_equal(blockstore_put_record(store, "", 0, &err), 0);
    assert_int_equal(blockstore_get_record(store, &record, &err), 0);
    assert_int_equal(record.len, 0);
    mem_auto char *large = mem_zalloc(2u << 20);
    assert_int_equal(blockstore_put_record(store, large, 2u << 20, &err), ERR_TOO_LARGE);
}

/* ---- cuts ---- */

/* What a store shows after each record of a log of all kinds. */
enum { STEPS = 14 };
struct recorded {
    struct buf shown[STEPS + 1];
    size_t ends[STEPS + 1];
    size_t count;
};

static void show(struct buf *out)
{
    buf_auto struct buf record = BUF_INIT;
    struct err err;
    struct tx *tx;
    uint64_t number = 0;
    store_fixture_dump(out, store);
    if (!blockstore_get_record(store, &record, &err))
        buf_printf(out, "record %s\n", buf_str(&record));
    while (!blockstore_orphan_next(store, number, &number, &tx, &err)) {
        buf_printf(out, "orphan %llu %02x%02x\n", (unsigned long long)number, tx->id[0], tx->id[1]);
        tx_free(tx);
    }
    struct blockstore_stats stats;
    assert_int_equal(blockstore_stats(store, &stats, &err), 0);
    buf_printf(out, "%llu side blocks, %llu transactions\n", (unsigned long long)stats.side_blocks,
               (unsigned long long)stats.transactions);
}

static void step(struct recorded *r)
{
    show(&r->shown[r->count++]);
}

static void record_steps(struct recorded *r)
{
    struct err err;
    step(r);
    put("a", "1", false, NULL, NULL), step(r);
    put("a", "2", true, NULL, NULL), step(r);
    put("b", "3", true, NULL, NULL), step(r);
    assert_int_equal(blockstore_put_record(store, "lock", 4, &err), 0), step(r);
    put("a", NULL, true, NULL, NULL), step(r);
    rewind_to(2), step(r);
    put("c", "4", true, NULL, NULL), step(r);
    assert_int_equal(blockstore_put_record(store, "votes", 5, &err), 0), step(r);
    rewind_to(1), step(r);
    put("d", "5", true, NULL, NULL), step(r);
    assert_int_equal(blockstore_finalize(store, 2, &err), 0);
    put("d", "6", true, NULL, NULL), step(r);
    put("e", "7", true, NULL, NULL), step(r);
    rewind_to(3), step(r);
    put("e", "8", false, NULL, NULL), step(r);
    assert_int_equal(r->count, STEPS + 1);
}

static int note_end(void *arg, const struct blocklog_record *record, struct err *err)
{
    (void)err;
    struct recorded *r = arg;
    assert_true(record->seq <= STEPS && record->pos.segment == 1);
    r->ends[record->seq] = record->pos.offset + BLOCKLOG_FRAME_SIZE + record->len;
    r->count++;
    return 0;
}

static void find_ends(struct recorded *r)
{
    struct blocklog *log;
    struct err err;
    struct blocklog_options options = {.dir = dir.path, .read_only = true};
    r->count = 0;
    assert_int_equal(blocklog_open(&log, &options, &err), 0);
    assert_int_equal(blocklog_recover(log, (struct blocklog_pos){0, 0}, 0, note_end, r, &err), 0);
    blocklog_close(log);
    assert_int_equal(r->count, STEPS + 1);
}

static void read_file(struct buf *out, const char *path)
{
    int fd = open(path, O_RDONLY);
    struct stat st = {0};
    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    buf_clear(out);
    buf_reserve(out, (size_t)st.st_size + 1);
    assert_int_equal(read(fd, out->data, (size_t)st.st_size), st.st_size);
    out->len = (size_t)st.st_size;
    close(fd);
}

static void write_file(const char *path, const void *bytes, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), (ssize_t)len);
    close(fd);
}

static void remove_all(const struct scratch *cut)
{
    static const char *const names[] = {"data.mdb", "lock.mdb", "checkpoint", "log-00000001.seg"};
    for (size_t i = 0; i < 4; i++)
        unlink(scratch_file(cut, names[i]));
}

static void test_cut_at_every_byte(void **state)
{
    (void)state;
    static struct recorded r;
    struct scratch cut;
    buf_auto struct buf log = BUF_INIT, found = BUF_INIT;
    record_steps(&r);
    blockstore_close(store);
    find_ends(&r);
    read_file(&log, scratch_file(&dir, "log-00000001.seg"));
    scratch_make_in_memory(&cut);
    const char *every = getenv("KATENA_TEST_EVERY_BYTE");
    size_t whole = 0, stride = every ? 1 : 7;
    for (size_t at = r.ends[0]; at <= r.ends[STEPS]; at++) {
        bool edge = false;
        while (whole <= STEPS && r.ends[whole] <= at)
            whole++, edge = true;
        if (!edge && at % stride && at + 1 != r.ends[whole])
            continue;
        remove_all(&cut);
        write_file(scratch_file(&cut, "log-00000001.seg"), log.data, at);
        open_store(cut.path);
        show(&found);
        assert_string_equal(buf_str(&found), buf_str(&r.shown[whole - 1]));
        blockstore_close(store);
    }
    scratch_remove(&cut);
    for (size_t i = 0; i <= STEPS; i++)
        buf_free(&r.shown[i]);
    open_store(dir.path);
}

/* LMDB as it was after any record, the log as it was after any later one: a process that was killed is at
 * most one behind, a machine that lost power as many as it likes. */
static void test_replay_from_anywhere(void **state)
{
    (void)state;
    static struct recorded r;
    struct scratch cut;
    buf_auto struct buf log = BUF_INIT, found = BUF_INIT;
    struct err err;
    record_steps(&r);
    blockstore_close(store);
    find_ends(&r);
    read_file(&log, scratch_file(&dir, "log-00000001.seg"));
    scratch_make_in_memory(&cut);
    for (size_t had = 0; had <= STEPS; had++)
        for (size_t has = had; has <= STEPS; has++) {
            remove_all(&cut);
            write_file(scratch_file(&cut, "log-00000001.seg"), log.data, r.ends[had]);
            open_store(cut.path);
            assert_int_equal(blockstore_checkpoint(store, &err), 0);
            blockstore_close(store);
            write_file(scratch_file(&cut, "log-00000001.seg"), log.data, r.ends[has]);
            open_store(cut.path);
            show(&found);
            assert_string_equal(buf_str(&found), buf_str(&r.shown[has]));
            blockstore_close(store);
        }
    /* A log that lost its newest record, of whatever type, while LMDB has it. */
    for (size_t had = 1; had <= STEPS; had++) {
        remove_all(&cut);
        write_file(scratch_file(&cut, "log-00000001.seg"), log.data, r.ends[had]);
        open_store(cut.path);
        blockstore_close(store);
        write_file(scratch_file(&cut, "log-00000001.seg"), log.data, r.ends[had - 1]);
        struct blockstore_options options = {.dir = cut.path};
        assert_int_equal(blockstore_open(&store, &options, &err), ERR_CORRUPT);
        assert_non_null(strstr(err.message, "older than the state"));
    }
    scratch_remove(&cut);
    for (size_t i = 0; i <= STEPS; i++)
        buf_free(&r.shown[i]);
    open_store(dir.path);
}

/* A data.mdb that is cut off anywhere is noticed before LMDB reads what is not there. */
static void test_state_cut_off(void **state)
{
    (void)state;
    buf_auto struct buf shown = BUF_INIT, found = BUF_INIT;
    log_set_level(LOG_LEVEL_ERROR);
    for (int i = 0; i < 40; i++)
        put(i % 3 ? "a" : "b", "1", i % 2, NULL, NULL);
    show(&shown);
    struct stat st;
    for (int i = 0; i < 12; i++) {
        blockstore_close(store);
        assert_int_equal(stat(scratch_file(&dir, "data.mdb"), &st), 0);
        assert_int_equal(truncate(scratch_file(&dir, "data.mdb"), i ? st.st_size - i * 3000 : 0), 0);
        open_store(dir.path);
        show(&found);
        assert_string_equal(buf_str(&found), buf_str(&shown));
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(test_there_and_back, setup, teardown),
    cmocka_unit_test_setup_teardown(test_orphans, setup, teardown),
    cmocka_unit_test_setup_teardown(test_indexed, setup, teardown),
    cmocka_unit_test_setup_teardown(test_hashes, setup, teardown),
    cmocka_unit_test_setup_teardown(test_undone_is_told, setup, teardown),
    cmocka_unit_test_setup_teardown(test_final, setup, teardown),
    cmocka_unit_test_setup_teardown(test_record, setup, teardown),
    cmocka_unit_test_setup_teardown(test_cut_at_every_byte, setup, teardown),
    cmocka_unit_test_setup_teardown(test_replay_from_anywhere, setup, teardown),
    cmocka_unit_test_setup_teardown(test_state_cut_off, setup, teardown),
};

UNIT_MAIN(tests)
