/* Waiting for what other nodes have: the chain itself, or its newest blocks. See node_peers.h. */
#include "node/node_peers_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#define FETCH_LOOK_US 200000
#define CATCH_UP_LOOK_US 10000
#define CATCH_UP_MAX_US 30000000
#define CLOSE_BLOCKS 4
#define LACK_US 8000000 /* as long as it takes to find out that others do not keep what is missing here */
#define FETCH_TELL_US 2000000

/* ---- catching up ---- */

static bool is_interrupted(void)
{
    sigset_t pending;
    return sigpending(&pending) == 0 && (sigismember(&pending, SIGINT) || sigismember(&pending, SIGTERM));
}

static bool has_others(struct node_peers *p)
{
    size_t others = 0;
    pthread_mutex_lock(&p->members_lock);
    for (size_t i = 0; i < p->member_count; i++)
        others += memcmp(p->members[i].key, p->own_key, TX_KEY_SIZE) != 0;
    pthread_mutex_unlock(&p->members_lock);
    return others > 0;
}

/* Whether the chain, as this node has it, knows this node. Until then nothing that it signs holds. */
static bool is_member(struct node_peers *p)
{
    pthread_rwlock_rdlock(&p->target_lock);
    pthread_mutex_lock(&p->members_lock);
    node_peers_reload(p);
    bool member = node_peers_find(p, p->own_key) != NULL;
    pthread_mutex_unlock(&p->members_lock);
    pthread_rwlock_unlock(&p->target_lock);
    return member;
}

/* Under load there is always a block on its way. */
static bool is_close(const struct ledger_state *state)
{
    return !state->switching && state->behind <= state->head_height + CLOSE_BLOCKS;
}

static void tell_catching_up(struct node_peers *p, const struct ledger_state *state)
{
    int64_t now_us = clock_mono_us();
    if (!state->behind || now_us - p->told_us < FETCH_TELL_US)
        return;
    p->told_us = now_us;
    log_info("node", "catching up: block %llu of %llu", (unsigned long long)state->head_height,
             (unsigned long long)state->behind);
}

/* What others no longer keep never comes: the members' thread ends the node then, by a signal. */
static int interrupted(struct node_peers *p, struct err *err)
{
    struct ledger_state state;
    ledger_state(p->ledger, &state);
    if (!state.needs_snapshot)
        return 0;
    return err_set(err, ERR_EXPIRED, "the blocks after %llu are no longer kept by others",
                   (unsigned long long)state.head_height);
}

int node_peers_catch_up(struct node_peers *p, int64_t timeout_us, struct err *err)
{
    int64_t begin_us = clock_mono_us(), moved_us = begin_us, refused_since_us = 0;
    uint64_t height = 0;
    p->told_us = begin_us;
    for (;; usleep(CATCH_UP_LOOK_US)) {
        struct ledger_state state;
        size_t known;
        ledger_state(p->ledger, &state);
        pthread_rwlock_rdlock(&p->target_lock);
        bool connected = p->connected_count > 0;
        pthread_rwlock_unlock(&p->target_lock);
        if (node_peers_refused(p, &refused_since_us, &known))
            return node_removed_err(err, p->options.data_dir);
        int64_t now_us = clock_mono_us();
        if (state.head_height != height)
            moved_us = now_us;
        height = state.head_height;
        if (is_interrupted())
            return interrupted(p, err);
        int64_t wait_us = connected && !is_close(&state) && timeout_us < LACK_US ? LACK_US : timeout_us;
        bool over = now_us - moved_us > wait_us || now_us - begin_us > CATCH_UP_MAX_US;
        if (!has_others(p) || (over && !state.needs_snapshot))
            return 0;
        if (connected && is_close(&state) && now_us - begin_us > FETCH_LOOK_US && is_member(p))
            return 0;
        tell_catching_up(p, &state);
    }
}

/* ---- fetching a chain ---- */

static void tell_progress(void *arg, const struct ledger_sync_progress *progress)
{
    struct node_peers *p = arg;
    int64_t now_us = clock_mono_us();
    bool whole = progress->chunks && progress->have == progress->chunks;
    if (!progress->height ||
        (progress->height == p->told_height && !whole && now_us - p->told_us < FETCH_TELL_US))
        return;
    p->told_us = now_us;
    p->told_height = progress->height;
    log_info("sync", "%zu of %zu parts of the state at block %llu, from %zu node%s", progress->have,
             progress->chunks, (unsigned long long)progress->height, progress->peers,
             progress->peers == 1 ? "" : "s");
}

static void tell_waiting(struct node_peers *p)
{
    mem_auto struct peer_info *list = mem_calloc(REGISTRY_MAX, sizeof(*list));
    size_t count = peers_list(p->peers, list, REGISTRY_MAX);
    int64_t now_us = clock_mono_us();
    if (now_us - p->told_us < FETCH_TELL_US)
        return;
    p->told_us = now_us;
    for (size_t i = 0; i < count && i < REGISTRY_MAX; i++)
        if (!list[i].connected)
            log_info("sync", "waiting for %s (%s): %s", list[i].name, list[i].address,
                     *list[i].last_error ? list[i].last_error : "connecting");
}

static int set_sync(struct node_peers *p, struct ledger_sync *sync)
{
    pthread_rwlock_wrlock(&p->target_lock);
    p->sync = sync;
    for (size_t i = 0; sync && i < p->connected_count; i++)
        ledger_sync_peer_up(sync, p->connected[i].key);
    pthread_rwlock_unlock(&p->target_lock);
    return 0;
}

int node_peers_fetch(struct node_peers *p, struct err *err)
{
    struct ledger_sync *sync;
    struct ledger_sync_options options = {
        .data_dir = p->options.data_dir, .arg = p, .send = node_peers_send_sync, .progress = tell_progress};
    memcpy(options.chain_id, p->options.record->chain_id, sizeof(options.chain_id));
    int64_t begin_us = clock_mono_us(), refused_since_us = 0;
    p->told_us = begin_us;
    int code = ledger_sync_start(&sync, &options, err);
    if (code)
        return code;
    set_sync(p, sync);
    while ((code = ledger_sync_wait(sync, FETCH_LOOK_US, err)) == ERR_TIMEOUT) {
        size_t known;
        if (is_interrupted())
            code = err_set(err, ERR_UNAVAILABLE, "interrupted; what was fetched is kept for the next start");
        else if (node_peers_refused(p, &refused_since_us, &known))
            code = node_removed_err(err, p->options.data_dir);
        if (code != ERR_TIMEOUT)
            break;
        tell_waiting(p);
    }
    set_sync(p, NULL);
    ledger_sync_stop(sync);
    if (!code)
        log_info("sync", "the state is here after %lld ms", (long long)(clock_mono_us() - begin_us) / 1000);
    return code;
}
