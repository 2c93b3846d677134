/* A node that was away for longer than its peers keep blocks: they have none that it could go on from. */
#include "ledger/ledger_internal.h"

#include "base/clock.h"
#include "base/log.h"

/* Others may come who keep blocks for longer. */
#define LACK_US (4 * 1000 * 1000)

void ledger_note_lack(struct ledger *ledger, const struct message *message)
{
    struct err err;
    uint64_t height;
    const struct block_header *head = consensus_head(ledger->core);
    if (message->type != MESSAGE_LACK || atomic_load(&ledger->needs_snapshot))
        return;
    /* Only an answer to what follows on our chain, by a peer for which that is history. */
    uint64_t final_height = consensus_final_height(ledger->core);
    if (message->height <= final_height ||
        blockstore_height_of_hash(ledger->store, message->hash, &height, &err) != 0)
        return;
    int64_t now = clock_mono_us();
    bool first = !ledger->lacked_us || head->height != ledger->lacked_height;
    if (first) {
        ledger->lacked_us = now;
        ledger->lacked_height = head->height;
        ledger->shared_height = 0;
    }
    /* The lowest of what they say. Who came with a snapshot may know nothing of our blocks. */
    if (height > final_height && (!ledger->shared_height || height < ledger->shared_height))
        ledger->shared_height = height;
    if (first)
        return;
    if (now - ledger->lacked_us < LACK_US)
        return;
    log_warn("ledger", "the blocks after %llu are no longer kept by others: this node needs a snapshot",
             (unsigned long long)head->height);
    atomic_store(&ledger->needs_snapshot, true);
    /* First: who is answered may be about to end, and with it those who listen. */
    ledger_emit(ledger, LEDGER_EVENT_NEEDS_SNAPSHOT);
    ledger_answer_outdated(ledger);
}

void ledger_leave_behind(struct ledger *ledger)
{
    struct err err;
    uint64_t height = atomic_load(&ledger->final_height);
    if (height < ledger->shared_height)
        height = ledger->shared_height;
    if (!atomic_load(&ledger->needs_snapshot) || consensus_head(ledger->core)->height <= height)
        return;
    blockstore_on_undone(ledger->store, NULL, NULL);
    if (blockstore_rewind(ledger->store, height, &err) < 0)
        log_error("ledger", "changes that only this node has may be lost with its old chain: %s",
                  err.message);
}
