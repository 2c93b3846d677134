/* See fields.h. Pure. */
#include "kubelet/fields.h"

#include "base/mem.h"
#include "codec/json.h"
#include "object/quantity.h"

#include <stdio.h>
#include <string.h>

/* key="value" lines, with the value quoted as in Go. */
static void put_map(struct buf *out, json_t *map)
{
    const char *key;
    json_t *value;
    bool first = true;
    json_object_foreach(map, key, value)
    {
        char *quoted = json_dumps(value, JSON_ENCODE_ANY);
        buf_printf(out, "%s%s=%s", first ? "" : "\n", key, quoted);
        free(quoted);
        first = false;
    }
}

/* metadata.labels['key'] and metadata.annotations['key']. */
static bool put_member(struct buf *out, const json_t *pod, const char *path)
{
    const char *open = strstr(path, "['");
    size_t len = strlen(path);
    if (!open || len < 4 || strcmp(path + len - 2, "']") != 0)
        return false;
    const char *key = open + 2;
    size_t key_len = (size_t)(path + len - 2 - key);
    const char *map = strncmp(path, "metadata.labels[", 16) == 0        ? "labels"
                      : strncmp(path, "metadata.annotations[", 21) == 0 ? "annotations"
                                                                        : NULL;
    if (!map)
        return false;
    char *name mem_auto = mem_strndup(key, key_len);
    buf_puts(out, json_str_or_empty(pod, "metadata", map, name));
    return true;
}

int fields_value(struct buf *out, const struct fields_context *context, const char *path, struct err *err)
{
    const json_t *pod = context->pod;
    if (strcmp(path, "metadata.name") == 0 || strcmp(path, "metadata.namespace") == 0 ||
        strcmp(path, "metadata.uid") == 0)
        buf_puts(out, json_str_or_empty(pod, "metadata", path + 9));
    else if (strcmp(path, "metadata.labels") == 0 || strcmp(path, "metadata.annotations") == 0)
        put_map(out, json_at(pod, "metadata", path + 9));
    else if (strcmp(path, "spec.nodeName") == 0 || strcmp(path, "spec.serviceAccountName") == 0)
        buf_puts(out, json_str_or_empty(pod, "spec", path + 5));
    else if (strcmp(path, "status.hostIP") == 0 || strcmp(path, "status.hostIPs") == 0)
        buf_puts(out, context->host_ip);
    else if (strcmp(path, "status.podIP") == 0 || strcmp(path, "status.podIPs") == 0)
        buf_puts(out, context->pod_ip ? context->pod_ip : "");
    else if (!put_member(out, pod, path))
        return err_set(err, ERR_INVALID, "unsupported fieldPath: %s", path);
    return 0;
}

static const json_t *container_named(const json_t *pod, const char *name)
{
    static const char *const lists[] = {"containers", "initContainers"};
    for (size_t l = 0; l < 2; l++) {
        size_t i;
        json_t *container;
        json_array_foreach(json_at(pod, "spec", lists[l]), i, container)
        {
            if (name && strcmp(json_str_or_empty(container, "name"), name) == 0)
                return container;
        }
    }
    return NULL;
}

int fields_resource(struct buf *out, const struct fields_context *context, const json_t *container,
                    const json_t *ref, struct err *err)
{
    const char *resource = json_str_or_empty(ref, "resource");
    const char *named = json_str(ref, "containerName");
    if (named || !container)
        container = container_named(context->pod, named);
    const char *dot = strchr(resource, '.');
    if (!container || !dot)
        return err_set(err, ERR_INVALID, "unsupported container resource: %s", resource);
    char *group mem_auto = mem_strndup(resource, (size_t)(dot - resource));
    bool cpu = strcmp(dot + 1, "cpu") == 0;
    const char *text = json_str(container, "resources", group, dot + 1);
    int64_t milli = 0;
    if (text)
        quantity_milli(text, &milli);
    else if (strcmp(group, "limits") == 0)
        milli = cpu ? context->node_cpu_milli : context->node_memory_bytes * 1000;
    int64_t divisor = 1000;
    const char *divisor_text = json_str(ref, "divisor");
    if (divisor_text && quantity_milli(divisor_text, &divisor) && divisor <= 0)
        divisor = 1000;
    buf_printf(out, "%lld", (long long)((milli + divisor - 1) / divisor));
    return 0;
}

void fields_expand(struct buf *out, const char *text, const json_t *env)
{
    for (const char *p = text; *p; p++) {
        if (*p != '$') {
            buf_putc(out, *p);
            continue;
        }
        if (p[1] == '$') {
            buf_putc(out, '$');
            p++;
            continue;
        }
        const char *end = p[1] == '(' ? strchr(p, ')') : NULL;
        if (!end) {
            buf_putc(out, '$');
            continue;
        }
        char *name mem_auto = mem_strndup(p + 2, (size_t)(end - p - 2));
        const char *value = json_string_value(json_object_get(env, name));
        if (value)
            buf_puts(out, value);
        else
            buf_append(out, p, (size_t)(end - p) + 1);
        p = end;
    }
}

static int64_t amount(const json_t *container, const char *group, const char *resource)
{
    int64_t milli = 0;
    const char *text = json_str(container, "resources", group, resource);
    return text && quantity_milli(text, &milli) ? milli : 0;
}

const char *fields_qos(const json_t *pod)
{
    static const char *const lists[] = {"containers", "initContainers"};
    static const char *const resources[] = {"cpu", "memory"};
    bool any = false, guaranteed = true;
    for (size_t l = 0; l < 2; l++) {
        size_t i;
        json_t *container;
        json_array_foreach(json_at(pod, "spec", lists[l]), i, container)
        {
            for (size_t r = 0; r < 2; r++) {
                int64_t request = amount(container, "requests", resources[r]);
                int64_t limit = amount(container, "limits", resources[r]);
                any = any || request > 0 || limit > 0;
                if (limit == 0 || (request != 0 && request != limit))
                    guaranteed = false;
            }
        }
    }
    return !any ? "BestEffort" : guaranteed ? "Guaranteed" : "Burstable";
}
