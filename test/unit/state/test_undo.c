/* Undo records: a block taken back leaves the state, its hash and its claims as they were. */
#include "unit.h"

#include "state/state_mem.h"
#include "state/undo.h"
#include "tx_fixture.h"

static struct tx_fixture f;
static struct state_mem *mem;
static struct block_header head;

struct open_block {
    struct state_snapshot *snapshot;
    struct state_view *view;
    struct tx *txs[8];
    size_t count;
    struct state_update update;
};

static int setup(void **state)
{
    (void)state;
    tx_fixture_begin(&f);
    mem = state_mem_new();
    head = f.genesis->header;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    state_mem_free(mem);
    tx_fixture_end(&f);
    return 0;
}

static void begin(struct open_block *b)
{
    *b = (struct open_block){0};
    b->snapshot = state_mem_ops()->snapshot_begin(mem);
    b->view = state_view_new(state_mem_ops(), b->snapshot, state_mem_hash(mem));
    state_view_begin(b->view, f.now_us += 1000);
}

static void add(struct open_block *b, struct tx *tx)
{
    b->txs[b->count++] = tx;
    assert_int_equal(state_view_apply(b->view, tx, NULL), 0);
}

static struct block_header finish(struct open_block *b)
{
    struct block_header header = {
        .height = head.height + 1, .time_us = f.now_us, .output_count = state_view_outputs(b->view)};
    memset(header.hash, (int)header.height, HASH_SIZE);
    state_view_update(b->view, &header, &b->update);
    state_mem_apply(mem, &b->update);
    return header;
}

static void end(struct open_block *b)
{
    state_view_free(b->view);
    state_mem_ops()->snapshot_end(b->snapshot);
    for (size_t i = 0; i < b->count; i++)
        tx_free(b->txs[i]);
}

static struct tx *pod(const char *verb, const char *name, const uint8_t *old, int64_t cpu)
{
    struct tx *tx = tx_fixture_new(&f, verb);
    struct resource_key key = tx_fixture_key_of("pods", "default", name);
    if (old)
        tx_fixture_input(tx, TX_INPUT_DIRECT, key, old);
    struct tx_output output = {.op = TX_OUTPUT_PUT,
                               .key = key,
                               .encoding = TX_CONTENT_PLAIN,
                               .content = (const uint8_t *)"{}",
                               .content_len = 2,
                               .claim = {"n", cpu, 1, 1}};
    tx_add_output(tx, &output);
    tx_fixture_sign(&f, tx);
    return tx;
}

static int64_t claimed_cpu(void)
{
    struct state_snapshot *snapshot = state_mem_ops()->snapshot_begin(mem);
    struct tx_claim sum;
    state_mem_ops()->claimed(snapshot, "n", &sum, NULL);
    state_mem_ops()->snapshot_end(snapshot);
    return sum.cpu_milli;
}

static uint64_t rv_of(const char *name)
{
    struct state_snapshot *snapshot = state_mem_ops()->snapshot_begin(mem);
    struct resource_key key = tx_fixture_key_of("pods", "default", name);
    struct state_object object;
    int rc = state_mem_ops()->get(snapshot, &key, &object, NULL);
    state_mem_ops()->snapshot_end(snapshot);
    return rc ? 0 : object.rv;
}

static void test_there_and_back(void **state)
{
    (void)state;
    struct open_block first, second;
    begin(&first);
    add(&first, pod("create", "a", NULL, 100));
    add(&first, pod("create", "b", NULL, 200));
    head = finish(&first);
    uint64_t rv_a = rv_of("a"), rv_b = rv_of("b");
    struct lthash before = *state_mem_hash(mem);

    begin(&second);
    struct tx *twice = pod("update", "a", first.txs[0]->id, 150);
    add(&second, twice);
    add(&second, pod("update", "a", twice->id, 170));
    add(&second, tx_fixture_delete(&f, tx_fixture_key_of("pods", "default", "b"), first.txs[1]->id));
    add(&second, pod("create", "c", NULL, 5));
    struct tx *brief = pod("create", "d", NULL, 1000);
    add(&second, brief);
    add(&second, tx_fixture_delete(&f, tx_fixture_key_of("pods", "default", "d"), brief->id));
    finish(&second);
    assert_int_equal(claimed_cpu(), 175);
    assert_false(lthash_equal(&before, state_mem_hash(mem)));

    buf_auto struct buf record = BUF_INIT;
    state_undo_encode(&record, &second.update, &head);
    end(&second);
    end(&first);
    struct state_undo *undo;
    assert_int_equal(state_undo_decode(&undo, record.data, record.len, state_mem_hash(mem), NULL), 0);
    state_mem_apply(mem, state_undo_update(undo));
    state_undo_free(undo);
    assert_true(lthash_equal(&before, state_mem_hash(mem)));
    assert_int_equal(state_mem_height(mem), 1);
    assert_int_equal(claimed_cpu(), 300);
    assert_true(rv_of("a") == rv_a && rv_of("b") == rv_b);
    assert_int_equal(rv_of("c"), 0);
    assert_int_equal(rv_of("d"), 0);
    assert_int_equal(state_mem_count(mem), 2);
}

static void test_every_cut_is_refused(void **state)
{
    (void)state;
    struct open_block b;
    begin(&b);
    add(&b, pod("create", "a", NULL, 100));
    finish(&b);
    buf_auto struct buf record = BUF_INIT;
    state_undo_encode(&record, &b.update, &head);
    end(&b);
    for (size_t len = 0; len < record.len; len++) {
        char *cut = malloc(len ? len : 1);
        memcpy(cut, record.data, len);
        struct state_undo *undo;
        assert_int_equal(state_undo_decode(&undo, cut, len, state_mem_hash(mem), NULL), ERR_CORRUPT);
        assert_null(undo);
        free(cut);
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(test_there_and_back, setup, teardown),
    cmocka_unit_test_setup_teardown(test_every_cut_is_refused, setup, teardown),
};

UNIT_MAIN(tests)
