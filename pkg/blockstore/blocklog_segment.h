/* The segment files of a block log: names, headers, making, finding. Used by blocklog.c only. */
#ifndef KATENA_BLOCKSTORE_BLOCKLOG_SEGMENT_H
#define KATENA_BLOCKSTORE_BLOCKLOG_SEGMENT_H

#include "base/err.h"
#include "blockstore/blocklog.h"

#include <stdbool.h>
#include <stdint.h>

#define SEGMENT_SALT_SIZE 16
#define SEGMENT_KEY_SIZE 32
#define SEGMENT_NAME_MAX 32

struct segment {
    uint32_t number;
    int fd;
    uint64_t size;    /* bytes that the file has to have */
    uint64_t present; /* bytes that it has */
    uint8_t salt[SEGMENT_SALT_SIZE];
    uint8_t key[SEGMENT_KEY_SIZE]; /* of the records' checksums; follows from the salt */
};

#define SEGMENT_NONE \
    {                \
        .fd = -1     \
    }

/* The lowest and highest number in the directory; 0 and 0 when there is none. */
int segment_range(int dir_fd, uint32_t *lowest, uint32_t *highest, struct err *err);

/* Opens one and checks its header. ERR_NOT_FOUND when there is none. */
int segment_open(struct segment *out, int dir_fd, uint32_t number, bool writable, struct err *err);
void segment_close(struct segment *segment);

/* Writes a segment full of zeros under a temporary name, syncs it and gives it its name. When it fails
 * nothing is left behind. ERR_UNAVAILABLE when the disk is full. */
int segment_make(int dir_fd, uint32_t number, uint64_t size, struct err *err);

bool segment_exists(int dir_fd, uint32_t number);
int segment_unlink(int dir_fd, uint32_t number, struct err *err);

/* Fills [from, to) with zeros, without a sync. */
int segment_zero(const struct segment *segment, uint64_t from, uint64_t to, struct err *err);

/* pread and pwrite of all bytes; false with errno otherwise, errno 0 at the end of the file. */
bool segment_read_all(int fd, void *bytes, size_t len, uint64_t offset);
bool segment_write_all(int fd, const void *bytes, size_t len, uint64_t offset);

/* Checksum of a record: keyed by the segment's salt, over the frame's first half and the bytes. Poly1305,
 * since it stands between a transaction and the disk: it takes a seventh of BLAKE2b's time. Its key serves
 * for many records, which takes nothing from how surely it tells them apart as long as nobody is shown a
 * checksum, and what stands in the log is not shown. */
#define FRAME_MAGIC 0x4352544bu /* "KTRC" */
#define FRAME_SEQ_MAX ((1ull << 56) - 1)
struct frame {
    uint32_t magic;
    uint32_t len;
    uint64_t seq; /* 7 bytes */
    uint8_t type;
    uint8_t sum[16];
};
void frame_encode(uint8_t out[BLOCKLOG_FRAME_SIZE], const struct segment *segment, uint64_t seq, uint8_t type,
                  const struct iovec *parts, int count);
void frame_decode(struct frame *out, const uint8_t bytes[BLOCKLOG_FRAME_SIZE]);
bool frame_check(const uint8_t frame[BLOCKLOG_FRAME_SIZE], const struct segment *segment, const void *bytes,
                 size_t len);

#endif
