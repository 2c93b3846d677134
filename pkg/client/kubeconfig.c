/* See kubeconfig.h. */
#include "client/kubeconfig.h"

#include "base/mem.h"
#include "codec/json.h"
#include "codec/yaml.h"

#include <sodium.h>
#include <string.h>

/* An entry of clusters, contexts or users, and the file that it is from. */
struct entry {
    const json_t *value;
    const char *path;
};

static bool find_entry(struct entry *out, json_t *const *files, const struct kubeconfig_source *sources,
                       size_t count, const char *list, const char *member, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        size_t j;
        json_t *item;
        json_array_foreach(json_object_get(files[i], list), j, item)
        {
            if (strcmp(json_str_or_empty(item, "name"), name) != 0)
                continue;
            *out = (struct entry){json_object_get(item, member), sources[i].path};
            return true;
        }
    }
    return false;
}

/* A file named in a kubeconfig: relative to the folder that this one is in. */
static char *beside(const char *path, const char *file)
{
    const char *slash = strrchr(path, '/');
    if (*file == '/' || !slash)
        return mem_strdup(file);
    return mem_printf("%.*s/%s", (int)(slash - path), path, file);
}

static char *decode_base64(const char *text)
{
    size_t len = strlen(text), decoded = 0;
    char *out = mem_alloc(len + 1);
    const char *end = NULL;
    int rc = sodium_base642bin((unsigned char *)out, len, text, len, " \r\n", &decoded, &end,
                               sodium_base64_VARIANT_ORIGINAL);
    if (rc != 0 || end != text + len) {
        free(out);
        return NULL;
    }
    out[decoded] = '\0';
    return out;
}

/* NAME-data, else NAME. */
static int read_pair(const struct entry *entry, const char *name, char **data, char **file, struct err *err)
{
    mem_auto char *data_name = mem_printf("%s-data", name);
    const char *encoded = json_str_or_empty(entry->value, data_name);
    const char *path = json_str_or_empty(entry->value, name);
    if (*encoded && !(*data = decode_base64(encoded)))
        return err_set(err, ERR_BAD_REQUEST, "%s: %s is no base64", entry->path, data_name);
    if (!*encoded && *path)
        *file = beside(entry->path, path);
    return 0;
}

static int read_cluster(struct kubeconfig *out, const struct entry *cluster, struct err *err)
{
    const char *server = json_str_or_empty(cluster->value, "server");
    if (strncmp(server, "https://", 8) != 0)
        return err_set(err, ERR_BAD_REQUEST, "%s: the server \"%s\" is no https URL", cluster->path, server);
    size_t len = strlen(server);
    while (len > 8 && server[len - 1] == '/')
        len--;
    out->server = mem_strndup(server, len);
    out->insecure = json_bool_at(cluster->value, "insecure-skip-tls-verify");
    return read_pair(cluster, "certificate-authority", &out->ca_data, &out->ca_file, err);
}

static int read_user(struct kubeconfig *out, const struct entry *user, struct err *err)
{
    const char *token = json_str_or_empty(user->value, "token");
    const char *token_file = json_str_or_empty(user->value, "tokenFile");
    const char *as = json_str_or_empty(user->value, "as");
    if (*token_file)
        out->token_file = beside(user->path, token_file);
    else if (*token)
        out->token = mem_strdup(token);
    if (*as)
        out->as = mem_strdup(as);
    int code = read_pair(user, "client-certificate", &out->cert_data, &out->cert_file, err);
    if (!code)
        code = read_pair(user, "client-key", &out->key_data, &out->key_file, err);
    if (code)
        return code;
    bool cert = out->cert_data || out->cert_file, key = out->key_data || out->key_file;
    if (cert != key)
        return err_set(err, ERR_BAD_REQUEST, "%s: a client certificate and its key belong together",
                       user->path);
    if (!cert && !out->token && !out->token_file)
        return err_set(
            err, ERR_BAD_REQUEST,
            "%s: the user has neither a client certificate nor a token, and nothing else is known here",
            user->path);
    return 0;
}

static int read_context(struct kubeconfig *out, json_t *const *files, const struct kubeconfig_source *sources,
                        size_t count, struct err *err)
{
    const char *name = "";
    struct entry context, cluster, user;
    for (size_t i = 0; i < count && !*name; i++)
        name = json_str_or_empty(files[i], "current-context");
    if (!*name)
        return err_set(err, ERR_NOT_FOUND, "%s: no current-context is set", count ? sources[0].path : "");
    if (!find_entry(&context, files, sources, count, "contexts", "context", name))
        return err_set(err, ERR_NOT_FOUND, "the current context \"%s\" is in no kubeconfig", name);
    const char *cluster_name = json_str_or_empty(context.value, "cluster");
    const char *user_name = json_str_or_empty(context.value, "user");
    if (!find_entry(&cluster, files, sources, count, "clusters", "cluster", cluster_name))
        return err_set(err, ERR_NOT_FOUND, "%s: context \"%s\" names the cluster \"%s\", which is not there",
                       context.path, name, cluster_name);
    if (!find_entry(&user, files, sources, count, "users", "user", user_name))
        return err_set(err, ERR_NOT_FOUND, "%s: context \"%s\" names the user \"%s\", who is not there",
                       context.path, name, user_name);
    int code = read_cluster(out, &cluster, err);
    return code ? code : read_user(out, &user, err);
}

int kubeconfig_read(struct kubeconfig *out, const struct kubeconfig_source *sources, size_t count,
                    struct err *err)
{
    *out = (struct kubeconfig){.server = NULL};
    json_t **files = mem_calloc(count + 1, sizeof(*files));
    int code = 0;
    for (size_t i = 0; i < count && !code; i++) {
        files[i] = yaml_parse(sources[i].text, sources[i].len, err);
        if (!files[i])
            code = err_wrap(err, "%s", sources[i].path);
    }
    if (!code)
        code = read_context(out, files, sources, count, err);
    for (size_t i = 0; i < count; i++)
        json_decref(files[i]);
    free(files);
    return code;
}

void kubeconfig_free(struct kubeconfig *config)
{
    char *const strings[] = {config->server,     config->ca_data,  config->ca_file,  config->cert_data,
                             config->cert_file,  config->key_data, config->key_file, config->token,
                             config->token_file, config->as};
    for (size_t i = 0; i < sizeof(strings) / sizeof(*strings); i++)
        free(strings[i]);
    *config = (struct kubeconfig){.server = NULL};
}
