/* See metrics.h. */
#include "api/metrics.h"

static const int64_t bounds_us[METRICS_BUCKETS] = {500,   1000,   2500,   5000,    10000,   25000,
                                                   50000, 100000, 500000, 1000000, 5000000, 30000000};
static const char *const bounds_text[METRICS_BUCKETS] = {
    "0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.5", "1", "5", "30"};
static const char *const verb_names[METRICS_VERBS] = {
    "GET", "LIST", "WATCH", "CREATE", "UPDATE", "PATCH", "DELETE", "DELETECOLLECTION", "OTHER"};

void metrics_count(struct metrics *metrics, unsigned verb, int status, int64_t duration_us)
{
    unsigned class = status >= 100 && status < 600 ? (unsigned)status / 100 : 0;
    atomic_fetch_add_explicit(&metrics->requests[verb][class], 1, memory_order_relaxed);
    if (duration_us < 0)
        return;
    unsigned i = 0;
    while (i < METRICS_BUCKETS && duration_us > bounds_us[i])
        i++;
    atomic_fetch_add_explicit(&metrics->buckets[verb][i], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&metrics->sum_us[verb], (unsigned long long)duration_us, memory_order_relaxed);
}

static void write_requests(const struct metrics *metrics, struct buf *out)
{
    buf_puts(out, "# HELP apiserver_request_total Requests answered, by verb and class of status.\n"
                  "# TYPE apiserver_request_total counter\n");
    for (unsigned v = 0; v < METRICS_VERBS; v++)
        for (unsigned c = 1; c < METRICS_CLASSES; c++) {
            unsigned long long n = atomic_load(&metrics->requests[v][c]);
            if (n)
                buf_printf(out, "apiserver_request_total{verb=\"%s\",code=\"%uxx\"} %llu\n", verb_names[v], c,
                           n);
        }
}

static void write_durations(const struct metrics *metrics, struct buf *out)
{
    buf_puts(
        out,
        "# HELP apiserver_request_duration_seconds Time from a request's header to the end of its answer.\n"
        "# TYPE apiserver_request_duration_seconds histogram\n");
    for (unsigned v = 0; v < METRICS_VERBS; v++) {
        unsigned long long total = 0;
        for (unsigned i = 0; i <= METRICS_BUCKETS; i++)
            total += atomic_load(&metrics->buckets[v][i]);
        if (!total)
            continue;
        unsigned long long below = 0;
        for (unsigned i = 0; i < METRICS_BUCKETS; i++) {
            below += atomic_load(&metrics->buckets[v][i]);
            buf_printf(out, "apiserver_request_duration_seconds_bucket{verb=\"%s\",le=\"%s\"} %llu\n",
                       verb_names[v], bounds_text[i], below);
        }
        unsigned long long sum = atomic_load(&metrics->sum_us[v]);
        buf_printf(out, "apiserver_request_duration_seconds_bucket{verb=\"%s\",le=\"+Inf\"} %llu\n",
                   verb_names[v], total);
        buf_printf(out, "apiserver_request_duration_seconds_sum{verb=\"%s\"} %llu.%06llu\n", verb_names[v],
                   sum / 1000000, sum % 1000000);
        buf_printf(out, "apiserver_request_duration_seconds_count{verb=\"%s\"} %llu\n", verb_names[v], total);
    }
}

static void write_gauge(struct buf *out, const char *name, const char *help, unsigned long long value)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s gauge\n%s %llu\n", name, help, name, name, value);
}

void metrics_write(const struct metrics *metrics, struct buf *out, unsigned watchers, unsigned connections,
                   uint64_t head_rv)
{
    write_requests(metrics, out);
    write_durations(metrics, out);
    write_gauge(out, "apiserver_registered_watchers", "Streams that wait for events.", watchers);
    write_gauge(out, "katena_api_connections", "Open connections.", connections);
    write_gauge(out, "katena_chain_head_resource_version", "resourceVersion of the newest block.", head_rv);
}
