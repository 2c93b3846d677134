/* What users and operators are told. */
#include "peer/peer_internal.h"

#include "base/clock.h"

#include <stdio.h>

static void info_of_contact(const struct contact *contact, struct peer_info *info, int64_t to_wall)
{
    *info = (struct peer_info){
        .connected = contact->conn != NULL,
        .since_us = contact->since_us,
        .clock_offset_us = contact->clock_offset_us,
        .round_trip_us = contact->round_trip_us,
        .bytes_in = contact->bytes_in,
        .bytes_out = contact->bytes_out,
        .frames_in = contact->frames_in,
        .frames_out = contact->frames_out,
        .faults = contact->score.faults,
    };
    memcpy(info->key, contact->key, PEER_KEY_SIZE);
    memcpy(info->name, contact->name, sizeof(info->name));
    memcpy(info->address, contact->address, sizeof(info->address));
    memcpy(info->last_error, contact->last_error, sizeof(info->last_error));
    if (score_refused(&contact->score, clock_mono_us()))
        info->refused_until_us = contact->score.refused_until_us + to_wall;
}

/* What the routes know of a node that is not connected. */
static void info_add_routes(const struct peers *peers, const struct contact *contact, struct peer_info *info)
{
    for (const struct route *route = peers->routes; route; route = route->next) {
        if (route->contact != contact)
            continue;
        if (!info->address[0])
            memcpy(info->address, route->text, sizeof(info->address));
        if (!info->connected && route->last_error[0] && !info->last_error[0])
            memcpy(info->last_error, route->last_error, sizeof(info->last_error));
    }
}

static void info_of_route(const struct route *route, struct peer_info *info)
{
    *info = (struct peer_info){0};
    memcpy(info->address, route->text, sizeof(info->address));
    memcpy(info->last_error, route->last_error, sizeof(info->last_error));
}

size_t peers_list(struct peers *peers, struct peer_info *out, size_t max)
{
    int64_t to_wall = clock_wall_us() - clock_mono_us();
    size_t count = 0;
    peers_lock(peers);
    for (const struct contact *contact = peers->contacts; contact; contact = contact->next) {
        if (count < max) {
            info_of_contact(contact, &out[count], to_wall);
            info_add_routes(peers, contact, &out[count]);
        }
        count++;
    }
    for (const struct route *route = peers->routes; route; route = route->next) {
        if (route->contact || route->self)
            continue;
        if (count < max)
            info_of_route(route, &out[count]);
        count++;
    }
    peers_unlock(peers);
    return count;
}

/* ---- metrics ---- */

struct metric {
    const char *name, *type, *help;
    double (*value)(const struct contact *contact);
};

static double value_up(const struct contact *contact)
{
    return contact->conn != NULL;
}

static double value_received(const struct contact *contact)
{
    return (double)contact->bytes_in;
}

static double value_sent(const struct contact *contact)
{
    return (double)contact->bytes_out;
}

static double value_frames_received(const struct contact *contact)
{
    return (double)contact->frames_in;
}

static double value_frames_sent(const struct contact *contact)
{
    return (double)contact->frames_out;
}

static double value_round_trip(const struct contact *contact)
{
    return (double)contact->round_trip_us / 1e6;
}

static double value_clock_offset(const struct contact *contact)
{
    return (double)contact->clock_offset_us / 1e6;
}

static double value_connections(const struct contact *contact)
{
    return (double)contact->connected;
}

static double value_faults(const struct contact *contact)
{
    return contact->score.faults;
}

static double value_refused(const struct contact *contact)
{
    return score_refused(&contact->score, clock_mono_us());
}

static const struct metric per_peer[] = {
    {"up", "gauge", "Whether the peer is connected.", value_up},
    {"received_bytes", "counter", "Bytes of frames that came from the peer.", value_received},
    {"sent_bytes", "counter", "Bytes of frames that went to the peer.", value_sent},
    {"received_frames", "counter", "Frames that came from the peer.", value_frames_received},
    {"sent_frames", "counter", "Frames that went to the peer.", value_frames_sent},
    {"round_trip_seconds", "gauge", "Fastest of the latest round trips.", value_round_trip},
    {"clock_offset_seconds", "gauge", "The peer's clock minus this node's.", value_clock_offset},
    {"connections", "counter", "How often the peer was connected.", value_connections},
    {"faults", "counter", "Rules that the peer broke.", value_faults},
    {"refused", "gauge", "Whether the peer is refused for what it did.", value_refused},
};

static void metric_head(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP katena_peer_%s %s\n# TYPE katena_peer_%s %s\n", name, help, name, type);
}

static void metric_total(struct buf *out, const char *name, const char *help, uint64_t value)
{
    metric_head(out, name, "counter", help);
    buf_printf(out, "katena_peer_%s %llu\n", name, (unsigned long long)value);
}

/* Names are of printable ASCII. */
static void label_value(struct buf *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            buf_putc(out, '\\');
        buf_putc(out, *text);
    }
}

static void metric_refusals(const struct peers *peers, struct buf *out)
{
    static const char *const names[REFUSAL_COUNT] = {
        [REFUSAL_VERSION] = "version",     [REFUSAL_CHAIN] = "chain",         [REFUSAL_SELF] = "self",
        [REFUSAL_PROOF] = "proof",         [REFUSAL_FORBIDDEN] = "forbidden", [REFUSAL_CLOCK] = "clock",
        [REFUSAL_DUPLICATE] = "duplicate", [REFUSAL_BLAMED] = "blamed",       [REFUSAL_LIMIT] = "limit",
    };
    metric_head(out, "refusals", "counter", "Connections that this node refused.");
    for (int i = 1; i < REFUSAL_COUNT; i++)
        buf_printf(out, "katena_peer_refusals{reason=\"%s\"} %llu\n", names[i],
                   (unsigned long long)peers->refusals[i]);
}

void peers_metrics(struct peers *peers, struct buf *out)
{
    peers_lock(peers);
    for (size_t i = 0; i < sizeof(per_peer) / sizeof(per_peer[0]); i++) {
        const struct metric *metric = &per_peer[i];
        metric_head(out, metric->name, metric->type, metric->help);
        for (const struct contact *contact = peers->contacts; contact; contact = contact->next) {
            buf_printf(out, "katena_peer_%s{peer=\"", metric->name);
            label_value(out, contact_label(contact));
            buf_printf(out, "\"} %.17g\n", metric->value(contact));
        }
    }
    metric_refusals(peers, out);
    metric_total(out, "dials", "Attempts to reach a peer.", peers->dials);
    metric_total(out, "dials_failed", "Attempts to reach a peer that failed.", peers->dials_failed);
    metric_total(out, "accepted", "Connections from others that were taken in.", peers->accepted);
    metric_total(out, "turned_away", "Connections from others beyond the limits.", peers->turned_away);
    metric_total(out, "all_faults", "Rules that peers broke.", peers->faults);
    metric_total(out, "overflows", "Connections closed because their queue was full.", peers->overflows);
    peers_unlock(peers);
}
