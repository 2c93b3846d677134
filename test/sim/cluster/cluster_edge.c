/* What stands around a core besides the network: its disk, and the care for orphans. */
#include "cluster.h"

#include "validator/validator.h"

#include <assert.h>

/* ---- disks ---- */

void cluster_disk_begin(struct cluster_world *w, struct cluster_node *node,
                        const struct consensus_persist *persist)
{
    int64_t takes = cluster_draw_us(w, w->o.write_min_us, w->o.write_max_us);
    if (cluster_draw(w, 100) < 2)
        takes *= 10;
    node->writing = persist;
    node->writes++;
    cluster_at(w, takes,
               (struct cluster_event){.type = EVENT_WRITTEN, .node = node->id, .stamp = node->incarnation});
}

/* Changes a digit of an object where nobody asked for it: only reading the state anew can tell. */
static void rot(struct cluster_world *w, struct cluster_node *node, const struct consensus_persist *persist)
{
    for (size_t i = 0; i < persist->state.change_count; i++) {
        const struct state_change *made = &persist->state.changes[i];
        if (made->type == STATE_DELETED || strcmp(made->object.key.resource, "configmaps") != 0 ||
            node->id != 0 || cluster_draw(w, 20) != 0)
            continue;
        struct state_change change = {.type = STATE_MODIFIED, .object = made->object, .has_old = true};
        change.old = made->object;
        mem_auto uint8_t *content = mem_dup(made->object.content, made->object.content_len);
        content[made->object.content_len - 2] ^= 1;
        change.object.content = content;
        struct state_update update = persist->state;
        update.changes = &change;
        update.change_count = 1;
        update.total_count = 0;
        state_mem_apply(node->store.state, &update);
        return;
    }
}

void cluster_disk_take(struct cluster_world *w, struct cluster_node *node,
                       const struct consensus_persist *persist)
{
    cluster_trace_persist(w, node, persist);
    cluster_check_persist(w, node, persist);
    if (w->failed)
        return;
    if (persist->type == CONSENSUS_PERSIST_REWIND)
        w->stats.switches++;
    if (w->o.mutation == MUTATE_OLD_RECORD && persist->type == CONSENSUS_PERSIST_RECORD &&
        node->store.record.len > 0)
        return;
    size_t before = node->store.orphan_count;
    chain_store_persist(&node->store, persist);
    if (w->o.mutation == MUTATE_ROTTEN_STATE && persist->type == CONSENSUS_PERSIST_BLOCK)
        rot(w, node, persist);
    w->stats.orphans += node->store.orphan_count - before;
    cluster_check_taken(w, node);
}

/* ---- delay functions ---- */

/* Several nodes evaluate the same; here it is done once. */
const uint8_t *cluster_seed_proof(struct cluster_world *w, const struct consensus_evaluate *evaluate)
{
    static_assert(sizeof(struct vdf_proof) == REGISTRY_SEED_PROOF_SIZE, "output, then proof");
    for (size_t i = 0; i < w->seed_count; i++)
        if (memcmp(w->seeds[i].challenge, evaluate->seed, VDF_SEED_SIZE) == 0)
            return w->seeds[i].proof.output;
    w->seeds = mem_reallocarray(w->seeds, w->seed_count + 1, sizeof(*w->seeds));
    struct cluster_seed *seed = &w->seeds[w->seed_count++];
    memcpy(seed->challenge, evaluate->seed, VDF_SEED_SIZE);
    struct vdf_work *work = vdf_work_new(evaluate->seed, evaluate->difficulty);
    while (!vdf_work_step(work, UINT64_MAX))
        ;
    vdf_work_result(work, &seed->proof);
    vdf_work_free(work);
    return seed->proof.output;
}

/* ---- orphans ---- */

static struct cluster_replay *replay_find(const struct cluster_node *node, uint64_t number)
{
    for (size_t i = node->replay_count; i-- > 0;)
        if (node->replays[i].number == number)
            return &node->replays[i];
    return NULL;
}

static void replay_submit(struct cluster_world *w, struct cluster_node *node, uint64_t number, struct tx *tx,
                          bool rebased)
{
    node->replays = mem_reallocarray(node->replays, node->replay_count + 1, sizeof(*node->replays));
    struct cluster_replay *r = &node->replays[node->replay_count++];
    *r = (struct cluster_replay){.number = number, .rebased = rebased};
    memcpy(r->tx_id, tx->id, TX_ID_SIZE);
    cluster_trace(w, "node %u submits orphan %s again%s", node->id, cluster_short(tx->id),
                  rebased ? " in another form" : "");
    cluster_node_submit(w, node, tx, (void *)(uintptr_t)(2 * node->replay_count));
}

static void orphan_end(struct cluster_world *w, struct cluster_node *node, uint64_t number, bool report)
{
    for (size_t i = 0; i < node->store.orphan_count; i++) {
        const struct chain_store_orphan *orphan = &node->store.orphans[i];
        if (orphan->number != number)
            continue;
        uint32_t found = cluster_submission_find(w, orphan->tx->id);
        if (found == CLUSTER_NONE)
            found = cluster_submission_find(w, orphan->tx->original);
        if (report && found != CLUSTER_NONE && w->o.mutation != MUTATE_REPORT_NOTHING)
            w->submissions[found].reported = true;
        if (report && w->o.mutation != MUTATE_REPORT_NOTHING)
            cluster_trace(w, "node %u reports orphan %s", node->id, cluster_short(orphan->tx->id));
        w->stats.reported += report;
        w->stats.replayed += !report;
        chain_store_orphan_done(&node->store, number);
        return;
    }
    assert(!"the orphan of an answer");
}

/* The same change on top of what is there now: an update of one object is all that clients here rebase. */
static struct tx *rebase(struct cluster_world *w, struct cluster_node *node, const struct tx *orphan)
{
    if (orphan->output_count != 1 || orphan->outputs[0].op != TX_OUTPUT_PUT || orphan->input_count != 1 ||
        orphan->inputs[0].kind != TX_INPUT_DIRECT || orphan->strict)
        return NULL;
    const struct state_store_ops *ops = chain_store_state_ops();
    struct state_snapshot *snapshot = ops->snapshot_begin(&node->store);
    struct state_object object;
    struct tx *tx = NULL;
    if (ops->get(snapshot, &orphan->outputs[0].key, &object, NULL) == 0) {
        static const uint8_t none[TX_ID_SIZE];
        bool again = memcmp(orphan->original, none, TX_ID_SIZE) != 0;
        tx = cluster_tx_new(w, node, "update");
        memcpy(tx->original, again ? orphan->original : orphan->id, TX_ID_SIZE);
        struct tx_input input = {.kind = TX_INPUT_DIRECT, .key = object.key};
        memcpy(input.tx_id, object.tx_id, TX_ID_SIZE);
        tx_add_input(tx, &input);
        tx_add_output(tx, &orphan->outputs[0]);
        cluster_tx_sign(node, tx);
    }
    ops->snapshot_end(snapshot);
    return tx;
}

/* What became of what was submitted again: done, or to be tried in another form, or reported, or later. */
static void orphan_settle(struct cluster_world *w, struct cluster_node *node, struct cluster_replay *r,
                          const struct tx *orphan)
{
    uint64_t number = r->number;
    if (r->code == 0 || r->code == ERR_INCLUDED) {
        orphan_end(w, node, number, false);
    } else if (!validator_is_verdict(r->code)) {
        r->number = 0; /* nothing was found out: it is submitted once more */
    } else {
        struct tx *tx = !r->rebased && r->code == ERR_STALE ? rebase(w, node, orphan) : NULL;
        if (tx)
            replay_submit(w, node, number, tx, true);
        else
            orphan_end(w, node, number, true);
    }
}

void cluster_edge(struct cluster_world *w, struct cluster_node *node)
{
    if (consensus_is_switching(node->core))
        return;
    for (size_t i = 0; i < node->store.orphan_count && node->up && !w->failed; i++) {
        const struct chain_store_orphan *orphan = &node->store.orphans[i];
        struct cluster_replay *r = replay_find(node, orphan->number);
        size_t count = node->store.orphan_count;
        if (w->o.mutation == MUTATE_DROP_ORPHANS) {
            chain_store_orphan_done(&node->store, orphan->number);
        } else if (!r) {
            struct tx *tx;
            int rc = tx_decode(&tx, orphan->tx->encoded, orphan->tx->encoded_len, NULL);
            assert(rc == 0);
            (void)rc;
            replay_submit(w, node, orphan->number, tx, false);
        } else if (r->answered) {
            orphan_settle(w, node, r, orphan->tx);
        }
        if (node->store.orphan_count < count)
            i--;
    }
}

void cluster_edge_answer(struct cluster_world *w, struct cluster_node *node,
                         const struct consensus_answer *answer)
{
    size_t place = (size_t)(uintptr_t)answer->token / 2 - 1;
    if (place >= node->replay_count || node->replays[place].answered) {
        cluster_fail(w, "node %u answers an orphan that it was not asked about, or twice", node->id);
        return;
    }
    struct cluster_replay *r = &node->replays[place];
    if (memcmp(r->tx_id, answer->tx_id, TX_ID_SIZE) != 0)
        cluster_fail(w, "node %u gives one transaction's answer to another", node->id);
    r->answered = true;
    r->code = answer->code;
    cluster_trace(w, "node %u answers orphan %s: %s", node->id, cluster_short(r->tx_id),
                  answer->code ? answer->message : "included");
    if (answer->code == 0)
        cluster_check_answer(w, node, answer);
}
