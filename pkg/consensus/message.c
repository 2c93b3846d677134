/*
 * See message.h. Each type has a function that writes its fields and one that reads them; a message is read
 * whole, and anything that is left over, out of bounds or not the one encoding of its values is refused.
 */
#include "consensus/message.h"

#include "base/mem.h"
#include "chain/wire.h"

#include <assert.h>
#include <string.h>

/* What a proof holds. */
enum { PROOF_OF_VOTES = 1, PROOF_OF_BLOCKS = 2 };

/* ---- writing ---- */

static void put_place(struct buf *out, const struct message *m)
{
    wire_put_u64(out, m->height);
    buf_append(out, m->hash, HASH_SIZE);
}

static void put_checkpoint(struct buf *out, const struct checkpoint *checkpoint)
{
    wire_put_u64(out, checkpoint->round);
    buf_append(out, checkpoint->block, HASH_SIZE);
}

static void put_votes(struct buf *out, const struct message *m)
{
    for (size_t i = 0; i < m->vote_count; i++) {
        uint8_t bytes[VOTE_SIZE];
        vote_encode(bytes, &m->votes[i]);
        buf_append(out, bytes, VOTE_SIZE);
    }
}

static void put_proof(struct buf *out, const struct message *m)
{
    wire_put_u8(out, m->votes ? PROOF_OF_VOTES : PROOF_OF_BLOCKS);
    if (m->votes) {
        uint8_t bytes[VOTE_PROOF_SIZE];
        vote_proof_encode(bytes, &m->votes[0], &m->votes[1]);
        buf_append(out, bytes, VOTE_PROOF_SIZE);
        return;
    }
    for (int i = 0; i < 2; i++) {
        uint8_t bytes[BLOCK_HEADER_SIZE];
        block_header_encode(bytes, &m->headers[i]);
        buf_append(out, bytes, BLOCK_HEADER_SIZE);
    }
}

static void put_hashes(struct buf *out, const struct message *m)
{
    wire_put_u16(out, (uint16_t)m->hash_count);
    buf_append(out, m->hashes, m->hash_count * HASH_SIZE);
}

static void put_status(struct buf *out, const struct message *m)
{
    put_place(out, m);
    put_checkpoint(out, &m->finalized);
    put_checkpoint(out, &m->justified);
    wire_put_u64(out, m->finalized_height);
}

static void put_reject(struct buf *out, const struct message *m)
{
    put_place(out, m);
    buf_append(out, m->tx_id, TX_ID_SIZE);
    wire_put_u32(out, (uint32_t)-m->code);
    wire_put_string(out, m->text);
}

static void put_txs(struct buf *out, const struct message *m)
{
    wire_put_u16(out, (uint16_t)m->tx_count);
    for (size_t i = 0; i < m->tx_count; i++) {
        wire_put_u32(out, (uint32_t)m->txs[i]->encoded_len);
        buf_append(out, m->txs[i]->encoded, m->txs[i]->encoded_len);
    }
}

void message_encode(struct buf *out, const struct message *m)
{
    wire_put_u8(out, (uint8_t)m->type);
    switch (m->type) {
    case MESSAGE_STATUS:
        put_status(out, m);
        break;
    case MESSAGE_TXS:
        put_txs(out, m);
        break;
    case MESSAGE_REJECT:
        put_reject(out, m);
        break;
    case MESSAGE_BLOCK:
        buf_append(out, m->block->encoded, m->block->encoded_len);
        break;
    case MESSAGE_HAVE:
    case MESSAGE_LACK:
    case MESSAGE_END:
        put_place(out, m);
        break;
    case MESSAGE_VOTES:
        wire_put_u16(out, (uint16_t)m->vote_count);
        put_votes(out, m);
        break;
    case MESSAGE_PROOF:
        put_proof(out, m);
        break;
    case MESSAGE_GET_CHAIN:
    case MESSAGE_GET_BLOCKS:
    case MESSAGE_AGAIN:
        put_hashes(out, m);
        break;
    case MESSAGE_TAKE:
        wire_put_u64(out, m->slot);
        break;
    case MESSAGE_HANDOVER:
        wire_put_u64(out, m->slot);
        put_place(out, m);
        break;
    }
}

/* ---- reading: false when it is malformed; err says more where there is more to say ---- */

static void get_place(struct wire_reader *in, struct message *m)
{
    m->height = wire_get_u64(in);
    wire_get_copy(in, m->hash, HASH_SIZE);
}

static void get_checkpoint(struct wire_reader *in, struct checkpoint *checkpoint)
{
    checkpoint->round = wire_get_u64(in);
    wire_get_copy(in, checkpoint->block, HASH_SIZE);
}

static bool get_txs(struct wire_reader *in, struct message *m, struct err *err)
{
    size_t count = wire_get_u16(in);
    if (in->bad || count == 0 || count > MESSAGE_TXS_MAX)
        return false;
    m->txs = mem_calloc(count, sizeof(struct tx *));
    for (; m->tx_count < count; m->tx_count++) {
        size_t len = wire_get_u32(in);
        const uint8_t *bytes = wire_get_raw(in, len);
        if (!bytes || tx_decode(&m->txs[m->tx_count], bytes, len, err) != 0)
            return false;
    }
    return true;
}

static bool get_rest_block(struct wire_reader *in, struct message *m, struct err *err)
{
    size_t len = wire_left(in);
    const uint8_t *bytes = wire_get_raw(in, len);
    return bytes && block_decode(&m->block, bytes, len, err) == 0 && m->block->header.height > 0;
}

static bool get_votes(struct wire_reader *in, struct message *m, size_t count, struct err *err)
{
    if (in->bad || wire_left(in) != count * VOTE_SIZE)
        return false;
    m->votes = mem_calloc(count + 1, sizeof(*m->votes));
    m->vote_count = count;
    for (size_t i = 0; i < count; i++)
        if (vote_decode(&m->votes[i], wire_get_raw(in, VOTE_SIZE), VOTE_SIZE, err) != 0)
            return false;
    return true;
}

static bool get_vote_list(struct wire_reader *in, struct message *m, struct err *err)
{
    size_t count = wire_get_u16(in);
    if (count == 0 || count > MESSAGE_VOTES_MAX || !get_votes(in, m, count, err))
        return false;
    for (size_t i = 0; i < count; i++)
        if (m->votes[i].kind == VOTE_PROPOSAL)
            return false;
    return true;
}

static bool get_headers(struct wire_reader *in, struct message *m, struct err *err)
{
    for (int i = 0; i < 2; i++) {
        const uint8_t *bytes = wire_get_raw(in, BLOCK_HEADER_SIZE);
        if (!bytes || block_header_decode(&m->headers[i], bytes, BLOCK_HEADER_SIZE, err) != 0)
            return false;
    }
    return block_headers_conflict(&m->headers[0], &m->headers[1]) &&
           memcmp(m->headers[0].hash, m->headers[1].hash, HASH_SIZE) < 0;
}

static bool get_proof(struct wire_reader *in, struct message *m, struct err *err)
{
    uint8_t variant = wire_get_u8(in);
    if (variant == PROOF_OF_BLOCKS)
        return get_headers(in, m, err);
    if (variant != PROOF_OF_VOTES)
        return false;
    const uint8_t *bytes = in->next;
    return get_votes(in, m, 2, err) && memcmp(bytes, bytes + VOTE_SIZE, VOTE_SIZE) < 0 &&
           vote_conflict(&m->votes[0], &m->votes[1]) != VOTE_CONFLICT_NONE;
}

static bool get_hashes(struct wire_reader *in, struct message *m, size_t max)
{
    size_t count = wire_get_u16(in);
    if (count == 0 || count > max || wire_left(in) != count * HASH_SIZE)
        return false;
    m->hashes = mem_dup(wire_get_raw(in, count * HASH_SIZE), count * HASH_SIZE);
    m->hash_count = count;
    return true;
}

static void get_status(struct wire_reader *in, struct message *m)
{
    get_place(in, m);
    get_checkpoint(in, &m->finalized);
    get_checkpoint(in, &m->justified);
    m->finalized_height = wire_get_u64(in);
}

static bool get_reject(struct wire_reader *in, struct message *m)
{
    get_place(in, m);
    wire_get_copy(in, m->tx_id, TX_ID_SIZE);
    uint32_t code = wire_get_u32(in);
    m->text = mem_strdup(wire_get_string(in, MESSAGE_TEXT_MAX));
    if (code == 0 || code > 255)
        return false;
    m->code = -(int)code;
    return true;
}

static bool get_fields(struct wire_reader *in, struct message *m, struct err *err)
{
    switch (m->type) {
    case MESSAGE_STATUS:
        get_status(in, m);
        return true;
    case MESSAGE_TXS:
        return get_txs(in, m, err);
    case MESSAGE_REJECT:
        return get_reject(in, m);
    case MESSAGE_BLOCK:
        return get_rest_block(in, m, err);
    case MESSAGE_HAVE:
    case MESSAGE_LACK:
    case MESSAGE_END:
        get_place(in, m);
        return true;
    case MESSAGE_VOTES:
        return get_vote_list(in, m, err);
    case MESSAGE_PROOF:
        return get_proof(in, m, err);
    case MESSAGE_GET_CHAIN:
        return get_hashes(in, m, MESSAGE_LOCATOR_MAX);
    case MESSAGE_GET_BLOCKS:
    case MESSAGE_AGAIN:
        return get_hashes(in, m, MESSAGE_HASHES_MAX);
    case MESSAGE_TAKE:
        m->slot = wire_get_u64(in);
        return true;
    case MESSAGE_HANDOVER:
        m->slot = wire_get_u64(in);
        get_place(in, m);
        return true;
    }
    return false;
}

int message_decode(struct message *out, const void *bytes, size_t len, struct err *err)
{
    memset(out, 0, sizeof(*out));
    struct wire_reader in = wire_reader(bytes, len);
    struct err detail = {0};
    out->type = wire_get_u8(&in);
    if (!in.bad && get_fields(&in, out, &detail) && wire_done(&in))
        return 0;
    unsigned type = out->type;
    message_free(out);
    if (*detail.message)
        return err_set(err, ERR_INVALID, "message of type %u: %s", type, detail.message);
    return err_set(err, ERR_INVALID, "a malformed message of type %u", type);
}

/* ---- signatures ---- */

static int verify_tx(struct tx *tx, struct tx_batches *seen, struct err *err)
{
    int rc = tx_verify_signatures(tx, seen, err);
    if (rc == 0)
        tx->trusted = true;
    return rc;
}

static int verify_txs(struct tx **txs, size_t count, struct tx_batches *batches, struct err *err)
{
    int rc = 0;
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = verify_tx(txs[i], batches, err);
    return rc;
}

static int verify_block(struct block *block, struct tx_batches *batches, struct err *err)
{
    int rc = block_verify_signature(&block->header, err);
    if (rc == 0)
        rc = verify_txs(block->txs, block->header.tx_count, batches, err);
    block->trusted = rc == 0;
    return rc;
}

static int verify_votes(const struct message *m, struct err *err)
{
    for (size_t i = 0; i < m->vote_count; i++)
        if (!vote_verify(&m->votes[i]))
            return err_set(err, ERR_FORBIDDEN, "the signature of a vote is wrong");
    return 0;
}

static int verify_headers(const struct message *m, struct err *err)
{
    int rc = block_verify_signature(&m->headers[0], err);
    return rc ? rc : block_verify_signature(&m->headers[1], err);
}

int message_verify(struct message *message, struct tx_batches *batches, struct err *err)
{
    struct tx_batches own = {0};
    int rc = 0;
    if (!batches)
        batches = &own;
    if (message->txs)
        rc = verify_txs(message->txs, message->tx_count, batches, err);
    else if (message->block)
        rc = verify_block(message->block, batches, err);
    else if (message->votes)
        rc = verify_votes(message, err);
    else if (message->type == MESSAGE_PROOF)
        rc = verify_headers(message, err);
    message->verified = rc == 0;
    return rc;
}

void message_free(struct message *message)
{
    for (size_t i = 0; i < message->tx_count; i++)
        tx_free(message->txs[i]);
    free(message->txs);
    block_free(message->block);
    free(message->text);
    free(message->votes);
    free(message->hashes);
    memset(message, 0, sizeof(*message));
}
