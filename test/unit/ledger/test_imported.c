/* A ledger over a store that was made of another node's snapshot: it goes on, and what it cannot know it
 * says. */
#include "unit.h"
#include "scratch.h"
#include "ledger_fixture.h"

#include "blockstore/blockstore.h"
#include "ledger/chain_verify.h"

#include <fcntl.h>

static struct scratch from, to;

static struct ledger *open_or_fail(const char *dir)
{
    struct ledger_options options = {.data_dir = dir, .first_segment = 65536};
    struct ledger *ledger = NULL;
    struct err err;
    if (ledger_open(&ledger, &options, &err))
        fail_msg("%s", err.message);
    return ledger;
}

/* The same node's key stands in for one that joined. */
static void copy_key(void)
{
    char bytes[256];
    int in = open(scratch_file(&from, "chain/node.key"), O_RDONLY);
    ssize_t n = read(in, bytes, sizeof(bytes));
    close(in);
    int out = open(scratch_file(&to, "chain/node.key"), O_WRONLY | O_CREAT, 0600);
    assert_true(n > 0 && write(out, bytes, (size_t)n) == n);
    close(out);
}

static void copy_chain(struct ledger *ledger)
{
    struct blockstore_export *export;
    struct blockstore_import *import;
    struct err err;
    buf_auto struct buf bytes = BUF_INIT;
    assert_int_equal(blockstore_export_begin(ledger_store(ledger), &export, &err), 0);
    assert_int_equal(blockstore_export_manifest(export, &bytes, &err), 0);
    if (blockstore_import_begin(&import, scratch_file(&to, "chain"), bytes.data, bytes.len,
                                ledger_chain_id(ledger), &err))
        fail_msg("%s", err.message);
    for (size_t i = 0; i < blockstore_export_chunks(export); i++) {
        assert_int_equal(blockstore_export_chunk(export, i, &bytes, &err), 0);
        assert_int_equal(blockstore_import_chunk(import, i, bytes.data, bytes.len, &err), 0);
    }
    blockstore_export_end(export);
    copy_key();
    if (blockstore_import_finish(import, &err))
        fail_msg("%s", err.message);
}

struct seen {
    int count, without_old;
};

static bool see(void *arg, const struct state_change *change)
{
    struct seen *seen = arg;
    seen->count++;
    seen->without_old += change->type != STATE_ADDED && !change->has_old;
    return true;
}

static void check(struct ledger *ledger, uint64_t height)
{
    struct chain_verify_report report;
    struct err err;
    if (chain_verify(ledger_store(ledger), NULL, NULL, &report, &err))
        fail_msg("%s", err.message);
    assert_true(report.replayed_from == UINT64_MAX && report.snapshot == height);
    assert_int_equal(report.bodies, report.head.height - height);
}

static void test_goes_on(void **state)
{
    (void)state;
    scratch_make_in_memory(&from);
    scratch_make_in_memory(&to);
    struct ledger *ledger = open_or_fail(from.path);
    struct err err;
    uint64_t old_rv = fixture_must_put(ledger, "namespaces", FIXTURE_NAMESPACE, "x");
    fixture_must_put(ledger, "configmaps", "a", "1");
    fixture_must_put(ledger, "configmaps", "b", "1");
    uint64_t rv = fixture_must_put(ledger, "configmaps", "c", "1");
    struct blockstore_head head;
    assert_int_equal(blockstore_head(ledger_store(ledger), &head, &err), 0);
    copy_chain(ledger);
    ledger_close(ledger);

    ledger = open_or_fail(to.path);
    check(ledger, head.header.height);
    struct seen seen = {0};
    assert_int_equal(ledger_history(ledger, rv, UINT64_MAX, see, &seen, &err), 0);
    assert_int_equal(seen.count, 0);
    for (int round = 0; round < 2; round++) {
        /* What is replaced was made before the snapshot, where there are no bodies. */
        fixture_must_put(ledger, "configmaps", round ? "b" : "a", "2");
        fixture_must_put(ledger, "configmaps", round ? "b" : "a", NULL);
        seen = (struct seen){0};
        assert_int_equal(ledger_history(ledger, rv, UINT64_MAX, see, &seen, &err), 0);
        assert_int_equal(seen.count, 2 * (round + 1));
        assert_int_equal(seen.without_old, 0);
        assert_int_equal(ledger_history(ledger, old_rv, UINT64_MAX, see, &seen, &err), ERR_EXPIRED);
        check(ledger, head.header.height);
        ledger_close(ledger);
        ledger = open_or_fail(to.path);
    }
    ledger_close(ledger);
    scratch_remove(&from);
    scratch_remove(&to);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_goes_on),
};

UNIT_MAIN(tests)
