/* Deployments, ReplicaSets and ControllerRevisions. */
#include "object/validate_internal.h"

#include "codec/json.h"
#include "object/selector.h"

#include <stdlib.h>
#include <string.h>

static const char *const always[] = {"Always", NULL};

/* The template must be of Pods that the selector finds and that always restart. */
static void check_template(struct field_errors *errors, const struct where *at, const json_t *spec,
                           const struct selector *selector)
{
    const json_t *template = json_object_get(spec, "template");
    const json_t *labels = json_at(template, "metadata", "labels");
    const struct where *spec_at = AT(at, "spec");
    if (!selector_empty(selector) && !selector_matches_labels(selector, labels)) {
        const struct where *metadata = AT(at, "metadata");
        error_invalid(errors, AT(metadata, "labels"), labels, "`selector` does not match template `labels`");
    }
    check_pod_template(errors, at, template);
    const char *restart = json_str_or_empty(template, "spec", "restartPolicy");
    if (strcmp(restart, "Always") != 0)
        error_not_supported(errors, AT(spec_at, "restartPolicy"), restart, always);
    if (json_at(template, "spec", "activeDeadlineSeconds"))
        error_forbidden(errors, AT(spec_at, "activeDeadlineSeconds"),
                        "activeDeadlineSeconds in ReplicaSet is not Supported");
}

static void check_selector_and_template(struct field_errors *errors, const struct where *at,
                                        const json_t *spec)
{
    const struct where *selector_at = AT(at, "selector");
    const json_t *value = json_object_get(spec, "selector");
    if (!value) {
        error_required(errors, selector_at, "");
    } else {
        check_label_selector(errors, selector_at, value);
        if (!json_object_size(json_object_get(value, "matchLabels")) &&
            !json_array_size(json_object_get(value, "matchExpressions")))
            error_invalid(errors, selector_at, value, "empty selector is invalid for deployment");
    }
    struct selector *selector = NULL;
    if (selector_from_object(&selector, value, NULL)) {
        error_invalid(errors, selector_at, value, "invalid label selector");
        return;
    }
    check_template(errors, AT(at, "template"), spec, selector);
    selector_free(selector);
}

/* The number in "25%"; -1 when the value is no percentage. */
static long percent(const json_t *value)
{
    const char *text = json_string_value(value);
    size_t digits = text ? strspn(text, "0123456789") : 0;
    return digits && digits < 10 && !strcmp(text + digits, "%") ? strtol(text, NULL, 10) : -1;
}

static void check_amount(struct field_errors *errors, const struct where *at, const json_t *value)
{
    if (!json_is_string(value))
        check_not_negative(errors, at, value);
    else if (percent(value) < 0)
        error_invalid(
            errors, at, value,
            "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or "
            "'93%', regex used for validation is '[0-9]+%')");
}

static long amount(const json_t *value)
{
    return percent(value) >= 0 ? percent(value) : (long)json_integer_value(value);
}

static void check_rolling_update(struct field_errors *errors, const struct where *at, const json_t *rolling)
{
    const json_t *unavailable = json_object_get(rolling, "maxUnavailable");
    const json_t *surge = json_object_get(rolling, "maxSurge");
    const struct where *unavailable_at = AT(at, "maxUnavailable");
    check_amount(errors, unavailable_at, unavailable);
    check_amount(errors, AT(at, "maxSurge"), surge);
    if (!amount(unavailable) && !amount(surge))
        error_invalid(errors, unavailable_at, unavailable, "may not be 0 when `maxSurge` is 0");
    if (percent(unavailable) > 100)
        error_invalid(errors, unavailable_at, unavailable, "must not be greater than 100%");
}

static void check_strategy(struct field_errors *errors, const struct where *at, const json_t *strategy)
{
    static const char *const types[] = {"Recreate", "RollingUpdate", NULL};
    const char *type = text_at(strategy, "type");
    const json_t *rolling = json_object_get(strategy, "rollingUpdate");
    const struct where *rolling_at = AT(at, "rollingUpdate");
    if (!strcmp(type, "RollingUpdate")) {
        if (rolling)
            check_rolling_update(errors, rolling_at, rolling);
        else
            error_required(errors, rolling_at, "this should be defaulted and never be nil");
    } else if (strcmp(type, "Recreate") != 0) {
        error_not_supported(errors, AT(at, "type"), type, types);
    } else if (rolling) {
        error_forbidden(errors, rolling_at, "may not be specified when strategy `type` is 'Recreate'");
    }
}

void validate_deployment(struct field_errors *errors, const json_t *object, const json_t *old)
{
    (void)old;
    const json_t *spec = json_object_get(object, "spec");
    const struct where *at = AT(NULL, "spec");
    check_not_negative(errors, AT(at, "replicas"), json_object_get(spec, "replicas"));
    check_selector_and_template(errors, at, spec);
    check_strategy(errors, AT(at, "strategy"), json_object_get(spec, "strategy"));
    check_not_negative(errors, AT(at, "minReadySeconds"), json_object_get(spec, "minReadySeconds"));
    check_not_negative(errors, AT(at, "revisionHistoryLimit"), json_object_get(spec, "revisionHistoryLimit"));
    const json_t *deadline = json_object_get(spec, "progressDeadlineSeconds");
    if (!deadline)
        return;
    const struct where *deadline_at = AT(at, "progressDeadlineSeconds");
    check_not_negative(errors, deadline_at, deadline);
    if (json_integer_value(deadline) <= int_at(spec, "minReadySeconds"))
        error_invalid(errors, deadline_at, deadline, "must be greater than minReadySeconds");
}

void validate_replica_set(struct field_errors *errors, const json_t *object, const json_t *old)
{
    (void)old;
    const json_t *spec = json_object_get(object, "spec");
    const struct where *at = AT(NULL, "spec");
    check_not_negative(errors, AT(at, "replicas"), json_object_get(spec, "replicas"));
    check_not_negative(errors, AT(at, "minReadySeconds"), json_object_get(spec, "minReadySeconds"));
    check_selector_and_template(errors, at, spec);
}

/* Counters that are part of others. */
static void check_counts(struct field_errors *errors, const json_t *status, const char *const *names,
                         const char *const *parts)
{
    const struct where *at = AT(NULL, "status");
    for (; *names; names++)
        check_not_negative(errors, AT(at, *names), json_object_get(status, *names));
    for (; *parts; parts++)
        if (int_at(status, *parts) > int_at(status, "replicas"))
            error_invalid_int(errors, AT(at, *parts), int_at(status, *parts),
                              "cannot be greater than status.replicas");
    if (int_at(status, "availableReplicas") > int_at(status, "readyReplicas"))
        error_invalid_int(errors, AT(at, "availableReplicas"), int_at(status, "availableReplicas"),
                          "cannot be greater than readyReplicas");
}

void validate_deployment_status(struct field_errors *errors, const json_t *object, const json_t *old)
{
    static const char *const names[] = {"observedGeneration",  "replicas",          "updatedReplicas",
                                        "readyReplicas",       "availableReplicas", "unavailableReplicas",
                                        "terminatingReplicas", "collisionCount",    NULL};
    static const char *const parts[] = {"updatedReplicas", "readyReplicas", "availableReplicas", NULL};
    const json_t *status = json_object_get(object, "status");
    check_counts(errors, status, names, parts);
    int64_t count = int_at(status, "collisionCount");
    if (count < json_int_or(0, old, "status", "collisionCount")) {
        const struct where *at = AT(NULL, "status");
        error_invalid_int(errors, AT(at, "collisionCount"), count, "cannot be decremented");
    }
}

void validate_replica_set_status(struct field_errors *errors, const json_t *object, const json_t *old)
{
    (void)old;
    static const char *const names[] = {"replicas",
                                        "fullyLabeledReplicas",
                                        "readyReplicas",
                                        "availableReplicas",
                                        "observedGeneration",
                                        "terminatingReplicas",
                                        NULL};
    static const char *const parts[] = {"fullyLabeledReplicas", "readyReplicas", "availableReplicas", NULL};
    check_counts(errors, json_object_get(object, "status"), names, parts);
}

void validate_controller_revision(struct field_errors *errors, const json_t *object, const json_t *old)
{
    const json_t *data = json_object_get(object, "data");
    const struct where *at = AT(NULL, "data");
    check_not_negative(errors, AT(NULL, "revision"), json_object_get(object, "revision"));
    if (old)
        check_immutable(errors, at, data, json_object_get(old, "data"), "field is immutable");
    else if (!data || json_is_null(data))
        error_required(errors, at, "data is mandatory");
    else if (!json_is_object(data))
        error_required(errors, at, "data must be a valid JSON object");
}
