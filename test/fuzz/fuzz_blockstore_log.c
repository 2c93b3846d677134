/* A block log of any bytes: opening it ends in an error or in a log that takes records. */
#include "blockstore/blocklog.h"
#include "blockstore/bytes.h"

#include <assert.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int see(void *arg, const struct blocklog_record *record, struct err *err)
{
    (void)err;
    if (record->len)
        (void)*(volatile const uint8_t *)&record->bytes[record->len - 1];
    *(uint64_t *)arg = record->seq + 1;
    return 0;
}

/* Gives the first 64 bytes a right checksum and version, and a size that does not fill the disk. */
static void fix_header(uint8_t header[BLOCKLOG_HEADER_SIZE])
{
    bytes_put32(header + 8, BLOCKLOG_VERSION);
    bytes_put64(header + 16, bytes_get64(header + 16) % 16384);
    crypto_generichash(header + 48, 16, header, 48, NULL, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char dir[] = "/tmp/katena-fuzz-XXXXXX", path[64], next[64];
    if (size < BLOCKLOG_HEADER_SIZE || !mkdtemp(dir))
        return 0;
    uint8_t header[BLOCKLOG_HEADER_SIZE];
    memcpy(header, data, sizeof(header));
    fix_header(header);
    snprintf(path, sizeof(path), "%s/log-00000001.seg", dir);
    snprintf(next, sizeof(next), "%s/log-00000002.seg", dir);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    if (write(fd, header, sizeof(header)) < 0 || write(fd, data + sizeof(header), size - sizeof(header)) < 0)
        abort();
    close(fd);
    struct blocklog *log;
    struct blocklog_options options = {.dir = dir, .first_segment = 4096};
    struct blocklog_pos pos;
    struct err err;
    uint64_t seq = 0;
    if (!blocklog_open(&log, &options, &err)) {
        if (!blocklog_recover(log, (struct blocklog_pos){0, 0}, 0, see, &seq, &err)) {
            struct iovec part = {.iov_base = (void *)"x", .iov_len = 1};
            int rc = blocklog_append(log, 1, &part, 1, &pos, &err);
            assert(!rc && blocklog_next_seq(log) == seq + 1);
        }
        blocklog_close(log);
    }
    unlink(path);
    unlink(next);
    rmdir(dir);
    return 0;
}
