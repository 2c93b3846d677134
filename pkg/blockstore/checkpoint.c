/* See checkpoint.h. */
#include "blockstore/checkpoint.h"

#include "base/mem.h"
#include "blockstore/blocklog_segment.h"
#include "blockstore/bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char magic[8] = "KATENACP";
#define FIXED_SIZE (8 + 4 + 4 + 8 + 8 + 4 + 4 + 8 + 8 + 8 + CHECKPOINT_BOOT_MAX)
#define SUM_SIZE 32
#define FILE_MAX (FIXED_SIZE + 2 * 65536 + SUM_SIZE)

void checkpoint_free(struct checkpoint *checkpoint)
{
    buf_free(&checkpoint->metas);
}

void checkpoint_encode(struct buf *out, const struct checkpoint *c)
{
    uint8_t fixed[FIXED_SIZE] = {0};
    memcpy(fixed, magic, sizeof(magic));
    bytes_put32(fixed + 8, CHECKPOINT_VERSION);
    bytes_put32(fixed + 12, c->page_size);
    bytes_put64(fixed + 16, c->txn_id);
    bytes_put64(fixed + 24, c->height);
    bytes_put32(fixed + 32, c->log_segment);
    bytes_put32(fixed + 36, c->log_offset);
    bytes_put64(fixed + 40, c->device);
    bytes_put64(fixed + 48, c->inode);
    bytes_put64(fixed + 56, c->size);
    memcpy(fixed + 64, c->boot_id, CHECKPOINT_BOOT_MAX);
    size_t start = out->len;
    buf_append(out, fixed, sizeof(fixed));
    buf_append(out, c->metas.data, c->metas.len);
    uint8_t sum[SUM_SIZE];
    crypto_generichash(sum, sizeof(sum), (uint8_t *)out->data + start, out->len - start, NULL, 0);
    buf_append(out, sum, sizeof(sum));
}

int checkpoint_decode(struct checkpoint *out, const void *bytes, size_t len, struct err *err)
{
    const uint8_t *p = bytes;
    uint8_t sum[SUM_SIZE];
    if (len < FIXED_SIZE + SUM_SIZE || len > FILE_MAX || memcmp(p, magic, sizeof(magic)) != 0)
        return err_set(err, ERR_CORRUPT, "the checkpoint is damaged");
    crypto_generichash(sum, sizeof(sum), p, len - SUM_SIZE, NULL, 0);
    if (memcmp(sum, p + len - SUM_SIZE, SUM_SIZE) != 0)
        return err_set(err, ERR_CORRUPT, "the checkpoint is damaged");
    if (bytes_get32(p + 8) != CHECKPOINT_VERSION)
        return err_set(err, ERR_CORRUPT, "the checkpoint has version %u, but this katena reads version %u",
                       bytes_get32(p + 8), CHECKPOINT_VERSION);
    struct checkpoint c = {
        .page_size = bytes_get32(p + 12),
        .txn_id = bytes_get64(p + 16),
        .height = bytes_get64(p + 24),
        .log_segment = bytes_get32(p + 32),
        .log_offset = bytes_get32(p + 36),
        .device = bytes_get64(p + 40),
        .inode = bytes_get64(p + 48),
        .size = bytes_get64(p + 56),
    };
    memcpy(c.boot_id, p + 64, CHECKPOINT_BOOT_MAX);
    if (c.page_size > 65536 || len != FIXED_SIZE + 2 * (size_t)c.page_size + SUM_SIZE ||
        c.boot_id[CHECKPOINT_BOOT_MAX - 1])
        return err_set(err, ERR_CORRUPT, "the checkpoint is damaged");
    buf_append(&c.metas, p + FIXED_SIZE, 2 * (size_t)c.page_size);
    *out = c;
    return 0;
}

/* The kernel's id of this boot; empty when it cannot be told, which matches none. */
static void read_boot_id(char out[CHECKPOINT_BOOT_MAX])
{
    memset(out, 0, CHECKPOINT_BOOT_MAX);
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t n = read(fd, out, CHECKPOINT_BOOT_MAX - 1);
    close(fd);
    if (n < 36)
        memset(out, 0, CHECKPOINT_BOOT_MAX);
    else
        memset(out + 36, 0, CHECKPOINT_BOOT_MAX - 36);
}

int checkpoint_capture(struct checkpoint *c, int dir_fd, uint32_t page_size, struct err *err)
{
    int fd = openat(dir_fd, "data.mdb", O_RDONLY | O_CLOEXEC);
    struct stat st;
    buf_clear(&c->metas);
    buf_reserve(&c->metas, 2 * (size_t)page_size);
    int rc = 0;
    if (fd < 0 || fstat(fd, &st) < 0 || !segment_read_all(fd, c->metas.data, 2 * (size_t)page_size, 0))
        rc = err_set_errno(err, "cannot read data.mdb");
    else
        c->device = st.st_dev, c->inode = st.st_ino, c->size = (uint64_t)st.st_size;
    c->metas.len = 2 * (size_t)page_size;
    c->page_size = page_size;
    read_boot_id(c->boot_id);
    if (fd >= 0)
        close(fd);
    return rc;
}

int checkpoint_save(const struct checkpoint *checkpoint, int dir_fd, struct err *err)
{
    static const char temporary[] = CHECKPOINT_NAME ".tmp";
    buf_auto struct buf bytes = BUF_INIT;
    checkpoint_encode(&bytes, checkpoint);
    int fd = openat(dir_fd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set_errno(err, "cannot write the checkpoint");
    int rc = 0;
    if (!segment_write_all(fd, bytes.data, bytes.len, 0) || fsync(fd) < 0)
        rc = err_set_errno(err, "cannot write the checkpoint");
    close(fd);
    if (!rc && (renameat(dir_fd, temporary, dir_fd, CHECKPOINT_NAME) < 0 || fsync(dir_fd) < 0))
        rc = err_set_errno(err, "cannot write the checkpoint");
    if (rc < 0)
        unlinkat(dir_fd, temporary, 0);
    return rc;
}

int checkpoint_load(struct checkpoint *out, int dir_fd, struct err *err)
{
    int fd = openat(dir_fd, CHECKPOINT_NAME, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return err_set(err, ERR_NOT_FOUND, "there is no checkpoint");
    if (fd < 0)
        return err_set_errno(err, "cannot open the checkpoint");
    mem_auto uint8_t *bytes = mem_alloc(FILE_MAX + 1);
    size_t len = 0;
    ssize_t n;
    while (len <= FILE_MAX && (n = read(fd, bytes + len, FILE_MAX + 1 - len)) > 0)
        len += (size_t)n;
    close(fd);
    return checkpoint_decode(out, bytes, len, err);
}

int checkpoint_distrust(int dir_fd, struct err *err)
{
    struct checkpoint checkpoint = {0};
    int rc = checkpoint_load(&checkpoint, dir_fd, err);
    if (!rc) {
        memset(checkpoint.boot_id, 0, sizeof(checkpoint.boot_id));
        rc = checkpoint_save(&checkpoint, dir_fd, err);
    }
    checkpoint_free(&checkpoint);
    return rc;
}

bool checkpoint_is_current_boot(const struct checkpoint *checkpoint, int dir_fd)
{
    char boot_id[CHECKPOINT_BOOT_MAX];
    struct stat st;
    read_boot_id(boot_id);
    return *boot_id && !strcmp(boot_id, checkpoint->boot_id) && fstatat(dir_fd, "data.mdb", &st, 0) == 0 &&
           st.st_dev == checkpoint->device && st.st_ino == checkpoint->inode;
}

int checkpoint_restore(const struct checkpoint *checkpoint, int dir_fd, struct err *err)
{
    int fd = openat(dir_fd, "data.mdb", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return err_set_errno(err, "cannot open data.mdb");
    int rc = 0;
    if (!segment_write_all(fd, checkpoint->metas.data, checkpoint->metas.len, 0) || fdatasync(fd) < 0)
        rc = err_set_errno(err, "cannot restore the checkpoint");
    close(fd);
    return rc;
}
