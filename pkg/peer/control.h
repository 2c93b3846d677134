/*
 * What peer managers say to each other on channel 0 (docs/peers.md). One canonical encoding: a u8 type, then
 * the fields of that type, integers little-endian, texts with a NUL behind them. Pure.
 *
 * Both sides say HELLO when the connection stands; each answers the other's with AUTH. The side with the
 * higher key says READY when it accepts the other; then the one with the lower key, which decides between
 * several connections. Any side may say REFUSE instead, and close.
 */
#ifndef KATENA_PEER_CONTROL_H
#define KATENA_PEER_CONTROL_H

#include "base/buf.h"
#include "base/err.h"
#include "peer/peer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONTROL_VERSION 1
#define CONTROL_NONCE_SIZE 32
#define CONTROL_SIGNATURE_SIZE 64
#define CONTROL_ADDRESSES_MAX 8 /* of one node */
#define CONTROL_NODES_MAX 24    /* in one ADDRESSES: below FRAME_CONTROL_MAX whatever is in it */
#define CONTROL_REASON_MAX 160  /* with its NUL */

enum control_type {
    CONTROL_HELLO = 1,
    CONTROL_AUTH = 2,
    CONTROL_READY = 3,
    CONTROL_REFUSE = 4,
    CONTROL_HEARTBEAT = 5,
    CONTROL_ANSWER = 6, /* to a heartbeat, at once */
    CONTROL_ADDRESSES = 7,
};

enum control_refusal {
    REFUSAL_VERSION = 1,   /* another version of the protocol */
    REFUSAL_CHAIN = 2,     /* another chain */
    REFUSAL_SELF = 3,      /* your key is mine */
    REFUSAL_PROOF = 4,     /* the signature does not hold */
    REFUSAL_FORBIDDEN = 5, /* not a node of the cluster, or not any more */
    REFUSAL_CLOCK = 6,     /* clocks differ too much */
    REFUSAL_DUPLICATE = 7, /* there is another connection between us */
    REFUSAL_BLAMED = 8,    /* rules were broken */
    REFUSAL_LIMIT = 9,     /* too many connections */
};
#define REFUSAL_COUNT 10

/* Times for the estimate of clocks: mono counts the sender's microseconds modulo 2^32. */
struct control_stamp {
    int64_t wall_us;
    uint32_t mono;
    uint32_t echo; /* mono of the last stamp that came from the other side; 0: none came */
    uint32_t hold; /* how long ago that was */
};

struct control_node {
    uint8_t key[PEER_KEY_SIZE];
    char name[PEER_NAME_MAX];
    char addresses[CONTROL_ADDRESSES_MAX][PEER_ADDRESS_MAX];
    size_t address_count;
};

/* Only the fields of its type are set. */
struct control {
    enum control_type type;
    struct control_stamp stamp; /* HELLO, AUTH, READY, HEARTBEAT, ANSWER */

    /* HELLO */
    uint16_t version; /* of another version nothing further is read */
    uint8_t chain_id[32];
    uint8_t nonce[CONTROL_NONCE_SIZE];
    uint64_t instance;        /* drawn when the process started */
    struct control_node self; /* who speaks, and where it can be reached */

    /* AUTH */
    uint8_t signature[CONTROL_SIGNATURE_SIZE];
    bool live; /* another connection between us works */

    /* REFUSE */
    enum control_refusal refusal;
    char reason[CONTROL_REASON_MAX];

    /* ADDRESSES: owned */
    struct control_node *nodes;
    size_t node_count;
};

void control_encode(struct buf *out, const struct control *control);

/* ERR_INVALID says what is wrong; then there is nothing to free. */
int control_decode(struct control *out, const void *bytes, size_t len, struct err *err);
void control_free(struct control *control);

#endif
