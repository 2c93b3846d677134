/* See model.h. */
#include "scheduler/model.h"

#include "base/mem.h"
#include "client/kube.h"
#include "codec/json.h"
#include "object/quantity.h"

#include <stdio.h>
#include <string.h>

void sched_model_init(struct sched_model *m)
{
    *m = (struct sched_model){.bucket_count = 64};
    m->buckets = mem_calloc(m->bucket_count, sizeof(struct sched_pod *));
}

static void node_free(struct sched_node *n)
{
    free(n->name);
    json_decref(n->labels);
    json_decref(n->taints);
    json_decref(n->allocatable_json);
    json_decref(n->ports);
    sched_resources_free(&n->allocatable);
    sched_resources_free(&n->requested);
    free(n);
}

void sched_pod_free(struct sched_pod *p)
{
    if (!p)
        return;
    free(p->key);
    free(p->uid);
    free(p->node);
    free(p->labels);
    json_decref(p->anti_affinity);
    json_decref(p->ports);
    sched_resources_free(&p->requests);
    free(p);
}

void sched_model_free(struct sched_model *m)
{
    for (size_t i = 0; i < m->node_count; i++)
        node_free(m->nodes[i]);
    for (size_t i = 0; i < m->bucket_count; i++) {
        for (struct sched_pod *p = m->buckets[i], *next; p; p = next) {
            next = p->chain;
            sched_pod_free(p);
        }
    }
    free(m->nodes);
    free(m->buckets);
}

uint64_t sched_digest(const char *text)
{
    uint64_t h = 14695981039346656037ULL;
    for (; *text; text++)
        h = (h ^ (uint8_t)*text) * 1099511628211ULL;
    return h;
}

/* The index of a node, or where it belongs. */
static size_t node_index(const struct sched_model *m, const char *name, bool *found)
{
    size_t low = 0, high = m->node_count;
    while (low < high) {
        size_t mid = (low + high) / 2;
        int order = strcmp(m->nodes[mid]->name, name);
        if (order == 0) {
            *found = true;
            return mid;
        }
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    *found = false;
    return low;
}

struct sched_node *sched_model_node(const struct sched_model *m, const char *name)
{
    bool found;
    size_t i = node_index(m, name, &found);
    return found ? m->nodes[i] : NULL;
}

/* Adds (sign 1) or takes away (-1) what a pod uses on its node. */
static void node_account(struct sched_node *n, const struct sched_pod *p, int sign)
{
    n->requested.cpu_milli += sign * p->requests.cpu_milli;
    n->requested.memory += sign * p->requests.memory;
    n->requested.ephemeral += sign * p->requests.ephemeral;
    n->score_cpu_milli += sign * p->score_cpu_milli;
    n->score_memory += sign * p->score_memory;
    n->pod_count += sign;
    const char *name;
    json_t *value;
    json_object_foreach(p->requests.extended, name, value)
    {
        if (!n->requested.extended)
            n->requested.extended = json_object();
        json_set_int(n->requested.extended, name,
                     json_int_or(0, n->requested.extended, name) + sign * json_integer_value(value));
    }
    size_t i;
    json_array_foreach(p->ports, i, value)
    {
        const char *port = json_string_value(value);
        int64_t users = json_int_or(0, n->ports, port) + sign;
        if (users > 0)
            json_set_int(n->ports, port, users);
        else
            json_object_del(n->ports, port);
    }
}

static void node_load(struct sched_node *n, const json_t *node)
{
    json_decref(n->labels);
    json_decref(n->taints);
    json_decref(n->allocatable_json);
    sched_resources_free(&n->allocatable);
    n->labels = json_incref(json_at(node, "metadata", "labels"));
    n->taints = json_incref(json_at(node, "spec", "taints"));
    n->allocatable_json = json_incref(json_at(node, "status", "allocatable"));
    n->unschedulable = json_bool_at(node, "spec", "unschedulable");

    /* A resource list has the form of a container's requests. */
    int64_t unused_cpu, unused_memory;
    json_auto_t *as_pod =
        json_pack("{s{s[{s{sO*}}]}}", "spec", "containers", "resources", "requests", n->allocatable_json);
    sched_requests(as_pod, &n->allocatable, &unused_cpu, &unused_memory);
    const char *pods = json_str(n->allocatable_json, "pods");
    if (!pods || !quantity_value(pods, &n->allocatable_pods))
        n->allocatable_pods = json_int_or(0, n->allocatable_json, "pods");
}

static bool account_if_here(void *arg, const struct sched_pod *p)
{
    struct sched_node *n = arg;
    if (!strcmp(p->node, n->name))
        node_account(n, p, 1);
    return true;
}

bool sched_model_set_node(struct sched_model *m, const json_t *node)
{
    bool found;
    size_t at = node_index(m, kube_name(node), &found);
    if (found) {
        struct sched_node *n = m->nodes[at];
        if (kube_equal(n->labels, json_at(node, "metadata", "labels")) &&
            kube_equal(n->taints, json_at(node, "spec", "taints")) &&
            kube_equal(n->allocatable_json, json_at(node, "status", "allocatable")) &&
            n->unschedulable == json_bool_at(node, "spec", "unschedulable"))
            return false;
        node_load(n, node);
        return true;
    }
    if (m->node_count == m->node_cap) {
        m->node_cap = m->node_cap ? m->node_cap * 2 : 8;
        m->nodes = mem_reallocarray(m->nodes, m->node_cap, sizeof(struct sched_node *));
    }
    memmove(m->nodes + at + 1, m->nodes + at, (m->node_count - at) * sizeof(struct sched_node *));
    m->node_count++;
    struct sched_node *n = m->nodes[at] = mem_zalloc(sizeof(*n));
    n->name = mem_strdup(kube_name(node));
    n->ports = json_object();
    node_load(n, node);
    sched_model_each_pod(m, account_if_here, n);
    return true;
}

void sched_model_remove_node(struct sched_model *m, const char *name)
{
    bool found;
    size_t at = node_index(m, name, &found);
    if (!found)
        return;
    node_free(m->nodes[at]);
    m->node_count--;
    memmove(m->nodes + at, m->nodes + at + 1, (m->node_count - at) * sizeof(struct sched_node *));
}

void sched_model_each_pod(const struct sched_model *m, bool (*fn)(void *arg, const struct sched_pod *pod),
                          void *arg)
{
    for (size_t i = 0; i < m->bucket_count; i++) {
        for (struct sched_pod *p = m->buckets[i]; p; p = p->chain) {
            if (!fn(arg, p))
                return;
        }
    }
}

static struct sched_pod **pod_link(const struct sched_model *m, const char *key)
{
    struct sched_pod **link = &m->buckets[sched_digest(key) & (m->bucket_count - 1)];
    while (*link && strcmp((*link)->key, key) != 0)
        link = &(*link)->chain;
    return link;
}

struct sched_pod *sched_model_pod(const struct sched_model *m, const char *key)
{
    return *pod_link(m, key);
}

static void add_host_ports(json_t **ports, const json_t *containers)
{
    size_t i, j;
    json_t *container, *port;
    json_array_foreach(containers, i, container)
    {
        json_array_foreach(json_object_get(container, "ports"), j, port)
        {
            int64_t number = json_int_or(0, port, "hostPort");
            const char *protocol = json_str_or_empty(port, "protocol");
            const char *ip = json_str_or_empty(port, "hostIP");
            if (number <= 0)
                continue;
            mem_auto char *text = mem_printf("%s %s %lld", *protocol ? protocol : "TCP", *ip ? ip : "0.0.0.0",
                                             (long long)number);
            if (!*ports)
                *ports = json_array();
            json_array_append_new(*ports, json_string(text));
        }
    }
}

struct sched_pod *sched_pod_new(const json_t *pod)
{
    struct sched_pod *p = mem_zalloc(sizeof(*p));
    char key[KUBE_KEY_MAX];
    kube_key(key, pod);
    p->key = mem_strdup(key);
    p->namespace_len = strlen(kube_namespace(pod));
    p->uid = mem_strdup(kube_uid(pod));
    const char *node = json_str_or_empty(pod, "spec", "nodeName");
    p->node = *node ? mem_strdup(node) : NULL;
    json_t *labels = json_at(pod, "metadata", "labels");
    p->labels = labels ? json_dumps(labels, JSON_COMPACT) : NULL;
    p->anti_affinity = json_incref(json_at(pod, "spec", "affinity", "podAntiAffinity",
                                           "requiredDuringSchedulingIgnoredDuringExecution"));
    add_host_ports(&p->ports, json_at(pod, "spec", "containers"));
    add_host_ports(&p->ports, json_at(pod, "spec", "initContainers"));
    const char *controller = json_str(kube_controller(pod), "uid");
    p->controller = controller ? sched_digest(controller) : 0;
    sched_requests(pod, &p->requests, &p->score_cpu_milli, &p->score_memory);
    return p;
}

bool sched_model_remove_pod(struct sched_model *m, const char *key)
{
    struct sched_pod **link = pod_link(m, key);
    struct sched_pod *p = *link;
    if (!p)
        return false;
    struct sched_node *n = sched_model_node(m, p->node);
    if (n)
        node_account(n, p, -1);
    *link = p->chain;
    m->pod_count--;
    sched_pod_free(p);
    return true;
}

static void grow(struct sched_model *m)
{
    struct sched_pod **old = m->buckets;
    size_t count = m->bucket_count;
    m->bucket_count *= 2;
    m->buckets = mem_calloc(m->bucket_count, sizeof(struct sched_pod *));
    for (size_t i = 0; i < count; i++) {
        for (struct sched_pod *p = old[i], *next; p; p = next) {
            next = p->chain;
            struct sched_pod **bucket = &m->buckets[sched_digest(p->key) & (m->bucket_count - 1)];
            p->chain = *bucket;
            *bucket = p;
        }
    }
    free(old);
}

static void put_pod(struct sched_model *m, struct sched_pod *p)
{
    sched_model_remove_pod(m, p->key);
    if (!p->node) {
        sched_pod_free(p);
        return;
    }
    if (m->pod_count >= m->bucket_count)
        grow(m);
    struct sched_pod **bucket = &m->buckets[sched_digest(p->key) & (m->bucket_count - 1)];
    p->chain = *bucket;
    *bucket = p;
    m->pod_count++;
    struct sched_node *n = sched_model_node(m, p->node);
    if (n)
        node_account(n, p, 1);
}

void sched_model_set_pod(struct sched_model *m, const json_t *pod)
{
    put_pod(m, sched_pod_new(pod));
}

void sched_model_assume(struct sched_model *m, const json_t *pod, const char *node)
{
    struct sched_pod *p = sched_pod_new(pod);
    free(p->node);
    p->node = mem_strdup(node);
    p->assumed = true;
    put_pod(m, p);
}

void sched_model_unassume(struct sched_model *m, const char *key, const char *uid)
{
    const struct sched_pod *p = sched_model_pod(m, key);
    if (p && p->assumed && !strcmp(p->uid, uid))
        sched_model_remove_pod(m, key);
}
