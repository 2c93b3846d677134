/*
 * core_bench [COUNT]: what the pure core costs per transaction, without disk and network: creates of 1 KiB
 * ConfigMaps, then an update of each, in blocks of up to 256, on a store in memory.
 */
#include "chain_fixture.h"

#include "base/clock.h"

#include <stdlib.h>

#define BATCH 256

struct phase {
    double sign_us, core_us, store_us;
    size_t count;
};

/* The blocks that were made, as they would come from another node. */
struct blocks {
    struct block **items;
    size_t count;
};

static char content[1025];

static struct resource_key key_at(char name[32], size_t i)
{
    snprintf(name, 32, "cm-%08zu", i);
    return tx_fixture_key_of("configmaps", "default", name);
}

static struct tx *make(struct chain_fixture *f, size_t i, uint8_t (*ids)[TX_ID_SIZE], bool update)
{
    char name[32];
    struct resource_key key = key_at(name, i);
    struct tx *tx =
        update ? tx_fixture_update(&f->tx, key, ids[i], content) : tx_fixture_create(&f->tx, key, content);
    memcpy(ids[i], tx->id, TX_ID_SIZE);
    return tx;
}

static void blocks_add(struct blocks *blocks, const struct block *made)
{
    blocks->items = mem_reallocarray(blocks->items, blocks->count + 1, sizeof(struct block *));
    if (block_decode(&blocks->items[blocks->count++], made->encoded, made->encoded_len, NULL))
        abort();
}

/* One block: sign a batch, hand it over and let it be made; then apply it. */
static void batch(struct chain_fixture *f, struct phase *p, size_t from, size_t count,
                  uint8_t (*ids)[TX_ID_SIZE], bool update, struct blocks *blocks)
{
    struct tx *txs[BATCH];
    int64_t start = clock_mono_us();
    for (size_t i = 0; i < count; i++)
        txs[i] = make(f, from + i, ids, update);
    int64_t signed_at = clock_mono_us();
    struct consensus_update u;
    for (size_t i = 0; i < count; i++)
        chain_fixture_submit(f, txs[i], NULL, &u);
    chain_fixture_tick(f, &u, NULL);
    const struct consensus_persist *persist = u.persist;
    int64_t made = clock_mono_us();
    blocks_add(blocks, persist->block);
    int64_t applying = clock_mono_us();
    chain_store_persist(&f->mem, persist);
    int64_t applied = clock_mono_us();
    struct consensus_event event = {.type = CONSENSUS_PERSISTED, .now_us = f->tx.now_us};
    consensus_step(f->consensus, &event, &u, NULL);
    if (u.answer_count != count || u.answers[0].code)
        abort();
    event = (struct consensus_event){.type = CONSENSUS_TICK, .now_us = f->tx.now_us};
    consensus_step(f->consensus, &event, &u, NULL);
    int64_t end = clock_mono_us();
    p->sign_us += (double)(signed_at - start);
    p->core_us += (double)(made - signed_at + end - applied);
    p->store_us += (double)(applied - applying);
    p->count += count;
}

static void print(const char *name, const struct phase *p)
{
    double n = (double)p->count;
    printf("%-8s %7zu transactions: build+sign %5.1f us, core %5.1f us (%.0f/s), store in memory %4.1f us "
           "each\n",
           name, p->count, p->sign_us / n, p->core_us / n, n * 1e6 / p->core_us, p->store_us / n);
}

/* As a follower does: each block decoded from its bytes, every signature and rule checked. */
static void verify(struct chain_fixture *f, const struct blocks *blocks)
{
    struct chain_fixture other = {.tx = f->tx};
    chain_fixture_start(&other);
    struct phase p = {0};
    for (size_t i = 0; i < blocks->count; i++) {
        struct consensus_update u;
        int64_t start = clock_mono_us();
        if (chain_fixture_receive(&other, blocks->items[i], &u, NULL))
            abort();
        p.core_us += (double)(clock_mono_us() - start);
        p.count += blocks->items[i]->header.tx_count;
        const struct consensus_persist *persist = u.persist;
        chain_fixture_persist(&other, persist, &u);
    }
    print("verify", &p);
    chain_fixture_stop(&other);
}

int main(int argc, char **argv)
{
    size_t count = argc > 1 ? strtoul(argv[1], NULL, 10) : 5120;
    memset(content, 'x', sizeof(content) - 1);
    struct chain_fixture f;
    chain_fixture_begin(&f);
    uint8_t(*ids)[TX_ID_SIZE] = calloc(count + BATCH, TX_ID_SIZE);
    struct blocks blocks = {NULL, 0};
    struct resource_key ns = tx_fixture_key_of("namespaces", "", "default");
    struct consensus_update u;
    chain_fixture_submit(&f, tx_fixture_create(&f.tx, ns, "{}"), NULL, &u);
    chain_fixture_tick(&f, &u, NULL);
    blocks_add(&blocks, u.persist->block);
    const struct consensus_persist *persist = u.persist;
    chain_fixture_persist(&f, persist, &u);
    struct phase creates = {0}, updates = {0};
    for (size_t i = 0; i + BATCH <= count; i += BATCH)
        batch(&f, &creates, i, BATCH, ids, false, &blocks);
    for (size_t i = 0; i + BATCH <= count; i += BATCH)
        batch(&f, &updates, i, BATCH, ids, true, &blocks);
    print("create", &creates);
    print("update", &updates);
    verify(&f, &blocks);
    for (size_t i = 0; i < blocks.count; i++)
        block_free(blocks.items[i]);
    free(blocks.items);
    free(ids);
    chain_fixture_end(&f);
    return 0;
}
