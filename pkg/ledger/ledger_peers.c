/* What peers bring. What costs, decoding and checking signatures, is done on the thread that brings it. */
#include "ledger/ledger_internal.h"

#include "base/mem.h"

#include <string.h>

#define QUEUED_BYTES_MAX (64u << 20) /* of messages */

void ledger_attach_peers(struct ledger *ledger, const struct ledger_peer_ops *ops)
{
    pthread_rwlock_wrlock(&ledger->ops_lock);
    if (ops)
        ledger->ops_copy = *ops;
    ledger->ops = ops ? &ledger->ops_copy : NULL;
    ledger->has_peers = ops != NULL;
    pthread_rwlock_unlock(&ledger->ops_lock);
}

static struct work *peer_work(enum work_type type, const uint8_t key[TX_KEY_SIZE])
{
    struct work *work = mem_zalloc(sizeof(*work));
    work->type = type;
    memcpy(work->peer, key, TX_KEY_SIZE);
    return work;
}

void ledger_peer_up(struct ledger *ledger, const uint8_t key[TX_KEY_SIZE])
{
    ledger_give(ledger, peer_work(WORK_PEER_UP, key));
}

void ledger_peer_down(struct ledger *ledger, const uint8_t key[TX_KEY_SIZE])
{
    ledger_give(ledger, peer_work(WORK_PEER_DOWN, key));
}

static void blame(struct ledger *ledger, const uint8_t *key, const char *reason)
{
    pthread_rwlock_rdlock(&ledger->ops_lock);
    if (ledger->ops && ledger->ops->blame)
        ledger->ops->blame(ledger->ops->arg, key, true, reason);
    pthread_rwlock_unlock(&ledger->ops_lock);
}

/* Peers send faster than the disk writes. What is dropped is as good as lost on the way. */
static bool has_too_much(struct ledger *ledger)
{
    pthread_mutex_lock(&ledger->lock);
    bool too_much = ledger->queued_bytes > QUEUED_BYTES_MAX;
    pthread_mutex_unlock(&ledger->lock);
    return too_much;
}

static bool batch_known(void *arg, const struct tx_batch *batch)
{
    return known_batches_has(arg, batch);
}

/* What this node has signed itself, or has checked before, needs no check when others put it into their
 * blocks. */
static int verify(struct ledger *ledger, struct message *message, struct err *err)
{
    struct tx_batches batches = {.known = batch_known, .arg = ledger->known_batches};
    int rc = message_verify(message, &batches, err);
    for (size_t i = 0; i < batches.count && i < TX_BATCHES_SEEN; i++)
        known_batches_note(ledger->known_batches, &batches.seen[i]);
    return rc;
}

void ledger_peer_message(struct ledger *ledger, const uint8_t key[TX_KEY_SIZE], const void *bytes, size_t len)
{
    struct err err = {0};
    if (has_too_much(ledger))
        return;
    struct message *message = mem_zalloc(sizeof(*message));
    if (message_decode(message, bytes, len, &err) < 0) {
        blame(ledger, key, err.message);
        free(message);
        return;
    }
    if (verify(ledger, message, &err) < 0) {
        blame(ledger, key, err.message);
        message_free(message);
        free(message);
        return;
    }
    struct work *work = peer_work(WORK_MESSAGE, key);
    work->message = message;
    work->bytes = len;
    ledger_give(ledger, work);
}
