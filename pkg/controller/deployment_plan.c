/* See deployment_plan.h. */
#include "controller/deployment_internal.h"

#include "base/buf.h"
#include "base/mem.h"
#include "client/kube.h"
#include "codec/json.h"

#include <stdio.h>
#include <string.h>

#define HASH_LABEL "pod-template-hash"
#define HISTORY_CHARS_MAX 2000

void deployment_hash(char out[DEPLOYMENT_HASH_MAX], const json_t *template, int64_t collisions)
{
    static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";
    mem_auto char *text = json_dumps(template, JSON_COMPACT | JSON_SORT_KEYS);
    uint64_t h = 14695981039346656037ULL;
    for (const char *p = text; p && *p; p++)
        h = (h ^ (uint8_t)*p) * 1099511628211ULL;
    h = (h ^ (uint64_t)collisions) * 1099511628211ULL;
    h ^= h >> 32;
    int n = 10;
    for (int i = 0; i < n; i++, h /= sizeof(alphabet) - 1)
        out[i] = alphabet[h % (sizeof(alphabet) - 1)];
    out[n] = '\0';
}

bool deployment_template_equal(const json_t *deployment, const json_t *rs)
{
    json_auto_t *template = json_deep_copy(json_at(rs, "spec", "template"));
    json_object_del(json_at(template, "metadata", "labels"), HASH_LABEL);
    return kube_equal(template, json_at(deployment, "spec", "template"));
}

static int compare_age(const void *x, const void *y)
{
    const struct deployment_set *a = x, *b = y;
    int64_t ta = kube_created(a->rs), tb = kube_created(b->rs);
    if (ta != tb)
        return ta < tb ? -1 : 1;
    return strcmp(kube_name(a->rs), kube_name(b->rs));
}

static void load_sets(struct deployment_plan *plan, const json_t *deployment, const json_t *sets)
{
    plan->sets = mem_calloc(json_array_size(sets) + 1, sizeof(*plan->sets)); /* room for a new one */
    size_t i;
    json_t *rs;
    json_array_foreach(sets, i, rs) plan->sets[plan->count++] =
        (struct deployment_set){.rs = json_deep_copy(rs), .from = set_replicas(rs)};
    qsort(plan->sets, plan->count, sizeof(*plan->sets), compare_age);
    for (i = 0; i < plan->count && plan->new_index < 0; i++) {
        if (deployment_template_equal(deployment, plan->sets[i].rs))
            plan->new_index = (int)i;
    }
}

static int64_t set_revision(const json_t *rs)
{
    const char *text = kube_annotation(rs, ANNOTATION_REVISION);
    return text ? strtoll(text, NULL, 10) : 0;
}

static bool annotation_is_own(const char *name)
{
    static const char *const own[] = {"kubectl.kubernetes.io/last-applied-configuration",
                                      ANNOTATION_REVISION,
                                      ANNOTATION_HISTORY,
                                      ANNOTATION_DESIRED,
                                      ANNOTATION_MAX,
                                      "deprecated.deployment.rollback.to"};
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        if (!strcmp(name, own[i]))
            return true;
    }
    return false;
}

/* Appends a revision that the set had before to its history, dropping the oldest where that grows too long.
 */
static void append_history(json_t *rs, const char *revision)
{
    const char *history = kube_annotation(rs, ANNOTATION_HISTORY);
    if (!history || !*history) {
        set_annotate(rs, ANNOTATION_HISTORY, revision);
        return;
    }
    while (history && strlen(history) + strlen(revision) + 1 > HISTORY_CHARS_MAX) {
        history = strchr(history, ',');
        history = history ? history + 1 : NULL;
    }
    mem_auto char *text = mem_printf("%s%s%s", history ? history : "", history ? "," : "", revision);
    set_annotate(rs, ANNOTATION_HISTORY, text);
}

/* The new set carries the deployment's annotations and the highest revision. */
static void annotate_new(const json_t *deployment, struct deployment_plan *plan)
{
    struct deployment_set *set = &plan->sets[plan->new_index];
    const char *name;
    json_t *value;
    json_object_foreach(json_at(deployment, "metadata", "annotations"), name, value)
    {
        if (!annotation_is_own(name))
            set->dirty |= set_annotate(set->rs, name, json_or_empty_(value));
    }
    int64_t max_old = 0;
    for (size_t i = 0; i < plan->count; i++) {
        int64_t revision = set_revision(plan->sets[i].rs);
        if ((int)i != plan->new_index && revision > max_old)
            max_old = revision;
    }
    if (set_revision(set->rs) < max_old + 1) {
        mem_auto char *old = mem_strdup(kube_annotation(set->rs, ANNOTATION_REVISION));
        if (old)
            append_history(set->rs, old);
        char text[32];
        snprintf(text, sizeof(text), "%lld", (long long)max_old + 1);
        set_annotate(set->rs, ANNOTATION_REVISION, text);
        set->dirty = true;
    }
    int64_t min_ready = json_int_or(0, deployment, "spec", "minReadySeconds");
    if (json_int_or(0, set->rs, "spec", "minReadySeconds") != min_ready) {
        json_set_int(json_object_get(set->rs, "spec"), "minReadySeconds", min_ready);
        set->dirty = true;
    }
    const char *revision = kube_annotation(set->rs, ANNOTATION_REVISION);
    const char *known = kube_annotation(deployment, ANNOTATION_REVISION);
    if (!known || strcmp(known, revision) != 0)
        plan->revision = revision;
}

static void make_new_set(const json_t *deployment, struct deployment_plan *plan)
{
    const json_t *template = json_at(deployment, "spec", "template");
    char hash[DEPLOYMENT_HASH_MAX];
    deployment_hash(hash, template, json_int_or(0, deployment, "status", "collisionCount"));
    json_t *own = json_deep_copy(template);
    json_set_str(json_object_ensure(json_object_ensure(own, "metadata"), "labels"), HASH_LABEL, hash);
    json_t *selector = json_deep_copy(json_at(deployment, "spec", "selector"));
    json_set_str(json_object_ensure(selector, "matchLabels"), HASH_LABEL, hash);
    mem_auto char *name = mem_printf("%s-%s", kube_name(deployment), hash);
    int64_t size = deployment_new_size(deployment, plan, 0);
    json_t *rs = json_pack("{ss ss s{ss ss sO s[o]} s{sI so so}}", "apiVersion", "apps/v1", "kind",
                           "ReplicaSet", "metadata", "name", name, "namespace", kube_namespace(deployment),
                           "labels", json_at(own, "metadata", "labels"), "ownerReferences",
                           kube_controller_ref("apps/v1", "Deployment", deployment), "spec", "replicas",
                           (json_int_t)size, "selector", selector, "template", own);
    plan->new_index = (int)plan->count;
    plan->sets[plan->count++] = (struct deployment_set){.rs = rs};
    plan->create = true;
    deployment_resize(deployment, &plan->sets[plan->new_index], size);
}

static int compare_revision(const void *x, const void *y)
{
    json_t *const *a = x, *const *b = y;
    int64_t ra = set_revision(*a), rb = set_revision(*b);
    if (ra != rb)
        return ra < rb ? -1 : 1;
    int64_t ta = kube_created(*a), tb = kube_created(*b);
    return ta != tb ? (ta < tb ? -1 : 1) : strcmp(kube_name(*a), kube_name(*b));
}

/* Old sets beyond the history limit, lowest revisions first, as far as nothing runs in them. */
static void clean_history(const json_t *deployment, struct deployment_plan *plan)
{
    int64_t limit = json_int_or(INT32_MAX, deployment, "spec", "revisionHistoryLimit");
    mem_auto json_t **old = mem_calloc(plan->count, sizeof(json_t *));
    size_t n = 0;
    for (size_t i = 0; i < plan->count; i++) {
        if ((int)i != plan->new_index && !kube_deleting(plan->sets[i].rs))
            old[n++] = plan->sets[i].rs;
    }
    qsort(old, n, sizeof(json_t *), compare_revision);
    for (size_t i = 0; (int64_t)i < (int64_t)n - limit; i++) {
        bool busy = json_int_or(0, old[i], "status", "replicas") || set_replicas(old[i]) ||
                    json_int_or(0, old[i], "metadata", "generation") >
                        json_int_or(0, old[i], "status", "observedGeneration");
        if (!busy)
            json_array_append_new(plan->removals, json_string(kube_name(old[i])));
    }
}

static void ensure_new_set(const json_t *deployment, struct deployment_plan *plan)
{
    if (plan->new_index < 0)
        make_new_set(deployment, plan);
    annotate_new(deployment, plan);
}

static void plan_rolling(const json_t *deployment, struct deployment_plan *plan)
{
    ensure_new_set(deployment, plan);
    /* A step at a time: what follows depends on what the last step leads to. */
    bool moved =
        plan->create || deployment_roll_new(deployment, plan) || deployment_roll_old(deployment, plan);
    if (!moved && deployment_complete(deployment, json_at(deployment, "status")))
        clean_history(deployment, plan);
}

static void plan_recreate(const json_t *deployment, struct deployment_plan *plan, bool old_pods)
{
    if (plan->new_index >= 0)
        annotate_new(deployment, plan);
    bool moved = false;
    for (size_t i = 0; i < plan->count; i++) {
        struct deployment_set *set = &plan->sets[i];
        if ((int)i == plan->new_index)
            continue;
        old_pods |= json_int_or(0, set->rs, "status", "replicas") > 0;
        if (!set_active(set->rs))
            continue;
        deployment_resize(deployment, set, 0);
        moved = true;
    }
    if (moved || old_pods)
        return;
    ensure_new_set(deployment, plan);
    if (set_replicas(plan->sets[plan->new_index].rs) != deployment_replicas(deployment))
        deployment_resize(deployment, &plan->sets[plan->new_index], deployment_replicas(deployment));
    if (deployment_complete(deployment, json_at(deployment, "status")))
        clean_history(deployment, plan);
}

void deployment_plan(struct deployment_plan *plan, const json_t *deployment, const json_t *sets,
                     bool old_pods, int64_t now_us)
{
    *plan = (struct deployment_plan){.new_index = -1, .removals = json_array()};
    load_sets(plan, deployment, sets);
    bool paused = json_bool_at(deployment, "spec", "paused");
    bool rollout = !kube_deleting(deployment) && !paused && !deployment_is_scaling(deployment, plan);
    if (rollout && deployment_is_recreate(deployment)) {
        plan_recreate(deployment, plan, old_pods);
    } else if (rollout) {
        plan_rolling(deployment, plan);
    } else if (!kube_deleting(deployment)) {
        if (plan->new_index >= 0)
            annotate_new(deployment, plan);
        deployment_scale(deployment, plan);
        if (paused)
            clean_history(deployment, plan);
    }
    deployment_status(deployment, plan, rollout, now_us);
}

void deployment_plan_free(struct deployment_plan *plan)
{
    for (size_t i = 0; i < plan->count; i++)
        json_decref(plan->sets[i].rs);
    free(plan->sets);
    json_decref(plan->removals);
    json_decref(plan->status);
    *plan = (struct deployment_plan){0};
}
