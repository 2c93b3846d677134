/*
 * Who is there, and whose work is whose: rendezvous hashing over the live validators. Each node weighs a
 * piece of work for every node, and the heaviest has it; so nodes that see the same others agree, and one
 * that goes leaves only its own work to be taken over.
 */
#include "ledger/ledger_internal.h"

#include "base/mem.h"
#include "validator/registry.h"

#include <sodium.h>
#include <string.h>

static bool has_member(const struct member *members, size_t count, const uint8_t *key)
{
    for (size_t i = 0; i < count; i++)
        if (!memcmp(members[i].key, key, TX_KEY_SIZE))
            return true;
    return false;
}

void ledger_members_refresh(struct ledger *ledger)
{
    struct consensus_validator *validators = mem_calloc(REGISTRY_MAX, sizeof(*validators));
    struct member *members = mem_calloc(REGISTRY_MAX + 1, sizeof(*members));
    size_t found = consensus_validators(ledger->core, validators, REGISTRY_MAX), count = 0;
    for (size_t i = 0; i < found && i < REGISTRY_MAX; i++)
        if (validators[i].live)
            memcpy(members[count++].key, validators[i].key, TX_KEY_SIZE);
    const uint8_t *self = ledger_node_public(ledger);
    if (!has_member(members, count, self))
        memcpy(members[count++].key, self, TX_KEY_SIZE);
    free(validators);
    pthread_rwlock_wrlock(&ledger->members_lock);
    struct member *old = ledger->members;
    ledger->members = members;
    atomic_store(&ledger->member_count, count);
    pthread_rwlock_unlock(&ledger->members_lock);
    free(old);
}

/* SipHash with half of a node's key as its key: the same on every node. */
static uint64_t weigh(const struct member *member, const void *work, size_t len)
{
    uint8_t hash[crypto_shorthash_BYTES];
    uint64_t weight = 0;
    crypto_shorthash(hash, work, len, member->key);
    for (size_t i = 0; i < sizeof(hash); i++)
        weight = weight << 8 | hash[i];
    return weight;
}

bool ledger_owns(struct ledger *ledger, const void *work, size_t len)
{
    if (atomic_load_explicit(&ledger->member_count, memory_order_relaxed) <= 1)
        return true;
    const uint8_t *self = ledger_node_public(ledger);
    const struct member *heaviest = NULL;
    uint64_t most = 0;
    pthread_rwlock_rdlock(&ledger->members_lock);
    for (size_t i = 0; i < ledger->member_count; i++) {
        uint64_t weight = weigh(&ledger->members[i], work, len);
        if (!heaviest || weight > most) {
            heaviest = &ledger->members[i];
            most = weight;
        }
    }
    bool owns = !heaviest || !memcmp(heaviest->key, self, TX_KEY_SIZE);
    pthread_rwlock_unlock(&ledger->members_lock);
    return owns;
}

struct listing {
    struct ledger_validator *out;
    size_t max, count;
};

static void list_validators(struct ledger *ledger, void *arg)
{
    struct listing *listing = arg;
    struct consensus_validator *found = mem_calloc(REGISTRY_MAX, sizeof(*found));
    const uint8_t *self = ledger_node_public(ledger);
    size_t count = consensus_validators(ledger->core, found, REGISTRY_MAX);
    for (size_t i = 0; i < count && i < listing->max && i < REGISTRY_MAX; i++) {
        struct ledger_validator *v = &listing->out[i];
        *v = (struct ledger_validator){.self = !memcmp(found[i].key, self, TX_KEY_SIZE),
                                       .acting = found[i].acting,
                                       .live = found[i].live,
                                       .producer = found[i].producer,
                                       .equivocated = found[i].equivocated,
                                       .head_height = found[i].head_height};
        memcpy(v->key, found[i].key, TX_KEY_SIZE);
        if (found[i].name)
            strncpy(v->name, found[i].name, sizeof(v->name) - 1);
    }
    listing->count = count;
    free(found);
}

size_t ledger_validators(struct ledger *ledger, struct ledger_validator *out, size_t max)
{
    struct listing listing = {out, max, 0};
    ledger_call(ledger, list_validators, &listing);
    return listing.count;
}
