/*
 * The peer manager: connections to the other nodes of the cluster, and who is there.
 *
 * Peers speak WebSocket over mutually authenticated TLS 1.3 on one port (6444). Both sides show a certificate
 * of the cluster's CA; then each proves that it holds its node key (Ed25519) by signing the other's nonce
 * together with what names the TLS session, and names its chain. A peer of another cluster, of another
 * chain, with a key that `allowed` does not know (unknown or removed), or with a clock that is too far off is
 * told why and closed. Two nodes keep one connection: of two that are being made, the one that the lower key
 * opened stays, and the node with the lower key decides, so both come to the same. docs/peers.md has the
 * protocol.
 *
 * Frames: u8 channel | varint length | payload. Channels are 0 (the peer manager's own: hello, heartbeat,
 * addresses) and the users' from 1 on. Frames keep their order within a channel; a lower channel goes first.
 * A frame over PEER_FRAME_MAX closes the connection. Heartbeats go out when nothing else did; a peer that was
 * silent for a while is down. Heartbeats carry the sender's time: the offset of clocks is estimated from the
 * fastest round trip, reported, and never adjusted to.
 *
 * Addresses come from the options, from what the chain says of validators (peers_learn), and from peers.
 * HOST:PORT is looked up again at every attempt, all A and AAAA records. Attempts back off up to 1 s, and up
 * to 5 s when an address has not answered for five minutes.
 *
 * One thread of its own runs libwebsockets' loop; callbacks come on it and must not block for long.
 * Everything else may be called from any thread.
 */
#ifndef KATENA_PEER_PEER_H
#define KATENA_PEER_PEER_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PEER_KEY_SIZE 32
#define PEER_NAME_MAX 254
#define PEER_ADDRESS_MAX 272
#define PEER_FRAME_MAX (33u << 20)
#define PEER_PORT 6444

enum peer_channel { PEER_CHANNEL_CONTROL = 0, PEER_CHANNEL_CONSENSUS = 1, PEER_CHANNEL_SYNC = 2 };

struct peers;

/* up and down of a key alternate; a connection that takes another's place is told as down, then up. */
struct peers_callbacks {
    void *arg;
    /* Whether a node may be a peer; *reason (a constant) is told to one that may not. */
    bool (*allowed)(void *arg, const uint8_t key[PEER_KEY_SIZE], const char **reason);
    void (*up)(void *arg, const uint8_t key[PEER_KEY_SIZE]);
    void (*down)(void *arg, const uint8_t key[PEER_KEY_SIZE]);
    void (*frame)(void *arg, const uint8_t key[PEER_KEY_SIZE], enum peer_channel channel, const void *bytes,
                  size_t len);
};

struct peers_options {
    const char *bind_address;
    int port;
    const char *ca_file, *cert_file, *key_file; /* PEM: of the cluster's CA; serves and connects */
    uint8_t chain_id[32];
    uint8_t secret_key[64];       /* of the node */
    const char *name;             /* of the node */
    const char *const *advertise; /* own HOST:PORT addresses, NULL-terminated */
    const char *const *seeds;     /* HOST:PORT addresses to try, NULL-terminated */
    int64_t heartbeat_us;         /* 0: 1 s; silence of three means down */
    int64_t clock_tolerance_us;   /* 0: 500 ms; beyond it is reported, beyond twenty times refused */
    struct peers_callbacks callbacks;
};

/* *out is set before the first callback comes, which may be before this returns. */
int peers_start(struct peers **out, const struct peers_options *options, struct err *err);
void peers_stop(struct peers *peers);      /* takes NULL; no callback runs afterwards */
int peers_port(const struct peers *peers); /* the one in use, also when options.port was 0 */

/* Queues a frame (copied) for one peer, or for all with key NULL (true when any of them took it). False: not
 * connected, or its queue is full (64 MiB), in which case the connection is closed, for a peer that is told
 * half of it is worse than one that asks again. */
bool peers_send(struct peers *peers, const uint8_t *key, enum peer_channel channel, const void *bytes,
                size_t len);

/* Begins to write what was queued in a callback now, and not after it: for a callback that takes its time.
 * Elsewhere it does nothing. */
void peers_flush(struct peers *peers);

/* Addresses of a node, as the chain has them. A key that is no longer allowed is disconnected by
 * peers_recheck. */
void peers_learn(struct peers *peers, const uint8_t key[PEER_KEY_SIZE], const char *name,
                 const char *const *addresses, size_t count);
void peers_recheck(struct peers *peers);

/* A peer broke the rules: its score rises; with proof, or often, it is closed and refused for a while. */
void peers_blame(struct peers *peers, const uint8_t key[PEER_KEY_SIZE], bool proof, const char *reason);

struct peer_info {
    uint8_t key[PEER_KEY_SIZE];
    char name[PEER_NAME_MAX];
    char address[PEER_ADDRESS_MAX];
    bool connected;
    int64_t since_us;        /* wall clock: of the connection, or of its end */
    int64_t clock_offset_us; /* of its clock against ours */
    int64_t round_trip_us;
    uint64_t bytes_in, bytes_out, frames_in, frames_out;
    uint32_t faults;          /* rules broken */
    int64_t refused_until_us; /* 0: not refused */
    char last_error[160];     /* why it is not connected, or what it did last */
};

/* Fills at most max, returns how many there are. Seeds where nobody has answered yet have a key of zeros. */
size_t peers_list(struct peers *peers, struct peer_info *out, size_t max);

/* Prometheus text, with names katena_peer_*. */
void peers_metrics(struct peers *peers, struct buf *out);

#endif
