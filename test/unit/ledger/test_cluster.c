/* Ledgers of several nodes that talk to each other: what is written on one is there on all. */
#include "ledger_cluster.h"

#include "ledger/sync.h"
#include "validator/registry.h"

static int setup(void **state)
{
    *state = cluster_new(3);
    return 0;
}

static int teardown(void **state)
{
    cluster_free(*state);
    return 0;
}

static void put(struct cluster *cluster, size_t node, const char *name, const char *value,
                struct ledger_result *result)
{
    struct err err;
    struct ledger *ledger = cluster->nodes[node].ledger;
    if (fixture_put(ledger, "configmaps", name, value, result, &err))
        fail_msg("%s on node %zu: %s", name, node, err.message);
}

static bool has(struct ledger *ledger, const char *name, const char *value)
{
    const struct state_store_ops *ops = ledger_store_ops(ledger);
    struct state_snapshot *snapshot = ops->snapshot_begin(ledger_store(ledger));
    struct state_object object;
    struct resource_key key = fixture_key("configmaps", name);
    bool found = ops->get(snapshot, &key, &object, NULL) == 0;
    if (found) {
        buf_auto struct buf expected = BUF_INIT;
        uint32_t rv_offset;
        fixture_content(&expected, &rv_offset, &key, value);
        found = object.content_len == expected.len && !memcmp(object.content, expected.data, expected.len);
    }
    ops->snapshot_end(snapshot);
    return found;
}

static bool all_final(struct cluster *cluster, void *arg)
{
    (void)arg;
    for (size_t i = 0; i < cluster->count; i++) {
        struct ledger_state state;
        if (!cluster->nodes[i].ledger)
            continue;
        ledger_state(cluster->nodes[i].ledger, &state);
        if (state.final_height != state.head_height)
            return false;
    }
    return cluster_agrees(cluster, NULL);
}

struct expected {
    const char *name, *value;
};

static bool is_everywhere(struct cluster *cluster, void *arg)
{
    const struct expected *expected = arg;
    for (size_t i = 0; i < cluster->count; i++)
        if (cluster->nodes[i].ledger && !has(cluster->nodes[i].ledger, expected->name, expected->value))
            return false;
    return true;
}

/* Soon: nodes that agree may go over to another branch together, and read while they do, here, lack what both
 * branches have. */
static void expect_everywhere(struct cluster *cluster, const char *name, const char *value)
{
    struct expected expected = {name, value};
    if (cluster_wait(is_everywhere, cluster, &expected))
        return;
    cluster_dump(cluster);
    for (size_t i = 0; i < cluster->count; i++)
        if (cluster->nodes[i].ledger && !has(cluster->nodes[i].ledger, name, value))
            fail_msg("%s is not on node %zu", name, i);
}

static bool all_asleep(struct cluster *cluster, void *arg)
{
    bool asleep = true;
    (void)arg;
    for (size_t i = 0; i < cluster->count; i++) {
        struct ledger *ledger = cluster->nodes[i].ledger;
        pthread_mutex_lock(&ledger->lock);
        asleep &= ledger->asleep_until_us == INT64_MAX;
        pthread_mutex_unlock(&ledger->lock);
    }
    return asleep;
}

static void test_written_on_one_read_on_all(void **state)
{
    struct cluster *cluster = *state;
    struct ledger_result results[9];
    for (size_t i = 0; i < 9; i++) {
        char name[8];
        snprintf(name, sizeof(name), "n%zu", i);
        put(cluster, i % 3, name, "1", &results[i]);
    }
    assert_true(cluster_wait(cluster_agrees, cluster, NULL));
    for (size_t i = 0; i < 9; i++) {
        char name[8];
        snprintf(name, sizeof(name), "n%zu", i);
        expect_everywhere(cluster, name, "1");
    }
    assert_true(cluster_wait(all_final, cluster, NULL));
    for (size_t i = 0; i < 9; i++) {
        struct ledger_tx_status status;
        ledger_tx_status(cluster->nodes[(i + 1) % 3].ledger, results[i].tx_id, &status);
        assert_int_equal(status.level, LEDGER_IRREVERSIBLE);
        assert_int_equal(status.height, results[i].height);
        assert_int_equal(status.rv, results[i].rv);
    }
    /* An idle cluster sleeps, without a time to wake up at. */
    assert_true(cluster_wait(all_asleep, cluster, NULL));
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(cluster->nodes[i].blames, 0);
}

static void test_one_less(void **state)
{
    struct cluster *cluster = *state;
    put(cluster, 1, "before", "1", NULL);
    for (size_t gone = 0; gone < 3; gone++) {
        struct cluster_node *node = &cluster->nodes[gone];
        cluster_close(node);
        char name[8];
        snprintf(name, sizeof(name), "g%zu", gone);
        int64_t began = clock_mono_us();
        put(cluster, (gone + 1) % 3, name, "1", NULL);
        put(cluster, (gone + 2) % 3, name, "2", NULL);
        assert_true(clock_mono_us() - began < 5000000);
        cluster_open(node);
        cluster_link_all(cluster, gone, true);
        assert_true(cluster_wait(cluster_agrees, cluster, NULL));
        expect_everywhere(cluster, name, "2");
    }
    expect_everywhere(cluster, "before", "1");
}

/* Nodes that are cut off when an epoch begins put its seed into their chain. */
static bool is_of_a_client(const struct tx *tx)
{
    return !registry_is_ruled(&tx->outputs[0].key);
}

/* As the API does it: each orphan is submitted as it is. How many of them were a client's. */
static size_t resubmit_orphans(struct ledger *ledger)
{
    struct err err;
    struct tx *tx;
    uint64_t number = 0;
    size_t count = 0;
    while (!ledger_orphan_next(ledger, number, &number, &tx, &err)) {
        bool counts = is_of_a_client(tx);
        int rc = ledger_submit_wait(ledger, tx, NULL, &err);
        if (rc && rc != ERR_INCLUDED && counts)
            fprintf(stderr, "orphan %llu: %s\n", (unsigned long long)number, err.message);
        assert_int_equal(ledger_orphan_done(ledger, number, &err), 0);
        count += counts;
    }
    return count;
}

static bool orphans_came(struct cluster *cluster, void *arg)
{
    (void)arg;
    for (size_t i = 0; i < cluster->count; i++)
        if (cluster->nodes[i].orphan_events > 0)
            return true;
    return false;
}

static void test_partition_and_heal(void **state)
{
    struct cluster *cluster = *state;
    struct ledger_tx_status status;
    struct ledger_result kept, orphan;
    put(cluster, 0, "common", "1", NULL);
    assert_true(cluster_wait(all_final, cluster, NULL));
    cluster_link(cluster, 0, 1, false);
    cluster_link(cluster, 0, 2, false);
    for (size_t i = 0; i < 3; i++)
        free(cluster_seen(&cluster->nodes[i]));
    put(cluster, 0, "alone", "1", &orphan);
    put(cluster, 1, "many", "1", &kept);
    put(cluster, 2, "more", "1", NULL);
    ledger_tx_status(cluster->nodes[0].ledger, orphan.tx_id, &status);
    assert_int_equal(status.level, LEDGER_INCLUDED);
    uint64_t abandoned_rv = orphan.rv;
    cluster_link(cluster, 0, 1, true);
    cluster_link(cluster, 0, 2, true);
    assert_true(cluster_wait(orphans_came, cluster, NULL));
    size_t orphans = 0;
    for (size_t i = 0; i < 3; i++)
        orphans += resubmit_orphans(cluster->nodes[i].ledger);
    assert_true(orphans >= 1);
    assert_true(cluster_wait(all_final, cluster, NULL));
    expect_everywhere(cluster, "common", "1");
    expect_everywhere(cluster, "alone", "1");
    expect_everywhere(cluster, "many", "1");
    expect_everywhere(cluster, "more", "1");
    ledger_tx_status(cluster->nodes[2].ledger, orphan.tx_id, &status);
    assert_int_equal(status.level, LEDGER_IRREVERSIBLE);
    /* What came back was never gone for who watches. */
    char *seen = cluster_seen(&cluster->nodes[0]);
    assert_non_null(strstr(seen, "+alone"));
    assert_null(strstr(seen, "-"));
    assert_non_null(strstr(seen, "+many"));
    free(seen);
    struct ledger_state after;
    ledger_state(cluster->nodes[0].ledger, &after);
    assert_int_equal(after.orphans, 0);
    assert_int_equal(ledger_position(cluster->nodes[0].ledger, abandoned_rv), LEDGER_POSITION_ABANDONED);
    assert_int_equal(ledger_branch(cluster->nodes[0].ledger) % 2, 0);
    assert_true(ledger_branch(cluster->nodes[0].ledger) > 0);
}

struct finality {
    pthread_mutex_t lock;
    int calls, code;
};

static void on_final(void *arg, int code, const char *message)
{
    struct finality *finality = arg;
    (void)message;
    pthread_mutex_lock(&finality->lock);
    finality->calls++;
    finality->code = code;
    pthread_mutex_unlock(&finality->lock);
}

static bool was_called(struct cluster *cluster, void *arg)
{
    struct finality *finality = arg;
    (void)cluster;
    pthread_mutex_lock(&finality->lock);
    bool called = finality->calls > 0;
    pthread_mutex_unlock(&finality->lock);
    return called;
}

static void test_waiting_for_finality(void **state)
{
    struct cluster *cluster = *state;
    struct finality good = {PTHREAD_MUTEX_INITIALIZER, 0, 0}, late = good;
    struct ledger_result result;
    put(cluster, 1, "a", "1", &result);
    ledger_on_final(cluster->nodes[1].ledger, result.tx_id, 10000000, on_final, &good);
    assert_true(cluster_wait(was_called, cluster, &good));
    assert_int_equal(good.calls, 1);
    assert_int_equal(good.code, 0);
    cluster_link_all(cluster, 2, false);
    cluster_link(cluster, 0, 1, false);
    put(cluster, 2, "b", "1", &result);
    ledger_on_final(cluster->nodes[2].ledger, result.tx_id, 700000, on_final, &late);
    assert_true(cluster_wait(was_called, cluster, &late));
    assert_int_equal(late.calls, 1);
    assert_int_equal(late.code, ERR_TIMEOUT);
}

/* All that are open know that only so many live. */
static bool live_are(struct cluster *cluster, void *arg)
{
    const size_t *count = arg;
    for (size_t i = 0; i < cluster->count; i++) {
        struct ledger *ledger = cluster->nodes[i].ledger;
        if (ledger && atomic_load(&ledger->member_count) != *count)
            return false;
    }
    return true;
}

/* Each piece of work has one owner among those who see each other. */
static void test_owners(void **state)
{
    struct cluster *cluster = *state;
    size_t owned[3] = {0};
    for (int round = 0; round < 2; round++) {
        size_t live = 3 - (size_t)round;
        assert_true(cluster_wait(live_are, cluster, &live));
        for (int i = 0; i < 300; i++) {
            char work[32];
            int len = snprintf(work, sizeof(work), "default/deployment-%d", i);
            size_t owners = 0;
            for (size_t n = 0; n < 3; n++) {
                bool owns =
                    cluster->nodes[n].ledger && ledger_owns(cluster->nodes[n].ledger, work, (size_t)len);
                owners += owns;
                owned[n] += owns && !round;
            }
            assert_int_equal(owners, 1);
        }
        for (size_t n = 0; n < 3; n++)
            assert_true(owned[n] > 50);
        if (!round)
            cluster_close(&cluster->nodes[1]);
    }
}

/* ---- a node that has nothing ---- */

struct joining {
    struct ledger_sync *sync;
    struct cluster_node *node;
    uint64_t height;
    size_t most_peers;
};

static void joining_send(void *arg, const uint8_t key[TX_KEY_SIZE], const void *bytes, size_t len)
{
    struct joining *joining = arg;
    cluster_send(joining->node, PARCEL_SYNC, key, bytes, len);
}

static void joining_progress(void *arg, const struct ledger_sync_progress *progress)
{
    struct joining *joining = arg;
    joining->height = progress->height;
    if (progress->peers > joining->most_peers)
        joining->most_peers = progress->peers;
    assert_true(progress->have <= progress->chunks);
}

static void joining_frame(void *arg, const struct parcel *parcel)
{
    struct joining *joining = arg;
    ledger_sync_frame(joining->sync, parcel->from, parcel->bytes, parcel->len);
}

/* Enough for several chunks. */
static void fill(struct cluster *cluster)
{
    mem_auto char *value = mem_alloc(200001);
    memset(value, 'v', 200000);
    value[200000] = '\0';
    for (int i = 0; i < 20; i++) {
        char name[16];
        snprintf(name, sizeof(name), "big-%d", i);
        value[i] = (char)('a' + i);
        put(cluster, (size_t)i % cluster->count, name, value, NULL);
    }
}

/* Fetches the chain for a node that is closed, from all others. */
static void fetch_chain(struct cluster *cluster, struct joining *joining, size_t silent)
{
    struct err err;
    struct cluster_node *node = joining->node;
    struct ledger_sync_options options = {.data_dir = node->dir.path,
                                          .arg = joining,
                                          .send = joining_send,
                                          .progress = joining_progress,
                                          .patience_us = 300000};
    memcpy(options.chain_id, cluster->chain_id, TX_ID_SIZE);
    assert_int_equal(ledger_sync_start(&joining->sync, &options, &err), 0);
    assert_int_equal(ledger_sync_wait(joining->sync, 1000, &err), ERR_TIMEOUT);
    node->on_sync = joining_frame;
    node->on_sync_arg = joining;
    cluster_carry_start(node);
    for (size_t i = 0; i < cluster->count; i++)
        if (i != node->place) {
            cluster_link(cluster, node->place, i, true);
            ledger_sync_peer_up(joining->sync, cluster->nodes[i].key);
        }
    /* One that is silent from here on is passed over. */
    pthread_mutex_lock(&cluster->links_lock);
    cluster->linked[silent][node->place] = false;
    pthread_mutex_unlock(&cluster->links_lock);
    int rc;
    do
        rc = ledger_sync_wait(joining->sync, 1000000, &err);
    while (rc == ERR_TIMEOUT);
    if (rc)
        fail_msg("%s", err.message);
    cluster_carry_stop(node);
    node->on_sync = NULL;
    ledger_sync_stop(joining->sync);
    cluster_link_all(cluster, node->place, false);
}

static void test_a_snapshot_from_others(void **state)
{
    struct cluster *cluster = *state;
    struct err err;
    fill(cluster);
    put(cluster, 0, "small", "1", NULL);
    assert_true(cluster_wait(all_final, cluster, NULL));
    cluster_node_init(cluster, 3);
    struct cluster_node *node = &cluster->nodes[3];
    struct joining joining = {.node = node};
    memset(node->key, 0x33, TX_KEY_SIZE);
    cluster->count = 4;
    fetch_chain(cluster, &joining, 1);
    assert_true(joining.height > 0);
    assert_int_equal(joining.most_peers, 3);
    mem_auto char *key_path = mem_printf("%s/chain/node.key", node->dir.path);
    uint8_t key[NODE_KEY_SIZE];
    assert_int_equal(node_key_make(key, key_path, &err), 0);
    cluster_open(node);
    cluster_link_all(cluster, 3, true);
    put(cluster, 0, "later", "1", NULL);
    assert_true(cluster_wait(cluster_agrees, cluster, NULL));
    expect_everywhere(cluster, "small", "1");
    expect_everywhere(cluster, "later", "1");
    struct registry_validator v = cluster_validator(node);
    if (ledger_register_validator(cluster->nodes[1].ledger, &v, &err))
        fail_msg("%s", err.message);
    assert_true(cluster_wait(cluster_all_acting, cluster, NULL));
    put(cluster, 3, "own", "1", NULL);
    assert_true(cluster_wait(cluster_agrees, cluster, NULL));
    expect_everywhere(cluster, "own", "1");
}

/* ---- a node that was away for too long ---- */

static int setup_forgetful(void **state)
{
    *state = cluster_new_forgetful(3);
    return 0;
}

static bool needs_snapshot(struct cluster *cluster, void *arg)
{
    (void)arg;
    return cluster->nodes[2].snapshot_events > 0;
}

/* Node 2 comes back with a block that only it has, and others keep nothing that it could go on from. */
static void come_back_too_late(struct cluster *cluster)
{
    struct cluster_node *node = &cluster->nodes[2];
    struct ledger_state before;
    assert_true(cluster_wait(all_final, cluster, NULL));
    ledger_state(node->ledger, &before);
    cluster_link_all(cluster, 2, false);
    put(cluster, 2, "unseen", "1", NULL);
    cluster_close(node);
    cluster_go_on_beyond(cluster, before.head_height);
    cluster_come_back(node);
}

/* Changes of clients among the orphans of a store that is closed. */
static size_t orphans_in(const char *dir)
{
    struct err err;
    struct tx *tx;
    struct blockstore *store;
    struct blockstore_options options = {.dir = dir, .read_only = true};
    if (blockstore_open(&store, &options, &err))
        fail_msg("%s", err.message);
    uint64_t number = 0;
    size_t count = 0;
    while (!blockstore_orphan_next(store, number, &number, &tx, &err)) {
        count += is_of_a_client(tx);
        tx_free(tx);
    }
    blockstore_close(store);
    return count;
}

/* Node 2 leaves its chain behind, in which one change is not that of the others, and is there again with
 * their state. */
static void begin_anew(struct cluster *cluster)
{
    struct cluster_node *node = &cluster->nodes[2];
    struct err err;
    assert_true(cluster_wait(needs_snapshot, cluster, NULL));
    struct ledger_state state_now;
    ledger_state(node->ledger, &state_now);
    assert_true(state_now.needs_snapshot);
    cluster_close(node);
    mem_auto char *dir = mem_printf("%s/chain", node->dir.path);
    char aside[256];
    assert_int_equal(orphans_in(dir), 1);
    if (blockstore_set_aside(dir, aside, sizeof(aside), &err))
        fail_msg("%s", err.message);
    struct joining joining = {.node = node};
    fetch_chain(cluster, &joining, 1);
    cluster_open(node);
    cluster_link_all(cluster, 2, true);
}

/* What it wrote where nobody could see it comes back all the same. */
static void test_away_for_too_long(void **state)
{
    struct cluster *cluster = *state;
    come_back_too_late(cluster);
    begin_anew(cluster);
    put(cluster, 0, "later", "1", NULL);
    assert_true(cluster_wait(cluster_agrees, cluster, NULL));
    expect_everywhere(cluster, "later", "1");
    assert_int_equal(resubmit_orphans(cluster->nodes[2].ledger), 1);
    assert_true(cluster_wait(cluster_agrees, cluster, NULL));
    expect_everywhere(cluster, "unseen", "1");
}

/* Node 2 is cut off when it has a block that it does not know to be final. Returns its height. */
static uint64_t cut_off_before_final(struct cluster *cluster, const char *name)
{
    struct ledger_state state;
    for (int i = 0; i < 50; i++) {
        assert_true(cluster_wait(all_final, cluster, NULL));
        put(cluster, 2, name, i % 2 ? NULL : "1", NULL);
        cluster_link_all(cluster, 2, false);
        ledger_state(cluster->nodes[2].ledger, &state);
        bool shared = has(cluster->nodes[0].ledger, name, "1") && has(cluster->nodes[1].ledger, name, "1");
        if (shared && has(cluster->nodes[2].ledger, name, "1") && state.final_height < state.head_height)
            return state.head_height;
        cluster_link_all(cluster, 2, true);
    }
    fail_msg("%s is final each time", name);
    return 0;
}

/* What it shared with the others, not knowing that it was final, is not made once more: they may have gone on
 * from there. */
static void test_away_with_what_was_shared(void **state)
{
    struct cluster *cluster = *state;
    struct cluster_node *node = &cluster->nodes[2];
    uint64_t height = cut_off_before_final(cluster, "removed");
    put(cluster, 2, "unseen", "1", NULL);
    cluster_close(node);
    put(cluster, 0, "removed", NULL, NULL);
    cluster_go_on_beyond(cluster, height);
    cluster_come_back(node);
    begin_anew(cluster);
    assert_int_equal(resubmit_orphans(node->ledger), 1);
    assert_true(cluster_wait(cluster_agrees, cluster, NULL));
    expect_everywhere(cluster, "unseen", "1");
    for (size_t i = 0; i < 3; i++) {
        assert_false(has(cluster->nodes[i].ledger, "removed", "1"));
        assert_int_equal(cluster->nodes[i].blames, 0);
    }
}

struct answer {
    _Atomic int count, code;
};

static void on_answer(void *arg, const struct ledger_result *result)
{
    struct answer *answer = arg;
    answer->code = result->code;
    answer->count++;
}

static bool is_answered(struct cluster *cluster, void *arg)
{
    struct answer *answer = arg;
    (void)cluster;
    return answer->count > 0;
}

/* What follows on a chain that others have left behind is in nobody's chain, ever. */
static void test_nobody_waits_where_nothing_is_included(void **state)
{
    struct cluster *cluster = *state;
    struct answer first = {0}, second = {0};
    come_back_too_late(cluster);
    struct ledger *ledger = cluster->nodes[2].ledger;
    ledger_submit(ledger, fixture_tx(ledger, "configmaps", "first", "1"), on_answer, &first);
    assert_true(cluster_wait(needs_snapshot, cluster, NULL));
    assert_true(cluster_wait(is_answered, cluster, &first));
    assert_int_equal(first.code, ERR_UNAVAILABLE);
    ledger_submit(ledger, fixture_tx(ledger, "configmaps", "second", "1"), on_answer, &second);
    assert_true(cluster_wait(is_answered, cluster, &second));
    assert_int_equal(second.code, ERR_UNAVAILABLE);
    cluster_close(&cluster->nodes[2]);
    assert_int_equal(first.count, 1);
    assert_int_equal(second.count, 1);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(test_written_on_one_read_on_all, setup, teardown),
    cmocka_unit_test_setup_teardown(test_one_less, setup, teardown),
    cmocka_unit_test_setup_teardown(test_partition_and_heal, setup, teardown),
    cmocka_unit_test_setup_teardown(test_waiting_for_finality, setup, teardown),
    cmocka_unit_test_setup_teardown(test_owners, setup, teardown),
    cmocka_unit_test_setup_teardown(test_a_snapshot_from_others, setup, teardown),
    cmocka_unit_test_setup_teardown(test_away_for_too_long, setup_forgetful, teardown),
    cmocka_unit_test_setup_teardown(test_away_with_what_was_shared, setup_forgetful, teardown),
    cmocka_unit_test_setup_teardown(test_nobody_waits_where_nothing_is_included, setup_forgetful, teardown),
};

UNIT_MAIN(tests)
