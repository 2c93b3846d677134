/* See namespace_plan.h. Types, reasons and words as kubectl describe shows them. */
#include "controller/namespace_plan.h"

#include "base/buf.h"
#include "base/timefmt.h"
#include "codec/json.h"

#include <stdlib.h>
#include <string.h>

struct verdict {
    const char *type;
    const char *ok_reason;
    const char *ok_message;
};

static const struct verdict verdicts[] = {
    {"NamespaceDeletionDiscoveryFailure", "ResourcesDiscovered", "All resources successfully discovered"},
    {"NamespaceDeletionGroupVersionParsingFailure", "ParsedGroupVersions",
     "All legacy kube types successfully parsed"},
    {"NamespaceDeletionContentFailure", "ContentDeleted",
     "All content successfully deleted, may be waiting on finalization"},
    {"NamespaceContentRemaining", "ContentRemoved", "All content successfully removed"},
    {"NamespaceFinalizersRemaining", "ContentHasNoFinalizers", "All content-preserving finalizers finished"},
};
enum { VERDICT_CONTENT_FAILURE = 2, VERDICT_REMAINING = 3, VERDICT_FINALIZERS = 4, VERDICT_COUNT = 5 };

static int compare_texts(const void *x, const void *y)
{
    return strcmp(*(const char *const *)x, *(const char *const *)y);
}

/* "pods. has 2 resource instances, …" sorted. */
static void append_counts(struct buf *out, const json_t *counts, const char *words)
{
    const char *names[256];
    size_t n = 0;
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)counts, name, value)
    {
        if (n < sizeof(names) / sizeof(names[0]))
            names[n++] = name;
    }
    qsort(names, n, sizeof(names[0]), compare_texts);
    for (size_t i = 0; i < n; i++)
        buf_printf(out, "%s%s %s %lld resource instances", i ? ", " : "", names[i], words,
                   (long long)json_integer_value(json_object_get(counts, names[i])));
}

static void append_failures(struct buf *out, const json_t *failures)
{
    buf_printf(out, "Failed to delete all resource types, %zu remaining: ", json_array_size(failures));
    for (size_t i = 0; i < json_array_size(failures); i++)
        buf_printf(out, "%s%s", i ? ", " : "", json_or_empty_(json_array_get(failures, i)));
}

static void set_condition(json_t *conditions, const char *type, const char *status, const char *reason,
                          const char *message, int64_t now_us)
{
    char now[TIMEFMT_MAX];
    timefmt_seconds(now, now_us / 1000000);
    json_t *found = NULL;
    size_t i;
    json_t *condition;
    json_array_foreach(conditions, i, condition)
    {
        if (!strcmp(json_str_or_empty(condition, "type"), type))
            found = condition;
    }
    if (!found) {
        found = json_object();
        json_set_str(found, "type", type);
        json_array_append_new(conditions, found);
    }
    if (strcmp(json_str_or_empty(found, "status"), status) != 0) {
        json_set_str(found, "status", status);
        json_set_str(found, "lastTransitionTime", now);
    }
    json_set_str(found, "reason", reason);
    json_set_str(found, "message", message);
}

json_t *namespace_status(const json_t *namespace, const json_t *remaining, const json_t *finalizers,
                         const json_t *failures, int64_t now_us)
{
    json_t *status = json_deep_copy(json_at(namespace, "status"));
    if (!status)
        status = json_object();
    json_set_str(status, "phase", "Terminating");
    json_t *conditions = json_array_ensure(status, "conditions");
    for (int i = 0; i < VERDICT_COUNT; i++) {
        struct buf text = BUF_INIT;
        const char *reason = NULL;
        if (i == VERDICT_CONTENT_FAILURE && json_array_size(failures) > 0) {
            reason = "ContentDeletionFailed";
            append_failures(&text, failures);
        } else if (i == VERDICT_REMAINING && json_object_size(remaining) > 0) {
            reason = "SomeResourcesRemain";
            buf_puts(&text, "Some resources are remaining: ");
            append_counts(&text, remaining, "has");
        } else if (i == VERDICT_FINALIZERS && json_object_size(finalizers) > 0) {
            reason = "SomeFinalizersRemain";
            buf_puts(&text, "Some content in the namespace has finalizers remaining: ");
            append_counts(&text, finalizers, "in");
        }
        set_condition(conditions, verdicts[i].type, reason ? "True" : "False",
                      reason ? reason : verdicts[i].ok_reason,
                      reason ? buf_str(&text) : verdicts[i].ok_message, now_us);
        buf_free(&text);
    }
    return status;
}
