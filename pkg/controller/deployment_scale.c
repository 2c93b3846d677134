/* Sizes of ReplicaSets; see deployment_plan.h. */
#include "controller/deployment_internal.h"

#include "base/mem.h"
#include "client/kube.h"
#include "codec/json.h"

#include <stdio.h>
#include <string.h>

int64_t deployment_replicas(const json_t *deployment)
{
    return json_int_or(1, deployment, "spec", "replicas");
}

bool deployment_is_recreate(const json_t *deployment)
{
    return !strcmp(json_str_or_empty(deployment, "spec", "strategy", "type"), "Recreate");
}

/* An IntOrString of total: a number, or a percentage rounded up or down. */
static int64_t int_or_percent(const json_t *value, int64_t total, bool up)
{
    if (json_is_integer(value))
        return json_integer_value(value);
    const char *text = json_string_value(value);
    if (!text)
        return up ? (total * 25 + 99) / 100 : total * 25 / 100; /* the default of both is 25% */
    int64_t percent = strtoll(text, NULL, 10);
    return up ? (total * percent + 99) / 100 : total * percent / 100;
}

static const json_t *rolling_field(const json_t *deployment, const char *name)
{
    return json_at(deployment, "spec", "strategy", "rollingUpdate", name);
}

int64_t deployment_max_surge(const json_t *deployment)
{
    if (deployment_is_recreate(deployment))
        return 0;
    return int_or_percent(rolling_field(deployment, "maxSurge"), deployment_replicas(deployment), true);
}

int64_t deployment_max_unavailable(const json_t *deployment)
{
    int64_t replicas = deployment_replicas(deployment);
    if (deployment_is_recreate(deployment) || replicas == 0)
        return 0;
    int64_t n = int_or_percent(rolling_field(deployment, "maxUnavailable"), replicas, false);
    /* Both zero, which rounding of percentages can make, would never get anywhere. */
    if (n == 0 && deployment_max_surge(deployment) == 0)
        n = 1;
    return n > replicas ? replicas : n;
}

int64_t set_replicas(const json_t *rs)
{
    return json_int_or(1, rs, "spec", "replicas");
}

int64_t set_available(const json_t *rs)
{
    return json_int_or(0, rs, "status", "availableReplicas");
}

bool set_active(const json_t *rs)
{
    return set_replicas(rs) > 0;
}

bool set_annotate(json_t *rs, const char *name, const char *value)
{
    json_t *annotations = json_object_ensure(json_object_ensure(rs, "metadata"), "annotations");
    if (!strcmp(json_str_or_empty(annotations, name), value))
        return false;
    json_set_str(annotations, name, value);
    return true;
}

static bool set_annotate_int(json_t *rs, const char *name, int64_t value)
{
    char text[32];
    snprintf(text, sizeof(text), "%lld", (long long)value);
    return set_annotate(rs, name, text);
}

/* A non-negative number in an annotation; -1: none. */
static int64_t annotation_int(const json_t *rs, const char *name)
{
    const char *text = kube_annotation(rs, name);
    char *end;
    if (!text || !*text)
        return -1;
    long long value = strtoll(text, &end, 10);
    return *end || value < 0 || value > INT32_MAX ? -1 : value;
}

void deployment_resize(const json_t *deployment, struct deployment_set *set, int64_t replicas)
{
    int64_t desired = deployment_replicas(deployment);
    if (set_replicas(set->rs) != replicas) {
        json_set_int(json_object_get(set->rs, "spec"), "replicas", replicas);
        set->dirty = true;
    }
    set->dirty |= set_annotate_int(set->rs, ANNOTATION_DESIRED, desired);
    set->dirty |= set_annotate_int(set->rs, ANNOTATION_MAX, desired + deployment_max_surge(deployment));
}

static int64_t total_replicas(const struct deployment_plan *plan)
{
    int64_t total = 0;
    for (size_t i = 0; i < plan->count; i++)
        total += set_replicas(plan->sets[i].rs);
    return total;
}

static int64_t total_available(const struct deployment_plan *plan)
{
    int64_t total = 0;
    for (size_t i = 0; i < plan->count; i++)
        total += set_available(plan->sets[i].rs);
    return total;
}

static struct deployment_set *new_set(const struct deployment_plan *plan)
{
    return plan->new_index < 0 ? NULL : &plan->sets[plan->new_index];
}

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t deployment_new_size(const json_t *deployment, const struct deployment_plan *plan, int64_t current)
{
    int64_t desired = deployment_replicas(deployment);
    if (deployment_is_recreate(deployment))
        return desired;
    int64_t room = desired + deployment_max_surge(deployment) - total_replicas(plan);
    return room <= 0 ? current : current + min64(room, desired - current);
}

bool deployment_is_scaling(const json_t *deployment, const struct deployment_plan *plan)
{
    for (size_t i = 0; i < plan->count; i++) {
        const json_t *rs = plan->sets[i].rs;
        int64_t desired = annotation_int(rs, ANNOTATION_DESIRED);
        if (set_active(rs) && desired >= 0 && desired != deployment_replicas(deployment))
            return true;
    }
    return false;
}

/* The one set that is active, else (none is) the new or the youngest; NULL when several are active. */
static struct deployment_set *active_or_latest(const struct deployment_plan *plan)
{
    struct deployment_set *active = NULL;
    for (size_t i = 0; i < plan->count; i++) {
        if (!set_active(plan->sets[i].rs))
            continue;
        if (active)
            return NULL;
        active = &plan->sets[i];
    }
    if (active || plan->count == 0)
        return active;
    return new_set(plan) ? new_set(plan) : &plan->sets[plan->count - 1];
}

static bool saturated(const json_t *deployment, const struct deployment_set *set)
{
    int64_t desired = deployment_replicas(deployment);
    return set && annotation_int(set->rs, ANNOTATION_DESIRED) == desired &&
           set_replicas(set->rs) == desired && set_available(set->rs) == desired;
}

/* How a set's size changes when the deployment's does, in proportion to its share, rounded to nearest. */
static int64_t set_fraction(const json_t *deployment, const json_t *rs)
{
    int64_t size = set_replicas(rs);
    if (deployment_replicas(deployment) == 0)
        return -size;
    int64_t limit = deployment_replicas(deployment) + deployment_max_surge(deployment);
    int64_t before = annotation_int(rs, ANNOTATION_MAX);
    if (before <= 0)
        before = json_int_or(0, deployment, "status", "replicas");
    if (before <= 0)
        return 0;
    return (2 * size * limit + before) / (2 * before) - size;
}

static int64_t set_proportion(const json_t *deployment, const json_t *rs, int64_t to_add, int64_t added)
{
    if (set_replicas(rs) == 0 || to_add == 0 || to_add == added)
        return 0;
    int64_t fraction = set_fraction(deployment, rs);
    int64_t allowed = to_add - added;
    if (to_add > 0)
        return min64(fraction, allowed);
    return fraction > allowed ? fraction : allowed;
}

/* The active sets, largest first; of equal ones the newer first when growing, the older when shrinking. */
static size_t sets_by_size(const struct deployment_plan *plan, bool newer_first, struct deployment_set **out)
{
    size_t n = 0;
    for (size_t i = 0; i < plan->count; i++) {
        struct deployment_set *set = &plan->sets[newer_first ? plan->count - 1 - i : i];
        if (!set_active(set->rs))
            continue;
        size_t at = n++;
        for (; at > 0 && set_replicas(out[at - 1]->rs) < set_replicas(set->rs); at--)
            out[at] = out[at - 1];
        out[at] = set;
    }
    return n;
}

static void scale_proportionally(const json_t *deployment, struct deployment_plan *plan)
{
    int64_t desired = deployment_replicas(deployment);
    int64_t allowed = desired > 0 ? desired + deployment_max_surge(deployment) : 0;
    int64_t to_add = allowed - total_replicas(plan);
    mem_auto struct deployment_set **sets = mem_calloc(plan->count, sizeof(struct deployment_set *));
    mem_auto int64_t *sizes = mem_calloc(plan->count, sizeof(*sizes));
    size_t n = sets_by_size(plan, to_add > 0, sets);
    int64_t added = 0;
    for (size_t i = 0; i < n; i++) {
        int64_t change = set_proportion(deployment, sets[i]->rs, to_add, added);
        sizes[i] = set_replicas(sets[i]->rs) + change;
        added += change;
    }
    if (n && to_add != 0) {
        sizes[0] += to_add - added;
        sizes[0] = sizes[0] < 0 ? 0 : sizes[0];
    }
    for (size_t i = 0; i < n; i++)
        deployment_resize(deployment, sets[i], sizes[i]);
}

void deployment_scale(const json_t *deployment, struct deployment_plan *plan)
{
    struct deployment_set *only = active_or_latest(plan);
    if (only) {
        deployment_resize(deployment, only, deployment_replicas(deployment));
        return;
    }
    if (saturated(deployment, new_set(plan))) {
        for (size_t i = 0; i < plan->count; i++) {
            if ((int)i != plan->new_index && set_active(plan->sets[i].rs))
                deployment_resize(deployment, &plan->sets[i], 0);
        }
        return;
    }
    if (!deployment_is_recreate(deployment))
        scale_proportionally(deployment, plan);
}

bool deployment_roll_new(const json_t *deployment, struct deployment_plan *plan)
{
    struct deployment_set *set = new_set(plan);
    int64_t size = set_replicas(set->rs);
    int64_t desired = deployment_replicas(deployment);
    if (size == desired)
        return false;
    int64_t next = size > desired ? desired : deployment_new_size(deployment, plan, size);
    if (next == size)
        return false;
    deployment_resize(deployment, set, next);
    return true;
}

/* Takes away at most limit replicas of old sets, oldest set first; unhealthy: only those not available. */
static int64_t shrink_old(const json_t *deployment, struct deployment_plan *plan, int64_t limit,
                          bool unhealthy)
{
    int64_t taken = 0;
    for (size_t i = 0; i < plan->count && taken < limit; i++) {
        struct deployment_set *set = &plan->sets[i];
        int64_t size = set_replicas(set->rs);
        if ((int)i == plan->new_index || size == 0)
            continue;
        int64_t take = unhealthy ? size - set_available(set->rs) : size;
        take = min64(take, limit - taken);
        if (take <= 0)
            continue;
        deployment_resize(deployment, set, size - take);
        taken += take;
    }
    return taken;
}

bool deployment_roll_old(const json_t *deployment, struct deployment_plan *plan)
{
    const json_t *newest = new_set(plan)->rs;
    int64_t total = total_replicas(plan);
    if (total == set_replicas(newest))
        return false;
    int64_t min_available = deployment_replicas(deployment) - deployment_max_unavailable(deployment);
    int64_t limit = total - min_available - (set_replicas(newest) - set_available(newest));
    if (limit <= 0)
        return false;
    int64_t taken = shrink_old(deployment, plan, limit, true);
    taken += shrink_old(deployment, plan, total_available(plan) - min_available, false);
    return taken > 0;
}
