/* What consensus managers say to each other: one encoding of each message, and nothing malformed gets in. */
#include "unit.h"

#include "consensus/message.h"
#include "tx_fixture.h"

#include "base/mem.h"

static int setup(void **state)
{
    static struct tx_fixture f;
    tx_fixture_begin(&f);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    tx_fixture_end(*state);
    return 0;
}

/* Encodes, decodes and encodes again; every shorter or longer form is refused. */
static void check_round(const struct message *message, struct message *out)
{
    buf_auto struct buf bytes = BUF_INIT, again = BUF_INIT;
    message_encode(&bytes, message);
    struct err err;
    assert_int_equal(message_decode(out, bytes.data, bytes.len, &err), 0);
    assert_int_equal(out->type, message->type);
    message_encode(&again, out);
    assert_int_equal(again.len, bytes.len);
    assert_memory_equal(again.data, bytes.data, bytes.len);
    struct message cut;
    for (size_t len = 0; len < bytes.len; len += 1 + bytes.len / 64)
        assert_int_equal(message_decode(&cut, bytes.data, len, &err), ERR_INVALID);
    buf_putc(&bytes, 0);
    assert_int_equal(message_decode(&cut, bytes.data, bytes.len, &err), ERR_INVALID);
    assert_false(out->verified);
    assert_int_equal(message_verify(out, NULL, &err), 0);
    assert_true(out->verified);
}

static struct vote vote_of(const struct tx_fixture *f, enum vote_kind kind, uint64_t round, uint8_t target)
{
    struct vote vote = {.kind = kind, .round = round, .number = kind == VOTE_CHECKPOINT ? round - 1 : 0};
    memcpy(vote.chain, f->genesis->header.hash, HASH_SIZE);
    memset(vote.target, target, HASH_SIZE);
    vote_sign(&vote, f->secret_key);
    return vote;
}

static void test_places(void **state)
{
    (void)state;
    struct message out, message = {.height = 77, .slot = 5, .finalized_height = 70, .code = ERR_EXISTS};
    memset(message.hash, 9, HASH_SIZE);
    memset(message.tx_id, 8, TX_ID_SIZE);
    message.finalized = (struct checkpoint){.round = 3, .block = {1}};
    message.justified = (struct checkpoint){.round = 4, .block = {2}};
    static const enum message_type types[] = {MESSAGE_STATUS, MESSAGE_HAVE, MESSAGE_LACK,
                                              MESSAGE_TAKE,   MESSAGE_END,  MESSAGE_HANDOVER};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        message.type = types[i];
        check_round(&message, &out);
        if (types[i] == MESSAGE_STATUS) {
            assert_int_equal(out.finalized_height, 70);
            assert_memory_equal(&out.justified, &message.justified, sizeof(out.justified));
        }
        assert_true(types[i] == MESSAGE_TAKE ? out.slot == 5 : out.height == 77);
        message_free(&out);
    }
}

static void test_reject(void **state)
{
    (void)state;
    char text[] = "configmaps \"a\" already exists";
    struct message out, message = {.type = MESSAGE_REJECT, .height = 3, .code = ERR_EXISTS, .text = text};
    check_round(&message, &out);
    assert_int_equal(out.code, ERR_EXISTS);
    assert_string_equal(out.text, text);
    message_free(&out);
    buf_auto struct buf bytes = BUF_INIT;
    message.code = 0; /* a rejection is no success */
    message_encode(&bytes, &message);
    struct err err;
    assert_int_equal(message_decode(&out, bytes.data, bytes.len, &err), ERR_INVALID);
}

static void test_transaction_and_block(void **state)
{
    struct tx_fixture *f = *state;
    struct tx *tx = tx_fixture_create(f, tx_fixture_key_of("configmaps", "default", "a"), "{}");
    struct message out, message = {.type = MESSAGE_TXS, .txs = &tx, .tx_count = 1};
    check_round(&message, &out);
    assert_int_equal(out.tx_count, 1);
    assert_true(out.txs[0]->trusted);
    assert_memory_equal(out.txs[0]->id, tx->id, TX_ID_SIZE);
    message_free(&out);

    struct tx **txs = mem_calloc(1, sizeof(*txs));
    txs[0] = tx;
    struct block *block = block_new(txs, 1);
    block->header.height = 1;
    block->header.time_us = f->now_us + 1;
    block->header.slot = 1700000000;
    block->header.number = 17;
    block_seal(block, f->secret_key);
    message = (struct message){.type = MESSAGE_BLOCK, .block = block};
    check_round(&message, &out);
    assert_true(out.block->trusted);
    assert_int_equal(out.block->header.number, 17);
    message_free(&out);
    block_free(block);
}

static void test_wrong_signatures(void **state)
{
    struct tx_fixture *f = *state;
    struct err err;
    struct tx *tx = tx_fixture_create(f, tx_fixture_key_of("configmaps", "default", "a"), "{}");
    struct message message = {.type = MESSAGE_TXS, .txs = &tx, .tx_count = 1};
    tx->node_signature[0] ^= 1;
    assert_int_equal(message_verify(&message, NULL, &err), 0); /* made here: trusted */
    tx->trusted = false;
    assert_int_equal(message_verify(&message, NULL, &err), ERR_FORBIDDEN);
    assert_false(message.verified);
    tx_free(tx);

    struct vote votes[2] = {vote_of(f, VOTE_ATTESTATION, 5, 1), vote_of(f, VOTE_CHECKPOINT, 6, 1)};
    message = (struct message){.type = MESSAGE_VOTES, .votes = votes, .vote_count = 2};
    assert_int_equal(message_verify(&message, NULL, &err), 0);
    votes[1].target[0] ^= 1;
    assert_int_equal(message_verify(&message, NULL, &err), ERR_FORBIDDEN);
}

static void test_votes(void **state)
{
    struct tx_fixture *f = *state;
    struct vote votes[3] = {vote_of(f, VOTE_ATTESTATION, 5, 1), vote_of(f, VOTE_CHECKPOINT, 6, 1),
                            vote_of(f, VOTE_PROPOSAL, 6, 1)};
    struct message out, message = {.type = MESSAGE_VOTES, .votes = votes, .vote_count = 2};
    check_round(&message, &out);
    assert_int_equal(out.vote_count, 2);
    assert_memory_equal(&out.votes[1].target, &votes[1].target, HASH_SIZE);
    message_free(&out);
    /* Proposals are blocks' headers; as votes nobody says them. */
    buf_auto struct buf bytes = BUF_INIT;
    message.vote_count = 3;
    message_encode(&bytes, &message);
    struct err err;
    assert_int_equal(message_decode(&out, bytes.data, bytes.len, &err), ERR_INVALID);
}

static struct block *block_at(const struct tx_fixture *f, int64_t time_us)
{
    struct block *block = block_new(NULL, 0);
    block->header.height = 1;
    block->header.time_us = time_us;
    block->header.slot = 4;
    block->header.number = 2;
    block_seal(block, f->secret_key);
    return block;
}

static void test_proofs(void **state)
{
    struct tx_fixture *f = *state;
    struct vote votes[2] = {vote_of(f, VOTE_ATTESTATION, 5, 1), vote_of(f, VOTE_ATTESTATION, 5, 2)};
    struct message out, message = {.type = MESSAGE_PROOF, .votes = votes, .vote_count = 2};
    check_round(&message, &out);
    assert_int_equal(vote_conflict(&out.votes[0], &out.votes[1]), VOTE_CONFLICT_TWO_HEADS);
    message_free(&out);

    struct block *a = block_at(f, f->now_us + 1), *b = block_at(f, f->now_us + 2);
    bool ascending = memcmp(a->header.hash, b->header.hash, HASH_SIZE) < 0;
    message = (struct message){.type = MESSAGE_PROOF};
    message.headers[0] = ascending ? a->header : b->header;
    message.headers[1] = ascending ? b->header : a->header;
    check_round(&message, &out);
    assert_true(block_headers_conflict(&out.headers[0], &out.headers[1]));
    message_free(&out);

    buf_auto struct buf bytes = BUF_INIT;
    message.headers[0] = message.headers[1]; /* the same block twice proves nothing */
    message_encode(&bytes, &message);
    struct err err;
    assert_int_equal(message_decode(&out, bytes.data, bytes.len, &err), ERR_INVALID);
    block_free(a);
    block_free(b);
}

static void test_hashes(void **state)
{
    (void)state;
    static uint8_t hashes[MESSAGE_HASHES_MAX + 1][HASH_SIZE];
    struct message out, message = {.type = MESSAGE_GET_BLOCKS, .hashes = hashes};
    struct err err;
    for (size_t i = 0; i <= MESSAGE_HASHES_MAX; i++)
        hashes[i][0] = (uint8_t)i;
    message.hash_count = MESSAGE_HASHES_MAX;
    check_round(&message, &out);
    assert_int_equal(out.hash_count, MESSAGE_HASHES_MAX);
    message_free(&out);
    static const struct {
        enum message_type type;
        size_t count;
    } refused[] = {{MESSAGE_GET_BLOCKS, MESSAGE_HASHES_MAX + 1},
                   {MESSAGE_GET_BLOCKS, 0},
                   {MESSAGE_AGAIN, MESSAGE_HASHES_MAX + 1},
                   {MESSAGE_GET_CHAIN, MESSAGE_LOCATOR_MAX + 1}};
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        buf_auto struct buf bytes = BUF_INIT;
        message.type = refused[i].type;
        message.hash_count = refused[i].count;
        message_encode(&bytes, &message);
        assert_int_equal(message_decode(&out, bytes.data, bytes.len, &err), ERR_INVALID);
    }
}

static void test_unknown_types(void **state)
{
    (void)state;
    struct message out;
    struct err err;
    uint8_t bytes[64] = {0};
    for (unsigned type = 0; type < 256; type++) {
        bytes[0] = (uint8_t)type;
        if (type == 0 || type > MESSAGE_END)
            assert_int_equal(message_decode(&out, bytes, sizeof(bytes), &err), ERR_INVALID);
    }
    assert_int_equal(message_decode(&out, NULL, 0, &err), ERR_INVALID);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(test_places, setup, teardown),
    cmocka_unit_test_setup_teardown(test_reject, setup, teardown),
    cmocka_unit_test_setup_teardown(test_transaction_and_block, setup, teardown),
    cmocka_unit_test_setup_teardown(test_wrong_signatures, setup, teardown),
    cmocka_unit_test_setup_teardown(test_votes, setup, teardown),
    cmocka_unit_test_setup_teardown(test_proofs, setup, teardown),
    cmocka_unit_test_setup_teardown(test_hashes, setup, teardown),
    cmocka_unit_test_setup_teardown(test_unknown_types, setup, teardown),
};

UNIT_MAIN(tests)
