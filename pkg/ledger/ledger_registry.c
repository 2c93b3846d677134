/* Changes of the validators' objects (validator/registry.h) that a node makes on its own account. */
#include "ledger/ledger_internal.h"

#include "base/clock.h"
#include "base/mem.h"
#include "validator/registry.h"

#include <string.h>
#include <time.h>

/* One change of the set at a time: others wait until that before is final. */
#define CHANGE_US (20 * 1000 * 1000)
#define CHANGE_RETRY_US (100 * 1000)

static size_t load(struct ledger *ledger, struct registry_validator **out)
{
    const struct state_store_ops *ops = blockstore_ops();
    struct state_snapshot *snapshot = ops->snapshot_begin(ledger->store);
    size_t count = registry_load(out, ops, snapshot);
    ops->snapshot_end(snapshot);
    return count;
}

static const struct registry_validator *find_name(const struct registry_validator *all, size_t count,
                                                  const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (!strcmp(all[i].name, name))
            return &all[i];
    return NULL;
}

static bool same_addresses(const struct registry_validator *a, const struct registry_validator *b)
{
    bool same = a->address_count == b->address_count;
    for (size_t i = 0; same && i < a->address_count; i++)
        same = !strcmp(a->addresses[i], b->addresses[i]);
    return same;
}

/* What a change has to be, seen from how things stand. */
enum change { CHANGE_NONE, CHANGE_PUT, CHANGE_REFUSED };
struct wanted {
    enum change (*decide)(struct ledger *ledger, const struct wanted *wanted, struct registry_validator *put,
                          const struct registry_validator *before, size_t count, struct err *err);
    const struct registry_validator *validator; /* NULL: remove */
    const char *name;
};

/* Tries once. ERR_STALE: things have changed meanwhile. */
static int try_change(struct ledger *ledger, const struct wanted *wanted, struct err *err)
{
    struct registry_validator *all, *put = mem_zalloc(sizeof(*put));
    size_t count = load(ledger, &all);
    const struct registry_validator *before = find_name(all, count, wanted->name);
    enum change change = wanted->decide(ledger, wanted, put, before, count, err);
    int rc = change == CHANGE_REFUSED ? err->code : 0;
    if (change == CHANGE_PUT) {
        struct tx *tx = registry_put_tx(put, before);
        rc = ledger_encode(ledger, tx, err);
        if (rc < 0)
            tx_free(tx);
        else
            rc = ledger_submit_wait(ledger, tx, NULL, err);
    }
    free(put);
    free(all);
    return rc;
}

static void pause_us(int64_t us)
{
    struct timespec time = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
    nanosleep(&time, NULL);
}

static int make_change(struct ledger *ledger, const struct wanted *wanted, struct err *err)
{
    int64_t end_us = clock_mono_us() + CHANGE_US;
    for (;;) {
        err_clear(err);
        int rc = try_change(ledger, wanted, err);
        bool again = rc == ERR_STALE || rc == ERR_CONFLICT || rc == ERR_UNAVAILABLE;
        if (!again || atomic_load(&ledger->needs_snapshot) || clock_mono_us() >= end_us)
            return rc;
        pause_us(CHANGE_RETRY_US);
    }
}

/* ---- the three changes ---- */

static enum change decide_register(struct ledger *ledger, const struct wanted *wanted,
                                   struct registry_validator *put, const struct registry_validator *before,
                                   size_t count, struct err *err)
{
    (void)ledger;
    (void)count;
    const struct registry_validator *v = wanted->validator;
    if (before && memcmp(before->key, v->key, TX_KEY_SIZE) != 0) {
        err_set(err, ERR_EXISTS, "a node with the name \"%s\" and another key is a member already", v->name);
        return CHANGE_REFUSED;
    }
    if (before && same_addresses(before, v))
        return CHANGE_NONE;
    *put = *v;
    put->phase = before ? before->phase : REGISTRY_JOINING;
    return CHANGE_PUT;
}

static enum change decide_remove(struct ledger *ledger, const struct wanted *wanted,
                                 struct registry_validator *put, const struct registry_validator *before,
                                 size_t count, struct err *err)
{
    (void)ledger;
    if (!before) {
        err_set(err, ERR_NOT_FOUND, "no member has the name \"%s\"", wanted->name);
        return CHANGE_REFUSED;
    }
    if (before->phase == REGISTRY_LEAVING)
        return CHANGE_NONE;
    if (count == 1) {
        err_set(err, ERR_BAD_REQUEST, "\"%s\" is the only member", wanted->name);
        return CHANGE_REFUSED;
    }
    *put = *before;
    put->phase = REGISTRY_LEAVING;
    return CHANGE_PUT;
}

/* The first node registers itself; others are registered by the node that admits them. */
static enum change decide_ensure(struct ledger *ledger, const struct wanted *wanted,
                                 struct registry_validator *put, const struct registry_validator *before,
                                 size_t count, struct err *err)
{
    const struct registry_validator *v = wanted->validator;
    if (before && memcmp(before->key, v->key, TX_KEY_SIZE) != 0) {
        err_set(err, ERR_EXISTS, "another node is a member under the name \"%s\"", v->name);
        return CHANGE_REFUSED;
    }
    if (!before && count > 0)
        return CHANGE_NONE;
    if (before && same_addresses(before, v))
        return CHANGE_NONE;
    struct block_header genesis;
    if (!before && (blockstore_header_at(ledger->store, 0, &genesis, err) < 0 ||
                    memcmp(genesis.producer, v->key, TX_KEY_SIZE) != 0))
        return CHANGE_NONE;
    *put = *v;
    put->phase = before ? before->phase : REGISTRY_ACTING;
    return CHANGE_PUT;
}

int ledger_register_validator(struct ledger *ledger, const struct registry_validator *v, struct err *err)
{
    struct wanted wanted = {decide_register, v, v->name};
    return make_change(ledger, &wanted, err);
}

int ledger_remove_validator(struct ledger *ledger, const char *name, struct err *err)
{
    struct wanted wanted = {decide_remove, NULL, name};
    return make_change(ledger, &wanted, err);
}

int ledger_ensure_registered(struct ledger *ledger, const struct registry_validator *self, struct err *err)
{
    struct wanted wanted = {decide_ensure, self, self->name};
    return make_change(ledger, &wanted, err);
}
