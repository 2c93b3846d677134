/* Checking a whole chain, and proofs: what is right passes, and each kind of forgery is found. */
#include "unit.h"
#include "scratch.h"
#include "ledger_fixture.h"

#include "base/hex.h"
#include "base/log.h"
#include "ledger/chain_verify.h"
#include "ledger/node_key.h"
#include "ledger/proof.h"

#include <sodium.h>

struct chain {
    struct scratch dir;
    char *path;
    struct blockstore *store;
    uint8_t key[64];
    uint8_t tx_id[TX_ID_SIZE]; /* of one configmap */
};

static void chain_open(struct chain *c)
{
    struct blockstore_options options = {.dir = c->path};
    struct err err;
    if (blockstore_open(&c->store, &options, &err))
        fail_msg("%s", err.message);
}

static int setup(void **state)
{
    struct chain *c = mem_zalloc(sizeof(*c));
    struct ledger *ledger;
    struct err err;
    struct ledger_result result;
    scratch_make(&c->dir);
    c->path = mem_strdup(scratch_file(&c->dir, "chain"));
    struct ledger_options options = {.data_dir = c->dir.path};
    assert_int_equal(ledger_open(&ledger, &options, &err), 0);
    assert_int_equal(fixture_put(ledger, "namespaces", FIXTURE_NAMESPACE, "x", NULL, &err), 0);
    assert_int_equal(fixture_put(ledger, "configmaps", "a", "1", &result, &err), 0);
    memcpy(c->tx_id, result.tx_id, TX_ID_SIZE);
    for (int i = 0; i < 5; i++)
        assert_int_equal(fixture_put(ledger, "configmaps", "b", i == 3 ? NULL : "2", NULL, &err), 0);
    ledger_close(ledger);
    assert_int_equal(node_key_load(c->key, scratch_file(&c->dir, "chain/node.key"), &err), 0);
    chain_open(c);
    *state = c;
    return 0;
}

static int teardown(void **state)
{
    struct chain *c = *state;
    blockstore_close(c->store);
    scratch_remove(&c->dir);
    free(c->path);
    free(c);
    return 0;
}

static void test_whole_chain(void **state)
{
    struct chain *c = *state;
    struct chain_verify_report report;
    struct err err;
    if (chain_verify(c->store, NULL, NULL, &report, &err))
        fail_msg("%s", err.message);
    assert_int_equal(report.blocks, 8);
    assert_int_equal(report.transactions, 7);
    assert_int_equal(report.objects, 3);
    assert_int_equal(report.replayed_from, 0);
}

/* A transaction that creates configmaps/name, signed by key. */
static struct tx *make_tx(struct chain *c, const char *name, const char *user, const uint8_t key[64])
{
    struct tx *tx = tx_new();
    struct err err;
    struct block_header genesis;
    assert_int_equal(blockstore_header_at(c->store, 0, &genesis, &err), 0);
    memcpy(tx->chain_id, genesis.hash, TX_ID_SIZE);
    tx->time_us = 1;
    static const char *const masters[] = {"system:masters"};
    tx_set_user(tx, user, masters, strcmp(user, "mallory") != 0);
    tx_set_verb(tx, "create", "");
    struct tx_input input = {.kind = TX_INPUT_INDIRECT, .key = {"", "namespaces", "", FIXTURE_NAMESPACE}};
    struct state_snapshot *snapshot = blockstore_ops()->snapshot_begin(c->store);
    struct state_object parent;
    assert_int_equal(blockstore_ops()->get(snapshot, &input.key, &parent, &err), 0);
    memcpy(input.tx_id, parent.tx_id, TX_ID_SIZE);
    blockstore_ops()->snapshot_end(snapshot);
    tx_add_input(tx, &input);
    struct tx_output output = {.op = TX_OUTPUT_PUT,
                               .key = fixture_key("configmaps", name),
                               .uid = "uid",
                               .encoding = TX_CONTENT_PLAIN,
                               .content = (const uint8_t *)"{}",
                               .content_len = 2};
    tx_add_output(tx, &output);
    assert_int_equal(tx_sign(tx, key, &err), 0);
    return tx;
}

/* Puts a block with that transaction on the head, without asking any rule. */
static void force_block(struct chain *c, struct tx *tx, const uint8_t block_key[64], bool lie_about_state)
{
    struct blockstore_head head;
    struct err err;
    assert_int_equal(blockstore_head(c->store, &head, &err), 0);
    struct tx **txs = mem_alloc(sizeof(struct tx *));
    txs[0] = tx;
    struct block *block = block_new(txs, 1);
    block->header.height = head.header.height + 1;
    block->header.time_us = head.header.time_us + 1;
    memcpy(block->header.parent, head.header.hash, HASH_SIZE);
    struct state_snapshot *snapshot = blockstore_ops()->snapshot_begin(c->store);
    struct state_view *view = state_view_new(blockstore_ops(), snapshot, &head.state_hash);
    state_view_begin(view, block->header.time_us);
    assert_int_equal(state_view_apply(view, tx, &err), 0);
    state_view_digest(view, block->header.state_digest);
    block_seal(block, block_key);
    struct state_update update;
    state_view_update(view, &block->header, &update);
    struct state_change change = update.changes[0];
    if (lie_about_state)
        change.object.rv++;
    update.changes = &change;
    assert_int_equal(blockstore_commit(c->store, block, &update, &err), 0);
    state_view_free(view);
    blockstore_ops()->snapshot_end(snapshot);
    block_free(block);
}

static void expect_fault(struct chain *c, const char *text)
{
    struct chain_verify_report report;
    struct err err;
    assert_int_equal(chain_verify(c->store, NULL, NULL, &report, &err), ERR_CORRUPT);
    if (!strstr(err.message, text))
        fail_msg("expected \"%s\", got \"%s\"", text, err.message);
}

static void foreign_key(uint8_t key[64])
{
    uint8_t public_key[32];
    crypto_sign_keypair(public_key, key);
}

static void test_forced_block_that_is_right(void **state)
{
    struct chain *c = *state;
    struct chain_verify_report report;
    struct err err;
    force_block(c, make_tx(c, "n", "admin", c->key), c->key, false);
    if (chain_verify(c->store, NULL, NULL, &report, &err))
        fail_msg("%s", err.message);
    assert_int_equal(report.blocks, 9);
}

static void test_foreign_producer(void **state)
{
    struct chain *c = *state;
    uint8_t key[64];
    foreign_key(key);
    force_block(c, make_tx(c, "n", "admin", c->key), key, false);
    expect_fault(c, "block 8: its producer is no validator");
}

static void test_foreign_transaction(void **state)
{
    struct chain *c = *state;
    uint8_t key[64];
    foreign_key(key);
    force_block(c, make_tx(c, "n", "admin", key), c->key, false);
    expect_fault(c, "block 8: ");
}

static void test_user_without_permission(void **state)
{
    struct chain *c = *state;
    force_block(c, make_tx(c, "n", "mallory", c->key), c->key, false);
    expect_fault(c, "block 8: ");
}

static void test_create_of_what_exists(void **state)
{
    struct chain *c = *state;
    force_block(c, make_tx(c, "a", "admin", c->key), c->key, false);
    expect_fault(c, "block 8: ");
}

static void test_state_that_was_changed(void **state)
{
    struct chain *c = *state;
    force_block(c, make_tx(c, "n", "admin", c->key), c->key, true);
    expect_fault(c, "the state in data.mdb");
}

static void make_proof(struct chain *c, struct buf *out, bool without_content, bool to_head)
{
    struct proof_options options = {without_content, to_head};
    struct err err;
    buf_clear(out);
    if (proof_make(out, c->store, c->tx_id, &options, &err))
        fail_msg("%s", err.message);
}

static void test_proofs(void **state)
{
    struct chain *c = *state;
    buf_auto struct buf proof = BUF_INIT;
    struct proof_result result;
    struct blockstore_head head;
    struct err err;
    uint8_t other[64];
    foreign_key(other);
    assert_int_equal(blockstore_head(c->store, &head, &err), 0);
    for (int i = 0; i < 4; i++) {
        struct proof_trust none = {0}, right = {.producer = c->key + 32}, wrong = {.producer = other + 32};
        make_proof(c, &proof, i & 1, i & 2);
        assert_int_equal(proof_check(&result, proof.data, proof.len, &none, &err), 0);
        assert_memory_equal(result.tx->id, c->tx_id, TX_ID_SIZE);
        assert_int_equal(result.tx->pruned, i & 1);
        assert_int_equal(result.header.height, 2);
        tx_free(result.tx);
        assert_int_equal(proof_check(&result, proof.data, proof.len, &right, &err), 0);
        tx_free(result.tx);
        assert_int_equal(proof_check(&result, proof.data, proof.len, &wrong, &err), ERR_FORBIDDEN);
        struct proof_trust trusted_head = {.block_hash = head.header.hash};
        assert_int_equal(proof_check(&result, proof.data, proof.len, &trusted_head, &err),
                         i & 2 ? 0 : ERR_FORBIDDEN);
        tx_free(result.tx);
    }
}

/* No character of a proof can be changed into another proof of something else. */
static void test_changed_proofs(void **state)
{
    struct chain *c = *state;
    buf_auto struct buf proof = BUF_INIT;
    struct proof_trust none = {0};
    struct proof_result result;
    struct err err;
    make_proof(c, &proof, false, false);
    for (size_t i = 0; i < proof.len; i++) {
        char kept = proof.data[i];
        proof.data[i] = kept == 'A'                  ? 'B'
                        : kept == '1'                ? '2'
                        : kept >= 'a' && kept <= 'e' ? (char)(kept + 1)
                                                     : 'A';
        if (proof_check(&result, proof.data, proof.len, &none, &err) == 0) {
            assert_memory_equal(result.tx->id, c->tx_id, TX_ID_SIZE);
            assert_int_equal(result.header.height, 2);
            tx_free(result.tx);
        }
        proof.data[i] = kept;
    }
}

static void test_find_id(void **state)
{
    struct chain *c = *state;
    char text[2 * TX_ID_SIZE + 1];
    uint8_t id[HASH_SIZE];
    bool is_block;
    struct err err;
    hex_encode(text, c->tx_id, TX_ID_SIZE);
    for (size_t digits = TX_ID_SIZE * 2; digits >= 8; digits--) {
        text[digits] = '\0';
        assert_int_equal(blockstore_find_id(c->store, text, id, &is_block, &err), 0);
        assert_false(is_block);
        assert_memory_equal(id, c->tx_id, TX_ID_SIZE);
    }
    assert_int_equal(blockstore_find_id(c->store, "abc", id, &is_block, &err), ERR_BAD_REQUEST);
    assert_int_equal(blockstore_find_id(c->store, "xyzw", id, &is_block, &err), ERR_BAD_REQUEST);
    memset(text, '0', 20);
    text[20] = '\0';
    assert_int_equal(blockstore_find_id(c->store, text, id, &is_block, &err), ERR_NOT_FOUND);
    struct blockstore_head head;
    assert_int_equal(blockstore_head(c->store, &head, &err), 0);
    hex_encode(text, head.header.hash, HASH_SIZE);
    assert_int_equal(blockstore_find_id(c->store, text, id, &is_block, &err), 0);
    assert_true(is_block);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
static const struct CMUnitTest tests[] = {
    CASE(test_whole_chain),
    CASE(test_forced_block_that_is_right),
    CASE(test_foreign_producer),
    CASE(test_foreign_transaction),
    CASE(test_user_without_permission),
    CASE(test_create_of_what_exists),
    CASE(test_state_that_was_changed),
    CASE(test_proofs),
    CASE(test_changed_proofs),
    CASE(test_find_id),
};

UNIT_MAIN(tests)
