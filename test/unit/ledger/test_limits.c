/* A ledger at its limits: pruned history, a full disk. */
#include "unit.h"
#include "scratch.h"
#include "ledger_fixture.h"

#include "base/log.h"
#include "ledger/chain_verify.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

static int quiet(void **state)
{
    (void)state;
    log_set_level(LOG_LEVEL_ERROR + 1);
    return 0;
}

static struct ledger *open_or_fail(const struct ledger_options *options)
{
    struct ledger *ledger = NULL;
    struct err err;
    if (ledger_open(&ledger, options, &err))
        fail_msg("%s", err.message);
    return ledger;
}

struct replay {
    int changes, without_old;
    char last_old[64];
};

static bool count_change(void *arg, const struct state_change *change)
{
    struct replay *replay = arg;
    replay->changes++;
    replay->without_old += change->type != STATE_ADDED && !change->has_old;
    if (change->has_old) {
        mem_auto char *text = mem_strndup((const char *)change->old.content, change->old.content_len);
        const char *value = strstr(text, "\"value\":\"");
        snprintf(replay->last_old, sizeof(replay->last_old), "%.10s", value ? value + 9 : "");
    }
    return true;
}

/* Writes until the first segment is gone; the retention has passed twice by then. */
static void write_until_pruned(struct ledger *ledger, const char *first_segment)
{
    char value[600];
    memset(value, 'v', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    for (int i = 0; access(first_segment, F_OK) == 0; i++) {
        assert_true(i < 2000);
        fixture_must_put(ledger, "configmaps", "busy", value);
        usleep(2000);
    }
}

static void test_pruning(void **state)
{
    (void)state;
    struct scratch dir;
    scratch_make(&dir);
    struct ledger_options options = {
        .data_dir = dir.path, .retention_us = 500000, .first_segment = 4096, .checkpoint_us = 5000};
    struct ledger *ledger = open_or_fail(&options);
    struct err err;
    uint64_t old_rv = fixture_must_put(ledger, "namespaces", FIXTURE_NAMESPACE, "x");
    fixture_must_put(ledger, "configmaps", "calm", "first-one");
    write_until_pruned(ledger, scratch_file(&dir, "chain/log-00000001.seg"));

    struct replay replay = {0};
    assert_int_equal(ledger_history(ledger, old_rv, UINT64_MAX, count_change, &replay, &err), ERR_EXPIRED);
    assert_int_equal(replay.changes, 0);
    /* What was changed long ago, and whose body went with its segment, is still named as what was replaced.
     */
    uint64_t since = fixture_must_put(ledger, "configmaps", "busy", "1");
    fixture_must_put(ledger, "configmaps", "calm", "second");
    fixture_must_put(ledger, "configmaps", "calm", NULL);
    assert_int_equal(ledger_history(ledger, since, UINT64_MAX, count_change, &replay, &err), 0);
    assert_int_equal(replay.changes, 2);
    assert_int_equal(replay.without_old, 0);
    assert_string_equal(replay.last_old, "second\"}}");
    replay = (struct replay){0};
    uint64_t rv = 0;
    uint8_t tx_id[TX_ID_SIZE];
    struct resource_key key = fixture_key("namespaces", FIXTURE_NAMESPACE);
    assert_true(fixture_find(ledger, &key, tx_id, &rv));
    assert_int_equal(rv, old_rv);

    struct chain_verify_report report;
    if (chain_verify(ledger_store(ledger), NULL, NULL, &report, &err))
        fail_msg("%s", err.message);
    assert_true(report.replayed_from == UINT64_MAX && report.bodies < report.blocks && report.bodies > 0);
    ledger_close(ledger);
    /* Opening needs no pruned body. */
    ledger = open_or_fail(&options);
    assert_true(fixture_find(ledger, &key, tx_id, &rv));
    assert_int_equal(rv, old_rv);
    ledger_close(ledger);
    /* But what was pruned cannot be made again. */
    unlink(scratch_file(&dir, "chain/data.mdb"));
    assert_int_equal(ledger_open(&ledger, &options, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.message, "pruned"));
    scratch_remove(&dir);
}

static bool replaced_is_first(void *arg, const struct state_change *change)
{
    struct replay *replay = arg;
    if (!strcmp(change->object.key.name, "calm"))
        count_change(replay, change);
    return true;
}

static void test_replaced_body_is_gone(void **state)
{
    (void)state;
    struct scratch dir;
    scratch_make(&dir);
    struct ledger_options options = {
        .data_dir = dir.path, .retention_us = 500000, .first_segment = 4096, .checkpoint_us = 5000};
    struct ledger *ledger = open_or_fail(&options);
    struct err err;
    struct replay replay = {0};
    fixture_must_put(ledger, "namespaces", FIXTURE_NAMESPACE, "x");
    fixture_must_put(ledger, "configmaps", "calm", "first-one");
    write_until_pruned(ledger, scratch_file(&dir, "chain/log-00000001.seg"));
    uint64_t since = fixture_must_put(ledger, "configmaps", "busy", "1");
    fixture_must_put(ledger, "configmaps", "calm", "second");
    assert_int_equal(ledger_history(ledger, since, UINT64_MAX, replaced_is_first, &replay, &err), 0);
    assert_int_equal(replay.changes, 1);
    assert_string_equal(replay.last_old, "first-one\"");
    ledger_close(ledger);
    scratch_remove(&dir);
}

/* A small file system of its own. False where mounting is not allowed. */
static bool mount_small(const struct scratch *dir)
{
    if (mount("tmpfs", dir->path, "tmpfs", 0, "size=3m") == 0)
        return true;
    fprintf(stderr, "mounting is not allowed here: skipped\n");
    return false;
}

static void make_ballast(const char *path, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    mem_auto char *bytes = mem_zalloc(size);
    assert_int_equal(write(fd, bytes, size), (ssize_t)size);
    close(fd);
}

static void test_full_disk(void **state)
{
    (void)state;
    struct scratch dir;
    scratch_make(&dir);
    if (!mount_small(&dir)) {
        scratch_remove(&dir);
        return;
    }
    mem_auto char *ballast = mem_strdup(scratch_file(&dir, "ballast"));
    make_ballast(ballast, 1u << 20);
    struct ledger_options options = {.data_dir = dir.path, .first_segment = 65536};
    struct ledger *ledger = open_or_fail(&options);
    struct err err;
    struct ledger_result result;
    char name[32], value[4000];
    memset(value, 'v', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    fixture_must_put(ledger, "namespaces", FIXTURE_NAMESPACE, "x");
    int written = 0, rc = 0;
    for (; written < 2000; written++) {
        snprintf(name, sizeof(name), "n%d", written);
        if ((rc = fixture_put(ledger, "configmaps", name, value, &result, &err)))
            break;
    }
    assert_int_equal(rc, ERR_UNAVAILABLE);
    assert_true(written > 10);
    for (int round = 0; round < 2; round++) {
        /* Everything that was answered can be read, and what was not is not there. */
        uint8_t tx_id[TX_ID_SIZE];
        for (int i = 0; i <= written; i++) {
            snprintf(name, sizeof(name), "n%d", i);
            struct resource_key key = fixture_key("configmaps", name);
            assert_int_equal(fixture_find(ledger, &key, tx_id, NULL), i < written);
        }
        struct chain_verify_report report;
        if (chain_verify(ledger_store(ledger), NULL, NULL, &report, &err))
            fail_msg("%s", err.message);
        if (round == 0) {
            assert_int_equal(fixture_put(ledger, "configmaps", "another", value, &result, &err),
                             ERR_UNAVAILABLE);
            unlink(ballast);
            fixture_must_put(ledger, "configmaps", name, value); /* there is room again */
            written++;
            ledger_close(ledger);
            ledger = open_or_fail(&options);
        }
    }
    ledger_close(ledger);
    umount2(dir.path, MNT_DETACH);
    scratch_remove(&dir);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup(test_pruning, quiet),
    cmocka_unit_test_setup(test_replaced_body_is_gone, quiet),
    cmocka_unit_test_setup(test_full_disk, quiet),
};

UNIT_MAIN(tests)
