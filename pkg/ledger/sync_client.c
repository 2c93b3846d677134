/* The asking side of ledger/sync.h. */
#include "ledger/sync.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "blockstore/blockstore.h"
#include "blockstore/dir.h"
#include "ledger/sync_frame.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>

#define SOURCES_MAX 256
#define ASKED_MAX 4 /* chunks of one peer under way */
#define PATIENCE_US (5ll * 1000 * 1000)
#define TICK_US (200 * 1000)
#define NO_SOURCE UINT32_MAX

struct source {
    uint8_t key[TX_KEY_SIZE];
    bool up;
    bool has;         /* the snapshot that we fetch */
    int64_t asked_us; /* for a manifest; 0: not */
    int64_t away_us;  /* passed over until then */
    size_t under_way;
};

struct chunk {
    bool have;
    uint32_t source; /* that was asked; NO_SOURCE */
    int64_t asked_us;
};

/* Frames are made under the lock and sent without it. */
struct outgoing {
    uint8_t key[TX_KEY_SIZE];
    struct buf bytes;
};

struct ledger_sync {
    struct ledger_sync_options options;
    char *dir;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct source sources[SOURCES_MAX];
    size_t source_count;
    struct blockstore_import *import; /* NULL: no manifest yet */
    uint8_t id[HASH_SIZE];
    struct chunk *chunks;
    size_t chunk_count, have_count, first_missing;
    struct outgoing *outgoing;
    size_t outgoing_count, outgoing_cap;
    bool finished;
    bool told; /* of the newest progress */
};

/* ---- speaking ---- */

static void queue(struct ledger_sync *sync, const struct source *source, enum sync_frame_type type,
                  uint32_t index)
{
    struct sync_frame frame = {.type = type, .index = index};
    memcpy(frame.id, sync->id, HASH_SIZE);
    if (sync->outgoing_count == sync->outgoing_cap) {
        sync->outgoing_cap = sync->outgoing_cap ? 2 * sync->outgoing_cap : 16;
        sync->outgoing = mem_reallocarray(sync->outgoing, sync->outgoing_cap, sizeof(*sync->outgoing));
    }
    struct outgoing *out = &sync->outgoing[sync->outgoing_count++];
    *out = (struct outgoing){.bytes = BUF_INIT};
    memcpy(out->key, source->key, TX_KEY_SIZE);
    sync_frame_encode(&out->bytes, &frame);
}

static struct ledger_sync_progress progress_of(const struct ledger_sync *sync)
{
    struct ledger_sync_progress progress = {.chunks = sync->chunk_count, .have = sync->have_count};
    if (sync->import)
        progress.height = blockstore_import_header(sync->import)->height;
    for (size_t i = 0; i < sync->source_count; i++)
        progress.peers += sync->sources[i].up;
    return progress;
}

/* Leaves the lock; sends what was queued, and tells how far it is. */
static void unlock(struct ledger_sync *sync)
{
    struct outgoing *list = sync->outgoing;
    size_t count = sync->outgoing_count;
    struct ledger_sync_progress progress = progress_of(sync);
    bool tell = !sync->told;
    sync->told = true;
    sync->outgoing = NULL;
    sync->outgoing_count = sync->outgoing_cap = 0;
    pthread_mutex_unlock(&sync->lock);
    for (size_t i = 0; i < count; i++) {
        sync->options.send(sync->options.arg, list[i].key, list[i].bytes.data, list[i].bytes.len);
        buf_free(&list[i].bytes);
    }
    free(list);
    if (tell && sync->options.progress)
        sync->options.progress(sync->options.arg, &progress);
}

/* ---- what to ask whom; the lock is held ---- */

static struct source *find_source(struct ledger_sync *sync, const uint8_t key[TX_KEY_SIZE])
{
    for (size_t i = 0; i < sync->source_count; i++)
        if (!memcmp(sync->sources[i].key, key, TX_KEY_SIZE))
            return &sync->sources[i];
    return NULL;
}

static void ask_manifest(struct ledger_sync *sync, struct source *source, int64_t now_us)
{
    source->has = false;
    source->asked_us = now_us;
    queue(sync, source, SYNC_GET_MANIFEST, 0);
}

/* Chunks that a source was asked for are anybody's again. */
static void release_chunks(struct ledger_sync *sync, struct source *source)
{
    uint32_t place = (uint32_t)(source - sync->sources);
    for (size_t i = 0; i < sync->chunk_count; i++)
        if (sync->chunks[i].source == place)
            sync->chunks[i].source = NO_SOURCE;
    source->under_way = 0;
    sync->first_missing = 0;
}

static bool next_missing(struct ledger_sync *sync, size_t *index)
{
    for (; sync->first_missing < sync->chunk_count; sync->first_missing++) {
        const struct chunk *chunk = &sync->chunks[sync->first_missing];
        if (!chunk->have && chunk->source == NO_SOURCE) {
            *index = sync->first_missing;
            return true;
        }
    }
    return false;
}

static void ask_chunks(struct ledger_sync *sync, int64_t now_us)
{
    bool asked = sync->import != NULL;
    /* In turn, so that all who have it give alike. */
    while (asked) {
        asked = false;
        for (size_t i = 0; i < sync->source_count; i++) {
            struct source *source = &sync->sources[i];
            size_t index;
            if (!source->up || !source->has || source->away_us > now_us || source->under_way >= ASKED_MAX ||
                !next_missing(sync, &index))
                continue;
            sync->chunks[index].source = (uint32_t)i;
            sync->chunks[index].asked_us = now_us;
            source->under_way++;
            queue(sync, source, SYNC_GET_CHUNK, (uint32_t)index);
            asked = true;
        }
    }
}

static void pass_over(struct ledger_sync *sync, struct source *source, int64_t now_us)
{
    source->away_us = now_us + sync->options.patience_us;
    source->has = false;
    source->asked_us = 0;
    release_chunks(sync, source);
}

/* Passes over who is silent; asks again who may have changed. */
static void look_around(struct ledger_sync *sync, int64_t now_us)
{
    for (size_t i = 0; i < sync->chunk_count; i++) {
        const struct chunk *chunk = &sync->chunks[i];
        if (!chunk->have && chunk->source != NO_SOURCE &&
            now_us - chunk->asked_us > sync->options.patience_us)
            pass_over(sync, &sync->sources[chunk->source], now_us);
    }
    for (size_t i = 0; i < sync->source_count; i++) {
        struct source *source = &sync->sources[i];
        if (source->asked_us && now_us - source->asked_us > sync->options.patience_us)
            pass_over(sync, source, now_us);
        if (source->up && !source->has && !source->asked_us && source->away_us <= now_us)
            ask_manifest(sync, source, now_us);
    }
    ask_chunks(sync, now_us);
}

/* ---- what comes; the lock is held ---- */

static bool anybody_has(const struct ledger_sync *sync)
{
    for (size_t i = 0; i < sync->source_count; i++)
        if (sync->sources[i].up && sync->sources[i].has)
            return true;
    return false;
}

static void forget_import(struct ledger_sync *sync)
{
    blockstore_import_abort(sync->import);
    sync->import = NULL;
    free(sync->chunks);
    sync->chunks = NULL;
    sync->chunk_count = sync->have_count = sync->first_missing = 0;
    for (size_t i = 0; i < sync->source_count; i++)
        sync->sources[i].under_way = 0;
}

/* A snapshot to fetch; what of it is on the disk already counts. */
static int begin_import(struct ledger_sync *sync, const struct sync_frame *frame, struct err *err)
{
    int rc = blockstore_import_begin(&sync->import, sync->dir, frame->bytes, frame->len,
                                     sync->options.chain_id, err);
    if (rc < 0) {
        sync->import = NULL;
        return rc;
    }
    memcpy(sync->id, frame->id, HASH_SIZE);
    sync->chunk_count = blockstore_import_chunks(sync->import);
    sync->chunks = mem_calloc(sync->chunk_count + 1, sizeof(*sync->chunks));
    for (size_t i = 0; i < sync->chunk_count; i++) {
        sync->chunks[i] = (struct chunk){blockstore_import_has(sync->import, i), NO_SOURCE, 0};
        sync->have_count += sync->chunks[i].have;
    }
    return 0;
}

static void on_manifest(struct ledger_sync *sync, struct source *source, const struct sync_frame *frame,
                        int64_t now_us)
{
    struct err err;
    uint8_t id[HASH_SIZE];
    source->asked_us = 0;
    sync_manifest_id(id, frame->bytes, frame->len);
    bool right = !memcmp(id, frame->id, HASH_SIZE);
    bool other = sync->import && memcmp(id, sync->id, HASH_SIZE) != 0;
    if (right && other && !anybody_has(sync)) {
        forget_import(sync);
        other = false;
    }
    if (right && !sync->import && begin_import(sync, frame, &err) < 0) {
        log_warn("ledger", "a snapshot that a peer offers is of no use: %s", err.message);
        right = false;
    }
    /* Who offers another one is asked again later, when ours may be lost. */
    if (!right || other) {
        pass_over(sync, source, now_us);
        return;
    }
    source->has = true;
}

static void on_chunk(struct ledger_sync *sync, struct source *source, const struct sync_frame *frame,
                     int64_t now_us)
{
    struct err err;
    if (!sync->import || memcmp(frame->id, sync->id, HASH_SIZE) != 0 || frame->index >= sync->chunk_count)
        return;
    struct chunk *chunk = &sync->chunks[frame->index];
    bool asked = chunk->source == (uint32_t)(source - sync->sources);
    if (chunk->have)
        return;
    if (blockstore_import_chunk(sync->import, frame->index, frame->bytes, frame->len, &err) < 0) {
        log_warn("ledger", "a part of a snapshot is not right: %s", err.message);
        pass_over(sync, source, now_us);
        return;
    }
    chunk->have = true;
    sync->have_count++;
    if (asked && source->under_way > 0)
        source->under_way--;
}

static void on_lack(struct ledger_sync *sync, struct source *source, int64_t now_us)
{
    release_chunks(sync, source);
    if (source->has)
        ask_manifest(sync, source, now_us);
    else
        pass_over(sync, source, now_us);
}

void ledger_sync_frame(struct ledger_sync *sync, const uint8_t key[TX_KEY_SIZE], const void *bytes,
                       size_t len)
{
    struct sync_frame frame;
    if (!sync_frame_decode(&frame, bytes, len))
        return;
    int64_t now = clock_mono_us();
    pthread_mutex_lock(&sync->lock);
    struct source *source = find_source(sync, key);
    if (source && !sync->finished) {
        if (frame.type == SYNC_MANIFEST)
            on_manifest(sync, source, &frame, now);
        else if (frame.type == SYNC_CHUNK)
            on_chunk(sync, source, &frame, now);
        else if (frame.type == SYNC_LACK)
            on_lack(sync, source, now);
        ask_chunks(sync, now);
        sync->told = false;
        if (sync->import && sync->have_count == sync->chunk_count)
            pthread_cond_signal(&sync->wake);
    }
    unlock(sync);
}

void ledger_sync_peer_up(struct ledger_sync *sync, const uint8_t key[TX_KEY_SIZE])
{
    pthread_mutex_lock(&sync->lock);
    struct source *source = find_source(sync, key);
    if (!source && sync->source_count < SOURCES_MAX) {
        source = &sync->sources[sync->source_count++];
        *source = (struct source){0};
        memcpy(source->key, key, TX_KEY_SIZE);
    }
    if (source) {
        source->up = true;
        source->away_us = 0;
        ask_manifest(sync, source, clock_mono_us());
    }
    sync->told = false;
    unlock(sync);
}

void ledger_sync_peer_down(struct ledger_sync *sync, const uint8_t key[TX_KEY_SIZE])
{
    pthread_mutex_lock(&sync->lock);
    struct source *source = find_source(sync, key);
    if (source) {
        source->up = source->has = false;
        source->asked_us = 0;
        release_chunks(sync, source);
        ask_chunks(sync, clock_mono_us());
    }
    sync->told = false;
    unlock(sync);
}

/* ---- life ---- */

int ledger_sync_start(struct ledger_sync **out, const struct ledger_sync_options *options, struct err *err)
{
    struct ledger_sync *sync = mem_zalloc(sizeof(*sync));
    sync->options = *options;
    if (!sync->options.patience_us)
        sync->options.patience_us = PATIENCE_US;
    sync->dir = mem_printf("%s/chain", options->data_dir);
    sync->options.data_dir = NULL;
    sync->told = true;
    pthread_mutex_init(&sync->lock, NULL);
    pthread_cond_init(&sync->wake, NULL);
    int rc = dir_make(options->data_dir, err);
    if (rc < 0) {
        ledger_sync_stop(sync);
        return rc;
    }
    *out = sync;
    return 0;
}

static int finish(struct ledger_sync *sync, struct err *err)
{
    struct blockstore_import *import = sync->import;
    sync->finished = true;
    sync->import = NULL;
    int rc = blockstore_import_finish(import, err);
    return rc < 0 ? err_wrap(err, "the snapshot is whole but not right") : 0;
}

int ledger_sync_wait(struct ledger_sync *sync, int64_t timeout_us, struct err *err)
{
    int64_t end = clock_mono_us() + timeout_us;
    for (;;) {
        int64_t now = clock_mono_us(), until = now + TICK_US < end ? now + TICK_US : end;
        struct timespec at = {.tv_sec = until / 1000000, .tv_nsec = until % 1000000 * 1000};
        pthread_mutex_lock(&sync->lock);
        if (!sync->import || sync->have_count < sync->chunk_count)
            pthread_cond_clockwait(&sync->wake, &sync->lock, CLOCK_MONOTONIC, &at);
        if (sync->import && sync->have_count == sync->chunk_count) {
            int rc = finish(sync, err);
            pthread_mutex_unlock(&sync->lock);
            return rc;
        }
        now = clock_mono_us();
        look_around(sync, now);
        unlock(sync);
        if (now >= end)
            return err_set(err, ERR_TIMEOUT, "no snapshot of the chain is complete yet");
    }
}

void ledger_sync_stop(struct ledger_sync *sync)
{
    if (!sync)
        return;
    if (sync->import)
        forget_import(sync);
    free(sync->chunks);
    assert(!sync->outgoing_count);
    pthread_mutex_destroy(&sync->lock);
    pthread_cond_destroy(&sync->wake);
    free(sync->dir);
    free(sync);
}
