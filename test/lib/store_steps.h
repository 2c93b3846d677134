/* Random steps on a block store that follow from a seed and a number, and all that a store shows: the same
 * steps on two stores have to show the same. */
#ifndef KATENA_TEST_STORE_STEPS_H
#define KATENA_TEST_STORE_STEPS_H

#include "store_fixture.h"

static inline uint32_t store_steps_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33);
}

static inline int store_steps_commit(struct tx_fixture *f, struct blockstore *store, uint64_t *random,
                                     struct err *err)
{
    enum { MOST = 4 };
    struct tx *txs[MOST];
    size_t count = 1 + store_steps_random(random) % MOST;
    uint32_t first = store_steps_random(random) % 24;
    char name[16], value[600];
    for (size_t i = 0; i < count; i++) {
        snprintf(name, sizeof(name), "p%u", (unsigned)((first + i) % 24));
        bool remove = store_steps_random(random) % 4 == 0;
        size_t len = (size_t)snprintf(value, sizeof(value), "%u ", store_steps_random(random) % 100);
        size_t more = store_steps_random(random) % 500;
        memset(value + len, 'x', more);
        value[len + more] = '\0';
        struct resource_key key = tx_fixture_key_of("pods", "default", name);
        struct state_snapshot *snapshot = blockstore_ops()->snapshot_begin(store);
        struct state_object object;
        bool exists = !blockstore_ops()->get(snapshot, &key, &object, NULL);
        blockstore_ops()->snapshot_end(snapshot);
        txs[i] = store_fixture_pod(f, store, name, remove && exists ? NULL : value, NULL);
    }
    bool tentative = store_steps_random(random) % 16 != 0;
    return store_fixture_commit(f, store, txs, count, tentative, err);
}

/* An orphan comes back as it is, when it still holds; otherwise it is done with. */
static inline int store_steps_orphan(struct tx_fixture *f, struct blockstore *store, bool lasting,
                                     struct err *err)
{
    struct tx *tx;
    uint64_t number = 0;
    int rc = blockstore_orphan_next(store, 0, &number, &tx, err);
    if (rc)
        return rc == ERR_NOT_FOUND ? 0 : rc;
    struct state_snapshot *snapshot = blockstore_ops()->snapshot_begin(store);
    struct state_object object;
    bool exists = !blockstore_ops()->get(snapshot, &tx->outputs[0].key, &object, NULL);
    bool fits = tx->input_count ? exists && !memcmp(object.tx_id, tx->inputs[0].tx_id, TX_ID_SIZE) : !exists;
    blockstore_ops()->snapshot_end(snapshot);
    if (fits)
        return store_fixture_commit(f, store, &tx, 1, true, err);
    tx_free(tx);
    return lasting ? 0 : blockstore_orphan_done(store, number, err);
}

static inline int store_steps_record(struct blockstore *store, uint64_t number, struct err *err)
{
    char record[64];
    int n = snprintf(record, sizeof(record), "record %llu", (unsigned long long)number);
    return blockstore_put_record(store, record, (size_t)n, err);
}

/* Step number of a run. lasting: only what the log has, nothing that a loss of power may take back. */
static inline int store_steps_do(struct tx_fixture *f, struct blockstore *store, uint64_t seed,
                                 uint64_t number, bool lasting, struct err *err)
{
    uint64_t random = seed + number * 0x9e3779b97f4a7c15u;
    struct blockstore_head head;
    store_steps_random(&random);
    f->now_us = TX_FIXTURE_TIME + (int64_t)number * 100000;
    f->nonce = number * 100;
    int rc = blockstore_head(store, &head, err);
    if (rc == ERR_NOT_FOUND)
        return store_fixture_genesis(f, store, err);
    uint64_t height = head.header.height, final = blockstore_final_height(store);
    uint32_t choice = store_steps_random(&random) % 16;
    if (choice == 0 && height > final)
        return blockstore_rewind(store, final + store_steps_random(&random) % (height - final), err);
    if (choice == 1 && height > final) {
        rc = blockstore_finalize(store, final + 1 + store_steps_random(&random) % (height - final), err);
        return rc ? rc : store_steps_record(store, number, err);
    }
    if (choice == 2)
        return store_steps_record(store, number, err);
    if (choice <= 5)
        return store_steps_orphan(f, store, lasting, err);
    return store_steps_commit(f, store, &random, err);
}

static inline void store_steps_show(struct buf *out, struct blockstore *store)
{
    buf_auto struct buf record = BUF_INIT;
    struct err err;
    struct tx *tx;
    uint64_t number = 0;
    struct blockstore_head head;
    buf_clear(out);
    if (blockstore_head(store, &head, &err) == ERR_NOT_FOUND)
        return;
    store_fixture_dump(out, store);
    if (!blockstore_get_record(store, &record, &err))
        buf_printf(out, "%s\n", buf_str(&record));
    while (!blockstore_orphan_next(store, number, &number, &tx, &err)) {
        buf_printf(out, "orphan %llu %02x%02x\n", (unsigned long long)number, tx->id[0], tx->id[1]);
        tx_free(tx);
    }
    struct blockstore_stats stats;
    int rc = blockstore_stats(store, &stats, &err);
    assert(!rc);
    (void)rc;
    buf_printf(out, "%llu transactions\n", (unsigned long long)stats.transactions);
    /* Every block of the chain can be read, and what it brought is known. */
    for (uint64_t height = stats.oldest_body ? stats.oldest_body : 1; height <= head.header.height;
         height++) {
        struct block *block;
        uint64_t at;
        uint32_t index;
        rc = blockstore_block_at(store, height, &block, &err);
        assert(!rc);
        for (uint32_t i = 0; i < block->header.tx_count; i++) {
            rc = blockstore_height_of_tx(store, block->txs[i]->id, &at, &index, &err);
            assert(!rc && at == height && index == i);
        }
        block_free(block);
    }
}

#endif
