/* Validators as objects of the chain: their form, and each rule of their changes broken once. */
#include "unit.h"

#include "validator_fixture.h"

#include "chain/vote.h"

#define NODES 5

static struct validator_fixture f;
static struct err err;
static uint8_t public_keys[NODES][TX_KEY_SIZE], secret_keys[NODES][64];
static struct registry_validator *registry;

/* One block is known beside the parent: when it was made. */
static struct {
    uint8_t hash[HASH_SIZE];
    uint64_t height;
    int64_t time_us;
} known;

static bool find_block(void *arg, const uint8_t hash[HASH_SIZE], uint64_t *height, int64_t *time_us)
{
    (void)arg;
    *height = known.height;
    *time_us = known.time_us;
    return memcmp(hash, known.hash, HASH_SIZE) == 0;
}

static int setup(void **state)
{
    (void)state;
    validator_fixture_begin(&f);
    for (uint8_t i = 0; i < NODES; i++)
        tx_fixture_key(public_keys[i], secret_keys[i], (uint8_t)(7 + i)); /* 7: the genesis' producer */
    f.chain.find_block = find_block;
    memset(known.hash, 0xab, HASH_SIZE);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    validator_fixture_end(&f);
    free(registry);
    registry = NULL;
    return 0;
}

static struct registry_validator validator_of(unsigned i, enum registry_phase phase)
{
    struct registry_validator v = {.phase = phase, .address_count = 1, .addresses = {"10.0.0.1:6444"}};
    snprintf(v.name, sizeof(v.name), "node-%u", i);
    memcpy(v.key, public_keys[i], TX_KEY_SIZE);
    return v;
}

static const struct registry_validator *current(unsigned i)
{
    return registry_find(registry, f.chain.registry_count, public_keys[i]);
}

static void sign(struct tx *tx)
{
    memcpy(tx->chain_id, f.tx.genesis->header.hash, TX_ID_SIZE);
    tx->time_us = f.tx.now_us;
    f.tx.nonce++;
    memcpy(tx->nonce, &f.tx.nonce, sizeof(f.tx.nonce));
    tx_fixture_sign(&f.tx, tx);
}

static int run(struct tx *tx)
{
    sign(tx);
    return validator_fixture_run(&f, tx, &err);
}

static int put(unsigned i, enum registry_phase phase)
{
    struct registry_validator v = validator_of(i, phase);
    return run(registry_put_tx(&v, current(i)));
}

/* Ends the block; what it changed counts from now on. */
static void commit(void)
{
    validator_fixture_commit(&f);
    free(registry);
    f.chain.registry_count = registry_load(&registry, state_mem_ops(), f.snapshot);
    f.chain.registry = registry;
    f.chain.height = f.head.height;
    known.height = f.head.height;
    known.time_us = f.head.time_us;
}

static void certify_by(struct tx *tx, const unsigned *signers, size_t count, uint64_t source_round)
{
    struct vote votes[NODES];
    const struct vote *list[NODES];
    for (size_t i = 0; i < count; i++) {
        votes[i] = (struct vote){.kind = VOTE_CHECKPOINT, .number = source_round, .round = 11};
        memcpy(votes[i].chain, f.chain.id, HASH_SIZE);
        memcpy(votes[i].source, known.hash, HASH_SIZE);
        memset(votes[i].target, 0xcd, HASH_SIZE);
        vote_sign(&votes[i], secret_keys[signers[i]]);
        list[i] = &votes[i];
    }
    buf_auto struct buf certificate = BUF_INIT;
    vote_certificate_encode(&certificate, list, count);
    registry_add_certificate(tx, certificate.data, certificate.len);
}

static struct tx *acting_tx(unsigned i)
{
    struct registry_validator v = validator_of(i, REGISTRY_ACTING);
    return registry_put_tx(&v, current(i));
}

/* Makes the first n nodes act. */
static void join(unsigned n)
{
    static const unsigned all[NODES] = {0, 1, 2, 3, 4};
    assert_int_equal(put(0, REGISTRY_ACTING), 0);
    commit();
    for (unsigned i = 1; i < n; i++) {
        assert_int_equal(put(i, REGISTRY_JOINING), 0);
        commit();
        struct tx *tx = acting_tx(i);
        certify_by(tx, all, i, 10);
        assert_int_equal(run(tx), 0);
        commit();
    }
}

static void test_form(void **state)
{
    (void)state;
    struct registry_validator v = validator_of(1, REGISTRY_LEAVING), again;
    struct tx *tx = registry_put_tx(&v, NULL);
    const struct tx_output *o = &tx->outputs[0];
    assert_int_equal(registry_parse(&again, v.name, o->content, o->content_len, &err), 0);
    assert_memory_equal(again.key, v.key, TX_KEY_SIZE);
    assert_int_equal(again.phase, REGISTRY_LEAVING);
    assert_string_equal(again.addresses[0], "10.0.0.1:6444");
    assert_string_equal(tx->user, REGISTRY_USER);
    tx_free(tx);
    static const char *const wrong[] = {
        "[]",
        "{}",
        "{\"key\":\"00\",\"phase\":\"Acting\",\"addresses\":[]}",
        "{\"key\":\"0101010101010101010101010101010101010101010101010101010101010101\",\"phase\":\"Acting\"}",
        "{\"key\":\"0101010101010101010101010101010101010101010101010101010101010101\",\"phase\":\"acting\","
        "\"addresses\":[]}",
        "{\"key\":\"0101010101010101010101010101010101010101010101010101010101010101\",\"phase\":\"Acting\","
        "\"addresses\":[\"nowhere\"]}"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(registry_parse(&again, "a", wrong[i], strlen(wrong[i]), &err), ERR_INVALID);
    assert_int_equal(registry_parse(&again, "A b", "{}", 2, &err), ERR_INVALID);
}

static void test_the_first_is_the_producer_of_the_genesis(void **state)
{
    (void)state;
    assert_int_equal(put(1, REGISTRY_ACTING), ERR_INVALID);
    assert_int_equal(put(0, REGISTRY_JOINING), ERR_INVALID);
    assert_int_equal(put(0, REGISTRY_ACTING), 0);
    /* A block holds one change. */
    assert_int_equal(put(1, REGISTRY_JOINING), ERR_CONFLICT);
    commit();
    assert_int_equal(f.chain.registry_count, 1);
    assert_int_equal(put(1, REGISTRY_ACTING), ERR_INVALID);
    assert_int_equal(put(1, REGISTRY_JOINING), 0);
}

static void test_names_and_keys_are_unique(void **state)
{
    (void)state;
    join(2);
    struct registry_validator v = validator_of(2, REGISTRY_JOINING);
    memcpy(v.key, public_keys[1], TX_KEY_SIZE);
    assert_int_equal(run(registry_put_tx(&v, NULL)), ERR_CONFLICT);
    v = *current(1);
    memcpy(v.key, public_keys[2], TX_KEY_SIZE);
    assert_int_equal(run(registry_put_tx(&v, current(1))), ERR_INVALID);
    v = validator_of(1, REGISTRY_JOINING);
    assert_int_equal(run(registry_put_tx(&v, NULL)), ERR_EXISTS);
}

static void test_one_change_at_a_time(void **state)
{
    (void)state;
    join(3);
    assert_int_equal(put(3, REGISTRY_JOINING), 0);
    commit();
    assert_int_equal(put(4, REGISTRY_JOINING), ERR_CONFLICT);
    assert_int_equal(put(2, REGISTRY_LEAVING), ERR_CONFLICT);
    /* Addresses may change at any time. */
    struct registry_validator v = *current(1);
    snprintf(v.addresses[0], sizeof(v.addresses[0]), "10.9.9.9:6444");
    assert_int_equal(run(registry_put_tx(&v, current(1))), 0);
}

static void test_certificates(void **state)
{
    (void)state;
    static const unsigned signers[] = {0, 1, 2, 3};
    static const unsigned strangers[] = {3, 4};
    join(3);
    assert_int_equal(put(3, REGISTRY_JOINING), 0);
    int64_t before = f.head.time_us;
    commit();
    assert_int_equal(run(acting_tx(3)), ERR_INVALID); /* none */
    struct tx *tx = acting_tx(3);
    certify_by(tx, signers, 1, 10); /* 1 of 3 */
    assert_int_equal(run(tx), ERR_INVALID);
    tx = acting_tx(3);
    certify_by(tx, strangers, 2, 10); /* of those who do not act */
    assert_int_equal(run(tx), ERR_INVALID);
    tx = acting_tx(3);
    certify_by(tx, signers, 2, 9); /* not the very next round: justified, not final */
    assert_int_equal(run(tx), ERR_INVALID);
    known.time_us = before; /* final, but older than the change */
    tx = acting_tx(3);
    certify_by(tx, signers, 2, 10);
    assert_int_equal(run(tx), ERR_INVALID);
    known.time_us = f.head.time_us;
    known.hash[0] ^= 1;
    tx = acting_tx(3);
    certify_by(tx, signers, 2, 10);
    known.hash[0] ^= 1; /* a block that is not on this chain */
    assert_int_equal(run(tx), ERR_INVALID);
    f.chain.height += VALIDATOR_CERTIFICATE_DEPTH + 1;
    tx = acting_tx(3);
    certify_by(tx, signers, 2, 10);
    assert_int_equal(run(tx), ERR_INVALID); /* too old to be known to everybody */
    f.chain.height = f.head.height;
    tx = acting_tx(3);
    certify_by(tx, signers, 2, 10);
    assert_int_equal(run(tx), 0);
}

static void test_byzantine_quorum(void **state)
{
    (void)state;
    static const unsigned signers[] = {0, 1, 2};
    f.chain.byzantine = true;
    join(3);
    assert_int_equal(put(3, REGISTRY_JOINING), 0);
    commit();
    struct tx *tx = acting_tx(3);
    certify_by(tx, signers, 2, 10);
    assert_int_equal(run(tx), ERR_INVALID);
    tx = acting_tx(3);
    certify_by(tx, signers, 3, 10);
    assert_int_equal(run(tx), 0);
}

static void test_leaving(void **state)
{
    (void)state;
    static const unsigned signers[] = {0, 1};
    join(2);
    assert_int_equal(run(registry_delete_tx(current(1))), ERR_INVALID);
    assert_int_equal(put(1, REGISTRY_LEAVING), 0);
    commit();
    assert_int_equal(put(1, REGISTRY_ACTING), ERR_INVALID);
    assert_int_equal(put(0, REGISTRY_LEAVING), ERR_CONFLICT);
    struct tx *tx = registry_delete_tx(current(1));
    certify_by(tx, signers, 1, 10); /* who leaves votes until it is gone */
    assert_int_equal(run(tx), ERR_INVALID);
    tx = registry_delete_tx(current(1));
    certify_by(tx, signers, 2, 10);
    assert_int_equal(run(tx), 0);
    commit();
    assert_int_equal(put(0, REGISTRY_LEAVING), ERR_INVALID); /* the last one */
}

static void test_only_for_the_user(void **state)
{
    (void)state;
    join(2);
    static const char *const groups[] = {"system:masters"};
    struct registry_validator v = validator_of(2, REGISTRY_JOINING);
    struct tx *tx = registry_put_tx(&v, NULL);
    tx_set_user(tx, "admin", groups, 1);
    assert_int_equal(run(tx), ERR_FORBIDDEN);
    tx = registry_put_tx(&v, NULL);
    tx_fixture_put(tx, tx_fixture_key_of("namespaces", "", "beside"), "{}");
    assert_int_equal(run(tx), ERR_INVALID);
}

/* Who is registered signs, in any phase; the genesis' producer only while nobody is. */
static void test_who_may_sign(void **state)
{
    (void)state;
    join(2);
    assert_int_equal(put(2, REGISTRY_JOINING), 0);
    commit();
    for (unsigned i = 0; i < 4; i++) {
        char name[8];
        snprintf(name, sizeof(name), "ns-%u", i);
        memcpy(f.tx.secret_key, secret_keys[i], 64);
        struct tx *tx = tx_fixture_create(&f.tx, tx_fixture_key_of("namespaces", "", name), "{}");
        assert_int_equal(validator_fixture_run(&f, tx, &err), i < 3 ? 0 : ERR_FORBIDDEN);
    }
}

static void test_at_most_once(void **state)
{
    (void)state;
    join(2);
    struct tx *tx = tx_fixture_create(&f.tx, tx_fixture_key_of("namespaces", "", "a"), "{}");
    uint8_t first[TX_ID_SIZE];
    memcpy(first, tx->id, TX_ID_SIZE);
    assert_int_equal(validator_fixture_run(&f, tx, &err), 0);
    for (int in_block = 1; in_block >= 0; in_block--) {
        tx = tx_fixture_new(&f.tx, "create"); /* a rebased form of the first, after it */
        memcpy(tx->original, first, TX_ID_SIZE);
        tx_fixture_put(tx, tx_fixture_key_of("namespaces", "", "b"), "{}");
        tx_fixture_sign(&f.tx, tx);
        assert_int_equal(validator_fixture_run(&f, tx, &err), ERR_INCLUDED);
        if (in_block)
            commit();
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(test_form, setup, teardown),
    cmocka_unit_test_setup_teardown(test_the_first_is_the_producer_of_the_genesis, setup, teardown),
    cmocka_unit_test_setup_teardown(test_names_and_keys_are_unique, setup, teardown),
    cmocka_unit_test_setup_teardown(test_one_change_at_a_time, setup, teardown),
    cmocka_unit_test_setup_teardown(test_certificates, setup, teardown),
    cmocka_unit_test_setup_teardown(test_byzantine_quorum, setup, teardown),
    cmocka_unit_test_setup_teardown(test_leaving, setup, teardown),
    cmocka_unit_test_setup_teardown(test_only_for_the_user, setup, teardown),
    cmocka_unit_test_setup_teardown(test_who_may_sign, setup, teardown),
    cmocka_unit_test_setup_teardown(test_at_most_once, setup, teardown),
};

UNIT_MAIN(tests)
