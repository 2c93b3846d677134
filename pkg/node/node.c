/* See node.h. */
#include "node/node_internal.h"

#include "api/server.h"
#include "base/log.h"
#include "base/mem.h"
#include "client/client.h"
#include "controller/manager.h"
#include "cri/containerd.h"
#include "kubelet/kubelet.h"
#include "ledger/ledger.h"
#include "pki/pki.h"
#include "proxy/proxy.h"
#include "scheduler/scheduler.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define ADDRESSES_MAX 40

struct node {
    struct node_options options; /* its strings are the caller's until node_start returns, then not used */
    char *data_dir;
    char *kubeconfig;
    char name[NODE_NAME_MAX];
    char address[NODE_ADDRESS_MAX];
    char pod_cidr[NODE_ADDRESS_MAX];
    char service_address[NODE_ADDRESS_MAX];
    struct ledger *ledger;
    struct pki *pki;
    struct api_server *api;
    struct client *kubelet_client, *scheduler_client, *controller_client, *proxy_client;
    struct containerd *containerd;
    struct kubelet *kubelet;
    struct scheduler *scheduler;
    struct manager *manager;
    struct proxy *proxy;
};

static int resolve_options(struct node *node, struct err *err)
{
    const struct node_options *options = &node->options;
    if (mkdir(options->data_dir, 0700) && errno != EEXIST)
        return err_set_errno(err, "cannot make the data directory %s", options->data_dir);
    node->data_dir = realpath(options->data_dir, NULL);
    if (!node->data_dir)
        return err_set_errno(err, "cannot use the data directory %s", options->data_dir);
    node->kubeconfig = mem_printf("%s/kubeconfig", node->data_dir);
    if (options->name)
        snprintf(node->name, sizeof(node->name), "%s", options->name);
    else
        node_default_name(node->name);
    if (options->advertise_address)
        snprintf(node->address, sizeof(node->address), "%s", options->advertise_address);
    else if (strcmp(options->bind_address, "0.0.0.0") != 0 && strncmp(options->bind_address, "127.", 4) != 0)
        snprintf(node->address, sizeof(node->address), "%s", options->bind_address);
    else
        node_default_address(node->address);
    if (!node_pod_cidr(node->pod_cidr, options->cluster_cidr))
        return err_set(err, ERR_INVALID, "--cluster-cidr takes an IPv4 network of /24 or wider, not \"%s\"",
                       options->cluster_cidr);
    if (!node_first_service_address(node->service_address, options->service_cidr))
        return err_set(err, ERR_INVALID, "--service-cidr takes an IPv4 network, not \"%s\"",
                       options->service_cidr);
    return 0;
}

static int open_pki(struct node *node, struct err *err)
{
    const char *addresses[ADDRESSES_MAX + 1] = {node->address, node->name, node->service_address};
    size_t n = 3;
    if (strcmp(node->options.bind_address, "0.0.0.0") != 0)
        addresses[n++] = node->options.bind_address;
    for (const char *const *san = node->options.tls_san; san && *san && n < ADDRESSES_MAX; san++)
        addresses[n++] = *san;
    struct pki_options options = {
        .data_dir = node->data_dir, .node_name = node->name, .addresses = addresses};
    return pki_open(&node->pki, &options, err);
}

static int start_api(struct node *node, struct err *err)
{
    struct ledger_options ledger = {.data_dir = node->data_dir};
    int rc = ledger_open(&node->ledger, &ledger, err);
    if (rc)
        return rc;
    rc = open_pki(node, err);
    if (rc)
        return rc;
    struct api_options api = {.ledger = node->ledger,
                              .pki = node->pki,
                              .data_dir = node->data_dir,
                              .node_name = node->name,
                              .bind_address = node->options.bind_address,
                              .port = node->options.port,
                              .service_cidr = node->options.service_cidr,
                              .advertise_address = node->address};
    rc = api_server_start(&node->api, &api, err);
    if (rc)
        return rc;
    const char *host =
        strcmp(node->options.bind_address, "0.0.0.0") ? node->options.bind_address : "127.0.0.1";
    mem_auto char *url = mem_printf("https://%s:%d", host, node->options.port);
    return pki_write_kubeconfig(node->pki, node->kubeconfig, url, err);
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
                                      .node_name = node->options.control_plane_only ? NULL : node->name};
    return manager_start(&node->manager, &manager, err);
}

static int start_containers(struct node *node, struct err *err)
{
    const char *endpoint = node->options.container_runtime_endpoint;
    if (endpoint && !strncmp(endpoint, "unix://", 7))
        endpoint += 7;
    if (!endpoint) {
        char bridge[16];
        node_bridge_name(bridge, node->data_dir);
        char interface[IFNAMSIZ];
        if (node_network_taken(interface, node->pod_cidr, bridge))
            return err_set(
                err, ERR_CONFLICT,
                "the pods' network %s is taken: interface %s has an address in it. Choose another with "
                "--cluster-cidr, or remove the interface",
                node->pod_cidr, interface);
        struct containerd_options options = {
            .data_dir = node->data_dir, .pod_cidr = node->pod_cidr, .bridge = bridge};
        int rc = containerd_start(&node->containerd, &options, err);
        if (rc)
            return rc;
        endpoint = containerd_endpoint(node->containerd);
    }
    node_import_images(endpoint, node->data_dir);
    node->kubelet_client = make_kubelet_client(node);
    struct kubelet_options options = {.client = node->kubelet_client,
                                      .endpoint = endpoint,
                                      .data_dir = node->data_dir,
                                      .node_name = node->name,
                                      .node_address = node->address,
                                      .pod_cidr = node->pod_cidr};
    int rc = kubelet_start(&node->kubelet, &options, err);
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
                                    .cluster_cidr = node->options.cluster_cidr,
                                    .service_cidr = node->options.service_cidr};
    return proxy_start(&node->proxy, &options, err);
}

static int start_all(struct node *node, struct err *err)
{
    int rc = resolve_options(node, err);
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

int node_start(struct node **out, const struct node_options *options, struct err *err)
{
    struct node *node = mem_zalloc(sizeof(*node));
    node->options = *options;
    int rc = start_all(node, err);
    if (rc) {
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
    if (node->api)
        api_server_stop(node->api);
    if (node->pki)
        pki_close(node->pki);
    if (node->ledger)
        ledger_close(node->ledger);
    free(node->kubeconfig);
    free(node->data_dir);
    free(node);
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
    return rc ? rc : proxy_cleanup(err);
}
