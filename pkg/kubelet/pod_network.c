/* See pod_network.h. */
#include "kubelet/pod_network.h"

#include "base/log.h"
#include "base/mem.h"
#include "client/kube.h"
#include "codec/json.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEASE_NAMESPACE "kube-node-lease"
#define NODE_BITS 24
#define TRIES 8 /* of a change that others race with */

struct claim {
    struct client *client;
    const char *node_name;
    json_t *node; /* NULL as long as there is none */
    uint32_t cluster;
    uint32_t count; /* of networks in the cluster's */
};

/* What became of the wish for a network. */
enum outcome { CLAIM_OURS, CLAIM_TAKEN, CLAIM_FAILED };

static int parse_cluster(struct claim *claim, const char *cidr, struct err *err)
{
    char address[INET_ADDRSTRLEN];
    struct in_addr in;
    int bits = 0, end = 0;
    if (sscanf(cidr, "%15[0-9.]/%2d%n", address, &bits, &end) != 2 || cidr[end] || bits < 1 ||
        bits > NODE_BITS || inet_pton(AF_INET, address, &in) != 1)
        return err_set(err, ERR_INVALID, "\"%s\" is no IPv4 network of /24 or wider", cidr);
    claim->count = 1u << (NODE_BITS - bits);
    claim->cluster = ntohl(in.s_addr) & (uint32_t)(0xffffffffULL << (32 - bits));
    return 0;
}

static void print_network(char out[POD_NETWORK_MAX], const struct claim *claim, uint32_t index)
{
    struct in_addr in = {.s_addr = htonl(claim->cluster + (index << (32 - NODE_BITS)))};
    char address[INET_ADDRSTRLEN];
    snprintf(out, POD_NETWORK_MAX, "%s/%d", inet_ntop(AF_INET, &in, address, sizeof(address)), NODE_BITS);
}

static void lease_name(char out[64], const char *network)
{
    snprintf(out, 64, "pods-%s", network);
    *strchr(out, '/') = '-';
}

static json_t *own_reference(const struct claim *claim)
{
    return json_pack("[{s:s, s:s, s:s, s:s}]", "apiVersion", "v1", "kind", "Node", "name", claim->node_name,
                     "uid", kube_uid(claim->node));
}

/* Whether a Node of this name has the network. */
static int holder_has(const struct claim *claim, const char *holder, const char *network, bool *has,
                      struct err *err)
{
    json_auto_t *node = NULL;
    int rc = client_get(claim->client, &kube_nodes, NULL, holder, &node, err);
    *has = !rc && !strcmp(json_str_or_empty(node, "spec", "podCIDR"), network);
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

/* A Lease that is there: ours, another's, or left over from a node that is gone, which is taken over. */
static enum outcome look_at_lease(const struct claim *claim, const char *network, const char *name,
                                  struct err *err)
{
    json_auto_t *lease = NULL;
    bool held = false;
    int rc = client_get(claim->client, &kube_leases, LEASE_NAMESPACE, name, &lease, err);
    if (rc)
        return rc == ERR_NOT_FOUND ? CLAIM_TAKEN : CLAIM_FAILED; /* it went meanwhile: the next one, then */
    const char *holder = json_str_or_empty(lease, "spec", "holderIdentity");
    bool ours = !strcmp(holder, claim->node_name);
    if (!ours && *holder && holder_has(claim, holder, network, &held, err))
        return CLAIM_FAILED;
    if (held)
        return CLAIM_TAKEN;
    json_auto_t *owner = own_reference(claim);
    if (ours && json_equal(json_at(lease, "metadata", "ownerReferences"), owner))
        return CLAIM_OURS;
    json_set_str(json_object_ensure(lease, "spec"), "holderIdentity", claim->node_name);
    json_object_set(json_object_ensure(lease, "metadata"), "ownerReferences", owner);
    rc = client_update(claim->client, &kube_leases, NULL, lease, NULL, err);
    return !rc ? CLAIM_OURS : rc == ERR_CONFLICT || rc == ERR_NOT_FOUND ? CLAIM_TAKEN : CLAIM_FAILED;
}

static enum outcome take(const struct claim *claim, const char *network, struct err *err)
{
    char name[64];
    lease_name(name, network);
    json_auto_t *lease =
        json_pack("{s:s, s:s, s:{s:s, s:s, s:o}, s:{s:s}}", "apiVersion", "coordination.k8s.io/v1", "kind",
                  "Lease", "metadata", "name", name, "namespace", LEASE_NAMESPACE, "ownerReferences",
                  own_reference(claim), "spec", "holderIdentity", claim->node_name);
    int rc = client_create(claim->client, &kube_leases, LEASE_NAMESPACE, lease, NULL, err);
    if (rc == ERR_EXISTS)
        return look_at_lease(claim, network, name, err);
    return rc ? CLAIM_FAILED : CLAIM_OURS;
}

/* Gets the Node, or makes it without a network. */
static int ensure_node(struct claim *claim, struct err *err)
{
    int rc = client_get(claim->client, &kube_nodes, NULL, claim->node_name, &claim->node, err);
    if (rc != ERR_NOT_FOUND)
        return rc;
    json_auto_t *node =
        json_pack("{s:s, s:s, s:{s:s, s:{s:s}}}", "apiVersion", "v1", "kind", "Node", "metadata", "name",
                  claim->node_name, "labels", "kubernetes.io/hostname", claim->node_name);
    return client_create(claim->client, &kube_nodes, NULL, node, &claim->node, err);
}

/* The networks that Nodes say they have, by name: those of nodes from before there were Leases, too. */
static int read_taken(const struct claim *claim, json_t *taken, struct err *err)
{
    json_auto_t *nodes = NULL;
    int rc = client_list(claim->client, &kube_nodes, NULL, NULL, NULL, &nodes, err);
    size_t i;
    json_t *node;
    json_array_foreach(nodes, i, node)
    {
        const char *network = json_str_or_empty(node, "spec", "podCIDR");
        if (*network && strcmp(kube_name(node), claim->node_name) != 0)
            json_object_set_new(taken, network, json_true());
    }
    return rc;
}

static int take_first_free(const struct claim *claim, char out[POD_NETWORK_MAX], struct err *err)
{
    json_auto_t *taken = json_object();
    int rc = read_taken(claim, taken, err);
    for (uint32_t i = 0; !rc && i < claim->count; i++) {
        print_network(out, claim, i);
        enum outcome outcome = json_object_get(taken, out) ? CLAIM_TAKEN : take(claim, out, err);
        if (outcome == CLAIM_OURS)
            return 0;
        if (outcome == CLAIM_FAILED)
            rc = err->code;
    }
    return rc ? rc
              : err_set(err, ERR_UNAVAILABLE, "no network is left for the pods of node %s", claim->node_name);
}

static int write_network(struct claim *claim, const char *network, struct err *err)
{
    json_auto_t *patch = json_pack("{s:{s:s}, s:{s:s, s:[s]}}", "metadata", "uid", kube_uid(claim->node),
                                   "spec", "podCIDR", network, "podCIDRs", network);
    return client_patch(claim->client, &kube_nodes, NULL, NULL, claim->node_name, CLIENT_PATCH_MERGE, patch,
                        NULL, err);
}

/* Whether a pod runs on the node that has an address of its network. */
static int has_pods(const struct claim *claim, bool *has, struct err *err)
{
    mem_auto char *selector = mem_printf("spec.nodeName=%s", claim->node_name);
    json_auto_t *pods = NULL;
    int rc = client_list(claim->client, &kube_pods, NULL, NULL, selector, &pods, err);
    size_t i;
    json_t *pod;
    *has = false;
    json_array_foreach(pods, i, pod) *has |=
        !kube_pod_terminal(pod) && !json_bool_at(pod, "spec", "hostNetwork");
    return rc;
}

/* The network in the Node's spec. It cannot be changed there, so giving it up means to register anew. */
static int keep_or_leave(struct claim *claim, char network[POD_NETWORK_MAX], bool *left, struct err *err)
{
    bool pods;
    enum outcome outcome = take(claim, network, err);
    *left = false;
    if (outcome != CLAIM_TAKEN)
        return outcome == CLAIM_OURS ? 0 : err->code;
    int rc = has_pods(claim, &pods, err);
    if (rc || pods) {
        log_warn("node", "the pods' network %s is also another node's; it is changed at a start without pods",
                 network);
        return rc;
    }
    log_info("node", "the pods' network %s has become another node's; taking a new one", network);
    json_auto_t *options = json_pack("{s:{s:s}}", "preconditions", "uid", kube_uid(claim->node));
    rc = client_delete(claim->client, &kube_nodes, NULL, claim->node_name, options, err);
    json_decref(claim->node);
    claim->node = NULL;
    *left = true;
    return rc == ERR_NOT_FOUND ? 0 : rc;
}

static int claim_once(struct claim *claim, char out[POD_NETWORK_MAX], struct err *err)
{
    bool left = false;
    int rc = ensure_node(claim, err);
    const char *has = json_str_or_empty(claim->node, "spec", "podCIDR");
    if (!rc && *has) {
        snprintf(out, POD_NETWORK_MAX, "%s", has);
        rc = keep_or_leave(claim, out, &left, err);
        if (rc || !left)
            return rc;
        rc = ensure_node(claim, err);
    }
    if (!rc)
        rc = take_first_free(claim, out, err);
    return rc ? rc : write_network(claim, out, err);
}

int pod_network_claim(char out[POD_NETWORK_MAX], struct client *client, const char *node_name,
                      const char *cluster_cidr, struct err *err)
{
    struct claim claim = {.client = client, .node_name = node_name};
    int rc = parse_cluster(&claim, cluster_cidr, err);
    if (rc)
        return rc;
    for (int i = 0; i < TRIES; i++) {
        rc = claim_once(&claim, out, err);
        json_decref(claim.node);
        claim.node = NULL;
        if (rc != ERR_CONFLICT && rc != ERR_EXISTS && rc != ERR_NOT_FOUND)
            break;
    }
    return rc ? err_wrap(err, "find a network for the pods of node %s", node_name) : 0;
}
