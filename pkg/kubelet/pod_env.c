/* See pod_env.h. */
#include "kubelet/pod_env.h"

#include "base/mem.h"
#include "client/kube.h"
#include "codec/json.h"

#include <ctype.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

static void set_format(json_t *env, const char *prefix, const char *suffix, const char *value)
{
    char *name mem_auto = mem_printf("%s%s", prefix, suffix);
    json_object_set_new(env, name, json_string(value));
}

/* A service's or port's name in capitals, "-" as "_". */
static char *env_name(const char *name)
{
    char *out = mem_strdup(name);
    for (char *p = out; *p; p++)
        *p = *p == '-' ? '_' : (char)toupper((unsigned char)*p);
    return out;
}

/* {SVC}_SERVICE_HOST and _PORT, and the older "link" variables {SVC}_PORT_80_TCP_ADDR, … */
void pod_env_service(json_t *env, const json_t *service)
{
    const char *ip = json_str(service, "spec", "clusterIP");
    if (!ip || !*ip || strcmp(ip, "None") == 0)
        return;
    char *prefix mem_auto = env_name(kube_name(service));
    set_format(env, prefix, "_SERVICE_HOST", ip);
    size_t i;
    json_t *port;
    json_array_foreach(json_at(service, "spec", "ports"), i, port)
    {
        char number[16], url[128], link[96];
        const char *protocol = json_str(port, "protocol");
        if (!protocol)
            protocol = "TCP";
        snprintf(number, sizeof(number), "%lld", (long long)json_int_or(0, port, "port"));
        char *lower mem_auto = mem_strdup(protocol);
        for (char *p = lower; *p; p++)
            *p = (char)tolower((unsigned char)*p);
        snprintf(url, sizeof(url), "%s://%s:%s", lower, ip, number);
        if (i == 0) {
            set_format(env, prefix, "_SERVICE_PORT", number);
            set_format(env, prefix, "_PORT", url);
        }
        if (json_str(port, "name")) {
            char *name mem_auto = env_name(json_str(port, "name"));
            char *suffix mem_auto = mem_printf("_SERVICE_PORT_%s", name);
            set_format(env, prefix, suffix, number);
        }
        snprintf(link, sizeof(link), "_PORT_%s_%s", number, protocol);
        char *base mem_auto = mem_printf("%s%s", prefix, link);
        set_format(env, base, "", url);
        set_format(env, base, "_PROTO", lower);
        set_format(env, base, "_PORT", number);
        set_format(env, base, "_ADDR", ip);
    }
}

static int add_services(json_t *env, struct client *client, const json_t *pod, struct err *err)
{
    json_t *links = json_at(pod, "spec", "enableServiceLinks");
    bool all = !json_is_false(links);
    json_t *service = NULL;
    if (client_get(client, &kube_services, "default", "kubernetes", &service, NULL) == 0) {
        pod_env_service(env, service);
        json_decref(service);
    }
    if (!all)
        return 0;
    json_t *items = NULL;
    int rc = client_list(client, &kube_services, kube_namespace(pod), NULL, NULL, &items, err);
    if (rc)
        return rc;
    size_t i;
    json_array_foreach(items, i, service) pod_env_service(env, service);
    json_decref(items);
    return 0;
}

/* Gets a config map or secret; with optional set, *object is NULL when there is none. */
static int get_source(struct client *client, bool secret, const char *namespace, const char *name,
                      bool optional, json_t **object, struct err *err)
{
    struct err why = {0};
    *object = NULL;
    int rc = client_get(client, secret ? &kube_secrets : &kube_configmaps, namespace, name, object, &why);
    if (rc == ERR_NOT_FOUND && optional)
        return 0;
    if (rc == ERR_NOT_FOUND)
        return err_set(err, rc, "%s \"%s\" not found", secret ? "secret" : "configmap", name);
    return rc ? err_set(err, rc, "%s", why.message) : 0;
}

/* The text of a member; a secret's is base64. False: no such member, or not text. */
static bool source_text(struct buf *out, bool secret, const json_t *object, const char *key)
{
    const char *text = json_str(object, "data", key);
    if (!text)
        return false;
    if (!secret) {
        buf_puts(out, text);
        return true;
    }
    size_t len = strlen(text), got = 0;
    buf_reserve(out, len);
    if (sodium_base642bin((unsigned char *)out->data + out->len, len, text, len, "\r\n", &got, NULL,
                          sodium_base64_VARIANT_ORIGINAL) != 0)
        return false;
    out->len += got;
    out->data[out->len] = '\0';
    return true;
}

static bool env_name_valid(const char *name)
{
    if (!*name || isdigit((unsigned char)*name))
        return false;
    for (; *name; name++)
        if (!isalnum((unsigned char)*name) && !strchr("_-.", *name))
            return false;
    return true;
}

static int add_env_from(json_t *env, struct client *client, const json_t *pod, const json_t *from,
                        struct err *err)
{
    bool secret = json_object_get(from, "secretRef") != NULL;
    const json_t *ref = json_object_get(from, secret ? "secretRef" : "configMapRef");
    json_auto_t *object = NULL;
    int rc = get_source(client, secret, kube_namespace(pod), json_str_or_empty(ref, "name"),
                        json_bool_at(ref, "optional"), &object, err);
    if (rc || !object)
        return rc;
    const char *key;
    json_t *value;
    json_object_foreach(json_object_get(object, "data"), key, value)
    {
        struct buf text buf_auto = BUF_INIT;
        char *name mem_auto = mem_printf("%s%s", json_str_or_empty(from, "prefix"), key);
        if (env_name_valid(name) && source_text(&text, secret, object, key))
            json_object_set_new(env, name, json_stringn_nocheck(buf_str(&text), text.len));
    }
    return 0;
}

static int add_key_ref(struct buf *out, bool *present, struct client *client, const json_t *pod,
                       const json_t *ref, bool secret, struct err *err)
{
    const char *name = json_str_or_empty(ref, "name"), *key = json_str_or_empty(ref, "key");
    bool optional = json_bool_at(ref, "optional");
    json_auto_t *object = NULL;
    int rc = get_source(client, secret, kube_namespace(pod), name, optional, &object, err);
    if (rc)
        return rc;
    *present = object && source_text(out, secret, object, key);
    if (!*present && !optional)
        return err_set(err, ERR_NOT_FOUND, "couldn't find key %s in %s %s/%s", key,
                       secret ? "Secret" : "ConfigMap", kube_namespace(pod), name);
    return 0;
}

static int add_value_from(struct buf *out, bool *present, struct client *client,
                          const struct fields_context *context, const json_t *container, const json_t *from,
                          struct err *err)
{
    const json_t *ref;
    *present = true;
    if ((ref = json_object_get(from, "fieldRef")))
        return fields_value(out, context, json_str_or_empty(ref, "fieldPath"), err);
    if ((ref = json_object_get(from, "resourceFieldRef")))
        return fields_resource(out, context, container, ref, err);
    if ((ref = json_object_get(from, "configMapKeyRef")))
        return add_key_ref(out, present, client, context->pod, ref, false, err);
    if ((ref = json_object_get(from, "secretKeyRef")))
        return add_key_ref(out, present, client, context->pod, ref, true, err);
    return err_set(err, ERR_INVALID, "unsupported source of an environment variable");
}

int pod_env(json_t **env, struct client *client, const struct fields_context *context,
            const json_t *container, struct err *err)
{
    json_auto_t *services = json_object();
    json_auto_t *out = json_object();
    int rc = add_services(services, client, context->pod, err);
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(container, "envFrom"), i, item)
    {
        rc = rc ? rc : add_env_from(out, client, context->pod, item, err);
    }
    /* A reference sees what stands before it, the services included. */
    json_object_update_missing(out, services);
    json_array_foreach(json_object_get(container, "env"), i, item)
    {
        struct buf text buf_auto = BUF_INIT;
        const json_t *from = json_object_get(item, "valueFrom");
        bool present = true;
        if (rc)
            break;
        if (from)
            rc = add_value_from(&text, &present, client, context, container, from, err);
        else
            fields_expand(&text, json_str_or_empty(item, "value"), out);
        if (rc == 0 && present)
            json_object_set_new(out, json_str_or_empty(item, "name"),
                                json_stringn_nocheck(buf_str(&text), text.len));
    }
    if (rc == 0)
        *env = json_incref(out);
    return rc;
}
