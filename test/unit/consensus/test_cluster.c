/* Several real cores: joining, producing in turns, answers, take-over, switching, finality. */
#include "unit.h"

#include "cluster_fixture.h"

static int setup(void **state)
{
    static struct cluster c;
    cluster_begin(&c, 3);
    *state = &c;
    return 0;
}

static int setup_many(void **state, uint32_t count)
{
    static struct cluster many;
    struct cluster *c = *state = &many;
    cluster_begin(c, count);
    cluster_join_all(c);
    size_t token = cluster_submit(c, 0, cluster_create(c, 0, "namespaces", "", "default"));
    cluster_run(c, 2000000);
    assert_int_equal(c->codes[token], 0);
    return 0;
}

static int setup_joined(void **state)
{
    return setup_many(state, 3);
}

static int setup_five(void **state)
{
    return setup_many(state, 5);
}

static int teardown(void **state)
{
    cluster_end(*state);
    return 0;
}

static void test_followers_follow(void **state)
{
    struct cluster *c = *state;
    for (uint32_t i = 0; i < 3; i++)
        cluster_connect(c, i);
    size_t token = cluster_submit(c, 0, cluster_create(c, 0, "namespaces", "", "default"));
    cluster_run(c, 1000000);
    assert_int_equal(c->codes[token], 0);
    assert_true(cluster_agrees(c));
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(consensus_head(c->nodes[i].core)->height, 1);
        assert_int_equal(consensus_final_height(c->nodes[i].core), 1);
        assert_int_equal(c->nodes[i].blamed, 0);
    }
}

static void test_validators_join(void **state)
{
    struct cluster *c = *state;
    cluster_join_all(c);
    cluster_run(c, 2000000);
    assert_true(cluster_agrees(c));
    for (uint32_t i = 0; i < 3; i++) {
        struct consensus_validator v[4];
        assert_int_equal(consensus_validators(c->nodes[i].core, v, 4), 3);
        for (int k = 0; k < 3; k++)
            assert_true(v[k].acting && v[k].live && !v[k].equivocated);
        assert_int_equal(consensus_final_height(c->nodes[i].core), consensus_head(c->nodes[i].core)->height);
        assert_int_equal(c->nodes[i].blamed, 0);
    }
}

/* All is final, so nobody has anything to say, and no timer is set. */
static void test_idle_is_silent(void **state)
{
    struct cluster *c = *state;
    size_t sent = 0, again = 0;
    for (uint32_t i = 0; i < 3; i++) {
        sent += c->nodes[i].sent;
        assert_int_equal(consensus_final_height(c->nodes[i].core), consensus_head(c->nodes[i].core)->height);
        assert_true(c->nodes[i].wake_us == INT64_MAX);
    }
    cluster_run(c, 60000000);
    for (uint32_t i = 0; i < 3; i++)
        again += c->nodes[i].sent;
    assert_int_equal(sent, again);
}

static void test_each_node_is_answered(void **state)
{
    struct cluster *c = *state;
    size_t tokens[30];
    char name[16];
    int64_t start[30];
    for (uint32_t i = 0; i < 30; i++) {
        snprintf(name, sizeof(name), "cm-%u", i);
        start[i] = c->now_us;
        tokens[i] = cluster_submit(c, i % 3, cluster_create(c, i % 3, "configmaps", "default", name));
        cluster_run(c, 177000);
    }
    cluster_run(c, 1000000);
    for (uint32_t i = 0; i < 30; i++) {
        assert_int_equal(c->codes[tokens[i]], 0);
        assert_true(c->answered_us[tokens[i]] - start[i] < 20000);
    }
    assert_true(cluster_agrees(c));
    size_t switches = 0;
    for (uint32_t i = 0; i < 3; i++)
        switches += c->nodes[i].switches;
    assert_int_equal(switches, 0);
    cluster_run(c, 1000000);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(consensus_final_height(c->nodes[i].core), consensus_head(c->nodes[i].core)->height);
}

/* What is accepted at once goes to the producer in one message, wherever it is, and nobody waits longer. */
static void test_many_at_once(void **state)
{
    struct cluster *c = *state;
    size_t tokens[3][20];
    char name[16];
    for (uint32_t n = 0; n < 3; n++) {
        size_t messages = c->message_count;
        for (uint32_t i = 0; i < 20; i++) {
            snprintf(name, sizeof(name), "cm-%u-%u", n, i);
            struct tx *tx = cluster_create(c, n, "configmaps", "default", name);
            tokens[n][i] = cluster_submit_more(c, n, tx, i < 19);
        }
        assert_true(c->message_count <= messages + 1);
    }
    uint64_t before = consensus_head(c->nodes[0].core)->height;
    cluster_run(c, 500000);
    for (uint32_t n = 0; n < 3; n++)
        for (uint32_t i = 0; i < 20; i++)
            assert_int_equal(c->codes[tokens[n][i]], 0);
    assert_true(cluster_agrees(c));
    assert_true(consensus_head(c->nodes[0].core)->height < before + 20);
}

static void test_rejection_comes_back(void **state)
{
    struct cluster *c = *state;
    for (uint32_t i = 0; i < 3; i++) {
        size_t token = cluster_submit(c, i, cluster_create(c, i, "configmaps", "nowhere", "a"));
        cluster_run(c, 500000);
        assert_int_equal(c->codes[token], ERR_NOT_FOUND);
    }
    size_t first = cluster_submit(c, 1, cluster_create(c, 1, "configmaps", "default", "a"));
    size_t second = cluster_submit(c, 2, cluster_create(c, 2, "configmaps", "default", "a"));
    cluster_run(c, 500000);
    assert_true((c->codes[first] == 0 && c->codes[second] == ERR_EXISTS) ||
                (c->codes[second] == 0 && c->codes[first] == ERR_EXISTS));
}

/* Whom a node takes for the producer. */
static uint32_t producer_by(const struct cluster *c, uint32_t at)
{
    struct consensus_validator v[4];
    size_t n = c->nodes[at].core ? consensus_validators(c->nodes[at].core, v, 4) : 0;
    for (size_t i = 0; i < n; i++)
        if (v[i].producer)
            return cluster_node_of(c, v[i].key);
    return CLUSTER_MAX;
}

static uint32_t producer_now(const struct cluster *c)
{
    uint32_t producer = CLUSTER_MAX;
    for (uint32_t at = 0; at < 3 && producer == CLUSTER_MAX; at++)
        producer = producer_by(c, at);
    return producer;
}

/* Durable here is not enough while others are there: one of them has to have it, too. */
static void test_answers_wait_for_another_disk(void **state)
{
    struct cluster *c = *state;
    cluster_submit(c, 0, cluster_create(c, 0, "configmaps", "default", "warm"));
    cluster_run(c, 50000);
    uint32_t producer = producer_now(c);
    size_t token = cluster_submit(c, producer, cluster_create(c, producer, "configmaps", "default", "a"));
    uint64_t before = consensus_head(c->nodes[producer].core)->height;
    cluster_run(c, CLUSTER_DELAY_US + CLUSTER_DISK_US);
    assert_int_equal(consensus_head(c->nodes[producer].core)->height, before + 1);
    assert_int_equal(c->codes[token], 1);
    cluster_run(c, CLUSTER_DELAY_US + 100);
    assert_int_equal(c->codes[token], 0);
    assert_int_equal(c->answers[token].height, before + 1);
}

/* The third node tells the submitter that a block is durable, so that one slow disk delays nothing, and lets
 * the submitter tell the producer. */
static void test_bystander_stands_in_for_a_slow_disk(void **state)
{
    struct cluster *c = *state;
    cluster_submit(c, 0, cluster_create(c, 0, "configmaps", "default", "warm"));
    cluster_run(c, 50000);
    uint32_t producer = producer_now(c), other = (producer + 1) % 3, third = (producer + 2) % 3;
    cluster_submit(c, other, cluster_create(c, other, "configmaps", "default", "warmer"));
    cluster_run(c, 80000);
    assert_int_equal(producer_now(c), producer);
    size_t said = c->nodes[third].sent;
    size_t quick = cluster_submit(c, other, cluster_create(c, other, "configmaps", "default", "a"));
    cluster_run(c, 10 * CLUSTER_DELAY_US);
    assert_int_equal(c->codes[quick], 0);
    assert_int_equal(c->nodes[third].sent, said + 1);
    c->nodes[producer].slow_us = 100000;
    int64_t start = c->now_us;
    size_t slow = cluster_submit(c, other, cluster_create(c, other, "configmaps", "default", "b"));
    cluster_run(c, 50000);
    assert_int_equal(c->codes[slow], 0);
    assert_true(c->answered_us[slow] - start < 10000);
}

static void test_killed_producer_is_replaced_at_once(void **state)
{
    struct cluster *c = *state;
    uint32_t other = (producer_now(c) + 1) % 3;
    cluster_submit(c, other, cluster_create(c, other, "configmaps", "default", "warm"));
    cluster_run(c, 100000);
    uint32_t producer = producer_now(c);
    other = (producer + 1) % 3;
    int64_t start = c->now_us;
    size_t token = cluster_submit(c, other, cluster_create(c, other, "configmaps", "default", "a"));
    cluster_kill(c, producer);
    cluster_run(c, 1000000);
    assert_int_equal(c->codes[token], 0);
    assert_true(c->answered_us[token] - start < 50000);
}

/* The submitter hears first that the producer is gone, and hands a transaction to the next one, who passes it
 * on to the dead. */
static void test_next_producer_hears_it_last(void **state)
{
    struct cluster *c = *state;
    cluster_submit(c, 0, cluster_create(c, 0, "configmaps", "default", "warm"));
    cluster_run(c, 100000);
    uint32_t producer = producer_now(c), submitter = (producer + 1) % 3, next = (producer + 2) % 3;
    consensus_free(c->nodes[producer].core);
    c->nodes[producer].core = NULL;
    cluster_link(c, producer, submitter, false);
    if (producer_by(c, submitter) == submitter) {
        cluster_link(c, producer, submitter, true);
        submitter = next;
        next = (producer + 1) % 3;
        cluster_link(c, producer, submitter, false);
    }
    assert_int_equal(producer_by(c, submitter), next);
    assert_int_equal(producer_by(c, next), producer);
    int64_t start = c->now_us;
    size_t token = cluster_submit(c, submitter, cluster_create(c, submitter, "configmaps", "default", "a"));
    cluster_run(c, 2 * CLUSTER_DELAY_US);
    cluster_link(c, producer, next, false);
    cluster_run(c, 1000000);
    assert_int_equal(c->codes[token], 0);
    assert_true(c->answered_us[token] - start < 20000);
}

/* The block that a producer was sending when it was killed reached only one of the others. */
static void kill_while_sending(struct cluster *c, bool to_submitter)
{
    uint32_t other = (producer_now(c) + 1) % 3;
    cluster_submit(c, other, cluster_create(c, other, "configmaps", "default", "warm"));
    cluster_run(c, 100000);
    uint32_t producer = producer_now(c), third = 3 - producer - (producer + 1) % 3;
    other = (producer + 1) % 3;
    uint32_t unreached = to_submitter ? third : other, reached = to_submitter ? other : third;
    uint64_t before = consensus_head(c->nodes[reached].core)->height;
    c->linked[producer][unreached] = false;
    c->nodes[producer].slow_us = 100000;
    size_t token = cluster_submit(c, other, cluster_create(c, other, "configmaps", "default", "a"));
    cluster_run(c, 2 * CLUSTER_DELAY_US + CLUSTER_DISK_US + 200);
    assert_int_equal(consensus_head(c->nodes[reached].core)->height, before + 1);
    assert_int_equal(consensus_head(c->nodes[unreached].core)->height, before);
    assert_int_equal(c->codes[token], 1);
    int64_t start = c->now_us;
    c->linked[producer][unreached] = true;
    cluster_kill(c, producer);
    cluster_run(c, 1000000);
    assert_int_equal(c->codes[token], 0);
    assert_true(c->answered_us[token] - start < 10000);
    assert_int_equal(c->nodes[other].switches + c->nodes[third].switches, 0);
}

static void test_killed_while_sending_to_the_submitter(void **state)
{
    kill_while_sending(*state, true);
}

static void test_killed_while_sending_to_another(void **state)
{
    kill_while_sending(*state, false);
}

/* A node that is connected and says nothing more costs a turn once, not in each of its slots. */
static void test_silent_producer_is_passed_over(void **state)
{
    struct cluster *c = *state;
    for (uint32_t i = 0; i < 2; i++)
        c->linked[2][i] = c->linked[i][2] = false; /* nobody is told */
    unsigned late = 0;
    for (unsigned i = 0; i < 60; i++) {
        char name[16];
        snprintf(name, sizeof(name), "cm-%u", i);
        int64_t start = c->now_us;
        size_t token = cluster_submit(c, i % 2, cluster_create(c, i % 2, "configmaps", "default", name));
        cluster_run(c, 500000);
        if (c->codes[token] == 1) /* the third in the order waits for two turns */
            cluster_run(c, 500000);
        assert_int_equal(c->codes[token], 0);
        late += c->answered_us[token] - start > 100000;
    }
    assert_true(late >= 1 && late <= 3);
}

/* Both sides go on; the side with the majority prevails, and what the other held is taken over. */
static void test_partition_heals(void **state)
{
    struct cluster *c = *state;
    cluster_link(c, 0, 1, false);
    cluster_link(c, 0, 2, false);
    size_t alone = cluster_submit(c, 0, cluster_create(c, 0, "configmaps", "default", "minor"));
    size_t major = cluster_submit(c, 1, cluster_create(c, 1, "configmaps", "default", "major"));
    cluster_run(c, 3000000);
    assert_int_equal(c->codes[alone], 0);
    assert_int_equal(c->codes[major], 0);
    assert_false(cluster_agrees(c));
    assert_true(consensus_final_height(c->nodes[0].core) < consensus_head(c->nodes[0].core)->height);
    assert_int_equal(consensus_final_height(c->nodes[1].core), consensus_head(c->nodes[1].core)->height);

    cluster_link(c, 0, 1, true);
    cluster_link(c, 0, 2, true);
    cluster_run(c, 3000000);
    assert_true(cluster_agrees(c));
    assert_int_equal(c->nodes[0].switches, 1);
    assert_int_equal(c->nodes[1].switches + c->nodes[2].switches, 0);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(consensus_final_height(c->nodes[i].core), consensus_head(c->nodes[i].core)->height);
        assert_int_equal(c->nodes[i].blamed, 0);
    }
    /* What the abandoned block held waits to be submitted again. */
    assert_int_equal(c->nodes[0].mem.orphan_count, 1);
}

/* Many blocks on both sides: more than one answer holds, more than are fetched ahead. */
static void test_long_branches(void **state)
{
    struct cluster *c = *state;
    char name[24];
    cluster_link(c, 0, 1, false);
    cluster_link(c, 0, 2, false);
    for (uint32_t i = 0; i < 330; i++) {
        uint32_t at = i % 3 == 0 ? 0 : 1;
        snprintf(name, sizeof(name), "cm-%u", i);
        cluster_submit(c, at, cluster_create(c, at, "configmaps", "default", name));
        cluster_run(c, 3000);
    }
    for (uint32_t i = 330; i < 450; i++) {
        snprintf(name, sizeof(name), "cm-%u", i);
        cluster_submit(c, 0, cluster_create(c, 0, "configmaps", "default", name));
        cluster_run(c, 3000);
    }
    assert_true(consensus_head(c->nodes[0].core)->height > 200);
    assert_true(consensus_head(c->nodes[1].core)->height > 100);
    cluster_link(c, 0, 1, true);
    cluster_run(c, 5000000);
    assert_true(cluster_agrees(c));
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(consensus_final_height(c->nodes[i].core), consensus_head(c->nodes[i].core)->height);
        assert_int_equal(c->nodes[i].blamed, 0);
        assert_true(c->nodes[i].wake_us == INT64_MAX);
    }
    assert_int_equal(c->nodes[0].switches, 1);
}

/* The longer branch has the fewer attesters, and the node that is to switch has to learn of all of the other
 * before it can tell. */
static void test_long_branch_of_a_majority_that_voted_nothing(void **state)
{
    struct cluster *c = *state;
    char name[24];
    for (uint32_t a = 0; a < 5; a++)
        for (uint32_t b = 3; b < 5; b++)
            cluster_link(c, a, b, a >= 3);
    cluster_link(c, 0, 2, false);
    cluster_link(c, 1, 2, false); /* 2 | 1 | 2 of 5: nobody finalizes */
    for (uint32_t i = 0; i < 400; i++) {
        uint32_t at = i % 4 == 0 ? 0 : i % 4 == 1 ? 2 : 3;
        snprintf(name, sizeof(name), "cm-%u", i);
        cluster_submit(c, at, cluster_create(c, at, "configmaps", "default", name));
        cluster_run(c, 3000);
    }
    for (uint32_t a = 0; a < 5; a++)
        cluster_connect(c, a);
    cluster_run(c, 5000000);
    assert_true(cluster_agrees(c));
    for (uint32_t i = 0; i < 5; i++)
        assert_int_equal(consensus_final_height(c->nodes[i].core), consensus_head(c->nodes[i].core)->height);
}

static void test_restart_catches_up(void **state)
{
    struct cluster *c = *state;
    cluster_kill(c, 2);
    char name[16];
    for (uint32_t i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "cm-%u", i);
        cluster_submit(c, i % 2, cluster_create(c, i % 2, "configmaps", "default", name));
        cluster_run(c, 20000);
    }
    cluster_run(c, 1000000);
    cluster_start(c, 2);
    cluster_connect(c, 2);
    cluster_run(c, 1000000);
    assert_true(cluster_agrees(c));
    cluster_run(c, 2000000);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(consensus_final_height(c->nodes[i].core), consensus_head(c->nodes[i].core)->height);
}

/* A store that was fetched anew from a node that was not as far may lack the block that the record, which was
 * kept, calls final. The lock holds on, and the others show the rest. */
static void test_record_is_ahead_of_the_store(void **state)
{
    struct cluster *c = *state;
    cluster_submit(c, 0, cluster_create(c, 0, "configmaps", "default", "one"));
    cluster_run(c, 2000000);
    assert_int_equal(consensus_final_height(c->nodes[2].core), consensus_head(c->nodes[2].core)->height);
    cluster_kill(c, 2);
    struct chain_store *mem = &c->nodes[2].mem;
    struct buf record = mem->record;
    assert_true(record.len > 0);
    mem->record = (struct buf)BUF_INIT;
    chain_store_end(mem);
    chain_store_begin(mem, c->tx.genesis);
    mem->record = record;
    cluster_start(c, 2);
    cluster_connect(c, 2);
    cluster_run(c, 2000000);
    assert_true(cluster_agrees(c));
    cluster_submit(c, 2, cluster_create(c, 2, "configmaps", "default", "two"));
    cluster_run(c, 2000000);
    assert_true(cluster_agrees(c));
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(consensus_final_height(c->nodes[i].core), consensus_head(c->nodes[i].core)->height);
}

/* Who comes back far behind makes no blocks and refuses nobody until it has caught up. */
static void test_return_under_load(void **state)
{
    struct cluster *c = *state;
    char name[24];
    cluster_kill(c, 2);
    for (uint32_t i = 0; i < 450; i++) {
        snprintf(name, sizeof(name), "cm-%u", i);
        uint32_t at = i % 2;
        struct tx *tx = cluster_create(c, at, "configmaps", "default", name);
        cluster_submit(c, at, tx);
        cluster_run(c, 4000);
        if (i == 300) {
            cluster_start(c, 2);
            cluster_connect(c, 2);
        }
    }
    assert_true(cluster_agrees(c) || consensus_head(c->nodes[2].core)->height > 400);
    cluster_run(c, 3000000);
    assert_true(cluster_agrees(c));
    size_t switches = 0;
    for (uint32_t i = 0; i < 3; i++)
        switches += c->nodes[i].switches;
    assert_int_equal(switches, 0);
    for (size_t i = 0; i < c->token_count; i++)
        assert_int_equal(c->codes[i], 0);
}

static bool seed_at(const struct cluster *c, uint32_t at, struct registry_seed *seed)
{
    struct state_snapshot *snapshot = state_mem_ops()->snapshot_begin(c->nodes[at].mem.state);
    bool found = registry_load_seed(seed, c->tx.genesis->header.hash, state_mem_ops(), snapshot);
    state_mem_ops()->snapshot_end(snapshot);
    return found;
}

/* A node that was asked for the next seed. */
static uint32_t evaluator(const struct cluster *c)
{
    uint32_t at = 0;
    while (at < c->count && c->nodes[at].evaluate.difficulty == 0)
        at++;
    assert_true(at < c->count);
    return at;
}

static void evaluate(const struct cluster *c, uint32_t at, uint8_t proof[REGISTRY_SEED_PROOF_SIZE])
{
    struct vdf_work *work = vdf_work_new(c->nodes[at].evaluate.seed, c->nodes[at].evaluate.difficulty);
    while (!vdf_work_step(work, 100000))
        ;
    struct vdf_proof result;
    vdf_work_result(work, &result);
    vdf_work_free(work);
    memcpy(proof, result.output, VDF_ELEMENT_SIZE);
    memcpy(proof + VDF_ELEMENT_SIZE, result.proof, VDF_ELEMENT_SIZE);
}

static void tell_seed(struct cluster *c, uint32_t at, const uint8_t proof[REGISTRY_SEED_PROOF_SIZE])
{
    cluster_step(c, at, (struct consensus_event){.type = CONSENSUS_EVALUATED, .proof = proof});
}

static void test_epochs_get_seeds(void **state)
{
    struct cluster *c = *state;
    struct registry_seed seed, other;
    uint8_t proof[REGISTRY_SEED_PROOF_SIZE];
    uint32_t at = evaluator(c);
    assert_false(seed_at(c, at, &seed));
    evaluate(c, at, proof);
    tell_seed(c, at, proof);
    cluster_run(c, 3000000);
    assert_true(seed_at(c, 0, &seed));
    assert_true(seed_at(c, 1, &other));
    assert_memory_equal(seed.seed, other.seed, VDF_SEED_SIZE);
    assert_true(cluster_agrees(c));
    /* An epoch in which nobody needs anything gets none, for a seed alone is no use of the chain. */
    memset(&c->nodes[at].evaluate, 0, sizeof(c->nodes[at].evaluate));
    uint64_t height = consensus_head(c->nodes[0].core)->height;
    cluster_run(c, 100000000);
    assert_int_equal(consensus_head(c->nodes[0].core)->height, height);
    assert_true(c->nodes[0].wake_us == INT64_MAX);
    cluster_submit(c, 1, cluster_create(c, 1, "configmaps", "default", "late"));
    cluster_run(c, 1000000);
    size_t asked = 0;
    for (at = 0; at < 3; at++)
        asked += c->nodes[at].evaluate.difficulty != 0;
    assert_int_equal(asked, 3);
}

/* Who is first in the order of a slot. */
static uint32_t first_of(const struct cluster *c, const uint8_t seed[VDF_SEED_SIZE], uint64_t slot)
{
    struct registry_validator *all = NULL;
    uint32_t order[REGISTRY_MAX];
    struct state_snapshot *snapshot = state_mem_ops()->snapshot_begin(c->nodes[0].mem.state);
    size_t count = registry_load(&all, state_mem_ops(), snapshot);
    state_mem_ops()->snapshot_end(snapshot);
    roles_order(order, (uint32_t)count, seed, slot);
    uint32_t first = cluster_node_of(c, all[order[0]].key);
    free(all);
    return first;
}

static size_t create_now(struct cluster *c, uint32_t at, const char *name)
{
    return cluster_submit(c, at, cluster_create(c, at, "configmaps", "default", name));
}

/* A seed comes in the middle of a slot, in the order of which it puts him first who has yielded it to
 * another: each would take the other for the producer. */
static void test_new_seed_in_a_slot(void **state)
{
    struct cluster *c = *state;
    struct roles_settings roles = ROLES_SETTINGS_DEFAULT;
    struct registry_seed before;
    uint8_t proof[REGISTRY_SEED_PROOF_SIZE], after[VDF_SEED_SIZE];
    uint32_t at = evaluator(c);
    seed_at(c, at, &before);
    evaluate(c, at, proof);
    registry_seed_of_proof(after, proof);
    uint64_t slot = roles_slot(&roles, c->now_us) + 2;
    while (first_of(c, before.seed, slot) == first_of(c, before.seed, slot - 1) ||
           first_of(c, after, slot) != first_of(c, before.seed, slot - 1))
        slot++;
    cluster_run(c, roles_slot_start_us(&roles, slot) - 100000 - c->now_us);
    create_now(c, 0, "before");
    cluster_run(c, 101000);
    create_now(c, 0, "first");
    cluster_run(c, 10000);
    tell_seed(c, at, proof);
    cluster_run(c, 40000);
    assert_true(seed_at(c, 0, &before));
    assert_memory_equal(before.seed, after, VDF_SEED_SIZE);
    const char *const names[] = {"from-0", "from-1", "from-2"};
    for (int32_t i = 0; i < 3; i++) {
        int64_t begun_us = c->now_us;
        size_t token = create_now(c, (uint32_t)i, names[i]);
        cluster_run(c, 100000);
        assert_int_equal(c->codes[token], 0);
        assert_in_range(c->answered_us[token] - begun_us, 0, 20000);
    }
}

/* A false seed is refused by every node, and nobody is blamed for handing it on. */
static void test_false_seed(void **state)
{
    struct cluster *c = *state;
    struct registry_seed before;
    seed_at(c, 0, &before);
    uint8_t proof[REGISTRY_SEED_PROOF_SIZE] = {[VDF_ELEMENT_SIZE - 1] = 2,
                                               [REGISTRY_SEED_PROOF_SIZE - 1] = 3};
    struct tx *tx = registry_seed_tx(1000000000, proof, &before, false);
    cluster_sign(c, 1, tx);
    size_t token = cluster_submit(c, 1, tx);
    cluster_run(c, 1000000);
    assert_int_equal(c->codes[token], ERR_INVALID);
}

/* Two heads in one round: the proof goes round, and the liar has to leave. */
static void test_liar_leaves(void **state)
{
    struct cluster *c = *state;
    struct registry_validator v;
    struct vote votes[2];
    for (uint8_t i = 0; i < 2; i++) {
        votes[i] = (struct vote){.kind = VOTE_ATTESTATION, .target = {i}};
        votes[i].round = (uint64_t)(c->now_us / CONSENSUS_SETTINGS_DEFAULT.round_us) + 1;
        memcpy(votes[i].chain, c->tx.genesis->header.hash, HASH_SIZE);
        vote_sign(&votes[i], c->nodes[2].secret_key);
        struct message message = {.type = MESSAGE_VOTES, .vote_count = 1, .verified = true};
        message.votes = mem_dup(&votes[i], sizeof(votes[i]));
        cluster_step(c, 0,
                     (struct consensus_event){
                         .type = CONSENSUS_MESSAGE, .peer = c->nodes[2].public_key, .message = &message});
    }
    assert_int_equal(c->nodes[0].proved, 1);
    assert_string_equal(c->nodes[0].blame, "it contradicted itself");
    cluster_run(c, 3000000);
    assert_int_equal(c->nodes[1].proved, 1);
    assert_false(cluster_lookup(c, 0, 2, &v)); /* proved, certified, gone */
    assert_false(cluster_lookup(c, 1, 2, &v));
    struct consensus_validator seen[3];
    assert_int_equal(consensus_validators(c->nodes[1].core, seen, 3), 2);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(test_followers_follow, setup, teardown),
    cmocka_unit_test_setup_teardown(test_validators_join, setup, teardown),
    cmocka_unit_test_setup_teardown(test_idle_is_silent, setup_joined, teardown),
    cmocka_unit_test_setup_teardown(test_each_node_is_answered, setup_joined, teardown),
    cmocka_unit_test_setup_teardown(test_many_at_once, setup_joined, teardown),
    cmocka_unit_test_setup_teardown(test_rejection_comes_back, setup_joined, teardown),
    cmocka_unit_test_setup_teardown(test_answers_wait_for_another_disk, setup_joined, teardown),
    cmocka_unit_test_setup_teardown(test_bystander_stands_in_for_a_slow_disk, setup_joined, teardown),
    cmocka_unit_test_setup_teardown(test_killed_producer_is_replaced_at_once, setup_joined, teardown),
    cmocka_unit_test_setup_teardown(test_next_producer_hears_it_last, setup_joined, teardown),
    cmocka_unit_test_setup_teardown(test_killed_while_sending_to_the_submitter, setup_joined, teardown),
    cmocka_unit_test_setup_teardown(test_killed_while_sending_to_another, setup_joined, teardown),
    cmocka_unit_test_setup_teardown(test_silent_producer_is_passed_over, setup_joined, teardown),
    cmocka_unit_test_setup_teardown(test_partition_heals, setup_joined, teardown),
    cmocka_unit_test_setup_teardown(test_long_branches, setup_joined, teardown),
    cmocka_unit_test_setup_teardown(test_long_branch_of_a_majority_that_voted_nothing, setup_five, teardown),
    cmocka_unit_test_setup_teardown(test_return_under_load, setup_joined, teardown),
    cmocka_unit_test_setup_teardown(test_epochs_get_seeds, setup_joined, teardown),
    cmocka_unit_test_setup_teardown(test_new_seed_in_a_slot, setup_joined, teardown),
    cmocka_unit_test_setup_teardown(test_false_seed, setup_joined, teardown),
    cmocka_unit_test_setup_teardown(test_liar_leaves, setup_joined, teardown),
    cmocka_unit_test_setup_teardown(test_restart_catches_up, setup_joined, teardown),
    cmocka_unit_test_setup_teardown(test_record_is_ahead_of_the_store, setup_joined, teardown),
};

UNIT_MAIN(tests)
