/*
 * What of the votes has to survive a restart: the lock, the checkpoints, and the votes that lead from the one
 * to the other. Were these forgotten by all who had seen them, nobody could show the others what a voter is
 * locked to. A local format:
 *
 *   u8 version | u8 flags (1: the checkpoints are known to others)
 *   lock: u64 source round | u64 target round | u64 up to which round attestations may have been said
 *   finalized, justified: u64 round | hash
 *   u16 number of validators at the finalized block: key | u8 phase | name NUL
 *   u8 number of proofs | each u16 length and a MESSAGE_PROOF: what is justified may rest on them
 *   u16 number of votes | votes
 */
#include "consensus/consensus_internal.h"

#include "base/mem.h"
#include "chain/wire.h"

#include <string.h>

#define RECORD_VERSION 2
#define RECORD_PROOFS_MAX 64
#define RECORD_VOTES_MAX 1024
#define DERIVE_MAX 100000 /* blocks that are read where there is no record */

static void put_checkpoint(struct buf *out, const struct checkpoint *checkpoint)
{
    wire_put_u64(out, checkpoint->round);
    buf_append(out, checkpoint->block, HASH_SIZE);
}

static void get_checkpoint(struct wire_reader *in, struct checkpoint *checkpoint)
{
    checkpoint->round = wire_get_u64(in);
    wire_get_copy(in, checkpoint->block, HASH_SIZE);
}

static void put_members(struct consensus *c, struct buf *out)
{
    const struct member_set *set = c->sets[fork_node_block(fork_choice_root(c->tree))->tag];
    wire_put_u16(out, (uint16_t)set->count);
    for (size_t i = 0; i < set->count; i++) {
        buf_append(out, c->nodes[set->members[i].place].key, TX_KEY_SIZE);
        wire_put_u8(out, (uint8_t)set->members[i].phase);
        wire_put_string(out, set->members[i].name);
    }
}

static void put_proofs(const struct consensus *c, struct buf *out)
{
    buf_auto struct buf proofs = BUF_INIT;
    uint8_t count = 0;
    for (uint32_t i = 0; i < c->node_count && count < RECORD_PROOFS_MAX; i++) {
        if (c->nodes[i].proof.len == 0)
            continue;
        wire_put_u16(&proofs, (uint16_t)c->nodes[i].proof.len);
        buf_append(&proofs, c->nodes[i].proof.data, c->nodes[i].proof.len);
        count++;
    }
    wire_put_u8(out, count);
    buf_append(out, proofs.data, proofs.len);
}

static void put_votes(const struct consensus *c, struct buf *out)
{
    uint64_t justified = finality_justified(c->finality)->round;
    buf_auto struct buf votes = BUF_INIT;
    size_t count = 0;
    for (size_t i = 0; i < c->vote_count && count < RECORD_VOTES_MAX; i++) {
        if (c->votes[i].round > justified)
            continue;
        uint8_t bytes[VOTE_SIZE];
        vote_encode(bytes, &c->votes[i]);
        buf_append(&votes, bytes, VOTE_SIZE);
        count++;
    }
    wire_put_u16(out, (uint16_t)count);
    buf_append(out, votes.data, votes.len);
}

/* The root of the tree stands for the finalized checkpoint, whose block may still lie ahead of a switch. */
void record_encode(struct consensus *c, struct buf *out)
{
    tree_ensure(c);
    const struct finality_lock *lock = c->voter.waiting ? &c->voter.wanted : &c->voter.lock;
    struct checkpoint finalized = *finality_finalized(c->finality);
    const struct fork_block *root = fork_node_block(fork_choice_root(c->tree));
    if (memcmp(finalized.block, root->hash, HASH_SIZE) != 0) {
        finalized.round = round_at(c, root->time_us);
        memcpy(finalized.block, root->hash, HASH_SIZE);
    }
    c->record_in_flight_votes = c->voter.waiting;
    wire_put_u8(out, RECORD_VERSION);
    wire_put_u8(out, c->may_vote);
    wire_put_u64(out, lock->source_round);
    wire_put_u64(out, lock->target_round);
    c->record_reserves = c->round + ROUNDS_RESERVED;
    wire_put_u64(out, c->record_reserves);
    put_checkpoint(out, &finalized);
    put_checkpoint(out, finality_justified(c->finality));
    put_members(c, out);
    put_proofs(c, out);
    put_votes(c, out);
}

struct record {
    bool may_vote;
    struct finality_lock lock;
    uint64_t attested;
    struct checkpoint finalized, justified;
    struct member members[REGISTRY_MAX];
    size_t member_count;
};

static bool get_members(struct consensus *c, struct wire_reader *in, struct record *r)
{
    r->member_count = wire_get_u16(in);
    if (in->bad || r->member_count == 0 || r->member_count > REGISTRY_MAX)
        return false;
    for (size_t i = 0; i < r->member_count; i++) {
        uint8_t key[TX_KEY_SIZE];
        wire_get_copy(in, key, TX_KEY_SIZE);
        r->members[i].phase = wire_get_u8(in);
        const char *name = wire_get_string(in, REGISTRY_NAME_MAX - 1);
        memcpy(r->members[i].name, name, strlen(name) + 1);
        r->members[i].place = node_ensure(c, key);
        if (in->bad || r->members[i].phase > REGISTRY_LEAVING || r->members[i].place == NO_NODE)
            return false;
    }
    return true;
}

static bool get_proofs(struct consensus *c, struct wire_reader *in)
{
    for (unsigned count = wire_get_u8(in); count > 0; count--) {
        size_t len = wire_get_u16(in);
        const uint8_t *bytes = wire_get_raw(in, len);
        struct message proof;
        if (!bytes || message_decode(&proof, bytes, len, NULL) != 0)
            return false;
        if (proof.type == MESSAGE_PROOF)
            proof_load(c, &proof);
        message_free(&proof);
    }
    return !in->bad;
}

static bool get_record(struct consensus *c, struct wire_reader *in, struct record *r)
{
    if (wire_get_u8(in) != RECORD_VERSION)
        return false;
    r->may_vote = wire_get_u8(in);
    r->lock.source_round = wire_get_u64(in);
    r->lock.target_round = wire_get_u64(in);
    r->attested = wire_get_u64(in);
    get_checkpoint(in, &r->finalized);
    get_checkpoint(in, &r->justified);
    return get_members(c, in, r) && get_proofs(c, in);
}

static struct fork_block fork_block_of(const struct block_header *header, uint32_t set)
{
    struct fork_block block = {.height = header->height, .time_us = header->time_us, .tag = set};
    memcpy(block.hash, header->hash, HASH_SIZE);
    memcpy(block.parent, header->parent, HASH_SIZE);
    return block;
}

/* The blocks from one on to the head, and who the validators are at each. What the whole set made was final
 * at once, so the root moves to it. */
static int tree_load(struct consensus *c, uint64_t height, uint32_t set, struct err *err)
{
    struct block_header header;
    int rc = c->chain_ops->header_at(c->store, height, &header, err);
    if (rc)
        return rc;
    struct fork_block block = fork_block_of(&header, set);
    c->tree = fork_choice_new(NODES_MAX, ATTESTATION_ROUNDS, &block);
    while (++height <= c->head.height) {
        struct block *body = NULL;
        rc = c->chain_ops->block_at(c->store, height, &body, err);
        if (rc)
            return rc;
        uint32_t sole = set_sole(c, block.tag);
        block = fork_block_of(&body->header, set_after(c, block.tag, body));
        fork_choice_add(c->tree, &block);
        if (sole != NO_NODE && memcmp(c->nodes[sole].key, body->header.producer, TX_KEY_SIZE) == 0)
            fork_choice_finalize(c->tree, fork_choice_find(c->tree, block.hash));
        block_free(body);
    }
    return 0;
}

static void finality_load(struct consensus *c, const struct checkpoint *finalized,
                          const struct checkpoint *justified)
{
    const struct fork_block *root = fork_node_block(fork_choice_root(c->tree));
    struct checkpoint first = {.round = round_at(c, root->time_us)};
    memcpy(first.block, root->hash, HASH_SIZE);
    bool recorded = finalized && memcmp(finalized->block, root->hash, HASH_SIZE) == 0;
    c->finality =
        finality_new(c->tree, NODES_MAX, 1, recorded ? finalized : &first, recorded ? justified : &first);
    finality_use_members(c->finality, c->chain.byzantine, votes_members_at, c);
    votes_of_liars(c);
    c->final_height = root->height;
    memcpy(c->final_hash, root->hash, HASH_SIZE);
    c->settle_due = true;
    c->head_stale = true;
}

/* The head stands for what is final; votes begin once a quorum has shown where the others are. */
static void record_forget(struct consensus *c)
{
    fork_choice_free(c->tree);
    c->tree = NULL;
    c->may_vote = false;
    tree_ensure(c);
}

/* Follows the chain from its genesis, if all of it is here, and not too long. */
void record_derive(struct consensus *c)
{
    struct member first = {.place = node_ensure(c, c->genesis.producer), .phase = REGISTRY_ACTING};
    struct err err;
    if (c->head.height == 0)
        tree_ensure(c);
    else if (c->head.height <= DERIVE_MAX && tree_load(c, 0, set_add(c, &first, 1), &err) == 0)
        finality_load(c, NULL, NULL);
    else
        record_forget(c);
}

static bool votes_load(struct consensus *c, struct wire_reader *in)
{
    size_t count = wire_get_u16(in);
    for (size_t i = 0; i < count && !in->bad; i++) {
        const uint8_t *bytes = wire_get_raw(in, VOTE_SIZE);
        struct vote vote;
        if (!bytes || vote_decode(&vote, bytes, VOTE_SIZE, NULL) != 0 || vote.kind != VOTE_CHECKPOINT)
            return false;
        uint32_t node = node_ensure(c, vote.validator);
        if (node != NO_NODE && vote_store(c, &vote))
            finality_vote(c->finality, node, &vote);
    }
    return wire_done(in);
}

int record_load(struct consensus *c, const void *bytes, size_t len, struct err *err)
{
    struct wire_reader in = wire_reader(bytes, len);
    mem_auto struct record *r = mem_zalloc(sizeof(*r));
    uint64_t height;
    if (!get_record(c, &in, r))
        return err_set(err, ERR_CORRUPT, "the record of votes cannot be read");
    voter_init(&c->voter, &r->lock);
    c->may_vote = r->may_vote;
    c->attest_from = r->attested + 1;
    if (c->alone)
        return 0;
    int rc = c->chain_ops->height_of(c->store, r->finalized.block, &height, err);
    if (rc && rc != ERR_NOT_FOUND)
        return err_wrap(err, "the last finalized block");
    /* Either may be absent: the block, when this store was fetched anew from a node that was not as far; what
     * follows it, when it was pruned, since this node acted alone for a long time. The lock holds in any
     * case. */
    if (rc || tree_load(c, height, set_add(c, r->members, r->member_count), err) != 0) {
        record_forget(c);
        return 0;
    }
    finality_load(c, &r->finalized, &r->justified);
    if (!votes_load(c, &in))
        return err_set(err, ERR_CORRUPT, "the votes in the record cannot be read");
    return 0;
}
