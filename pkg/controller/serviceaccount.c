/* The service account controller: each namespace has the account "default". Keys: namespaces. */
#include "controller/manager_internal.h"

#include <string.h>

#define ACCOUNT "default"

static void serviceaccount_event(struct controller *self, const struct watched *kind, enum client_event event,
                                 const json_t *object)
{
    if (kind->id == KIND_NAMESPACE && event != CLIENT_DELETED && !kube_deleting(object))
        controller_add(self, kube_name(object));
    else if (kind->id == KIND_SERVICEACCOUNT && event == CLIENT_DELETED &&
             !strcmp(kube_name(object), ACCOUNT))
        controller_add(self, kube_namespace(object));
}

static int serviceaccount_sync(struct controller *self, const struct sync_in *in, int64_t *again_us,
                               struct err *err)
{
    (void)again_us;
    json_auto_t *account = NULL;
    int rc = client_get(self->client, &kube_serviceaccounts, in->key, ACCOUNT, &account, err);
    if (rc != ERR_NOT_FOUND)
        return rc;
    json_auto_t *namespace = NULL;
    rc = client_get(self->client, &kube_namespaces, NULL, in->key, &namespace, err);
    if (rc || kube_deleting(namespace))
        return rc == ERR_NOT_FOUND ? 0 : rc;
    json_auto_t *made = json_pack("{ss ss s{ss ss}}", "apiVersion", "v1", "kind", "ServiceAccount",
                                  "metadata", "name", ACCOUNT, "namespace", in->key);
    rc = client_create(self->client, &kube_serviceaccounts, in->key, made, NULL, err);
    return rc == ERR_EXISTS ? 0 : rc;
}

const struct controller_type serviceaccount_controller = {
    .name = "serviceaccount",
    .size = sizeof(struct controller),
    .event = serviceaccount_event,
    .sync = serviceaccount_sync,
};
