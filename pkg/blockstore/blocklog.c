/* See blocklog.h. */
#include "blockstore/blocklog.h"

#include "base/mem.h"
#include "blockstore/blocklog_segment.h"
#include "blockstore/bytes.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/uio.h>
#include <unistd.h>

#define SEGMENT_FIRST (1u << 20)
#define SEGMENT_LAST (16u << 20)
#define READ_CACHE 4

struct blocklog {
    int dir_fd;
    bool read_only;
    bool recovered;
    bool failed; /* a sync failed: what is on disk is unknown until the log is read again */
    uint32_t first_segment;
    struct segment current;
    uint64_t next_seq;
    uint64_t end;      /* of the records in the current segment */
    uint64_t pending;  /* bytes of a record behind end that is begun and not finished */
    uint64_t previous; /* end before the newest record, for undo; 0: nothing to undo */

    _Atomic bool wants_next;
    _Atomic uint32_t prepared;    /* the newest segment that is known to be there */
    pthread_mutex_t prepare_lock; /* held while a segment is made */

    pthread_mutex_t read_lock; /* guards the segments opened for reading */
    struct segment cache[READ_CACHE];
    unsigned cache_turn;
};

static uint64_t record_size(size_t len)
{
    return (BLOCKLOG_FRAME_SIZE + (uint64_t)len + 7) & ~7ull;
}

static uint64_t segment_size(const struct blocklog *log, uint32_t number)
{
    uint64_t size = log->first_segment;
    for (uint32_t i = 1; i < number && size < SEGMENT_LAST; i++)
        size *= 2;
    return size;
}

int blocklog_open(struct blocklog **out, const struct blocklog_options *options, struct err *err)
{
    struct blocklog *log = mem_zalloc(sizeof(*log));
    log->read_only = options->read_only;
    log->first_segment = options->first_segment ? options->first_segment : SEGMENT_FIRST;
    log->current = (struct segment)SEGMENT_NONE;
    for (size_t i = 0; i < READ_CACHE; i++)
        log->cache[i] = (struct segment)SEGMENT_NONE;
    pthread_mutex_init(&log->prepare_lock, NULL);
    pthread_mutex_init(&log->read_lock, NULL);
    log->dir_fd = open(options->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = 0;
    uint32_t lowest, highest;
    if (log->dir_fd < 0)
        rc = err_set_errno(err, "cannot open %s", options->dir);
    else
        rc = segment_range(log->dir_fd, &lowest, &highest, err);
    if (!rc && !highest && (log->read_only || options->existing))
        rc = err_set(err, ERR_CORRUPT, "the block log in %s is missing: restore the directory from a backup",
                     options->dir);
    else if (!rc && !highest)
        rc = segment_make(log->dir_fd, 1, segment_size(log, 1), err);
    if (rc < 0) {
        blocklog_close(log);
        return rc;
    }
    *out = log;
    return 0;
}

void blocklog_close(struct blocklog *log)
{
    if (!log)
        return;
    segment_close(&log->current);
    for (size_t i = 0; i < READ_CACHE; i++)
        segment_close(&log->cache[i]);
    if (log->dir_fd >= 0)
        close(log->dir_fd);
    pthread_mutex_destroy(&log->prepare_lock);
    pthread_mutex_destroy(&log->read_lock);
    free(log);
}

/* Reads the record at offset: 1 and its bytes in out, 0 when there is no whole one, or an error. */
static int record_load(const struct segment *segment, uint64_t offset, struct frame *frame, struct buf *out,
                       struct err *err)
{
    uint8_t bytes[BLOCKLOG_FRAME_SIZE];
    if (offset + BLOCKLOG_FRAME_SIZE > segment->present)
        return 0;
    if (!segment_read_all(segment->fd, bytes, sizeof(bytes), offset))
        return err_set_errno(err, "cannot read segment %u of the block log", segment->number);
    frame_decode(frame, bytes);
    if (frame->magic != FRAME_MAGIC || frame->len > BLOCKLOG_RECORD_MAX ||
        offset + BLOCKLOG_FRAME_SIZE + frame->len > segment->present)
        return 0;
    buf_clear(out);
    buf_reserve(out, frame->len + 1);
    if (!segment_read_all(segment->fd, out->data, frame->len, offset + BLOCKLOG_FRAME_SIZE))
        return err_set_errno(err, "cannot read segment %u of the block log", segment->number);
    out->len = frame->len;
    out->data[out->len] = '\0';
    return frame_check(bytes, segment, out->data, out->len);
}

static int missing_segment(uint32_t number, struct err *err)
{
    return err_set(
        err, ERR_CORRUPT,
        "segment %u of the block log is missing: restore this data directory from a backup, or let the "
        "node join anew",
        number);
}

/* Looks for a whole record with a number beyond seq behind offset. Such a one means that what stands at
 * offset was not torn by a crash but damaged later. */
static int find_later(const struct segment *segment, uint64_t offset, uint64_t seq, bool *found,
                      struct err *err)
{
    buf_auto struct buf record = BUF_INIT;
    uint8_t chunk[4096];
    for (uint64_t at = offset; at < segment->present; at += sizeof(chunk)) {
        size_t n = segment->present - at < sizeof(chunk) ? (size_t)(segment->present - at) : sizeof(chunk);
        if (!segment_read_all(segment->fd, chunk, n, at))
            return err_set_errno(err, "cannot read segment %u of the block log", segment->number);
        for (size_t i = 0; i + 4 <= n; i += 8) {
            struct frame frame = {0};
            if (bytes_get32(chunk + i) != FRAME_MAGIC)
                continue;
            int rc = record_load(segment, at + i, &frame, &record, err);
            if (rc < 0)
                return rc;
            if (rc && frame.seq > seq) {
                *found = true;
                return 0;
            }
        }
    }
    return 0;
}

/* Whether the bytes from offset to the end of the file are all zero. */
static int is_clean(const struct segment *segment, uint64_t offset, bool *clean, struct err *err)
{
    size_t size = 64u << 10;
    mem_auto uint8_t *chunk = mem_alloc(size);
    *clean = true;
    for (uint64_t at = offset; at < segment->present && *clean; at += size) {
        size_t n = segment->present - at < size ? (size_t)(segment->present - at) : size;
        if (!segment_read_all(segment->fd, chunk, n, at))
            return err_set_errno(err, "cannot read segment %u of the block log", segment->number);
        *clean = !chunk[0] && !memcmp(chunk, chunk + 1, n - 1);
    }
    return 0;
}

/* The same of a segment behind that one. A prepared one has nothing where its first record would be; reading
 * all of its zeros would cost every start, so that is done only when the whole log is read anyway. */
static int has_later(const struct segment *segment, uint64_t seq, bool thorough, bool *found, struct err *err)
{
    uint8_t frame[BLOCKLOG_FRAME_SIZE] = {0};
    static const uint8_t zeros[BLOCKLOG_FRAME_SIZE];
    if (segment->present >= BLOCKLOG_HEADER_SIZE + sizeof(frame) &&
        !segment_read_all(segment->fd, frame, sizeof(frame), BLOCKLOG_HEADER_SIZE))
        return err_set_errno(err, "cannot read segment %u of the block log", segment->number);
    if (!thorough && !memcmp(frame, zeros, sizeof(frame)))
        return 0;
    return find_later(segment, BLOCKLOG_HEADER_SIZE, seq, found, err);
}

/* What lies behind the last whole record: nothing, a torn record (wiped), or damage (an error). */
static int settle_tail(struct blocklog *log, struct segment *segment, uint64_t offset, uint64_t next_seq,
                       bool thorough, struct err *err)
{
    bool clean, later = false;
    int rc = is_clean(segment, offset, &clean, err);
    if (!rc && !clean)
        rc = find_later(segment, offset, next_seq, &later, err);
    uint32_t lowest, highest;
    if (!rc)
        rc = segment_range(log->dir_fd, &lowest, &highest, err);
    for (uint32_t n = segment->number + 1; !rc && !later && n <= highest; n++) {
        struct segment next;
        rc = segment_open(&next, log->dir_fd, n, false, err);
        if (rc == ERR_NOT_FOUND)
            rc = missing_segment(n, err);
        if (rc < 0)
            break;
        rc = has_later(&next, next_seq, thorough, &later, err);
        segment_close(&next);
    }
    if (rc < 0)
        return rc;
    if (later)
        return err_set(
            err, ERR_CORRUPT,
            "the block log is damaged at record %llu (segment %u, offset %llu), though later ones are "
            "whole: restore this data directory from a backup, or let the node join anew",
            (unsigned long long)next_seq, segment->number, (unsigned long long)offset);
    if (log->read_only)
        return 0;
    uint64_t from = clean ? segment->present : offset;
    if (from >= segment->size)
        return 0;
    rc = segment_zero(segment, from, segment->size, err);
    if (!rc && fdatasync(segment->fd) < 0)
        rc = err_set_errno(err, "cannot write segment %u of the block log", segment->number);
    if (!rc)
        segment->present = segment->size;
    return rc;
}

/* Whether segment `number` begins with record next_seq, so that the log goes on there. */
static int continues_in(struct blocklog *log, uint32_t number, uint64_t next_seq, bool *yes, struct err *err)
{
    *yes = false;
    if (!segment_exists(log->dir_fd, number))
        return 0;
    struct segment segment;
    int rc = segment_open(&segment, log->dir_fd, number, false, err);
    if (rc < 0)
        return rc;
    struct frame frame = {0};
    buf_auto struct buf record = BUF_INIT;
    rc = record_load(&segment, BLOCKLOG_HEADER_SIZE, &frame, &record, err);
    *yes = rc > 0 && frame.seq == next_seq;
    segment_close(&segment);
    return rc < 0 ? rc : 0;
}

struct scan {
    struct blocklog *log;
    blocklog_record_fn fn;
    void *arg;
    uint64_t next_seq;
    bool any_seq; /* take the first record's number as it is */
};

/* Delivers the whole records of one segment from *offset on, and moves it behind them. */
static int scan_segment(struct scan *scan, const struct segment *segment, uint64_t *offset, struct err *err)
{
    buf_auto struct buf record = BUF_INIT;
    for (;;) {
        struct frame frame = {0};
        int rc = record_load(segment, *offset, &frame, &record, err);
        if (rc < 0)
            return rc;
        if (!rc || (frame.seq != scan->next_seq && !scan->any_seq))
            return 0;
        scan->any_seq = false;
        struct blocklog_record found = {.seq = frame.seq,
                                        .type = frame.type,
                                        .pos = {segment->number, (uint32_t)*offset},
                                        .bytes = (uint8_t *)record.data,
                                        .len = record.len};
        if (scan->fn && (rc = scan->fn(scan->arg, &found, err)))
            return rc;
        *offset += record_size(frame.len);
        scan->next_seq = frame.seq + 1;
    }
}

int blocklog_recover(struct blocklog *log, struct blocklog_pos from, uint64_t next_seq, blocklog_record_fn fn,
                     void *arg, struct err *err)
{
    struct scan scan = {.log = log, .fn = fn, .arg = arg, .next_seq = next_seq, .any_seq = !from.segment};
    uint32_t number = from.segment ? from.segment : blocklog_oldest(log);
    uint64_t offset = from.segment ? from.offset : BLOCKLOG_HEADER_SIZE;
    for (;; number++, offset = BLOCKLOG_HEADER_SIZE) {
        struct segment segment;
        int rc = segment_open(&segment, log->dir_fd, number, !log->read_only, err);
        if (rc == ERR_NOT_FOUND)
            return missing_segment(number, err);
        if (rc < 0)
            return rc;
        bool more = false;
        rc = scan_segment(&scan, &segment, &offset, err);
        if (!rc)
            rc = continues_in(log, number + 1, scan.next_seq, &more, err);
        if (!rc && !more)
            rc = settle_tail(log, &segment, offset, scan.next_seq, !from.segment, err);
        if (rc || more) {
            segment_close(&segment);
            if (rc)
                return rc;
            continue;
        }
        segment_close(&log->current);
        log->current = segment;
        log->end = offset;
        log->next_seq = scan.next_seq;
        log->previous = 0;
        log->recovered = true;
        return 0;
    }
}

struct blocklog_pos blocklog_end(const struct blocklog *log)
{
    return (struct blocklog_pos){log->current.number, (uint32_t)log->end};
}

uint64_t blocklog_next_seq(const struct blocklog *log)
{
    return log->next_seq;
}

bool blocklog_wants_next(const struct blocklog *log)
{
    return log->wants_next;
}

static int make_next(struct blocklog *log, uint32_t number, uint64_t at_least, struct err *err)
{
    pthread_mutex_lock(&log->prepare_lock);
    uint64_t size = segment_size(log, number);
    int rc = 0;
    if (!segment_exists(log->dir_fd, number))
        rc = segment_make(log->dir_fd, number, size > at_least ? size : at_least, err);
    if (!rc)
        log->prepared = number;
    log->wants_next = false;
    pthread_mutex_unlock(&log->prepare_lock);
    return rc;
}

int blocklog_prepare_next(struct blocklog *log, struct err *err)
{
    uint32_t number = __atomic_load_n(&log->current.number, __ATOMIC_RELAXED) + 1;
    return make_next(log, number, 0, err);
}

/* Goes on in the next segment, one that has room for `need` bytes of records. */
static int rotate(struct blocklog *log, uint64_t need, struct err *err)
{
    uint32_t number = log->current.number + 1;
    int rc = make_next(log, number, BLOCKLOG_HEADER_SIZE + need, err);
    struct segment next = SEGMENT_NONE;
    if (!rc)
        rc = segment_open(&next, log->dir_fd, number, true, err);
    if (rc < 0)
        return rc;
    if (BLOCKLOG_HEADER_SIZE + need > next.size) {
        /* It was prepared before so large a block came. */
        segment_close(&next);
        log->prepared = 0;
        rc = segment_unlink(log->dir_fd, number, err);
        return rc < 0 ? rc : rotate(log, need, err);
    }
    int old = log->current.fd;
    log->current.fd = next.fd;
    log->current.size = next.size;
    log->current.present = next.present;
    memcpy(log->current.salt, next.salt, sizeof(next.salt));
    memcpy(log->current.key, next.key, sizeof(next.key));
    __atomic_store_n(&log->current.number, number, __ATOMIC_RELAXED);
    close(old);
    log->end = BLOCKLOG_HEADER_SIZE;
    log->previous = 0;
    return 0;
}

/* The write itself: one pwritev of frame and parts. */
static bool write_record(const struct blocklog *log, const struct iovec *parts, int count, size_t len)
{
    ssize_t n = pwritev(log->current.fd, parts, count, (off_t)log->end);
    if (n == (ssize_t)len)
        return true;
    if (n < 0 && errno != EINTR)
        return false;
    /* A short write: once more in parts, which tells the reason. */
    uint64_t at = log->end;
    for (int i = 0; i < count; at += parts[i++].iov_len)
        if (!segment_write_all(log->current.fd, parts[i].iov_base, parts[i].iov_len, at))
            return false;
    return true;
}

/* What stands in the log's place of the next record after a failed write is unknown, unless it can be wiped.
 */
static int write_failed(struct blocklog *log, uint64_t need, struct err *err)
{
    bool full = errno == ENOSPC || errno == EDQUOT;
    int rc = full ? err_set(err, ERR_UNAVAILABLE, "the disk is full: the block log takes no more")
                  : err_set_errno(err, "cannot write the block log");
    log->failed = !full || segment_zero(&log->current, log->end, log->end + need, NULL) < 0;
    return rc;
}

int blocklog_begin(struct blocklog *log, uint8_t type, const struct iovec *parts, int count,
                   struct blocklog_pos *pos, struct err *err)
{
    uint8_t frame[BLOCKLOG_FRAME_SIZE];
    struct iovec all[1 + BLOCKLOG_PARTS_MAX] = {{.iov_base = frame, .iov_len = sizeof(frame)}};
    size_t len = 0;
    if (log->failed)
        return err_set(err, ERR_IO,
                       "the block log could not be written to before; check the disk and restart the node");
    assert(log->recovered && !log->read_only && !log->pending && count <= BLOCKLOG_PARTS_MAX);
    for (int i = 0; i < count; i++) {
        all[1 + i] = parts[i];
        len += parts[i].iov_len;
    }
    assert(len <= BLOCKLOG_RECORD_MAX);
    uint64_t need = record_size(len);
    if (log->end + need > log->current.size) {
        int rc = rotate(log, need, err);
        if (rc < 0)
            return rc;
    }
    frame_encode(frame, &log->current, log->next_seq, type, parts, count);
    if (!write_record(log, all, 1 + count, sizeof(frame) + len))
        return write_failed(log, need, err);
    /* Only a hint, which is what the time between here and blocklog_finish is for. */
    sync_file_range(log->current.fd, (off_t)log->end, (off_t)need, SYNC_FILE_RANGE_WRITE);
    *pos = (struct blocklog_pos){log->current.number, (uint32_t)log->end};
    log->pending = need;
    return 0;
}

int blocklog_finish(struct blocklog *log, struct err *err)
{
    assert(log->pending);
    if (fdatasync(log->current.fd) < 0) {
        log->failed = true;
        return err_set_errno(err, "cannot make the block log durable");
    }
    log->previous = log->end;
    log->end += log->pending;
    log->pending = 0;
    log->next_seq++;
    if (log->end > log->current.size / 2 && log->prepared != log->current.number + 1)
        log->wants_next = true;
    return 0;
}

int blocklog_append(struct blocklog *log, uint8_t type, const struct iovec *parts, int count,
                    struct blocklog_pos *pos, struct err *err)
{
    int rc = blocklog_begin(log, type, parts, count, pos, err);
    return rc < 0 ? rc : blocklog_finish(log, err);
}

int blocklog_undo(struct blocklog *log, struct err *err)
{
    assert(log->pending || log->previous);
    uint64_t from = log->pending ? log->end : log->previous;
    int rc = segment_zero(&log->current, from, log->end + log->pending, err);
    if (!rc && fdatasync(log->current.fd) < 0)
        rc = err_set_errno(err, "cannot make the block log durable");
    if (rc < 0) {
        log->failed = true;
        return rc;
    }
    if (!log->pending) {
        log->end = log->previous;
        log->previous = 0;
        log->next_seq--;
    }
    log->pending = 0;
    return 0;
}

/* The segment, opened for reading; read_lock is held. */
static int cached_segment(struct blocklog *log, uint32_t number, struct segment **out, struct err *err)
{
    for (size_t i = 0; i < READ_CACHE; i++)
        if (log->cache[i].number == number) {
            *out = &log->cache[i];
            return 0;
        }
    struct segment segment;
    int rc = segment_open(&segment, log->dir_fd, number, false, err);
    if (rc == ERR_NOT_FOUND)
        return err_set(err, ERR_GONE, "the block's content was pruned");
    if (rc < 0)
        return rc;
    struct segment *slot = &log->cache[log->cache_turn++ % READ_CACHE];
    segment_close(slot);
    *slot = segment;
    *out = slot;
    return 0;
}

int blocklog_read(struct blocklog *log, struct blocklog_pos pos, struct blocklog_record *out, struct buf *buf,
                  struct err *err)
{
    if (!pos.segment)
        return err_set(err, ERR_GONE, "the block's content is not kept here");
    pthread_mutex_lock(&log->read_lock);
    struct segment *segment = NULL;
    int rc = cached_segment(log, pos.segment, &segment, err);
    struct frame frame = {0};
    if (!rc) {
        rc = record_load(segment, pos.offset, &frame, buf, err);
        if (rc > 0)
            rc = 0;
        else if (!rc)
            rc = err_set(err, ERR_CORRUPT, "a record of the block log is damaged (segment %u, offset %u)",
                         pos.segment, pos.offset);
    }
    pthread_mutex_unlock(&log->read_lock);
    *out = (struct blocklog_record){.seq = frame.seq,
                                    .type = frame.type,
                                    .pos = pos,
                                    .bytes = (const uint8_t *)buf->data,
                                    .len = buf->len};
    return rc;
}

uint32_t blocklog_oldest(struct blocklog *log)
{
    uint32_t lowest, highest;
    return segment_range(log->dir_fd, &lowest, &highest, NULL) < 0 ? 0 : lowest;
}

int blocklog_remove(struct blocklog *log, uint32_t segment, struct err *err)
{
    assert(segment < log->current.number);
    pthread_mutex_lock(&log->read_lock);
    for (size_t i = 0; i < READ_CACHE; i++)
        if (log->cache[i].number == segment)
            segment_close(&log->cache[i]);
    /* Still under the lock: whoever opened it in between would keep the file, and read it, for ever. */
    int rc = segment_unlink(log->dir_fd, segment, err);
    pthread_mutex_unlock(&log->read_lock);
    return rc;
}
