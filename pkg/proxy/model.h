/*
 * What the proxy knows: services with a virtual address, and the endpoints behind them, cut down to what
 * rules are made of. Pure; the owner brings the lock.
 */
#ifndef KATENA_PROXY_MODEL_H
#define KATENA_PROXY_MODEL_H

#include <jansson.h>
#include <stdbool.h>

struct proxy_model {
    /* "ns/name" to {ips: [text], affinity: bool, ports: [{name, protocol, port, nodePort}]} */
    json_t *services;
    /* "ns/slice" to {service: "ns/name", ports: [{name, protocol, port}],
     *                endpoints: [{ip, ready: bool, serving: bool}]} */
    json_t *slices;
};

void proxy_model_init(struct proxy_model *m);
void proxy_model_free(struct proxy_model *m);

/* Each takes note of an object as it is now and returns whether anything changed that rules depend on. */
bool proxy_model_set_service(struct proxy_model *m, const json_t *service);
bool proxy_model_remove_service(struct proxy_model *m, const json_t *service);
bool proxy_model_set_slice(struct proxy_model *m, const json_t *slice);
bool proxy_model_remove_slice(struct proxy_model *m, const json_t *slice);

#endif
