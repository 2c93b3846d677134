/* What the API adds to pods and Services, and what it refuses. */
#include "api_fixture.h"

#define POD(name, spec)                                     \
    "{\"metadata\":{\"name\":\"" name "\"},\"spec\":{" spec \
    "\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}"

static void test_pod(void **state)
{
    (void)state;
    struct api_fixture f;
    api_fixture_open(&f);
    json_t *pod = api_ok(&f, 201, API_CREATE, "pods", "default", "", POD("p", ""));
    assert_string_equal(json_str(pod, "spec", "serviceAccountName"), "default");
    assert_string_equal(json_str(pod, "status", "phase"), "Pending");
    assert_string_equal(json_str(pod, "status", "qosClass"), "BestEffort");
    assert_int_equal(json_int_or(-1, pod, "spec", "priority"), 0);
    assert_string_equal(json_str(pod, "spec", "preemptionPolicy"), "PreemptLowerPriority");
    assert_int_equal(json_array_size(json_at(pod, "spec", "tolerations")), 2);
    const json_t *volume = json_array_get(json_at(pod, "spec", "volumes"), 0);
    assert_memory_equal(json_str(volume, "name"), "kube-api-access-", 16);
    assert_int_equal(json_array_size(json_at(volume, "projected", "sources")), 3);
    const json_t *mount = json_array_get(
        json_object_get(json_array_get(json_at(pod, "spec", "containers"), 0), "volumeMounts"), 0);
    assert_string_equal(json_str(mount, "name"), json_str(volume, "name"));
    assert_string_equal(json_str(mount, "mountPath"), "/var/run/secrets/kubernetes.io/serviceaccount");
    json_decref(pod);
    api_do(&f, 403, API_CREATE, "pods", "default", "", POD("q", "\"serviceAccountName\":\"nobody\","));
    api_do(&f, 201, API_CREATE, "serviceaccounts", "default", "",
           "{\"metadata\":{\"name\":\"quiet\"},\"automountServiceAccountToken\":false}");
    pod = api_ok(&f, 201, API_CREATE, "pods", "default", "", POD("q", "\"serviceAccountName\":\"quiet\","));
    assert_int_equal(json_array_size(json_at(pod, "spec", "volumes")), 0);
    json_decref(pod);
    pod = api_ok(&f, 201, API_CREATE, "pods", "kube-system", "",
                 POD("r", "\"priorityClassName\":\"system-node-critical\","));
    assert_int_equal(json_int_or(0, pod, "spec", "priority"), 2000001000);
    json_decref(pod);
    api_fails(&f, 403, "pods \"s\" is forbidden: no PriorityClass with name urgent was found", API_CREATE,
              "pods", "default", "", POD("s", "\"priorityClassName\":\"urgent\","));
    api_fixture_close(&f);
}

static json_t *service(struct api_fixture *f, int status, const char *name, const char *spec)
{
    mem_auto char *body = mem_printf(
        "{\"metadata\":{\"name\":\"%s\"},\"spec\":{%s\"ports\":[{\"port\":80}],\"selector\":{\"a\":\"b\"}}}",
        name, spec);
    return api_ok(f, status, API_CREATE, "services", "default", "", body);
}

static void test_service_addresses(void **state)
{
    (void)state;
    struct api_fixture f;
    api_fixture_open(&f);
    json_t *a = service(&f, 201, "a", "");
    const char *ip = json_str(a, "spec", "clusterIP");
    assert_memory_equal(ip, "10.43.", 6);
    assert_string_equal(json_string_value(json_array_get(json_at(a, "spec", "clusterIPs"), 0)), ip);
    assert_string_equal(json_string_value(json_array_get(json_at(a, "spec", "ipFamilies"), 0)), "IPv4");
    assert_string_equal(json_str(a, "spec", "ipFamilyPolicy"), "SingleStack");
    assert_string_equal(json_str(a, "spec", "internalTrafficPolicy"), "Cluster");
    mem_auto char *same = mem_printf("\"clusterIP\":\"%s\",", ip);
    json_t *taken = service(&f, 422, "b", same);
    mem_auto char *message = mem_printf(
        "Service \"b\" is invalid: spec.clusterIPs: Invalid value: [\"%s\"]: failed to allocate IP %s: "
        "provided IP is already allocated",
        ip, ip);
    assert_string_equal(json_str(taken, "message"), message);
    json_decref(taken);
    json_decref(service(&f, 422, "b", "\"clusterIP\":\"1.2.3.4\","));
    json_decref(service(&f, 201, "b", "\"clusterIP\":\"10.43.0.7\","));
    json_t *headless = service(&f, 201, "h", "\"clusterIP\":\"None\",");
    assert_string_equal(json_str(headless, "spec", "clusterIP"), "None");
    json_decref(headless);
    /* An update that does not name the address keeps it. */
    json_t *kept =
        api_ok(&f, 200, API_UPDATE, "services", "default", "a",
               "{\"metadata\":{\"name\":\"a\"},\"spec\":{\"ports\":[{\"port\":81}],\"type\":\"NodePort\"}}");
    assert_string_equal(json_str(kept, "spec", "clusterIP"), ip);
    int64_t port = json_int_or(0, json_array_get(json_at(kept, "spec", "ports"), 0), "nodePort");
    assert_in_range(port, 30000, 32767);
    mem_auto char *body =
        mem_printf("{\"metadata\":{\"name\":\"n\"},\"spec\":{\"type\":\"NodePort\",\"ports\":[{\"port\":80,"
                   "\"nodePort\":%d}]}}",
                   (int)port);
    mem_auto char *port_message =
        mem_printf("Service \"n\" is invalid: spec.ports[0].nodePort: Invalid value: %d: "
                   "provided port is already allocated",
                   (int)port);
    api_fails(&f, 422, port_message, API_CREATE, "services", "default", "", body);
    json_decref(kept);
    /* What is deleted can be given again. */
    mem_auto char *again = mem_strdup(same);
    json_decref(a);
    api_do(&f, 200, API_DELETE, "services", "default", "a", NULL);
    json_decref(service(&f, 201, "c", again));
    api_fixture_close(&f);
}

struct creator {
    struct api_fixture *f;
    int number;
    char ips[40][16];
};

static void *create_services(void *arg)
{
    struct creator *c = arg;
    struct api_fixture own = {.server = c->f->server, .user = c->f->user};
    for (int i = 0; i < 40; i++) {
        char name[32];
        snprintf(name, sizeof(name), "s%d-%d", c->number, i);
        json_t *made = service(&own, 201, name, "");
        snprintf(c->ips[i], sizeof(c->ips[i]), "%s", json_str(made, "spec", "clusterIP"));
        json_decref(made);
    }
    return NULL;
}

/* Several at once: no address is given twice. */
static void test_concurrent_allocation(void **state)
{
    (void)state;
    struct api_fixture f;
    api_fixture_open(&f);
    pthread_t threads[3];
    struct creator c[3];
    for (int i = 0; i < 3; i++) {
        c[i] = (struct creator){.f = &f, .number = i};
        pthread_create(&threads[i], NULL, create_services, &c[i]);
    }
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < 120; i++)
        for (int k = 0; k < i; k++)
            assert_string_not_equal(c[i / 40].ips[i % 40], c[k / 40].ips[k % 40]);
    api_fixture_close(&f);
}

static void test_secret_string_data(void **state)
{
    (void)state;
    struct api_fixture f;
    api_fixture_open(&f);
    json_t *made =
        api_ok(&f, 201, API_CREATE, "secrets", "default", "",
               "{\"metadata\":{\"name\":\"s\"},\"stringData\":{\"k\":\"hello\"},\"data\":{\"l\":\"eA==\"}}");
    assert_string_equal(json_str(made, "data", "k"), "aGVsbG8=");
    assert_string_equal(json_str(made, "data", "l"), "eA==");
    assert_string_equal(json_str(made, "type"), "Opaque");
    assert_null(json_object_get(made, "stringData"));
    json_decref(made);
    api_fixture_close(&f);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_pod),
    cmocka_unit_test(test_service_addresses),
    cmocka_unit_test(test_concurrent_allocation),
    cmocka_unit_test(test_secret_string_data),
};

UNIT_MAIN(tests)
