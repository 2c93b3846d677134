/* See ledger.h: opening and closing, and small things. ledger_internal.h says where the rest is. */
#include "ledger/ledger_internal.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/rand.h"
#include "blockstore/dir.h"
#include "validator/rbac_policy.h"

#include <string.h>

/* ---- opening and closing ---- */

/* The first block of a new chain, written like any other. */
static int make_genesis(struct ledger *ledger, bool byzantine, struct err *err)
{
    struct block *genesis =
        block_genesis_with(clock_wall_us(), byzantine ? BLOCK_BYZANTINE : 0, ledger->secret_key);
    struct lthash empty;
    lthash_init(&empty);
    struct state_update update = {.head_rv = block_head_rv(&genesis->header), .hash = &empty};
    memcpy(update.block_hash, genesis->header.hash, HASH_SIZE);
    int rc = blockstore_commit(ledger->store, genesis, &update, err);
    block_free(genesis);
    return rc;
}

/* The key and the chain belong together: a new key is made only for a new chain. */
static int open_key(struct ledger *ledger, const char *dir, bool fresh, struct err *err)
{
    mem_auto char *key_path = mem_printf("%s/node.key", dir);
    struct err missing;
    int rc = node_key_load(ledger->secret_key, key_path, &missing);
    if (rc == ERR_NOT_FOUND && fresh)
        return node_key_make(ledger->secret_key, key_path, err);
    if (rc == ERR_NOT_FOUND)
        return err_set(
            err, rc,
            "%s is missing, and without it this node cannot go on with its chain: restore it from a backup",
            key_path);
    return rc < 0 ? err_set(err, rc, "%s", missing.message) : 0;
}

static int open_chain(struct ledger *ledger, const struct ledger_options *options, const char *dir,
                      struct err *err)
{
    struct blockstore_head head;
    struct block_header genesis;
    bool fresh = blockstore_head(ledger->store, &head, err) == ERR_NOT_FOUND;
    if (fresh && options->chain_id)
        return err_set(err, ERR_NOT_FOUND, "there is no chain in %s", dir);
    int rc = open_key(ledger, dir, fresh, err);
    if (!rc && fresh)
        rc = make_genesis(ledger, options->byzantine, err);
    if (!rc)
        rc = blockstore_header_at(ledger->store, 0, &genesis, err);
    if (rc < 0)
        return rc;
    if (options->chain_id && memcmp(genesis.hash, options->chain_id, TX_ID_SIZE) != 0)
        return err_set(err, ERR_CONFLICT, "%s has the chain of another cluster", dir);
    memcpy(ledger->chain_id, genesis.hash, TX_ID_SIZE);
    return 0;
}

static struct ledger *ledger_new(void)
{
    struct ledger *ledger = mem_zalloc(sizeof(*ledger));
    ledger->last = &ledger->first;
    ledger->asleep_until_us = INT64_MIN;
    pthread_mutex_init(&ledger->lock, NULL);
    pthread_cond_init(&ledger->wake, NULL);
    pthread_cond_init(&ledger->switched, NULL);
    pthread_rwlock_init(&ledger->ops_lock, NULL);
    pthread_rwlock_init(&ledger->subscribers_lock, NULL);
    pthread_mutex_init(&ledger->finals_lock, NULL);
    pthread_rwlock_init(&ledger->members_lock, NULL);
    ledger->memory = tx_memory_new();
    ledger->known_batches = known_batches_new();
    ledger->sync_server = sync_server_new(ledger);
    return ledger;
}

int ledger_open(struct ledger **out, const struct ledger_options *options, struct err *err)
{
    struct ledger *ledger = ledger_new();
    mem_auto char *dir = mem_printf("%s/chain", options->data_dir);
    struct blockstore_options store_options = {.dir = dir,
                                               .retention_us = options->retention_us,
                                               .checkpoint_us = options->checkpoint_us,
                                               .first_segment = options->first_segment};
    int rc = dir_make(options->data_dir, err);
    if (!rc)
        rc = blockstore_open(&ledger->store, &store_options, err);
    if (!rc)
        rc = open_chain(ledger, options, dir, err);
    if (!rc)
        rc = ledger_core_start(ledger, err);
    if (rc < 0) {
        ledger_close(ledger);
        return rc;
    }
    *out = ledger;
    return 0;
}

void ledger_close(struct ledger *ledger)
{
    if (!ledger)
        return;
    ledger_core_stop(ledger);
    if (ledger->policy)
        rbac_policy_release(ledger->policy);
    sync_server_free(ledger->sync_server);
    blockstore_close(ledger->store);
    ledger_subscribe(ledger, NULL, NULL);
    ledger_subscribe_events(ledger, NULL, NULL);
    tx_memory_free(ledger->memory);
    known_batches_free(ledger->known_batches);
    free(ledger->members);
    pthread_mutex_destroy(&ledger->lock);
    pthread_cond_destroy(&ledger->wake);
    pthread_cond_destroy(&ledger->switched);
    pthread_rwlock_destroy(&ledger->ops_lock);
    pthread_rwlock_destroy(&ledger->subscribers_lock);
    pthread_mutex_destroy(&ledger->finals_lock);
    pthread_rwlock_destroy(&ledger->members_lock);
    explicit_bzero(ledger->secret_key, sizeof(ledger->secret_key));
    free(ledger);
}

/* ---- small things ---- */

const uint8_t *ledger_chain_id(const struct ledger *ledger)
{
    return ledger->chain_id;
}

const uint8_t *ledger_node_public(const struct ledger *ledger)
{
    return ledger->secret_key + NODE_KEY_SIZE - TX_KEY_SIZE;
}

int ledger_encode(struct ledger *ledger, struct tx *tx, struct err *err)
{
    memcpy(tx->chain_id, ledger->chain_id, TX_ID_SIZE);
    tx->time_us = clock_wall_us();
    rand_id(tx->nonce, sizeof(tx->nonce));
    return tx_encode(tx, ledger_node_public(ledger), err);
}

const struct state_store_ops *ledger_store_ops(const struct ledger *ledger)
{
    (void)ledger;
    return blockstore_ops();
}

void *ledger_store(const struct ledger *ledger)
{
    return ledger->store;
}

static void end_subscriptions(struct ledger *ledger)
{
    while (ledger->subscribers) {
        struct subscriber *s = ledger->subscribers;
        ledger->subscribers = s->next;
        free(s);
    }
}

void ledger_subscribe(struct ledger *ledger, ledger_block_fn fn, void *arg)
{
    /* Callbacks run under the reading side of this lock. */
    pthread_rwlock_wrlock(&ledger->subscribers_lock);
    if (fn) {
        struct subscriber *subscriber = mem_zalloc(sizeof(*subscriber));
        *subscriber = (struct subscriber){.fn = fn, .arg = arg};
        struct subscriber **end = &ledger->subscribers;
        while (*end)
            end = &(*end)->next;
        *end = subscriber;
    } else {
        end_subscriptions(ledger);
    }
    pthread_rwlock_unlock(&ledger->subscribers_lock);
}

static void end_event_subscriptions(struct ledger *ledger)
{
    while (ledger->event_subscribers) {
        struct event_subscriber *s = ledger->event_subscribers;
        ledger->event_subscribers = s->next;
        free(s);
    }
}

void ledger_subscribe_events(struct ledger *ledger, ledger_event_fn fn, void *arg)
{
    pthread_rwlock_wrlock(&ledger->subscribers_lock);
    if (fn) {
        struct event_subscriber *subscriber = mem_zalloc(sizeof(*subscriber));
        *subscriber = (struct event_subscriber){fn, arg, ledger->event_subscribers};
        ledger->event_subscribers = subscriber;
    } else {
        end_event_subscriptions(ledger);
    }
    pthread_rwlock_unlock(&ledger->subscribers_lock);
}

uint64_t ledger_branch(const struct ledger *ledger)
{
    return atomic_load(&ledger->branch);
}

struct rbac_policy *ledger_policy(struct ledger *ledger)
{
    pthread_mutex_lock(&ledger->lock);
    struct rbac_policy *policy = rbac_policy_retain(ledger->policy);
    pthread_mutex_unlock(&ledger->lock);
    return policy;
}
