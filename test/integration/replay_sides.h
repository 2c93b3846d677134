/*
 * The two sides of a cut, over the real API and real ledgers. A chain is copied, both copies go on by
 * themselves, and then the transactions of one side are brought to the other: as they are, or replayed
 * (bring). Or a node starts that was on one side and is on the other now (heal).
 */
#ifndef KATENA_TEST_REPLAY_SIDES_H
#define KATENA_TEST_REPLAY_SIDES_H

#include "api_fixture.h"
#include "json_text.h"

#include "api/orphans_internal.h"
#include "blockstore/blockstore.h"

struct sides {
    struct api_fixture winner, loser;
    char origin[64]; /* a copy of what both began with */
    uint64_t fork;   /* height of the last block that both have */
    uint64_t crash;  /* of the winner's last block that the node that heals has; 0: the newest */
    struct orphan_aliases aliases;
    struct orphan_conflicts *conflicts;
    size_t as_is, replayed, dropped; /* of the last bring */
};

static struct sides s;

/* ---- the fixture ---- */

static inline uint64_t head_of(struct api_fixture *f)
{
    struct blockstore_head head;
    struct err err;
    assert_int_equal(blockstore_head(ledger_store(f->ledger), &head, &err), 0);
    return head.header.height;
}

static inline void copy_dir(char to[64], const char *from)
{
    snprintf(to, 64, "/tmp/katena-api-XXXXXX");
    assert_non_null(mkdtemp(to));
    char command[200];
    snprintf(command, sizeof(command), "cp -a %s/. %s/", from, to);
    assert_int_equal(system(command), 0);
}

/* One cluster, in which prepare makes what both sides start from, becomes two. */
static inline void cut(void (*prepare)(struct api_fixture *f))
{
    s = (struct sides){0};
    api_fixture_open(&s.winner);
    if (prepare)
        prepare(&s.winner);
    api_fixture_stop(&s.winner);
    copy_dir(s.loser.dir, s.winner.dir);
    copy_dir(s.origin, s.winner.dir);
    api_fixture_start(&s.winner);
    api_fixture_start(&s.loser);
    s.fork = head_of(&s.loser);
    s.conflicts = orphan_conflicts_new(s.winner.server);
}

static inline void end(void)
{
    orphan_conflicts_free(s.conflicts);
    for (size_t i = 0; i < s.aliases.count; i++) {
        free(s.aliases.items[i].from);
        free(s.aliases.items[i].to);
    }
    free(s.aliases.items);
    api_fixture_close(&s.winner);
    api_fixture_close(&s.loser);
    nftw(s.origin, api_fixture_unlink, 16, FTW_DEPTH | FTW_PHYS);
}

static inline bool is_dropped(const struct tx *tx)
{
    bool drop = true;
    for (size_t i = 0; i < tx->output_count; i++) {
        struct orphan_part part;
        orphan_part_open(s.winner.server, &part, tx, i);
        drop &= part.policy == ORPHAN_DROP;
        orphan_part_close(&part);
    }
    return drop;
}

static inline void bring_one(const struct tx *tx)
{
    struct tx *copy;
    struct err err = {0};
    if (is_dropped(tx)) {
        s.dropped++;
        return;
    }
    assert_int_equal(tx_decode(&copy, tx->encoded, tx->encoded_len, &err), 0);
    int rc = ledger_submit_wait(s.winner.ledger, copy, NULL, &err);
    if (rc == 0 || rc == ERR_INCLUDED) {
        s.as_is++;
        return;
    }
    s.replayed++;
    if (orphan_replay(s.winner.server, &s.aliases, s.conflicts, tx, &err))
        fail_msg("%s", err.message);
}

/* The cut heals: the loser's first so many blocks are abandoned. */
static inline void bring_first(uint64_t count)
{
    s.as_is = s.replayed = s.dropped = 0;
    for (uint64_t height = s.fork + 1; height <= s.fork + count; height++) {
        struct block *block;
        struct err err;
        assert_int_equal(blockstore_block_at(ledger_store(s.loser.ledger), height, &block, &err), 0);
        for (uint32_t i = 0; i < block->header.tx_count; i++)
            bring_one(block->txs[i]);
        block_free(block);
    }
}

static inline void bring(void)
{
    bring_first(head_of(&s.loser) - s.fork);
}

/* The node that brought them to the winner's side ends here, before it tells what was lost. */
static inline void crash(void)
{
    s.crash = head_of(&s.winner);
}

/* ---- a real switch ---- */

static inline void commit_block(struct blockstore *store, const struct block *block, bool tentative)
{
    struct blockstore_head head;
    struct state_update update;
    struct err err = {0};
    assert_int_equal(blockstore_head(store, &head, &err), 0);
    struct state_snapshot *snapshot = blockstore_ops()->snapshot_begin(store);
    struct state_view *view = state_view_new(blockstore_ops(), snapshot, &head.state_hash);
    state_view_begin(view, block->header.time_us);
    for (uint32_t i = 0; i < block->header.tx_count; i++)
        assert_int_equal(state_view_apply(view, block->txs[i], &err), 0);
    state_view_update(view, &block->header, &update);
    int rc = tentative ? blockstore_commit_tentative(store, block, &update, &err)
                       : blockstore_commit(store, block, &update, &err);
    if (rc)
        fail_msg("%s", err.message);
    state_view_free(view);
    blockstore_ops()->snapshot_end(snapshot);
}

static inline void commit_branch(struct blockstore *store, struct api_fixture *side, uint64_t last,
                                 bool tentative)
{
    for (uint64_t height = s.fork + 1; height <= last; height++) {
        struct block *block;
        struct err err = {0};
        assert_int_equal(blockstore_block_at(ledger_store(side->ledger), height, &block, &err), 0);
        commit_block(store, block, tentative);
        block_free(block);
    }
}

/* A store in which the loser's branch was followed first, then abandoned for the winner's. */
static inline void switch_branches(void)
{
    char dir[80];
    struct blockstore *store;
    struct err err = {0};
    snprintf(dir, sizeof(dir), "%s/chain", s.origin);
    struct blockstore_options options = {.dir = dir};
    assert_int_equal(blockstore_open(&store, &options, &err), 0);
    commit_branch(store, &s.loser, head_of(&s.loser), true);
    if (blockstore_rewind(store, s.fork, &err))
        fail_msg("%s", err.message);
    commit_branch(store, &s.winner, s.crash ? s.crash : head_of(&s.winner), false);
    blockstore_close(store);
}

static inline bool any_orphans(struct ledger *ledger)
{
    struct tx *tx;
    uint64_t number;
    struct err err = {0};
    int rc = ledger_orphan_next(ledger, 0, &number, &tx, &err);
    if (rc && rc != ERR_NOT_FOUND)
        fail_msg("%s", err.message);
    if (!rc)
        tx_free(tx);
    return !rc;
}

/* The node starts on that store; its own thread takes care of the orphans. */
static inline void heal(void)
{
    switch_branches();
    orphan_conflicts_free(s.conflicts);
    s.conflicts = NULL;
    api_fixture_close(&s.winner);
    snprintf(s.winner.dir, sizeof(s.winner.dir), "%s", s.origin);
    api_fixture_start(&s.winner);
    for (int i = 0; any_orphans(s.winner.ledger); i++) {
        assert_true(i < 1000);
        usleep(10000);
    }
}

static inline json_t *get(const char *resource, const char *name)
{
    return api_ok(&s.winner, 200, API_GET, resource, "default", name, NULL);
}

static inline json_t *conflicts(void)
{
    if (s.conflicts)
        orphan_conflicts_write(s.conflicts);
    json_auto_t *list = api_ok(&s.winner, 200, API_LIST, "conflicts", "", "", NULL);
    return json_incref(json_object_get(list, "items"));
}

/* They are written after what they tell of, by the node's own thread. */
static inline json_t *await_conflicts(size_t count)
{
    json_t *list = conflicts();
    for (int i = 0; json_array_size(list) < count && i < 500; i++) {
        json_decref(list);
        usleep(10000);
        list = conflicts();
    }
    if (json_array_size(list) != count)
        fail_msg("%zu conflicts, not %zu: %s", json_array_size(list), count, json_dumps(list, 0));
    return list;
}

static inline void assert_conflicts(size_t count)
{
    json_decref(await_conflicts(count));
}

static inline void assert_text(const char *expected, const json_t *object, const char *first,
                               const char *second)
{
    assert_string_equal(json_str_or_empty(object, first, second), expected);
}

static inline void patch(struct api_fixture *f, const char *resource, const char *name, const char *text)
{
    f->extra.content_type = "application/merge-patch+json";
    char *body = strdup(text);
    for (char *p = body; *p; p++)
        *p = *p == '\'' ? '"' : *p;
    api_do(f, 200, API_PATCH, resource, "default", name, body);
    free(body);
}

static inline void create(struct api_fixture *f, const char *resource, const char *text)
{
    char *body = strdup(text);
    for (char *p = body; *p; p++)
        *p = *p == '\'' ? '"' : *p;
    api_do(f, 201, API_CREATE, resource, "default", "", body);
    free(body);
}

#define CONFIG "{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'c'},'data':{'a':'1','b':'1'}}"

static inline void make_config(struct api_fixture *f)
{
    create(f, "configmaps", CONFIG);
}

#endif
