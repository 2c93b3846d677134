/* The kubelet with a real containerd and an API in memory. */
#include "unit.h"

#include "api/server.h"
#include "base/clock.h"
#include "containerd_fixture.h"
#include "fake_client.h"
#include "kubelet/kubelet.h"

#include <signal.h>
#include <stdarg.h>

static struct containerd_fixture fixture;
static struct fake_client *api;
static struct kubelet *kubelet;

static void start_kubelet(void)
{
    struct err err;
    struct kubelet_options options = {.client = &api->base,
                                      .endpoint = containerd_endpoint(fixture.containerd),
                                      .data_dir = fixture.dir,
                                      .node_name = "node-1",
                                      .node_address = "127.0.0.1",
                                      .pod_cidr = "10.199.2.0/24"};
    if (kubelet_start(&kubelet, &options, &err))
        fail_msg("%s", err.message);
}

/* A pod from its spec in JSON with ' for ". */
static void create_pod(const char *name, const char *spec)
{
    struct err err;
    char *text mem_auto =
        mem_printf("{'apiVersion':'v1','kind':'Pod','metadata':{'name':'%s','namespace':'default',"
                   "'labels':{'app':'demo'}},'spec':%s}",
                   name, spec);
    for (char *p = text; *p; p++)
        if (*p == '\'')
            *p = '"';
    json_auto_t *pod = json_parse(text, strlen(text), &err);
    if (!pod)
        fail_msg("%s", err.message);
    json_set_str(json_object_get(pod, "spec"), "nodeName", "node-1");
    if (client_create(&api->base, &kube_pods, "default", pod, NULL, &err))
        fail_msg("%s", err.message);
}

static json_t *get_pod(const char *name)
{
    struct err err;
    json_t *pod = NULL;
    return client_get(&api->base, &kube_pods, "default", name, &pod, &err) ? NULL : pod;
}

/* Waits until the text of a value at a path is as wanted; NULL: until the pod is gone. Returns milliseconds.
 */
static int64_t wait_for(const char *name, int seconds, const char *wanted,
                        const char *(*value)(const json_t *))
{
    int64_t start = clock_mono_us();
    json_t *pod = NULL;
    while (clock_mono_us() - start < seconds * INT64_C(1000000)) {
        json_decref(pod);
        pod = get_pod(name);
        const char *text = pod ? value(pod) : NULL;
        if ((!wanted && !pod) || (wanted && text && strcmp(text, wanted) == 0)) {
            json_decref(pod);
            return (clock_mono_us() - start) / 1000;
        }
        usleep(1000);
    }
    char *dump = pod ? json_dumps(pod, JSON_INDENT(1)) : NULL;
    fail_msg("%s did not become %s: %s", name, wanted ? wanted : "gone", dump ? dump : "");
    return 0;
}

static const char *phase(const json_t *pod)
{
    return json_str(pod, "status", "phase");
}

static const char *ready(const json_t *pod)
{
    return kube_condition_status(pod, "Ready");
}

static const json_t *first_status(const json_t *pod)
{
    return json_array_get(json_at(pod, "status", "containerStatuses"), 0);
}

static const char *waiting_reason(const json_t *pod)
{
    return json_str(first_status(pod), "state", "waiting", "reason");
}

static void delete_pod(const char *name, int grace)
{
    struct err err;
    json_auto_t *options = json_pack("{s:i}", "gracePeriodSeconds", grace);
    if (client_delete(&api->base, &kube_pods, "default", name, options, &err))
        fail_msg("%s", err.message);
}

static char *read_logs(const char *name, const char *container, bool previous)
{
    struct err err;
    struct api_pod_log_options options = {
        .container = container, .previous = previous, .tail_lines = -1, .limit_bytes = -1};
    json_auto_t *pod = get_pod(name);
    int fd = -1;
    if (kubelet_api_ops()->logs(kubelet, pod, &options, &fd, &err))
        fail_msg("%s", err.message);
    struct buf out = BUF_INIT;
    char chunk[4096];
    for (ssize_t n; (n = read(fd, chunk, sizeof(chunk))) > 0;)
        buf_append(&out, chunk, (size_t)n);
    close(fd);
    buf_reserve(&out, 1);
    out.data[out.len] = '\0';
    return buf_steal(&out);
}

/* The log of container c once it has the text; the caller's. */
static char *wait_for_log(const char *name, const char *text)
{
    char *logs = read_logs(name, "c", false);
    for (int i = 0; i < 500 && !strstr(logs, text); i++) {
        usleep(20000);
        free(logs);
        logs = read_logs(name, "c", false);
    }
    return logs;
}

static size_t sandboxes_of(const char *name)
{
    Cri__ListPodSandboxResponse *list = NULL;
    struct err err;
    assert_int_equal(fixture.rt->ops->list_sandboxes(fixture.rt, &list, &err), 0);
    size_t count = 0;
    for (size_t i = 0; i < list->n_items; i++)
        count += !strcmp(list->items[i]->metadata->name, name);
    cri_free(list);
    return count;
}

/* Waits until the runtime has so many sandboxes of a pod. */
static void wait_for_sandboxes(const char *name, size_t count)
{
    for (int i = 0; i < 1000 && sandboxes_of(name) != count; i++)
        usleep(20000);
    if (sandboxes_of(name) != count)
        fail_msg("there are %zu sandboxes of %s, not %zu", sandboxes_of(name), name, count);
}

#define CONTAINER(name, script) \
    "{'name':'" name "','image':'" FIXTURE_IMAGE "','command':['sh','-c','" script "']}"

static void test_run_and_delete(void **state)
{
    (void)state;
    create_pod("web", "{'containers':[" CONTAINER("c", "trap exit TERM; while :; do sleep 0.05; done") "]}");
    int64_t ms = wait_for("web", 20, "True", ready);
    print_message("pod ready after %lld ms\n", (long long)ms);
    json_auto_t *pod = get_pod("web");
    assert_string_equal(phase(pod), "Running");
    assert_non_null(json_str(pod, "status", "podIP"));
    assert_non_null(strstr(json_str(first_status(pod), "containerID"), "containerd://"));
    delete_pod("web", 10);
    ms = wait_for("web", 20, NULL, phase);
    print_message("pod gone after %lld ms\n", (long long)ms);
    char path[256];
    snprintf(path, sizeof(path), "%s/pods/%s", fixture.dir, kube_uid(pod));
    assert_int_not_equal(access(path, F_OK), 0);
}

static void test_init_containers_and_completion(void **state)
{
    (void)state;
    create_pod("job", "{'restartPolicy':'Never','volumes':[{'name':'v','emptyDir':{}}],'initContainers':["
                      "{'name':'i','image':'" FIXTURE_IMAGE "','command':['sh','-c','echo from-init > /v/f'],"
                      "'volumeMounts':[{'name':'v','mountPath':'/v'}]}],'containers':["
                      "{'name':'c','image':'" FIXTURE_IMAGE "','command':['sh','-c','cat /v/f; echo done > "
                      "/dev/termination-log'],'volumeMounts':[{'name':'v','mountPath':'/v'}]}]}");
    wait_for("job", 20, "Succeeded", phase);
    char *logs mem_auto = read_logs("job", "c", false);
    assert_string_equal(logs, "from-init\n");
    json_auto_t *pod = get_pod("job");
    assert_string_equal(json_str(first_status(pod), "state", "terminated", "reason"), "Completed");
    assert_string_equal(json_str(first_status(pod), "state", "terminated", "message"), "done\n");
    delete_pod("job", 0);
    wait_for("job", 5, NULL, phase);
}

static void test_environment_and_volumes(void **state)
{
    (void)state;
    struct err err;
    json_auto_t *map = json_pack("{s:{s:s}, s:{s:s}}", "metadata", "name", "conf", "data", "key", "one");
    json_auto_t *secret =
        json_pack("{s:{s:s}, s:{s:s}}", "metadata", "name", "sec", "data", "pass", "aHVzaA==");
    assert_int_equal(client_create(&api->base, &kube_configmaps, "default", map, NULL, &err), 0);
    assert_int_equal(client_create(&api->base, &kube_secrets, "default", secret, NULL, &err), 0);
    create_pod(
        "env",
        "{'containers':[{'name':'c','image':'" FIXTURE_IMAGE "','command':['sh','-c',"
        "'echo $A $B $C $D $(hostname); cat /conf/key /sec/pass; echo; cat /tok/token; echo; "
        "while [ $(cat /conf/key) = one ]; do sleep 0.05; done; cat /conf/key; echo; exec sleep 1000'],"
        "'env':[{'name':'A','value':'a'},{'name':'B','value':'$(A)b'},"
        "{'name':'C','valueFrom':{'fieldRef':{'fieldPath':'metadata.labels[\\u0027app\\u0027]'}}},"
        "{'name':'D','valueFrom':{'secretKeyRef':{'name':'sec','key':'pass'}}}],"
        "'volumeMounts':[{'name':'m','mountPath':'/conf'},{'name':'s','mountPath':'/sec'},"
        "{'name':'t','mountPath':'/tok'}]}],"
        "'volumes':[{'name':'m','configMap':{'name':'conf'}},{'name':'s','secret':{'secretName':'sec'}},"
        "{'name':'t','projected':{'sources':[{'serviceAccountToken':{'path':'token'}}]}}]}");
    wait_for("env", 20, "True", ready);
    free(wait_for_log("env", "the-token"));
    json_auto_t *patch = json_pack("{s:{s:s}}", "data", "key", "two");
    assert_int_equal(client_patch(&api->base, &kube_configmaps, NULL, "default", "conf", CLIENT_PATCH_MERGE,
                                  patch, NULL, &err),
                     0);
    char *logs = wait_for_log("env", "two\n");
    assert_string_equal(logs, "a ab demo hush env\nonehush\nthe-token\ntwo\n");
    free(logs);
    delete_pod("env", 0);
    wait_for("env", 10, NULL, phase);
}

static void test_crash_loop_and_previous_logs(void **state)
{
    (void)state;
    create_pod("crash", "{'containers':[" CONTAINER("c", "echo hello; exit 3") "]}");
    wait_for("crash", 20, "CrashLoopBackOff", waiting_reason);
    json_auto_t *pod = get_pod("crash");
    assert_int_equal(json_int_or(0, first_status(pod), "restartCount"), 1);
    assert_int_equal(json_int_or(0, first_status(pod), "lastState", "terminated", "exitCode"), 3);
    assert_non_null(
        strstr(json_str(first_status(pod), "state", "waiting", "message"), "back-off 10s restarting"));
    char *logs mem_auto = read_logs("crash", "c", true);
    assert_string_equal(logs, "hello\n");
    delete_pod("crash", 0);
    wait_for("crash", 10, NULL, phase);
}

static void test_image_that_is_not_there(void **state)
{
    (void)state;
    create_pod("none",
               "{'containers':[{'name':'c','image':'katena.local/none:1','imagePullPolicy':'Never'}]}");
    wait_for("none", 20, "ErrImageNeverPull", waiting_reason);
    delete_pod("none", 0);
    wait_for("none", 10, NULL, phase);
}

static void test_probes(void **state)
{
    (void)state;
    create_pod(
        "probe",
        "{'containers':[{'name':'c','image':'" FIXTURE_IMAGE "','command':['sh','-c','sleep 1; touch /ready; "
        "sleep 2; touch /sick; exec sleep 1000'],'readinessProbe':{'periodSeconds':1,'exec':{'command':"
        "['cat','/ready']}},'livenessProbe':{'periodSeconds':1,'failureThreshold':1,'exec':{'command':"
        "['sh','-c','test ! -e /sick']},'terminationGracePeriodSeconds':0}}]}");
    wait_for("probe", 10, "False", ready);
    wait_for("probe", 10, "True", ready);
    for (int i = 0;; i++) {
        json_auto_t *pod = get_pod("probe");
        if (json_int_or(0, first_status(pod), "restartCount") == 1)
            break;
        assert_true(i < 1000);
        usleep(10000);
    }
    delete_pod("probe", 0);
    wait_for("probe", 10, NULL, phase);
    wait_for_sandboxes("probe", 0);
}

static void test_adoption(void **state)
{
    (void)state;
    create_pod("stay", "{'containers':[" CONTAINER("c", "exec sleep 1000") "]}");
    create_pod("orphan", "{'containers':[" CONTAINER("c", "exec sleep 1000") "]}");
    wait_for("stay", 20, "True", ready);
    wait_for("orphan", 20, "True", ready);
    json_auto_t *before = get_pod("stay");
    kubelet_stop(kubelet);
    int writes = api->writes;
    delete_pod("orphan", 0);
    start_kubelet();
    wait_for_sandboxes("orphan", 0);
    assert_int_equal(sandboxes_of("stay"), 1);
    json_auto_t *after = get_pod("stay");
    assert_string_equal(json_str(first_status(before), "containerID"),
                        json_str(first_status(after), "containerID"));
    assert_string_equal(ready(after), "True");
    assert_int_equal(api->writes, writes);
    delete_pod("stay", 0);
    wait_for("stay", 10, NULL, phase);
}

/* An object that is away for a moment, as when two histories become one, costs no restart. */
static void test_an_object_may_be_away_for_a_moment(void **state)
{
    (void)state;
    create_pod("away", "{'containers':[" CONTAINER("c", "exec sleep 1000") "]}");
    wait_for("away", 20, "True", ready);
    json_t *object = fake_take_out(api, "pods", "default", "away");
    char *id mem_auto = mem_strdup(json_str(first_status(object), "containerID"));
    usleep(700000);
    assert_int_equal(sandboxes_of("away"), 1);
    fake_put_back(api, "pods", object);
    usleep(2500000);
    json_auto_t *after = get_pod("away");
    assert_string_equal(json_str(first_status(after), "containerID"), id);
    assert_string_equal(ready(after), "True");

    json_decref(fake_take_out(api, "pods", "default", "away"));
    usleep(1000000);
    assert_int_equal(sandboxes_of("away"), 1);
    wait_for_sandboxes("away", 0);
}

static bool node_is_ready(void)
{
    struct err err;
    json_auto_t *node = NULL;
    assert_int_equal(client_get(&api->base, &kube_nodes, NULL, "node-1", &node, &err), 0);
    return !strcmp(kube_condition_status(node, "Ready"), "True");
}

/* Others lost the node for a while and wrote that; it knows better. */
static void test_a_node_says_that_it_is_there(void **state)
{
    (void)state;
    struct err err;
    json_auto_t *patch =
        json_pack("{s:{s:[{s:s, s:s}]}}", "status", "conditions", "type", "Ready", "status", "Unknown");
    assert_true(node_is_ready());
    assert_int_equal(client_patch(&api->base, &kube_nodes, "status", NULL, "node-1", CLIENT_PATCH_STRATEGIC,
                                  patch, NULL, &err),
                     0);
    for (int i = 0; i < 500 && !node_is_ready(); i++)
        usleep(10000);
    assert_true(node_is_ready());
}

static bool is_quiet(void)
{
    int version = api->version;
    usleep(1500000);
    return api->version == version;
}

static void test_idle_writes_nothing(void **state)
{
    (void)state;
    create_pod("idle", "{'containers':[" CONTAINER("c", "exec sleep 1000") "]}");
    wait_for("idle", 20, "True", ready);
    for (int i = 0; i < 10 && !is_quiet(); i++)
        ;
    assert_true(is_quiet());
    delete_pod("idle", 0);
    wait_for("idle", 10, NULL, phase);
}

static int setup(void **state)
{
    (void)state;
    struct err err;
    signal(SIGPIPE, SIG_IGN);
    api = fake_client_new();
    if (fixture_start(&fixture, "kattest2", "10.199.2.0/24", &err)) {
        print_message("%s\n", err.message);
        fixture_stop(&fixture);
        return -1;
    }
    start_kubelet();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kubelet_stop(kubelet);
    fake_client_free(api);
    fixture_stop(&fixture);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_run_and_delete),
        cmocka_unit_test(test_init_containers_and_completion),
        cmocka_unit_test(test_environment_and_volumes),
        cmocka_unit_test(test_crash_loop_and_previous_logs),
        cmocka_unit_test(test_image_that_is_not_there),
        cmocka_unit_test(test_probes),
        cmocka_unit_test(test_adoption),
        cmocka_unit_test(test_an_object_may_be_away_for_a_moment),
        cmocka_unit_test(test_a_node_says_that_it_is_there),
        cmocka_unit_test(test_idle_writes_nothing),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return fixture_usable() ? cmocka_run_group_tests(tests, setup, teardown) : 0;
}
