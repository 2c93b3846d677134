/*
 * The floor of a pod start: RunPodSandbox, CreateContainer and StartContainer with nothing around them.
 * Prints the median in milliseconds.
 *
 *   cri_bench SOCKET LOG_DIR IMAGE REPEATS     against a running containerd, e.g. a node's own
 */
#include "base/clock.h"
#include "base/mem.h"
#include "cri/runtime.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static void check(int rc, const struct err *err)
{
    if (!rc)
        return;
    fprintf(stderr, "cri_bench: %s\n", err->message);
    exit(1);
}

/* Starts one pod and returns how long that took; removes it afterwards. */
static int64_t start_pod(struct cri_runtime *rt, const char *log_dir, char *image, int number)
{
    Cri__PodSandboxMetadata metadata = CRI__POD_SANDBOX_METADATA__INIT;
    mem_auto char *uid = mem_printf("bench-%d-%lld", number, (long long)clock_wall_us());
    metadata.name = uid;
    metadata.uid = uid;
    metadata.namespace_ = (char *)"bench";
    Cri__LinuxPodSandboxConfig linux_config = CRI__LINUX_POD_SANDBOX_CONFIG__INIT;
    Cri__PodSandboxConfig sandbox = CRI__POD_SANDBOX_CONFIG__INIT;
    sandbox.metadata = &metadata;
    sandbox.hostname = (char *)"bench";
    sandbox.log_directory = (char *)log_dir;
    sandbox.linux_config = &linux_config;

    Cri__ContainerMetadata name = CRI__CONTAINER_METADATA__INIT;
    name.name = (char *)"main";
    Cri__ImageSpec spec = CRI__IMAGE_SPEC__INIT;
    spec.image = image;
    char *command[] = {(char *)"sleep", (char *)"60"};
    Cri__ContainerConfig container = CRI__CONTAINER_CONFIG__INIT;
    container.metadata = &name;
    container.image = &spec;
    container.command = command;
    container.n_command = 2;
    container.log_path = (char *)"main.log";

    struct err err;
    mem_auto char *sandbox_id = NULL;
    mem_auto char *container_id = NULL;
    int64_t begun = clock_mono_us();
    check(rt->ops->run_sandbox(rt, &sandbox, NULL, &sandbox_id, &err), &err);
    check(rt->ops->create_container(rt, sandbox_id, &container, &sandbox, &container_id, &err), &err);
    check(rt->ops->start_container(rt, container_id, &err), &err);
    int64_t took = clock_mono_us() - begun;
    check(rt->ops->stop_sandbox(rt, sandbox_id, &err), &err);
    check(rt->ops->remove_sandbox(rt, sandbox_id, &err), &err);
    return took;
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
    int repeats = argc == 5 ? atoi(argv[4]) : 0;
    if (repeats < 1) {
        fprintf(stderr, "usage: cri_bench SOCKET LOG_DIR IMAGE REPEATS\n");
        return 2;
    }
    struct cri_runtime *rt = cri_connect(argv[1]);
    mkdir(argv[2], 0700);
    int64_t *took = mem_calloc((size_t)repeats, sizeof(*took));
    for (int i = 0; i < repeats; i++)
        took[i] = start_pod(rt, argv[2], argv[3], i);
    qsort(took, (size_t)repeats, sizeof(*took), compare);
    printf("%lld\n", (long long)took[repeats / 2] / 1000);
    free(took);
    cri_disconnect(rt);
    return 0;
}
