/* Admission: which of the steps concern an object. The steps themselves are in admission_*.c. */
#include "api/verbs_internal.h"

int admission_create(struct api_call *call, json_t *object)
{
    int rc = admission_namespace(call, object);
    if (kind_is(call->kind, "", "secrets"))
        admission_secret(object);
    if (!rc && kind_is(call->kind, "", "pods")) {
        rc = admission_service_account(call, object);
        if (!rc)
            rc = admission_pod(call, object);
    }
    if (!rc && !strcmp(call->kind->group, "rbac.authorization.k8s.io"))
        rc = admission_rbac(call, object);
    return rc;
}

int admission_update(struct api_call *call, json_t *object)
{
    if (kind_is(call->kind, "", "secrets"))
        admission_secret(object);
    if (!strcmp(call->kind->group, "rbac.authorization.k8s.io"))
        return admission_rbac(call, object);
    return 0;
}

int admission_delete(struct api_call *call)
{
    static const char *const immortal[] = {"default", "kube-system", "kube-public"};
    if (!kind_is(call->kind, "", "namespaces"))
        return 0;
    const char *name = json_str_or_empty(call->live, "metadata", "name");
    for (size_t i = 0; i < sizeof(immortal) / sizeof(*immortal); i++)
        if (!strcmp(immortal[i], name))
            return call_forbidden(call, name, "this namespace may not be deleted");
    return 0;
}

int admission_allocate(struct api_call *call, json_t *object)
{
    return kind_is(call->kind, "", "services") ? allocate_service(call, object) : 0;
}
