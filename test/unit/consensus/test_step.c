/* The step function of the consensus manager: who is answered what, and when. */
#include "unit.h"

#include "chain_fixture.h"

#define CONFIG_MAP(name) tx_fixture_key_of("configmaps", "default", name)

static int setup(void **state)
{
    static struct chain_fixture f;
    chain_fixture_begin(&f);
    *state = &f;
    struct resource_key ns = tx_fixture_key_of("namespaces", "", "default");
    struct consensus_answer answer = chain_fixture_run(&f, tx_fixture_create(&f.tx, ns, "{}"), NULL);
    assert_int_equal(answer.code, 0);
    return 0;
}

static int teardown(void **state)
{
    chain_fixture_end(*state);
    return 0;
}

static void test_create_is_included(void **state)
{
    struct chain_fixture *f = *state;
    struct tx *tx = tx_fixture_create(&f->tx, CONFIG_MAP("a"), "{\"a\":1}");
    uint8_t id[TX_ID_SIZE];
    memcpy(id, tx->id, sizeof(id));
    struct consensus_answer answer = chain_fixture_run(f, tx, NULL);
    assert_int_equal(answer.code, 0);
    assert_int_equal(answer.height, 2);
    assert_int_equal(answer.rv, (uint64_t)f->tx.now_us * 1024);
    assert_memory_equal(answer.tx_id, id, sizeof(id));

    struct state_snapshot *snapshot = state_mem_ops()->snapshot_begin(f->store);
    struct state_object object;
    struct resource_key key = CONFIG_MAP("a");
    assert_int_equal(state_mem_ops()->get(snapshot, &key, &object, NULL), 0);
    assert_int_equal(object.rv, answer.rv);
    assert_memory_equal(object.content, "{\"a\":1}", 7);
    assert_memory_equal(object.tx_id, id, sizeof(id));
    state_mem_ops()->snapshot_end(snapshot);
}

static void test_no_answer_before_persisted(void **state)
{
    struct chain_fixture *f = *state;
    struct consensus_update update;
    chain_fixture_submit(f, tx_fixture_create(&f->tx, CONFIG_MAP("a"), "{}"), f, &update);
    assert_int_equal(update.answer_count, 0);
    assert_int_equal(chain_fixture_tick(f, &update, NULL), 0);
    assert_non_null(update.persist);
    assert_int_equal(update.answer_count, 0);
    assert_true(consensus_is_persisting(f->consensus));

    /* What comes meanwhile waits: ticks make no second block. */
    const struct consensus_persist *persist = update.persist;
    chain_fixture_submit(f, tx_fixture_create(&f->tx, CONFIG_MAP("b"), "{}"), f, &update);
    assert_int_equal(chain_fixture_tick(f, &update, NULL), 0);
    assert_null(update.persist);
    assert_int_equal(consensus_pending(f->consensus), 1);

    chain_fixture_persist(f, persist, &update);
    assert_int_equal(update.answer_count, 1);
    assert_int_equal(update.answers[0].code, 0);
    assert_int_equal(consensus_head(f->consensus)->height, 2);
}

static void test_stale_and_strict(void **state)
{
    struct chain_fixture *f = *state;
    struct consensus_answer created =
        chain_fixture_run(f, tx_fixture_create(&f->tx, CONFIG_MAP("a"), "{\"v\":1}"), NULL);
    struct tx *first = tx_fixture_update(&f->tx, CONFIG_MAP("a"), created.tx_id, "{\"v\":2}");
    assert_int_equal(chain_fixture_run(f, first, NULL).code, 0);

    char message[ERR_MESSAGE_MAX];
    struct tx *second = tx_fixture_update(&f->tx, CONFIG_MAP("a"), created.tx_id, "{\"v\":3}");
    assert_int_equal(chain_fixture_run(f, second, message).code, ERR_STALE);
    assert_string_equal(
        message, "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please "
                 "apply your changes to the latest version and try again");

    struct tx *strict = tx_fixture_new(&f->tx, "update");
    strict->strict = true;
    tx_fixture_input(strict, TX_INPUT_DIRECT, CONFIG_MAP("a"), created.tx_id);
    tx_fixture_put(strict, CONFIG_MAP("a"), "{\"v\":4}");
    tx_fixture_sign(&f->tx, strict);
    assert_int_equal(chain_fixture_run(f, strict, NULL).code, ERR_CONFLICT);
}

static void test_rejection_is_answered_with_its_block(void **state)
{
    struct chain_fixture *f = *state;
    struct consensus_update update;
    int tokens[2];
    chain_fixture_submit(f, tx_fixture_create(&f->tx, CONFIG_MAP("a"), "{\"by\":1}"), &tokens[0], &update);
    chain_fixture_submit(f, tx_fixture_create(&f->tx, CONFIG_MAP("a"), "{\"by\":2}"), &tokens[1], &update);
    assert_int_equal(chain_fixture_tick(f, &update, NULL), 0);
    assert_int_equal(update.answer_count, 0);
    assert_int_equal(update.persist->block->header.tx_count, 1);
    const struct consensus_persist *persist = update.persist;
    chain_fixture_persist(f, persist, &update);
    assert_int_equal(update.answer_count, 2);
    int refused = update.answers[0].code ? 0 : 1;
    assert_int_equal(update.answers[refused].code, ERR_EXISTS);
    assert_string_equal(update.answers[refused].message, "configmaps \"a\" already exists");
    assert_int_equal(update.answers[1 - refused].code, 0);
}

static void test_all_rejected_makes_no_block(void **state)
{
    struct chain_fixture *f = *state;
    char message[ERR_MESSAGE_MAX];
    struct tx *tx = tx_fixture_create(&f->tx, tx_fixture_key_of("pods", "nowhere", "p"), "{}");
    assert_int_equal(chain_fixture_run(f, tx, message).code, ERR_NOT_FOUND);
    assert_string_equal(message, "namespaces \"nowhere\" not found");
    assert_int_equal(consensus_head(f->consensus)->height, 1);
}

static void test_create_update_delete_in_one_block(void **state)
{
    struct chain_fixture *f = *state;
    struct consensus_update update;
    struct tx *create = tx_fixture_create(&f->tx, CONFIG_MAP("a"), "{\"v\":1}");
    struct tx *change = tx_fixture_update(&f->tx, CONFIG_MAP("a"), create->id, "{\"v\":2}");
    struct tx *drop = tx_fixture_delete(&f->tx, CONFIG_MAP("a"), change->id);
    chain_fixture_submit(f, drop, NULL, &update);
    chain_fixture_submit(f, change, NULL, &update);
    chain_fixture_submit(f, create, NULL, &update);
    assert_int_equal(chain_fixture_tick(f, &update, NULL), 0);
    const struct state_update *s = &update.persist->state;
    assert_int_equal(s->change_count, 3);
    assert_int_equal(s->changes[0].type, STATE_ADDED);
    assert_int_equal(s->changes[1].type, STATE_MODIFIED);
    assert_memory_equal(s->changes[1].old.content, "{\"v\":1}", 7);
    assert_int_equal(s->changes[2].type, STATE_DELETED);
    assert_memory_equal(s->changes[2].object.content, "{\"v\":2}", 7);
    assert_int_equal(s->changes[2].object.rv, block_rv(f->tx.now_us, 2));
    /* Nothing is left of it in the state hash: only the namespace's element, as before. */
    uint8_t digest[HASH_SIZE];
    lthash_digest(digest, s->hash);
    assert_memory_equal(digest, consensus_head(f->consensus)->state_digest, HASH_SIZE);
    const struct consensus_persist *persist = update.persist;
    chain_fixture_persist(f, persist, &update);
    assert_int_equal(update.answer_count, 3);
    assert_int_equal(state_mem_count(f->store), 1);
}

static void test_time_never_runs_backwards(void **state)
{
    struct chain_fixture *f = *state;
    int64_t before = consensus_head(f->consensus)->time_us;
    f->tx.now_us -= 10000000;
    struct consensus_answer answer =
        chain_fixture_run(f, tx_fixture_create(&f->tx, CONFIG_MAP("a"), "{}"), NULL);
    assert_int_equal(answer.code, 0);
    assert_int_equal(consensus_head(f->consensus)->time_us, before + 1);
    assert_true(answer.rv > block_rv(before, 1023));
}

static void test_persist_failure_drops_the_block(void **state)
{
    struct chain_fixture *f = *state;
    struct consensus_update update;
    chain_fixture_submit(f, tx_fixture_create(&f->tx, CONFIG_MAP("a"), "{}"), f, &update);
    assert_int_equal(chain_fixture_tick(f, &update, NULL), 0);
    struct consensus_event event = {.type = CONSENSUS_PERSIST_FAILED, .now_us = f->tx.now_us};
    assert_int_equal(consensus_step(f->consensus, &event, &update, NULL), 0);
    assert_int_equal(update.answer_count, 1);
    assert_int_equal(update.answers[0].code, ERR_UNAVAILABLE);
    assert_int_equal(consensus_head(f->consensus)->height, 1);
    assert_int_equal(chain_fixture_run(f, tx_fixture_create(&f->tx, CONFIG_MAP("a"), "{}"), NULL).code, 0);
}

static void test_same_transaction_twice(void **state)
{
    struct chain_fixture *f = *state;
    struct tx *tx = tx_fixture_create(&f->tx, CONFIG_MAP("a"), "{}");
    struct tx *again[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(tx_decode(&again[i], tx->encoded, tx->encoded_len, NULL), 0);
    int tokens[2];
    struct consensus_update update;
    chain_fixture_submit(f, tx, &tokens[0], &update);
    chain_fixture_submit(f, again[0], &tokens[1], &update);
    assert_int_equal(consensus_pending(f->consensus), 1);
    assert_int_equal(chain_fixture_tick(f, &update, NULL), 0);
    const struct consensus_persist *persist = update.persist;
    chain_fixture_persist(f, persist, &update);
    assert_int_equal(update.answer_count, 2);
    uint64_t rv = update.answers[0].rv;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(update.answers[i].code, 0);
        assert_ptr_equal(update.answers[i].token, &tokens[i]);
        assert_int_equal(update.answers[i].rv, rv);
    }
    /* Once its object is deleted again, a repetition must not bring it back: it is in the chain already. */
    struct consensus_answer gone =
        chain_fixture_run(f, tx_fixture_delete(&f->tx, CONFIG_MAP("a"), update.answers[0].tx_id), NULL);
    assert_int_equal(gone.code, 0);
    struct consensus_answer late = chain_fixture_run(f, again[1], NULL);
    assert_int_equal(late.code, 0);
    assert_int_equal(late.rv, rv);
    assert_int_equal(late.height, gone.height - 1);
    assert_int_equal(state_mem_count(f->store), 1);
}

static void test_received_block_is_checked_and_answers(void **state)
{
    struct chain_fixture *f = *state;
    struct chain_fixture other;
    chain_fixture_begin(&other);
    struct resource_key ns = tx_fixture_key_of("namespaces", "", "default");
    other.tx.now_us = f->tx.now_us - 1000;
    struct consensus_answer answer = chain_fixture_run(&other, tx_fixture_create(&other.tx, ns, "{}"), NULL);
    assert_int_equal(answer.code, 0);
    assert_memory_equal(consensus_head(f->consensus)->hash, consensus_head(other.consensus)->hash, HASH_SIZE);

    struct tx *tx = tx_fixture_create(&f->tx, CONFIG_MAP("a"), "{}");
    struct tx *copy;
    assert_int_equal(tx_decode(&copy, tx->encoded, tx->encoded_len, NULL), 0);
    struct consensus_update update;
    chain_fixture_submit(f, tx, f, &update);
    struct consensus_update made;
    chain_fixture_submit(&other, copy, NULL, &made);
    assert_int_equal(chain_fixture_tick(&other, &made, NULL), 0);

    const struct block *block = made.persist->block;
    assert_int_equal(chain_fixture_receive(f, block, &update, NULL), 0);
    assert_non_null(update.persist);
    const struct consensus_persist *persist = update.persist;
    chain_fixture_persist(f, persist, &update);
    assert_int_equal(update.answer_count, 1);
    assert_int_equal(update.answers[0].code, 0);
    assert_int_equal(consensus_pending(f->consensus), 0);
    /* A second time there is nothing to do. */
    assert_int_equal(chain_fixture_receive(f, block, &update, NULL), 0);
    assert_null(update.persist);
    assert_int_equal(update.blame_count, 0);
    chain_fixture_end(&other);
}

static void test_reports_of_nothing_are_refused(void **state)
{
    struct chain_fixture *f = *state;
    struct consensus_update update;
    struct err err;
    struct consensus_event event = {.type = CONSENSUS_PERSISTED, .now_us = f->tx.now_us};
    assert_int_equal(consensus_step(f->consensus, &event, &update, &err), ERR_INTERNAL);
    event.type = CONSENSUS_PERSIST_FAILED;
    assert_int_equal(consensus_step(f->consensus, &event, &update, &err), ERR_INTERNAL);
}

static void test_policy_follows_the_chain(void **state)
{
    struct chain_fixture *f = *state;
    struct rbac_attributes a = {.user = "jane",
                                .verb = "get",
                                .group = "",
                                .resource = "pods",
                                .subresource = "",
                                .namespace = "x",
                                .name = ""};
    assert_false(rbac_allows(consensus_policy(f->consensus), &a, NULL));
    struct rbac_policy *before = rbac_policy_retain(consensus_policy(f->consensus));
    struct tx *tx = tx_fixture_new(&f->tx, "create");
    struct resource_key role = {"rbac.authorization.k8s.io", "clusterroles", "", "r"};
    struct resource_key binding = {"rbac.authorization.k8s.io", "clusterrolebindings", "", "b"};
    tx_fixture_put(tx, role,
                   "{\"rules\":[{\"verbs\":[\"get\"],\"apiGroups\":[\"\"],\"resources\":[\"pods\"]}]}");
    tx_fixture_put(tx, binding,
                   "{\"roleRef\":{\"kind\":\"ClusterRole\",\"name\":\"r\"},\"subjects\":[{\"kind\":\"User\","
                   "\"name\":\"jane\"}]}");
    tx_fixture_sign(&f->tx, tx);
    assert_int_equal(chain_fixture_run(f, tx, NULL).code, 0);
    assert_true(rbac_allows(consensus_policy(f->consensus), &a, NULL));
    assert_false(rbac_allows(before, &a, NULL));
    rbac_policy_release(before);

    /* And from the store alone, after a restart. */
    consensus_free(f->consensus);
    chain_fixture_open(f);
    assert_true(rbac_allows(consensus_policy(f->consensus), &a, NULL));
}

static void test_wrong_state_hash_is_refused_at_start(void **state)
{
    struct chain_fixture *f = *state;
    struct chain_store other;
    chain_store_begin(&other, f->mem.chain[1].block);
    struct consensus_options options = {
        .genesis = &f->tx.genesis->header,
        .store_ops = chain_store_state_ops(),
        .chain_ops = chain_store_chain_ops(),
        .store = &other,
        .settings = CONSENSUS_SETTINGS_DEFAULT,
    };
    struct consensus *c;
    struct err err;
    assert_int_equal(consensus_new(&c, &options, &err), ERR_CORRUPT);
    assert_null(c);
    chain_store_end(&other);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(test_create_is_included, setup, teardown),
    cmocka_unit_test_setup_teardown(test_no_answer_before_persisted, setup, teardown),
    cmocka_unit_test_setup_teardown(test_stale_and_strict, setup, teardown),
    cmocka_unit_test_setup_teardown(test_rejection_is_answered_with_its_block, setup, teardown),
    cmocka_unit_test_setup_teardown(test_all_rejected_makes_no_block, setup, teardown),
    cmocka_unit_test_setup_teardown(test_create_update_delete_in_one_block, setup, teardown),
    cmocka_unit_test_setup_teardown(test_time_never_runs_backwards, setup, teardown),
    cmocka_unit_test_setup_teardown(test_persist_failure_drops_the_block, setup, teardown),
    cmocka_unit_test_setup_teardown(test_same_transaction_twice, setup, teardown),
    cmocka_unit_test_setup_teardown(test_received_block_is_checked_and_answers, setup, teardown),
    cmocka_unit_test_setup_teardown(test_reports_of_nothing_are_refused, setup, teardown),
    cmocka_unit_test_setup_teardown(test_policy_follows_the_chain, setup, teardown),
    cmocka_unit_test_setup_teardown(test_wrong_state_hash_is_refused_at_start, setup, teardown),
};

UNIT_MAIN(tests)
