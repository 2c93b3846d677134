/*
 * From the bytes of a body to an object: by content type, then by the schema. The texts are the API
 * server's, since clients and people match on them.
 */
#include "api/verbs_internal.h"

#include "base/hex.h"
#include "codec/yaml.h"
#include "object/decode.h"
#include "object/registry.h"

#include <stdio.h>

#define MEDIA_JSON "application/json"
#define MEDIA_YAML "application/yaml"

/* What a body is expected to be. */
struct expected {
    const struct schema_message *message;
    const char *group, *version, *kind;
    bool any_version; /* options are accepted in every group version */
    bool as_sent;     /* nothing is completed: what server-side apply sees is what the client meant */
};

bool content_is(const struct api_call *call, const char *type)
{
    return call->request->content_type && !strcasecmp(call->request->content_type, type);
}

static bool content_json(const struct api_call *call)
{
    const char *type = call->request->content_type;
    return !type || !*type || !strcasecmp(type, MEDIA_JSON);
}

static bool content_yaml(const struct api_call *call)
{
    return content_is(call, MEDIA_YAML) || content_is(call, "application/x-yaml") ||
           content_is(call, "text/yaml");
}

static int unknown_format(struct api_call *call)
{
    return err_set(&call->err, ERR_MEDIA_TYPE,
                   "the body of the request was in an unknown format - accepted media types include: "
                   "application/json, application/yaml, application/vnd.kubernetes.protobuf");
}

/* The beginning of a body that is nothing known, for the message. */
static void summarize(char *out, size_t size, const uint8_t *body, size_t len)
{
    enum { shown_max = 30 };
    size_t shown = len < shown_max ? len : shown_max;
    const char *more = len > shown_max ? " ..." : "";
    if (!len) {
        snprintf(out, size, "<empty>");
    } else if (body[0] == '{') {
        snprintf(out, size, "%.*s%s", (int)shown, (const char *)body, more);
    } else {
        char hex[2 * shown_max + 1];
        hex_encode(hex, body, shown);
        snprintf(out, size, "%s%s", hex, more);
    }
}

/* The body was no object at all. Puts the standard words around the decoder's. */
static int unrecognized(struct api_call *call, const struct expected *expected)
{
    char inner[ERR_MESSAGE_MAX];
    snprintf(inner, sizeof(inner), "%s", call->err.message);
    char summary[128];
    summarize(summary, sizeof(summary), call->request->body, call->request->body_len);
    return err_set(
        &call->err, ERR_BAD_REQUEST,
        "the object provided is unrecognized (must be of type %s): couldn't get version/kind; json parse "
        "error: %s (%s)",
        expected->kind, inner, summary);
}

/* `Deployment in version "v1" cannot be handled as a Pod: why`. */
static int cannot_handle(struct api_call *call, const struct expected *expected, const char *version,
                         const char *kind, const char *why)
{
    return err_set(&call->err, ERR_BAD_REQUEST, "%s in version \"%s\" cannot be handled as a %s: %s", kind,
                   version, expected->kind, why);
}

static void format_api_version(char *out, size_t size, const char *group, const char *version)
{
    if (*group)
        snprintf(out, size, "%s/%s", group, version);
    else
        snprintf(out, size, "%s", version);
}

/* "core" types are internal.Pod in the words of a failed conversion. */
static int wrong_kind(struct api_call *call, const struct expected *expected, const char *group,
                      const char *version, const char *kind)
{
    char why[512];
    if (registry_by_kind(group, version, kind)) {
        snprintf(why, sizeof(why), "converting (%s.%s) to (%s.%s): unknown conversion", version, kind,
                 *expected->group ? expected->group : "core", expected->kind);
    } else {
        char api_version[256];
        format_api_version(api_version, sizeof(api_version), group, version);
        snprintf(why, sizeof(why),
                 "no kind \"%s\" is registered for version \"%s\" in scheme "
                 "\"pkg/api/legacyscheme/scheme.go:30\"",
                 kind, api_version);
    }
    return cannot_handle(call, expected, version, kind, why);
}

/* Compares kind and apiVersion in the data (either may be empty: then it is taken as expected). */
static int check_type(struct api_call *call, const struct expected *expected, const char *api_version,
                      const char *kind)
{
    const char *slash = strchr(api_version, '/');
    char group[256] = "";
    if (slash)
        snprintf(group, sizeof(group), "%.*s", (int)(slash - api_version), api_version);
    const char *version = slash ? slash + 1 : api_version;
    if (*kind && strcmp(kind, expected->kind) != 0)
        return wrong_kind(call, expected, *api_version ? group : expected->group,
                          *api_version ? version : expected->version, kind);
    if (!*api_version || expected->any_version)
        return 0;
    char wanted[256];
    format_api_version(wanted, sizeof(wanted), expected->group, expected->version);
    if (!strcmp(wanted, api_version))
        return 0;
    if (registry_by_kind(group, version, expected->kind))
        return err_set(&call->err, ERR_BAD_REQUEST,
                       "the API version in the data (%s) does not match the expected API version (%s)",
                       api_version, wanted);
    return wrong_kind(call, expected, group, version, expected->kind);
}

/* Unknown fields: refused, told, or forgotten. */
static int judge_unknown(struct api_call *call, const json_t *unknown, struct err *err)
{
    size_t count = json_array_size(unknown);
    if (!count || call->request->field_validation == API_FIELDS_IGNORE)
        return 0;
    if (call->request->field_validation == API_FIELDS_WARN) {
        for (size_t i = 0; i < count; i++)
            call_warn(call, "%s", json_string_value(json_array_get(unknown, i)));
        return 0;
    }
    buf_auto struct buf text = BUF_INIT;
    for (size_t i = 0; i < count; i++)
        buf_printf(&text, "%s%s", i ? ", " : "", json_string_value(json_array_get(unknown, i)));
    return err_set(err, ERR_BAD_REQUEST, "strict decoding error: %s", buf_str(&text));
}

static int coerce(struct api_call *call, const struct expected *expected, const json_t *value, json_t **out)
{
    json_auto_t *unknown = call->request->field_validation == API_FIELDS_IGNORE ? NULL : json_array();
    int rc = expected->as_sent ? decode_json_as_sent(expected->message, value, out, unknown, &call->err)
                               : decode_json(expected->message, value, out, unknown, &call->err);
    if (!rc) {
        rc = judge_unknown(call, unknown, &call->err);
        if (rc) {
            json_decref(*out);
            *out = NULL;
        }
    }
    return rc;
}

static void set_type(json_t *object, const struct expected *expected)
{
    char api_version[256];
    format_api_version(api_version, sizeof(api_version), expected->group, expected->version);
    if (strcmp(json_str_or_empty(object, "kind"), expected->kind) != 0)
        json_set_str(object, "kind", expected->kind);
    if (strcmp(json_str_or_empty(object, "apiVersion"), api_version) != 0)
        json_set_str(object, "apiVersion", api_version);
}

static int decode_value(struct api_call *call, const struct expected *expected, const json_t *value,
                        json_t **out)
{
    if (!json_is_object(value)) {
        err_set(&call->err, ERR_BAD_REQUEST,
                "json: cannot unmarshal %s into Go value of type struct { APIVersion string "
                "\"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }",
                json_is_array(value)    ? "array"
                : json_is_string(value) ? "string"
                                        : "value");
        return unrecognized(call, expected);
    }
    const char *kind = json_str_or_empty(value, "kind");
    int rc = check_type(call, expected, json_str_or_empty(value, "apiVersion"), kind);
    if (rc)
        return rc;
    rc = coerce(call, expected, value, out);
    if (rc) {
        char inner[ERR_MESSAGE_MAX];
        snprintf(inner, sizeof(inner), "%s", call->err.message);
        return cannot_handle(call, expected, expected->version, expected->kind, inner);
    }
    set_type(*out, expected);
    return 0;
}

static int decode_protobuf(struct api_call *call, const struct expected *expected, json_t **out)
{
    char api_version[256], kind[256];
    const uint8_t *raw = NULL;
    size_t raw_len = 0;
    int rc = protobuf_open(call->request->body, call->request->body_len, api_version, sizeof(api_version),
                           kind, sizeof(kind), &raw, &raw_len, &call->err);
    if (rc)
        return unrecognized(call, expected);
    rc = check_type(call, expected, api_version, kind);
    if (rc)
        return rc;
    rc = protobuf_decode(expected->message, raw, raw_len, out, &call->err);
    if (rc) {
        char inner[ERR_MESSAGE_MAX];
        snprintf(inner, sizeof(inner), "%s", call->err.message);
        return cannot_handle(call, expected, expected->version, expected->kind, inner);
    }
    set_type(*out, expected);
    return 0;
}

/* The body as a value, whatever text format it is in. Duplicate members are told in duplicates. */
static json_t *parse_text(struct api_call *call, bool yaml, json_t *duplicates)
{
    const struct api_request *request = call->request;
    if (yaml)
        return yaml_parse(request->body, request->body_len, &call->err);
    return json_parse_reporting(request->body ? request->body : "", request->body_len, duplicates,
                                &call->err);
}

/* Refuses or tells of duplicate members, as of unknown fields. */
static int check_duplicates(struct api_call *call, const struct expected *expected, const json_t *duplicates)
{
    int rc = judge_unknown(call, duplicates, &call->err);
    if (!rc)
        return 0;
    char inner[ERR_MESSAGE_MAX];
    snprintf(inner, sizeof(inner), "%s", call->err.message);
    return cannot_handle(call, expected, expected->version, expected->kind, inner);
}

static int decode_body(struct api_call *call, const struct expected *expected, json_t **out)
{
    *out = NULL;
    if (!expected->message)
        return err_set(&call->err, ERR_INTERNAL, "no schema for %s", expected->kind);
    if (call->request->body_value)
        return decode_value(call, expected, call->request->body_value, out);
    if (content_is(call, PROTOBUF_MEDIA_TYPE))
        return decode_protobuf(call, expected, out);
    if (!content_json(call) && !content_yaml(call))
        return unknown_format(call);
    json_auto_t *duplicates = json_array();
    json_auto_t *value = parse_text(call, content_yaml(call), duplicates);
    if (!value)
        return unrecognized(call, expected);
    int rc = check_duplicates(call, expected, duplicates);
    return rc ? rc : decode_value(call, expected, value, out);
}

int call_decode_object(struct api_call *call, const struct schema_kind *kind, json_t **out)
{
    struct expected expected = {kind->message, kind->group, kind->version, kind->kind, false, false};
    return decode_body(call, &expected, out);
}

int call_decode_message(struct api_call *call, const char *message, const char *group, const char *version,
                        const char *kind, json_t **out)
{
    struct expected expected = {registry_message(message), group, version, kind, !*version, false};
    return decode_body(call, &expected, out);
}

int call_decode_value(struct api_call *call, json_t **out)
{
    if (call->request->body_value) {
        *out = json_incref((json_t *)call->request->body_value);
        return 0;
    }
    bool yaml = content_is(call, "application/apply-patch+yaml");
    json_auto_t *duplicates = json_array();
    *out = parse_text(call, yaml, duplicates);
    if (*out)
        return 0;
    char inner[ERR_MESSAGE_MAX];
    snprintf(inner, sizeof(inner), "%s", call->err.message);
    return err_set(&call->err, ERR_BAD_REQUEST, yaml ? "error decoding YAML: %s" : "error decoding patch: %s",
                   inner);
}

static bool deeper_than(const json_t *value, int levels)
{
    const char *key;
    json_t *member;
    size_t i;
    if (!json_is_object(value) && !json_is_array(value))
        return false;
    if (levels == 0)
        return true;
    json_object_foreach((json_t *)value, key, member) if (deeper_than(member, levels - 1)) return true;
    json_array_foreach(value, i, member) if (deeper_than(member, levels - 1)) return true;
    return false;
}

int call_coerce(struct api_call *call, const struct schema_kind *kind, const json_t *value, bool as_sent,
                json_t **out)
{
    struct expected expected = {kind->message, kind->group, kind->version, kind->kind, false, as_sent};
    /* One patch after the other could build what no reader would parse. */
    if (deeper_than(value, JSON_DEPTH_MAX))
        return err_set(&call->err, ERR_BAD_REQUEST, "exceeded max depth");
    int rc =
        check_type(call, &expected, json_str_or_empty(value, "apiVersion"), json_str_or_empty(value, "kind"));
    if (rc)
        return rc;
    rc = coerce(call, &expected, value, out);
    if (!rc)
        set_type(*out, &expected);
    return rc;
}

int call_check_identity(struct api_call *call, json_t *object, bool create)
{
    const struct api_request *request = call->request;
    json_t *metadata = json_object_ensure(object, "metadata");
    const char *name = json_str_or_empty(metadata, "name");
    if (!create && strcmp(name, request->name) != 0) {
        if (*name)
            return err_set(&call->err, ERR_BAD_REQUEST,
                           "the name of the object (%s) does not match the name on the URL (%s)", name,
                           request->name);
        return err_set(&call->err, ERR_BAD_REQUEST,
                       "the name of the object (%s based on URL) was undeterminable: "
                       "name must be provided",
                       request->name);
    }
    const char *namespace = json_str_or_empty(metadata, "namespace");
    if (!call->kind->namespaced) {
        json_object_del(metadata, "namespace");
        return 0;
    }
    if (!*request->namespace)
        return err_set(&call->err, ERR_BAD_REQUEST, "an empty namespace may not be set during creation");
    if (*namespace && strcmp(namespace, request->namespace) != 0)
        return err_set(
            &call->err, ERR_BAD_REQUEST,
            "the namespace of the provided object does not match the namespace sent on the request");
    if (!*namespace)
        json_set_str(metadata, "namespace", request->namespace);
    return 0;
}
