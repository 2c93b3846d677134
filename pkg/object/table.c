/* See table.h and table_internal.h. */
#include "object/table_internal.h"

#include "codec/json.h"

#include <assert.h>
#include <string.h>

/* Spaces around arguments carry nothing. */
static const char *trim(const char *text, size_t *len)
{
    while (*len && *text == ' ') {
        text++;
        (*len)--;
    }
    while (*len && text[*len - 1] == ' ')
        (*len)--;
    return text;
}

/* The value at ".a.b.c". */
static const json_t *follow(const json_t *value, const char *path, size_t len)
{
    const char *end = path + len;
    while (path < end && value) {
        assert(*path == '.');
        path++;
        const char *dot = memchr(path, '.', (size_t)(end - path));
        size_t n = (size_t)((dot ? dot : end) - path);
        char name[TABLE__WORD_MAX];
        assert(n < sizeof(name));
        memcpy(name, path, n);
        name[n] = '\0';
        value = json_object_get(value, name);
        path += n;
    }
    return value;
}

static const struct table__function *find_function(const char *name, size_t len)
{
    static const struct table__function *const families[] = {
        table__common_functions,
        table__pod_functions,
        table__service_functions,
        table__node_functions,
    };
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
        for (const struct table__function *f = families[i]; f->name; f++)
            if (strlen(f->name) == len && memcmp(f->name, name, len) == 0)
                return f;
    return NULL;
}

static void read_arguments(struct table__call *call, const char *text, const char *end)
{
    for (size_t i = 0; text < end; i++) {
        assert(i < TABLE__ARG_MAX);
        const char *comma = memchr(text, ',', (size_t)(end - text));
        const char *stop = comma ? comma : end;
        size_t len = (size_t)(stop - text);
        const char *argument = trim(text, &len);
        assert(len < TABLE__WORD_MAX || *argument == '.');
        if (len && *argument == '.')
            call->values[i] = follow(call->object, argument, len);
        else
            memcpy(call->words[i], argument, len);
        text = comma ? comma + 1 : end;
    }
}

/* Expressions are part of the program (api/), so a bad one is a bug; the registry's test evaluates each. */
static json_t *evaluate(const char *expression, const json_t *object, int64_t now_us)
{
    if (expression[0] == '.') {
        const json_t *value = follow(object, expression, strlen(expression));
        return value ? json_incref((json_t *)value) : json_string("");
    }
    const char *open = strchr(expression, '(');
    assert(open && expression[strlen(expression) - 1] == ')');
    const struct table__function *function = find_function(expression, (size_t)(open - expression));
    assert(function);
    struct table__call call = {.object = object, .now_us = now_us};
    read_arguments(&call, open + 1, expression + strlen(expression) - 1);
    return function->cell(&call);
}

/* What a kind without columns of its own shows, as Kubernetes' default convertor has it. */
static const struct schema_column default_columns[] = {
    {"Name", "string", "name", "The name, unique among the objects of its kind in its namespace.", 0,
     ".metadata.name"},
    {"Created At", "date", "", "When the object was made.", 0, "time(.metadata.creationTimestamp)"},
};

static const struct schema_column scale_columns[] = {
    {"Name", "string", "", "The name of what is scaled.", 0, ".metadata.name"},
    {"Desired", "integer", "", "How many pods are wanted.", 0, ".spec.replicas"},
    {"Available", "integer", "", "How many pods there are.", 0, ".status.replicas"},
    {"Age", "string", "", "How long ago it was made.", 0, "age(.metadata.creationTimestamp)"},
};

const struct schema_kind table_scale_kind = {
    .group = "autoscaling",
    .version = "v1",
    .kind = "Scale",
    .columns = scale_columns,
    .column_count = sizeof(scale_columns) / sizeof(scale_columns[0]),
};

static const struct schema_column *columns_of(const struct schema_kind *kind, size_t *count)
{
    *count = kind->column_count;
    if (kind->column_count)
        return kind->columns;
    *count = sizeof(default_columns) / sizeof(default_columns[0]);
    return default_columns;
}

json_t *table_columns(const struct schema_kind *kind)
{
    size_t count;
    const struct schema_column *columns = columns_of(kind, &count);
    json_t *out = json_array();
    for (size_t i = 0; i < count; i++) {
        json_t *column = json_object();
        json_set_str(column, "name", columns[i].name);
        json_set_str(column, "type", columns[i].type);
        json_set_str(column, "format", columns[i].format);
        json_set_str(column, "description", columns[i].description);
        json_set_int(column, "priority", columns[i].priority);
        json_array_append_new(out, column);
    }
    return out;
}

json_t *table_cells(const struct schema_kind *kind, const json_t *object, int64_t now_us)
{
    size_t count;
    const struct schema_column *columns = columns_of(kind, &count);
    json_t *out = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(out, evaluate(columns[i].expression, object, now_us));
    return out;
}
