/*
 * The serving side of ledger/sync.h: a thread that lives while somebody asks, and for some seconds after. It
 * holds one snapshot at a time, which all who ask share; a new one is made when that is a minute old and
 * nobody fetches from it. While it is held, the store can use no page again: under load it grows by some
 * megabytes a second. So it goes soon once all of it was fetched.
 */
#include "ledger/ledger_internal.h"
#include "ledger/sync_frame.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#include <string.h>

#define LIFE_US (60ll * 1000 * 1000)      /* of a snapshot */
#define LIFE_MAX_US (600ll * 1000 * 1000) /* of a snapshot that is being fetched */
#define FETCHING_US (10ll * 1000 * 1000)  /* since the last chunk, or request */
#define FETCHED_US (1ll * 1000 * 1000)    /* since the last request, when all chunks were fetched */
#define UNWANTED_US (3ll * 1000 * 1000)   /* since the last request, when none was */
#define REQUESTS_MAX 64                   /* who asks for more than that asks again */

struct request {
    uint8_t key[TX_KEY_SIZE];
    struct sync_frame frame;
};

struct sync_server {
    struct ledger *ledger;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct request requests[REQUESTS_MAX];
    size_t first, count;
    pthread_t thread;
    bool started; /* the thread has to be joined */
    bool running; /* it takes requests */
    bool stopping;

    /* The thread's. */
    struct blockstore_export *export;
    uint8_t id[HASH_SIZE];
    struct buf manifest;
    uint64_t final_height; /* when it was begun: it is of that block or a later one */
    int64_t made_us, used_us;
    bool *fetched; /* by chunk: whether anybody has got it */
    size_t unfetched_count;
};

struct sync_server *sync_server_new(struct ledger *ledger)
{
    struct sync_server *server = mem_zalloc(sizeof(*server));
    server->ledger = ledger;
    pthread_mutex_init(&server->lock, NULL);
    pthread_cond_init(&server->wake, NULL);
    return server;
}

static void drop_export(struct sync_server *server)
{
    if (server->export)
        blockstore_export_end(server->export);
    server->export = NULL;
    free(server->fetched);
    server->fetched = NULL;
    buf_free(&server->manifest);
}

void sync_server_free(struct sync_server *server)
{
    pthread_mutex_lock(&server->lock);
    server->stopping = true;
    bool started = server->started;
    pthread_cond_signal(&server->wake);
    pthread_mutex_unlock(&server->lock);
    if (started)
        pthread_join(server->thread, NULL);
    pthread_mutex_destroy(&server->lock);
    pthread_cond_destroy(&server->wake);
    free(server);
}

/* ---- answering ---- */

static void reply(struct sync_server *server, const uint8_t key[TX_KEY_SIZE], const struct sync_frame *frame)
{
    struct ledger *ledger = server->ledger;
    buf_auto struct buf bytes = BUF_INIT;
    sync_frame_encode(&bytes, frame);
    pthread_rwlock_rdlock(&ledger->ops_lock);
    if (ledger->ops && ledger->ops->send_sync)
        ledger->ops->send_sync(ledger->ops->arg, key, bytes.data, bytes.len);
    pthread_rwlock_unlock(&ledger->ops_lock);
}

/* Who takes the snapshot goes on from the block behind it, which may have been pruned meanwhile. */
static bool leads_nowhere(const struct sync_server *server)
{
    struct err err;
    struct block *next;
    int rc = blockstore_block_at(server->ledger->store, server->final_height + 1, &next, &err);
    if (!rc)
        block_free(next);
    return rc == ERR_GONE;
}

static bool is_outworn(const struct sync_server *server, int64_t now_us)
{
    int64_t age = now_us - server->made_us;
    return leads_nowhere(server) || age > LIFE_MAX_US ||
           (age > LIFE_US && now_us - server->used_us > FETCHING_US);
}

static int ensure_export(struct sync_server *server, struct err *err)
{
    int64_t now = clock_mono_us();
    if (server->export && is_outworn(server, now))
        drop_export(server);
    if (server->export)
        return 0;
    server->final_height = atomic_load(&server->ledger->final_height);
    int rc = blockstore_export_begin(server->ledger->store, &server->export, err);
    if (!rc)
        rc = blockstore_export_manifest(server->export, &server->manifest, err);
    if (rc < 0) {
        drop_export(server);
        return rc;
    }
    sync_manifest_id(server->id, server->manifest.data, server->manifest.len);
    server->unfetched_count = blockstore_export_chunks(server->export);
    server->fetched = mem_calloc(server->unfetched_count + 1, sizeof(*server->fetched));
    server->made_us = server->used_us = clock_mono_us();
    return 0;
}

static void answer_manifest(struct sync_server *server, const uint8_t key[TX_KEY_SIZE])
{
    struct err err;
    struct sync_frame frame = {.type = SYNC_LACK};
    if (ensure_export(server, &err) < 0) {
        log_warn("ledger", "no snapshot for a node that asks for one: %s", err.message);
    } else {
        frame.type = SYNC_MANIFEST;
        memcpy(frame.id, server->id, HASH_SIZE);
        frame.bytes = (const uint8_t *)server->manifest.data;
        frame.len = server->manifest.len;
    }
    reply(server, key, &frame);
}

static void answer_chunk(struct sync_server *server, const struct request *request)
{
    struct err err;
    buf_auto struct buf chunk = BUF_INIT;
    struct sync_frame frame = request->frame;
    bool have = server->export && !memcmp(frame.id, server->id, HASH_SIZE) &&
                frame.index < blockstore_export_chunks(server->export);
    if (have && blockstore_export_chunk(server->export, frame.index, &chunk, &err) < 0) {
        log_warn("ledger", "a part of a snapshot could not be read: %s", err.message);
        have = false;
    }
    if (have && !server->fetched[frame.index]) {
        server->fetched[frame.index] = true;
        server->unfetched_count--;
    }
    frame.type = have ? SYNC_CHUNK : SYNC_LACK;
    frame.bytes = (const uint8_t *)chunk.data;
    frame.len = chunk.len;
    server->used_us = clock_mono_us();
    reply(server, request->key, &frame);
}

/* ---- the thread ---- */

/* How long somebody may still go on with the snapshot. A node that joins asks several for what they have, and
 * fetches a small one from one of them. */
static int64_t patience_us(const struct sync_server *server)
{
    if (!server->export)
        return FETCHING_US;
    if (server->unfetched_count == 0)
        return FETCHED_US;
    return server->unfetched_count == blockstore_export_chunks(server->export) ? UNWANTED_US : FETCHING_US;
}

/* False: nobody has asked for a while, or the ledger closes. */
static bool wait_for_request(struct sync_server *server, struct request *out)
{
    int64_t until = clock_mono_us() + patience_us(server);
    struct timespec at = {.tv_sec = until / 1000000, .tv_nsec = until % 1000000 * 1000};
    int rc = 0;
    pthread_mutex_lock(&server->lock);
    while (!rc && !server->count && !server->stopping)
        rc = pthread_cond_clockwait(&server->wake, &server->lock, CLOCK_MONOTONIC, &at);
    bool found = server->count && !server->stopping;
    if (found) {
        *out = server->requests[server->first];
        server->first = (server->first + 1) % REQUESTS_MAX;
        server->count--;
    } else {
        server->running = false;
    }
    pthread_mutex_unlock(&server->lock);
    return found;
}

static void *serve(void *arg)
{
    struct sync_server *server = arg;
    struct request request;
    while (wait_for_request(server, &request)) {
        if (request.frame.type == SYNC_GET_MANIFEST)
            answer_manifest(server, request.key);
        else
            answer_chunk(server, &request);
    }
    drop_export(server); /* it holds pages of the store */
    return NULL;
}

/* The lock is held. A thread that has just ended must be gone before the next, for they share the export. */
static void ensure_thread(struct sync_server *server)
{
    if (server->running)
        return;
    if (server->started)
        pthread_join(server->thread, NULL);
    server->started = pthread_create(&server->thread, NULL, serve, server) == 0;
    server->running = server->started;
}

void ledger_peer_sync(struct ledger *ledger, const uint8_t key[TX_KEY_SIZE], const void *bytes, size_t len)
{
    struct sync_server *server = ledger->sync_server;
    struct request request = {0};
    if (!sync_frame_decode(&request.frame, bytes, len) ||
        (request.frame.type != SYNC_GET_MANIFEST && request.frame.type != SYNC_GET_CHUNK))
        return;
    memcpy(request.key, key, TX_KEY_SIZE);
    pthread_mutex_lock(&server->lock);
    if (!server->stopping && server->count < REQUESTS_MAX) {
        ensure_thread(server);
        server->requests[(server->first + server->count++) % REQUESTS_MAX] = request;
        pthread_cond_signal(&server->wake);
    }
    pthread_mutex_unlock(&server->lock);
}
