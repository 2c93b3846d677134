/*
 * Getting a chain from other nodes: a snapshot of the state at a final block (blockstore.h, "snapshots"), for
 * a node that has nothing yet, or was away for longer than blocks are kept. Everything after that block comes
 * by the consensus manager's own messages.
 *
 * Frames of PEER_CHANNEL_SYNC, integers little-endian:
 *
 *   u8 1 GET_MANIFEST
 *   u8 2 MANIFEST   id 32 | the manifest; id is its BLAKE2b hash
 *   u8 3 GET_CHUNK  id 32 | u32 index
 *   u8 4 CHUNK      id 32 | u32 index | the chunk
 *   u8 5 LACK       id 32 (zeros: no manifest): the snapshot is no longer kept; ask for a manifest again
 *
 * The serving side is ledger_peer_sync. This is the asking side, which runs while there is no ledger: it asks
 * every peer for its manifest, takes the highest, and asks those that have this same one for chunks, a few at
 * a time, each in turn. A peer that is silent is passed over; when nobody has the snapshot any more it begins
 * again with a newer one. What is fetched stays on the disk, so that a restart goes on.
 *
 * Threads: any; the send function is called without a lock held, and must not call back.
 */
#ifndef KATENA_LEDGER_SYNC_H
#define KATENA_LEDGER_SYNC_H

#include "base/err.h"
#include "chain/tx.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ledger_sync;

struct ledger_sync_progress {
    uint64_t height; /* of the snapshot; 0: no manifest yet */
    size_t chunks, have;
    size_t peers; /* that can be asked */
};

struct ledger_sync_options {
    const char *data_dir; /* the chain comes to be in its folder "chain" */
    uint8_t chain_id[TX_ID_SIZE];
    void *arg;
    void (*send)(void *arg, const uint8_t key[TX_KEY_SIZE], const void *bytes, size_t len);
    void (*progress)(void *arg, const struct ledger_sync_progress *progress); /* may be NULL */
    int64_t patience_us; /* a peer that does not answer in this time is passed over; 0: 5 s */
};

int ledger_sync_start(struct ledger_sync **out, const struct ledger_sync_options *options, struct err *err);

void ledger_sync_peer_up(struct ledger_sync *sync, const uint8_t key[TX_KEY_SIZE]);
void ledger_sync_peer_down(struct ledger_sync *sync, const uint8_t key[TX_KEY_SIZE]);
void ledger_sync_frame(struct ledger_sync *sync, const uint8_t key[TX_KEY_SIZE], const void *bytes,
                       size_t len);

/* Waits until the chain can be opened with ledger_open. ERR_TIMEOUT: not yet; wait again. Other errors: it
 * will not work. */
int ledger_sync_wait(struct ledger_sync *sync, int64_t timeout_us, struct err *err);

/* Takes NULL. What was fetched stays for the next time. */
void ledger_sync_stop(struct ledger_sync *sync);

#endif
