/* See node.h. */
#include "node/node_internal.h"

#include "api/server.h"
#include "base/log.h"
#include "base/mem.h"
#include "client/client.h"
#include "controller/manager.h"
#include "cri/containerd.h"
#include "kubelet/kubelet.h"
#include "kubelet/pod_network.h"
#include "ledger/ledger.h"
#include "pki/pki.h"
#include "proxy/proxy.h"
#include "scheduler/scheduler.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OUTCOME_LOOK_US (10 * 1000)
#define OUTCOME_LOOKS 1000 /* who has not noted it by then never will */

/* Before the API answers, for whoever waits until it does reads the file then. */
static int write_kubeconfig(struct node *node, struct err *err)
{
    const char *host =
        strcmp(node->options.bind_address, "0.0.0.0") ? node->options.bind_address : "127.0.0.1";
    mem_auto char *url = mem_printf("https://%s:%d", host, node->options.port);
    return pki_write_kubeconfig(node->pki, node->kubeconfig, url, err);
}

static int start_api(struct node *node, struct err *err)
{
    struct api_options api = {.ledger = node->ledger,
                              .pki = node->pki,
                              .data_dir = node->data_dir,
                              .node_name = node->name,
                              .bind_address = node->options.bind_address,
                              .port = node->options.port,
                              .service_cidr = node->service_cidr,
                              .cluster_cidr = node->cluster_cidr,
                              .advertise_address = node->address};
    int rc = write_kubeconfig(node, err);
    if (!rc)
        rc = api_server_start(&node->api, &api, err);
    if (rc)
        return rc;
    api_server_set_peers(node->api, node_peers_handle(node->peers));
    api_server_on_rotate(node->api, node_rotate_key, node);
    node_set_serving(node, true);
    return 0;
}

/* Each component acts with the rights that Kubernetes' built-in roles give its name, and no more. */
static struct client *make_client(struct node *node, const char *user)
{
    static const char *const groups[] = {"system:authenticated"};
    return api_local_client(node->api, user, groups, 1);
}

static struct client *make_kubelet_client(struct node *node)
{
    static const char *const groups[] = {"system:nodes", "system:authenticated"};
    mem_auto char *user = mem_printf("system:node:%s", node->name);
    return api_local_client(node->api, user, groups, 2);
}

static int start_control_loops(struct node *node, struct err *err)
{
    node->scheduler_client = make_client(node, "system:kube-scheduler");
    int rc = scheduler_start(&node->scheduler, node->scheduler_client, err);
    if (rc)
        return rc;
    node->controller_client = make_client(node, "system:kube-controller-manager");
    struct manager_options manager = {.client = node->controller_client,
                                      .ca_pem = pki_ca_cert(node->pki),
                                      .node_name = node->options.control_plane_only ? NULL : node->name,
                                      .node_grace_us = node->options.node_monitor_grace_us};
    return manager_start(&node->manager, &manager, err);
}

/* The node's part of the pods' network is the chain's to give. */
static int claim_pod_network(struct node *node, struct err *err)
{
    static const char *const groups[] = {"system:masters", "system:authenticated"};
    struct client *client = api_local_client(node->api, "system:katena", groups, 2);
    int rc = pod_network_claim(node->pod_cidr, client, node->name, node->cluster_cidr, err);
    api_local_client_free(client);
    return rc;
}

static int start_own_containerd(struct node *node, struct err *err)
{
    char bridge[16];
    node_bridge_name(bridge, node->data_dir);
    char interface[IFNAMSIZ];
    if (node_network_taken(interface, node->pod_cidr, bridge))
        return err_set(
            err, ERR_CONFLICT,
            "the pods' network %s is taken: interface %s has an address in it. Choose another with "
            "--cluster-cidr, or remove the interface",
            node->pod_cidr, interface);
    char *seal_key_file mem_auto = mem_printf("%s/pki/seal.key", node->data_dir);
    struct containerd_options options = {.data_dir = node->data_dir,
                                         .pod_cidr = node->pod_cidr,
                                         .bridge = bridge,
                                         .seal_key_file = seal_key_file};
    return containerd_start(&node->containerd, &options, err);
}

/* The address at which other nodes reach this one's API. */
static char *api_endpoint(const struct node *node)
{
    const char *bind = node->options.bind_address;
    return mem_printf("%s:%d", strcmp(bind, "0.0.0.0") ? bind : node->address, node->options.port);
}

static int start_containers(struct node *node, struct err *err)
{
    const char *endpoint = node->options.container_runtime_endpoint;
    if (endpoint && !strncmp(endpoint, "unix://", 7))
        endpoint += 7;
    int rc = claim_pod_network(node, err);
    if (!rc && !endpoint)
        rc = start_own_containerd(node, err);
    if (rc)
        return rc;
    if (!endpoint)
        endpoint = containerd_endpoint(node->containerd);
    node_import_images(endpoint, node->data_dir);
    node->kubelet_client = make_kubelet_client(node);
    mem_auto char *reached_at = api_endpoint(node);
    struct kubelet_options options = {.client = node->kubelet_client,
                                      .endpoint = endpoint,
                                      .data_dir = node->data_dir,
                                      .node_name = node->name,
                                      .node_address = node->address,
                                      .pod_cidr = node->pod_cidr,
                                      .api_endpoint = reached_at,
                                      .seal_key = node->containerd ? pki_seal_key(node->pki) : NULL};
    rc = kubelet_start(&node->kubelet, &options, err);
    if (rc)
        return rc;
    api_server_set_kubelet(node->api, kubelet_api_ops(), node->kubelet);
    return 0;
}

static int start_proxy(struct node *node, struct err *err)
{
    node->proxy_client = make_client(node, "system:kube-proxy");
    struct proxy_options options = {.client = node->proxy_client,
                                    .node_name = node->name,
                                    .data_dir = node->data_dir,
                                    .pod_cidr = node->pod_cidr,
                                    .cluster_cidr = node->cluster_cidr,
                                    .service_cidr = node->service_cidr};
    return proxy_start(&node->proxy, &options, err);
}

static int start_all(struct node *node, struct err *err)
{
    int rc = node_join_network(node, err);
    if (!rc)
        rc = start_api(node, err);
    if (!rc)
        rc = start_control_loops(node, err);
    if (!rc && !node->options.control_plane_only)
        rc = start_containers(node, err);
    if (!rc && !node->options.control_plane_only)
        rc = start_proxy(node, err);
    return rc;
}

/* What was to be written is refused when the chain here is too old to go on with (ledger.h). That it is so is
 * noted by the members' thread, which then calls `ended`, as it does on a node that runs already. */
static int why_it_failed(struct node *node, int rc, struct err *err)
{
    struct ledger_state state = {.head_height = 0};
    if (node->ledger)
        ledger_state(node->ledger, &state);
    if (!state.needs_snapshot || rc == ERR_EXPIRED)
        return rc;
    for (int looks = 0; node_outcome(node) == NODE_RUNS; looks++) {
        if (looks == OUTCOME_LOOKS)
            return rc;
        usleep(OUTCOME_LOOK_US);
    }
    return err_set(err, ERR_EXPIRED, "the blocks after %llu are no longer kept by others",
                   (unsigned long long)state.head_height);
}

int node_start(struct node **out, const struct node_options *options, struct err *err)
{
    struct node *node = mem_zalloc(sizeof(*node));
    node->options = *options;
    pthread_mutex_init(&node->serving_lock, NULL);
    int rc = start_all(node, err);
    if (rc) {
        rc = why_it_failed(node, rc, err);
        node_stop(node);
        return rc;
    }
    log_info("node", "%s serves the API on %s:%d", node->name, options->bind_address, options->port);
    *out = node;
    return 0;
}

static void free_client(struct client *client)
{
    if (client)
        api_local_client_free(client);
}

void node_stop(struct node *node)
{
    if (!node)
        return;
    if (node->proxy)
        proxy_stop(node->proxy);
    if (node->manager)
        manager_stop(node->manager);
    if (node->scheduler)
        scheduler_stop(node->scheduler);
    if (node->kubelet) {
        api_server_set_kubelet(node->api, NULL, NULL);
        kubelet_stop(node->kubelet);
    }
    containerd_release(node->containerd);
    free_client(node->proxy_client);
    free_client(node->controller_client);
    free_client(node->scheduler_client);
    free_client(node->kubelet_client);
    if (node->api) {
        node_set_serving(node, false);
        api_server_set_peers(node->api, NULL);
        api_server_on_rotate(node->api, NULL, NULL);
        api_server_stop(node->api);
    }
    node_leave_network(node);
    pthread_mutex_destroy(&node->serving_lock);
    free(node->kubeconfig);
    free(node->data_dir);
    free(node);
}

enum node_outcome node_outcome(const struct node *node)
{
    return atomic_load(&node->outcome);
}

const char *node_kubeconfig(const struct node *node)
{
    return node->kubeconfig;
}

int node_cleanup(const char *data_dir, struct err *err)
{
    mem_auto char *path = realpath(data_dir, NULL);
    if (!path)
        return err_set_errno(err, "cannot use the data directory %s", data_dir);
    int rc = containerd_stop_all(path, err);
    return rc ? rc : proxy_cleanup(path, err);
}
