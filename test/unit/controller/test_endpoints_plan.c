/* The endpoints of services. */
#include "json_text.h"

#include "client/kube.h"
#include "codec/json.h"
#include "controller/endpoints_plan.h"

static json_t *service_of(const char *extra)
{
    return jq("{'metadata':{'name':'web','namespace':'default','uid':'s1','labels':{'team':'a'}},'spec':{"
              "'clusterIP':'10.43.0.10','selector':{'app':'web'},%s'ports':[{'name':'http','port':80,"
              "'targetPort':'web','protocol':'TCP'}]}}",
              extra);
}

/* A pod with the port "web" at number. */
static void add_pod(json_t *pods, int n, int port, bool ready, bool deleting)
{
    char deletion[64] = "";
    if (deleting)
        snprintf(deletion, sizeof(deletion), ",'deletionTimestamp':'2026-01-01T00:00:00Z'");
    json_array_append_new(
        pods, jq("{'metadata':{'name':'p%d','namespace':'default','uid':'u%d'%s},'spec':{'nodeName':'n1','"
                 "containers':["
                 "{'name':'c','ports':[{'name':'web','containerPort':%d}]}]},'status':{'phase':'Running',"
                 "'podIP':'10.42.%d.%d','conditions':[{'type':'Ready','status':'%s'}]}}",
                 n, n, deletion, port, n / 250, n % 250 + 1, ready ? "True" : "False"));
}

static void test_subsets_by_ports_and_readiness(void **state)
{
    (void)state;
    json_auto_t *service = service_of("");
    json_auto_t *pods = json_array();
    add_pod(pods, 2, 8080, true, false);
    add_pod(pods, 1, 8080, true, false);
    add_pod(pods, 3, 8080, false, false);
    add_pod(pods, 4, 9090, true, false);
    add_pod(pods, 5, 8080, true, true); /* being deleted: not in Endpoints */
    json_auto_t *object = endpoints_object(service, pods, NULL);
    const json_t *subsets = json_object_get(object, "subsets");
    assert_int_equal(json_array_size(subsets), 2);
    const json_t *first = json_array_get(subsets, 0), *second = json_array_get(subsets, 1);
    assert_int_equal(json_array_size(json_object_get(first, "addresses")), 2);
    assert_string_equal(json_str(json_array_get(json_object_get(first, "addresses"), 0), "ip"), "10.42.0.2");
    assert_int_equal(json_array_size(json_object_get(first, "notReadyAddresses")), 1);
    assert_int_equal(json_int_or(0, json_array_get(json_object_get(second, "ports"), 0), "port"), 9090);
    assert_string_equal(kube_label(object, "team"), "a");
    json_auto_t *again = endpoints_object(service, pods, object);
    assert_true(kube_equal(object, again));
}

static void test_publish_not_ready(void **state)
{
    (void)state;
    json_auto_t *service = service_of("'publishNotReadyAddresses':true,");
    json_auto_t *pods = json_array();
    add_pod(pods, 1, 8080, false, true);
    json_auto_t *object = endpoints_object(service, pods, NULL);
    const json_t *subset = json_array_get(json_object_get(object, "subsets"), 0);
    assert_int_equal(json_array_size(json_object_get(subset, "addresses")), 1);
}

static void test_no_pods_no_subsets(void **state)
{
    (void)state;
    json_auto_t *service = service_of("");
    json_auto_t *pods = json_array();
    json_auto_t *object = endpoints_object(service, pods, NULL);
    assert_null(json_object_get(object, "subsets"));
    struct endpointslice_plan plan;
    json_auto_t *none = json_array();
    endpointslice_plan(&plan, service, pods, none);
    assert_int_equal(json_array_size(plan.create), 1); /* the empty slice */
    const json_t *slice = json_array_get(plan.create, 0);
    assert_string_equal(json_str(slice, "addressType"), "IPv4");
    assert_string_equal(kube_label(slice, "kubernetes.io/service-name"), "web");
    assert_string_equal(kube_label(slice, "endpointslice.kubernetes.io/managed-by"), ENDPOINTSLICE_MANAGER);
    assert_true(kube_controlled_by(slice, "s1"));
    endpointslice_plan_free(&plan);
}

static void test_headless_is_labelled(void **state)
{
    (void)state;
    json_auto_t *service = service_of("");
    json_set_str(json_object_get(service, "spec"), "clusterIP", "None");
    json_auto_t *pods = json_array();
    add_pod(pods, 1, 8080, true, false);
    json_set_str(json_object_get(json_array_get(pods, 0), "spec"), "hostname", "db-0");
    json_set_str(json_object_get(json_array_get(pods, 0), "spec"), "subdomain", "web");
    json_auto_t *object = endpoints_object(service, pods, NULL);
    assert_string_equal(kube_label(object, "service.kubernetes.io/headless"), "");
    const json_t *subset = json_array_get(json_object_get(object, "subsets"), 0);
    assert_string_equal(json_str(json_array_get(json_object_get(subset, "addresses"), 0), "hostname"),
                        "db-0");
}

/* Applies a plan to the slices, naming new ones. */
static void apply(json_t *slices, const struct endpointslice_plan *plan)
{
    static int made;
    size_t i, j;
    json_t *slice, *old;
    json_array_foreach(plan->update, i, slice)
    {
        json_array_foreach(slices, j, old)
        {
            if (!strcmp(kube_name(old), kube_name(slice)))
                json_array_set(slices, j, slice);
        }
    }
    json_array_foreach(plan->remove, i, slice)
    {
        for (j = json_array_size(slices); j-- > 0;) {
            if (!strcmp(kube_name(json_array_get(slices, j)), kube_name(slice)))
                json_array_remove(slices, j);
        }
    }
    json_array_foreach(plan->create, i, slice)
    {
        char name[32];
        snprintf(name, sizeof(name), "web-%d", ++made);
        json_set_str(json_object_get(slice, "metadata"), "name", name);
        json_array_append(slices, slice);
    }
}

static size_t endpoint_count(const json_t *slices)
{
    size_t n = 0, i;
    json_t *slice;
    json_array_foreach(slices, i, slice) n += json_array_size(json_object_get(slice, "endpoints"));
    return n;
}

static void test_slices_hold_a_hundred(void **state)
{
    (void)state;
    json_auto_t *service = service_of("");
    json_auto_t *pods = json_array();
    json_auto_t *slices = json_array();
    for (int i = 0; i < 250; i++)
        add_pod(pods, i, 8080, true, false);
    struct endpointslice_plan plan;
    endpointslice_plan(&plan, service, pods, slices);
    assert_int_equal(json_array_size(plan.create), 3);
    apply(slices, &plan);
    endpointslice_plan_free(&plan);
    assert_int_equal(endpoint_count(slices), 250);

    endpointslice_plan(&plan, service, pods, slices); /* nothing changed: nothing to write */
    assert_int_equal(
        json_array_size(plan.create) + json_array_size(plan.update) + json_array_size(plan.remove), 0);
    endpointslice_plan_free(&plan);

    json_array_remove(pods, 0); /* one pod goes: one slice is written */
    endpointslice_plan(&plan, service, pods, slices);
    assert_int_equal(json_array_size(plan.create) + json_array_size(plan.remove), 0);
    assert_int_equal(json_array_size(plan.update), 1);
    apply(slices, &plan);
    endpointslice_plan_free(&plan);
    assert_int_equal(endpoint_count(slices), 249);

    json_array_clear(pods); /* all go: one empty slice stays */
    endpointslice_plan(&plan, service, pods, slices);
    apply(slices, &plan);
    endpointslice_plan_free(&plan);
    assert_int_equal(endpoint_count(slices), 0);
    endpointslice_plan(&plan, service, pods, slices);
    apply(slices, &plan);
    endpointslice_plan_free(&plan);
    assert_int_equal(json_array_size(slices), 1);
}

static void test_conditions_of_slices(void **state)
{
    (void)state;
    json_auto_t *service = service_of("");
    json_auto_t *pods = json_array();
    add_pod(pods, 1, 8080, true, true);
    struct endpointslice_plan plan;
    json_auto_t *none = json_array();
    endpointslice_plan(&plan, service, pods, none);
    const json_t *endpoint = json_array_get(json_object_get(json_array_get(plan.create, 0), "endpoints"), 0);
    json_auto_t *expected = jq("{'ready':false,'serving':true,'terminating':true}");
    assert_true(json_equal(json_object_get(endpoint, "conditions"), expected));
    assert_string_equal(json_str(endpoint, "targetRef", "name"), "p1");
    assert_string_equal(json_str(endpoint, "nodeName"), "n1");
    endpointslice_plan_free(&plan);
}

static void test_what_is_wanted(void **state)
{
    (void)state;
    json_auto_t *service = service_of("");
    assert_true(endpoints_wanted(service));
    json_auto_t *external = service_of("'type':'ExternalName',");
    assert_false(endpoints_wanted(external));
    json_object_del(json_object_get(service, "spec"), "selector");
    assert_false(endpoints_wanted(service));
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_subsets_by_ports_and_readiness),
    cmocka_unit_test(test_publish_not_ready),
    cmocka_unit_test(test_no_pods_no_subsets),
    cmocka_unit_test(test_headless_is_labelled),
    cmocka_unit_test(test_slices_hold_a_hundred),
    cmocka_unit_test(test_conditions_of_slices),
    cmocka_unit_test(test_what_is_wanted),
};
UNIT_MAIN(tests)
