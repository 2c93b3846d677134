/* finality: quorums, justified and finalized checkpoints, and the voter's lock. */
#include "unit.h"

#include "consensus/finality.h"

struct world {
    struct fork_choice *tree;
    struct finality *finality;
};

static struct world world_new(void)
{
    struct fork_block root = {.hash = {'a'}};
    struct world w = {.tree = fork_choice_new(4, 16, &root)};
    struct checkpoint first = {.round = 0, .block = {'a'}};
    w.finality = finality_new(w.tree, 4, finality_quorum(4, false), &first, &first);
    return w;
}

static void world_free(struct world *w)
{
    finality_free(w->finality);
    fork_choice_free(w->tree);
}

static void add(struct world *w, char name, char parent)
{
    struct fork_block block = {.hash = {(uint8_t)name}, .parent = {(uint8_t)parent}};
    assert_int_equal(fork_choice_add(w->tree, &block), FORK_ADDED);
}

static enum finality_change vote(struct world *w, uint32_t validator, uint64_t from, char source, uint64_t to,
                                 char target)
{
    struct vote v = {.kind = VOTE_CHECKPOINT, .number = from, .round = to};
    v.source[0] = (uint8_t)source;
    v.target[0] = (uint8_t)target;
    return finality_vote(w->finality, validator, &v);
}

static enum finality_change votes(struct world *w, uint32_t n, uint64_t from, char source, uint64_t to,
                                  char target)
{
    enum finality_change change = FINALITY_UNCHANGED;
    for (uint32_t v = 0; v < n; v++)
        change = vote(w, v, from, source, to, target);
    return change;
}

static void assert_at(const struct checkpoint *checkpoint, uint64_t round, char block)
{
    assert_int_equal(checkpoint->round, round);
    assert_int_equal(checkpoint->block[0], block);
}

/* Any two quorums meet; where some lie, in more than may lie. */
static void quorums_meet(void **state)
{
    (void)state;
    for (uint32_t n = 1; n <= 400; n++) {
        uint32_t majority = finality_quorum(n, false), byzantine = finality_quorum(n, true);
        assert_true(2 * majority > n && majority <= n);
        assert_true(2 * (majority - 1) <= n);
        uint32_t liars = (n - 1) / 3;
        assert_true(2 * byzantine - n > liars);
        assert_true(byzantine <= n - liars); /* the honest alone suffice */
    }
}

static void justified_then_finalized(void **state)
{
    (void)state;
    struct world w = world_new();
    add(&w, 'b', 'a');
    assert_int_equal(votes(&w, 2, 0, 'a', 1, 'b'), FINALITY_UNCHANGED);
    assert_int_equal(vote(&w, 1, 0, 'a', 1, 'b'), FINALITY_UNCHANGED); /* not twice */
    assert_int_equal(vote(&w, 2, 0, 'a', 1, 'b'), FINALITY_JUSTIFIED);
    assert_at(finality_justified(w.finality), 1, 'b');
    assert_at(finality_finalized(w.finality), 0, 'a');
    /* The same block in the next round is enough. */
    assert_int_equal(votes(&w, 3, 1, 'b', 2, 'b'), FINALITY_FINALIZED);
    assert_at(finality_finalized(w.finality), 1, 'b');
    assert_at(finality_justified(w.finality), 2, 'b');
    world_free(&w);
}

static void only_the_next_round_finalizes(void **state)
{
    (void)state;
    struct world w = world_new();
    add(&w, 'b', 'a');
    add(&w, 'c', 'b');
    votes(&w, 3, 0, 'a', 1, 'b');
    assert_int_equal(votes(&w, 3, 1, 'b', 3, 'c'), FINALITY_JUSTIFIED);
    assert_at(finality_finalized(w.finality), 0, 'a');
    assert_int_equal(votes(&w, 3, 3, 'c', 4, 'c'), FINALITY_FINALIZED);
    assert_at(finality_finalized(w.finality), 3, 'c');
    world_free(&w);
}

static void votes_of_different_links_do_not_add_up(void **state)
{
    (void)state;
    struct world w = world_new();
    add(&w, 'b', 'a');
    add(&w, 'c', 'a');
    assert_int_equal(vote(&w, 0, 0, 'a', 1, 'b'), FINALITY_UNCHANGED);
    assert_int_equal(vote(&w, 1, 0, 'a', 1, 'b'), FINALITY_UNCHANGED);
    assert_int_equal(vote(&w, 2, 0, 'a', 1, 'c'), FINALITY_UNCHANGED);
    assert_int_equal(vote(&w, 3, 0, 'a', 2, 'b'), FINALITY_UNCHANGED);
    assert_at(finality_justified(w.finality), 0, 'a');
    world_free(&w);
}

/* Votes come in any order: before their source is justified, before their block is known. */
static void votes_wait_for_what_they_need(void **state)
{
    (void)state;
    struct world w = world_new();
    add(&w, 'b', 'a');
    assert_int_equal(votes(&w, 3, 2, 'c', 3, 'c'), FINALITY_UNCHANGED);
    assert_int_equal(votes(&w, 3, 1, 'b', 2, 'c'), FINALITY_UNCHANGED);
    assert_int_equal(votes(&w, 3, 0, 'a', 1, 'b'), FINALITY_JUSTIFIED);
    assert_at(finality_justified(w.finality), 1, 'b');
    add(&w, 'c', 'b');
    assert_int_equal(finality_settle(w.finality), FINALITY_FINALIZED);
    assert_at(finality_finalized(w.finality), 2, 'c');
    assert_at(finality_justified(w.finality), 3, 'c');
    world_free(&w);
}

static void a_target_descends_from_its_source(void **state)
{
    (void)state;
    struct world w = world_new();
    add(&w, 'b', 'a');
    add(&w, 'c', 'a');
    votes(&w, 3, 0, 'a', 1, 'b');
    assert_int_equal(votes(&w, 4, 1, 'b', 2, 'c'), FINALITY_UNCHANGED);
    assert_at(finality_justified(w.finality), 1, 'b');
    world_free(&w);
}

/* A liar cannot make anybody keep more than two votes of it in a round. */
static void two_votes_count_in_a_round(void **state)
{
    (void)state;
    struct world w = world_new();
    for (char name = 'b'; name < 'g'; name++) {
        add(&w, name, 'a');
        vote(&w, 3, 0, 'a', 1, name);
    }
    vote(&w, 0, 0, 'a', 1, 'f');
    assert_int_equal(vote(&w, 1, 0, 'a', 1, 'f'), FINALITY_UNCHANGED);
    assert_int_equal(vote(&w, 2, 0, 'a', 1, 'f'), FINALITY_JUSTIFIED);
    world_free(&w);
}

static void old_votes_are_forgotten(void **state)
{
    (void)state;
    struct world w = world_new();
    add(&w, 'b', 'a');
    votes(&w, 2, 0, 'a', 1, 'b');
    finality_forget(w.finality, 2);
    assert_int_equal(vote(&w, 2, 0, 'a', 1, 'b'), FINALITY_UNCHANGED);
    votes(&w, 3, 0, 'a', 3, 'b');
    finality_forget(w.finality, 10); /* what has a quorum stays */
    assert_at(finality_justified(w.finality), 3, 'b');
    world_free(&w);
}

static void a_lock_forbids_contradictions(void **state)
{
    (void)state;
    struct voter voter;
    struct finality_lock lock = {0};
    voter_init(&voter, &lock);
    struct checkpoint a0 = {0, {'a'}}, b5 = {5, {'b'}}, c5 = {5, {'c'}}, c7 = {7, {'c'}}, d9 = {9, {'d'}};
    struct vote vote;
    assert_true(voter_request(&voter, &a0, &b5, &lock));
    assert_int_equal(lock.source_round, 0);
    assert_int_equal(lock.target_round, 5);
    assert_false(voter_request(&voter, &a0, &c7, &lock)); /* one at a time */
    voter_persisted(&voter, &vote);
    assert_int_equal(vote.kind, VOTE_CHECKPOINT);
    assert_int_equal(vote.number, 0);
    assert_int_equal(vote.round, 5);
    assert_int_equal(vote.target[0], 'b');
    assert_false(voter_request(&voter, &a0, &c5, &lock)); /* two targets in a round */
    assert_true(voter_request(&voter, &b5, &c7, &lock));
    voter_persisted(&voter, &vote);
    assert_false(voter_request(&voter, &a0, &d9, &lock)); /* around the vote before */
    assert_false(voter_request(&voter, &d9, &d9, &lock));
    assert_true(voter_request(&voter, &b5, &d9, &lock));
    /* A crash before the lock is written: the vote never left, another one may. */
    struct finality_lock durable = voter.lock;
    voter_init(&voter, &durable);
    struct checkpoint e8 = {8, {'e'}};
    assert_true(voter_request(&voter, &c7, &e8, &lock));
}

/* All that a voter may say one after the other, over small numbers: nothing contradicts anything before. */
static void no_sequence_contradicts_itself(void **state)
{
    (void)state;
    for (unsigned code = 0; code < 6 * 6 * 6 * 6 * 6 * 6; code++) {
        struct finality_lock lock = {0};
        struct voter voter;
        struct vote said[3];
        unsigned count = 0;
        voter_init(&voter, &lock);
        for (unsigned rest = code, i = 0; i < 3; i++, rest /= 36) {
            struct checkpoint source = {rest % 6, {1}}, target = {rest / 6 % 6, {(uint8_t)(2 + i)}};
            if (!voter_request(&voter, &source, &target, &lock))
                continue;
            voter_persisted(&voter, &said[count]);
            for (unsigned earlier = 0; earlier < count; earlier++)
                assert_int_equal(vote_conflict(&said[earlier], &said[count]), VOTE_CONFLICT_NONE);
            count++;
        }
    }
}

/* Who was away sees only the newest votes: the quorum's honest voter started from what is justified. */
static void a_quorum_vouches_for_its_source(void **state)
{
    (void)state;
    struct world w = world_new();
    add(&w, 'b', 'a');
    add(&w, 'c', 'b');
    assert_int_equal(votes(&w, 2, 7, 'b', 8, 'c'), FINALITY_UNCHANGED); /* no quorum yet */
    assert_int_equal(vote(&w, 2, 7, 'b', 8, 'c'), FINALITY_FINALIZED);
    assert_at(finality_finalized(w.finality), 7, 'b');
    assert_at(finality_justified(w.finality), 8, 'c');
    world_free(&w);
}

/* A proven liar may have voted for anything, so it counts for everything, but never alone. */
static void a_proven_liar_counts_for_everything(void **state)
{
    (void)state;
    struct world w = world_new();
    add(&w, 'b', 'a');
    assert_int_equal(votes(&w, 2, 0, 'a', 1, 'b'), FINALITY_UNCHANGED);
    assert_int_equal(finality_proven(w.finality, 3), FINALITY_JUSTIFIED);
    assert_at(finality_justified(w.finality), 1, 'b');
    assert_int_equal(vote(&w, 0, 1, 'b', 2, 'b'), FINALITY_UNCHANGED);
    assert_int_equal(vote(&w, 3, 1, 'b', 2, 'b'), FINALITY_UNCHANGED); /* not twice */
    assert_int_equal(vote(&w, 1, 1, 'b', 2, 'b'), FINALITY_FINALIZED);
    world_free(&w);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_quorum_vouches_for_its_source),
    cmocka_unit_test(a_proven_liar_counts_for_everything),
    cmocka_unit_test(quorums_meet),
    cmocka_unit_test(justified_then_finalized),
    cmocka_unit_test(only_the_next_round_finalizes),
    cmocka_unit_test(votes_of_different_links_do_not_add_up),
    cmocka_unit_test(votes_wait_for_what_they_need),
    cmocka_unit_test(a_target_descends_from_its_source),
    cmocka_unit_test(two_votes_count_in_a_round),
    cmocka_unit_test(old_votes_are_forgotten),
    cmocka_unit_test(a_lock_forbids_contradictions),
    cmocka_unit_test(no_sequence_contradicts_itself),
};

UNIT_MAIN(tests)
