/*
 * What heartbeats say of the other side's clock (pure): of the latest round trips the fastest was delayed
 * least, so its two ways were most alike, and its offset is the best. It is off by at most half that round
 * trip.
 */
#ifndef KATENA_PEER_ESTIMATE_H
#define KATENA_PEER_ESTIMATE_H

#include "peer/control.h"

#include <stdbool.h>
#include <stdint.h>

#define ESTIMATE_SAMPLES 8

struct estimate {
    int64_t offset_us[ESTIMATE_SAMPLES];
    int64_t round_trip_us[ESTIMATE_SAMPLES];
    unsigned count; /* of all samples that there were */

    /* What the next stamp has to echo. */
    uint32_t echo;
    uint32_t echo_at;
};

/* A stamp to send now. */
struct control_stamp estimate_stamp(const struct estimate *estimate, int64_t wall_us, int64_t mono_us);

/* A stamp came. */
void estimate_add(struct estimate *estimate, const struct control_stamp *stamp, int64_t wall_us,
                  int64_t mono_us);

/* The other clock's time minus ours; false before the first round trip. */
bool estimate_get(const struct estimate *estimate, int64_t *offset_us, int64_t *round_trip_us);

#endif
