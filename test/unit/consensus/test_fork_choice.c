/* fork_choice: which head, over small trees drawn by hand. */
#include "unit.h"

#include "consensus/fork_choice.h"

/* Blocks are named by one letter, which is their hash's first byte. */
static void add(struct fork_choice *fc, char name, char parent)
{
    struct fork_block block = {.time_us = name};
    block.hash[0] = (uint8_t)name;
    block.parent[0] = (uint8_t)parent;
    assert_int_equal(fork_choice_add(fc, &block), FORK_ADDED);
}

static struct fork_choice *tree_new(void)
{
    struct fork_block root = {.hash = {'a'}, .height = 10, .time_us = 'a'};
    return fork_choice_new(5, 3, &root);
}

static const struct fork_node *node(const struct fork_choice *fc, char name)
{
    uint8_t hash[HASH_SIZE] = {(uint8_t)name};
    return fork_choice_find(fc, hash);
}

static char head(struct fork_choice *fc, uint64_t round)
{
    return (char)fork_node_block(fork_choice_head(fc, fork_choice_root(fc), round))->hash[0];
}

static void attest(struct fork_choice *fc, uint32_t validator, uint64_t round, char name)
{
    uint8_t hash[HASH_SIZE] = {(uint8_t)name};
    fork_choice_attest(fc, validator, round, hash);
}

static void without_attestations_the_longer_then_the_lower(void **state)
{
    (void)state;
    struct fork_choice *fc = tree_new();
    assert_int_equal(head(fc, 0), 'a');
    add(fc, 'c', 'a');
    add(fc, 'b', 'a');
    assert_int_equal(head(fc, 0), 'b');
    add(fc, 'd', 'c');
    assert_int_equal(head(fc, 0), 'd');
    assert_int_equal(fork_node_block(node(fc, 'd'))->height, 12);
    fork_choice_free(fc);
}

static void more_validators_beat_a_longer_chain(void **state)
{
    (void)state;
    struct fork_choice *fc = tree_new();
    add(fc, 'b', 'a');
    add(fc, 'c', 'a');
    add(fc, 'd', 'c');
    add(fc, 'e', 'd');
    attest(fc, 0, 1, 'e');
    attest(fc, 1, 1, 'b');
    assert_int_equal(head(fc, 1), 'e');
    attest(fc, 2, 1, 'b');
    assert_int_equal(head(fc, 1), 'b');
    /* Votes for any block of a branch count for the whole branch. */
    attest(fc, 3, 1, 'c');
    attest(fc, 4, 1, 'd');
    assert_int_equal(head(fc, 1), 'e');
    fork_choice_free(fc);
}

static void the_latest_attestation_counts_once(void **state)
{
    (void)state;
    struct fork_choice *fc = tree_new();
    add(fc, 'b', 'a');
    add(fc, 'c', 'a');
    for (uint64_t round = 1; round < 6; round++)
        attest(fc, 0, round, 'c');
    attest(fc, 1, 5, 'b');
    attest(fc, 2, 5, 'b');
    assert_int_equal(head(fc, 5), 'b');
    attest(fc, 1, 6, 'c');
    assert_int_equal(head(fc, 6), 'c');
    attest(fc, 1, 4, 'b'); /* late news */
    attest(fc, 1, 6, 'b'); /* a second head in a round */
    assert_int_equal(head(fc, 6), 'c');
    fork_choice_free(fc);
}

static void old_attestations_do_not_count(void **state)
{
    (void)state;
    struct fork_choice *fc = tree_new();
    add(fc, 'b', 'a');
    add(fc, 'c', 'a');
    attest(fc, 0, 5, 'c');
    assert_int_equal(head(fc, 8), 'c');
    assert_int_equal(head(fc, 9), 'b');
    fork_choice_free(fc);
}

static void who_contradicts_itself_counts_for_nobody(void **state)
{
    (void)state;
    struct fork_choice *fc = tree_new();
    add(fc, 'b', 'a');
    add(fc, 'c', 'a');
    attest(fc, 0, 1, 'c');
    assert_int_equal(head(fc, 1), 'c');
    fork_choice_exclude(fc, 0);
    assert_true(fork_choice_is_excluded(fc, 0));
    assert_int_equal(head(fc, 1), 'b');
    attest(fc, 0, 2, 'c');
    assert_int_equal(head(fc, 2), 'b');
    fork_choice_free(fc);
}

static void an_attestation_may_come_before_its_block(void **state)
{
    (void)state;
    struct fork_choice *fc = tree_new();
    add(fc, 'b', 'a');
    attest(fc, 0, 1, 'c');
    assert_int_equal(head(fc, 1), 'b');
    add(fc, 'c', 'a');
    assert_int_equal(head(fc, 1), 'c');
    fork_choice_free(fc);
}

static void a_finalized_block_is_never_left(void **state)
{
    (void)state;
    struct fork_choice *fc = tree_new();
    add(fc, 'b', 'a');
    add(fc, 'c', 'a');
    add(fc, 'd', 'c');
    add(fc, 'e', 'b');
    for (uint32_t v = 0; v < 5; v++)
        attest(fc, v, 1, 'd');
    assert_int_equal(head(fc, 1), 'd');
    fork_choice_finalize(fc, node(fc, 'b'));
    assert_int_equal(head(fc, 1), 'e');
    assert_null(node(fc, 'a'));
    assert_null(node(fc, 'd'));
    assert_null(fork_node_parent(node(fc, 'b')));
    struct fork_block late = {.hash = {'f'}, .parent = {'d'}};
    assert_int_equal(fork_choice_add(fc, &late), FORK_NO_PARENT);
    add(fc, 'g', 'e');
    assert_int_equal(head(fc, 1), 'g');
    fork_choice_free(fc);
}

static void ancestry_and_time(void **state)
{
    (void)state;
    struct fork_choice *fc = tree_new();
    add(fc, 'b', 'a');
    add(fc, 'c', 'b');
    add(fc, 'd', 'a');
    assert_true(fork_node_leads_to(node(fc, 'a'), node(fc, 'c')));
    assert_true(fork_node_leads_to(node(fc, 'c'), node(fc, 'c')));
    assert_false(fork_node_leads_to(node(fc, 'c'), node(fc, 'b')));
    assert_false(fork_node_leads_to(node(fc, 'd'), node(fc, 'c')));
    assert_ptr_equal(fork_node_at_time(node(fc, 'c'), 'b'), node(fc, 'b'));
    assert_ptr_equal(fork_node_at_time(node(fc, 'c'), 0), node(fc, 'a'));
    fork_choice_free(fc);
}

static void a_rejected_block_goes_with_its_descendants(void **state)
{
    (void)state;
    struct fork_choice *fc = tree_new();
    add(fc, 'b', 'a');
    add(fc, 'c', 'b');
    add(fc, 'd', 'c');
    add(fc, 'e', 'b');
    assert_int_equal(head(fc, 0), 'd');
    assert_ptr_equal(fork_node_common(node(fc, 'd'), node(fc, 'e')), node(fc, 'b'));
    assert_ptr_equal(fork_node_common(node(fc, 'd'), node(fc, 'c')), node(fc, 'c'));
    fork_choice_reject(fc, node(fc, 'c'));
    assert_int_equal(fork_choice_count(fc), 3);
    assert_null(node(fc, 'c'));
    assert_null(node(fc, 'd'));
    assert_int_equal(head(fc, 0), 'e');
    struct fork_block below = {.hash = {'f'}, .parent = {'d'}};
    assert_int_equal(fork_choice_add(fc, &below), FORK_NO_PARENT);
    add(fc, 'c', 'b');
    add(fc, 'd', 'c');
    assert_int_equal(head(fc, 0), 'd'); /* the caller remembers what it rejected, not the tree */
    fork_choice_free(fc);
}

/* One line has one head, whatever the attestations; a fork makes them count. */
static void a_line_needs_no_choice(void **state)
{
    (void)state;
    struct fork_choice *fc = tree_new();
    add(fc, 'b', 'a');
    add(fc, 'c', 'b');
    attest(fc, 0, 5, 'b');
    assert_int_equal(head(fc, 5), 'c');
    add(fc, 'd', 'a');
    attest(fc, 0, 6, 'd');
    assert_int_equal(head(fc, 6), 'd');
    fork_choice_finalize(fc, node(fc, 'b'));
    assert_int_equal(head(fc, 6), 'c');
    fork_choice_free(fc);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(without_attestations_the_longer_then_the_lower),
    cmocka_unit_test(more_validators_beat_a_longer_chain),
    cmocka_unit_test(the_latest_attestation_counts_once),
    cmocka_unit_test(old_attestations_do_not_count),
    cmocka_unit_test(who_contradicts_itself_counts_for_nobody),
    cmocka_unit_test(an_attestation_may_come_before_its_block),
    cmocka_unit_test(a_finalized_block_is_never_left),
    cmocka_unit_test(a_rejected_block_goes_with_its_descendants),
    cmocka_unit_test(a_line_needs_no_choice),
    cmocka_unit_test(ancestry_and_time),
};

UNIT_MAIN(tests)
