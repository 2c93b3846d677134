/* See score.h. */
#include "peer/score.h"

double score_now(const struct score *score, int64_t now_us)
{
    double passed_s = (double)(now_us - score->at_us) / 1e6;
    double points = score->points - (passed_s > 0 ? passed_s * SCORE_DECAY_PER_S : 0);
    return points > 0 ? points : 0;
}

bool score_fault(struct score *score, double points, int64_t now_us)
{
    score->points = score_now(score, now_us) + points;
    score->at_us = now_us;
    score->faults++;
    if (score->points < SCORE_LIMIT)
        return false;
    score_refuse(score, now_us);
    return true;
}

void score_refuse(struct score *score, int64_t now_us)
{
    score->refused_until_us = now_us + SCORE_REFUSE_US;
    score->points = 0; /* after the pause it begins anew */
}

bool score_refused(const struct score *score, int64_t now_us)
{
    return score->refused_until_us > now_us;
}

int64_t backoff_next(struct backoff *backoff, int64_t now_us, uint32_t random)
{
    if (!backoff->failures)
        backoff->since_us = now_us;
    backoff->failures++;
    int64_t cap = now_us - backoff->since_us < BACKOFF_EARLY_US ? BACKOFF_CAP_EARLY_US : BACKOFF_CAP_LATE_US;
    int64_t pause = BACKOFF_FIRST_US;
    for (uint32_t i = 1; i < backoff->failures && pause < cap; i++)
        pause *= 2;
    if (pause > cap)
        pause = cap;
    return pause / 2 + (int64_t)((uint64_t)(pause / 2) * random / UINT32_MAX);
}

void backoff_reset(struct backoff *backoff)
{
    *backoff = (struct backoff){0};
}

bool bucket_take(struct bucket *bucket, double per_s, double burst, int64_t now_us)
{
    if (!bucket->at_us)
        bucket->tokens = burst;
    else if (now_us > bucket->at_us)
        bucket->tokens += (double)(now_us - bucket->at_us) / 1e6 * per_s;
    if (bucket->tokens > burst)
        bucket->tokens = burst;
    bucket->at_us = now_us;
    if (bucket->tokens < 1)
        return false;
    bucket->tokens -= 1;
    return true;
}
