/* See blocklog_segment.h. */
#include "blockstore/blocklog_segment.h"

#include "base/mem.h"
#include "base/rand.h"
#include "blockstore/bytes.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char magic[8] = "KATENALG";
#define ZERO_CHUNK (256u << 10)
#define SEGMENT_SIZE_MAX (2ull * BLOCKLOG_RECORD_MAX)

static void segment_name(char out[SEGMENT_NAME_MAX], uint32_t number)
{
    snprintf(out, SEGMENT_NAME_MAX, "log-%08u.seg", number);
}

bool segment_read_all(int fd, void *bytes, size_t len, uint64_t offset)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = pread(fd, (char *)bytes + done, len - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            if (n == 0)
                errno = 0;
            return false;
        }
        done += (size_t)n;
    }
    return true;
}

bool segment_write_all(int fd, const void *bytes, size_t len, uint64_t offset)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = pwrite(fd, (const char *)bytes + done, len - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

int segment_range(int dir_fd, uint32_t *lowest, uint32_t *highest, struct err *err)
{
    *lowest = *highest = 0;
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir)
        return err_set_errno(err, "cannot list the block log");
    for (struct dirent *entry; (entry = readdir(dir));) {
        unsigned number;
        char name[SEGMENT_NAME_MAX];
        if (sscanf(entry->d_name, "log-%8u.seg", &number) != 1 || !number)
            continue;
        segment_name(name, number);
        if (strcmp(name, entry->d_name) != 0)
            continue;
        if (!*lowest || number < *lowest)
            *lowest = number;
        if (number > *highest)
            *highest = number;
    }
    closedir(dir);
    return 0;
}

/* Header: magic 8, version 4, number 4, size 8, salt 16, zeros 8, BLAKE2b-128 of these 48 bytes. */
static void header_encode(uint8_t out[BLOCKLOG_HEADER_SIZE], const struct segment *segment)
{
    memset(out, 0, BLOCKLOG_HEADER_SIZE);
    memcpy(out, magic, sizeof(magic));
    bytes_put32(out + 8, BLOCKLOG_VERSION);
    bytes_put32(out + 12, segment->number);
    bytes_put64(out + 16, segment->size);
    memcpy(out + 24, segment->salt, SEGMENT_SALT_SIZE);
    crypto_generichash(out + 48, 16, out, 48, NULL, 0);
}

static void set_salt(struct segment *segment, const uint8_t salt[SEGMENT_SALT_SIZE])
{
    memcpy(segment->salt, salt, SEGMENT_SALT_SIZE);
    crypto_generichash(segment->key, SEGMENT_KEY_SIZE, NULL, 0, salt, SEGMENT_SALT_SIZE);
}

static int header_check(struct segment *segment, const uint8_t header[BLOCKLOG_HEADER_SIZE], const char *name,
                        struct err *err)
{
    uint8_t sum[16];
    crypto_generichash(sum, 16, header, 48, NULL, 0);
    if (memcmp(header, magic, sizeof(magic)) != 0 || memcmp(sum, header + 48, 16) != 0)
        return err_set(err, ERR_CORRUPT,
                       "the header of %s in the block log is damaged; restore it from a backup", name);
    if (bytes_get32(header + 8) != BLOCKLOG_VERSION)
        return err_set(
            err, ERR_CORRUPT,
            "%s has format version %u, but this katena reads version %u: use the katena that wrote "
            "it, or another data directory",
            name, bytes_get32(header + 8), BLOCKLOG_VERSION);
    if (bytes_get32(header + 12) != segment->number)
        return err_set(err, ERR_CORRUPT, "%s is in truth segment %u: files of the block log were exchanged",
                       name, bytes_get32(header + 12));
    segment->size = bytes_get64(header + 16);
    if (segment->size < BLOCKLOG_HEADER_SIZE || segment->size > SEGMENT_SIZE_MAX)
        return err_set(err, ERR_CORRUPT, "%s in the block log has an impossible size", name);
    set_salt(segment, header + 24);
    return 0;
}

int segment_open(struct segment *out, int dir_fd, uint32_t number, bool writable, struct err *err)
{
    char name[SEGMENT_NAME_MAX];
    segment_name(name, number);
    int fd = openat(dir_fd, name, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return err_set(err, ERR_NOT_FOUND, "%s is not in the block log", name);
    if (fd < 0)
        return err_set_errno(err, "cannot open %s of the block log", name);
    struct segment segment = {.number = number, .fd = fd};
    uint8_t header[BLOCKLOG_HEADER_SIZE];
    struct stat st;
    int rc;
    if (fstat(fd, &st) < 0 || (!segment_read_all(fd, header, sizeof(header), 0) && errno))
        rc = err_set_errno(err, "cannot read %s of the block log", name);
    else if ((uint64_t)st.st_size < BLOCKLOG_HEADER_SIZE)
        rc = err_set(err, ERR_CORRUPT, "%s in the block log is cut off within its header", name);
    else
        rc = header_check(&segment, header, name, err);
    if (rc < 0) {
        close(fd);
        return rc;
    }
    segment.present = (uint64_t)st.st_size;
    *out = segment;
    return 0;
}

void segment_close(struct segment *segment)
{
    if (segment->fd >= 0)
        close(segment->fd);
    segment->fd = -1;
    segment->number = 0;
}

int segment_zero(const struct segment *segment, uint64_t from, uint64_t to, struct err *err)
{
    mem_auto uint8_t *zeros = mem_zalloc(ZERO_CHUNK);
    while (from < to) {
        size_t n = to - from < ZERO_CHUNK ? (size_t)(to - from) : ZERO_CHUNK;
        if (!segment_write_all(segment->fd, zeros, n, from)) {
            if (errno == ENOSPC || errno == EDQUOT)
                return err_set(err, ERR_UNAVAILABLE,
                               "the disk is full: no room for segment %u of the block log", segment->number);
            return err_set_errno(err, "cannot write segment %u of the block log", segment->number);
        }
        from += n;
    }
    return 0;
}

static int segment_fill(struct segment *segment, struct err *err)
{
    rand_bytes(segment->salt, sizeof(segment->salt));
    uint8_t header[BLOCKLOG_HEADER_SIZE];
    header_encode(header, segment);
    int rc = segment_zero(segment, 0, segment->size, err);
    if (rc < 0)
        return rc;
    if (!segment_write_all(segment->fd, header, sizeof(header), 0) || fdatasync(segment->fd) < 0)
        return err_set_errno(err, "cannot write segment %u of the block log", segment->number);
    return 0;
}

int segment_make(int dir_fd, uint32_t number, uint64_t size, struct err *err)
{
    static const char temporary[] = "log-next.tmp";
    char name[SEGMENT_NAME_MAX];
    segment_name(name, number);
    struct segment segment = {.number = number, .size = size};
    segment.fd = openat(dir_fd, temporary, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (segment.fd < 0 && (errno == ENOSPC || errno == EDQUOT))
        return err_set(err, ERR_UNAVAILABLE, "the disk is full: no room for segment %u of the block log",
                       number);
    if (segment.fd < 0)
        return err_set_errno(err, "cannot make segment %u of the block log", number);
    int rc = segment_fill(&segment, err);
    close(segment.fd);
    if (!rc && (renameat(dir_fd, temporary, dir_fd, name) < 0 || fsync(dir_fd) < 0))
        rc = err_set_errno(err, "cannot make segment %u of the block log", number);
    if (rc < 0)
        unlinkat(dir_fd, temporary, 0);
    return rc;
}

bool segment_exists(int dir_fd, uint32_t number)
{
    char name[SEGMENT_NAME_MAX];
    segment_name(name, number);
    return faccessat(dir_fd, name, F_OK, 0) == 0;
}

int segment_unlink(int dir_fd, uint32_t number, struct err *err)
{
    char name[SEGMENT_NAME_MAX];
    segment_name(name, number);
    if (unlinkat(dir_fd, name, 0) < 0 && errno != ENOENT)
        return err_set_errno(err, "cannot remove %s of the block log", name);
    return 0;
}

static void frame_sum(uint8_t out[16], const uint8_t frame[16], const struct segment *segment,
                      const struct iovec *parts, int count)
{
    crypto_onetimeauth_state state;
    crypto_onetimeauth_init(&state, segment->key);
    crypto_onetimeauth_update(&state, frame, 16);
    for (int i = 0; i < count; i++)
        crypto_onetimeauth_update(&state, parts[i].iov_base, parts[i].iov_len);
    crypto_onetimeauth_final(&state, out);
}

void frame_encode(uint8_t out[BLOCKLOG_FRAME_SIZE], const struct segment *segment, uint64_t seq, uint8_t type,
                  const struct iovec *parts, int count)
{
    size_t len = 0;
    for (int i = 0; i < count; i++)
        len += parts[i].iov_len;
    bytes_put32(out, FRAME_MAGIC);
    bytes_put32(out + 4, (uint32_t)len);
    bytes_put64(out + 8, seq | (uint64_t)type << 56);
    frame_sum(out + 16, out, segment, parts, count);
}

void frame_decode(struct frame *out, const uint8_t bytes[BLOCKLOG_FRAME_SIZE])
{
    out->magic = bytes_get32(bytes);
    out->len = bytes_get32(bytes + 4);
    out->seq = bytes_get64(bytes + 8) & FRAME_SEQ_MAX;
    out->type = bytes[15];
    memcpy(out->sum, bytes + 16, 16);
}

bool frame_check(const uint8_t frame[BLOCKLOG_FRAME_SIZE], const struct segment *segment, const void *bytes,
                 size_t len)
{
    uint8_t sum[16];
    struct iovec part = {.iov_base = (void *)bytes, .iov_len = len};
    frame_sum(sum, frame, segment, &part, 1);
    return memcmp(sum, frame + 16, 16) == 0;
}
