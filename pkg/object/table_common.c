/* Column functions that serve many kinds, and the helpers of table_internal.h. */
#include "object/table_internal.h"

#include "base/mem.h"
#include "base/timefmt.h"
#include "codec/json.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

void table__put_age(struct buf *out, const json_t *time, int64_t now_us)
{
    int64_t then_us;
    const char *text = json_string_value(time);
    if (!text || !timefmt_parse(text, &then_us)) {
        buf_puts(out, "<unknown>");
        return;
    }
    char age[TIMEFMT_MAX];
    timefmt_age(age, (now_us - then_us) / 1000000);
    buf_puts(out, age);
}

json_t *table__text(const struct buf *text)
{
    return json_stringn(buf_str(text), text->len);
}

void table__put_separator(struct buf *out, const char *separator)
{
    if (out->len)
        buf_puts(out, separator);
}

const json_t *table__condition(const json_t *object, const char *type)
{
    size_t i;
    json_t *condition;
    json_array_foreach(json_at(object, "status", "conditions"), i, condition)
    {
        if (strcmp(json_str_or_empty(condition, "type"), type) == 0)
            return condition;
    }
    return NULL;
}

/* age(time) */
static json_t *cell_age(const struct table__call *call)
{
    buf_auto struct buf out = BUF_INIT;
    table__put_age(&out, call->values[0], call->now_us);
    return table__text(&out);
}

/* time(time): the time itself. */
static json_t *cell_time(const struct table__call *call)
{
    return json_is_string(call->values[0]) ? json_incref((json_t *)call->values[0]) : json_null();
}

/* int(number): 0 when there is none. */
static json_t *cell_int(const struct table__call *call)
{
    return json_integer(json_integer_value(call->values[0]));
}

/* ratio(part, whole): "1/3" */
static json_t *cell_ratio(const struct table__call *call)
{
    return json_sprintf("%lld/%lld", (long long)json_integer_value(call->values[0]),
                        (long long)json_integer_value(call->values[1]));
}

/* count(a, b): how many members or items they have together. */
static json_t *cell_count(const struct table__call *call)
{
    size_t count = 0;
    for (size_t i = 0; i < TABLE__ARG_MAX; i++)
        count += json_object_size(call->values[i]) + json_array_size(call->values[i]);
    return json_integer((json_int_t)count);
}

static json_t *text_or(const json_t *value, const char *otherwise)
{
    return json_string_length(value) ? json_incref((json_t *)value) : json_string(otherwise);
}

static json_t *cell_or_none(const struct table__call *call)
{
    return text_or(call->values[0], "<none>");
}

static json_t *cell_or_unknown(const struct table__call *call)
{
    return text_or(call->values[0], "<unknown>");
}

/* trim(text): without white space around it. */
static json_t *cell_trim(const struct table__call *call)
{
    const char *text = json_or_empty_(call->values[0]);
    size_t len = strlen(text);
    while (len && isspace((unsigned char)*text)) {
        text++;
        len--;
    }
    while (len && isspace((unsigned char)text[len - 1]))
        len--;
    return json_stringn(text, len);
}

static void put_labels(struct buf *out, const json_t *labels)
{
    size_t count;
    mem_auto const char **keys = json_sorted_keys(labels, &count);
    for (size_t i = 0; i < count; i++) {
        table__put_separator(out, ",");
        buf_printf(out, "%s=%s", keys[i], json_or_empty_(json_object_get(labels, keys[i])));
    }
}

/* labels(map): "a=b,c=d" */
static json_t *cell_labels(const struct table__call *call)
{
    buf_auto struct buf out = BUF_INIT;
    put_labels(&out, call->values[0]);
    return out.len ? table__text(&out) : json_string("<none>");
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void put_values(struct buf *out, const json_t *values)
{
    size_t count = json_array_size(values);
    mem_auto const char **texts = mem_calloc(count + 1, sizeof(*texts));
    for (size_t i = 0; i < count; i++)
        texts[i] = json_or_empty_(json_array_get(values, i));
    qsort(texts, count, sizeof(*texts), compare_texts);
    for (size_t i = 0; i < count; i++)
        buf_printf(out, "%s%s", i ? "," : "", texts[i]);
}

/* One matchExpression in the language of label selectors. */
static char *requirement_text(const json_t *requirement)
{
    struct buf out = BUF_INIT;
    const char *key = json_str_or_empty(requirement, "key");
    const char *relation = json_str_or_empty(requirement, "operator");
    if (strcmp(relation, "Exists") == 0) {
        buf_puts(&out, key);
    } else if (strcmp(relation, "DoesNotExist") == 0) {
        buf_printf(&out, "!%s", key);
    } else {
        buf_printf(&out, "%s %s (", key, strcmp(relation, "In") == 0 ? "in" : "notin");
        put_values(&out, json_object_get(requirement, "values"));
        buf_putc(&out, ')');
    }
    return buf_steal(&out);
}

/* What requirements are sorted by: their key. */
static const char *requirement_key(const char *text)
{
    return *text == '!' ? text + 1 : text;
}

static size_t key_length(const char *key)
{
    return strcspn(key, "= ");
}

static int compare_requirements(const void *a, const void *b)
{
    const char *x = requirement_key(*(char *const *)a), *y = requirement_key(*(char *const *)b);
    size_t n = key_length(x), m = key_length(y);
    int order = memcmp(x, y, n < m ? n : m);
    return order ? order : (n > m) - (n < m);
}

/* selector(labelSelector): "app=web,tier in (a,b)" */
static json_t *cell_selector(const struct table__call *call)
{
    const json_t *labels = json_object_get(call->values[0], "matchLabels");
    const json_t *expressions = json_object_get(call->values[0], "matchExpressions");
    size_t count = 0;
    mem_auto char **texts =
        mem_calloc(json_object_size(labels) + json_array_size(expressions) + 1, sizeof(*texts));
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)labels, key, value) texts[count++] =
        mem_printf("%s=%s", key, json_or_empty_(value));
    size_t i;
    json_array_foreach(expressions, i, value) texts[count++] = requirement_text(value);
    qsort(texts, count, sizeof(*texts), compare_requirements);
    buf_auto struct buf out = BUF_INIT;
    for (i = 0; i < count; i++) {
        table__put_separator(&out, ",");
        buf_puts(&out, texts[i]);
        free(texts[i]);
    }
    return out.len ? table__text(&out) : json_string("<none>");
}

static json_t *join_member(const json_t *list, const char *member)
{
    buf_auto struct buf out = BUF_INIT;
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
        buf_printf(&out, "%s%s", i ? "," : "", json_or_empty_(json_object_get(item, member)));
    return table__text(&out);
}

/* containers(podSpec), images(podSpec) */
static json_t *cell_containers(const struct table__call *call)
{
    return join_member(json_object_get(call->values[0], "containers"), "name");
}

static json_t *cell_images(const struct table__call *call)
{
    return join_member(json_object_get(call->values[0], "containers"), "image");
}

static void put_lower(struct buf *out, const char *text)
{
    for (; *text; text++)
        buf_putc(out, (char)tolower((unsigned char)*text));
}

/* controller_of(): "deployment.apps/web" of the owner that controls the object. */
static json_t *cell_controller_of(const struct table__call *call)
{
    size_t i;
    json_t *owner;
    json_array_foreach(json_at(call->object, "metadata", "ownerReferences"), i, owner)
    {
        if (!json_bool_at(owner, "controller"))
            continue;
        buf_auto struct buf out = BUF_INIT;
        put_lower(&out, json_str_or_empty(owner, "kind"));
        const char *api_version = json_str_or_empty(owner, "apiVersion");
        const char *slash = strchr(api_version, '/');
        if (slash)
            buf_printf(&out, ".%.*s", (int)(slash - api_version), api_version);
        buf_printf(&out, "/%s", json_str_or_empty(owner, "name"));
        return table__text(&out);
    }
    return json_string("<none>");
}

/* role_ref(): "ClusterRole/admin" */
static json_t *cell_role_ref(const struct table__call *call)
{
    return json_sprintf("%s/%s", json_str_or_empty(call->object, "roleRef", "kind"),
                        json_str_or_empty(call->object, "roleRef", "name"));
}

/* subjects(kind): the names of a binding's subjects of one kind; service accounts with their namespace. */
static json_t *cell_subjects(const struct table__call *call)
{
    buf_auto struct buf out = BUF_INIT;
    size_t i;
    json_t *subject;
    json_array_foreach(json_object_get(call->object, "subjects"), i, subject)
    {
        if (strcmp(json_str_or_empty(subject, "kind"), call->words[0]) != 0)
            continue;
        table__put_separator(&out, ", ");
        const char *namespace = json_str_or_empty(subject, "namespace");
        if (strcmp(call->words[0], "ServiceAccount") == 0)
            buf_printf(&out, "%s/", namespace);
        buf_puts(&out, json_str_or_empty(subject, "name"));
    }
    return table__text(&out);
}

static const json_t *event_time(const json_t *event, const char *name)
{
    return json_object_get(event, name);
}

static void put_first_seen(struct buf *out, const struct table__call *call)
{
    const json_t *first = event_time(call->object, "firstTimestamp");
    table__put_age(out, first ? first : event_time(call->object, "eventTime"), call->now_us);
}

static json_t *cell_event_first_seen(const struct table__call *call)
{
    buf_auto struct buf out = BUF_INIT;
    put_first_seen(&out, call);
    return table__text(&out);
}

static json_t *cell_event_last_seen(const struct table__call *call)
{
    buf_auto struct buf out = BUF_INIT;
    const json_t *series = json_object_get(call->object, "series");
    const json_t *last = event_time(call->object, "lastTimestamp");
    if (series)
        table__put_age(&out, json_object_get(series, "lastObservedTime"), call->now_us);
    else if (last)
        table__put_age(&out, last, call->now_us);
    else
        put_first_seen(&out, call);
    return table__text(&out);
}

static json_t *cell_event_count(const struct table__call *call)
{
    const json_t *series = json_object_get(call->object, "series");
    if (series)
        return json_integer(json_int_or(0, series, "count"));
    int64_t count = json_int_or(0, call->object, "count");
    return json_integer(count ? count : 1);
}

/* event_object(): "pod/web-1" */
static json_t *cell_event_object(const struct table__call *call)
{
    buf_auto struct buf out = BUF_INIT;
    put_lower(&out, json_str_or_empty(call->object, "involvedObject", "kind"));
    const char *name = json_str_or_empty(call->object, "involvedObject", "name");
    if (*name)
        buf_printf(&out, "/%s", name);
    return table__text(&out);
}

static const char *first_text(const char *a, const char *b)
{
    return *a ? a : b;
}

/* event_source(): "kubelet, node-1"; newer events name the controller and its instance elsewhere. */
static json_t *cell_event_source(const struct table__call *call)
{
    const json_t *event = call->object;
    const char *component = first_text(json_str_or_empty(event, "source", "component"),
                                       json_str_or_empty(event, "reportingComponent"));
    const char *instance =
        first_text(json_str_or_empty(event, "source", "host"), json_str_or_empty(event, "reportingInstance"));
    return *instance ? json_sprintf("%s, %s", component, instance) : json_string(component);
}

const struct table__function table__common_functions[] = {
    {"age", cell_age},
    {"time", cell_time},
    {"int", cell_int},
    {"ratio", cell_ratio},
    {"count", cell_count},
    {"or_none", cell_or_none},
    {"or_unknown", cell_or_unknown},
    {"trim", cell_trim},
    {"labels", cell_labels},
    {"selector", cell_selector},
    {"containers", cell_containers},
    {"images", cell_images},
    {"controller_of", cell_controller_of},
    {"role_ref", cell_role_ref},
    {"subjects", cell_subjects},
    {"event_first_seen", cell_event_first_seen},
    {"event_last_seen", cell_event_last_seen},
    {"event_count", cell_event_count},
    {"event_object", cell_event_object},
    {"event_source", cell_event_source},
    {NULL, NULL},
};
