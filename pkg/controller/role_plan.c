/* See role_plan.h. */
#include "controller/role_plan.h"

#include "base/mem.h"
#include "client/kube.h"
#include "codec/json.h"
#include "object/selector.h"

#include <stdlib.h>
#include <string.h>

static bool is_selected(const json_t *role, const json_t *candidate)
{
    size_t i;
    json_t *text;
    json_array_foreach(json_at(role, "aggregationRule", "clusterRoleSelectors"), i, text)
    {
        struct selector *selector = NULL;
        if (selector_from_object(&selector, text, NULL))
            continue;
        bool matches = selector_matches_labels(selector, json_at(candidate, "metadata", "labels"));
        selector_free(selector);
        if (matches)
            return true;
    }
    return false;
}

static int compare_names(const void *x, const void *y)
{
    return strcmp(kube_name(*(json_t *const *)x), kube_name(*(json_t *const *)y));
}

static bool has_rule(const json_t *rules, const json_t *rule)
{
    size_t i;
    json_t *have;
    json_array_foreach(rules, i, have)
    {
        if (json_equal(have, rule))
            return true;
    }
    return false;
}

json_t *role_aggregate(const json_t *role, const json_t *roles)
{
    mem_auto json_t **selected = mem_calloc(json_array_size(roles), sizeof(json_t *));
    size_t n = 0, i, j;
    json_t *candidate, *rule;
    json_array_foreach(roles, i, candidate)
    {
        /* A role never draws on itself, though its labels may match. */
        if (strcmp(kube_name(candidate), kube_name(role)) != 0 && is_selected(role, candidate))
            selected[n++] = candidate;
    }
    qsort(selected, n, sizeof(json_t *), compare_names);
    json_t *rules = json_array();
    for (i = 0; i < n; i++) {
        json_array_foreach(json_object_get(selected[i], "rules"), j, rule)
        {
            if (!has_rule(rules, rule))
                json_array_append(rules, rule);
        }
    }
    return rules;
}
