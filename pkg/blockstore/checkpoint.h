/*
 * Checkpoints make an LMDB environment without syncs safe against power loss.
 *
 * LMDB never overwrites a page that a reader may still see, and a commit only becomes visible by one of two
 * meta pages. So while a read transaction from the time of a checkpoint is held, all pages of that state stay
 * as they are. When these pages have been synced, the two meta pages as they were then, put back over
 * whatever a power loss left in their place, give exactly that state again.
 *
 * The file: "KATENACP" | version u32 | page size u32 | txn id u64 | height u64 | log segment u32 |
 * log offset u32 | device u64 | inode u64 | size u64 | boot id 40 bytes | two meta pages | BLAKE2b-256 of all
 * before.
 */
#ifndef KATENA_BLOCKSTORE_CHECKPOINT_H
#define KATENA_BLOCKSTORE_CHECKPOINT_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHECKPOINT_VERSION 2
#define CHECKPOINT_BOOT_MAX 40
#define CHECKPOINT_NAME "checkpoint"

struct checkpoint {
    uint32_t page_size;
    uint64_t txn_id;
    uint64_t height; /* of the head; informative */
    uint32_t log_segment;
    uint32_t log_offset;
    uint64_t device, inode; /* of data.mdb: a copied directory is treated as after a power loss */
    uint64_t size;          /* of data.mdb, which never shrinks */
    char boot_id[CHECKPOINT_BOOT_MAX];
    struct buf metas; /* 2 * page_size bytes */
};

void checkpoint_free(struct checkpoint *checkpoint);

void checkpoint_encode(struct buf *out, const struct checkpoint *checkpoint);
int checkpoint_decode(struct checkpoint *out, const void *bytes, size_t len, struct err *err);

/* Fills page_size, device, inode, boot_id and the meta pages from data.mdb; no commit may be going on. */
int checkpoint_capture(struct checkpoint *checkpoint, int dir_fd, uint32_t page_size, struct err *err);

/* Replaces the file in one step and makes it durable. */
int checkpoint_save(const struct checkpoint *checkpoint, int dir_fd, struct err *err);

/* ERR_NOT_FOUND when there is none, ERR_CORRUPT when it is damaged. */
int checkpoint_load(struct checkpoint *out, int dir_fd, struct err *err);

/* Whether data.mdb has been used in this boot of this machine only since the checkpoint, so that all of
 * LMDB's writes are in it. */
bool checkpoint_is_current_boot(const struct checkpoint *checkpoint, int dir_fd);

/* Has the next start take data.mdb for one that lost all that came after the checkpoint. */
int checkpoint_distrust(int dir_fd, struct err *err);

/* Writes the meta pages back into data.mdb and syncs it. */
int checkpoint_restore(const struct checkpoint *checkpoint, int dir_fd, struct err *err);

#endif
