/* See proxy.h. Callbacks keep the model under the lock; the thread renders under it and applies without. */
#include "proxy/proxy.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "client/kube.h"
#include "proxy/nft.h"
#include "proxy/routes.h"
#include "proxy/ruleset.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define COALESCE_US 5000LL /* changes that come this close together are applied as one */
#define RETRY_MIN_US 1000000LL
#define RETRY_MAX_US 60000000LL
#define THREAD_STACK (1024 * 1024) /* libnftables parses on it */

struct proxy {
    char table[PROXY_TABLE_MAX];
    char *cluster_cidr;
    char *service_cidr;
    char *pod_cidr;
    struct routes *routes;
    struct ruleset_options ruleset;
    struct client_watch *service_watch, *slice_watch;
    pthread_t thread;
    char *applied;        /* the text in force; the thread's */
    pthread_mutex_t lock; /* everything below */
    pthread_cond_t wake;
    struct proxy_model model;
    int64_t due_us; /* when to apply, of the monotonic clock; INT64_MAX: nothing to do */
    int unsynced;
    bool stopping;
};

static uint64_t digest_of(const char *data_dir)
{
    uint64_t h = 14695981039346656037ULL;
    for (const char *p = data_dir; *p; p++)
        h = (h ^ (uint8_t)*p) * 1099511628211ULL;
    return h ^ (h >> 32);
}

void proxy_table_name(char out[PROXY_TABLE_MAX], const char *data_dir)
{
    snprintf(out, PROXY_TABLE_MAX, "katena-%08" PRIx32, (uint32_t)digest_of(data_dir));
}

/* Of the node's routes: small ones are left to people. */
static uint32_t metric_of(const char *data_dir)
{
    return 0x10000 + (uint32_t)(digest_of(data_dir) & 0xffff);
}

/* The table that all nodes used before each had its own. */
static int remove_old_table(struct err *err)
{
    return nft_run("add table ip katena\ndelete table ip katena\n", err);
}

/* Asks for the rules to be applied soon. The lock is held. */
static void changed(struct proxy *p, int64_t delay_us)
{
    int64_t due = clock_mono_us() + delay_us;
    if (p->due_us != INT64_MAX && p->due_us <= due)
        return;
    p->due_us = due;
    pthread_cond_signal(&p->wake);
}

static void synced(struct proxy *p)
{
    if (p->unsynced > 0 && --p->unsynced == 0)
        changed(p, 0);
}

static void service_event(void *arg, enum client_event event, const json_t *service)
{
    struct proxy *p = arg;
    pthread_mutex_lock(&p->lock);
    if (event == CLIENT_SYNCED)
        synced(p);
    else if (event == CLIENT_DELETED ? proxy_model_remove_service(&p->model, service)
                                     : proxy_model_set_service(&p->model, service))
        changed(p, COALESCE_US);
    pthread_mutex_unlock(&p->lock);
}

static void slice_event(void *arg, enum client_event event, const json_t *slice)
{
    struct proxy *p = arg;
    pthread_mutex_lock(&p->lock);
    if (event == CLIENT_SYNCED)
        synced(p);
    else if (event == CLIENT_DELETED ? proxy_model_remove_slice(&p->model, slice)
                                     : proxy_model_set_slice(&p->model, slice))
        changed(p, COALESCE_US);
    pthread_mutex_unlock(&p->lock);
}

/* Whether something is to be applied now; false at the end. The lock is held. */
static bool wait_for_work(struct proxy *p)
{
    while (!p->stopping) {
        int64_t now = clock_mono_us();
        if (!p->unsynced && p->due_us <= now)
            return true;
        if (p->unsynced || p->due_us == INT64_MAX) {
            pthread_cond_wait(&p->wake, &p->lock);
        } else {
            struct timespec until = {.tv_sec = p->due_us / 1000000, .tv_nsec = p->due_us % 1000000 * 1000};
            pthread_cond_timedwait(&p->wake, &p->lock, &until);
        }
    }
    return false;
}

/* Puts a text in force unless it is already; false when that failed. */
static bool apply(struct proxy *p, struct buf *text)
{
    struct err err = {0};
    if (p->applied && !strcmp(p->applied, buf_str(text)))
        return true;
    if (nft_run(buf_str(text), &err)) {
        log_warn("proxy", "the rules could not be applied: %s", err.message);
        return false;
    }
    if (!p->applied && remove_old_table(&err))
        log_warn("proxy", "%s", err.message);
    free(p->applied);
    p->applied = buf_steal(text);
    return true;
}

static void *proxy_thread(void *arg)
{
    struct proxy *p = arg;
    int64_t retry_us = RETRY_MIN_US;
    pthread_mutex_lock(&p->lock);
    while (wait_for_work(p)) {
        p->due_us = INT64_MAX;
        struct buf text = BUF_INIT;
        ruleset_render(&text, &p->model, &p->ruleset);
        pthread_mutex_unlock(&p->lock);
        bool ok = apply(p, &text);
        buf_free(&text);
        pthread_mutex_lock(&p->lock);
        if (!ok)
            changed(p, retry_us);
        retry_us = ok ? RETRY_MIN_US : retry_us * 2 > RETRY_MAX_US ? RETRY_MAX_US : retry_us * 2;
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* Whether packets between two ports of a bridge escape the table; switches that off where it can. */
static bool bridge_bypasses(void)
{
    static const char path[] = "/proc/sys/net/bridge/bridge-nf-call-iptables";
    FILE *file = fopen(path, "r+");
    if (!file)
        return true;
    int value = fgetc(file);
    if (value != '1') {
        rewind(file);
        value = fputc('1', file) == '1' && fflush(file) == 0 ? '1' : '0';
    }
    fclose(file);
    return value != '1';
}

static void proxy_free(struct proxy *p)
{
    proxy_model_free(&p->model);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    free(p->cluster_cidr);
    free(p->service_cidr);
    free(p->pod_cidr);
    free(p->applied);
    free(p);
}

static int start_thread(struct proxy *p, struct err *err)
{
    pthread_condattr_t cond;
    pthread_condattr_init(&cond);
    pthread_condattr_setclock(&cond, CLOCK_MONOTONIC);
    pthread_cond_init(&p->wake, &cond);
    pthread_condattr_destroy(&cond);
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, THREAD_STACK);
    int rc = pthread_create(&p->thread, &attr, proxy_thread, p);
    pthread_attr_destroy(&attr);
    return rc ? err_set(err, ERR_INTERNAL, "cannot start the proxy's thread") : 0;
}

/* Says at once when it is not allowed. */
static int check_allowed(const char *table, struct err *err)
{
    mem_auto char *command = mem_printf("add table ip %s", table);
    return nft_run(command, err);
}

int proxy_start(struct proxy **out, const struct proxy_options *options, struct err *err)
{
    struct routes_options routes = {.client = options->client,
                                    .node_name = options->node_name,
                                    .cluster_cidr = options->cluster_cidr,
                                    .metric = metric_of(options->data_dir)};
    struct proxy *p = mem_zalloc(sizeof(*p));
    proxy_table_name(p->table, options->data_dir);
    int rc = check_allowed(p->table, err);
    if (!rc)
        rc = routes_start(&p->routes, &routes, err);
    if (rc) {
        free(p);
        return rc;
    }
    p->cluster_cidr = mem_strdup(options->cluster_cidr);
    p->service_cidr = mem_strdup(options->service_cidr);
    p->pod_cidr = mem_strdup(options->pod_cidr);
    p->ruleset = (struct ruleset_options){.table = p->table,
                                          .pod_cidr = p->pod_cidr,
                                          .cluster_cidr = p->cluster_cidr,
                                          .service_cidr = p->service_cidr,
                                          .bridge_bypasses = bridge_bypasses()};
    proxy_model_init(&p->model);
    pthread_mutex_init(&p->lock, NULL);
    p->due_us = INT64_MAX;
    p->unsynced = 2;
    rc = start_thread(p, err);
    if (rc) {
        routes_stop(p->routes);
        proxy_free(p);
        return rc;
    }
    p->service_watch = client_watch_start(options->client, &kube_services, NULL, NULL, service_event, p);
    p->slice_watch = client_watch_start(options->client, &kube_endpointslices, NULL, NULL, slice_event, p);
    *out = p;
    return 0;
}

void proxy_stop(struct proxy *p)
{
    if (!p)
        return;
    routes_stop(p->routes);
    client_watch_stop(p->service_watch);
    client_watch_stop(p->slice_watch);
    pthread_mutex_lock(&p->lock);
    p->stopping = true;
    pthread_cond_signal(&p->wake);
    pthread_mutex_unlock(&p->lock);
    pthread_join(p->thread, NULL);
    proxy_free(p);
}

int proxy_cleanup(const char *data_dir, struct err *err)
{
    char table[PROXY_TABLE_MAX];
    proxy_table_name(table, data_dir);
    mem_auto char *commands = mem_printf("add table ip %s\ndelete table ip %s\n", table, table);
    int rc = nft_run(commands, err);
    if (!rc)
        rc = remove_old_table(err);
    return rc ? rc : routes_cleanup(metric_of(data_dir), err);
}
