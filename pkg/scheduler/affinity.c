/* Selectors of nodes, and what pods mean to one another; see decide.h. */
#include "scheduler/decide.h"

#include "base/mem.h"
#include "client/kube.h"
#include "codec/json.h"
#include "object/selector.h"

#include <stdlib.h>
#include <string.h>

static bool in_values(const json_t *values, const char *value)
{
    size_t i;
    json_t *v;
    json_array_foreach(values, i, v)
    {
        if (!strcmp(json_or_empty_(v), value))
            return true;
    }
    return false;
}

static bool compares(const char *value, const json_t *values, bool greater)
{
    const char *bound = json_string_value(json_array_get(values, 0));
    char *end_a, *end_b;
    if (!value || !bound || !*value || !*bound)
        return false;
    long long a = strtoll(value, &end_a, 10), b = strtoll(bound, &end_b, 10);
    return !*end_a && !*end_b && (greater ? a > b : a < b);
}

static bool requirement_holds(const json_t *requirement, const char *value)
{
    const char *operator= json_str_or_empty(requirement, "operator");
    const json_t *values = json_object_get(requirement, "values");
    if (!strcmp(operator, "In"))
        return value && in_values(values, value);
    if (!strcmp(operator, "NotIn"))
        return !value || !in_values(values, value);
    if (!strcmp(operator, "Exists"))
        return value;
    if (!strcmp(operator, "DoesNotExist"))
        return !value;
    return compares(value, values, !strcmp(operator, "Gt"));
}

bool sched_term_matches(const struct sched_node *node, const json_t *term)
{
    const json_t *expressions = json_object_get(term, "matchExpressions");
    const json_t *fields = json_object_get(term, "matchFields");
    if (json_array_size(expressions) + json_array_size(fields) == 0)
        return false; /* an empty term selects nothing */
    size_t i;
    json_t *requirement;
    json_array_foreach(expressions, i, requirement)
    {
        if (!requirement_holds(requirement, json_str(node->labels, json_str_or_empty(requirement, "key"))))
            return false;
    }
    json_array_foreach(fields, i, requirement)
    {
        bool name = !strcmp(json_str_or_empty(requirement, "key"), "metadata.name");
        if (!requirement_holds(requirement, name ? node->name : NULL))
            return false;
    }
    return true;
}

bool sched_node_selected(const struct sched_node *node, const json_t *pod)
{
    const char *name;
    json_t *value;
    json_object_foreach(json_at(pod, "spec", "nodeSelector"), name, value)
    {
        const char *have = json_str(node->labels, name);
        if (!have || strcmp(have, json_or_empty_(value)) != 0)
            return false;
    }
    const json_t *required =
        json_at(pod, "spec", "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution");
    if (!required)
        return true;
    size_t i;
    json_t *term;
    json_array_foreach(json_object_get(required, "nodeSelectorTerms"), i, term)
    {
        if (sched_term_matches(node, term))
            return true;
    }
    return false;
}

enum rule_type { RULE_AFFINITY, RULE_ANTI_AFFINITY, RULE_SPREAD, RULE_EXISTING };

/* One term of the pod: how many pods that it selects are in each value of its topology key. */
struct rule {
    enum rule_type type;
    const char *key; /* topologyKey */
    const json_t *term;
    struct selector *selector; /* NULL: selects nothing */
    json_t *counts;            /* topology value to pods */
    bool self;                 /* the pod matches its own term */
    int64_t max_skew, least;   /* of spreading */
};

struct sched_topology {
    struct rule *rules;
    size_t count;
};

static const char *topology_of(const struct sched_node *node, const char *key)
{
    return node ? json_str(node->labels, key) : NULL;
}

static void bump(json_t *counts, const char *value)
{
    json_set_int(counts, value, json_int_or(0, counts, value) + 1);
}

/* Whether a term written in `home` speaks of the namespace ns. Labels of namespaces are not known here: a
 * namespace selector is taken to select all. */
static bool term_has_namespace(const json_t *term, const char *home, const char *ns, size_t ns_len)
{
    if (json_object_get(term, "namespaceSelector"))
        return true;
    const json_t *names = json_object_get(term, "namespaces");
    if (json_array_size(names) == 0)
        return strlen(home) == ns_len && !strncmp(home, ns, ns_len);
    size_t i;
    json_t *name;
    json_array_foreach(names, i, name)
    {
        if (json_string_length(name) == ns_len && !strncmp(json_string_value(name), ns, ns_len))
            return true;
    }
    return false;
}

static struct rule *add_rule(struct sched_topology *t, enum rule_type type, const json_t *term)
{
    t->rules = mem_reallocarray(t->rules, t->count + 1, sizeof(*t->rules));
    struct rule *rule = &t->rules[t->count++];
    *rule = (struct rule){.type = type,
                          .term = term,
                          .key = json_str_or_empty(term, "topologyKey"),
                          .counts = json_object(),
                          .max_skew = json_int_or(1, term, "maxSkew")};
    if (selector_from_object(&rule->selector, json_object_get(term, "labelSelector"), NULL))
        rule->selector = NULL;
    return rule;
}

static void add_rules(struct sched_topology *t, enum rule_type type, const json_t *terms)
{
    size_t i;
    json_t *term;
    json_array_foreach(terms, i, term)
    {
        if (type != RULE_SPREAD || !strcmp(json_str_or_empty(term, "whenUnsatisfiable"), "DoNotSchedule"))
            add_rule(t, type, term);
    }
}

struct walk {
    struct sched_topology *t;
    const struct sched_model *model;
    const json_t *pod;
    const char *namespace;
};

/* What a pod that is on a node forbids to the new one. */
static void note_existing(struct walk *w, const struct sched_pod *p, const struct sched_node *node)
{
    mem_auto char *home = mem_strndup(p->key, p->namespace_len);
    size_t i;
    json_t *term;
    json_array_foreach(p->anti_affinity, i, term)
    {
        const char *value = topology_of(node, json_str_or_empty(term, "topologyKey"));
        struct selector *selector = NULL;
        if (!value || !term_has_namespace(term, home, w->namespace, strlen(w->namespace)) ||
            selector_from_object(&selector, json_object_get(term, "labelSelector"), NULL))
            continue;
        if (selector_matches_labels(selector, json_at(w->pod, "metadata", "labels")))
            bump(add_rule(w->t, RULE_EXISTING, term)->counts, value);
        selector_free(selector);
    }
}

static bool count_pod(void *arg, const struct sched_pod *p)
{
    struct walk *w = arg;
    const struct sched_node *node = sched_model_node(w->model, p->node);
    if (!node)
        return true;
    json_auto_t *labels = NULL;
    for (size_t i = 0; i < w->t->count; i++) {
        struct rule *rule = &w->t->rules[i];
        const char *value = topology_of(node, rule->key);
        if (rule->type == RULE_EXISTING || !value || !rule->selector ||
            !term_has_namespace(rule->term, w->namespace, p->key, p->namespace_len))
            continue;
        if (!labels && p->labels)
            labels = json_loads(p->labels, 0, NULL);
        if (selector_matches_labels(rule->selector, labels))
            bump(rule->counts, value);
    }
    if (p->anti_affinity)
        note_existing(w, p, node);
    return true;
}

/* The least loaded value among the nodes that the pod may go to. */
static void find_least(const struct sched_model *model, struct rule *rule, const json_t *pod)
{
    rule->least = INT64_MAX;
    for (size_t i = 0; i < model->node_count; i++) {
        const char *value = topology_of(model->nodes[i], rule->key);
        if (!value || !sched_node_selected(model->nodes[i], pod))
            continue;
        int64_t pods = json_int_or(0, rule->counts, value);
        rule->least = pods < rule->least ? pods : rule->least;
    }
}

struct sched_topology *sched_topology_new(const struct sched_model *model, const json_t *pod)
{
    struct sched_topology *t = mem_zalloc(sizeof(*t));
    static const char required[] = "requiredDuringSchedulingIgnoredDuringExecution";
    add_rules(t, RULE_SPREAD, json_at(pod, "spec", "topologySpreadConstraints"));
    add_rules(t, RULE_AFFINITY, json_at(pod, "spec", "affinity", "podAffinity", required));
    add_rules(t, RULE_ANTI_AFFINITY, json_at(pod, "spec", "affinity", "podAntiAffinity", required));
    struct walk walk = {t, model, pod, kube_namespace(pod)};
    sched_model_each_pod(model, count_pod, &walk);
    for (size_t i = 0; i < t->count; i++) {
        struct rule *rule = &t->rules[i];
        rule->self = rule->selector &&
                     selector_matches_labels(rule->selector, json_at(pod, "metadata", "labels")) &&
                     term_has_namespace(rule->term, walk.namespace, walk.namespace, strlen(walk.namespace));
        if (rule->type == RULE_SPREAD)
            find_least(model, rule, pod);
    }
    return t;
}

void sched_topology_free(struct sched_topology *t)
{
    for (size_t i = 0; i < t->count; i++) {
        selector_free(t->rules[i].selector);
        json_decref(t->rules[i].counts);
    }
    free(t->rules);
    free(t);
}

const char *sched_topology_refuses(const struct sched_topology *t, const struct sched_node *node,
                                   bool *resolvable)
{
    for (size_t i = 0; i < t->count; i++) {
        const struct rule *rule = &t->rules[i];
        const char *value = topology_of(node, rule->key);
        int64_t pods = value ? json_int_or(0, rule->counts, value) : 0;
        *resolvable = true;
        switch (rule->type) {
        case RULE_SPREAD:
            *resolvable = value;
            if (!value)
                return "node(s) didn't match pod topology spread constraints (missing required label)";
            if (pods + rule->self - rule->least > rule->max_skew)
                return "node(s) didn't match pod topology spread constraints";
            break;
        case RULE_AFFINITY:
            *resolvable = false;
            /* The first pod of a group that wants to be together has none to join. */
            if (!value || (pods == 0 && !(rule->self && json_object_size(rule->counts) == 0)))
                return "node(s) didn't match pod affinity rules";
            break;
        case RULE_ANTI_AFFINITY:
            if (pods > 0)
                return "node(s) didn't match pod anti-affinity rules";
            break;
        case RULE_EXISTING:
            if (pods > 0)
                return "node(s) didn't satisfy existing pods anti-affinity rules";
            break;
        }
    }
    return NULL;
}
