/* A new chain with another one's state: what is kept is as it was, and nothing else is taken. */
#include "store_setup.h"

#include <fcntl.h>

static void put_in(struct blockstore *in, const char *name, const char *value, bool tentative)
{
    struct tx *tx = store_fixture_pod(&f, in, name, value, NULL);
    struct err err;
    if (store_fixture_commit(&f, in, &tx, 1, tentative, &err))
        fail_msg("%s", err.message);
}

/* Objects of some size, so that there are several chunks. */
static void fill(int objects, size_t size)
{
    mem_auto char *value = mem_zalloc(size + 1);
    memset(value, 'x', size);
    for (int i = 0; i < objects; i++) {
        char name[32];
        snprintf(name, sizeof(name), "fill-%d", i * 7919 % 10007);
        value[0] = (char)('a' + i % 26);
        put_in(store, name, value, false);
    }
}

static bool is_no_validator(void *arg, const struct state_object *object)
{
    int *asked = arg;
    ++*asked;
    return strncmp(object->key.name, "validator-", 10) != 0;
}

static int carry(struct blockstore *from, const char *to, int64_t now_us, struct blockstore_carried *out,
                 struct err *err)
{
    int asked = 0;
    struct blockstore_carry options = {
        .dir = to, .keep = is_no_validator, .arg = &asked, .now_us = now_us, .secret_key = f.secret_key};
    return blockstore_carry_over(from, &options, out, err);
}

/* What a store has, without the line that tells of its head. */
static char *objects_of(struct blockstore *from)
{
    buf_auto struct buf dump = BUF_INIT;
    store_fixture_dump(&dump, from);
    return mem_strdup(strchr(buf_str(&dump), ' '));
}

static char *after_head(char *dump)
{
    return strstr(dump, "claimed");
}

static void test_all_is_there(void **state)
{
    (void)state;
    struct err err;
    struct blockstore_carried carried;
    struct blockstore_head old, head;
    struct blockstore_stats stats;
    fill(900, 3000);
    put_in(store, "a", "150", false);
    put_in(store, "z", "20", false);
    put_in(store, "a", "100", false);
    mem_auto char *before = objects_of(store);
    put_in(store, "validator-1", "0", false);
    put_in(store, "validator-2", "0", true); /* not final: the head is what counts */
    put_in(store, "b", "1", true);
    put_in(store, "b", NULL, true);
    assert_int_equal(blockstore_head(store, &old, &err), 0);
    if (carry(store, other.path, f.now_us + 7, &carried, &err))
        fail_msg("%s", err.message);
    assert_int_equal(carried.objects, 902);

    struct blockstore *fresh = open_at(other.path);
    assert_int_equal(blockstore_head(fresh, &head, &err), 0);
    assert_memory_equal(head.header.hash, carried.genesis.hash, HASH_SIZE);
    assert_memory_equal(head.header.parent, old.header.hash, HASH_SIZE);
    assert_int_equal(head.header.height, 0);
    assert_int_equal(head.header.flags, BLOCK_CARRIES);
    assert_int_equal(head.header.time_us, f.now_us + 7);
    assert_int_equal(blockstore_stats(fresh, &stats, &err), 0);
    assert_int_equal(stats.objects, 902);
    assert_int_equal(stats.transactions, 0);
    assert_int_equal(stats.oldest_body, 1);
    mem_auto char *after = objects_of(fresh);
    assert_string_equal(after_head(after), after_head(before));

    /* It goes on, back to its genesis and no further, and over a restart. */
    f.now_us = head.header.time_us;
    put_in(fresh, "a", "101", true);
    put_in(fresh, "z", NULL, true);
    blockstore_close(fresh);
    fresh = open_at(other.path);
    assert_int_equal(blockstore_head(fresh, &head, &err), 0);
    assert_int_equal(head.header.height, 2);
    assert_int_equal(blockstore_rewind(fresh, 0, &err), 0);
    mem_auto char *again = objects_of(fresh);
    assert_string_equal(after_head(again), after_head(before));
    blockstore_close(fresh);
}

/* A snapshot of such a chain, while it is short, has its genesis; and it may be carried over once more. */
static void test_goes_further(void **state)
{
    (void)state;
    struct err err;
    struct blockstore_carried first, second;
    struct blockstore_head old;
    struct scratch third;
    put_in(store, "a", "150", false);
    put_in(store, "validator-1", "0", false);
    assert_int_equal(blockstore_head(store, &old, &err), 0);
    /* The clock is behind: resourceVersions increase all the same. */
    assert_int_equal(carry(store, other.path, 1, &first, &err), 0);
    assert_int_equal(first.genesis.time_us, old.header.time_us + 1);
    struct blockstore *fresh = open_at(other.path);
    f.now_us = first.genesis.time_us;
    put_in(fresh, "b", "7", false);

    struct blockstore_export *export;
    struct blockstore_import *import;
    buf_auto struct buf bytes = BUF_INIT;
    scratch_make_in_memory(&third);
    assert_int_equal(blockstore_export_begin(fresh, &export, &err), 0);
    assert_int_equal(blockstore_export_manifest(export, &bytes, &err), 0);
    assert_int_equal(
        blockstore_import_begin(&import, third.path, bytes.data, bytes.len, first.genesis.hash, &err), 0);
    for (size_t i = 0; i < blockstore_export_chunks(export); i++) {
        assert_int_equal(blockstore_export_chunk(export, i, &bytes, &err), 0);
        assert_int_equal(blockstore_import_chunk(import, i, bytes.data, bytes.len, &err), 0);
    }
    assert_int_equal(blockstore_import_finish(import, &err), 0);
    blockstore_export_end(export);
    mem_auto char *before = objects_of(fresh);
    blockstore_close(fresh);
    fresh = open_at(third.path);
    mem_auto char *joined = objects_of(fresh);
    assert_string_equal(after_head(joined), after_head(before));

    scratch_remove(&other);
    assert_int_equal(carry(fresh, other.path, f.now_us + 9, &second, &err), 0);
    blockstore_close(fresh);
    fresh = open_at(other.path);
    mem_auto char *after = objects_of(fresh);
    assert_string_equal(after_head(after), after_head(before));
    assert_int_not_equal(memcmp(first.genesis.hash, second.genesis.hash, HASH_SIZE), 0);
    blockstore_close(fresh);
    scratch_remove(&third);
}

/* Flips a byte of a value in data.mdb, behind the store's back. */
static void damage(const char *text)
{
    int fd = open(scratch_file(&dir, "data.mdb"), O_RDWR);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    mem_auto char *bytes = mem_alloc((size_t)st.st_size);
    assert_true(pread(fd, bytes, (size_t)st.st_size, 0) == st.st_size);
    int found = 0;
    for (off_t at = 0; at + (off_t)strlen(text) <= st.st_size; at++)
        if (!memcmp(bytes + at, text, strlen(text))) {
            assert_int_equal(pwrite(fd, "8", 1, at), 1);
            found++;
        }
    assert_true(found > 0);
    close(fd);
}

static void test_refused(void **state)
{
    (void)state;
    struct err err;
    struct blockstore_carried carried;
    put_in(store, "a", "15 of some words", false);
    put_in(store, "b", "20", false);
    assert_int_equal(carry(store, dir.path, f.now_us, &carried, &err), ERR_CONFLICT); /* its own place */
    assert_int_equal(carry(store, other.path, f.now_us, &carried, &err), 0);
    assert_int_equal(carry(store, other.path, f.now_us, &carried, &err), ERR_EXISTS);
    scratch_remove(&other);
    blockstore_close(store);
    damage("15 of some words");
    store = open_at(dir.path);
    assert_int_equal(carry(store, other.path, f.now_us, &carried, &err), ERR_CORRUPT);
    assert_false(blockstore_exists(other.path));
    assert_true(blockstore_exists(dir.path));
}

static void test_without_a_chain(void **state)
{
    (void)state;
    struct err err;
    struct blockstore_carried carried;
    struct scratch third;
    scratch_make_in_memory(&third);
    assert_false(blockstore_exists(third.path));
    struct blockstore *empty = open_at(third.path);
    assert_int_equal(carry(empty, other.path, 1, &carried, &err), ERR_NOT_FOUND);
    assert_non_null(strstr(err.message, "there is no chain in"));
    blockstore_close(empty);
    scratch_remove(&third);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(test_all_is_there, setup, teardown),
    cmocka_unit_test_setup_teardown(test_goes_further, setup, teardown),
    cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
    cmocka_unit_test_setup_teardown(test_without_a_chain, setup, teardown),
};

UNIT_MAIN(tests)
