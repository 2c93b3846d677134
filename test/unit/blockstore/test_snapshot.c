/* Snapshots: what comes out at the other end is the state at the final block, and nothing else is taken. */
#include "store_setup.h"

#include "blockstore/snapshot.h"

#include <fcntl.h>

static void put(const char *name, const char *value, bool tentative, uint8_t *id)
{
    struct tx *tx = store_fixture_pod(&f, store, name, value, NULL);
    struct err err;
    if (id)
        memcpy(id, tx->id, TX_ID_SIZE);
    if (store_fixture_commit(&f, store, &tx, 1, tentative, &err))
        fail_msg("%s", err.message);
}

static bool knows(struct state_snapshot *snapshot, const uint8_t *id)
{
    uint64_t height;
    return blockstore_ops()->find_tx(snapshot, id, &height);
}

/* Many objects of some size, so that there are several chunks. */
static void fill(int objects, size_t size)
{
    mem_auto char *value = mem_zalloc(size + 1);
    struct err err;
    for (int done = 0; done < objects;) {
        struct tx *txs[50];
        int n = 0;
        for (; n < 50 && done < objects; n++, done++) {
            char name[32];
            snprintf(name, sizeof(name), "fill-%d", done * 7919 % 10007);
            memset(value, 'a' + done % 26, size);
            txs[n] = store_fixture_pod(&f, store, name, value, NULL);
        }
        assert_int_equal(store_fixture_commit(&f, store, txs, (size_t)n, false, &err), 0);
    }
}

struct carried {
    struct buf manifest;
    struct buf *chunks;
    size_t count;
};

static void carry(struct carried *out)
{
    struct blockstore_export *export;
    struct err err;
    memset(out, 0, sizeof(*out));
    if (blockstore_export_begin(store, &export, &err))
        fail_msg("%s", err.message);
    assert_int_equal(blockstore_export_manifest(export, &out->manifest, &err), 0);
    out->count = blockstore_export_chunks(export);
    out->chunks = mem_calloc(out->count + 1, sizeof(*out->chunks));
    for (size_t i = out->count; i-- > 0;)
        assert_int_equal(blockstore_export_chunk(export, i, &out->chunks[i], &err), 0);
    assert_int_equal(blockstore_export_chunk(export, out->count, &out->manifest, &err), ERR_NOT_FOUND);
    blockstore_export_end(export);
}

static void carried_free(struct carried *c)
{
    buf_free(&c->manifest);
    for (size_t i = 0; i < c->count; i++)
        buf_free(&c->chunks[i]);
    free(c->chunks);
}

static struct blockstore_import *begin(const struct carried *c)
{
    struct blockstore_import *import;
    struct err err;
    if (blockstore_import_begin(&import, other.path, c->manifest.data, c->manifest.len,
                                f.genesis->header.hash, &err))
        fail_msg("%s", err.message);
    assert_int_equal(blockstore_import_chunks(import), c->count);
    return import;
}

static int finish(struct blockstore_import *import, const struct carried *c, struct err *err)
{
    for (size_t i = 0; i < c->count; i++)
        if (!blockstore_import_has(import, i))
            assert_int_equal(blockstore_import_chunk(import, i, c->chunks[i].data, c->chunks[i].len, err), 0);
    return blockstore_import_finish(import, err);
}

static void import_all(const struct carried *c)
{
    struct err err;
    if (finish(begin(c), c, &err))
        fail_msg("%s", err.message);
}

static void expect_imported(const struct buf *expected)
{
    buf_auto struct buf found = BUF_INIT;
    struct blockstore *imported = open_at(other.path);
    store_fixture_dump(&found, imported);
    assert_string_equal(buf_str(&found), buf_str(expected));
    blockstore_close(imported);
}

static void test_there(void **state)
{
    (void)state;
    buf_auto struct buf expected = BUF_INIT;
    struct carried c;
    uint8_t id[TX_ID_SIZE], late[TX_ID_SIZE];
    put("a", "100", false, NULL);
    put("b", "20", false, id);
    fill(900, 3000);
    put("a", "150", false, NULL);
    store_fixture_dump(&expected, store);
    struct blockstore_head head, found;
    struct err err;
    assert_int_equal(blockstore_head(store, &head, &err), 0);
    carry(&c);
    assert_true(c.count >= 3);
    size_t largest = 0;
    for (size_t i = 0; i < c.count; i++)
        largest = c.chunks[i].len > largest ? c.chunks[i].len : largest;
    assert_true(largest < BLOCKSTORE_CHUNK_BYTES + 8192);
    import_all(&c);
    expect_imported(&expected);
    expect_imported(&expected);

    struct blockstore *imported = open_at(other.path);
    assert_int_equal(blockstore_head(imported, &found, &err), 0);
    assert_memory_equal(found.header.hash, head.header.hash, HASH_SIZE);
    assert_int_equal(blockstore_final_height(imported), head.header.height);
    uint64_t height;
    uint32_t index;
    struct block *block;
    struct tx *tx;
    struct block_header header;
    assert_int_equal(blockstore_height_of_tx(imported, id, &height, &index, &err), 0);
    assert_true(height == 2 && index == 0);
    assert_int_equal(blockstore_tx(imported, id, &tx, &err), ERR_GONE);
    assert_int_equal(blockstore_block_at(imported, height, &block, &err), ERR_GONE);
    assert_int_equal(blockstore_header_at(imported, 0, &header, &err), 0);
    assert_memory_equal(header.hash, f.genesis->header.hash, HASH_SIZE);
    assert_int_equal(blockstore_height_of_hash(imported, head.header.hash, &height, &err), 0);
    assert_int_equal(height, head.header.height);
    struct blockstore_stats stats, before;
    assert_int_equal(blockstore_stats(imported, &stats, &err), 0);
    assert_int_equal(blockstore_stats(store, &before, &err), 0);
    assert_int_equal(stats.base_height, head.header.height);
    assert_int_equal(stats.oldest_body, head.header.height + 1);
    assert_true(stats.transactions == before.transactions && stats.objects == before.objects);

    /* It goes on, and back to the snapshot's block, no further. */
    struct blockstore *kept = store;
    store = imported;
    put("b", NULL, true, late);
    put("c", "3", true, NULL);
    assert_int_equal(blockstore_block_at(store, head.header.height + 1, &block, &err), 0);
    assert_memory_equal(block->txs[0]->id, late, TX_ID_SIZE);
    block_free(block);
    buf_auto struct buf record = BUF_INIT;
    assert_int_equal(blockstore_undo_at(store, block_rv(f.now_us - 1000, 0), &record, &err), 0);
    blockstore_close(store);
    store = open_at(other.path);
    assert_int_equal(blockstore_stats(store, &stats, &err), 0);
    assert_int_equal(stats.oldest_body, head.header.height + 1);
    assert_int_equal(blockstore_rewind(store, head.header.height, &err), 0);
    assert_int_equal(blockstore_rewind(store, head.header.height - 1, &err), ERR_GONE);
    blockstore_close(store);
    store = kept;
    expect_imported(&expected);
    carried_free(&c);
}

/* Blocks above the final one are not in it, whatever they did. */
static void test_of_the_final_block(void **state)
{
    (void)state;
    buf_auto struct buf expected = BUF_INIT;
    struct carried c;
    struct err err;
    uint8_t last[TX_ID_SIZE], later[TX_ID_SIZE];
    put("a", "1", false, NULL);
    put("m", "2", true, NULL);
    put("z", "3", true, last);
    assert_int_equal(blockstore_finalize(store, 3, &err), 0);
    store_fixture_dump(&expected, store);
    put("0-first", "4", true, later);
    put("a", "5", true, NULL);
    put("a", "6", true, NULL);
    put("m", NULL, true, NULL);
    put("zz-last", "7", true, NULL);
    put("b", "8", true, NULL);
    put("b", NULL, true, NULL);
    put("z", NULL, true, NULL);
    carry(&c);
    import_all(&c);
    expect_imported(&expected);
    struct blockstore *imported = open_at(other.path);
    struct state_snapshot *snapshot = blockstore_ops()->snapshot_begin(imported);
    assert_true(knows(snapshot, last) && !knows(snapshot, later));
    blockstore_ops()->snapshot_end(snapshot);
    struct blockstore_stats stats;
    assert_int_equal(blockstore_stats(imported, &stats, &err), 0);
    assert_int_equal(stats.transactions, 3);
    blockstore_close(imported);
    carried_free(&c);
}

/* All of the state changed by blocks that are not final; and a state without objects. */
static void test_all_or_nothing_laid_over(void **state)
{
    (void)state;
    buf_auto struct buf expected = BUF_INIT;
    struct carried c;
    struct err err;
    store_fixture_dump(&expected, store);
    put("a", "1", true, NULL);
    put("b", "1", true, NULL);
    carry(&c);
    assert_int_equal(c.count, 0);
    import_all(&c);
    expect_imported(&expected);
    carried_free(&c);
    scratch_remove(&other);
    assert_int_equal(blockstore_finalize(store, 2, &err), 0);
    store_fixture_dump(&expected, store);
    put("a", NULL, true, NULL);
    put("b", NULL, true, NULL);
    carry(&c);
    assert_int_equal(c.count, 1);
    import_all(&c);
    expect_imported(&expected);
    carried_free(&c);
}

static void test_goes_on_after_a_restart(void **state)
{
    (void)state;
    buf_auto struct buf expected = BUF_INIT;
    struct carried c, next;
    struct err err;
    fill(1500, 3000);
    carry(&c);
    struct blockstore_import *import = begin(&c);
    for (size_t i = 0; i < c.count; i++)
        if (i != 1)
            assert_int_equal(blockstore_import_chunk(import, i, c.chunks[i].data, c.chunks[i].len, &err), 0);
    struct blockstore_import *twice;
    assert_int_equal(blockstore_import_begin(&twice, other.path, c.manifest.data, c.manifest.len,
                                             f.genesis->header.hash, &err),
                     ERR_CONFLICT);
    blockstore_import_abort(import);
    /* Now of a later block: most chunks are the same. */
    put("fill-1", "9", false, NULL);
    store_fixture_dump(&expected, store);
    carry(&next);
    import = begin(&next);
    size_t has = 0;
    for (size_t i = 0; i < next.count; i++)
        has += blockstore_import_has(import, i);
    assert_true(has + 3 >= next.count && has < next.count);
    assert_int_equal(finish(import, &next, &err), 0);
    expect_imported(&expected);
    assert_int_equal(blockstore_import_begin(&twice, other.path, c.manifest.data, c.manifest.len,
                                             f.genesis->header.hash, &err),
                     ERR_EXISTS);
    carried_free(&c);
    carried_free(&next);
}

/* The process ends between any two of the steps that make the store the directory's. */
static void test_ends_while_moving(void **state)
{
    (void)state;
    static const char *const names[] = {"checkpoint", "data.mdb", "log-00000001.seg"};
    buf_auto struct buf expected = BUF_INIT;
    struct carried c;
    put("a", "1", false, NULL);
    store_fixture_dump(&expected, store);
    carry(&c);
    for (size_t moved = 0; moved <= 3; moved++) {
        import_all(&c);
        mkdir(scratch_file(&other, "ready"), 0700);
        for (size_t i = moved; i < 3; i++) {
            char to[64];
            snprintf(to, sizeof(to), "ready/%s", names[i]);
            assert_int_equal(rename(scratch_file(&other, names[i]), scratch_file(&other, to)), 0);
        }
        expect_imported(&expected);
        assert_int_not_equal(access(scratch_file(&other, "ready"), F_OK), 0);
        scratch_remove(&other);
    }
    carried_free(&c);
}

/* What cannot be made again from the log is not taken for a chain that has not begun, nor thrown away. */
static void test_lost_state(void **state)
{
    (void)state;
    struct carried c;
    struct err err;
    struct blockstore *found;
    struct blockstore_options options = {.dir = other.path};
    put("a", "1", false, NULL);
    carry(&c);
    for (int i = 0; i < 6; i++) {
        import_all(&c);
        if (i % 2)
            blockstore_close(open_at(other.path));
        if (i / 2 == 0)
            unlink(scratch_file(&other, "data.mdb"));
        else if (i / 2 == 1)
            assert_int_equal(truncate(scratch_file(&other, "data.mdb"), 8192), 0);
        else
            assert_int_equal(truncate(scratch_file(&other, "checkpoint"), 100), 0);
        for (int round = 0; round < 2; round++) {
            assert_int_equal(blockstore_open(&found, &options, &err), ERR_CORRUPT);
            assert_non_null(strstr(err.message, "join anew"));
        }
        if (i / 2)
            assert_int_equal(access(scratch_file(&other, "data.mdb"), F_OK), 0);
        scratch_remove(&other);
    }
    carried_free(&c);
}

/* Whether the store that is made of a snapshot refuses to have these transactions again. */
static void expect_known(const uint8_t ids[][TX_ID_SIZE], size_t count, size_t known)
{
    struct carried c;
    carry(&c);
    import_all(&c);
    carried_free(&c);
    struct blockstore *imported = open_at(other.path);
    struct state_snapshot *snapshot = blockstore_ops()->snapshot_begin(imported);
    for (size_t i = 0; i < count; i++)
        if (knows(snapshot, ids[i]) != (i >= count - known))
            fail_msg("transaction %zu of %zu is %s", i, count, i >= count - known ? "not known" : "known");
    blockstore_ops()->snapshot_end(snapshot);
    blockstore_close(imported);
    scratch_remove(&other);
    scratch_make_in_memory(&other);
}

/* All nodes know the transactions of the last BLOCKSTORE_SNAPSHOT_REPEATS blocks, however old they are, and
 * also when who gives the snapshot does not have their contents any more. */
static void test_ids(void **state)
{
    (void)state;
    static uint8_t ids[BLOCKSTORE_SNAPSHOT_REPEATS + 100][TX_ID_SIZE];
    static char value[3000];
    const size_t count = sizeof(ids) / sizeof(ids[0]);
    struct blockstore_options options = {.dir = dir.path, .first_segment = 65536, .retention_us = 20000000};
    struct blockstore_stats stats = {0};
    struct err err;
    memset(value, 'v', sizeof(value) - 1);
    for (size_t i = 0; i < count; i++) {
        f.now_us += 10000000;
        put("a", value, false, ids[i]);
    }
    expect_known(ids, count, BLOCKSTORE_SNAPSHOT_REPEATS);
    blockstore_close(store);
    assert_int_equal(blockstore_open(&store, &options, &err), 0);
    size_t more = 0;
    for (; more < 90 && stats.oldest_body < 200; more++) {
        f.now_us += 10000000;
        put("a", value, false, NULL);
        assert_int_equal(blockstore_checkpoint(store, &err), 0);
        usleep(2000);
        assert_int_equal(blockstore_stats(store, &stats, &err), 0);
    }
    assert_true(stats.oldest_body >= 200);
    expect_known(ids, count, BLOCKSTORE_SNAPSHOT_REPEATS - more);
}

/* A snapshot of a store that was made of one: what it does not have itself is handed on. */
static void test_second_hand(void **state)
{
    (void)state;
    buf_auto struct buf expected = BUF_INIT;
    struct carried c;
    struct err err;
    uint8_t first[TX_ID_SIZE], second[TX_ID_SIZE];
    put("a", "1", false, first);
    carry(&c);
    import_all(&c);
    carried_free(&c);
    blockstore_close(store);
    store = open_at(other.path);
    put("b", "1", false, second);
    store_fixture_dump(&expected, store);
    carry(&c);
    struct scratch third;
    scratch_make_in_memory(&third);
    struct blockstore_import *import;
    assert_int_equal(blockstore_import_begin(&import, third.path, c.manifest.data, c.manifest.len,
                                             f.genesis->header.hash, &err),
                     0);
    assert_int_equal(finish(import, &c, &err), 0);
    struct blockstore *imported = open_at(third.path);
    struct state_snapshot *snapshot = blockstore_ops()->snapshot_begin(imported);
    assert_true(knows(snapshot, first) && knows(snapshot, second));
    blockstore_ops()->snapshot_end(snapshot);
    buf_auto struct buf found = BUF_INIT;
    store_fixture_dump(&found, imported);
    assert_string_equal(buf_str(&found), buf_str(&expected));
    blockstore_close(imported);
    scratch_remove(&third);
    carried_free(&c);
}

/* Another state than the header names: every byte of a chunk matters, or is not taken over. */
static void test_wrong_state(void **state)
{
    (void)state;
    struct carried c;
    struct err err;
    put("a", "12", false, NULL);
    put("b", "34", false, NULL);
    carry(&c);
    assert_int_equal(c.count, 1);
    buf_auto struct buf expected = BUF_INIT, found = BUF_INIT;
    store_fixture_dump(&expected, store);
    size_t taken = 0;
    for (size_t at = 0; at < c.chunks[0].len; at += 3) {
        struct snapshot_manifest m;
        buf_auto struct buf forged = BUF_INIT;
        c.chunks[0].data[at] ^= 1;
        assert_int_equal(snapshot_manifest_decode(&m, c.manifest.data, c.manifest.len, &err), 0);
        hash_content(m.chunks[0].hash, c.chunks[0].data, c.chunks[0].len);
        snapshot_manifest_encode(&forged, &m);
        snapshot_manifest_free(&m);
        struct carried bad = {forged, c.chunks, 1};
        int rc = finish(begin(&bad), &bad, &err);
        c.chunks[0].data[at] ^= 1;
        if (rc) {
            assert_int_equal(rc, ERR_CORRUPT);
            assert_int_not_equal(access(scratch_file(&other, "data.mdb"), F_OK), 0);
        } else {
            /* A hash that was made anew. */
            taken++;
            struct blockstore *imported = open_at(other.path);
            store_fixture_dump(&found, imported);
            assert_string_equal(buf_str(&found), buf_str(&expected));
            blockstore_close(imported);
        }
        scratch_remove(&other);
    }
    assert_true(taken > 0 && taken <= 2 * 64 / 3 + 2); /* content and entry hashes of two records */
    carried_free(&c);
}

static void expect_refused(const struct snapshot_manifest *m, const char *message)
{
    buf_auto struct buf forged = BUF_INIT;
    struct blockstore_import *import;
    struct err err;
    snapshot_manifest_encode(&forged, m);
    assert_int_equal(
        blockstore_import_begin(&import, other.path, forged.data, forged.len, f.genesis->header.hash, &err),
        ERR_CORRUPT);
    if (!strstr(err.message, message))
        fail_msg("%s", err.message);
}

static void test_wrong_manifest(void **state)
{
    (void)state;
    struct carried c;
    struct err err;
    struct snapshot_manifest m;
    put("a", "1", false, NULL);
    put("b", "1", false, NULL);
    carry(&c);
    assert_int_equal(snapshot_manifest_decode(&m, c.manifest.data, c.manifest.len, &err), 0);
    assert_true(m.header_count == 3 && m.id_count == 2);
    m.headers[1].time_us++;
    expect_refused(&m, "not signed");
    m.headers[1].time_us--;
    m.headers++, m.header_count--;
    m.headers[0].parent[0] ^= 1;
    expect_refused(&m, "do not follow");
    m.headers[0].parent[0] ^= 1;
    m.headers--, m.header_count++;
    m.ids[0].index = 1u << 31;
    expect_refused(&m, "malformed");
    m.ids[0].index = 0;
    m.header_count = 0;
    expect_refused(&m, "malformed");
    m.header_count = 3;
    uint8_t chain[HASH_SIZE] = {1};
    struct blockstore_import *import;
    assert_int_equal(
        blockstore_import_begin(&import, other.path, c.manifest.data, c.manifest.len, chain, &err),
        ERR_CORRUPT);
    assert_non_null(strstr(err.message, "another chain"));
    for (size_t len = 0; len < c.manifest.len; len++) {
        struct snapshot_manifest cut;
        mem_auto char *bytes = mem_dup(c.manifest.data, len + !len);
        assert_int_equal(snapshot_manifest_decode(&cut, bytes, len, &err), ERR_CORRUPT);
    }
    import = begin(&c);
    assert_int_equal(blockstore_import_chunk(import, 0, "x", 1, &err), ERR_CORRUPT);
    assert_int_equal(blockstore_import_chunk(import, 1, "x", 1, &err), ERR_INVALID);
    assert_int_equal(blockstore_import_finish(import, &err), ERR_NOT_FOUND);
    snapshot_manifest_free(&m);
    carried_free(&c);
}

/* ---- a damaged store ---- */

static void touch(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_int_equal(write(fd, "key", 3), 3);
    close(fd);
}

/* The newest record of the log, which is looked at when the store is opened. */
static void damage(void)
{
    int fd = open(scratch_file(&other, "log-00000001.seg"), O_RDWR);
    char bytes[65536];
    ssize_t n = read(fd, bytes, sizeof(bytes));
    while (n > 0 && !bytes[n - 1])
        n--;
    assert_true(n > 100);
    bytes[n - 1] = (char)(bytes[n - 1] ^ 1);
    assert_int_equal(pwrite(fd, bytes + n - 1, 1, n - 1), 1);
    close(fd);
}

static void remove_damaged(const char *path)
{
    struct scratch place;
    snprintf(place.path, sizeof(place.path), "%.60s", path);
    scratch_remove(&place);
}

static void test_set_aside(void **state)
{
    (void)state;
    struct carried c;
    struct err err;
    uint8_t ids[2][TX_ID_SIZE];
    char path[256];
    put("a", "1", false, NULL);
    carry(&c);
    import_all(&c);
    struct blockstore *kept = store;
    touch(scratch_file(&other, "node.key"));
    for (int n = 1; n <= 2; n++) {
        store = open_at(other.path);
        assert_int_equal(blockstore_set_aside(other.path, path, sizeof(path), &err), ERR_CONFLICT);
        if (n == 1) {
            put("b", "1", true, ids[0]);
            put("c", "1", true, ids[1]);
            put("d", "1", true, NULL);
            assert_int_equal(blockstore_rewind(store, 1, &err), 0);
            assert_int_equal(blockstore_orphan_done(store, 3, &err), 0);
            assert_int_equal(blockstore_put_record(store, "old", 3, &err), 0);
            assert_int_equal(blockstore_put_record(store, "lock", 4, &err), 0);
        }
        put("e", "1", true, NULL);
        blockstore_close(store);
        damage();
        struct blockstore_options options = {.dir = other.path};
        assert_int_equal(blockstore_open(&store, &options, &err), ERR_CORRUPT);
        assert_int_equal(blockstore_set_aside(other.path, path, sizeof(path), &err), 0);
        char expected[128];
        snprintf(expected, sizeof(expected), "%s.damaged-%d", other.path, n);
        assert_string_equal(path, expected);
        assert_int_equal(access(scratch_file(&other, "node.key"), F_OK), 0);
        assert_int_not_equal(access(scratch_file(&other, "data.mdb"), F_OK), 0);
        strcat(expected, "/data.mdb");
        assert_int_equal(access(expected, F_OK), 0);
        remove_damaged(n == 2 ? path : "/nonexistent");
        import_all(&c);
        for (int round = 0; round < 3; round++) {
            store = open_at(other.path);
            struct tx *tx;
            uint64_t number = 0;
            buf_auto struct buf record = BUF_INIT;
            assert_int_equal(blockstore_get_record(store, &record, &err), 0);
            assert_string_equal(buf_str(&record), "lock");
            for (int i = 0; i < 2; i++) {
                if (blockstore_orphan_next(store, number, &number, &tx, &err))
                    fail_msg("%s", err.message);
                assert_int_equal(number, i + 1);
                assert_memory_equal(tx->id, ids[i], TX_ID_SIZE);
                tx_free(tx);
                assert_int_equal(blockstore_tx(store, ids[i], &tx, &err), 0);
                tx_free(tx);
            }
            assert_int_equal(blockstore_orphan_next(store, number, &number, &tx, &err), ERR_NOT_FOUND);
            blockstore_close(store);
        }
    }
    snprintf(path, sizeof(path), "%s.damaged-1", other.path);
    remove_damaged(path);
    /* Without a state, the record is found in the log. */
    unlink(scratch_file(&other, "data.mdb"));
    assert_int_equal(blockstore_set_aside(other.path, path, sizeof(path), &err), 0);
    remove_damaged(path);
    import_all(&c);
    store = open_at(other.path);
    buf_auto struct buf record = BUF_INIT;
    assert_int_equal(blockstore_get_record(store, &record, &err), 0);
    assert_string_equal(buf_str(&record), "lock");
    blockstore_close(store);
    store = kept;
    carried_free(&c);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(test_there, setup, teardown),
    cmocka_unit_test_setup_teardown(test_of_the_final_block, setup, teardown),
    cmocka_unit_test_setup_teardown(test_all_or_nothing_laid_over, setup, teardown),
    cmocka_unit_test_setup_teardown(test_goes_on_after_a_restart, setup, teardown),
    cmocka_unit_test_setup_teardown(test_ends_while_moving, setup, teardown),
    cmocka_unit_test_setup_teardown(test_lost_state, setup, teardown),
    cmocka_unit_test_setup_teardown(test_ids, setup, teardown),
    cmocka_unit_test_setup_teardown(test_second_hand, setup, teardown),
    cmocka_unit_test_setup_teardown(test_wrong_state, setup, teardown),
    cmocka_unit_test_setup_teardown(test_wrong_manifest, setup, teardown),
    cmocka_unit_test_setup_teardown(test_set_aside, setup, teardown),
};

UNIT_MAIN(tests)
