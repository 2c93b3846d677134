/* Views: a block over a snapshot, and what they ask of a store; the store in memory is the other half. */
#include "unit.h"

#include "state/state_mem.h"
#include "tx_fixture.h"

static struct tx_fixture f;
static struct state_mem *mem;
static struct state_snapshot *snapshot;
static struct state_view *view;
static struct tx *kept[16];
static size_t kept_count;
static struct err err;

static void open_view(void)
{
    snapshot = state_mem_ops()->snapshot_begin(mem);
    view = state_view_new(state_mem_ops(), snapshot, state_mem_hash(mem));
    state_view_begin(view, f.now_us += 1000);
}

static void close_view(void)
{
    state_view_free(view);
    state_mem_ops()->snapshot_end(snapshot);
    for (size_t i = 0; i < kept_count; i++)
        tx_free(kept[i]);
    kept_count = 0;
}

static int setup(void **state)
{
    (void)state;
    tx_fixture_begin(&f);
    mem = state_mem_new();
    open_view();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    close_view();
    state_mem_free(mem);
    tx_fixture_end(&f);
    return 0;
}

static const uint8_t *apply(struct tx *tx)
{
    kept[kept_count++] = tx;
    assert_int_equal(state_view_apply(view, tx, &err), 0);
    return tx->id;
}

static struct state_update update_now(void)
{
    struct block_header header = {.height = 1, .time_us = f.now_us, .output_count = state_view_outputs(view)};
    struct state_update update;
    state_view_update(view, &header, &update);
    return update;
}

static void commit(void)
{
    struct state_update update = update_now();
    state_mem_apply(mem, &update);
    close_view();
    open_view();
}

static struct resource_key cm(const char *name)
{
    return tx_fixture_key_of("configmaps", "default", name);
}

static int get(const char *name, struct state_object *out)
{
    struct resource_key key = cm(name);
    return state_view_get(view, &key, out, &err);
}

static void test_reads_its_own_changes(void **state)
{
    (void)state;
    struct state_object o;
    assert_int_equal(get("a", &o), ERR_NOT_FOUND);
    const uint8_t *id = apply(tx_fixture_create(&f, cm("a"), "{\"v\":1}"));
    assert_int_equal(get("a", &o), 0);
    assert_true(o.rv == block_rv(f.now_us, 0));
    id = apply(tx_fixture_update(&f, cm("a"), id, "{\"v\":2}"));
    assert_int_equal(get("a", &o), 0);
    assert_true(o.rv == block_rv(f.now_us, 1));
    assert_memory_equal(o.content, "{\"v\":2}", 7);
    apply(tx_fixture_delete(&f, cm("a"), id));
    assert_int_equal(get("a", &o), ERR_NOT_FOUND);
}

static void test_rollback(void **state)
{
    (void)state;
    uint8_t before[HASH_SIZE], after[HASH_SIZE];
    state_view_digest(view, before);
    apply(tx_fixture_create(&f, cm("a"), "{}"));
    state_view_digest(view, after);
    assert_memory_not_equal(before, after, HASH_SIZE);
    state_view_rollback(view);
    state_view_digest(view, after);
    assert_memory_equal(before, after, HASH_SIZE);
    assert_int_equal(state_view_outputs(view), 0);
    struct state_object o;
    assert_int_equal(get("a", &o), ERR_NOT_FOUND);
}

static void test_too_many_outputs(void **state)
{
    (void)state;
    struct tx *txs[5];
    for (int t = 0; t < 5; t++) {
        txs[t] = tx_fixture_new(&f, "create");
        for (int i = 0; i < TX_OUTPUTS_MAX; i++) {
            char name[32];
            snprintf(name, sizeof(name), "o-%d-%d", t, i);
            tx_fixture_put(txs[t], cm(name), "{}");
        }
        tx_fixture_sign(&f, txs[t]);
        assert_int_equal(state_view_apply(view, txs[t], &err), t < 4 ? 0 : ERR_TOO_LARGE);
    }
    assert_int_equal(state_view_outputs(view), BLOCK_OUTPUTS_MAX);
    for (int t = 0; t < 5; t++)
        tx_free(txs[t]);
}

static void test_snapshots_stand_still(void **state)
{
    (void)state;
    uint8_t id[TX_ID_SIZE];
    memcpy(id, apply(tx_fixture_create(&f, cm("a"), "{\"v\":1}")), TX_ID_SIZE);
    commit();
    const struct state_store_ops *ops = state_mem_ops();
    struct state_snapshot *old = ops->snapshot_begin(mem);
    uint64_t old_rv = ops->snapshot_rv(old);
    struct state_object o;
    struct resource_key key = cm("a");
    assert_int_equal(ops->get(old, &key, &o, NULL), 0);
    const uint8_t *content = o.content;
    memcpy(id, apply(tx_fixture_update(&f, cm("a"), id, "{\"v\":2}")), TX_ID_SIZE);
    apply(tx_fixture_create(&f, cm("b"), "{}"));
    commit();
    apply(tx_fixture_delete(&f, cm("a"), id));
    commit();
    assert_memory_equal(content, "{\"v\":1}", 7);
    assert_int_equal(ops->get(old, &key, &o, NULL), 0);
    assert_memory_equal(o.content, "{\"v\":1}", 7);
    key = cm("b");
    assert_int_equal(ops->get(old, &key, &o, NULL), ERR_NOT_FOUND);
    assert_true(ops->snapshot_rv(old) == old_rv);
    ops->snapshot_end(old);
    assert_int_equal(state_mem_count(mem), 1);
}

/* Objects that come and go, with a snapshot that sees one of them: memory is given back under it. */
static void test_dead_objects_are_collected(void **state)
{
    (void)state;
    const struct state_store_ops *ops = state_mem_ops();
    uint8_t id[TX_ID_SIZE];
    memcpy(id, apply(tx_fixture_create(&f, cm("seen"), "{\"v\":1}")), TX_ID_SIZE);
    commit();
    struct state_snapshot *old = ops->snapshot_begin(mem);
    for (int i = 0; i < 40; i++) {
        struct tx *create = tx_fixture_new(&f, "create");
        for (int k = 0; k < 30; k++) {
            char name[32];
            snprintf(name, sizeof(name), "o%d-%d", i, k);
            tx_fixture_put(create, cm(name), "{}");
        }
        tx_fixture_sign(&f, create);
        struct tx *drop = tx_fixture_new(&f, "delete");
        for (size_t k = 0; k < create->output_count; k++) {
            struct tx_output gone = {.op = TX_OUTPUT_DELETE, .key = create->outputs[k].key};
            tx_add_output(drop, &gone);
        }
        tx_fixture_sign(&f, drop);
        apply(create);
        commit();
        apply(drop);
        memcpy(id, apply(tx_fixture_update(&f, cm("seen"), id, "{\"v\":2}")), TX_ID_SIZE);
        commit();
    }
    struct state_object o;
    struct resource_key key = cm("seen");
    assert_int_equal(ops->get(old, &key, &o, NULL), 0);
    assert_memory_equal(o.content, "{\"v\":1}", 7);
    ops->snapshot_end(old);
    assert_int_equal(state_mem_count(mem), 1);
}

static size_t walk(const char *resource, const char *ns, const struct resource_key *start, char names[64])
{
    const struct state_store_ops *ops = state_mem_ops();
    buf_auto struct buf prefix = BUF_INIT;
    buf_auto struct buf first = BUF_INIT;
    struct resource_key kind = {"", resource, ns, ""};
    key_encode(&prefix, &kind);
    if (start)
        key_encode(&first, start);
    struct state_iter *iter =
        ops->iter_begin(snapshot, prefix.data, prefix.len, start ? first.data : NULL, first.len);
    struct state_object o;
    size_t count = 0;
    buf_auto struct buf all = BUF_INIT;
    for (; ops->iter_next(iter, &o); count++)
        buf_printf(&all, "%s ", o.key.name);
    ops->iter_end(iter);
    snprintf(names, 64, "%s", buf_str(&all));
    return count;
}

static void test_iterating(void **state)
{
    (void)state;
    apply(tx_fixture_create(&f, cm("b"), "{}"));
    apply(tx_fixture_create(&f, cm("a"), "{}"));
    apply(tx_fixture_create(&f, cm("c"), "{}"));
    apply(tx_fixture_create(&f, tx_fixture_key_of("configmaps", "other", "x"), "{}"));
    apply(tx_fixture_create(&f, tx_fixture_key_of("configmapsets", "default", "y"), "{}"));
    commit();
    char names[64];
    assert_int_equal(walk("configmaps", "default", NULL, names), 3);
    assert_string_equal(names, "a b c ");
    assert_int_equal(walk("configmaps", NULL, NULL, names), 4);
    struct resource_key start = cm("b");
    assert_int_equal(walk("configmaps", "default", &start, names), 2);
    assert_string_equal(names, "b c ");
    start = cm("bb");
    assert_int_equal(walk("configmaps", "default", &start, names), 1);
    assert_int_equal(walk("secrets", NULL, NULL, names), 0);
}

static void test_index(void **state)
{
    (void)state;
    struct tx_index_term terms[] = {{"owner", "u1"}, {"node", "n1"}};
    struct tx *tx = tx_fixture_new(&f, "create");
    for (int i = 0; i < 2; i++) {
        struct tx_output output = {.op = TX_OUTPUT_PUT,
                                   .key = cm(i ? "both" : "owned"),
                                   .encoding = TX_CONTENT_PLAIN,
                                   .content = (const uint8_t *)"{}",
                                   .content_len = 2,
                                   .terms = terms,
                                   .term_count = i ? 2 : 1};
        tx_add_output(tx, &output);
    }
    tx_fixture_sign(&f, tx);
    apply(tx);
    commit();
    const struct state_store_ops *ops = state_mem_ops();
    struct state_object o;
    struct state_iter *iter = ops->iter_index(snapshot, "node", "n1");
    assert_true(ops->iter_next(iter, &o));
    assert_string_equal(o.key.name, "both");
    assert_false(ops->iter_next(iter, &o));
    ops->iter_end(iter);
    iter = ops->iter_index(snapshot, "owner", "u1");
    assert_true(ops->iter_next(iter, &o));
    assert_true(ops->iter_next(iter, &o));
    assert_false(ops->iter_next(iter, &o));
    ops->iter_end(iter);
}

static void test_deletion_shows_the_last_content(void **state)
{
    (void)state;
    uint8_t id[TX_ID_SIZE];
    memcpy(id, apply(tx_fixture_create(&f, cm("a"), "{\"v\":1}")), TX_ID_SIZE);
    commit();
    struct tx *tx = tx_fixture_new(&f, "delete");
    tx_fixture_input(tx, TX_INPUT_DIRECT, cm("a"), id);
    struct tx_output output = {.op = TX_OUTPUT_DELETE,
                               .key = cm("a"),
                               .encoding = TX_CONTENT_PLAIN,
                               .content = (const uint8_t *)"{\"v\":\"last\"}",
                               .content_len = 12};
    tx_add_output(tx, &output);
    tx_fixture_sign(&f, tx);
    apply(tx);
    struct state_update update = update_now();
    assert_int_equal(update.change_count, 1);
    assert_int_equal(update.changes[0].type, STATE_DELETED);
    assert_memory_equal(update.changes[0].object.content, "{\"v\":\"last\"}", 12);
    assert_true(update.changes[0].object.rv == block_rv(f.now_us, 0));
    assert_memory_equal(update.changes[0].old.content, "{\"v\":1}", 7);
    state_mem_apply(mem, &update);
    assert_int_equal(state_mem_count(mem), 0);
    assert_true(update.head_rv == block_rv(f.now_us, 0));
}

static void test_wrong_block_is_noticed_in_recovery(void **state)
{
    (void)state;
    struct tx **txs = calloc(1, sizeof(struct tx *));
    txs[0] = tx_fixture_create(&f, cm("a"), "{}");
    struct block *block = block_new(txs, 1);
    block->header.height = 1;
    block->header.time_us = f.now_us;
    struct err why;
    assert_int_equal(state_view_apply_block(view, block, &why), ERR_CORRUPT);
    state_view_digest(view, block->header.state_digest);
    state_view_rollback(view);
    assert_int_equal(state_view_apply_block(view, block, &why), 0);
    state_view_rollback(view);
    block_free(block);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(test_reads_its_own_changes, setup, teardown),
    cmocka_unit_test_setup_teardown(test_rollback, setup, teardown),
    cmocka_unit_test_setup_teardown(test_too_many_outputs, setup, teardown),
    cmocka_unit_test_setup_teardown(test_snapshots_stand_still, setup, teardown),
    cmocka_unit_test_setup_teardown(test_dead_objects_are_collected, setup, teardown),
    cmocka_unit_test_setup_teardown(test_iterating, setup, teardown),
    cmocka_unit_test_setup_teardown(test_index, setup, teardown),
    cmocka_unit_test_setup_teardown(test_deletion_shows_the_last_content, setup, teardown),
    cmocka_unit_test_setup_teardown(test_wrong_block_is_noticed_in_recovery, setup, teardown),
};

UNIT_MAIN(tests)
