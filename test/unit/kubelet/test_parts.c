/* The kubelet's parts that need no runtime: fields, environment, configurations, volumes' contents, logs,
 * status. */
#include "unit.h"

#include "codec/json.h"
#include "base/mem.h"
#include "client/kube.h"
#include "kubelet/fields.h"
#include "kubelet/kubelet_internal.h"
#include "kubelet/log_read.h"
#include "kubelet/pod_config.h"
#include "kubelet/pod_env.h"
#include "kubelet/pod_status.h"
#include "kubelet/volume_payload.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* JSON with ' for ". */
static json_t *parse(const char *text)
{
    struct err err;
    char *copy mem_auto = mem_strdup(text);
    for (char *p = copy; *p; p++)
        if (*p == '\'')
            *p = '"';
    json_t *value = json_parse(copy, strlen(copy), &err);
    if (!value)
        fail_msg("%s", err.message);
    return value;
}

static void expect_expanded(const char *text, const char *wanted)
{
    struct buf out buf_auto = BUF_INIT;
    json_auto_t *env = parse("{'A':'x','B_1':''}");
    fields_expand(&out, text, env);
    assert_string_equal(buf_str(&out), wanted);
}

static void test_expand(void **state)
{
    (void)state;
    expect_expanded("$(A)/$(B_1)/$(C)", "x//$(C)");
    expect_expanded("$$(A) $A $(A", "$(A) $A $(A");
    expect_expanded("$", "$");
    expect_expanded("$$$(A)", "$x");
}

static void expect_field(const json_t *pod, const char *path, const char *wanted)
{
    struct buf out buf_auto = BUF_INIT;
    struct err err = {0};
    struct fields_context context = {.pod = pod, .pod_ip = "10.0.0.5", .host_ip = "192.0.2.1"};
    int rc = fields_value(&out, &context, path, &err);
    if (!wanted)
        assert_int_not_equal(rc, 0);
    else
        assert_string_equal(buf_str(&out), wanted);
}

static void test_fields(void **state)
{
    (void)state;
    json_auto_t *pod =
        parse("{'metadata':{'name':'p','labels':{'a/b':'1','c':'2'}},'spec':{'nodeName':'n'}}");
    expect_field(pod, "metadata.name", "p");
    expect_field(pod, "metadata.labels['a/b']", "1");
    expect_field(pod, "metadata.labels['none']", "");
    expect_field(pod, "metadata.labels", "a/b=\"1\"\nc=\"2\"");
    expect_field(pod, "spec.nodeName", "n");
    expect_field(pod, "status.podIP", "10.0.0.5");
    expect_field(pod, "status.hostIP", "192.0.2.1");
    expect_field(pod, "spec.hostname", NULL);
    expect_field(pod, "metadata.labels['", NULL);
}

static void test_resource_fields(void **state)
{
    (void)state;
    struct buf out buf_auto = BUF_INIT;
    struct err err;
    json_auto_t *container = parse("{'resources':{'limits':{'cpu':'1500m','memory':'64Mi'}}}");
    json_auto_t *cpu = parse("{'resource':'limits.cpu'}");
    json_auto_t *milli = parse("{'resource':'limits.cpu','divisor':'1m'}");
    json_auto_t *memory = parse("{'resource':'limits.memory','divisor':'1Mi'}");
    struct fields_context context = {.pod = container};
    assert_int_equal(fields_resource(&out, &context, container, cpu, &err), 0);
    buf_putc(&out, ' ');
    assert_int_equal(fields_resource(&out, &context, container, milli, &err), 0);
    buf_putc(&out, ' ');
    assert_int_equal(fields_resource(&out, &context, container, memory, &err), 0);
    assert_string_equal(out.data, "2 1500 64"); /* rounded up */
}

static void test_quality_of_service(void **state)
{
    (void)state;
    json_auto_t *none = parse("{'spec':{'containers':[{'name':'a'}]}}");
    json_auto_t *full = parse("{'spec':{'containers':[{'resources':{'limits':{'cpu':'1','memory':'1Gi'},"
                              "'requests':{'cpu':'1000m','memory':'1024Mi'}}}]}}");
    json_auto_t *some = parse("{'spec':{'containers':[{'resources':{'requests':{'memory':'1Gi'}}}]}}");
    const json_t *container = json_array_get(json_at(some, "spec", "containers"), 0);
    assert_string_equal(fields_qos(none), "BestEffort");
    assert_string_equal(fields_qos(full), "Guaranteed");
    assert_string_equal(fields_qos(some), "Burstable");
    assert_int_equal(pod_config_oom_score(none, container, 4LL << 30), 1000);
    assert_int_equal(pod_config_oom_score(full, container, 4LL << 30), -997);
    assert_int_equal(pod_config_oom_score(some, container, 4LL << 30), 750);
}

static void test_service_environment(void **state)
{
    (void)state;
    json_auto_t *env = json_object();
    json_auto_t *service = parse("{'metadata':{'name':'my-db'},'spec':{'clusterIP':'10.43.0.9',"
                                 "'ports':[{'name':'sql-main','port':5432,'protocol':'TCP'}]}}");
    json_auto_t *headless = parse("{'metadata':{'name':'none'},'spec':{'clusterIP':'None'}}");
    pod_env_service(env, service);
    pod_env_service(env, headless);
    assert_string_equal(json_str(env, "MY_DB_SERVICE_HOST"), "10.43.0.9");
    assert_string_equal(json_str(env, "MY_DB_SERVICE_PORT"), "5432");
    assert_string_equal(json_str(env, "MY_DB_SERVICE_PORT_SQL_MAIN"), "5432");
    assert_string_equal(json_str(env, "MY_DB_PORT"), "tcp://10.43.0.9:5432");
    assert_string_equal(json_str(env, "MY_DB_PORT_5432_TCP_ADDR"), "10.43.0.9");
    assert_int_equal(json_object_size(env), 8);
}

static void test_container_config(void **state)
{
    (void)state;
    json_auto_t *pod =
        parse("{'metadata':{'name':'p','namespace':'n','uid':'u'},'spec':{'hostNetwork':true,"
              "'securityContext':{'runAsUser':1000,'fsGroup':7},'containers':[{'name':'c','image':'i','"
              "command':['$(A)'],"
              "'resources':{'limits':{'cpu':'250m','memory':'32Mi'},'requests':{'cpu':'100m'}},"
              "'securityContext':{'runAsUser':5,'capabilities':{'drop':['ALL']},'allowPrivilegeEscalation':"
              "false}}]}}");
    json_auto_t *env = parse("{'A':'x'}");
    struct pod_mounts mounts = {0};
    pod_mounts_add(&mounts, "/host", "/inside", true);
    struct pod_config_context context = {
        .pod = pod, .log_directory = "/logs", .node_memory_bytes = 1LL << 30};
    struct pod_config_container container = {.spec = json_array_get(json_at(pod, "spec", "containers"), 0),
                                             .env = env,
                                             .mounts = &mounts,
                                             .attempt = 3,
                                             .restarts = 3,
                                             .log_path = "c/3.log"};
    Cri__ContainerConfig *config = pod_config_container(&context, &container);
    const Cri__LinuxContainerConfig *linux_config = config->linux_config;
    assert_string_equal(config->command[0], "x");
    assert_int_equal(config->metadata->attempt, 3);
    assert_int_equal(linux_config->resources->cpu_shares, 102);
    assert_int_equal(linux_config->resources->cpu_quota, 25000);
    assert_int_equal(linux_config->resources->memory_limit_in_bytes, 32 << 20);
    assert_int_equal(linux_config->security_context->run_as_user->value, 5);
    assert_int_equal(linux_config->security_context->supplemental_groups[0], 7);
    assert_true(linux_config->security_context->no_new_privs);
    assert_int_equal(linux_config->security_context->namespace_options->network, CRI__NAMESPACE_MODE__NODE);
    assert_true(config->mounts[0]->readonly);
    assert_string_equal(cri_pair_get(config->labels, config->n_labels, LABEL_POD_UID), "u");
    assert_string_equal(cri_pair_get(config->annotations, config->n_annotations, ANNOTATION_RESTARTS), "3");
    cri_free(config);
    pod_mounts_free(&mounts);
    Cri__PodSandboxConfig *sandbox = pod_config_sandbox(&context, 1);
    assert_string_equal(sandbox->hostname, ""); /* the host's */
    assert_string_equal(cri_pair_get(sandbox->labels, sandbox->n_labels, LABEL_POD_NAME), "p");
    cri_free(sandbox);
}

static char *read_all(const char *dir, const char *name)
{
    char *path mem_auto = mem_printf("%s/%s", dir, name);
    char text[256] = "";
    FILE *file = fopen(path, "r");
    if (!file)
        return NULL;
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    fclose(file);
    return mem_strdup(text);
}

static void test_payload_is_replaced_as_a_whole(void **state)
{
    (void)state;
    char dir[] = "/tmp/katena-payload-XXXXXX", first[64] = "", second[64] = "";
    struct err err;
    assert_non_null(mkdtemp(dir));
    char *data mem_auto = mem_printf("%s/..data", dir);
    struct payload payload = {.group = -1};
    payload_add(&payload, "a", "one", 3, 0644, -1);
    payload_add(&payload, "deep/b", "two", 3, 0400, -1);
    assert_int_equal(payload_write(dir, &payload, &err), 0);
    char *a = read_all(dir, "a"), *b = read_all(dir, "deep/b");
    assert_string_equal(a, "one");
    assert_string_equal(b, "two");
    assert_true(readlink(data, first, sizeof(first) - 1) > 0);
    assert_int_equal(payload_write(dir, &payload, &err), 0); /* nothing new */
    assert_true(readlink(data, second, sizeof(second) - 1) > 0);
    assert_string_equal(first, second);
    payload_free(&payload);
    free(a);
    free(b);
    payload_add(&payload, "a", "new", 3, 0644, -1);
    assert_int_equal(payload_write(dir, &payload, &err), 0);
    a = read_all(dir, "a");
    b = read_all(dir, "deep/b");
    assert_string_equal(a, "new");
    assert_null(b);
    free(a);
    payload_free(&payload);
    char *old mem_auto = mem_printf("%s/%s", dir, first);
    assert_int_not_equal(access(old, F_OK), 0);
    char *command mem_auto = mem_printf("rm -rf %s", dir);
    assert_int_equal(system(command), 0);
}

static void test_payload_paths(void **state)
{
    (void)state;
    assert_true(payload_path_valid("a/b..c"));
    assert_false(payload_path_valid("/a"));
    assert_false(payload_path_valid(""));
    assert_false(payload_path_valid("a/../b"));
    assert_false(payload_path_valid("a/.."));
    assert_false(payload_path_valid("..data"));
}

static void test_log_lines(void **state)
{
    (void)state;
    struct log_record record;
    const char *line = "2016-10-06T00:17:09.669794202Z stderr P some text";
    assert_true(log_parse(&record, line, strlen(line)));
    assert_true(record.is_stderr && record.partial);
    assert_int_equal(record.time_us, 1475713029669794);
    assert_int_equal(record.text_len, 9);
    assert_true(log_parse(&record, "2016-10-06T00:17:09Z stdout F ", 30));
    assert_int_equal(record.text_len, 0);
    assert_true(log_parse(&record, "2016-10-06T00:17:09Z stdout F:x y", 33));
    assert_false(log_parse(&record, "2016-10-06T00:17:09Z stdlog F x", 31));
    assert_false(log_parse(&record, "2016-10-06T00:17:09Z stdout X x", 31));
    assert_false(log_parse(&record, "yesterday stdout F x", 20));
    assert_false(log_parse(&record, "", 0));
}

/* Reads the log at path with options into out. */
static void read_log(struct buf *out, const char *path, const struct log_read_options *options)
{
    int fds[2];
    char chunk[4096];
    assert_int_equal(pipe(fds), 0);
    log_read(path, options, fds[1]);
    close(fds[1]);
    buf_clear(out);
    for (ssize_t n; (n = read(fds[0], chunk, sizeof(chunk))) > 0;)
        buf_append(out, chunk, (size_t)n);
    close(fds[0]);
}

static void test_log_options(void **state)
{
    (void)state;
    char path[] = "/tmp/katena-log-XXXXXX", text[8];
    struct buf out buf_auto = BUF_INIT;
    int fd = mkstemp(path);
    for (int i = 0; i < 3; i++)
        dprintf(fd, "2026-01-01T00:00:0%d.5Z stdout F line %d\n", i, i);
    dprintf(fd, "2026-01-01T00:00:09Z stdout P half \n2026-01-01T00:00:09Z stdout F rest\n");
    close(fd);
    struct log_read_options options = {.tail_lines = -1, .limit_bytes = -1};
    read_log(&out, path, &options);
    assert_string_equal(out.data, "line 0\nline 1\nline 2\nhalf rest\n");
    options.tail_lines = 3;
    read_log(&out, path, &options);
    assert_string_equal(out.data, "line 2\nhalf rest\n");
    options.tail_lines = 0;
    read_log(&out, path, &options);
    assert_int_equal(out.len, 0);
    options.tail_lines = -1;
    options.limit_bytes = 9;
    read_log(&out, path, &options);
    assert_string_equal(out.data, "line 0\nli");
    options.limit_bytes = -1;
    options.since_time_us = 1767225602000000; /* …:02 */
    options.timestamps = true;
    read_log(&out, path, &options);
    assert_string_equal(out.data, "2026-01-01T00:00:02.5Z line 2\n2026-01-01T00:00:09Z half rest\n");
    log_tail_text(text, sizeof(text), path, 1);
    assert_string_equal(text, "rest\n");
    unlink(path);
}

static void test_durations(void **state)
{
    (void)state;
    char text[32];
    pod_duration(text, 10);
    assert_string_equal(text, "10s");
    pod_duration(text, 160);
    assert_string_equal(text, "2m40s");
    pod_duration(text, 300);
    assert_string_equal(text, "5m0s");
}

/* A pod with one init and two app containers, whose states the test sets. */
struct status_case {
    struct kubelet kubelet;
    struct kubelet_pod pod;
    struct kubelet_container containers[3];
    json_t *object;
};

static void status_case_init(struct status_case *t)
{
    static char address[] = "192.0.2.1", name[] = "p", namespace[] = "n", uid[] = "u", i[] = "i", a[] = "a",
                b[] = "b";
    *t = (struct status_case){.kubelet = {.node_address = address}};
    t->object = parse("{'metadata':{'name':'p'},'spec':{'initContainers':[{'name':'i','image':'x'}],"
                      "'containers':[{'name':'a','image':'x'},{'name':'b','image':'x'}]}}");
    t->pod = (struct kubelet_pod){.kubelet = &t->kubelet,
                                  .name = name,
                                  .namespace = namespace,
                                  .uid = uid,
                                  .containers = t->containers,
                                  .container_count = 3};
    char *names[] = {i, a, b};
    for (int n = 0; n < 3; n++)
        t->containers[n] = (struct kubelet_container){.pod = &t->pod,
                                                      .name = names[n],
                                                      .kind = n ? POD_CONTAINER_APP : POD_CONTAINER_INIT,
                                                      .index = n ? (size_t)n - 1 : 0};
}

static json_t *status_of(struct status_case *t, bool over)
{
    struct pod_status_context context = {.object = t->object, .over = over, .now_us = 1000000};
    return pod_status(&t->pod, &context);
}

static const json_t *condition(const json_t *status, const char *type)
{
    json_auto_t *holder = json_pack("{s:O}", "status", status);
    return kube_condition(holder, type);
}

static void test_status_of_a_start(void **state)
{
    (void)state;
    struct status_case t;
    status_case_init(&t);
    json_auto_t *fresh = status_of(&t, false);
    assert_string_equal(json_str(fresh, "phase"), "Pending");
    const json_t *a = json_array_get(json_at(fresh, "containerStatuses"), 0);
    assert_string_equal(json_str(a, "state", "waiting", "reason"), "PodInitializing");
    assert_string_equal(json_str(condition(fresh, "Initialized"), "message"),
                        "containers with incomplete status: [i]");
    char id[] = "id";
    t.pod.initialized = true;
    t.containers[0].now = (struct kubelet_instance){.id = id, .state = POD_STATE_EXITED};
    t.containers[1].now = (struct kubelet_instance){.id = id, .state = POD_STATE_RUNNING};
    t.containers[2].now = (struct kubelet_instance){.id = id, .state = POD_STATE_RUNNING};
    t.containers[1].started = t.containers[1].ready = t.containers[2].started = true;
    json_auto_t *half = status_of(&t, false);
    assert_string_equal(json_str(half, "phase"), "Running");
    assert_string_equal(json_str(condition(half, "Ready"), "message"), "containers with unready status: [b]");
    t.containers[2].ready = true;
    json_auto_t *ready = status_of(&t, false);
    assert_string_equal(json_str(condition(ready, "Ready"), "status"), "True");
    assert_true(pod_status_covered(ready, ready));
    assert_false(pod_status_covered(half, ready));
    json_decref(t.object);
}

static void test_status_of_an_end(void **state)
{
    (void)state;
    struct status_case t;
    status_case_init(&t);
    char id[] = "id";
    t.pod.initialized = true;
    for (int n = 0; n < 3; n++)
        t.containers[n].now = (struct kubelet_instance){.id = id, .state = POD_STATE_EXITED};
    json_auto_t *done = status_of(&t, true);
    assert_string_equal(json_str(done, "phase"), "Succeeded");
    assert_string_equal(json_str(condition(done, "Ready"), "reason"), "PodCompleted");
    t.containers[2].now.exit_code = 2;
    json_auto_t *failed = status_of(&t, true);
    assert_string_equal(json_str(failed, "phase"), "Failed");
    t.containers[2].crashes = 2;
    json_auto_t *loop = status_of(&t, false); /* restartPolicy Always */
    const json_t *b = json_array_get(json_at(loop, "containerStatuses"), 1);
    assert_string_equal(json_str(b, "state", "waiting", "message"),
                        "back-off 20s restarting failed container=b pod=p_n(u)");
    assert_int_equal(json_int_or(0, b, "lastState", "terminated", "exitCode"), 2);
    json_decref(t.object);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_expand),
    cmocka_unit_test(test_fields),
    cmocka_unit_test(test_resource_fields),
    cmocka_unit_test(test_quality_of_service),
    cmocka_unit_test(test_service_environment),
    cmocka_unit_test(test_container_config),
    cmocka_unit_test(test_payload_is_replaced_as_a_whole),
    cmocka_unit_test(test_payload_paths),
    cmocka_unit_test(test_log_lines),
    cmocka_unit_test(test_log_options),
    cmocka_unit_test(test_durations),
    cmocka_unit_test(test_status_of_a_start),
    cmocka_unit_test(test_status_of_an_end),
};

UNIT_MAIN(tests)
