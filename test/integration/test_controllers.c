/*
 * The controllers and the scheduler over the real API and a real ledger. The test itself plays the kubelet of
 * the one node: pods that are bound become ready, pods that are deleted go.
 */
#include "api_fixture.h"
#include "json_text.h"

#include "base/clock.h"
#include "client/event.h"
#include "client/kube.h"
#include "controller/manager.h"
#include "scheduler/scheduler.h"

#define TIMEOUT_US 20000000LL
#define APPS(plural) (&(struct client_resource){"apps", "v1", plural})

struct cluster {
    struct api_fixture api;
    struct client *client;
    struct manager *manager;
    struct scheduler *scheduler;
    bool pods_stay_unready;
};

static struct cluster c;

static json_t *get(const struct client_resource *resource, const char *namespace, const char *name)
{
    json_t *object = NULL;
    client_get(c.client, resource, namespace, name, &object, NULL);
    return object;
}

static json_t *list(const struct client_resource *resource, const char *namespace, const char *labels)
{
    json_t *items = NULL;
    struct err err = {0};
    if (client_list(c.client, resource, namespace, labels, NULL, &items, &err))
        fail_msg("%s: %s", resource->resource, err.message);
    return items;
}

static size_t count(const struct client_resource *resource, const char *namespace)
{
    json_auto_t *items = list(resource, namespace, NULL);
    return json_array_size(items);
}

/* Takes the object over. */
static void create(const struct client_resource *resource, const char *namespace, json_t *object)
{
    struct err err = {0};
    if (client_create(c.client, resource, namespace, object, NULL, &err))
        fail_msg("create %s: %s", resource->resource, err.message);
    json_decref(object);
}

/* Takes the patch over. */
static void patch(const struct client_resource *resource, const char *sub, const char *namespace,
                  const char *name, json_t *change)
{
    struct err err = {0};
    if (client_patch(c.client, resource, sub, namespace, name, CLIENT_PATCH_MERGE, change, NULL, &err))
        fail_msg("patch %s %s: %s", resource->resource, name, err.message);
    json_decref(change);
}

static void delete (const struct client_resource *resource, const char *namespace, const char *name,
                    const char *policy)
{
    struct err err = {0};
    json_auto_t *options = json_pack("{ss*}", "propagationPolicy", policy);
    if (client_delete(c.client, resource, namespace, name, options, &err))
        fail_msg("delete %s %s: %s", resource->resource, name, err.message);
}

/* What the kubelet would do now. */
static void play_kubelet(void)
{
    json_auto_t *pods = list(&kube_pods, NULL, NULL);
    size_t i;
    json_t *pod;
    json_array_foreach(pods, i, pod)
    {
        if (kube_deleting(pod)) {
            json_auto_t *now = jq("{'gracePeriodSeconds':0}");
            client_delete(c.client, &kube_pods, kube_namespace(pod), kube_name(pod), now, NULL);
        } else if (*json_str_or_empty(pod, "spec", "nodeName") && !kube_pod_ready(pod) &&
                   !c.pods_stay_unready) {
            json_auto_t *status =
                jq("{'status':{'phase':'Running','podIP':'10.42.0.%u','podIPs':[{'ip':'10.42.0.%u'}],'"
                   "conditions':[{"
                   "'type':'Ready','status':'True','lastTransitionTime':'2026-01-01T00:00:00Z'}]}}",
                   (unsigned)(strlen(kube_uid(pod)) + kube_uid(pod)[0]) % 250 + 1,
                   (unsigned)(strlen(kube_uid(pod)) + kube_uid(pod)[0]) % 250 + 1);
            client_patch(c.client, &kube_pods, "status", kube_namespace(pod), kube_name(pod),
                         CLIENT_PATCH_MERGE, status, NULL, NULL);
        }
    }
}

/* Waits until an expression holds, with the kubelet at work. */
#define eventually(condition)                          \
    do {                                               \
        int64_t until_ = clock_mono_us() + TIMEOUT_US; \
        while (!(condition)) {                         \
            if (clock_mono_us() > until_)              \
                fail_msg("never: %s", #condition);     \
            play_kubelet();                            \
            usleep(5000);                              \
        }                                              \
    } while (0)

static void add_node(const char *name)
{
    create(&kube_nodes, NULL, jq("{'apiVersion':'v1','kind':'Node','metadata':{'name':'%s'}}", name));
    patch(&kube_nodes, "status", NULL, name,
          jq("{'status':{'allocatable':{'cpu':'4','memory':'8Gi','pods':'110'},'capacity':{'cpu':'4','memory'"
             ":'8Gi',"
             "'pods':'110'},'conditions':[{'type':'Ready','status':'True','reason':'KubeletReady'}]}}"));
}

static int cluster_open(void **state)
{
    (void)state;
    c = (struct cluster){0};
    api_fixture_open(&c.api);
    c.client = api_local_client(c.api.server, "system:kube-controller-manager", api_masters, 2);
    struct manager_options options = {
        .client = c.client, .ca_pem = "CA TEXT\n", .node_name = "node", .node_grace_us = 300000};
    struct err err = {0};
    if (manager_start(&c.manager, &options, &err) || scheduler_start(&c.scheduler, c.client, &err))
        fail_msg("%s", err.message);
    add_node("node");
    json_t *account;
    eventually((account = get(&kube_serviceaccounts, "default", "default")));
    json_decref(account);
    return 0;
}

static int cluster_close(void **state)
{
    (void)state;
    scheduler_stop(c.scheduler);
    manager_stop(c.manager);
    api_local_client_free(c.client);
    api_fixture_close(&c.api);
    return 0;
}

static void create_deployment(const char *name, int replicas, const char *image)
{
    create(APPS("deployments"), "default",
           jq("{'apiVersion':'apps/"
              "v1','kind':'Deployment','metadata':{'name':'%s'},'spec':{'replicas':%d,'selector':{"
              "'matchLabels':{'app':'%s'}},'template':{'metadata':{'labels':{'app':'%s'}},'spec':{'"
              "containers':[{"
              "'name':'c','image':'%s'}]}}}}",
              name, replicas, name, name, image));
}

static int64_t status_of(const char *deployment, const char *field)
{
    json_auto_t *object = get(APPS("deployments"), "default", deployment);
    return json_int_or(0, object, "status", field);
}

static bool rolled_out(const char *name, int64_t replicas)
{
    json_auto_t *object = get(APPS("deployments"), "default", name);
    return json_int_or(0, object, "status", "availableReplicas") == replicas &&
           json_int_or(0, object, "status", "updatedReplicas") == replicas &&
           json_int_or(0, object, "status", "replicas") == replicas &&
           json_int_or(0, object, "status", "observedGeneration") ==
               json_int_or(0, object, "metadata", "generation") &&
           !strcmp(json_str_or_empty(kube_condition(object, "Progressing"), "reason"),
                   "NewReplicaSetAvailable");
}

static bool has_event(const char *reason, const char *message)
{
    json_auto_t *events = list(&kube_events, NULL, NULL);
    size_t i;
    json_t *event;
    json_array_foreach(events, i, event)
    {
        if (!strcmp(json_str_or_empty(event, "reason"), reason) &&
            strstr(json_str_or_empty(event, "message"), message))
            return true;
    }
    return false;
}

static void test_deployment_lives(void **state)
{
    (void)state;
    create_deployment("web", 3, "v1");
    eventually(rolled_out("web", 3));
    json_auto_t *pods = list(&kube_pods, "default", "app=web");
    assert_int_equal(json_array_size(pods), 3);
    assert_string_equal(json_str(json_array_get(pods, 0), "spec", "nodeName"), "node");
    eventually(has_event("ScalingReplicaSet", "Scaled up replica set web-"));
    eventually(has_event("SuccessfulCreate", "Created pod: web-"));
    eventually(has_event("Scheduled", "Successfully assigned default/web-"));

    patch(APPS("deployments"), NULL, "default", "web", jq("{'spec':{'replicas':1}}"));
    eventually(rolled_out("web", 1) && count(&kube_pods, "default") == 1);

    patch(APPS("deployments"), NULL, "default", "web",
          jq("{'spec':{'template':{'spec':{'containers':[{'name':'c','image':'v2'}]}}}}"));
    eventually(rolled_out("web", 1) && count(&kube_pods, "default") == 1);
    json_auto_t *web = get(APPS("deployments"), "default", "web");
    assert_string_equal(kube_annotation(web, "deployment.kubernetes.io/revision"), "2");
    assert_int_equal(count(APPS("replicasets"), "default"), 2);
}

static void test_broken_rollout_keeps_the_old_pods(void **state)
{
    (void)state;
    create_deployment("web", 2, "v1");
    eventually(rolled_out("web", 2));
    c.pods_stay_unready = true;
    patch(APPS("deployments"), NULL, "default", "web",
          jq("{'spec':{'template':{'spec':{'containers':[{'name':'c','image':'broken'}]}}}}"));
    eventually(status_of("web", "updatedReplicas") == 1);
    assert_true(manager_settle(c.manager, 20000));
    assert_int_equal(status_of("web", "availableReplicas"), 2);
    c.pods_stay_unready = false;
    eventually(rolled_out("web", 2));
}

static void test_killed_pod_is_replaced(void **state)
{
    (void)state;
    create_deployment("web", 2, "v1");
    eventually(rolled_out("web", 2));
    json_auto_t *pods = list(&kube_pods, "default", NULL);
    delete (&kube_pods, "default", kube_name(json_array_get(pods, 0)), NULL);
    eventually(rolled_out("web", 2) && count(&kube_pods, "default") == 2);
}

static void test_cascades(void **state)
{
    (void)state;
    static const char *const policies[] = {"Background", "Foreground"};
    for (size_t i = 0; i < 2; i++) {
        create_deployment("web", 3, "v1");
        eventually(rolled_out("web", 3));
        delete (APPS("deployments"), "default", "web", policies[i]);
        eventually(count(APPS("deployments"), "default") == 0 && count(APPS("replicasets"), "default") == 0 &&
                   count(&kube_pods, "default") == 0);
    }
}

static void test_orphans_are_left_and_adopted(void **state)
{
    (void)state;
    create_deployment("web", 2, "v1");
    eventually(rolled_out("web", 2));
    delete (APPS("deployments"), "default", "web", "Orphan");
    eventually(count(APPS("deployments"), "default") == 0);
    assert_true(manager_settle(c.manager, 20000));
    assert_int_equal(count(&kube_pods, "default"), 2);
    json_auto_t *sets = list(APPS("replicasets"), "default", NULL);
    assert_int_equal(json_array_size(sets), 1);
    assert_null(kube_controller(json_array_get(sets, 0)));
    create_deployment("web", 2, "v1");
    eventually(rolled_out("web", 2));
    assert_int_equal(count(APPS("replicasets"), "default"), 1);
    assert_int_equal(count(&kube_pods, "default"), 2);
}

static void test_pod_that_leaves_its_set_is_released(void **state)
{
    (void)state;
    create_deployment("web", 1, "v1");
    eventually(rolled_out("web", 1));
    json_auto_t *pods = list(&kube_pods, "default", NULL);
    const char *name = kube_name(json_array_get(pods, 0));
    patch(&kube_pods, NULL, "default", name, jq("{'metadata':{'labels':{'app':'debug'}}}"));
    eventually(count(&kube_pods, "default") == 2 && rolled_out("web", 1));
    json_auto_t *pod = get(&kube_pods, "default", name);
    assert_null(kube_controller(pod));
    patch(&kube_pods, NULL, "default", name, jq("{'metadata':{'labels':{'app':'web'}}}"));
    eventually(count(&kube_pods, "default") == 1); /* adopted again, and one too many */
}

static bool namespace_is_gone(const char *name)
{
    json_auto_t *namespace = get(&kube_namespaces, NULL, name);
    return !namespace;
}

static void test_namespace_goes_with_its_content(void **state)
{
    (void)state;
    create(&kube_namespaces, NULL, jq("{'apiVersion':'v1','kind':'Namespace','metadata':{'name':'extra'}}"));
    eventually(count(&kube_configmaps, "extra") == 1 && count(&kube_serviceaccounts, "extra") == 1);
    json_auto_t *ca = get(&kube_configmaps, "extra", "kube-root-ca.crt");
    assert_string_equal(json_str(ca, "data", "ca.crt"), "CA TEXT\n");
    create(&kube_secrets, "extra", jq("{'apiVersion':'v1','kind':'Secret','metadata':{'name':'s'}}"));
    create(&kube_pods, "extra",
           jq("{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p'},'spec':{'containers':[{'name':'c','"
              "image':'i'}]}}"));
    create(&kube_configmaps, "extra",
           jq("{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'held','finalizers':['example.com/"
              "hold']}}"));
    delete (&kube_namespaces, NULL, "extra", NULL);
    eventually(count(&kube_pods, "extra") == 0 && count(&kube_secrets, "extra") == 0);
    json_t *namespace;
    eventually((namespace = get(&kube_namespaces, NULL, "extra")) &&
               (strcmp(kube_condition_status(namespace, "NamespaceFinalizersRemaining"), "True") == 0 ||
                (json_decref(namespace), false)));
    json_decref(namespace);
    patch(&kube_configmaps, NULL, "extra", "held", jq("{'metadata':{'finalizers':null}}"));
    eventually(namespace_is_gone("extra"));
    assert_int_equal(count(&kube_configmaps, "extra"), 0);
}

static bool endpoints_are(size_t ready)
{
    json_auto_t *endpoints = get(&kube_endpoints, "default", "web");
    json_auto_t *slices = list(&kube_endpointslices, "default", "kubernetes.io/service-name=web");
    const json_t *subset = json_array_get(json_object_get(endpoints, "subsets"), 0);
    size_t in_slices = 0, i;
    json_t *endpoint;
    json_array_foreach(json_object_get(json_array_get(slices, 0), "endpoints"), i, endpoint) in_slices +=
        json_bool_at(endpoint, "conditions", "ready");
    return endpoints && json_array_size(slices) == 1 && in_slices == ready &&
           json_array_size(json_object_get(subset, "addresses")) == ready;
}

static void test_endpoints_follow_pods(void **state)
{
    (void)state;
    create(&kube_services, "default",
           jq("{'apiVersion':'v1','kind':'Service','metadata':{'name':'web'},'spec':{'selector':{'app':'web'}"
              ",'ports':[{"
              "'port':80,'targetPort':8080}]}}"));
    eventually(endpoints_are(0));
    create_deployment("web", 1, "v1");
    eventually(endpoints_are(1));
    patch(APPS("deployments"), NULL, "default", "web", jq("{'spec':{'replicas':0}}"));
    eventually(endpoints_are(0));
    delete (&kube_services, "default", "web", NULL);
    eventually(count(&kube_endpoints, "default") == 1 &&
               count(&kube_endpointslices, "default") == 1); /* kubernetes */
}

static bool mirrored(const char *ip)
{
    json_auto_t *slices = list(&kube_endpointslices, "default", "kubernetes.io/service-name=outside");
    const json_t *slice = json_array_get(slices, 0);
    const json_t *endpoint = json_array_get(json_object_get(slice, "endpoints"), 0);
    const char *have = json_string_value(json_array_get(json_object_get(endpoint, "addresses"), 0));
    return json_array_size(slices) == (ip ? 1 : 0) &&
           (!ip || (have && !strcmp(have, ip) && json_bool_at(endpoint, "conditions", "ready") &&
                    json_int_or(0, json_array_get(json_object_get(slice, "ports"), 0), "port") == 5432));
}

static void test_endpoints_of_users_are_mirrored(void **state)
{
    (void)state;
    create(&kube_services, "default",
           jq("{'apiVersion':'v1','kind':'Service','metadata':{'name':'outside'},'spec':{'ports':[{'port':"
              "5432}]}}"));
    create(&kube_endpoints, "default",
           jq("{'apiVersion':'v1','kind':'Endpoints','metadata':{'name':'outside'},'subsets':[{'addresses':[{"
              "'ip':"
              "'192.0.2.10'}],'ports':[{'port':5432}]}]}"));
    eventually(mirrored("192.0.2.10"));
    patch(&kube_endpoints, NULL, "default", "outside",
          jq("{'subsets':[{'addresses':[{'ip':'192.0.2.11'}],'ports':[{'port':5432}]}]}"));
    eventually(mirrored("192.0.2.11"));
    patch(&kube_endpoints, NULL, "default", "outside", jq("{'subsets':null}"));
    eventually(mirrored(NULL));
}

static bool unschedulable(const char *name, const char *message)
{
    json_auto_t *pod = get(&kube_pods, "default", name);
    const json_t *condition = kube_condition(pod, "PodScheduled");
    return !strcmp(json_str_or_empty(condition, "reason"), "Unschedulable") &&
           !strcmp(json_str_or_empty(condition, "message"), message);
}

static bool is_bound(const char *name)
{
    json_auto_t *pod = get(&kube_pods, "default", name);
    return *json_str_or_empty(pod, "spec", "nodeName");
}

static void test_unschedulable_pod_waits_for_room(void **state)
{
    (void)state;
    static const char pod[] =
        "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'%s'},'spec':{'containers':[{'name':'c',"
        "'image':'i','resources':{'requests':{'cpu':'3'}}}]}}";
    create(&kube_pods, "default", jq(pod, "a"));
    eventually(is_bound("a"));
    create(&kube_pods, "default", jq(pod, "b"));
    eventually(unschedulable("b", "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, "
                                  "preemption: 0/1 nodes are available: 1 No "
                                  "preemption victims found for incoming pod."));
    eventually(has_event("FailedScheduling", "1 Insufficient cpu"));
    delete (&kube_pods, "default", "a", NULL);
    eventually(is_bound("b"));
}

static void test_cordon_taints_the_node(void **state)
{
    (void)state;
    patch(&kube_nodes, NULL, NULL, "node", jq("{'spec':{'unschedulable':true}}"));
    json_t *node = NULL;
    eventually((json_decref(node), node = get(&kube_nodes, NULL, "node"),
                json_array_size(json_at(node, "spec", "taints")) == 1));
    patch(&kube_nodes, NULL, NULL, "node", jq("{'spec':{'unschedulable':null}}"));
    eventually((json_decref(node), node = get(&kube_nodes, NULL, "node"),
                json_array_size(json_at(node, "spec", "taints")) == 0));
    json_decref(node);
}

static bool exists(const struct client_resource *resource, const char *namespace, const char *name)
{
    json_auto_t *object = get(resource, namespace, name);
    return object;
}

static bool ca_is(const char *text)
{
    json_auto_t *ca = get(&kube_configmaps, "default", "kube-root-ca.crt");
    return !strcmp(json_str_or_empty(ca, "data", "ca.crt"), text);
}

static void test_what_each_namespace_has_comes_back(void **state)
{
    (void)state;
    eventually(ca_is("CA TEXT\n"));
    delete (&kube_serviceaccounts, "default", "default", NULL);
    eventually(exists(&kube_serviceaccounts, "default", "default"));
    delete (&kube_configmaps, "default", "kube-root-ca.crt", NULL);
    eventually(ca_is("CA TEXT\n"));
    patch(&kube_configmaps, NULL, "default", "kube-root-ca.crt", jq("{'data':{'ca.crt':'other'}}"));
    eventually(ca_is("CA TEXT\n"));
}

static void create_owned(const char *name, const char *owner, const char *uid)
{
    create(&kube_configmaps, "default",
           jq("{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'%s','ownerReferences':[{'apiVersion'"
              ":'v1',"
              "'kind':'ConfigMap','name':'%s','uid':'%s'}]}}",
              name, owner, uid));
}

/* Owners that vanished while nobody watched, that never were, and those of which only one is gone. */
static void test_garbage_of_the_past_is_found(void **state)
{
    (void)state;
    create(&kube_configmaps, "default",
           jq("{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'owner'}}"));
    json_auto_t *owner = get(&kube_configmaps, "default", "owner");
    create_owned("child", "owner", kube_uid(owner));
    create_owned("grandchild", "child", "not-the-uid-of-child");
    eventually(!exists(&kube_configmaps, "default", "grandchild"));
    assert_true(exists(&kube_configmaps, "default", "child"));
    create_owned("shared", "owner", kube_uid(owner));
    patch(
        &kube_configmaps, NULL, "default", "shared",
        jq("{'metadata':{'ownerReferences':[{'apiVersion':'v1','kind':'ConfigMap','name':'owner','uid':'%s'},"
           "{'apiVersion':'v1','kind':'Node','name':'node','uid':'%s'}]}}",
           kube_uid(owner), "00000000-0000-0000-0000-000000000000"));
    assert_true(manager_settle(c.manager, 20000));

    manager_stop(c.manager);
    delete (&kube_configmaps, "default", "owner", NULL);
    struct manager_options options = {.client = c.client, .ca_pem = "CA TEXT\n", .node_name = "node"};
    struct err err = {0};
    assert_int_equal(manager_start(&c.manager, &options, &err), 0);
    eventually(!exists(&kube_configmaps, "default", "child"));
    eventually(!exists(&kube_configmaps, "default", "shared"));
    assert_true(ca_is("CA TEXT\n"));
}

static void test_one_owner_of_two_is_enough(void **state)
{
    (void)state;
    create(&kube_configmaps, "default", jq("{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'a'}}"));
    create(&kube_configmaps, "default", jq("{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'b'}}"));
    json_auto_t *a = get(&kube_configmaps, "default", "a");
    json_auto_t *b = get(&kube_configmaps, "default", "b");
    create(&kube_configmaps, "default",
           jq("{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'ab','ownerReferences':[{'apiVersion'"
              ":'v1',"
              "'kind':'ConfigMap','name':'a','uid':'%s'},{'apiVersion':'v1','kind':'ConfigMap','name':'b','"
              "uid':'%s'}]}}",
              kube_uid(a), kube_uid(b)));
    delete (&kube_configmaps, "default", "a", NULL);
    json_t *ab = NULL;
    eventually((json_decref(ab), ab = get(&kube_configmaps, "default", "ab"),
                json_array_size(json_at(ab, "metadata", "ownerReferences")) == 1));
    json_decref(ab);
    delete (&kube_configmaps, "default", "b", NULL);
    eventually(!exists(&kube_configmaps, "default", "ab"));
}

static size_t rule_count(const char *role)
{
    static const struct client_resource roles = {"rbac.authorization.k8s.io", "v1", "clusterroles"};
    json_auto_t *object = get(&roles, NULL, role);
    return json_array_size(json_object_get(object, "rules"));
}

/* What is added to "view" also reaches "edit" and "admin", and goes again. */
static void test_roles_aggregate(void **state)
{
    (void)state;
    static const struct client_resource roles = {"rbac.authorization.k8s.io", "v1", "clusterroles"};
    assert_true(manager_settle(c.manager, 20000));
    size_t before = rule_count("admin"), view = rule_count("view");
    assert_true(view > 0 && before > view);
    create(&roles, NULL,
           jq("{'apiVersion':'rbac.authorization.k8s.io/"
              "v1','kind':'ClusterRole','metadata':{'name':'extra','labels':{"
              "'rbac.authorization.k8s.io/aggregate-to-view':'true'}},'rules':[{'apiGroups':['example.com'],"
              "'resources':['things'],'verbs':['get']}]}"));
    eventually(rule_count("admin") == before + 1);
    assert_int_equal(rule_count("view"), view + 1);
    delete (&roles, NULL, "extra", NULL);
    eventually(rule_count("admin") == before);
}

static json_t *event_of(const char *reason)
{
    json_auto_t *events = list(&kube_events, "default", NULL);
    size_t i;
    json_t *event;
    json_array_foreach(events, i, event)
    {
        if (!strcmp(json_str_or_empty(event, "reason"), reason))
            return json_incref(event);
    }
    return NULL;
}

static void test_equal_events_are_one(void **state)
{
    (void)state;
    struct event_recorder *recorder = event_recorder_new(c.client, "unit", "host");
    json_auto_t *about =
        jq("{'metadata':{'name':'p','namespace':'default','uid':'u1'},'spec':{'containers':[]}}");
    for (int i = 0; i < 3; i++)
        event_record_field(recorder, about, "spec.containers{c}", EVENT_WARNING, "BackOff", "again: %s", "c");
    event_recorder_flush(recorder);
    json_auto_t *event = event_of("BackOff");
    assert_int_equal(json_int_or(0, event, "count"), 3);
    assert_string_equal(json_str(event, "message"), "again: c");
    assert_string_equal(json_str(event, "involvedObject", "kind"), "Pod");
    assert_string_equal(json_str(event, "involvedObject", "fieldPath"), "spec.containers{c}");
    assert_string_equal(json_str(event, "source", "component"), "unit");
    assert_string_equal(json_str(event, "source", "host"), "host");
    assert_string_equal(json_str(event, "reportingComponent"), "unit");
    /* One that was removed meanwhile is written anew. */
    delete (&kube_events, "default", kube_name(event), NULL);
    event_record_field(recorder, about, "spec.containers{c}", EVENT_WARNING, "BackOff", "again: %s", "c");
    event_recorder_free(recorder); /* writes what is left */
    json_auto_t *anew = event_of("BackOff");
    assert_int_equal(json_int_or(0, anew, "count"), 1);
}

static bool node_is_lost(const char *name)
{
    json_auto_t *node = get(&kube_nodes, NULL, name);
    return !strcmp(kube_condition_status(node, "Ready"), "Unknown") &&
           json_array_size(json_at(node, "spec", "taints")) == 2;
}

static bool pod_exists(const char *name)
{
    return exists(&kube_pods, "default", name);
}

static void create_pod_on(const char *name, const char *node, const char *tolerations)
{
    create(&kube_pods, "default",
           jq("{'apiVersion':'v1','kind':'Pod','metadata':{'name':'%s'},'spec':{'nodeName':'%s','tolerations'"
              ":%s,"
              "'containers':[{'name':'c','image':'i'}]}}",
              name, node, tolerations));
}

static bool pod_is_ready(const char *name)
{
    json_auto_t *pod = get(&kube_pods, "default", name);
    return kube_pod_ready(pod);
}

/* A sign of life of a node, by its Lease. */
static void renew_lease(const char *node)
{
    create(&kube_leases, "kube-node-lease",
           jq("{'apiVersion':'coordination.k8s.io/v1','kind':'Lease','metadata':{'name':'%s'},'spec':{"
              "'holderIdentity':'%s','renewTime':'2026-01-01T00:00:00.000000Z'}}",
              node, node));
}

static void test_silent_node_loses_its_pods(void **state)
{
    (void)state;
    add_node("other");
    create_pod_on("stays", "other", "[{'operator':'Exists'}]");
    create_pod_on("leaves", "other", "[{'operator':'Exists','effect':'NoExecute','tolerationSeconds':1}]");
    create_pod_on("here", "node", "[]");
    eventually(pod_is_ready("stays"));
    c.pods_stay_unready = true;
    renew_lease("other"); /* whatever happened so far, it is lost from here */
    eventually(node_is_lost("other"));
    eventually(has_event("NodeNotReady", "Node other status is now: NodeNotReady"));
    eventually(!pod_is_ready("stays"));
    eventually(!pod_exists("leaves"));
    eventually(has_event("TaintManagerEviction", "Marking for deletion Pod default/leaves"));
    assert_true(pod_exists("stays"));
    assert_true(pod_exists("here"));
    assert_false(node_is_lost("node"));

    delete (&kube_nodes, NULL, "other", NULL); /* pods of a node that is gone go */
    eventually(!pod_exists("stays"));
    assert_true(pod_exists("here"));
}

static void test_node_is_heard_of_again(void **state)
{
    (void)state;
    add_node("other");
    eventually(node_is_lost("other"));
    renew_lease("other");
    patch(&kube_nodes, "status", NULL, "other",
          jq("{'status':{'conditions':[{'type':'Ready','status':'True','reason':'KubeletReady'}]}}"));
    json_t *node = NULL;
    eventually((json_decref(node), node = get(&kube_nodes, NULL, "other"),
                json_array_size(json_at(node, "spec", "taints")) == 0));
    json_decref(node);
    eventually(node_is_lost("other")); /* and is silent again */
}

/* The position of the chain's head, as a list shows it. */
static char *head(void)
{
    struct client_request request = {.verb = CLIENT_LIST, .resource = kube_nodes};
    json_auto_t *nodes = NULL;
    assert_int_equal(client_do(c.client, &request, &nodes, NULL), 0);
    return mem_strdup(json_str(nodes, "metadata", "resourceVersion"));
}

/* Nothing is written for longer than the longest pause of anything here. */
static bool is_quiet(void)
{
    mem_auto char *before = head();
    usleep(1500000);
    mem_auto char *after = head();
    return !strcmp(before, after);
}

static void test_idle_writes_nothing(void **state)
{
    (void)state;
    create_deployment("web", 2, "v1");
    eventually(rolled_out("web", 2));
    assert_true(manager_settle(c.manager, 20000));
    eventually(is_quiet());
    assert_true(is_quiet());
}

#define CLUSTER_TEST(name) cmocka_unit_test_setup_teardown(name, cluster_open, cluster_close)
static const struct CMUnitTest tests[] = {
    CLUSTER_TEST(test_deployment_lives),
    CLUSTER_TEST(test_broken_rollout_keeps_the_old_pods),
    CLUSTER_TEST(test_killed_pod_is_replaced),
    CLUSTER_TEST(test_cascades),
    CLUSTER_TEST(test_orphans_are_left_and_adopted),
    CLUSTER_TEST(test_pod_that_leaves_its_set_is_released),
    CLUSTER_TEST(test_namespace_goes_with_its_content),
    CLUSTER_TEST(test_endpoints_follow_pods),
    CLUSTER_TEST(test_endpoints_of_users_are_mirrored),
    CLUSTER_TEST(test_unschedulable_pod_waits_for_room),
    CLUSTER_TEST(test_cordon_taints_the_node),
    CLUSTER_TEST(test_what_each_namespace_has_comes_back),
    CLUSTER_TEST(test_garbage_of_the_past_is_found),
    CLUSTER_TEST(test_one_owner_of_two_is_enough),
    CLUSTER_TEST(test_roles_aggregate),
    CLUSTER_TEST(test_equal_events_are_one),
    CLUSTER_TEST(test_silent_node_loses_its_pods),
    CLUSTER_TEST(test_node_is_heard_of_again),
    CLUSTER_TEST(test_idle_writes_nothing),
};
UNIT_MAIN(tests)
