/*
 * Addresses of Services. Two sides of a cut may give one address to two Services; the chain does not know, so
 * it is looked for here, and the Service that comes later gets another one.
 */
#include "api/allocate.h"
#include "api/orphans_internal.h"

#include "base/mem.h"

#include <stdio.h>

static bool taken(struct api_server *server, const char *term, const char *value, const char *own_uid)
{
    const struct state_store_ops *ops = ledger_store_ops(server->ledger);
    struct state_snapshot *snapshot = ops->snapshot_begin(ledger_store(server->ledger));
    struct state_iter *iter = ops->iter_index(snapshot, term, value);
    struct state_object state;
    bool found = false;
    while (!found && ops->iter_next(iter, &state))
        found = strcmp(state.uid, own_uid) != 0;
    ops->iter_end(iter);
    ops->snapshot_end(snapshot);
    return found;
}

static bool ip_taken(struct api_server *server, const json_t *service)
{
    const char *ip = json_str_or_empty(service, "spec", "clusterIP");
    return *ip && strcmp(ip, "None") != 0 &&
           taken(server, "clusterIP", ip, json_str_or_empty(service, "metadata", "uid"));
}

static bool port_taken(struct api_server *server, const json_t *service, const json_t *port)
{
    char digits[24];
    int64_t number = json_int_or(0, port, "nodePort");
    snprintf(digits, sizeof(digits), "%lld", (long long)number);
    return number > 0 && taken(server, "nodePort", digits, json_str_or_empty(service, "metadata", "uid"));
}

bool orphan_service_taken(struct api_server *server, const json_t *service)
{
    const json_t *ports = json_at(service, "spec", "ports");
    bool found = ip_taken(server, service);
    for (size_t i = 0; i < json_array_size(ports); i++)
        found |= port_taken(server, service, json_array_get(ports, i));
    return found;
}

static void add_loss(struct replay_decision *decision, char *path, const json_t *winner, const json_t *loser)
{
    decision->losses =
        mem_reallocarray(decision->losses, decision->loss_count + 1, sizeof(*decision->losses));
    decision->losses[decision->loss_count++] =
        (struct replay_loss){path, json_deep_copy(winner), json_deep_copy(loser)};
}

void orphan_service_differences(const json_t *before, const json_t *after, struct replay_decision *decision)
{
    const json_t *ip = json_at(before, "spec", "clusterIP");
    const json_t *new_ip = json_at(after, "spec", "clusterIP");
    if (ip && new_ip && !json_equal(ip, new_ip))
        add_loss(decision, mem_strdup(".spec.clusterIP"), new_ip, ip);
    const json_t *ports = json_at(before, "spec", "ports");
    for (size_t i = 0; i < json_array_size(ports); i++) {
        const json_t *port = json_array_get(ports, i);
        const json_t *number = json_object_get(port, "nodePort");
        const json_t *now = json_object_get(json_array_get(json_at(after, "spec", "ports"), i), "nodePort");
        if (number && now && !json_equal(number, now))
            add_loss(decision,
                     mem_printf(".spec.ports[port=%lld,protocol=\"%s\"].nodePort",
                                (long long)json_int_or(0, port, "port"), json_str_or_empty(port, "protocol")),
                     now, number);
    }
}

int orphan_service_readdress(struct api_call *call, json_t *service, struct replay_decision *decision)
{
    json_t *spec = json_object_get(service, "spec");
    json_auto_t *before = json_deep_copy(service);
    if (!call->live && ip_taken(call->server, service)) {
        json_object_del(spec, "clusterIP");
        json_object_del(spec, "clusterIPs");
    }
    json_t *ports = json_object_get(spec, "ports");
    for (size_t i = 0; i < json_array_size(ports); i++)
        if (port_taken(call->server, service, json_array_get(ports, i)))
            json_object_del(json_array_get(ports, i), "nodePort");
    int rc = allocate_service(call, service);
    if (!rc)
        orphan_service_differences(before, service, decision);
    return rc;
}
