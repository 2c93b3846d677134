/* See estimate.h. */
#include "peer/estimate.h"

/* A longer round trip than this says nothing, and comes only from nonsense in a stamp. */
#define ROUND_TRIP_MAX_US 60000000u

/* Zero means "none", so the count of microseconds leaves it out. */
static uint32_t short_mono(int64_t mono_us)
{
    uint32_t mono = (uint32_t)mono_us;
    return mono ? mono : 1;
}

struct control_stamp estimate_stamp(const struct estimate *estimate, int64_t wall_us, int64_t mono_us)
{
    uint32_t now = short_mono(mono_us);
    return (struct control_stamp){
        .wall_us = wall_us,
        .mono = now,
        .echo = estimate->echo,
        .hold = estimate->echo ? now - estimate->echo_at : 0,
    };
}

void estimate_add(struct estimate *estimate, const struct control_stamp *stamp, int64_t wall_us,
                  int64_t mono_us)
{
    uint32_t now = short_mono(mono_us);
    estimate->echo = stamp->mono;
    estimate->echo_at = now;
    if (!stamp->echo)
        return;
    uint32_t round_trip = now - stamp->echo - stamp->hold;
    if (round_trip > ROUND_TRIP_MAX_US)
        return;
    unsigned at = estimate->count++ % ESTIMATE_SAMPLES;
    estimate->round_trip_us[at] = round_trip;
    estimate->offset_us[at] = stamp->wall_us + round_trip / 2 - wall_us;
}

bool estimate_get(const struct estimate *estimate, int64_t *offset_us, int64_t *round_trip_us)
{
    unsigned have = estimate->count < ESTIMATE_SAMPLES ? estimate->count : ESTIMATE_SAMPLES;
    if (!have)
        return false;
    unsigned best = 0;
    for (unsigned i = 1; i < have; i++)
        if (estimate->round_trip_us[i] < estimate->round_trip_us[best])
            best = i;
    *offset_us = estimate->offset_us[best];
    *round_trip_us = estimate->round_trip_us[best];
    return true;
}
