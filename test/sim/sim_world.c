/* The course of a simulated node. See sim.h. */
#include "sim.h"

#include <stdarg.h>
#include <stdlib.h>

void sim_fail(const struct sim_world *w, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    fprintf(stderr, "seed %ju: %s\n", (uintmax_t)w->seed, text);
    exit(1);
}

uint32_t sim_draw(struct sim_world *w, uint32_t bound)
{
    /* SplitMix64: a fixed course from any seed. */
    w->random += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = w->random;
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)((z ^ z >> 31) >> 32) % bound;
}

static void log_append(struct sim_world *w, const struct block *block)
{
    if (w->log_count == w->log_cap) {
        w->log_cap = w->log_cap ? 2 * w->log_cap : 64;
        w->log = mem_reallocarray(w->log, w->log_cap, sizeof(struct block *));
    }
    struct err err;
    if (block_decode(&w->log[w->log_count], block->encoded, block->encoded_len, &err))
        sim_fail(w, "a made block cannot be read: %s", err.message);
    w->log_count++;
}

void sim_begin(struct sim_world *w, uint64_t seed)
{
    memset(w, 0, sizeof(*w));
    w->seed = w->random = seed;
    chain_fixture_begin(&w->node);
    tx_fixture_key(w->stranger_public, w->stranger_secret, 99);
    log_append(w, w->node.tx.genesis);
}

void sim_end(struct sim_world *w)
{
    chain_fixture_end(&w->node);
    for (size_t i = 0; i < w->log_count; i++)
        block_free(w->log[i]);
    free(w->log);
    free(w->submissions);
}

static void answers_take(struct sim_world *w, const struct consensus_update *update)
{
    for (size_t i = 0; i < update->answer_count; i++) {
        const struct consensus_answer *answer = &update->answers[i];
        size_t index = (size_t)(uintptr_t)answer->token;
        if (index >= w->submission_count || w->submissions[index].fate != SIM_WAITING)
            sim_fail(w, "an answer to nobody, or a second one");
        struct sim_submission *s = &w->submissions[index];
        if (memcmp(s->tx_id, answer->tx_id, TX_ID_SIZE) != 0)
            sim_fail(w, "the answer of submission %zu is another's", index);
        if (answer->code == 0 && answer->height >= w->log_count)
            sim_fail(w, "submission %zu was answered before its block was durable", index);
        s->fate = answer->code ? SIM_REJECTED : SIM_INCLUDED;
        if (answer->code)
            w->stats.rejected++;
        else
            w->stats.included++;
    }
}

static void submit(struct sim_world *w)
{
    if (w->submission_count == w->submission_cap) {
        w->submission_cap = w->submission_cap ? 2 * w->submission_cap : 256;
        w->submissions = mem_reallocarray(w->submissions, w->submission_cap, sizeof(*w->submissions));
    }
    struct sim_submission *s = &w->submissions[w->submission_count];
    *s = (struct sim_submission){.fate = SIM_WAITING};
    struct tx *tx = sim_client_tx(w, &s->must_fail);
    memcpy(s->tx_id, tx->id, TX_ID_SIZE);
    void *token = (void *)(uintptr_t)w->submission_count++;
    w->stats.submitted++;
    struct consensus_update update;
    chain_fixture_submit(&w->node, tx, token, &update);
    answers_take(w, &update);
}

static void tick(struct sim_world *w)
{
    /* The clock sometimes stands still, and sometimes runs backwards. */
    w->node.tx.now_us += (int64_t)sim_draw(w, 3000) - 500;
    struct consensus_event event = {.type = CONSENSUS_TICK, .now_us = w->node.tx.now_us};
    struct consensus_update update;
    struct err err;
    if (consensus_step(w->node.consensus, &event, &update, &err))
        sim_fail(w, "a tick failed: %s", err.message);
    if (update.persist && w->writing)
        sim_fail(w, "a second block while one is being written");
    if (update.persist)
        w->writing = update.persist;
    answers_take(w, &update);
}

static void disk_take(struct sim_world *w)
{
    sim_check_undo(w, w->writing);
    log_append(w, w->writing->block);
    chain_store_persist(&w->node.mem, w->writing);
    sim_check_block(w, w->writing);
}

static void write_finish(struct sim_world *w)
{
    if (!w->writing)
        return;
    disk_take(w);
    struct consensus_event event = {.type = CONSENSUS_PERSISTED, .now_us = w->node.tx.now_us};
    w->writing = NULL;
    struct consensus_update update;
    struct err err;
    if (consensus_step(w->node.consensus, &event, &update, &err))
        sim_fail(w, "the report of a written block failed: %s", err.message);
    answers_take(w, &update);
}

static void write_fail(struct sim_world *w)
{
    if (!w->writing)
        return;
    struct consensus_event event = {.type = CONSENSUS_PERSIST_FAILED, .now_us = w->node.tx.now_us};
    w->writing = NULL;
    w->stats.disk_failures++;
    struct consensus_update update;
    struct err err;
    if (consensus_step(w->node.consensus, &event, &update, &err))
        sim_fail(w, "the report of a failed write failed: %s", err.message);
    answers_take(w, &update);
}

/* A crash between the request to write and its completion may fall on either side of the disk's taking it. */
static void crash(struct sim_world *w)
{
    w->stats.crashes++;
    if (w->writing && sim_draw(w, 2))
        disk_take(w);
    w->writing = NULL;
    consensus_free(w->node.consensus);
    for (size_t i = 0; i < w->submission_count; i++)
        if (w->submissions[i].fate == SIM_WAITING) {
            w->submissions[i].fate = SIM_LOST;
            w->stats.lost++;
        }
    chain_fixture_open(&w->node);
}

void sim_step(struct sim_world *w)
{
    uint32_t what = sim_draw(w, 1000);
    if (what < 700)
        submit(w);
    else if (what < 850)
        tick(w);
    else if (what < 985)
        write_finish(w);
    else if (what < 990)
        write_fail(w);
    else if (what < 994)
        crash(w);
}

void sim_settle(struct sim_world *w)
{
    write_finish(w);
    while (consensus_pending(w->node.consensus)) {
        tick(w);
        write_finish(w);
    }
}
