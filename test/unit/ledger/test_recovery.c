/*
 * What is left after cuts, losses and power failures of a real chain, each opened by the real recovery:
 * exactly the blocks that were whole, with exactly their state.
 *
 * A power failure is simulated on the files: data.mdb is mixed, sector by sector and at random, from how it
 * was at the last checkpoint and how it was at the end, since LMDB's pages reach the disk in any order when
 * nothing is synced. A copy has other inodes than the original, which makes recovery trust only the
 * checkpoint.
 */
#include "unit.h"
#include "scratch.h"
#include "ledger_fixture.h"

#include "base/hex.h"
#include "base/log.h"
#include "blockstore/blocklog.h"
#include "blockstore/blockstore.h"
#include "blockstore/checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define SECTOR 512

static struct ledger *open_or_fail(const char *dir)
{
    struct ledger_options options = {.data_dir = dir, .first_segment = 16384};
    struct ledger *ledger = NULL;
    struct err err;
    if (ledger_open(&ledger, &options, &err))
        fail_msg("%s", err.message);
    return ledger;
}

static void put(struct ledger *ledger, const char *name, const char *value)
{
    struct err err;
    if (fixture_put(ledger, strcmp(name, FIXTURE_NAMESPACE) ? "configmaps" : "namespaces", name, value, NULL,
                    &err))
        fail_msg("%s", err.message);
}

/* All that a store shows, as one text: head, every object by key and by index term. */
static void dump_objects(struct buf *out, const struct state_store_ops *ops, struct state_iter *iter)
{
    struct state_object object;
    while (ops->iter_next(iter, &object)) {
        char id[2 * TX_ID_SIZE + 1];
        hex_encode(id, object.tx_id, TX_ID_SIZE);
        buf_printf(out, "%s/%s %llu %s %.*s\n", object.key.resource, object.key.name,
                   (unsigned long long)object.rv, id, (int)object.content_len, object.content);
    }
    ops->iter_end(iter);
}

static void dump(struct buf *out, struct blockstore *store)
{
    const struct state_store_ops *ops = blockstore_ops();
    struct blockstore_head head;
    struct err err;
    buf_clear(out);
    assert_int_equal(blockstore_head(store, &head, &err), 0);
    uint8_t digest[HASH_SIZE];
    lthash_digest(digest, &head.state_hash);
    assert_memory_equal(digest, head.header.state_digest, HASH_SIZE);
    struct state_snapshot *snapshot = ops->snapshot_begin(store);
    buf_printf(out, "%llu %llu\n", (unsigned long long)head.header.height,
               (unsigned long long)ops->snapshot_rv(snapshot));
    dump_objects(out, ops, ops->iter_begin(snapshot, "", 0, NULL, 0));
    dump_objects(out, ops, ops->iter_index(snapshot, "owner", "uid-of-owner"));
    ops->snapshot_end(snapshot);
}

static void read_file(struct buf *out, const char *path)
{
    buf_clear(out);
    int fd = open(path, O_RDONLY);
    struct stat st = {0};
    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    buf_reserve(out, (size_t)st.st_size + 1);
    for (ssize_t n; (n = read(fd, out->data + out->len, (size_t)st.st_size - out->len)) > 0;)
        out->len += (size_t)n;
    close(fd);
    assert_int_equal(out->len, st.st_size);
}

static void write_file(const char *path, const void *bytes, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    for (size_t done = 0; done < len;) {
        ssize_t n = write(fd, (const char *)bytes + done, len - done);
        assert_true(n > 0);
        done += (size_t)n;
    }
    close(fd);
}

static void copy(const struct scratch *from, const struct scratch *to, const char *name)
{
    buf_auto struct buf bytes = BUF_INIT;
    if (access(scratch_file(from, name), F_OK) < 0)
        return;
    read_file(&bytes, scratch_file(from, name));
    write_file(scratch_file(to, name), bytes.data, bytes.len);
}

/* Everything of a chain but data.mdb. */
static void copy_chain(const struct scratch *from, const struct scratch *to)
{
    mkdir(scratch_file(to, "chain"), 0700);
    copy(from, to, "chain/node.key");
    copy(from, to, "chain/checkpoint");
    for (int i = 1; i < 16; i++) {
        char name[64];
        snprintf(name, sizeof(name), "chain/log-%08d.seg", i);
        copy(from, to, name);
    }
}

/* A generator of our own, so that a seed names a run. */
static uint32_t next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33);
}

/* Random creates, updates and deletes: pages are freed and used again. */
static void churn(struct ledger *ledger, uint64_t *seed, int count)
{
    char name[16], value[2048];
    for (int i = 0; i < count; i++) {
        snprintf(name, sizeof(name), "n%u", next_random(seed) % 40);
        size_t len =
            next_random(seed) % 8 ? next_random(seed) % 200 : next_random(seed) % (sizeof(value) - 1);
        memset(value, 'a' + (int)(next_random(seed) % 26), len);
        value[len] = '\0';
        struct resource_key key = fixture_key("configmaps", name);
        uint8_t tx_id[TX_ID_SIZE];
        bool remove_it = next_random(seed) % 4 == 0 && fixture_find(ledger, &key, tx_id, NULL);
        put(ledger, name, remove_it ? NULL : value);
    }
}

/* data.mdb as a power failure may leave it: each sector old or new, what is past the old end zero or new. */
static size_t mix(struct buf *out, const struct buf *old, const struct buf *new, uint64_t *seed)
{
    size_t mixed = 0;
    buf_clear(out);
    buf_append(out, new->data, new->len);
    for (size_t at = 0; at + SECTOR <= out->len; at += SECTOR) {
        bool is_there = at + SECTOR <= old->len;
        bool differs = !is_there || memcmp(old->data + at, new->data + at, SECTOR) != 0;
        if (!differs || next_random(seed) % 2)
            continue;
        if (is_there)
            memcpy(out->data + at, old->data + at, SECTOR);
        else
            memset(out->data + at, 0, SECTOR);
        mixed++;
    }
    return mixed;
}

static size_t power_failure(uint64_t seed)
{
    struct scratch dir, left;
    scratch_make_in_memory(&dir);
    scratch_make_in_memory(&left);
    buf_auto struct buf old = BUF_INIT, new = BUF_INIT, mixed = BUF_INIT, expected = BUF_INIT,
                        found = BUF_INIT;
    struct err err;
    struct ledger *ledger = open_or_fail(dir.path);
    put(ledger, FIXTURE_NAMESPACE, "x");
    for (uint32_t rounds = next_random(&seed) % 4; rounds; rounds--) {
        churn(ledger, &seed, 10 + (int)(next_random(&seed) % 40));
        assert_int_equal(blockstore_checkpoint(ledger_store(ledger), &err), 0);
    }
    read_file(&old, scratch_file(&dir, "chain/data.mdb"));
    churn(ledger, &seed, 1 + (int)(next_random(&seed) % 100));
    read_file(&new, scratch_file(&dir, "chain/data.mdb"));
    dump(&expected, ledger_store(ledger));
    copy_chain(&dir, &left);
    ledger_close(ledger);

    size_t count = mix(&mixed, &old, &new, &seed);
    write_file(scratch_file(&left, "chain/data.mdb"), mixed.data, mixed.len);
    for (int i = 0; i < 2; i++) {
        ledger = open_or_fail(left.path);
        dump(&found, ledger_store(ledger));
        assert_string_equal(buf_str(&found), buf_str(&expected));
        churn(ledger, &seed, 5);
        dump(&expected, ledger_store(ledger));
        ledger_close(ledger);
    }
    scratch_remove(&dir);
    scratch_remove(&left);
    return count;
}

static void test_power_failures(void **state)
{
    (void)state;
    const char *many = getenv("KATENA_TEST_SEEDS"); /* for a longer run */
    size_t mixed = 0;
    for (uint64_t seed = 1; seed <= (uint64_t)(many ? atoi(many) : 25); seed++)
        mixed += power_failure(seed);
    assert_true(mixed > 100); /* otherwise nothing was tried */
}

/* The state of each height as it was seen live, and a log of few blocks. */
enum { BLOCKS = 6 };
struct recorded {
    struct scratch dir;
    struct buf states[BLOCKS + 1];
};

static void record(struct recorded *r)
{
    static const char *const names[BLOCKS] = {FIXTURE_NAMESPACE, "a", "b", "a", "b", "c"};
    static const char *const values[BLOCKS] = {"x", "1", "2", "3", NULL, "4"};
    scratch_make_in_memory(&r->dir);
    struct ledger *ledger = open_or_fail(r->dir.path);
    memset(r->states, 0, sizeof(r->states));
    dump(&r->states[0], ledger_store(ledger));
    for (int i = 0; i < BLOCKS; i++) {
        put(ledger, names[i], values[i]);
        dump(&r->states[i + 1], ledger_store(ledger));
    }
    ledger_close(ledger);
}

static void recorded_free(struct recorded *r)
{
    for (int i = 0; i <= BLOCKS; i++)
        buf_free(&r->states[i]);
    scratch_remove(&r->dir);
}

static void collect_end(struct buf *ends, size_t offset)
{
    buf_append(ends, &offset, sizeof(offset));
}

static int note_end(void *arg, const struct blocklog_record *record, struct err *err)
{
    (void)err;
    collect_end(arg, record->pos.offset + BLOCKLOG_FRAME_SIZE + record->len);
    return 0;
}

/* Where each block's record ends in the first segment. */
static void block_ends(struct buf *ends, const struct scratch *dir)
{
    struct blocklog *log;
    struct err err;
    mem_auto char *chain = mem_strdup(scratch_file(dir, "chain"));
    struct blocklog_options options = {.dir = chain, .read_only = true};
    assert_int_equal(blocklog_open(&log, &options, &err), 0);
    assert_int_equal(blocklog_recover(log, (struct blocklog_pos){0, 0}, 0, note_end, ends, &err), 0);
    blocklog_close(log);
    assert_int_equal(ends->len, (BLOCKS + 1) * sizeof(size_t));
}

static void remove_chain_files(const struct scratch *dir)
{
    static const char *const names[] = {"data.mdb", "lock.mdb", "checkpoint", "log-00000001.seg"};
    for (size_t i = 0; i < 4; i++)
        unlink(scratch_file(dir, names[i]));
}

/* A log that is cut at any byte, with nothing beside it: the state of the last whole block, no more, no less.
 */
static void test_log_cut_at_every_byte(void **state)
{
    (void)state;
    struct recorded r;
    record(&r);
    struct scratch cut;
    scratch_make_in_memory(&cut);
    buf_auto struct buf log = BUF_INIT, ends = BUF_INIT, found = BUF_INIT;
    block_ends(&ends, &r.dir);
    read_file(&log, scratch_file(&r.dir, "chain/log-00000001.seg"));
    const size_t *end = (const size_t *)(const void *)ends.data;
    int whole = 0;
    for (size_t at = BLOCKLOG_HEADER_SIZE; at <= end[BLOCKS]; at++) {
        while (whole <= BLOCKS && end[whole] <= at)
            whole++;
        remove_chain_files(&cut);
        write_file(scratch_file(&cut, "log-00000001.seg"), log.data, at);
        struct blockstore_options options = {.dir = cut.path};
        struct blockstore *store;
        struct err err;
        struct blockstore_head head;
        int rc = blockstore_open(&store, &options, &err);
        if (rc)
            fail_msg("cut at %zu: %s", at, err.message);
        if (!whole) {
            assert_int_equal(blockstore_head(store, &head, &err), ERR_NOT_FOUND);
        } else {
            dump(&found, store);
            assert_string_equal(buf_str(&found), buf_str(&r.states[whole - 1]));
        }
        blockstore_close(store);
    }
    scratch_remove(&cut);
    recorded_free(&r);
}

/* Without data.mdb, without a checkpoint, with a damaged one: the log gives all of it back. */
static void test_lost_files(void **state)
{
    (void)state;
    struct recorded r;
    record(&r);
    static const char *const lost[] = {"chain/data.mdb", "chain/checkpoint", "chain/lock.mdb", "chain/lock"};
    buf_auto struct buf found = BUF_INIT;
    for (size_t i = 0; i < 5; i++) {
        if (i < 4)
            assert_int_equal(unlink(scratch_file(&r.dir, lost[i])), 0);
        else
            write_file(scratch_file(&r.dir, "chain/checkpoint"), "garbage", 7);
        log_set_level(LOG_LEVEL_ERROR);
        struct ledger *ledger = open_or_fail(r.dir.path);
        dump(&found, ledger_store(ledger));
        assert_string_equal(buf_str(&found), buf_str(&r.states[BLOCKS]));
        ledger_close(ledger);
    }
    recorded_free(&r);
}

/* Damage in data.mdb that LMDB notices when it opens it, and a format that is not ours. */
static void test_unreadable_state(void **state)
{
    (void)state;
    struct recorded r;
    record(&r);
    log_set_level(LOG_LEVEL_ERROR);
    buf_auto struct buf bytes = BUF_INIT, found = BUF_INIT;
    for (int i = 0; i < 3; i++) {
        read_file(&bytes, scratch_file(&r.dir, "chain/data.mdb"));
        if (i == 0) {
            memset(bytes.data, 0xff, 8192); /* both meta pages */
        } else {
            /* The value of "format" stands behind its key. */
            char *at = memmem(bytes.data, bytes.len, "format", 6);
            for (; at; at = memmem(at + 1, bytes.len - (size_t)(at + 1 - bytes.data), "format", 6))
                at[6] = 99;
        }
        write_file(scratch_file(&r.dir, "chain/data.mdb"), bytes.data, bytes.len);
        if (i < 2) {
            struct ledger *ledger = open_or_fail(r.dir.path);
            dump(&found, ledger_store(ledger));
            ledger_close(ledger);
        } else {
            struct blockstore *store;
            struct err err;
            mem_auto char *chain = mem_strdup(scratch_file(&r.dir, "chain"));
            struct blockstore_options options = {.dir = chain, .read_only = true};
            if (blockstore_open(&store, &options, &err))
                fail_msg("%s", err.message);
            dump(&found, store);
            blockstore_close(store);
        }
        assert_string_equal(buf_str(&found), buf_str(&r.states[BLOCKS]));
    }
    recorded_free(&r);
}

/* A log that is older than the state, or not there, is never taken for an empty or a shorter chain. */
static void test_log_behind_the_state(void **state)
{
    (void)state;
    struct recorded r;
    record(&r);
    buf_auto struct buf log = BUF_INIT, ends = BUF_INIT;
    block_ends(&ends, &r.dir);
    size_t end = ((const size_t *)(const void *)ends.data)[BLOCKS];
    read_file(&log, scratch_file(&r.dir, "chain/log-00000001.seg"));
    struct ledger_options options = {.data_dir = r.dir.path};
    struct ledger *ledger;
    struct err err;
    write_file(scratch_file(&r.dir, "chain/log-00000001.seg"), log.data, end - 1);
    assert_int_equal(ledger_open(&ledger, &options, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.message, "older than the state"));
    unlink(scratch_file(&r.dir, "chain/log-00000001.seg"));
    assert_int_equal(ledger_open(&ledger, &options, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.message, "missing"));
    write_file(scratch_file(&r.dir, "chain/log-00000001.seg"), log.data, log.len);
    ledger_close(open_or_fail(r.dir.path));
    recorded_free(&r);
}

/* A reader beside a running node, as another process would be; here the node has stopped. */
static void test_read_only(void **state)
{
    (void)state;
    struct recorded r;
    record(&r);
    mem_auto char *chain = mem_strdup(scratch_file(&r.dir, "chain"));
    struct blockstore_options options = {.dir = chain, .read_only = true};
    struct blockstore *store;
    struct err err;
    buf_auto struct buf found = BUF_INIT;
    assert_int_equal(blockstore_open(&store, &options, &err), 0);
    dump(&found, store);
    assert_string_equal(buf_str(&found), buf_str(&r.states[BLOCKS]));
    struct block *block;
    assert_int_equal(blockstore_block_at(store, 3, &block, &err), 0);
    assert_int_equal(block->header.height, 3);
    uint64_t height;
    uint32_t index;
    assert_int_equal(blockstore_height_of_tx(store, block->txs[0]->id, &height, &index, &err), 0);
    assert_int_equal(height, 3);
    assert_int_equal(blockstore_height_of_hash(store, block->header.hash, &height, &err), 0);
    assert_int_equal(height, 3);
    assert_int_equal(blockstore_height_at_time(store, block->header.time_us, &height, &err), 0);
    assert_int_equal(height, 3);
    assert_int_equal(blockstore_height_at_time(store, block->header.time_us + 1, &height, &err), 0);
    assert_int_equal(height, 4);
    block_free(block);
    blockstore_close(store);
    options.dir = "/nonexistent";
    assert_int_equal(blockstore_open(&store, &options, &err), ERR_NOT_FOUND);
    recorded_free(&r);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_power_failures),       cmocka_unit_test(test_log_cut_at_every_byte),
    cmocka_unit_test(test_lost_files),           cmocka_unit_test(test_unreadable_state),
    cmocka_unit_test(test_log_behind_the_state), cmocka_unit_test(test_read_only),
};

UNIT_MAIN(tests)
