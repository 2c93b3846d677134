/* See volume_source.h. */
#include "kubelet/volume_source.h"

#include "base/hex.h"
#include "base/mem.h"
#include "client/kube.h"
#include "codec/json.h"

#include <sodium.h>
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A token is made anew when 80 % of its life is over. */
#define TOKEN_LIFE_S 3600

static const json_t *pod_of(const struct volume_context *context)
{
    return context->fields->pod;
}

static void add_text(struct payload *payload, const char *path, const char *text, bool base64, unsigned mode)
{
    if (!base64) {
        payload_add(payload, path, text, strlen(text), mode, -1);
        return;
    }
    size_t len = strlen(text), got = 0;
    unsigned char *bytes mem_auto = mem_alloc(len + 1);
    if (sodium_base642bin(bytes, len, text, len, "\r\n", &got, NULL, sodium_base64_VARIANT_ORIGINAL) == 0)
        payload_add(payload, path, bytes, got, mode, -1);
}

/* All keys, or those that items name with their paths and modes. */
static int add_keys(struct payload *payload, const json_t *object, const char *member, bool base64,
                    const json_t *items, bool optional, unsigned mode, struct err *err)
{
    json_t *data = json_object_get(object, member);
    if (!items) {
        const char *key;
        json_t *value;
        json_object_foreach(data, key, value)
            add_text(payload, key, json_string_value(value) ? json_string_value(value) : "", base64, mode);
        return 0;
    }
    size_t i;
    json_t *item;
    json_array_foreach(items, i, item)
    {
        const char *key = json_str_or_empty(item, "key"), *path = json_str_or_empty(item, "path");
        const char *text = json_string_value(json_object_get(data, key));
        if (!payload_path_valid(path))
            return err_set(err, ERR_INVALID, "invalid path \"%s\" of a volume item", path);
        if (text)
            add_text(payload, path, text, base64, (unsigned)json_int_or((int64_t)mode, item, "mode"));
        else if (!optional && strcmp(member, "binaryData") != 0 && !json_at(object, "binaryData", key))
            return err_set(err, ERR_NOT_FOUND, "references non-existent config key: %s", key);
    }
    return 0;
}

static int add_object(struct payload *payload, const struct volume_context *context, bool secret,
                      const json_t *source, unsigned mode, struct err *err)
{
    const char *name = json_str(source, secret ? "secretName" : "name");
    if (!name)
        name = json_str_or_empty(source, "name"); /* in a projection */
    bool optional = json_bool_at(source, "optional");
    json_auto_t *object = NULL;
    int rc = client_get(context->client, secret ? &kube_secrets : &kube_configmaps,
                        kube_namespace(pod_of(context)), name, &object, err);
    if (rc == ERR_NOT_FOUND)
        return optional ? 0 : err_set(err, rc, "%s \"%s\" not found", secret ? "secret" : "configmap", name);
    if (rc)
        return rc;
    const json_t *items = json_object_get(source, "items");
    rc = add_keys(payload, object, "data", secret, items, optional, mode, err);
    if (rc == 0 && !secret)
        rc = add_keys(payload, object, "binaryData", true, items, optional, mode, err);
    return rc;
}

static int add_downward(struct payload *payload, const struct volume_context *context, const json_t *source,
                        unsigned mode, struct err *err)
{
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(source, "items"), i, item)
    {
        struct buf text buf_auto = BUF_INIT;
        const char *path = json_str_or_empty(item, "path");
        const json_t *field = json_object_get(item, "fieldRef");
        int rc = field ? fields_value(&text, context->fields, json_str_or_empty(field, "fieldPath"), err)
                       : fields_resource(&text, context->fields, NULL,
                                         json_object_get(item, "resourceFieldRef"), err);
        if (rc)
            return rc;
        if (!payload_path_valid(path))
            return err_set(err, ERR_INVALID, "invalid path \"%s\" of a volume item", path);
        payload_add(payload, path, buf_str(&text), text.len,
                    (unsigned)json_int_or((int64_t)mode, item, "mode"), -1);
    }
    return 0;
}

/* The token that is there stays until it is due, so that a restart of the kubelet makes none anew; its time
 * is that of a file beside the volumes. */
static char *token_cached(const char *file, int64_t now_us, int64_t *due_us)
{
    char head[32], token[8192];
    FILE *in = fopen(file, "re");
    if (!in)
        return NULL;
    bool ok = fgets(head, sizeof(head), in) && fgets(token, sizeof(token), in);
    fclose(in);
    *due_us = ok ? strtoll(head, NULL, 10) : 0;
    return ok && *due_us > now_us ? mem_strdup(token) : NULL;
}

static void token_store(const char *file, const char *token, int64_t due_us)
{
    char *parent mem_auto = mem_strndup(file, (size_t)(strrchr(file, '/') - file));
    struct err err;
    if (volume_make_dirs(parent, 0700, &err))
        return;
    mode_t old = umask(077);
    FILE *out = fopen(file, "we");
    umask(old);
    if (!out)
        return;
    fprintf(out, "%lld\n%s", (long long)due_us, token);
    fclose(out);
}

static int request_token(const struct volume_context *context, const json_t *source, char **token,
                         int64_t *due_us, struct err *err)
{
    const json_t *pod = pod_of(context);
    int64_t life_s = json_int_or(TOKEN_LIFE_S, source, "expirationSeconds");
    const char *account = json_str(pod, "spec", "serviceAccountName");
    json_auto_t *body =
        json_pack("{s:s, s:s, s:{s:I, s:{s:s, s:s, s:s, s:s}}}", "apiVersion", "authentication.k8s.io/v1",
                  "kind", "TokenRequest", "spec", "expirationSeconds", (json_int_t)life_s, "boundObjectRef",
                  "kind", "Pod", "apiVersion", "v1", "name", kube_name(pod), "uid", kube_uid(pod));
    if (json_str(source, "audience"))
        json_object_set_new(json_object_get(body, "spec"), "audiences",
                            json_pack("[s]", json_str(source, "audience")));
    struct client_request request = {.verb = CLIENT_CREATE,
                                     .resource = kube_serviceaccounts,
                                     .subresource = "token",
                                     .namespace = kube_namespace(pod),
                                     .name = account && *account ? account : "default",
                                     .body = body};
    json_auto_t *answer = NULL;
    int rc = client_do(context->client, &request, &answer, err);
    if (rc)
        return rc;
    const char *text = json_str(answer, "status", "token");
    if (!text)
        return err_set(err, ERR_INTERNAL, "failed to fetch token: the answer has none");
    *token = mem_strdup(text);
    *due_us = context->now_us + life_s * 800000;
    return 0;
}

static int add_token(struct payload *payload, const struct volume_context *context, const json_t *source,
                     unsigned mode, struct err *err)
{
    int64_t due_us = 0;
    const char *path = json_str_or_empty(source, "path");
    const char *audience = json_str_or_empty(source, "audience");
    if (!payload_path_valid(path))
        return err_set(err, ERR_INVALID, "invalid path \"%s\" of a token", path);
    /* On a tmpfs of the pod, so that a token never reaches the disk; see volume.c. */
    uint8_t digest[crypto_generichash_BYTES_MIN];
    char hash[17];
    crypto_generichash(digest, sizeof(digest), (const unsigned char *)audience, strlen(audience), NULL, 0);
    hex_encode(hash, digest, 8);
    char *file mem_auto = mem_printf("%s/tokens/%s", context->pod_dir, hash);
    char *token mem_auto = token_cached(file, context->now_us, &due_us);
    if (!token) {
        int rc = request_token(context, source, &token, &due_us, err);
        if (rc)
            return rc;
        assert(token);
        token_store(file, token, due_us);
    }
    if (*context->due_us == 0 || due_us < *context->due_us)
        *context->due_us = due_us;
    int64_t user = pod_config_user(pod_of(context), NULL);
    payload_add(payload, path, token, strlen(token), user >= 0 ? 0600 : mode, user);
    return 0;
}

static int add_projection(struct payload *payload, const struct volume_context *context, const json_t *source,
                          unsigned mode, struct err *err)
{
    static const char *const kinds[] = {"configMap", "secret", "downwardAPI", "serviceAccountToken"};
    size_t i;
    json_t *part;
    json_array_foreach(json_object_get(source, "sources"), i, part)
    {
        for (size_t k = 0; k < 4; k++) {
            const json_t *inner = json_object_get(part, kinds[k]);
            int rc = inner ? volume_source_add(payload, context, kinds[k], inner, mode, err) : 0;
            if (rc)
                return rc;
        }
    }
    return 0;
}

int volume_source_add(struct payload *payload, const struct volume_context *context, const char *kind,
                      const json_t *source, unsigned mode, struct err *err)
{
    mode = (unsigned)json_int_or((int64_t)mode, source, "defaultMode");
    if (strcmp(kind, "configMap") == 0 || strcmp(kind, "secret") == 0)
        return add_object(payload, context, *kind == 's', source, mode, err);
    if (strcmp(kind, "downwardAPI") == 0)
        return add_downward(payload, context, source, mode, err);
    if (strcmp(kind, "projected") == 0)
        return add_projection(payload, context, source, mode, err);
    return add_token(payload, context, source, mode, err);
}
