/* The root CA publisher: each namespace has the ConfigMap kube-root-ca.crt, by which pods know the API
 * server. Keys: namespaces. */
#include "controller/manager_internal.h"

#include "codec/json.h"

#include <string.h>

#define CONFIGMAP "kube-root-ca.crt"

static void root_ca_event(struct controller *self, const struct watched *kind, enum client_event event,
                          const json_t *object)
{
    if (!self->options->ca_pem)
        return;
    if (kind->id == KIND_NAMESPACE && event == CLIENT_ADDED && !kube_deleting(object))
        controller_add(self, kube_name(object));
    else if (kind->id == KIND_CONFIGMAP && !strcmp(kube_name(object), CONFIGMAP))
        controller_add(self, kube_namespace(object));
}

static int create_configmap(struct controller *self, const char *name, json_t *data, struct err *err)
{
    json_auto_t *namespace = NULL;
    int rc = client_get(self->client, &kube_namespaces, NULL, name, &namespace, err);
    if (rc || kube_deleting(namespace))
        return rc == ERR_NOT_FOUND ? 0 : rc;
    json_auto_t *made = json_pack("{ss ss s{ss ss} sO}", "apiVersion", "v1", "kind", "ConfigMap", "metadata",
                                  "name", CONFIGMAP, "namespace", name, "data", data);
    rc = client_create(self->client, &kube_configmaps, name, made, NULL, err);
    return rc == ERR_EXISTS ? 0 : rc;
}

static int root_ca_sync(struct controller *self, const struct sync_in *in, int64_t *again_us, struct err *err)
{
    (void)again_us;
    json_auto_t *data = json_pack("{ss}", "ca.crt", self->options->ca_pem);
    json_auto_t *configmap = NULL;
    int rc = client_get(self->client, &kube_configmaps, in->key, CONFIGMAP, &configmap, err);
    if (rc == ERR_NOT_FOUND)
        return create_configmap(self, in->key, data, err);
    if (rc || json_equal(json_at(configmap, "data"), data) || kube_deleting(configmap))
        return rc;
    json_object_set(configmap, "data", data);
    return client_update(self->client, &kube_configmaps, NULL, configmap, NULL, err);
}

const struct controller_type root_ca_controller = {
    .name = "root-ca",
    .size = sizeof(struct controller),
    .event = root_ca_event,
    .sync = root_ca_sync,
};
