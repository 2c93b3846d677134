/* See ledger_reset.h. */
#include "ledger/ledger_reset.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "blockstore/blockstore.h"
#include "blockstore/dir.h"
#include "ledger/node_key.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct ledger_reset {
    char *dir;             /* of the chain */
    char beside[PATH_MAX]; /* the new chain, then the old one; "": not made yet */
    int lock_fds[2];       /* of both */
    uint8_t secret_key[NODE_KEY_SIZE];
    bool finished;
};

void ledger_reset_report_free(struct ledger_reset_report *report)
{
    free(report->dropped);
    *report = (struct ledger_reset_report){.dropped_count = 0};
}

/* ---- what there is ---- */

/* The members but this node. */
static int find_dropped(const struct ledger_reset *reset, struct blockstore *store,
                        struct ledger_reset_report *report, struct err *err)
{
    const uint8_t *own_key = reset->secret_key + NODE_KEY_SIZE - TX_KEY_SIZE;
    const struct state_store_ops *ops = blockstore_ops();
    struct state_snapshot *snapshot = ops->snapshot_begin(store);
    size_t count = registry_load(&report->dropped, ops, snapshot);
    ops->snapshot_end(snapshot);
    for (size_t i = 0; i < count; i++)
        if (memcmp(report->dropped[i].key, own_key, TX_KEY_SIZE) != 0)
            report->dropped[report->dropped_count++] = report->dropped[i];
    if (report->dropped_count)
        return 0;
    return err_set(err, ERR_EXISTS, "there is nothing to reset: this node is the only member of its cluster");
}

static int look(const struct ledger_reset *reset, struct blockstore *store,
                struct ledger_reset_report *report, struct err *err)
{
    struct blockstore_head head;
    struct blockstore_stats stats;
    struct block_header genesis;
    int rc = blockstore_head(store, &head, err);
    if (rc == ERR_NOT_FOUND)
        err_set(err, rc, "there is nothing to reset: there is no chain in %s", reset->dir);
    if (!rc)
        rc = blockstore_header_at(store, 0, &genesis, err);
    if (!rc)
        rc = blockstore_stats(store, &stats, err);
    if (rc)
        return rc;
    report->head = head.header;
    report->orphans = stats.orphans;
    memcpy(report->old_chain, genesis.hash, HASH_SIZE);
    return find_dropped(reset, store, report, err);
}

/* ---- the new chain ---- */

static bool is_carried(void *arg, const struct state_object *object)
{
    (void)arg;
    return !registry_is_ruled(&object->key);
}

static int make_chain(struct ledger_reset *reset, struct blockstore *store,
                      struct ledger_reset_report *report, struct err *err)
{
    struct blockstore_carried carried;
    int rc = dir_make_beside(reset->dir, "before-reset", reset->beside, sizeof(reset->beside), err);
    if (rc) {
        *reset->beside = '\0';
        return rc;
    }
    struct blockstore_carry carry = {
        .dir = reset->beside, .keep = is_carried, .now_us = clock_wall_us(), .secret_key = reset->secret_key};
    rc = blockstore_carry_over(store, &carry, &carried, err);
    if (rc)
        return rc;
    report->objects = carried.objects;
    memcpy(report->new_chain, carried.genesis.hash, HASH_SIZE);
    memcpy(report->aside, reset->beside, sizeof(report->aside));
    mem_auto char *key = mem_printf("%s/node.key", reset->beside);
    return node_key_save(reset->secret_key, key, err);
}

static int lock(const char *dir, int *lock_fd, struct err *err)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_set_errno(err, "cannot open %s", dir);
    int rc = dir_lock(fd, dir, lock_fd, err);
    close(fd);
    return rc;
}

static int begin(struct ledger_reset *reset, struct ledger_reset_report *report, struct err *err)
{
    struct blockstore *store = NULL;
    struct blockstore_options options = {.dir = reset->dir};
    mem_auto char *key = mem_printf("%s/node.key", reset->dir);
    if (!blockstore_exists(reset->dir))
        return err_set(err, ERR_NOT_FOUND, "there is nothing to reset: there is no chain in %s", reset->dir);
    /* Not only for reading: what a crash has left is recovered first. */
    int rc = blockstore_open(&store, &options, err);
    if (rc)
        return rc;
    rc = node_key_load(reset->secret_key, key, err);
    if (!rc)
        rc = look(reset, store, report, err);
    if (!rc)
        rc = make_chain(reset, store, report, err);
    blockstore_close(store);
    if (!rc)
        rc = lock(reset->dir, &reset->lock_fds[0], err);
    return rc ? rc : lock(reset->beside, &reset->lock_fds[1], err);
}

int ledger_reset_begin(struct ledger_reset **out, struct ledger_reset_report *report, const char *data_dir,
                       struct err *err)
{
    struct ledger_reset *reset = mem_zalloc(sizeof(*reset));
    reset->dir = mem_printf("%s/chain", data_dir);
    reset->lock_fds[0] = reset->lock_fds[1] = -1;
    *report = (struct ledger_reset_report){.dropped_count = 0};
    int rc = begin(reset, report, err);
    if (rc) {
        ledger_reset_report_free(report);
        ledger_reset_free(reset);
        return rc;
    }
    *out = reset;
    return 0;
}

int ledger_reset_finish(struct ledger_reset *reset, struct err *err)
{
    int rc = dir_exchange(reset->dir, reset->beside, err);
    reset->finished = !rc;
    return rc;
}

void ledger_reset_free(struct ledger_reset *reset)
{
    struct err err;
    if (!reset)
        return;
    if (!reset->finished && *reset->beside && dir_remove(AT_FDCWD, reset->beside, &err))
        log_warn("ledger", "%s", err.message);
    for (size_t i = 0; i < 2; i++)
        if (reset->lock_fds[i] >= 0)
            close(reset->lock_fds[i]);
    explicit_bzero(reset->secret_key, sizeof(reset->secret_key));
    free(reset->dir);
    free(reset);
}
