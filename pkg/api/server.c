/* Start and stop of the API server; see api_internal.h for its parts. */
#include "api/api_internal.h"

#include "base/mem.h"

static void server_free(struct api_server *server)
{
    pthread_mutex_destroy(&server->kubelet_lock);
    pthread_rwlock_destroy(&server->peers_lock);
    free(server->data_dir);
    free(server->node_name);
    free(server->bind_address);
    free(server->service_cidr);
    free(server->cluster_cidr);
    free(server->advertise_address);
    free(server);
}

int api_server_start(struct api_server **out, const struct api_options *options, struct err *err)
{
    struct api_server *server = mem_zalloc(sizeof(*server));
    server->ledger = options->ledger;
    server->pki = options->pki;
    server->data_dir = mem_strdup(options->data_dir);
    server->node_name = mem_strdup(options->node_name ? options->node_name : "");
    server->bind_address = mem_strdup(options->bind_address ? options->bind_address : "0.0.0.0");
    server->service_cidr = mem_strdup(options->service_cidr ? options->service_cidr : "10.43.0.0/16");
    server->cluster_cidr = mem_strdup(options->cluster_cidr ? options->cluster_cidr : "10.42.0.0/16");
    server->advertise_address = mem_strdup(options->advertise_address);
    server->port = options->port;
    pthread_mutex_init(&server->kubelet_lock, NULL);
    pthread_rwlock_init(&server->peers_lock, NULL);

    int code = api_verbs_start(server, err);
    if (!code && server->port > 0) {
        code = api_http_start(server, err);
        if (code)
            api_verbs_stop(server);
    }
    if (code) {
        server_free(server);
        return code;
    }
    *out = server;
    return 0;
}

void api_server_stop(struct api_server *server)
{
    if (!server)
        return;
    if (server->http)
        api_http_stop(server);
    api_verbs_stop(server);
    server_free(server);
}

void api_server_set_kubelet(struct api_server *server, const struct api_kubelet_ops *ops, void *kubelet)
{
    pthread_mutex_lock(&server->kubelet_lock);
    server->kubelet_ops = ops;
    server->kubelet = kubelet;
    pthread_mutex_unlock(&server->kubelet_lock);
}

void api_server_set_peers(struct api_server *server, struct peers *peers)
{
    pthread_rwlock_wrlock(&server->peers_lock);
    server->peers = peers;
    pthread_rwlock_unlock(&server->peers_lock);
}

void api_server_on_rotate(struct api_server *server, int (*fn)(void *arg, struct err *err), void *arg)
{
    pthread_rwlock_wrlock(&server->peers_lock);
    server->rotate = fn;
    server->rotate_arg = arg;
    pthread_rwlock_unlock(&server->peers_lock);
}
