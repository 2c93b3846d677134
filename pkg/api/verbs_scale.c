/* The scale subresource: autoscaling/v1 Scale over spec.replicas of its kind. */
#include "api/verbs_internal.h"

#include "object/registry.h"

#include <stdlib.h>

#define SCALE_MESSAGE "io.k8s.api.autoscaling.v1.Scale"

static int compare_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void join(struct buf *out, const char *separator)
{
    if (out->len > 0)
        buf_puts(out, separator);
}

static void write_labels(struct buf *out, const json_t *labels)
{
    size_t count = json_object_size(labels), i = 0;
    const char **names = calloc(count + 1, sizeof(*names));
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)labels, name, value) names[i++] = name;
    qsort(names, count, sizeof(*names), compare_text);
    for (i = 0; i < count; i++) {
        join(out, ",");
        buf_printf(out, "%s=%s", names[i], json_str_or_empty(labels, names[i]));
    }
    free(names);
}

static void write_requirement(struct buf *out, const json_t *requirement)
{
    const char *key = json_str_or_empty(requirement, "key");
    const char *operator= json_str_or_empty(requirement, "operator");
    join(out, ",");
    if (!strcmp(operator, "Exists") || !strcmp(operator, "DoesNotExist")) {
        buf_printf(out, "%s%s", *operator== 'D' ? "!" : "", key);
        return;
    }
    buf_printf(out, "%s %s (", key, !strcmp(operator, "In") ? "in" : "notin");
    size_t i;
    const json_t *value;
    json_array_foreach(json_object_get(requirement, "values"), i, value)
        buf_printf(out, "%s%s", i ? "," : "", json_string_value(value));
    buf_putc(out, ')');
}

/* A label selector in the text form that clients put into a query. */
static void write_selector(struct buf *out, const json_t *selector)
{
    write_labels(out, json_object_get(selector, "matchLabels"));
    size_t i;
    const json_t *requirement;
    json_array_foreach(json_object_get(selector, "matchExpressions"), i, requirement)
        write_requirement(out, requirement);
}

static json_t *scale_of(const json_t *object)
{
    static const char *const kept[] = {"name", "namespace", "uid", "resourceVersion", "creationTimestamp"};
    json_t *metadata = json_object();
    for (size_t i = 0; i < sizeof(kept) / sizeof(*kept); i++) {
        json_t *value = json_at(object, "metadata", kept[i]);
        if (value)
            json_object_set_new(metadata, kept[i], json_deep_copy(value));
    }
    json_t *spec = json_object(), *status = json_object();
    int64_t replicas = json_int_or(0, object, "spec", "replicas");
    if (replicas)
        json_set_int(spec, "replicas", replicas);
    json_set_int(status, "replicas", json_int_or(0, object, "status", "replicas"));
    buf_auto struct buf selector = BUF_INIT;
    write_selector(&selector, json_at(object, "spec", "selector"));
    if (selector.len > 0)
        json_set_str(status, "selector", buf_str(&selector));
    return json_pack("{s:s, s:s, s:o, s:o, s:o}", "kind", "Scale", "apiVersion", "autoscaling/v1", "metadata",
                     metadata, "spec", spec, "status", status);
}

/* The Scale that the client wants. */
static int wanted_scale(struct api_call *call, json_t **out)
{
    if (call->request->verb == API_UPDATE)
        return call_decode_message(call, SCALE_MESSAGE, "autoscaling", "v1", "Scale", out);
    json_auto_t *patch = NULL;
    int rc = call_decode_value(call, &patch);
    if (rc)
        return rc;
    json_auto_t *live = scale_of(call->live);
    return verbs_patch_apply(call, registry_message(SCALE_MESSAGE), live, patch, out);
}

int verbs_scale(struct api_call *call)
{
    enum api_verb verb = call->request->verb;
    int rc = call_live(call);
    if (rc)
        return rc;
    if (verb == API_GET) {
        call_reply_object(call, 200, scale_of(call->live));
        return 0;
    }
    if (verb != API_UPDATE && verb != API_PATCH)
        return err_set(&call->err, ERR_METHOD,
                       "the server does not allow this method on the requested resource");
    json_auto_t *scale = NULL;
    rc = wanted_scale(call, &scale);
    if (!rc)
        rc = call_check_identity(call, scale, false);
    struct call_write write = {
        .verb = verb == API_PATCH ? "patch" : "update", .subresource = "scale", .status = 200};
    if (!rc)
        rc = call_check_version(call, scale, &write.strict);
    if (rc)
        return rc;
    write.strict = write.strict && verb == API_UPDATE;
    json_t *replicas = json_at(scale, "spec", "replicas");
    if (replicas && !json_is_integer(replicas))
        return err_set(&call->err, ERR_BAD_REQUEST, "spec.replicas of a Scale must be an integer");
    if (json_integer_value(replicas) < 0)
        return call_invalid_field(call, call->request->name, "FieldValueInvalid", "spec.replicas",
                                  "Invalid value: %lld: must be greater than or equal to 0",
                                  (long long)json_integer_value(replicas));
    json_auto_t *object = json_deep_copy(call->live);
    json_set_int(json_object_ensure(object, "spec"), "replicas", json_integer_value(replicas));
    write.reply = scale_of(object);
    return call_update_to(call, object, &write);
}
