/* The supervisor and the CRI calls against a real containerd. */
#include "unit.h"

#include "base/clock.h"
#include "containerd_fixture.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

static struct containerd_fixture fixture;

#define OK(call)                                       \
    do {                                               \
        struct err error_ = {0};                       \
        struct err *err = &error_;                     \
        if ((call) != 0)                               \
            fail_msg("%s: %s", #call, error_.message); \
    } while (0)

static const struct cri_ops *ops(void)
{
    return fixture.rt->ops;
}

struct pod {
    Cri__PodSandboxConfig config;
    Cri__PodSandboxMetadata metadata;
    Cri__LinuxPodSandboxConfig linux_config;
    char *id;
};

static void pod_run(struct pod *pod, char *name)
{
    *pod = (struct pod){.config = CRI__POD_SANDBOX_CONFIG__INIT,
                        .metadata = CRI__POD_SANDBOX_METADATA__INIT,
                        .linux_config = CRI__LINUX_POD_SANDBOX_CONFIG__INIT};
    static char logs[96], namespace[] = "default";
    snprintf(logs, sizeof(logs), "%s/logs", fixture.dir);
    pod->metadata.name = pod->metadata.uid = name;
    pod->metadata.namespace_ = namespace;
    pod->config.metadata = &pod->metadata;
    pod->config.log_directory = logs;
    pod->config.linux_config = &pod->linux_config;
    OK(ops()->run_sandbox(fixture.rt, &pod->config, NULL, &pod->id, err));
}

static char *container_run(struct pod *pod, char *script)
{
    Cri__ContainerConfig config = CRI__CONTAINER_CONFIG__INIT;
    Cri__ContainerMetadata metadata = CRI__CONTAINER_METADATA__INIT;
    Cri__ImageSpec image = CRI__IMAGE_SPEC__INIT;
    char shell[] = "sh", flag[] = "-c", name[] = "c", log[] = "c/0.log";
    char *command[] = {shell, flag, script};
    char image_name[] = FIXTURE_IMAGE;
    image.image = image_name;
    metadata.name = name;
    config.metadata = &metadata;
    config.image = &image;
    config.n_command = 3;
    config.command = command;
    config.log_path = log;
    char *id = NULL;
    char dir[128];
    snprintf(dir, sizeof(dir), "mkdir -p %s/c", pod->config.log_directory);
    assert_int_equal(system(dir), 0);
    OK(ops()->create_container(fixture.rt, pod->id, &config, &pod->config, &id, err));
    OK(ops()->start_container(fixture.rt, id, err));
    return id;
}

static void pod_remove(struct pod *pod)
{
    OK(ops()->stop_sandbox(fixture.rt, pod->id, err));
    OK(ops()->remove_sandbox(fixture.rt, pod->id, err));
    free(pod->id);
}

static void test_version_and_latency(void **state)
{
    (void)state;
    Cri__VersionResponse *version = NULL;
    int64_t start = clock_mono_us();
    for (int i = 0; i < 100; i++) {
        cri_free(version);
        OK(ops()->version(fixture.rt, &version, err));
    }
    print_message("one call: %lld us\n", (long long)(clock_mono_us() - start) / 100);
    assert_string_equal(version->runtime_name, "containerd");
    cri_free(version);
    Cri__StatusResponse *status = NULL;
    OK(ops()->status(fixture.rt, &status, err));
    for (size_t i = 0; i < status->status->n_conditions; i++)
        assert_true(status->status->conditions[i]->status);
    cri_free(status);
}

static void test_errors(void **state)
{
    (void)state;
    struct err err;
    Cri__ContainerStatusResponse *status = NULL;
    assert_int_equal(ops()->container_status(fixture.rt, "nothing", &status, &err), ERR_NOT_FOUND);
    assert_non_null(strstr(err.message, "nothing"));
    struct cri_runtime *nowhere = cri_connect("/nowhere/sock");
    Cri__VersionResponse *version = NULL;
    assert_int_equal(nowhere->ops->version(nowhere, &version, &err), ERR_UNAVAILABLE);
    cri_disconnect(nowhere);
}

static atomic_int exits;
static atomic_bool watching, watch_end;

static bool on_ended(void *arg, const char *id)
{
    (void)arg;
    watching = true;
    if (id)
        exits++;
    return !watch_end;
}

static void *watch_thread(void *arg)
{
    struct err err;
    if (fixture.rt->ops->watch_exits(fixture.rt, on_ended, arg, &err))
        print_message("%s\n", err.message);
    return NULL;
}

static void test_pod_and_exit_events(void **state)
{
    (void)state;
    pthread_t thread;
    struct pod pod;
    pthread_create(&thread, NULL, watch_thread, NULL);
    int64_t start = clock_mono_us();
    pod_run(&pod, (char[]){"one"});
    int64_t sandbox = clock_mono_us();
    char *id = container_run(&pod, (char[]){"sleep 2; exit 7"});
    print_message("sandbox %lld ms, container %lld ms\n", (long long)(sandbox - start) / 1000,
                  (long long)(clock_mono_us() - sandbox) / 1000);
    const char *const command[] = {"sh", "-c", "echo out; echo err >&2; exit 3", NULL};
    Cri__ExecSyncResponse *exec = NULL;
    OK(ops()->exec_sync(fixture.rt, id, command, 5, &exec, err));
    assert_int_equal(exec->exit_code, 3);
    assert_int_equal(exec->stdout.len, 4);
    assert_memory_equal(exec->stderr.data, "err\n", 4);
    cri_free(exec);
    for (int i = 0; i < 500 && exits == 0; i++)
        usleep(10000);
    assert_int_equal(exits, 1); /* the exec is not counted */
    Cri__ContainerStatusResponse *status = NULL;
    OK(ops()->container_status(fixture.rt, id, &status, err));
    for (int i = 0; i < 500 && status->status->state != CRI__CONTAINER_STATE__CONTAINER_EXITED; i++) {
        usleep(10000); /* the runtime tells of an end before it has noted it */
        cri_free(status);
        OK(ops()->container_status(fixture.rt, id, &status, err));
    }
    assert_int_equal(exits, 1);
    assert_int_equal(status->status->state, CRI__CONTAINER_STATE__CONTAINER_EXITED);
    assert_int_equal(status->status->exit_code, 7);
    cri_free(status);
    free(id);
    pod_remove(&pod);
    watch_end = true;
    pthread_join(thread, NULL);
}

static pid_t fixture_pid(void)
{
    char path[96], text[16] = "";
    snprintf(path, sizeof(path), "%s/containerd/containerd.pid", fixture.dir);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(text, sizeof(text), file));
    fclose(file);
    return (pid_t)atoi(text);
}

/* The supervisor gone and back: the same containerd, the same container. */
static void test_attach_and_respawn(void **state)
{
    (void)state;
    struct pod pod;
    pod_run(&pod, (char[]){"two"});
    char *id = container_run(&pod, (char[]){"exec sleep 1000"});
    pid_t before = fixture_pid();
    containerd_release(fixture.containerd);
    struct containerd_options options = {
        .data_dir = fixture.dir, .pod_cidr = "10.199.1.0/24", .bridge = "kattest1"};
    OK(containerd_start(&fixture.containerd, &options, err));
    assert_int_equal(fixture_pid(), before);
    kill(before, SIGKILL);
    struct err ignored;
    Cri__ContainerStatusResponse *status = NULL;
    for (int i = 0; i < 500 && (fixture_pid() == before ||
                                ops()->container_status(fixture.rt, id, &status, &ignored) != 0);
         i++)
        usleep(10000);
    assert_non_null(status);
    assert_int_equal(status->status->state, CRI__CONTAINER_STATE__CONTAINER_RUNNING);
    assert_int_not_equal(fixture_pid(), before);
    cri_free(status);
    OK(ops()->stop_container(fixture.rt, id, 0, err));
    free(id);
    pod_remove(&pod);
}

static int setup(void **state)
{
    (void)state;
    struct err err;
    if (fixture_start(&fixture, "kattest1", "10.199.1.0/24", &err) == 0)
        return 0;
    print_message("%s\n", err.message);
    fixture_stop(&fixture);
    return -1;
}

static int teardown(void **state)
{
    (void)state;
    fixture_stop(&fixture);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_version_and_latency),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_pod_and_exit_events),
        cmocka_unit_test(test_attach_and_respawn),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return fixture_usable() ? cmocka_run_group_tests(tests, setup, teardown) : 0;
}
