/* Counters of the API server, in Prometheus' text format (GET /metrics). Any thread. */
#ifndef KATENA_API_METRICS_H
#define KATENA_API_METRICS_H

#include "base/buf.h"

#include <stdatomic.h>
#include <stdint.h>

#define METRICS_VERBS 9   /* enum api_verb, and one for all that is no resource */
#define METRICS_CLASSES 6 /* 1xx … 5xx by index; 0: no answer */
#define METRICS_BUCKETS 12

struct metrics {
    atomic_ullong requests[METRICS_VERBS][METRICS_CLASSES];
    atomic_ullong buckets[METRICS_VERBS][METRICS_BUCKETS + 1]; /* of durations; the last: above all bounds */
    atomic_ullong sum_us[METRICS_VERBS];
};

/* Counts an answered request; verb METRICS_VERBS - 1 for what is no resource. A watch has no duration: pass
 * -1. */
void metrics_count(struct metrics *metrics, unsigned verb, int status, int64_t duration_us);

/* Appends the text. */
void metrics_write(const struct metrics *metrics, struct buf *out, unsigned watchers, unsigned connections,
                   uint64_t head_rv);

#endif
