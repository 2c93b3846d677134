/* Mirroring: Endpoints that a user wrote for a Service without a selector get EndpointSlices, which is what
 * the service proxy reads. Keys: "ns/name" of the Endpoints, which is that of the Service. */
#include "controller/manager_internal.h"

#include "base/mem.h"
#include "codec/json.h"
#include "controller/mirror_plan.h"

#include <string.h>

static void mirror_event(struct controller *self, const struct watched *kind, enum client_event event,
                         const json_t *object)
{
    if (event == CLIENT_DELETED)
        return; /* slices go with the Endpoints that own them, and without a service nobody asks for them */
    bool own = kind->id == KIND_ENDPOINTS && mirror_wanted(object);
    bool service = kind->id == KIND_SERVICE && json_object_size(json_at(object, "spec", "selector")) == 0;
    if (own || service)
        controller_add_object(self, object);
}

static const json_t *find_by_name(const json_t *objects, const char *name)
{
    size_t i;
    json_t *object;
    json_array_foreach(objects, i, object)
    {
        if (!strcmp(kube_name(object), name))
            return object;
    }
    return NULL;
}

static int write_slice(struct controller *self, const json_t *want, const json_t *have, struct err *err)
{
    if (!have)
        return client_create(self->client, &kube_endpointslices, kube_namespace(want), want, NULL, err);
    bool same = kube_equal(json_object_get(have, "endpoints"), json_object_get(want, "endpoints")) &&
                kube_equal(json_object_get(have, "ports"), json_object_get(want, "ports")) &&
                kube_equal(json_at(have, "metadata", "labels"), json_at(want, "metadata", "labels"));
    return same ? 0 : client_update(self->client, &kube_endpointslices, NULL, want, NULL, err);
}

static int sync_slices(struct controller *self, const json_t *endpoints, const json_t *service,
                       struct err *err)
{
    json_auto_t *want = mirror_slices(endpoints, service);
    json_auto_t *have = NULL;
    int rc = kube_list_owned(self->client, &kube_endpointslices, kube_namespace(endpoints),
                             kube_uid(endpoints), &have, err);
    size_t i;
    json_t *slice;
    json_array_foreach(want, i, slice)
    {
        if (!rc)
            rc = write_slice(self, slice, find_by_name(have, kube_name(slice)), err);
    }
    json_array_foreach(have, i, slice)
    {
        if (rc || find_by_name(want, kube_name(slice)))
            continue;
        rc = client_delete(self->client, &kube_endpointslices, kube_namespace(slice), kube_name(slice), NULL,
                           err);
        rc = rc == ERR_NOT_FOUND ? 0 : rc;
    }
    return rc;
}

static int mirror_sync(struct controller *self, const struct sync_in *in, int64_t *again_us, struct err *err)
{
    (void)again_us;
    mem_auto char *key = mem_strdup(in->key);
    const char *namespace, *name;
    kube_key_split(key, &namespace, &name);
    json_auto_t *endpoints = NULL;
    json_auto_t *service = NULL;
    int rc = client_get(self->client, &kube_endpoints, namespace, name, &endpoints, err);
    if (rc)
        return rc == ERR_NOT_FOUND ? 0 : rc;
    rc = client_get(self->client, &kube_services, namespace, name, &service, err);
    if (rc && rc != ERR_NOT_FOUND)
        return rc;
    return sync_slices(self, endpoints, service, err);
}

const struct controller_type mirror_controller = {
    .name = "endpointslice-mirroring",
    .size = sizeof(struct controller),
    .event = mirror_event,
    .sync = mirror_sync,
};
