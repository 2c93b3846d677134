/* The calls of client.h in terms of an implementation's operations. */
#include "client/client.h"

#include "codec/json.h"

#include <poll.h>

#define SETTLE_POLL_MS 10

int client_do(struct client *client, const struct client_request *request, json_t **out, struct err *err)
{
    return client->ops->request(client, request, out, err);
}

int client_get(struct client *client, const struct client_resource *resource, const char *namespace,
               const char *name, json_t **out, struct err *err)
{
    struct client_request request = {
        .verb = CLIENT_GET, .resource = *resource, .namespace = namespace, .name = name};
    return client_do(client, &request, out, err);
}

int client_list(struct client *client, const struct client_resource *resource, const char *namespace,
                const char *label_selector, const char *field_selector, json_t **items, struct err *err)
{
    struct client_request request = {.verb = CLIENT_LIST,
                                     .resource = *resource,
                                     .namespace = namespace,
                                     .label_selector = label_selector,
                                     .field_selector = field_selector};
    json_t *list = NULL;
    int rc = client_do(client, &request, &list, err);
    if (rc)
        return rc;
    *items = json_incref(json_object_get(list, "items"));
    json_decref(list);
    return 0;
}

int client_create(struct client *client, const struct client_resource *resource, const char *namespace,
                  const json_t *object, json_t **out, struct err *err)
{
    struct client_request request = {
        .verb = CLIENT_CREATE, .resource = *resource, .namespace = namespace, .body = object};
    return client_do(client, &request, out, err);
}

int client_update(struct client *client, const struct client_resource *resource, const char *subresource,
                  const json_t *object, json_t **out, struct err *err)
{
    struct client_request request = {.verb = CLIENT_UPDATE,
                                     .resource = *resource,
                                     .subresource = subresource,
                                     .namespace = json_str(object, "metadata", "namespace"),
                                     .name = json_str(object, "metadata", "name"),
                                     .body = object};
    return client_do(client, &request, out, err);
}

int client_patch(struct client *client, const struct client_resource *resource, const char *subresource,
                 const char *namespace, const char *name, enum client_patch type, const json_t *patch,
                 json_t **out, struct err *err)
{
    struct client_request request = {.verb = CLIENT_PATCH,
                                     .resource = *resource,
                                     .subresource = subresource,
                                     .namespace = namespace,
                                     .name = name,
                                     .body = patch,
                                     .patch = type};
    return client_do(client, &request, out, err);
}

int client_delete(struct client *client, const struct client_resource *resource, const char *namespace,
                  const char *name, const json_t *options, struct err *err)
{
    struct client_request request = {
        .verb = CLIENT_DELETE, .resource = *resource, .namespace = namespace, .name = name, .body = options};
    return client_do(client, &request, NULL, err);
}

struct client_watch *client_watch_start(struct client *client, const struct client_resource *resource,
                                        const char *namespace, const char *field_selector, client_watch_fn fn,
                                        void *arg)
{
    return client->ops->watch_start(client, resource, namespace, field_selector, fn, arg);
}

struct client_watch *client_watch_start_metadata(struct client *client,
                                                 const struct client_resource *resource, client_watch_fn fn,
                                                 void *arg)
{
    if (!client->ops->watch_start_metadata)
        return client->ops->watch_start(client, resource, NULL, NULL, fn, arg);
    return client->ops->watch_start_metadata(client, resource, fn, arg);
}

void client_watch_stop(struct client_watch *watch)
{
    if (watch)
        watch->client->ops->watch_stop(watch);
}

bool client_owns(struct client *client, const void *work, size_t len)
{
    return !client->ops->owns || client->ops->owns(client, work, len);
}

enum client_liveness client_liveness(struct client *client, const char *node)
{
    return client->ops->liveness ? client->ops->liveness(client, node) : CLIENT_LIVENESS_UNKNOWN;
}

void client_on_members(struct client *client, client_members_fn fn, void *arg)
{
    if (client->ops->on_members)
        client->ops->on_members(client, fn, arg);
}

bool client_settled(struct client *client)
{
    return !client->ops->settled || client->ops->settled(client);
}

void client_await_settled(struct client *client, const atomic_bool *stop)
{
    while (!client_settled(client) && !(stop && atomic_load(stop)))
        poll(NULL, 0, SETTLE_POLL_MS);
}
