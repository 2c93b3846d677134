/* The environment of a container: its own variables, those from config maps and secrets, and the addresses
 * of the services in its namespace. */
#ifndef KATENA_KUBELET_POD_ENV_H
#define KATENA_KUBELET_POD_ENV_H

#include "client/client.h"
#include "kubelet/fields.h"

/* *env becomes an object of strings in the order of definition; the caller owns it. Errors are worded as
 * Kubernetes words them in CreateContainerConfigError. */
int pod_env(json_t **env, struct client *client, const struct fields_context *context,
            const json_t *container, struct err *err);

/* Adds the variables of a service with a cluster address. Pure. */
void pod_env_service(json_t *env, const json_t *service);

#endif
