/*
 * A node that crashed after what it had replayed was in the chain, and before it had told what was lost with
 * it: nothing is lost without a trace, and nothing is told twice.
 */
#include "replay_sides.h"

static json_t *replay_events(void)
{
    json_auto_t *list = api_ok(&s.winner, 200, API_LIST, "events", "default", "", NULL);
    json_t *out = json_array();
    size_t i;
    json_t *event;
    json_array_foreach(json_object_get(list, "items"), i, event)
    {
        if (!strcmp(json_str_or_empty(event, "reason"), "ReplayConflict"))
            json_array_append(out, event);
    }
    return out;
}

/* They are written by a thread of their own. */
static void await_events(size_t count)
{
    json_t *list = replay_events();
    for (int i = 0; json_array_size(list) < count && i < 500; i++) {
        json_decref(list);
        usleep(10000);
        list = replay_events();
    }
    assert_int_equal(json_array_size(list), count);
    json_decref(list);
}

/* The one field in which it lost. */
static void assert_lost_a(const json_t *conflict, const char *loser)
{
    json_auto_t *expected = jq("[{'path':'.data.a','winner':'\\'w\\'','loser':'\\'%s\\''}]", loser);
    assert_true(json_equal(json_object_get(conflict, "losses"), expected));
}

static void test_a_loss_is_told(void **state)
{
    (void)state;
    cut(make_config);
    patch(&s.winner, "configmaps", "c", "{'data':{'a':'w'}}");
    patch(&s.loser, "configmaps", "c", "{'data':{'a':'l','b':'l'}}");
    bring();
    /* Said after the histories were merged: none of the loser's business. */
    patch(&s.winner, "configmaps", "c", "{'data':{'b':'later'}}");
    crash();
    heal();
    json_auto_t *list = await_conflicts(1);
    const json_t *conflict = json_array_get(list, 0);
    assert_text("c", conflict, "object", "name");
    assert_string_equal(json_str_or_empty(conflict, "outcome"), "Merged");
    assert_lost_a(conflict, "l");
    await_events(1);
    json_auto_t *c = get("configmaps", "c");
    assert_text("w", c, "data", "a");
    assert_text("later", c, "data", "b");
    end();
}

static void test_what_is_told_is_not_told_again(void **state)
{
    (void)state;
    cut(make_config);
    patch(&s.winner, "configmaps", "c", "{'data':{'a':'w'}}");
    patch(&s.loser, "configmaps", "c", "{'data':{'a':'l','b':'l'}}");
    bring();
    assert_conflicts(1);
    orphan_conflicts_free(s.conflicts); /* writes the Event */
    s.conflicts = NULL;
    crash();
    heal();
    assert_conflicts(1);
    await_events(1);
    end();
}

static void test_what_lost_nothing_is_not_told(void **state)
{
    (void)state;
    cut(make_config);
    patch(&s.winner, "configmaps", "c", "{'data':{'a':'w'}}");
    patch(&s.loser, "configmaps", "c", "{'data':{'b':'l'}}");
    patch(&s.loser, "configmaps", "c", "{'data':{'b':null}}");
    create(&s.loser, "configmaps", "{'metadata':{'name':'n'}}");
    bring();
    patch(&s.winner, "configmaps", "c", "{'data':{'b':'later'}}");
    crash();
    heal();
    assert_conflicts(0);
    end();
}

static void patch_number(struct api_fixture *f, int number)
{
    char text[64];
    snprintf(text, sizeof(text), "{'data':{'a':'l%d','n%d':'x'}}", number, number);
    patch(f, "configmaps", "c", text);
}

/* Of ten writes of one field the last is told, wherever among them the crash was. */
static void test_of_a_field_the_last_value_is_told(void **state)
{
    (void)state;
    static const uint64_t brought[] = {1, 6, 10};
    for (size_t i = 0; i < sizeof(brought) / sizeof(*brought); i++) {
        cut(make_config);
        patch(&s.winner, "configmaps", "c", "{'data':{'a':'w'}}");
        for (int n = 0; n < 10; n++)
            patch_number(&s.loser, n);
        bring_first(brought[i]);
        assert_int_equal(s.replayed, brought[i]);
        crash();
        heal();
        json_auto_t *list = await_conflicts(1);
        assert_lost_a(json_array_get(list, 0), "l9");
        json_auto_t *c = get("configmaps", "c");
        assert_text("x", c, "data", "n0");
        assert_text("x", c, "data", "n9");
        end();
    }
}

/* What was changed after the two creates follows the object that stays. */
static void test_two_objects_of_one_name(void **state)
{
    (void)state;
    for (uint64_t brought = 1; brought <= 2; brought++) {
        cut(NULL);
        create(&s.winner, "configmaps", "{'metadata':{'name':'n'},'data':{'a':'w'}}");
        create(&s.loser, "configmaps", "{'metadata':{'name':'n'},'data':{'a':'l','l':'l'}}");
        patch(&s.loser, "configmaps", "n", "{'data':{'later':'l'}}");
        bring_first(brought);
        crash();
        heal();
        json_auto_t *list = await_conflicts(1);
        assert_lost_a(json_array_get(list, 0), "l");
        json_auto_t *n = get("configmaps", "n");
        assert_text("l", n, "data", "later");
        end();
    }
}

#define SERVICE(name) \
    "{'metadata':{'name':'" name "'},'spec':{'clusterIP':'10.43.0.99','ports':[{'port':80}]}}"

static void test_a_service_lost_its_address(void **state)
{
    (void)state;
    cut(NULL);
    create(&s.winner, "services", SERVICE("w"));
    create(&s.loser, "services", SERVICE("l"));
    struct block *block;
    struct err err = {0};
    assert_int_equal(blockstore_block_at(ledger_store(s.loser.ledger), s.fork + 1, &block, &err), 0);
    assert_int_equal(orphan_replay(s.winner.server, &s.aliases, s.conflicts, block->txs[0], &err), 0);
    block_free(block);
    crash();
    heal();
    json_auto_t *list = await_conflicts(1);
    const json_t *loss = json_array_get(json_object_get(json_array_get(list, 0), "losses"), 0);
    json_auto_t *l = get("services", "l");
    char expected[64];
    snprintf(expected, sizeof(expected), "\"%s\"", json_str_or_empty(l, "spec", "clusterIP"));
    assert_string_equal(json_str_or_empty(loss, "path"), ".spec.clusterIP");
    assert_string_equal(json_str_or_empty(loss, "winner"), expected);
    assert_string_equal(json_str_or_empty(loss, "loser"), "\"10.43.0.99\"");
    end();
}

/* Nothing of it is in the chain, and all of it is told. */
static void test_what_was_lost_as_a_whole(void **state)
{
    (void)state;
    cut(make_config);
    api_do(&s.winner, 200, API_DELETE, "configmaps", "default", "c", NULL);
    patch(&s.loser, "configmaps", "c", "{'data':{'a':'l'}}");
    bring();
    crash();
    heal();
    json_auto_t *list = await_conflicts(1);
    assert_string_equal(json_str_or_empty(json_array_get(list, 0), "reason"), "the object was deleted");
    end();
}

/* It was merged, and then deleted by somebody who saw it. */
static void test_what_was_deleted_after_it_was_merged(void **state)
{
    (void)state;
    cut(make_config);
    patch(&s.winner, "configmaps", "c", "{'data':{'a':'w'}}");
    patch(&s.loser, "configmaps", "c", "{'data':{'a':'l','b':'l'}}");
    bring();
    api_do(&s.winner, 200, API_DELETE, "configmaps", "default", "c", NULL);
    crash();
    heal();
    json_auto_t *list = await_conflicts(1);
    assert_string_equal(json_str_or_empty(json_array_get(list, 0), "outcome"), "Merged");
    end();
}

/* What was made of it is pruned: it is compared with what stands there now, and where it is told already that
 * is not told again. */
static void test_what_was_made_of_it_is_not_known(void **state)
{
    (void)state;
    cut(make_config);
    patch(&s.winner, "configmaps", "c", "{'data':{'a':'w','b':'l'}}");
    patch(&s.loser, "configmaps", "c", "{'data':{'a':'l','b':'l'}}");
    struct block *block;
    struct err err = {0};
    struct orphan_past past = {0};
    assert_int_equal(blockstore_block_at(ledger_store(s.loser.ledger), s.fork + 1, &block, &err), 0);
    assert_int_equal(orphan_past_find(s.winner.server, block->txs[0], &past, &err), ERR_NOT_FOUND);
    for (int i = 0; i < 2; i++) {
        orphan_tell_past(s.winner.server, &s.aliases, s.conflicts, block->txs[0], &past);
        json_auto_t *list = await_conflicts(1);
        const json_t *conflict = json_array_get(list, 0);
        assert_string_equal(json_str_or_empty(conflict, "outcome"), "Merged");
        assert_non_null(strstr(json_str_or_empty(conflict, "reason"), "not known any more"));
        assert_lost_a(conflict, "l");
    }
    block_free(block);
    orphan_conflicts_free(s.conflicts); /* writes the Event */
    s.conflicts = NULL;
    await_events(1);
    end();
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_a_loss_is_told),
    cmocka_unit_test(test_what_is_told_is_not_told_again),
    cmocka_unit_test(test_what_lost_nothing_is_not_told),
    cmocka_unit_test(test_of_a_field_the_last_value_is_told),
    cmocka_unit_test(test_two_objects_of_one_name),
    cmocka_unit_test(test_a_service_lost_its_address),
    cmocka_unit_test(test_what_was_lost_as_a_whole),
    cmocka_unit_test(test_what_was_deleted_after_it_was_merged),
    cmocka_unit_test(test_what_was_made_of_it_is_not_known),
};

UNIT_MAIN(tests)
