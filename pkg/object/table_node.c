/* The columns of nodes. */
#include "object/table_internal.h"

#include "base/mem.h"
#include "codec/json.h"

#include <stdlib.h>
#include <string.h>

#define ROLE_PREFIX "node-role.kubernetes.io/"
#define ROLE_LABEL "kubernetes.io/role"

/* "Ready,SchedulingDisabled" */
static json_t *cell_status(const struct table__call *call)
{
    const json_t *ready = table__condition(call->object, "Ready");
    bool is_ready = strcmp(json_str_or_empty(ready, "status"), "True") == 0;
    bool cordoned = json_bool_at(call->object, "spec", "unschedulable");
    return json_sprintf("%s%s",
                        !ready     ? "Unknown"
                        : is_ready ? "Ready"
                                   : "NotReady",
                        cordoned ? ",SchedulingDisabled" : "");
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The distinct roles that labels give the node, sorted. */
static json_t *cell_roles(const struct table__call *call)
{
    const json_t *labels = json_at(call->object, "metadata", "labels");
    mem_auto const char **roles = mem_calloc(json_object_size(labels) + 1, sizeof(*roles));
    size_t count = 0;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)labels, key, value)
    {
        roles[count] = "";
        if (strncmp(key, ROLE_PREFIX, strlen(ROLE_PREFIX)) == 0)
            roles[count] = key + strlen(ROLE_PREFIX);
        else if (strcmp(key, ROLE_LABEL) == 0)
            roles[count] = json_or_empty_(value);
        count += *roles[count] != '\0';
    }
    qsort(roles, count, sizeof(*roles), compare_texts);
    buf_auto struct buf out = BUF_INIT;
    for (size_t i = 0; i < count; i++) {
        if (i && strcmp(roles[i], roles[i - 1]) == 0)
            continue;
        table__put_separator(&out, ",");
        buf_puts(&out, roles[i]);
    }
    return out.len ? table__text(&out) : json_string("<none>");
}

/* node_address(type): the first address of the type. */
static json_t *cell_address(const struct table__call *call)
{
    size_t i;
    json_t *address;
    json_array_foreach(json_at(call->object, "status", "addresses"), i, address)
    {
        if (strcmp(json_str_or_empty(address, "type"), call->words[0]) == 0)
            return json_string(json_str_or_empty(address, "address"));
    }
    return json_string("<none>");
}

const struct table__function table__node_functions[] = {
    {"node_status", cell_status},
    {"node_roles", cell_roles},
    {"node_address", cell_address},
    {NULL, NULL},
};
