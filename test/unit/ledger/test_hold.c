/*
 * What subscribers are told while blocks are exchanged for others. The blocks are written as the core would
 * ask for it, and the time is the test's, so that each moment can be looked at.
 */
#include "unit.h"
#include "scratch.h"
#include "store_fixture.h"

#include "base/clock.h"
#include "ledger/ledger_internal.h"

#define SECOND_US 1000000

struct scene {
    struct tx_fixture f;
    struct scratch dir;
    struct ledger *ledger;
    struct buf seen; /* what subscribers were told: + added, * modified, - deleted; and | for each look */
    int64_t begun_us;
    bool failed;
    void (*play)(struct scene *s);
};

static void on_block(void *arg, uint64_t height, uint64_t head_rv, const struct state_change *changes,
                     size_t count)
{
    static const char types[] = "+*-";
    struct scene *s = arg;
    (void)height;
    (void)head_rv;
    for (size_t i = 0; i < count; i++)
        buf_printf(&s->seen, "%c%s ", types[changes[i].type], changes[i].object.key.name);
}

static int setup(void **state)
{
    struct err err;
    struct blockstore *store;
    struct scene *s = mem_zalloc(sizeof(*s));
    uint8_t key[NODE_KEY_SIZE];
    tx_fixture_begin(&s->f);
    scratch_make_in_memory(&s->dir);
    mem_auto char *chain = mem_printf("%s/chain", s->dir.path);
    mem_auto char *key_path = mem_printf("%s/node.key", chain);
    struct blockstore_options store_options = {.dir = chain};
    assert_int_equal(blockstore_open(&store, &store_options, &err), 0);
    assert_int_equal(store_fixture_genesis(&s->f, store, &err), 0);
    blockstore_close(store);
    assert_int_equal(node_key_make(key, key_path, &err), 0);
    struct ledger_options options = {.data_dir = s->dir.path};
    if (ledger_open(&s->ledger, &options, &err))
        fail_msg("%s", err.message);
    ledger_subscribe(s->ledger, on_block, s);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct scene *s = *state;
    ledger_close(s->ledger);
    buf_free(&s->seen);
    scratch_remove(&s->dir);
    tx_fixture_end(&s->f);
    free(s);
    return 0;
}

/* ---- what happens ---- */

static void carry_out(struct scene *s, const struct consensus_persist *persist)
{
    s->failed |= !ledger_write(s->ledger, persist);
}

static void write_block(struct scene *s, struct tx **txs, size_t count)
{
    struct made_block made;
    store_fixture_make(&made, &s->f, s->ledger->store, txs, count);
    struct consensus_persist persist = {
        .type = CONSENSUS_PERSIST_BLOCK, .block = made.block, .state = made.update};
    carry_out(s, &persist);
    made_block_free(&made);
}

static struct tx *pod(struct scene *s, const char *name)
{
    return store_fixture_pod(&s->f, s->ledger->store, name, "1", NULL);
}

/* The chain is exchanged, from its first block on, for one with this pod. */
static void switch_to(struct scene *s, const char *name)
{
    struct consensus_persist persist = {.type = CONSENSUS_PERSIST_REWIND, .height = 0};
    carry_out(s, &persist);
    struct tx *tx = pod(s, name);
    write_block(s, &tx, 1);
}

/* The newest orphan that made this pod comes back as it is, in a block of its own. */
static void come_back(struct scene *s, const char *name)
{
    struct err err;
    struct tx *tx, *found = NULL;
    uint64_t number = 0;
    while (!ledger_orphan_next(s->ledger, number, &number, &tx, &err)) {
        bool wanted = !strcmp(tx->outputs[0].key.name, name);
        tx_free(wanted ? found : tx);
        found = wanted ? tx : found;
    }
    if (found)
        write_block(s, &found, 1);
    s->failed |= !found;
}

/* Subscribers are told what is to be told so long after the beginning. */
static void look(struct scene *s, int64_t after_us)
{
    ledger_hold_check(s->ledger, s->begun_us + after_us, false);
    buf_printf(&s->seen, ledger_branch(s->ledger) % 2 ? "held | " : "| ");
}

static void play_alone(struct ledger *ledger, void *arg)
{
    struct scene *s = arg;
    (void)ledger;
    s->begun_us = clock_mono_us();
    s->play(s);
}

/* With the core, so that the ledger's own thread looks at nothing meanwhile. */
static void expect(struct scene *s, void (*scene)(struct scene *s), const char *seen)
{
    s->play = scene;
    ledger_call(s->ledger, play_alone, s);
    assert_false(s->failed);
    assert_string_equal(buf_str(&s->seen), seen);
}

/* Two pods of which subscribers know, in a branch that is given up then for one with another pod. */
static void begin(struct scene *s)
{
    struct tx *mine[] = {pod(s, "a"), pod(s, "b")};
    write_block(s, mine, 2);
    look(s, 0);
    switch_to(s, "c");
    look(s, 0);
}

/* ---- scenes ---- */

static void come_back_one_by_one(struct scene *s)
{
    begin(s);
    come_back(s, "a");
    look(s, 0);
    come_back(s, "b");
    look(s, 0);
}

static void test_told_when_all_are_back(void **state)
{
    expect(*state, come_back_one_by_one, "+a +b | held | held | +c *a *b | ");
}

static void stay_away(struct scene *s)
{
    begin(s);
    come_back(s, "a");
    look(s, 7 * SECOND_US);
    look(s, 9 * SECOND_US);
}

static void test_told_without_what_stays_away(void **state)
{
    expect(*state, stay_away, "+a +b | held | held | -b +c *a | ");
}

/* The branch in which a pod came back is given up in turn, before all were back. */
static void orphan_again(struct scene *s)
{
    begin(s);
    come_back(s, "a");
    switch_to(s, "d");
    come_back(s, "b");
    come_back(s, "c");
    look(s, 0);
    come_back(s, "a");
    look(s, 0);
}

static void test_orphaned_a_second_time(void **state)
{
    expect(*state, orphan_again, "+a +b | held | held | +d *b +c *a | ");
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(test_told_when_all_are_back, setup, teardown),
    cmocka_unit_test_setup_teardown(test_told_without_what_stays_away, setup, teardown),
    cmocka_unit_test_setup_teardown(test_orphaned_a_second_time, setup, teardown),
};

UNIT_MAIN(tests)
