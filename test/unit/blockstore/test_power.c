/*
 * Losses of power over a chain that goes back: data.mdb is mixed, sector by sector and at random, from how it
 * was at the last checkpoint and how it was at the end (see test_recovery of the ledger); and disks that are
 * full.
 */
#include "unit.h"
#include "scratch.h"
#include "store_steps.h"

#include "base/log.h"
#include "blockstore/blocklog.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#define SECTOR 512

static struct blockstore *open_at(const char *path, uint64_t retention_us)
{
    struct blockstore_options options = {.dir = path, .first_segment = 8192, .retention_us = retention_us};
    struct blockstore *store = NULL;
    struct err err;
    if (blockstore_open(&store, &options, &err))
        fail_msg("%s", err.message);
    return store;
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

static void copy(const struct scratch *from, const struct scratch *to, const char *name)
{
    buf_auto struct buf bytes = BUF_INIT;
    if (access(scratch_file(from, name), F_OK) < 0)
        return;
    read_file(&bytes, scratch_file(from, name));
    write_file(scratch_file(to, name), bytes.data, bytes.len);
}

static void mix(struct buf *out, const struct buf *old, const struct buf *new, uint64_t *seed)
{
    buf_clear(out);
    buf_append(out, new->data, new->len);
    for (size_t at = 0; at + SECTOR <= out->len; at += SECTOR) {
        if (store_steps_random(seed) % 2)
            continue;
        if (at + SECTOR <= old->len)
            memcpy(out->data + at, old->data + at, SECTOR);
        else
            memset(out->data + at, 0, SECTOR);
    }
}

static uint64_t steps(struct tx_fixture *f, struct blockstore *store, uint64_t seed, uint64_t from,
                      uint64_t count)
{
    struct err err;
    for (uint64_t number = from; number < from + count; number++)
        if (store_steps_do(f, store, seed, number, true, &err))
            fail_msg("seed %llu, step %llu: %s", (unsigned long long)seed, (unsigned long long)number,
                     err.message);
    return from + count;
}

static void power_failure(uint64_t seed)
{
    struct scratch dir, left;
    struct tx_fixture f;
    struct err err;
    uint64_t random = seed;
    buf_auto struct buf old = BUF_INIT, new = BUF_INIT, mixed = BUF_INIT, expected = BUF_INIT,
                        found = BUF_INIT;
    tx_fixture_begin(&f);
    scratch_make_in_memory(&dir);
    scratch_make_in_memory(&left);
    struct blockstore *store = open_at(dir.path, 0);
    /* The same genesis in each run over: it is the fixture's. */
    uint64_t number = steps(&f, store, seed, 1, 1 + store_steps_random(&random) % 60);
    assert_int_equal(blockstore_checkpoint(store, &err), 0);
    read_file(&old, scratch_file(&dir, "data.mdb"));
    number = steps(&f, store, seed, number, 1 + store_steps_random(&random) % 60);
    read_file(&new, scratch_file(&dir, "data.mdb"));
    store_steps_show(&expected, store);
    copy(&dir, &left, "checkpoint");
    for (int i = 1; i < 12; i++) {
        char name[32];
        snprintf(name, sizeof(name), "log-%08d.seg", i);
        copy(&dir, &left, name);
    }
    blockstore_close(store);
    mix(&mixed, &old, &new, &random);
    if (seed % 5)
        write_file(scratch_file(&left, "data.mdb"), mixed.data, mixed.len); /* otherwise it is lost */
    for (int round = 0; round < 2; round++) {
        store = open_at(left.path, 0);
        store_steps_show(&found, store);
        assert_string_equal(buf_str(&found), buf_str(&expected));
        number = steps(&f, store, seed, number, 5);
        store_steps_show(&expected, store);
        blockstore_close(store);
    }
    scratch_remove(&dir);
    scratch_remove(&left);
    tx_fixture_end(&f);
}

static void test_power_failures(void **state)
{
    (void)state;
    log_set_level(LOG_LEVEL_ERROR + 1);
    const char *many = getenv("KATENA_TEST_SEEDS"); /* for a longer run */
    for (uint64_t seed = 1; seed <= (uint64_t)(many ? atoi(many) : 25); seed++)
        power_failure(seed);
}

/* ---- a full disk ---- */

static void put(struct tx_fixture *f, struct blockstore *store, const char *name, const char *value,
                bool tentative)
{
    struct tx *tx = store_fixture_pod(f, store, name, value, NULL);
    struct err err;
    if (store_fixture_commit(f, store, &tx, 1, tentative, &err))
        fail_msg("%s", err.message);
}

/* A rewind and a record that there is no room for change nothing, and work when there is room again. */
static void test_full_disk(void **state)
{
    (void)state;
    struct scratch dir;
    struct tx_fixture f;
    struct err err;
    scratch_make(&dir);
    if (mount("tmpfs", dir.path, "tmpfs", 0, "size=2m") != 0) {
        fprintf(stderr, "mounting is not allowed here: skipped\n");
        scratch_remove(&dir);
        return;
    }
    buf_auto struct buf low = BUF_INIT, high = BUF_INIT, found = BUF_INIT;
    static char value[20000];
    tx_fixture_begin(&f);
    struct blockstore *store = open_at(dir.path, 0);
    assert_int_equal(store_fixture_genesis(&f, store, &err), 0);
    put(&f, store, "a", "1", false);
    store_steps_show(&low, store);
    memset(value, 'v', sizeof(value) - 1);
    for (int i = 0; i < 12; i++) {
        char name[16];
        snprintf(name, sizeof(name), "n%d", i);
        put(&f, store, name, value, true);
    }
    store_steps_show(&high, store);
    int ballast = open(scratch_file(&dir, "ballast"), O_WRONLY | O_CREAT, 0600);
    memset(value, 0, sizeof(value));
    while (write(ballast, value, 4096) > 0) {
    }
    int rc = blockstore_rewind(store, 1, &err);
    for (int i = 0; !rc && i < 200; i++)
        rc = blockstore_put_record(store, value, sizeof(value), &err);
    assert_int_equal(rc, ERR_UNAVAILABLE);
    store_steps_show(&found, store);
    struct blockstore_head head;
    assert_int_equal(blockstore_head(store, &head, &err), 0);
    close(ballast);
    unlink(scratch_file(&dir, "ballast"));
    if (head.header.height > 1) {
        assert_string_equal(buf_str(&found), buf_str(&high));
        assert_int_equal(blockstore_rewind(store, 1, &err), 0);
    }
    assert_int_equal(blockstore_put_record(store, "r", 1, &err), 0);
    for (int round = 0; round < 2; round++) {
        struct blockstore_stats stats;
        assert_int_equal(blockstore_head(store, &head, &err), 0);
        assert_int_equal(head.header.height, 1);
        assert_int_equal(blockstore_stats(store, &stats, &err), 0);
        assert_true(stats.orphans == 12 && stats.side_blocks == 12 && stats.objects == 1);
        blockstore_close(store);
        store = open_at(dir.path, 0);
    }
    blockstore_close(store);
    umount2(dir.path, MNT_DETACH);
    scratch_remove(&dir);
    tx_fixture_end(&f);
}

/* ---- pruning ---- */

/* Blocks a second apart, with a retention of two, until the keeper has pruned what it may. */
static uint64_t write_on(struct tx_fixture *f, struct blockstore *store, int blocks, bool tentative)
{
    static char value[3000];
    struct blockstore_stats stats;
    struct err err;
    memset(value, 'v', sizeof(value) - 1);
    for (int i = 0; i < blocks; i++) {
        f->now_us += 1000000;
        put(f, store, "busy", value, tentative);
    }
    for (int i = 0; i < 50; i++) {
        assert_int_equal(blockstore_checkpoint(store, &err), 0);
        f->now_us += 1000000;
        put(f, store, "busy", "1", tentative);
        usleep(2000);
    }
    assert_int_equal(blockstore_stats(store, &stats, &err), 0);
    return stats.oldest_body;
}

/* Whatever its age: an orphan and a block that is not final stay; the consensus manager's record comes along.
 */
static void test_pruning_leaves_what_is_needed(void **state)
{
    (void)state;
    struct scratch dir;
    struct tx_fixture f;
    struct err err;
    buf_auto struct buf record = BUF_INIT;
    struct blockstore_stats stats;
    struct tx *tx;
    uint64_t number = 0;
    tx_fixture_begin(&f);
    scratch_make_in_memory(&dir);
    struct blockstore *store = open_at(dir.path, 2000000);
    assert_int_equal(store_fixture_genesis(&f, store, &err), 0);
    assert_int_equal(blockstore_put_record(store, "lock", 4, &err), 0);
    assert_int_equal(write_on(&f, store, 40, true), 0);
    assert_int_equal(blockstore_finalize(store, 90, &err), 0);
    assert_true(write_on(&f, store, 1, true) > 0);
    assert_int_equal(blockstore_stats(store, &stats, &err), 0);
    uint64_t base = stats.final_height;

    put(&f, store, "orphan", "1", true);
    assert_int_equal(blockstore_rewind(store, base, &err), 0);
    uint64_t held = write_on(&f, store, 200, false);
    assert_true(held <= base + 1);
    size_t orphans = 0;
    while (!blockstore_orphan_next(store, 0, &number, &tx, &err)) {
        tx_free(tx);
        assert_int_equal(blockstore_orphan_done(store, number, &err), 0);
        orphans++;
    }
    assert_int_equal(orphans, 52);
    assert_true(write_on(&f, store, 1, false) > held);

    assert_int_equal(blockstore_get_record(store, &record, &err), 0);
    assert_string_equal(buf_str(&record), "lock");
    blockstore_close(store);
    store = open_at(dir.path, 2000000);
    assert_int_equal(blockstore_get_record(store, &record, &err), 0);
    assert_string_equal(buf_str(&record), "lock");
    blockstore_close(store);
    scratch_remove(&dir);
    tx_fixture_end(&f);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_power_failures),
    cmocka_unit_test(test_full_disk),
    cmocka_unit_test(test_pruning_leaves_what_is_needed),
};

UNIT_MAIN(tests)
