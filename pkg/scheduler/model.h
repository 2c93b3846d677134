/*
 * What the scheduler knows of the cluster: nodes with what they offer and what is taken, and every pod in a
 * few words. Pure; the owner brings the lock. JSON values are shared with the objects that they came from
 * (counted references) and never changed.
 */
#ifndef KATENA_SCHEDULER_MODEL_H
#define KATENA_SCHEDULER_MODEL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sched_resources {
    int64_t cpu_milli;
    int64_t memory;
    int64_t ephemeral;
    json_t *extended; /* name to integer; NULL: none. Owned */
};

/* A pod: on a node, or waiting for one. */
struct sched_pod {
    struct sched_pod *chain;
    char *key;            /* "namespace/name" */
    size_t namespace_len; /* of the key's first part */
    char *uid;
    char *node;            /* NULL: waiting */
    bool assumed;          /* the binding is under way */
    char *labels;          /* JSON text; NULL: none */
    json_t *anti_affinity; /* required terms against others; NULL: none. Owned */
    json_t *ports;         /* array of "protocol address port"; NULL: none. Owned */
    uint64_t controller;   /* digest of its controller's uid; 0: none */
    struct sched_resources requests;
    int64_t score_cpu_milli; /* with a small amount for what asks for none */
    int64_t score_memory;
};

struct sched_node {
    char *name;
    json_t *labels; /* NULL: none. Owned, as are the next two */
    json_t *taints;
    json_t *allocatable_json;
    bool unschedulable;
    struct sched_resources allocatable;
    int64_t allocatable_pods;
    struct sched_resources requested;
    int64_t score_cpu_milli, score_memory;
    int64_t pod_count;
    json_t *ports; /* "protocol address port" to how many pods; owned */
};

struct sched_model {
    struct sched_node **nodes; /* by name */
    size_t node_count, node_cap;
    struct sched_pod **buckets; /* pods that are on a node, also on one that is not known */
    size_t bucket_count, pod_count;
};

void sched_model_init(struct sched_model *m);
void sched_model_free(struct sched_model *m);

/* True when something changed that a decision depends on. */
bool sched_model_set_node(struct sched_model *m, const json_t *node);
void sched_model_remove_node(struct sched_model *m, const char *name);
struct sched_node *sched_model_node(const struct sched_model *m, const char *name);

/* Puts a pod on the node that it names, in place of what was known of it. */
void sched_model_set_pod(struct sched_model *m, const json_t *pod);
/* Puts a pod on a node that it is about to be bound to, and takes it off again if the binding failed and
 * nothing else was learned of the pod meanwhile. */
void sched_model_assume(struct sched_model *m, const json_t *pod, const char *node);
void sched_model_unassume(struct sched_model *m, const char *key, const char *uid);
/* False when the pod was not known. */
bool sched_model_remove_pod(struct sched_model *m, const char *key);
struct sched_pod *sched_model_pod(const struct sched_model *m, const char *key);

/* Calls fn for each pod until it returns false. */
void sched_model_each_pod(const struct sched_model *m, bool (*fn)(void *arg, const struct sched_pod *pod),
                          void *arg);

/* A pod in the model's form; free it with sched_pod_free. */
struct sched_pod *sched_pod_new(const json_t *pod);
void sched_pod_free(struct sched_pod *pod);

/* What a pod asks for: the sum of its containers, at least the most of an init container, plus overhead. */
void sched_requests(const json_t *pod, struct sched_resources *out, int64_t *score_cpu_milli,
                    int64_t *score_memory);
void sched_resources_free(struct sched_resources *r);
uint64_t sched_digest(const char *text);

#endif
