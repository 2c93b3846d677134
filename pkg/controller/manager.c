/* See manager.h. Lock order: the manager's lock is the innermost; controllers may hold their own around it.
 */
#include "controller/manager_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "controller/workqueue.h"

#include <assert.h>
#include <string.h>
#include <time.h>

#define WORKERS_DEFAULT 2
#define WORKERS_MAX 16
#define NODE_GRACE_US 10000000LL
#define AGAIN_DELAY_US 50000   /* nodes that come or go at once are one look through everything */
#define AGAIN_PAUSE_US 1000000 /* and one that comes and goes costs one a second at most */
#define NEVER INT64_MAX
#define WORKER_STACK (512 * 1024)

static const struct controller_type *const controller_types[] = {
    &deployment_controller, &replicaset_controller,     &garbage_controller,   &namespace_controller,
    &endpoints_controller,  &serviceaccount_controller, &root_ca_controller,   &node_controller,
    &taint_controller,      &pod_gc_controller,         &event_ttl_controller, &role_controller,
    &mirror_controller,
};
#define CONTROLLER_COUNT (sizeof(controller_types) / sizeof(controller_types[0]))

struct manager {
    struct manager_options options;
    char *ca_pem;
    char *node_name;
    struct controller *controllers[CONTROLLER_COUNT];
    struct watched *watched;
    size_t watched_count;
    pthread_t workers[WORKERS_MAX];
    int worker_count;
    pthread_mutex_t lock; /* everything below */
    pthread_cond_t wake;  /* work, or the end */
    pthread_cond_t idle;  /* a key is done */
    struct workqueue *queue;
    size_t unsynced;      /* watches that have not delivered everything yet */
    int64_t again_due_us; /* when to look through everything once more; NEVER: not */
    int64_t again_last_us;
    bool again_runs;
    atomic_bool stopping;
};

static const struct {
    const char *group;
    const char *plural;
    enum kind_id id;
} special_kinds[] = {
    {"", "pods", KIND_POD},
    {"", "nodes", KIND_NODE},
    {"", "services", KIND_SERVICE},
    {"", "endpoints", KIND_ENDPOINTS},
    {"discovery.k8s.io", "endpointslices", KIND_ENDPOINTSLICE},
    {"", "namespaces", KIND_NAMESPACE},
    {"", "configmaps", KIND_CONFIGMAP},
    {"", "serviceaccounts", KIND_SERVICEACCOUNT},
    {"", "events", KIND_EVENT},
    {"coordination.k8s.io", "leases", KIND_LEASE},
    {"apps", "deployments", KIND_DEPLOYMENT},
    {"apps", "replicasets", KIND_REPLICASET},
    {"rbac.authorization.k8s.io", "clusterroles", KIND_CLUSTERROLE},
};

static enum kind_id kind_id_of(const struct schema_kind *kind)
{
    for (size_t i = 0; i < sizeof(special_kinds) / sizeof(special_kinds[0]); i++) {
        if (!strcmp(kind->plural, special_kinds[i].plural) && !strcmp(kind->group, special_kinds[i].group))
            return special_kinds[i].id;
    }
    return KIND_OTHER;
}

static bool kind_has_verb(const struct schema_kind *kind, const char *verb)
{
    for (const char *const *v = kind->verbs; v && *v; v++) {
        if (!strcmp(*v, verb))
            return true;
    }
    return false;
}

/* Whether to watch it: stored, and not a second view of what another group serves. */
static bool kind_is_watched(const struct schema_kind *kind)
{
    if (kind->virtual_ || !kind_has_verb(kind, "watch") || !strcmp(kind->group, "events.k8s.io"))
        return false;
    return registry_by_kind(kind->group, NULL, kind->kind) == kind;
}

/* Of most kinds the controllers look only at whose they are and whether they go. */
static struct client_watch *watch_kind(struct manager *m, const struct watched *w, client_watch_fn fn,
                                       void *arg)
{
    bool metadata =
        w->id == KIND_OTHER || w->id == KIND_CONFIGMAP || w->id == KIND_EVENT || w->id == KIND_LEASE;
    if (metadata)
        return client_watch_start_metadata(m->options.client, &w->resource, fn, arg);
    return client_watch_start(m->options.client, &w->resource, NULL, NULL, fn, arg);
}

void controller_add_after(struct controller *self, const char *key, int64_t delay_us)
{
    struct manager *m = self->manager;
    pthread_mutex_lock(&m->lock);
    workqueue_add(m->queue, self->id, key, clock_mono_us() + delay_us);
    if (!m->unsynced)
        pthread_cond_signal(&m->wake);
    pthread_mutex_unlock(&m->lock);
}

void controller_add(struct controller *self, const char *key)
{
    controller_add_after(self, key, 0);
}

void controller_add_object(struct controller *self, const json_t *object)
{
    char key[KUBE_KEY_MAX];
    kube_key(key, object);
    controller_add(self, key);
}

bool manager_owns(const struct controller *controller, const char *key)
{
    const struct controller_type *type = controller->type;
    if (!controller->client->ops->owns || (type->shared && type->shared(key)))
        return true;
    mem_auto char *work = mem_printf("%s %s", type->name, key);
    return client_owns(controller->client, work, strlen(work));
}

size_t manager_watched_count(const struct manager *m)
{
    return m->watched_count;
}

const struct watched *manager_watched_at(const struct manager *m, size_t index)
{
    assert(index < m->watched_count);
    return &m->watched[index];
}

static void watch_event(void *arg, enum client_event event, const json_t *object)
{
    struct watched *w = arg;
    struct manager *m = w->manager;
    if (event != CLIENT_SYNCED) {
        for (size_t i = 0; i < CONTROLLER_COUNT; i++) {
            if (controller_types[i]->event)
                controller_types[i]->event(m->controllers[i], w, event, object);
        }
        return;
    }
    pthread_mutex_lock(&m->lock);
    if (!w->synced) {
        w->synced = true;
        if (--m->unsynced == 0)
            pthread_cond_broadcast(&m->wake);
    }
    pthread_mutex_unlock(&m->lock);
}

/* Waits, with the lock held, until a time of the monotonic clock or a signal. */
static void wait_until(struct manager *m, pthread_cond_t *cond, int64_t due_us)
{
    if (due_us == NEVER) {
        pthread_cond_wait(cond, &m->lock);
        return;
    }
    struct timespec until = {.tv_sec = due_us / 1000000, .tv_nsec = due_us % 1000000 * 1000};
    pthread_cond_timedwait(cond, &m->lock, &until);
}

/* ---- other nodes come and go ---- */

static void members_changed(void *arg)
{
    struct manager *m = arg;
    pthread_mutex_lock(&m->lock);
    int64_t due = clock_mono_us() + AGAIN_DELAY_US, next = m->again_last_us + AGAIN_PAUSE_US;
    if (m->again_due_us == NEVER)
        m->again_due_us = due > next ? due : next;
    pthread_cond_signal(&m->wake);
    pthread_mutex_unlock(&m->lock);
}

/* A kind that is told once more. */
struct telling {
    const struct watched *kind;
    bool told; /* under the manager's lock */
};

static void again_event(void *arg, enum client_event event, const json_t *object)
{
    struct telling *t = arg;
    struct manager *m = t->kind->manager;
    for (size_t i = 0; event == CLIENT_ADDED && i < CONTROLLER_COUNT; i++) {
        const struct controller_type *type = controller_types[i];
        if (type->again)
            type->again(m->controllers[i], t->kind, object);
        else if (type->event)
            type->event(m->controllers[i], t->kind, CLIENT_ADDED, object);
    }
    if (event != CLIENT_SYNCED)
        return;
    pthread_mutex_lock(&m->lock);
    t->told = true;
    pthread_cond_broadcast(&m->idle);
    pthread_mutex_unlock(&m->lock);
}

/* By a watch beside the one that goes on, so that no change is missed and no list is held in memory. */
static void tell_kind(struct manager *m, const struct watched *kind)
{
    struct telling t = {.kind = kind};
    struct client_watch *watch = watch_kind(m, kind, again_event, &t);
    pthread_mutex_lock(&m->lock);
    while (!t.told && !m->stopping)
        pthread_cond_wait(&m->idle, &m->lock);
    pthread_mutex_unlock(&m->lock);
    client_watch_stop(watch);
}

/* The lock is held, and is released meanwhile. */
static void tell_again(struct manager *m)
{
    m->again_due_us = NEVER;
    m->again_runs = true;
    for (size_t i = 0; i < m->watched_count && !m->stopping; i++) {
        pthread_mutex_unlock(&m->lock);
        tell_kind(m, &m->watched[i]);
        pthread_mutex_lock(&m->lock);
    }
    m->again_runs = false;
    m->again_last_us = clock_mono_us();
    pthread_cond_broadcast(&m->idle);
}

/* ---- workers ---- */

/* The next key that is due; NULL at the end. The lock is held. */
static struct work_item *next_item(struct manager *m)
{
    while (!m->stopping) {
        int64_t due = NEVER, now = clock_mono_us();
        if (!m->unsynced && !m->again_runs && m->again_due_us <= now) {
            tell_again(m);
            continue;
        }
        struct work_item *item = m->unsynced ? NULL : workqueue_take(m->queue, now, &due);
        if (item)
            return item;
        if (!m->unsynced && !m->again_runs && m->again_due_us < due)
            due = m->again_due_us;
        wait_until(m, &m->wake, due);
    }
    return NULL;
}

static void sync_item(struct manager *m, struct work_item *item)
{
    struct controller *c = m->controllers[item->owner];
    struct err err = {0};
    int64_t again_us = 0;
    int rc = 0;
    client_await_settled(m->options.client, &m->stopping);
    if (manager_owns(c, item->key)) {
        struct sync_in in = {.key = item->key, .now_us = clock_wall_us()};
        rc = c->type->sync(c, &in, &again_us, &err);
        if (rc && kube_namespace_terminating(&err))
            rc = 0;
    } else if (c->type->left_out) {
        c->type->left_out(c, item->key);
    }
    if (rc)
        log_write(rc == ERR_CONFLICT || rc == ERR_NOT_FOUND ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARN, "controller",
                  "%s %s: %s", c->type->name, item->key, err.message);
    int64_t now = clock_mono_us();
    pthread_mutex_lock(&m->lock);
    workqueue_done(m->queue, item, rc != 0, again_us > 0 ? now + again_us : 0, now);
    pthread_cond_broadcast(&m->idle);
    /* What has just become due may be another worker's. */
    pthread_cond_signal(&m->wake);
}

static void *worker_thread(void *arg)
{
    struct manager *m = arg;
    pthread_mutex_lock(&m->lock);
    for (struct work_item *item; (item = next_item(m));) {
        pthread_mutex_unlock(&m->lock);
        sync_item(m, item); /* returns with the lock held */
    }
    pthread_mutex_unlock(&m->lock);
    return NULL;
}

static void make_controllers(struct manager *m)
{
    for (size_t i = 0; i < CONTROLLER_COUNT; i++) {
        const struct controller_type *type = controller_types[i];
        struct controller *c = mem_zalloc(type->size);
        *c = (struct controller){
            .type = type, .manager = m, .client = m->options.client, .options = &m->options, .id = (int)i};
        if (type->component)
            c->events = event_recorder_new(c->client, type->component, NULL);
        m->controllers[i] = c;
        if (type->start)
            type->start(c);
    }
}

static void make_watched(struct manager *m)
{
    m->watched = mem_calloc(registry_count(), sizeof(*m->watched));
    for (size_t i = 0; i < registry_count(); i++) {
        const struct schema_kind *kind = registry_at(i);
        if (!kind_is_watched(kind))
            continue;
        m->watched[m->watched_count++] = (struct watched){
            .manager = m,
            .kind = kind,
            .id = kind_id_of(kind),
            .resource = {.group = kind->group, .version = kind->version, .resource = kind->plural},
        };
    }
    m->unsynced = m->watched_count;
}

static void init_conds(struct manager *m)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&m->wake, &attr);
    pthread_cond_init(&m->idle, &attr);
    pthread_condattr_destroy(&attr);
}

static int start_workers(struct manager *m, struct err *err)
{
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, WORKER_STACK);
    int want = m->options.workers > 0 ? m->options.workers : WORKERS_DEFAULT;
    for (; m->worker_count < want && m->worker_count < WORKERS_MAX; m->worker_count++) {
        if (pthread_create(&m->workers[m->worker_count], &attr, worker_thread, m)) {
            pthread_attr_destroy(&attr);
            return err_set(err, ERR_INTERNAL, "cannot start a controller thread");
        }
    }
    pthread_attr_destroy(&attr);
    return 0;
}

int manager_start(struct manager **out, const struct manager_options *options, struct err *err)
{
    struct manager *m = mem_zalloc(sizeof(*m));
    m->options = *options;
    m->options.ca_pem = m->ca_pem = mem_strdup(options->ca_pem);
    m->options.node_name = m->node_name = mem_strdup(options->node_name);
    if (!m->options.node_grace_us)
        m->options.node_grace_us = NODE_GRACE_US;
    pthread_mutex_init(&m->lock, NULL);
    init_conds(m);
    m->queue = workqueue_new();
    m->again_due_us = NEVER;
    make_controllers(m);
    make_watched(m);
    for (size_t i = 0; i < m->watched_count; i++) {
        struct watched *w = &m->watched[i];
        w->watch = watch_kind(m, w, watch_event, w);
    }
    client_on_members(options->client, members_changed, m);
    int rc = start_workers(m, err);
    if (rc) {
        manager_stop(m);
        return rc;
    }
    *out = m;
    return 0;
}

void manager_stop(struct manager *m)
{
    if (!m)
        return;
    client_on_members(m->options.client, NULL, NULL);
    for (size_t i = 0; i < m->watched_count; i++)
        client_watch_stop(m->watched[i].watch);
    pthread_mutex_lock(&m->lock);
    m->stopping = true;
    pthread_cond_broadcast(&m->wake);
    pthread_cond_broadcast(&m->idle);
    pthread_mutex_unlock(&m->lock);
    for (int i = 0; i < m->worker_count; i++)
        pthread_join(m->workers[i], NULL);
    for (size_t i = 0; i < CONTROLLER_COUNT; i++) {
        if (controller_types[i]->stop)
            controller_types[i]->stop(m->controllers[i]);
        event_recorder_free(m->controllers[i]->events);
        free(m->controllers[i]);
    }
    workqueue_free(m->queue);
    free(m->watched);
    pthread_cond_destroy(&m->wake);
    pthread_cond_destroy(&m->idle);
    pthread_mutex_destroy(&m->lock);
    free(m->ca_pem);
    free(m->node_name);
    free(m);
}

bool manager_settle(struct manager *m, int timeout_ms)
{
    int64_t deadline = clock_mono_us() + timeout_ms * 1000LL;
    bool idle = false;
    pthread_mutex_lock(&m->lock);
    while (!(idle = !m->unsynced && !m->again_runs && m->again_due_us == NEVER &&
                    workqueue_idle(m->queue, clock_mono_us())) &&
           clock_mono_us() < deadline)
        wait_until(m, &m->idle, clock_mono_us() + 5000);
    pthread_mutex_unlock(&m->lock);
    return idle;
}
