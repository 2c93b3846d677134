/*
 * The rules for a model, as text for nftables. Pure: equal models give equal texts.
 *
 *     prerouting, output (nat)   destination in map service_ips or node_ports -> goto the port's chain
 *     svc-HASH                   marks what must come back through this host, then dnat to an endpoint, at
 * random or (session affinity) by the client's address postrouting (nat)          masquerades what is marked,
 * and what a pod sends to itself forward, output (filter)   refuses services that have no endpoint, and
 * addresses of no service input (filter)             refuses node ports of services that have no endpoint
 */
#ifndef KATENA_PROXY_RULESET_H
#define KATENA_PROXY_RULESET_H

#include "base/buf.h"
#include "proxy/model.h"

#define RULESET_MARK "0x00004000" /* masquerade; the bit that kube-proxy uses too */

struct ruleset_options {
    const char *table;        /* "katena-0123456789abcdef", of family ip */
    const char *pod_cidr;     /* of this node; NULL: as cluster_cidr. What its pods send out of the cluster is
                                 masqueraded */
    const char *cluster_cidr; /* of all nodes */
    const char *service_cidr; /* may be NULL */
    /* The kernel does not show this table the packets between two ports of a bridge. Answers of a pod to
     * another pod of this host would then bypass the translation: such connections are masqueraded too. */
    bool bridge_bypasses;
};

/* Appends the commands that replace the whole table in one transaction. */
void ruleset_render(struct buf *out, const struct proxy_model *model, const struct ruleset_options *options);

#endif
