/* TokenRequest: a signed, bound, expiring token of a service account (KEP-1205). */
#include "api/verbs_internal.h"

#include "base/rand.h"
#include "base/timefmt.h"
#include "object/registry.h"

#define TOKEN_SECONDS_DEFAULT 3600
#define TOKEN_SECONDS_MIN 600
#define TOKEN_SECONDS_MAX (1LL << 32)

static json_t *reference(const char *name, const char *uid)
{
    return json_pack("{s:s, s:s}", "name", name, "uid", uid);
}

/* The node that a bound pod runs on goes into the token too (KEP-4193). */
static void add_node(struct api_call *call, json_t *claims, const json_t *pod)
{
    const char *name = json_str_or_empty(pod, "spec", "nodeName");
    struct state_object node;
    if (*name && !call_find(call, registry_by_resource("", "v1", "nodes"), "", name, &node))
        json_object_set_new(claims, "node", reference(name, node.uid));
}

/* What the token is bound to has to be there, with the UID that the request names. */
static int bind_to(struct api_call *call, const json_t *ref, json_t *claims)
{
    const char *kind_name = json_str_or_empty(ref, "kind");
    const char *name = json_str_or_empty(ref, "name");
    const char *uid = json_str_or_empty(ref, "uid");
    bool pod = !strcmp(kind_name, "Pod"), node = !strcmp(kind_name, "Node");
    if (!pod && !node && strcmp(kind_name, "Secret") != 0)
        return err_set(&call->err, ERR_BAD_REQUEST, "cannot bind token to object of type %s, Kind=%s",
                       json_str_or_empty(ref, "apiVersion"), kind_name);
    const struct schema_kind *kind = registry_by_resource("", "v1",
                                                          pod    ? "pods"
                                                          : node ? "nodes"
                                                                 : "secrets");
    struct state_object state;
    int rc = call_find(call, kind, node ? "" : call->request->namespace, name, &state);
    if (rc == ERR_NOT_FOUND)
        return call_not_found(call, kind, name);
    if (rc)
        return rc;
    if (*uid && strcmp(uid, state.uid) != 0)
        return err_set(
            &call->err, ERR_CONFLICT,
            "Operation cannot be fulfilled on %s \"%s\": the UID in the bound object reference (%s) does not "
            "match the UID in record. The object might have been deleted and then recreated",
            kind->kind, name, uid);
    json_object_set_new(claims, kind->singular, reference(name, state.uid));
    if (!pod)
        return 0;
    json_auto_t *object = object_parse(call->server, &state, &call->err);
    if (!object)
        return call->err.code;
    const char *account = json_str_or_empty(object, "spec", "serviceAccountName");
    if (strcmp(account, call->request->name) != 0)
        return err_set(
            &call->err, ERR_BAD_REQUEST,
            "cannot bind token for serviceaccount \"%s\" to pod running with different serviceaccount name.",
            call->request->name);
    add_node(call, claims, object);
    return 0;
}

static json_t *make_claims(struct api_call *call, const json_t *audiences, int64_t seconds,
                           json_t *kubernetes)
{
    const struct api_request *request = call->request;
    char jti[RAND_UUID_MAX];
    rand_uuid(jti);
    json_int_t now = call->now_us / 1000000;
    json_int_t expiry = now + seconds;
    buf_auto struct buf subject = BUF_INIT;
    buf_printf(&subject, "system:serviceaccount:%s:%s", request->namespace, request->name);
    return json_pack("{s:O, s:I, s:I, s:s, s:s, s:O, s:I, s:s}", "aud", audiences, "exp", expiry, "iat", now,
                     "iss", API_TOKEN_ISSUER, "jti", jti, "kubernetes.io", kubernetes, "nbf", now, "sub",
                     buf_str(&subject));
}

/* What is invalid is the request, not the account that it is made for. */
static int invalid_lifetime(struct api_call *call, int64_t seconds, const char *rule)
{
    static const struct schema_kind kind = {
        .group = "authentication.k8s.io", .version = "v1", .kind = "TokenRequest"};
    struct field_errors errors = {0};
    field_errors_add(&errors, "FieldValueInvalid", "spec.expirationSeconds", "Invalid value: %lld: %s",
                     (long long)seconds, rule);
    int rc = call_invalid(call, &errors, &kind, "");
    field_errors_free(&errors);
    return rc;
}

static int choose_lifetime(struct api_call *call, const json_t *spec, int64_t *seconds)
{
    *seconds = json_int_or(TOKEN_SECONDS_DEFAULT, spec, "expirationSeconds");
    if (*seconds < TOKEN_SECONDS_MIN)
        return invalid_lifetime(call, *seconds, "may not specify a duration less than 10 minutes");
    if (*seconds > TOKEN_SECONDS_MAX)
        return invalid_lifetime(call, *seconds, "may not specify a duration larger than 2^32 seconds");
    return 0;
}

static int answer(struct api_call *call, json_t *sent, const json_t *claims)
{
    buf_auto struct buf text = BUF_INIT, token = BUF_INIT;
    object_write_value(&text, claims);
    int rc = pki_sign_token(call->server->pki, buf_str(&text), &token, &call->err);
    if (rc)
        return rc;
    char expires[TIMEFMT_MAX], now[TIMEFMT_MAX];
    timefmt_seconds(expires, json_int_or(0, claims, "exp"));
    timefmt_seconds(now, call->now_us / 1000000);
    json_t *metadata = json_object_ensure(sent, "metadata");
    json_set_str(metadata, "name", call->request->name);
    json_set_str(metadata, "namespace", call->request->namespace);
    json_set_str(metadata, "creationTimestamp", now);
    json_object_set_new(sent, "status",
                        json_pack("{s:s, s:s}", "token", buf_str(&token), "expirationTimestamp", expires));
    call_reply_object(call, 201, json_incref(sent));
    return 0;
}

int verbs_token(struct api_call *call)
{
    json_auto_t *sent = NULL;
    int rc = call_decode_message(call, "io.k8s.api.authentication.v1.TokenRequest", "authentication.k8s.io",
                                 "v1", "TokenRequest", &sent);
    struct state_object account;
    if (!rc)
        rc = call_find(call, call->kind, call->request->namespace, call->request->name, &account);
    if (rc == ERR_NOT_FOUND)
        return call_not_found(call, call->kind, call->request->name);
    if (rc)
        return rc;
    json_t *spec = json_object_ensure(sent, "spec");
    json_t *audiences = json_array_ensure(spec, "audiences");
    if (!json_array_size(audiences))
        json_array_append_new(audiences, json_string(API_TOKEN_AUDIENCE));
    int64_t seconds;
    rc = choose_lifetime(call, spec, &seconds);
    if (rc)
        return rc;
    json_set_int(spec, "expirationSeconds", seconds);
    json_auto_t *kubernetes = json_pack("{s:s, s:o}", "namespace", call->request->namespace, "serviceaccount",
                                        reference(call->request->name, account.uid));
    const json_t *ref = json_object_get(spec, "boundObjectRef");
    if (json_is_object(ref))
        rc = bind_to(call, ref, kubernetes);
    if (rc)
        return rc;
    json_auto_t *claims = make_claims(call, audiences, seconds, kubernetes);
    return answer(call, sent, claims);
}
