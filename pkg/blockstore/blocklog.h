/*
 * The block log: an append-only file of records in segments, and the one thing that is synced per block.
 *
 *   DIR/log-00000001.seg   64-byte segment header, then records, then zeros
 *   DIR/log-00000002.seg   ...
 *
 * Segments are written full of zeros before they are used: overwriting blocks that a file already has needs
 * no journal commit, so pwrite + fdatasync takes half as long as appending. They start at 1 MiB and double up
 * to 16 MiB, so that an empty node stays small; the next one is prepared in the background.
 *
 * A record carries its sequence number, a type that the log's user chooses, and a checksum keyed by a
 * random salt of its segment, so nothing that a client stored can pass for a record. One write goes out after
 * the other is durable, so a crash can only tear the last record. A record that is broken while whole ones
 * follow it is damage, and is reported as such rather than cut off.
 *
 * Threads: begin, finish, append, undo and recover by one thread at a time; read, prepare_next and prune by
 * any.
 */
#ifndef KATENA_BLOCKSTORE_BLOCKLOG_H
#define KATENA_BLOCKSTORE_BLOCKLOG_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#define BLOCKLOG_VERSION 4
#define BLOCKLOG_HEADER_SIZE 64 /* of a segment */
#define BLOCKLOG_FRAME_SIZE 32  /* before each record's bytes */
#define BLOCKLOG_RECORD_MAX (64u << 20)

struct blocklog;

struct blocklog_pos {
    uint32_t segment; /* from 1; 0: nowhere */
    uint32_t offset;
};

struct blocklog_options {
    const char *dir;
    bool read_only;         /* another process may be writing */
    bool existing;          /* never make a first segment */
    uint32_t first_segment; /* bytes of segment 1; 0: 1 MiB (tests take less) */
};

/* Opens the log in dir, or makes its first segment. Nothing can be appended before blocklog_recover. */
int blocklog_open(struct blocklog **out, const struct blocklog_options *options, struct err *err);
void blocklog_close(struct blocklog *log); /* takes NULL */

struct blocklog_record {
    uint64_t seq; /* records are counted from 0 on */
    uint8_t type;
    struct blocklog_pos pos;
    const uint8_t *bytes;
    size_t len;
};

/* Calls fn for each whole record from `from` on, the first of which has sequence number next_seq, and sets
 * the place of the next append behind the last. What a torn record left there is overwritten with zeros. From
 * {0, 0}, it starts at the oldest segment and takes the first record's number as it is. fn returning non-zero
 * (with err filled) ends it. */
typedef int (*blocklog_record_fn)(void *arg, const struct blocklog_record *record, struct err *err);
int blocklog_recover(struct blocklog *log, struct blocklog_pos from, uint64_t next_seq, blocklog_record_fn fn,
                     void *arg, struct err *err);

/* Writes one record, the bytes of at most BLOCKLOG_PARTS_MAX parts in a row, and has the disk begin with it;
 * what else there is to do is done meanwhile, and then blocklog_finish returns when the record is durable. On
 * failure nothing was appended; ERR_UNAVAILABLE when the disk is full, ERR_IO when it failed (the log then
 * takes nothing more until it is opened again). */
#define BLOCKLOG_PARTS_MAX 2
int blocklog_begin(struct blocklog *log, uint8_t type, const struct iovec *parts, int count,
                   struct blocklog_pos *pos, struct err *err);
int blocklog_finish(struct blocklog *log, struct err *err);

/* Both in a row. */
int blocklog_append(struct blocklog *log, uint8_t type, const struct iovec *parts, int count,
                    struct blocklog_pos *pos, struct err *err);

/* Takes the newest record back, begun or finished: what it says could not be applied. */
int blocklog_undo(struct blocklog *log, struct err *err);

/* The place behind a record of that many bytes. */
static inline struct blocklog_pos blocklog_behind(struct blocklog_pos pos, size_t len)
{
    pos.offset += (uint32_t)((BLOCKLOG_FRAME_SIZE + len + 7) & ~(size_t)7);
    return pos;
}

/* The sequence number of the next record. */
uint64_t blocklog_next_seq(const struct blocklog *log);

/* Where the next record goes; behind a full segment, that is still at its end. */
struct blocklog_pos blocklog_end(const struct blocklog *log);

/* The record at pos, checked; its bytes replace what is in buf. ERR_GONE when its segment was pruned, or is
 * 0. */
int blocklog_read(struct blocklog *log, struct blocklog_pos pos, struct blocklog_record *out, struct buf *buf,
                  struct err *err);

/* True when the current segment is more than half full and no next one is there; then some thread should
 * call prepare_next, which takes as long as writing a segment does. */
bool blocklog_wants_next(const struct blocklog *log);
int blocklog_prepare_next(struct blocklog *log, struct err *err);

/* The oldest segment that exists; and removing one that is older than the current. */
uint32_t blocklog_oldest(struct blocklog *log);
int blocklog_remove(struct blocklog *log, uint32_t segment, struct err *err);

#endif
