/* Life-cycle hooks: postStart and preStop. */
#include "base/clock.h"
#include "base/mem.h"
#include "codec/json.h"
#include "kubelet/http_get.h"
#include "kubelet/kubelet_internal.h"

#include <poll.h>
#include <string.h>

static int run_exec(struct kubelet *k, const json_t *command, const char *id, int64_t limit_s,
                    struct err *err)
{
    size_t count = json_array_size(command);
    const char **argv mem_auto = mem_calloc(count + 1, sizeof(*argv));
    for (size_t i = 0; i < count; i++)
        argv[i] = json_string_value(json_array_get(command, i));
    Cri__ExecSyncResponse *response = NULL;
    int rc = k->rt->ops->exec_sync(k->rt, id, argv, limit_s, &response, err);
    if (rc == 0 && response->exit_code != 0)
        rc = err_set(err, ERR_INTERNAL, "command '%s' exited with %d: %.*s", count ? argv[0] : "",
                     response->exit_code, (int)response->stderr.len, (const char *)response->stderr.data);
    cri_free(response);
    return rc;
}

int hook_run(struct kubelet_pod *pod, const struct kubelet_container *c, const json_t *spec,
             const json_t *hook, const char *container_id, int64_t limit_s, struct err *err)
{
    const json_t *exec = json_object_get(hook, "exec");
    const json_t *http = json_object_get(hook, "httpGet");
    const json_t *sleep = json_object_get(hook, "sleep");
    const char *ip = pod->ip ? pod->ip : pod->kubelet->node_address;
    (void)c;
    if (exec)
        return run_exec(pod->kubelet, json_object_get(exec, "command"), container_id, limit_s, err);
    if (http) {
        long status = 0;
        int rc = http_get(http, spec, ip, limit_s > 0 ? limit_s : 30, &status, err);
        if (rc == 0 && status >= 400)
            rc = err_set(err, ERR_INTERNAL, "HTTP hook failed with statuscode: %ld", status);
        return rc;
    }
    if (sleep) {
        int64_t seconds = json_int_or(0, sleep, "seconds");
        if (limit_s > 0 && seconds > limit_s)
            seconds = limit_s;
        int64_t end = clock_mono_us() + seconds * 1000000;
        while (!pod->kubelet->stopping && clock_mono_us() < end)
            poll(NULL, 0, 50);
        return 0;
    }
    return json_object_get(hook, "tcpSocket") ? 0 : err_set(err, ERR_INVALID, "invalid handler");
}
