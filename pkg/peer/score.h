/*
 * The small rules of patience, all pure: the score of a peer that breaks rules, the pause between attempts to
 * reach an address, and a bucket that limits how often something may happen. Times are microseconds.
 */
#ifndef KATENA_PEER_SCORE_H
#define KATENA_PEER_SCORE_H

#include <stdbool.h>
#include <stdint.h>

/* ---- score ---- */

#define SCORE_LIMIT 100.0           /* from here on a peer is refused */
#define SCORE_FAULT 20.0            /* of a broken rule that could be an accident */
#define SCORE_GROSS_FAULT 50.0      /* of one that could not */
#define SCORE_DECAY_PER_S (1.0 / 6) /* ten a minute */
#define SCORE_REFUSE_US (600 * 1000000LL)

struct score {
    double points; /* at at_us */
    int64_t at_us;
    int64_t refused_until_us; /* 0: not refused */
    uint32_t faults;
};

/* Counts a fault; true when the peer is to be refused from now on. */
bool score_fault(struct score *score, double points, int64_t now_us);
void score_refuse(struct score *score, int64_t now_us);
double score_now(const struct score *score, int64_t now_us);
bool score_refused(const struct score *score, int64_t now_us);

/* ---- back-off ---- */

#define BACKOFF_FIRST_US 100000
#define BACKOFF_CAP_EARLY_US \
    1000000 /* in the first minutes, so that a healed network is found within a second */
#define BACKOFF_CAP_LATE_US 5000000
#define BACKOFF_EARLY_US (300 * 1000000LL)

struct backoff {
    int64_t since_us; /* of the first failure in a row; 0: none */
    uint32_t failures;
};

/* After a failure: how long to wait. The pause doubles from 100 ms up to 1 s, after five minutes up to 5 s;
 * random, any number, makes it between half and all of that. */
int64_t backoff_next(struct backoff *backoff, int64_t now_us, uint32_t random);
void backoff_reset(struct backoff *backoff);

/* ---- bucket ---- */

struct bucket {
    double tokens;
    int64_t at_us; /* 0: full */
};

/* Takes a token; false: there is none. The bucket holds burst tokens and gains per_s a second. */
bool bucket_take(struct bucket *bucket, double per_s, double burst, int64_t now_us);

#endif
