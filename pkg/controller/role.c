/* Aggregation of ClusterRoles: a role with an aggregationRule has the rules of those that it selects. Keys:
 * names of such roles. */
#include "controller/manager_internal.h"

#include "codec/json.h"
#include "controller/role_plan.h"

static const struct client_resource clusterroles = {"rbac.authorization.k8s.io", "v1", "clusterroles"};

struct role_controller {
    struct controller base;
    pthread_mutex_t lock;
    json_t *aggregating; /* set of names */
};

static void role_start(struct controller *self)
{
    struct role_controller *c = (struct role_controller *)self;
    pthread_mutex_init(&c->lock, NULL);
    c->aggregating = json_object();
}

static void role_stop(struct controller *self)
{
    struct role_controller *c = (struct role_controller *)self;
    json_decref(c->aggregating);
    pthread_mutex_destroy(&c->lock);
}

static void role_event(struct controller *self, const struct watched *kind, enum client_event event,
                       const json_t *object)
{
    struct role_controller *c = (struct role_controller *)self;
    if (kind->id != KIND_CLUSTERROLE)
        return;
    pthread_mutex_lock(&c->lock);
    if (event != CLIENT_DELETED && json_object_get(object, "aggregationRule"))
        json_object_set_new(c->aggregating, kube_name(object), json_true());
    else
        json_object_del(c->aggregating, kube_name(object));
    const char *name;
    json_t *value;
    json_object_foreach(c->aggregating, name, value) controller_add(self, name);
    pthread_mutex_unlock(&c->lock);
}

static void role_again(struct controller *self, const struct watched *kind, const json_t *object)
{
    if (kind->id == KIND_CLUSTERROLE && json_object_get(object, "aggregationRule"))
        controller_add_object(self, object);
}

static int role_sync(struct controller *self, const struct sync_in *in, int64_t *again_us, struct err *err)
{
    (void)again_us;
    json_auto_t *role = NULL;
    json_auto_t *roles = NULL;
    int rc = client_get(self->client, &clusterroles, NULL, in->key, &role, err);
    if (rc || !json_object_get(role, "aggregationRule"))
        return rc == ERR_NOT_FOUND ? 0 : rc;
    rc = client_list(self->client, &clusterroles, NULL, NULL, NULL, &roles, err);
    if (rc)
        return rc;
    json_auto_t *rules = role_aggregate(role, roles);
    if (kube_equal(rules, json_object_get(role, "rules")))
        return 0;
    json_object_set(role, "rules", rules);
    return client_update(self->client, &clusterroles, NULL, role, NULL, err);
}

const struct controller_type role_controller = {
    .name = "clusterrole-aggregation",
    .size = sizeof(struct role_controller),
    .start = role_start,
    .stop = role_stop,
    .event = role_event,
    .again = role_again,
    .sync = role_sync,
};
