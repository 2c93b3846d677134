/* ConfigMaps, Secrets, Namespaces, Nodes, Events, Leases and Bindings. */
#include "object/validate_internal.h"

#include "base/mem.h"
#include "codec/json.h"

#include <sodium.h>
#include <string.h>

#define DATA_SIZE_MAX (1024 * 1024)

/* ---- ConfigMaps and Secrets ---- */

/* The bytes that a base64 text stands for. */
static size_t decoded_size(const json_t *value)
{
    const char *text = json_or_empty_(value);
    size_t len = strlen(text);
    while (len && text[len - 1] == '=')
        len--;
    return len * 3 / 4;
}

static size_t check_data(struct field_errors *errors, const struct where *at, const json_t *data,
                         bool encoded)
{
    size_t size = 0;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)data, key, value)
    {
        check_name(errors, AT_KEY(at, key), key, name_check_config_key);
        size += encoded ? decoded_size(value) : json_string_length(value);
    }
    return size;
}

static void check_sealed(struct field_errors *errors, const json_t *object, const json_t *old)
{
    static const char detail[] = "field is immutable when `immutable` is set";
    if (!json_bool_at(old, "immutable"))
        return;
    if (!json_bool_at(object, "immutable"))
        error_forbidden(errors, AT(NULL, "immutable"), detail);
    static const char *const members[] = {"data", "binaryData"};
    for (size_t i = 0; i < 2; i++) {
        const json_t *now = json_object_get(object, members[i]);
        const json_t *before = json_object_get(old, members[i]);
        if (now != before && !json_equal(now, before))
            error_forbidden(errors, AT(NULL, members[i]), detail);
    }
}

void validate_config_map(struct field_errors *errors, const json_t *object, const json_t *old)
{
    check_sealed(errors, object, old);
    const struct where *at = AT(NULL, "data");
    const json_t *data = json_object_get(object, "data");
    const json_t *binary = json_object_get(object, "binaryData");
    size_t size = check_data(errors, at, data, false);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)data, key, value) if (json_object_get(binary, key))
        error_invalid_text(errors, AT_KEY(at, key), key, "duplicate of key present in binaryData");
    size += check_data(errors, AT(NULL, "binaryData"), binary, true);
    if (size > DATA_SIZE_MAX)
        error_too_long(errors, AT_KEY(NULL, ""), DATA_SIZE_MAX);
}

static void check_json_key(struct field_errors *errors, const struct where *at, const json_t *data,
                           const char *key)
{
    const char *text = json_string_value(json_object_get(data, key));
    if (!text) {
        error_required(errors, AT_KEY(at, key), "");
        return;
    }
    size_t len = strlen(text);
    mem_auto unsigned char *bytes = mem_alloc(len + 1);
    size_t size = 0;
    bool fine =
        !sodium_base642bin(bytes, len + 1, text, len, "\r\n", &size, NULL, sodium_base64_VARIANT_ORIGINAL);
    json_error_t error;
    json_auto_t *value = fine ? json_loadb((char *)bytes, size, JSON_DECODE_ANY, &error) : NULL;
    if (json_is_object(value))
        return;
    const char *detail = !size   ? "unexpected end of JSON input"
                         : value ? "the value is no object"
                                 : error.text;
    error_invalid_text(errors, AT_KEY(at, key), "<secret contents redacted>", detail);
}

static void check_required_key(struct field_errors *errors, const struct where *at, const json_t *data,
                               const char *key)
{
    if (!json_object_get(data, key))
        error_required(errors, AT_KEY(at, key), "");
}

static void check_secret_type(struct field_errors *errors, const json_t *secret)
{
    const struct where *at = AT(NULL, "data");
    const json_t *data = json_object_get(secret, "data");
    const char *type = text_at(secret, "type");
    if (!strcmp(type, "kubernetes.io/service-account-token")) {
        static const char key[] = "kubernetes.io/service-account.name";
        const struct where *metadata = AT(NULL, "metadata");
        const struct where *annotations = AT(metadata, "annotations");
        if (!*json_str_or_empty(secret, "metadata", "annotations", key))
            error_required(errors, AT_KEY(annotations, key), "");
    } else if (!strcmp(type, "kubernetes.io/dockercfg")) {
        check_json_key(errors, at, data, ".dockercfg");
    } else if (!strcmp(type, "kubernetes.io/dockerconfigjson")) {
        check_json_key(errors, at, data, ".dockerconfigjson");
    } else if (!strcmp(type, "kubernetes.io/basic-auth")) {
        if (json_object_get(data, "username") || json_object_get(data, "password"))
            return;
        check_required_key(errors, at, data, "username");
        check_required_key(errors, at, data, "password");
    } else if (!strcmp(type, "kubernetes.io/ssh-auth")) {
        if (!*text_at(data, "ssh-privatekey"))
            error_required(errors, AT_KEY(at, "ssh-privatekey"), "");
    } else if (!strcmp(type, "kubernetes.io/tls")) {
        check_required_key(errors, at, data, "tls.crt");
        check_required_key(errors, at, data, "tls.key");
    }
}

void validate_secret(struct field_errors *errors, const json_t *object, const json_t *old)
{
    if (old) {
        check_immutable(errors, AT(NULL, "type"), json_object_get(object, "type"),
                        json_object_get(old, "type"), "field is immutable");
        check_sealed(errors, object, old);
    }
    const struct where *at = AT(NULL, "data");
    if (check_data(errors, at, json_object_get(object, "data"), true) > DATA_SIZE_MAX)
        error_too_long(errors, at, DATA_SIZE_MAX);
    check_secret_type(errors, object);
}

/* ---- Namespaces and Nodes ---- */

void validate_namespace(struct field_errors *errors, const json_t *object, const json_t *old)
{
    (void)old;
    const struct where *spec = AT(NULL, "spec");
    const struct where *at = AT(spec, "finalizers");
    size_t i;
    json_t *finalizer;
    json_array_foreach(json_at(object, "spec", "finalizers"), i, finalizer)
    {
        const char *text = json_or_empty_(finalizer);
        check_name(errors, at, text, name_check_label_key);
        if (!strchr(text, '/') && strcmp(text, "kubernetes") != 0 && strcmp(text, "orphan") != 0 &&
            strcmp(text, "foregroundDeletion") != 0)
            error_invalid_text(errors, at, text,
                               "name is neither a standard finalizer name nor is it fully qualified");
    }
}

static bool is_taint_twice(const json_t *taints, size_t index)
{
    const json_t *taint = json_array_get(taints, index);
    for (size_t i = 0; i < index; i++) {
        const json_t *other = json_array_get(taints, i);
        if (!strcmp(text_at(taint, "key"), text_at(other, "key")) &&
            !strcmp(text_at(taint, "effect"), text_at(other, "effect")))
            return true;
    }
    return false;
}

static void report_taint(struct field_errors *errors, const struct where *at, const json_t *taint)
{
    json_auto_t *shown = json_pack("{s:s,s:s,s:s,s:n}", "Key", text_at(taint, "key"), "Value",
                                   text_at(taint, "value"), "Effect", text_at(taint, "effect"), "TimeAdded");
    struct buf field buf_auto = BUF_INIT;
    struct buf text buf_auto = BUF_INIT;
    where_append(&field, at);
    json_dump_buf(&text, shown);
    field_errors_add(errors, "FieldValueDuplicate", buf_str(&field),
                     "Duplicate value: %s: taints must be unique by key and effect pair", buf_str(&text));
}

static void check_taints(struct field_errors *errors, const struct where *at, const json_t *taints)
{
    size_t i;
    json_t *taint;
    json_array_foreach(taints, i, taint)
    {
        const struct where *here = AT_INDEX(at, i);
        check_name(errors, AT(here, "key"), text_at(taint, "key"), name_check_label_key);
        struct name_faults faults = {0};
        if (!name_check_label_value(&faults, text_at(taint, "value"))) {
            struct buf detail buf_auto = BUF_INIT;
            name_faults_join(&detail, &faults, ";");
            error_invalid_text(errors, AT(here, "value"), text_at(taint, "value"), buf_str(&detail));
        }
        check_taint_effect(errors, AT(here, "effect"), text_at(taint, "effect"), false);
        if (is_taint_twice(taints, i))
            report_taint(errors, here, taint);
    }
}

static void check_node_update(struct field_errors *errors, const json_t *node, const json_t *old)
{
    const struct where *spec = AT(NULL, "spec");
    const json_t *cidrs = json_at(node, "spec", "podCIDRs");
    const json_t *before = json_at(old, "spec", "podCIDRs");
    const char *first = json_str_or_empty(node, "spec", "podCIDR");
    bool same = json_equal(cidrs, before) && !strcmp(first, json_str_or_empty(old, "spec", "podCIDR"));
    if (json_array_size(before) && (!cidrs || !same))
        error_forbidden(errors, AT(spec, "podCIDRs"),
                        "node updates may not change podCIDR except from \"\" to valid");
    const char *provider = json_str_or_empty(old, "spec", "providerID");
    if (*provider && strcmp(provider, json_str_or_empty(node, "spec", "providerID")) != 0)
        error_forbidden(errors, AT(spec, "providerID"),
                        "node updates may not change providerID except from \"\" to valid");
}

void validate_node(struct field_errors *errors, const json_t *object, const json_t *old)
{
    const struct where *metadata = AT(NULL, "metadata"); /* where Kubernetes reports taints */
    if (old)
        check_node_update(errors, object, old);
    check_taints(errors, AT(metadata, "taints"), json_at(object, "spec", "taints"));
}

/* ---- The rest ---- */

void validate_event(struct field_errors *errors, const json_t *object, const json_t *old)
{
    (void)old;
    const char *namespace = json_str_or_empty(object, "metadata", "namespace");
    const char *involved = json_str_or_empty(object, "involvedObject", "namespace");
    const struct where *at = AT(NULL, "involvedObject");
    bool is_new = json_is_string(json_object_get(object, "eventTime"));
    bool allowed = !strcmp(namespace, "default") || (is_new && !strcmp(namespace, "kube-system"));
    bool mismatch = *involved ? !is_new && strcmp(involved, namespace) != 0 : *namespace && !allowed;
    if (mismatch)
        error_invalid_text(errors, AT(at, "namespace"), involved, "does not match event.namespace");
    if (!is_new)
        return;
    const char *component = text_at(object, "reportingComponent");
    if (!*component)
        error_required(errors, AT(NULL, "reportingComponent"), "");
    check_name(errors, AT(NULL, "reportingComponent"), component, name_check_label_key);
    static const struct {
        const char *name;
        size_t max;
        const char *detail;
    } texts[] = {
        {"reportingInstance", 128, "can have at most 128 characters"},
        {"action", 128, "can have at most 128 characters"},
        {"reason", 128, "can have at most 128 characters"},
        {"message", 1024, "can have at most 1024 characters"},
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        const char *text = text_at(object, texts[i].name);
        if (!*text && strcmp(texts[i].name, "message") != 0)
            error_required(errors, AT(NULL, texts[i].name), "");
        if (strlen(text) > texts[i].max)
            error_invalid_text(errors, AT(NULL, texts[i].name), "", texts[i].detail);
    }
}

void validate_lease(struct field_errors *errors, const json_t *object, const json_t *old)
{
    (void)old;
    static const char *const strategies[] = {"OldestEmulationVersion", NULL};
    const struct where *at = AT(NULL, "spec");
    const json_t *spec = json_object_get(object, "spec");
    const json_t *duration = json_object_get(spec, "leaseDurationSeconds");
    if (duration && json_integer_value(duration) <= 0)
        error_invalid(errors, AT(at, "leaseDurationSeconds"), duration, "must be greater than 0");
    check_not_negative(errors, AT(at, "leaseTransitions"), json_object_get(spec, "leaseTransitions"));
    const char *strategy = text_at(spec, "strategy");
    if (*strategy && !strchr(strategy, '/') && !is_one_of(strategy, strategies))
        error_not_supported(errors, AT(at, "strategy"), strategy, strategies);
    if (*text_at(spec, "preferredHolder") && !*strategy)
        error_forbidden(errors, AT(at, "preferredHolder"), "may only be specified if `strategy` is defined");
}

void validate_binding(struct field_errors *errors, const json_t *object, const json_t *old)
{
    (void)old;
    static const char *const kinds[] = {"Node", "<empty>", NULL};
    const struct where *at = AT(NULL, "target");
    const char *kind = json_str_or_empty(object, "target", "kind");
    if (*kind && strcmp(kind, "Node") != 0)
        error_not_supported(errors, AT(at, "kind"), kind, kinds);
    if (!*json_str_or_empty(object, "target", "name"))
        error_required(errors, AT(at, "name"), "");
}
