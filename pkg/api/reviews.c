/* The virtual kinds: questions about who one is and what one may do, answered and never stored. */
#include "api/verbs_internal.h"

#include "base/mem.h"

typedef int (*review_fn)(struct api_call *call, json_t *review);

/* The user that a review asks about; groups is the caller's to free. */
static struct api_user subject_of(const json_t *spec, const char ***groups)
{
    const json_t *list = json_object_get(spec, "groups");
    size_t count = json_array_size(list);
    *groups = mem_calloc(count + 1, sizeof(**groups));
    for (size_t i = 0; i < count; i++)
        (*groups)[i] = json_string_value(json_array_get(list, i)) ?: "";
    return (struct api_user){
        .name = json_str_or_empty(spec, "user"), .groups = *groups, .group_count = count};
}

/* status of an access review. */
static int decide(struct api_call *call, json_t *review, const struct api_user *user)
{
    const json_t *spec = json_object_get(review, "spec");
    const json_t *resource = json_object_get(spec, "resourceAttributes");
    const json_t *path = json_object_get(spec, "nonResourceAttributes");
    if (!!json_is_object(resource) == !!json_is_object(path))
        return call_invalid_field(
            call, "", "FieldValueInvalid", "spec.resourceAttributes",
            "Invalid value: \"null\": exactly one of nonResourceAttributes or resourceAttributes "
            "must be specified");
    struct rbac_attributes attributes = {
        .user = user->name,
        .groups = user->groups,
        .group_count = user->group_count,
        .verb = json_str_or_empty(resource ? resource : path, "verb"),
        .group = json_str_or_empty(resource, "group"),
        .resource = json_str_or_empty(resource, "resource"),
        .subresource = json_str_or_empty(resource, "subresource"),
        .namespace = json_str_or_empty(resource, "namespace"),
        .name = json_str_or_empty(resource, "name"),
        .path = path ? json_str_or_empty(path, "path") : NULL,
    };
    struct rbac_policy *policy = ledger_policy(call->server->ledger);
    buf_auto struct buf reason = BUF_INIT;
    bool allowed = rbac_allows(policy, &attributes, &reason);
    rbac_policy_release(policy);
    json_t *status = json_pack("{s:b}", "allowed", allowed);
    if (reason.len > 0)
        json_set_str(status, "reason", buf_str(&reason));
    json_object_set_new(review, "status", status);
    return 0;
}

static int review_subject(struct api_call *call, json_t *review)
{
    const json_t *spec = json_object_get(review, "spec");
    if (!*json_str_or_empty(spec, "user") && !json_array_size(json_object_get(spec, "groups")))
        return call_invalid_field(call, "", "FieldValueInvalid", "spec.user",
                                  "Invalid value: \"\": at least one of user or group must be specified");
    const char **groups;
    struct api_user user = subject_of(spec, &groups);
    int rc = decide(call, review, &user);
    free(groups);
    return rc;
}

static int review_local(struct api_call *call, json_t *review)
{
    json_t *resource = json_at(review, "spec", "resourceAttributes");
    const char *namespace = json_str_or_empty(resource, "namespace");
    if (!json_is_object(resource))
        return call_invalid_field(
            call, "", "FieldValueInvalid", "spec.resourceAttributes",
            "Invalid value: \"null\": must be specified for a LocalSubjectAccessReview");
    if (strcmp(namespace, call->request->namespace) != 0)
        return call_invalid_field(call, "", "FieldValueInvalid", "spec.resourceAttributes.namespace",
                                  "Invalid value: \"%.64s\": must match metadata.namespace", namespace);
    return review_subject(call, review);
}

static int review_self(struct api_call *call, json_t *review)
{
    return decide(call, review, &call->request->user);
}

static void add_rule(void *arg, const char *text)
{
    json_t *status = arg;
    json_t *rule = json_loads(text, 0, NULL);
    bool path = json_array_size(json_object_get(rule, "nonResourceURLs")) > 0;
    json_array_append_new(json_object_get(status, path ? "nonResourceRules" : "resourceRules"), rule);
}

static int review_rules(struct api_call *call, json_t *review)
{
    const char *namespace = json_str_or_empty(review, "spec", "namespace");
    if (!*namespace)
        return err_set(&call->err, ERR_BAD_REQUEST, "no namespace on request");
    const struct api_user *user = &call->request->user;
    struct rbac_attributes who = {.user = user->name,
                                  .groups = user->groups,
                                  .group_count = user->group_count,
                                  .verb = "",
                                  .group = "",
                                  .resource = "",
                                  .subresource = "",
                                  .name = "",
                                  .namespace = namespace};
    json_t *status = json_pack("{s:[], s:[], s:b}", "resourceRules", "nonResourceRules", "incomplete", 0);
    struct rbac_policy *policy = ledger_policy(call->server->ledger);
    rbac_rules_for(policy, &who, add_rule, status);
    rbac_policy_release(policy);
    json_object_set_new(review, "status", status);
    return 0;
}

static json_t *user_info(const struct api_user *user)
{
    json_t *info = json_pack("{s:s}", "username", user->name);
    if (user->uid && *user->uid)
        json_set_str(info, "uid", user->uid);
    json_t *groups = json_array();
    for (size_t i = 0; i < user->group_count; i++)
        json_array_append_new(groups, json_string(user->groups[i]));
    json_object_set_new(info, "groups", groups);
    if (json_object_size(user->extra) > 0)
        json_object_set_new(info, "extra", json_deep_copy(user->extra));
    return info;
}

static int review_whoami(struct api_call *call, json_t *review)
{
    json_object_set_new(review, "status", json_pack("{s:o}", "userInfo", user_info(&call->request->user)));
    return 0;
}

static int review_token(struct api_call *call, json_t *review)
{
    const char *token = json_str_or_empty(review, "spec", "token");
    const json_t *list = json_at(review, "spec", "audiences");
    size_t count = json_array_size(list);
    mem_auto const char **audiences = mem_calloc(count + 1, sizeof(*audiences));
    for (size_t i = 0; i < count; i++)
        audiences[i] = json_string_value(json_array_get(list, i)) ?: "";
    struct api_identity identity;
    struct err err = {0};
    json_t *status = json_object();
    if (api_authn_token(call->server, token, count ? audiences : NULL, count, call->now_us / 1000000,
                        &identity, &err)) {
        json_object_set_new(status, "authenticated", json_false());
        json_set_str(status, "error", err.message);
    } else {
        struct api_user user = api_identity_user(&identity);
        json_object_set_new(status, "authenticated", json_true());
        json_object_set_new(status, "user", user_info(&user));
        json_object_set_new(status, "audiences",
                            count ? json_deep_copy(list) : json_pack("[s]", API_TOKEN_AUDIENCE));
        api_identity_free(&identity);
    }
    json_object_set_new(review, "status", status);
    return 0;
}

static const struct {
    const char *group, *resource;
    review_fn fn;
} reviews[] = {
    {"authorization.k8s.io", "subjectaccessreviews", review_subject},
    {"authorization.k8s.io", "localsubjectaccessreviews", review_local},
    {"authorization.k8s.io", "selfsubjectaccessreviews", review_self},
    {"authorization.k8s.io", "selfsubjectrulesreviews", review_rules},
    {"authentication.k8s.io", "selfsubjectreviews", review_whoami},
    {"authentication.k8s.io", "tokenreviews", review_token},
};

int verbs_review(struct api_call *call)
{
    json_auto_t *review = NULL;
    if (call->request->verb != API_CREATE)
        return err_set(&call->err, ERR_METHOD,
                       "the server does not allow this method on the requested resource");
    int rc = call_decode_object(call, call->kind, &review);
    if (rc)
        return rc;
    for (size_t i = 0; i < sizeof(reviews) / sizeof(*reviews); i++) {
        if (!kind_is(call->kind, reviews[i].group, reviews[i].resource))
            continue;
        rc = reviews[i].fn(call, review);
        if (!rc)
            call_reply_object(call, 201, json_incref(review));
        return rc;
    }
    return err_set(&call->err, ERR_METHOD, "the server does not allow this method on the requested resource");
}
