/* Which nodes are validators: in the block that a world begins with, and by transactions later. */
#include "cluster.h"

#include "base/hex.h"
#include "validator/registry.h"

#include <assert.h>
#include <sodium.h>

static void validator_put(struct tx *tx, const struct cluster_node *node)
{
    char name[16], key[2 * TX_KEY_SIZE + 1], content[256];
    snprintf(name, sizeof(name), "n%u", node->id);
    hex_encode(key, node->key, TX_KEY_SIZE);
    snprintf(content, sizeof(content),
             "{\"addresses\":[\"10.0.0.%u:6444\"],\"key\":\"%s\",\"phase\":\"Acting\"}", node->id % 250, key);
    struct tx_output output = {.op = TX_OUTPUT_PUT,
                               .key = {REGISTRY_GROUP, REGISTRY_VALIDATORS, "", name},
                               .uid = name,
                               .encoding = TX_CONTENT_PLAIN,
                               .content = (const uint8_t *)content,
                               .content_len = strlen(content)};
    tx_add_output(tx, &output);
}

/* What the genesis' state comes from: a namespace, and all validators at once, which no rule would allow. */
static struct tx *setup_tx(struct cluster_world *w, uint32_t validators)
{
    struct tx *tx = tx_new();
    static const char *const groups[] = {REGISTRY_USER_GROUP};
    tx_set_user(tx, REGISTRY_USER, groups, 1);
    tx_set_verb(tx, "create", "");
    struct tx_output namespace = {.op = TX_OUTPUT_PUT,
                                  .key = {"", "namespaces", "", "ns"},
                                  .uid = "ns",
                                  .encoding = TX_CONTENT_PLAIN,
                                  .content = (const uint8_t *)"{}",
                                  .content_len = 2};
    tx_add_output(tx, &namespace);
    for (uint32_t i = 0; i < validators; i++)
        validator_put(tx, &w->nodes[i]);
    cluster_tx_sign(&w->nodes[0], tx);
    return tx;
}

/* Puts the genesis' state into a store; with seal, makes the genesis of it. */
static void setup_state(struct cluster_world *w, struct state_mem *store, bool seal)
{
    const struct state_store_ops *ops = state_mem_ops();
    struct state_snapshot *snapshot = ops->snapshot_begin(store);
    struct lthash empty;
    lthash_init(&empty);
    struct state_view *view = state_view_new(ops, snapshot, &empty);
    struct block_header *header = &w->genesis->header;
    state_view_begin(view, header->time_us);
    int rc = state_view_apply(view, w->setup, NULL);
    assert(rc == 0);
    (void)rc;
    if (seal) {
        state_view_digest(view, header->state_digest);
        block_seal(w->genesis, w->nodes[0].secret_key);
    } else {
        struct state_update update;
        state_view_update(view, header, &update);
        state_mem_apply(store, &update);
    }
    state_view_free(view);
    ops->snapshot_end(snapshot);
}

static void store_begin(struct cluster_world *w, struct cluster_node *node)
{
    chain_store_begin(&node->store, w->genesis);
    setup_state(w, node->store.state, false);
}

void cluster_setup(struct cluster_world *w)
{
    uint32_t validators = w->o.churn && w->o.nodes > 4 ? w->o.nodes - w->o.nodes / 3 : w->o.nodes;
    w->setup = setup_tx(w, w->o.bare ? 0 : validators);
    w->genesis = block_new(NULL, 0);
    w->genesis->header.time_us = CLUSTER_BEGINNING_US - 10000000;
    w->genesis->header.flags = w->o.liars ? BLOCK_BYZANTINE : 0;
    struct state_mem *scratch = state_mem_new();
    setup_state(w, scratch, true);
    state_mem_free(scratch);
    for (uint32_t i = 0; i < w->o.nodes; i++)
        store_begin(w, &w->nodes[i]);
}

void cluster_key_make(struct cluster_world *w, struct cluster_node *node)
{
    uint64_t text[3] = {w->o.seed, node->id, node->incarnation};
    uint8_t seed[HASH_SIZE];
    hash_content(seed, text, sizeof(text));
    crypto_sign_seed_keypair(node->key, node->secret_key, seed);
}

void cluster_setup_again(struct cluster_world *w, struct cluster_node *node)
{
    node->replaced = true;
    cluster_key_make(w, node);
    chain_store_end(&node->store);
    store_begin(w, node);
    node->final_height = 0;
}

/* All objects of one state into another, which is empty. */
static void state_copy(struct state_mem *to, struct state_mem *from, const struct block_header *head)
{
    const struct state_store_ops *ops = state_mem_ops();
    struct state_snapshot *snapshot = ops->snapshot_begin(from);
    struct state_iter *iter = ops->iter_begin(snapshot, "", 0, NULL, 0);
    struct state_change *changes = NULL;
    struct state_update update = {.height = head->height, .head_rv = block_head_rv(head)};
    struct state_object object;
    while (ops->iter_next(iter, &object)) {
        changes = mem_reallocarray(changes, update.change_count + 1, sizeof(*changes));
        changes[update.change_count++] = (struct state_change){.type = STATE_ADDED, .object = object};
    }
    update.changes = changes;
    update.hash = state_mem_hash(from);
    memcpy(update.block_hash, head->hash, HASH_SIZE);
    state_mem_apply(to, &update);
    ops->iter_end(iter);
    ops->snapshot_end(snapshot);
    free(changes);
}

/* A new node whose store is a snapshot of another's, all of which is final. */
void cluster_setup_snapshot(struct cluster_world *w, struct cluster_node *node,
                            const struct cluster_node *from)
{
    const struct chain_store *source = &from->store;
    node->replaced = true;
    cluster_key_make(w, node);
    chain_store_end(&node->store);
    chain_store_begin(&node->store, w->genesis);
    for (size_t i = 1; i < source->count; i++)
        chain_store_push(&node->store, source->chain[i].block);
    state_copy(node->store.state, source->state, &chain_store_head(source)->header);
    node->store.base = node->store.final_height = source->count - 1;
    node->final_height = 0;
}

/* ---- changes by transactions ---- */

bool cluster_change_is_over(const struct cluster_node *node)
{
    const struct state_store_ops *ops = state_mem_ops();
    struct state_snapshot *snapshot = ops->snapshot_begin(node->store.state);
    struct registry_validator *all;
    size_t count = registry_load(&all, ops, snapshot);
    bool over = true;
    for (size_t i = 0; i < count; i++)
        over = over && all[i].phase == REGISTRY_ACTING;
    free(all);
    ops->snapshot_end(snapshot);
    return over;
}

static struct registry_validator validator_of(const struct cluster_node *node, enum registry_phase phase)
{
    struct registry_validator v = {.phase = phase, .address_count = 1};
    snprintf(v.name, sizeof(v.name), "n%u", node->id);
    if (node->replaced)
        snprintf(v.name, sizeof(v.name), "n%u-new", node->id);
    memcpy(v.key, node->key, TX_KEY_SIZE);
    snprintf(v.addresses[0], sizeof(v.addresses[0]), "10.0.0.%u:6444", node->id % 250);
    return v;
}

/* The change of a validator that may come next, as a node sees it; NULL: none. */
static struct tx *churn_tx(struct cluster_world *w, struct cluster_node *by, const struct cluster_node *who)
{
    const struct state_store_ops *ops = chain_store_state_ops();
    struct state_snapshot *snapshot = ops->snapshot_begin(&by->store);
    struct registry_validator *all;
    size_t count = registry_load(&all, ops, snapshot), found = 0;
    ops->snapshot_end(snapshot);
    while (found < count && memcmp(all[found].key, who->key, TX_KEY_SIZE) != 0)
        found++;
    struct tx *tx = NULL;
    if (count == 0) { /* the chain's first validator registers itself */
        struct registry_validator v = validator_of(by, REGISTRY_ACTING);
        tx = registry_put_tx(&v, NULL);
    } else if (found == count) {
        struct registry_validator v = validator_of(who, REGISTRY_JOINING);
        tx = registry_put_tx(&v, NULL);
        w->stats.joins++;
    } else if (all[found].phase == REGISTRY_ACTING && count > w->members_min && who->id != by->id) {
        struct registry_validator v = all[found];
        v.phase = REGISTRY_LEAVING;
        tx = registry_put_tx(&v, &all[found]);
        w->stats.leaves++;
    }
    free(all);
    return tx;
}

void cluster_churn(struct cluster_world *w)
{
    uint32_t by = cluster_draw(w, w->o.nodes), who = cluster_draw(w, w->o.nodes);
    cluster_change(w, &w->nodes[by], &w->nodes[who]);
}

void cluster_change(struct cluster_world *w, struct cluster_node *by, const struct cluster_node *who)
{
    if (!by->up || by->liar || who->liar || !cluster_node_is_validator(by))
        return;
    struct tx *tx = churn_tx(w, by, who);
    if (!tx)
        return;
    static const char *const groups[] = {REGISTRY_USER_GROUP};
    memcpy(tx->chain_id, w->genesis->header.hash, TX_ID_SIZE);
    tx->time_us = cluster_local_time(w, by);
    w->nonce++;
    memcpy(tx->nonce, &w->nonce, sizeof(w->nonce));
    tx_set_user(tx, REGISTRY_USER, groups, 1);
    cluster_tx_sign(by, tx);
    cluster_submit_tx(w, by, tx, false, CLUSTER_NONE);
}
