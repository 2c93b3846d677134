/* Any text as the content of a role and of a binding: compiled and asked without harm. */
#include "validator/rbac_policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void count(void *arg, const char *rule_json)
{
    *(size_t *)arg += *rule_json != 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rbac_change changes[] = {
        {{"rbac.authorization.k8s.io", "clusterroles", "", "r"}, data, size},
        {{"rbac.authorization.k8s.io", "rolebindings", "ns", "b"}, data, size},
        {{"rbac.authorization.k8s.io", "clusterrolebindings", "", "c"}, data, size},
    };
    struct rbac_policy *policy = rbac_policy_change(NULL, changes, 3);
    const char *groups[] = {"staff", "system:authenticated"};
    struct rbac_attributes a = {"jane", groups, 2, "get", "apps", "deployments", "scale", "ns", "web", NULL};
    buf_auto struct buf reason = BUF_INIT;
    rbac_allows(policy, &a, &reason);
    a.path = "/healthz";
    rbac_allows(policy, &a, &reason);
    size_t rules = 0;
    rbac_rules_for(policy, &a, count, &rules);
    struct rbac_policy *less = rbac_policy_change(policy, changes, 1);
    rbac_policy_release(policy);
    rbac_allows(less, &a, NULL);
    rbac_policy_release(less);
    return 0;
}
