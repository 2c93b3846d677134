/* What the runtime says of a container's runs. */
#include "base/clock.h"
#include "base/mem.h"
#include "codec/json.h"
#include "kubelet/kubelet_internal.h"
#include "kubelet/log_read.h"

#include <stdio.h>
#include <string.h>

#define TERMINATION_MESSAGE_MAX 4096

/* How often a container that an event calls ended is asked for until the runtime shows it so. */
#define REFRESH_TRIES 12

void instance_clear(struct kubelet_instance *instance)
{
    free(instance->id);
    free(instance->reason);
    free(instance->message);
    free(instance->image);
    free(instance->image_ref);
    free(instance->hash);
    *instance = (struct kubelet_instance){0};
}

static void replace(char **member, const char *value)
{
    free(*member);
    *member = value && *value ? mem_strdup(value) : NULL;
}

void instance_from_status(struct kubelet_instance *out, const Cri__ContainerStatus *status)
{
    replace(&out->id, status->id);
    replace(&out->reason, status->reason);
    replace(&out->message, status->message);
    replace(&out->image, status->image ? status->image->image : NULL);
    replace(&out->image_ref, status->image_ref);
    replace(&out->hash, cri_pair_get(status->annotations, status->n_annotations, ANNOTATION_HASH));
    out->attempt = status->metadata ? status->metadata->attempt : 0;
    out->exit_code = status->exit_code;
    out->started_us = status->started_at / 1000;
    out->finished_us = status->finished_at / 1000;
    if (out->started_us == 0) /* it could not be started */
        out->started_us = out->finished_us;
    out->state = status->state == CRI__CONTAINER_STATE__CONTAINER_CREATED   ? POD_STATE_CREATED
                 : status->state == CRI__CONTAINER_STATE__CONTAINER_RUNNING ? POD_STATE_RUNNING
                                                                            : POD_STATE_EXITED;
}

/* The file at terminationMessagePath, or the end of the log where the policy says so. */
static void read_termination_message(struct kubelet_container *c, struct kubelet_instance *instance,
                                     const json_t *spec)
{
    char text[TERMINATION_MESSAGE_MAX + 1];
    char *dir mem_auto = kubelet_pod_dir(c->pod);
    char *path mem_auto = mem_printf("%s/containers/%s/%u", dir, c->name, instance->attempt);
    FILE *file = fopen(path, "re");
    size_t len = file ? fread(text, 1, TERMINATION_MESSAGE_MAX, file) : 0;
    if (file)
        fclose(file);
    text[len] = '\0';
    if (len == 0 && instance->exit_code != 0 &&
        strcmp(json_str_or_empty(spec, "terminationMessagePolicy"), "FallbackToLogsOnError") == 0) {
        char *logs mem_auto = kubelet_pod_log_dir(c->pod);
        char *log mem_auto = mem_printf("%s/%s/%u.log", logs, c->name, instance->attempt);
        log_tail_text(text, sizeof(text) < 2049 ? sizeof(text) : 2049, log, 80);
    }
    if (*text)
        replace(&instance->message, text);
}

/* Brings c->now up to date. Returns milliseconds after which to look again (the runtime is behind an exit
 * event), 0 when all is well. */
int instance_refresh(struct kubelet_container *c)
{
    struct kubelet *k = c->pod->kubelet;
    struct err err;
    Cri__ContainerStatusResponse *response = NULL;
    enum pod_container_state before = c->now.state;
    int rc = k->rt->ops->container_status(k->rt, c->now.id, &response, &err);
    pthread_mutex_lock(&c->pod->lock);
    if (rc == 0 && response->status) {
        instance_from_status(&c->now, response->status);
    } else if (rc == ERR_NOT_FOUND) {
        c->now.state = POD_STATE_EXITED; /* removed behind our back */
        c->now.exit_code = 137;
        replace(&c->now.reason, "ContainerStatusUnknown");
        replace(&c->now.message, "The container could not be located when the pod was terminated");
        c->now.finished_us = clock_wall_us();
    }
    pthread_mutex_unlock(&c->pod->lock);
    cri_free(response);
    if (rc && rc != ERR_NOT_FOUND)
        return 500;
    if (c->now.state == POD_STATE_EXITED && before != POD_STATE_EXITED) {
        json_t *object = kubelet_pod_object(c->pod);
        read_termination_message(c, &c->now, object ? pod_container_spec(object, c) : NULL);
        json_decref(object);
        probe_container_ended(c);
        if (c->now.started_us > 0 && c->now.finished_us - c->now.started_us >= POD_BACKOFF_RESET_US)
            c->crashes = 0;
    }
    if (c->now.state == POD_STATE_EXITED || c->refresh_tries == 0) {
        c->refresh_tries = 0;
        return 0;
    }
    return c->refresh_tries-- > REFRESH_TRIES / 2 ? 5 : 100;
}

void container_set_wait(struct kubelet_container *c, const char *reason, const char *message)
{
    replace(&c->wait_reason, reason);
    replace(&c->wait_message, message);
}
