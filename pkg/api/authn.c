/*
 * Identities, and service account tokens (the claims of Kubernetes' bound tokens, KEP-1205).
 *
 * A token is as good as what it is bound to: its service account, and the pod, node or secret that it names,
 * must still live with the same UID. That is a lookup in the state, so a deleted account is locked out at
 * once.
 */
#include "api/authn_internal.h"

#include "base/mem.h"
#include "codec/json.h"

#include <string.h>

#define GROUP_AUTHENTICATED "system:authenticated"
#define GROUP_SERVICE_ACCOUNTS "system:serviceaccounts"

void api_identity_free(struct api_identity *identity)
{
    free(identity->name);
    free(identity->uid);
    for (size_t i = 0; i < identity->group_count; i++)
        free(identity->groups[i]);
    free(identity->groups);
    json_decref(identity->extra);
    *identity = (struct api_identity){0};
}

struct api_user api_identity_user(const struct api_identity *identity)
{
    return (struct api_user){
        .name = identity->name,
        .uid = identity->uid ? identity->uid : "",
        .groups = (const char *const *)identity->groups,
        .group_count = identity->group_count,
        .extra = identity->extra,
    };
}

void api_identity_add_group(struct api_identity *identity, const char *group)
{
    for (size_t i = 0; i < identity->group_count; i++)
        if (strcmp(identity->groups[i], group) == 0)
            return;
    identity->groups =
        mem_reallocarray(identity->groups, identity->group_count + 1, sizeof(*identity->groups));
    identity->groups[identity->group_count++] = mem_strdup(group);
}

void api_identity_add_extra(struct api_identity *identity, const char *name, const char *value)
{
    if (!identity->extra)
        identity->extra = json_object();
    json_array_append_new(json_array_ensure(identity->extra, name), json_string(value));
}

/* Whether an object lives with this UID. */
static bool object_lives(struct api_server *server, const char *resource, const char *namespace,
                         const char *name, const char *uid)
{
    const struct state_store_ops *ops = ledger_store_ops(server->ledger);
    struct state_snapshot *snapshot = ops->snapshot_begin(ledger_store(server->ledger));
    struct resource_key key = {.group = "", .resource = resource, .namespace = namespace, .name = name};
    struct state_object object;
    bool lives = ops->get(snapshot, &key, &object, NULL) == 0 && object.uid && strcmp(object.uid, uid) == 0;
    ops->snapshot_end(snapshot);
    return lives;
}

static bool audience_fits(const json_t *claims, const char *const *audiences, size_t count)
{
    size_t i;
    const json_t *value;
    json_array_foreach(json_at(claims, "aud"), i, value)
    {
        const char *audience = json_or_empty_(value);
        for (size_t k = 0; k < count; k++)
            if (strcmp(audience, audiences[k]) == 0)
                return true;
    }
    return false;
}

static int check_times(const json_t *claims, int64_t now_s, struct err *err)
{
    /* A token without an end was never issued here. */
    if (json_int_or(0, claims, "exp") <= now_s)
        return err_set(err, ERR_UNAUTHORIZED, "service account token has expired");
    if (json_int_or(0, claims, "nbf") > now_s + 60)
        return err_set(err, ERR_UNAUTHORIZED, "service account token is not valid yet");
    return 0;
}

/* The service account and what else the token is bound to. */
static int check_bound(struct api_server *server, const json_t *claims, struct err *err)
{
    const char *namespace = json_str_or_empty(claims, "kubernetes.io", "namespace");
    static const struct {
        const char *claim, *resource;
        bool namespaced;
    } bound[] = {{"pod", "pods", true}, {"secret", "secrets", true}, {"node", "nodes", false}};
    const char *account = json_str_or_empty(claims, "kubernetes.io", "serviceaccount", "name");
    mem_auto char *subject = mem_printf("system:serviceaccount:%s:%s", namespace, account);
    if (!*namespace || !*account || strcmp(subject, json_str_or_empty(claims, "sub")) != 0)
        return err_set(err, ERR_UNAUTHORIZED, "service account token has no valid subject");
    if (!object_lives(server, "serviceaccounts", namespace, account,
                      json_str_or_empty(claims, "kubernetes.io", "serviceaccount", "uid")))
        return err_set(err, ERR_UNAUTHORIZED, "service account %s/%s has been deleted", namespace, account);
    for (size_t i = 0; i < sizeof(bound) / sizeof(*bound); i++) {
        const json_t *object = json_at(claims, "kubernetes.io", bound[i].claim);
        /* A token of a pod also names its node for information; only a token without a pod depends on it. */
        if (!object || (!bound[i].namespaced && json_at(claims, "kubernetes.io", "pod")))
            continue;
        const char *name = json_str_or_empty(object, "name");
        if (!object_lives(server, bound[i].resource, bound[i].namespaced ? namespace : "", name,
                          json_str_or_empty(object, "uid")))
            return err_set(err, ERR_UNAUTHORIZED, "%s %s, which the token is bound to, has been deleted",
                           bound[i].claim, name);
    }
    return 0;
}

static void add_extra_claim(struct api_identity *out, const json_t *claims, const char *object,
                            const char *member, const char *name)
{
    const char *value = json_str_or_empty(claims, "kubernetes.io", object, member);
    if (*value)
        api_identity_add_extra(out, name, value);
}

static void identity_from_claims(struct api_identity *out, const json_t *claims)
{
    const char *namespace = json_str_or_empty(claims, "kubernetes.io", "namespace");
    mem_auto char *group = mem_printf("%s:%s", GROUP_SERVICE_ACCOUNTS, namespace);
    *out = (struct api_identity){
        .name = mem_strdup(json_str_or_empty(claims, "sub")),
        .uid = mem_strdup(json_str_or_empty(claims, "kubernetes.io", "serviceaccount", "uid")),
    };
    api_identity_add_group(out, GROUP_SERVICE_ACCOUNTS);
    api_identity_add_group(out, group);
    api_identity_add_group(out, GROUP_AUTHENTICATED);
    const char *id = json_str_or_empty(claims, "jti");
    if (*id) {
        mem_auto char *credential = mem_printf("JTI=%s", id);
        api_identity_add_extra(out, "authentication.kubernetes.io/credential-id", credential);
    }
    add_extra_claim(out, claims, "node", "name", "authentication.kubernetes.io/node-name");
    add_extra_claim(out, claims, "node", "uid", "authentication.kubernetes.io/node-uid");
    add_extra_claim(out, claims, "pod", "name", "authentication.kubernetes.io/pod-name");
    add_extra_claim(out, claims, "pod", "uid", "authentication.kubernetes.io/pod-uid");
}

int api_authn_token(struct api_server *server, const char *token, const char *const *audiences,
                    size_t audience_count, int64_t now_s, struct api_identity *out, struct err *err)
{
    static const char *const own[] = {API_TOKEN_AUDIENCE};
    buf_auto struct buf text = BUF_INIT;
    int code = pki_verify_token(server->pki, token, &text, err);
    if (code)
        return code;
    json_auto_t *claims = json_parse(buf_str(&text), text.len, err);
    if (!claims)
        return err_set(err, ERR_UNAUTHORIZED, "the token's claims are malformed");
    if (strcmp(json_str_or_empty(claims, "iss"), API_TOKEN_ISSUER) != 0)
        return err_set(err, ERR_UNAUTHORIZED, "the token was not issued by this cluster");
    if (!audience_fits(claims, audiences ? audiences : own, audiences ? audience_count : 1))
        return err_set(err, ERR_UNAUTHORIZED, "token audiences do not include the requested one");
    code = check_times(claims, now_s, err);
    if (!code)
        code = check_bound(server, claims, err);
    if (!code)
        identity_from_claims(out, claims);
    return code;
}
