/*
 * The endpoints of a Service from its pods. Pure.
 *
 *     endpoints_plan.c         which pods, with which ports; the subsets of Endpoints
 *     endpointslice_plan.c     the EndpointSlices, with as few changes as possible to those that exist
 */
#ifndef KATENA_CONTROLLER_ENDPOINTS_PLAN_H
#define KATENA_CONTROLLER_ENDPOINTS_PLAN_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define ENDPOINTSLICE_MAX 100 /* endpoints in a slice */
#define ENDPOINTS_MAX 1000    /* addresses in an Endpoints object */
#define ENDPOINTSLICE_MANAGER "endpointslice-controller.k8s.io"

/* The Endpoints object that service should have; old is the one that there is, or NULL. */
json_t *endpoints_object(const json_t *service, const json_t *pods, const json_t *old);

/* Whether the Endpoints or slices of a service are this controller's matter. */
bool endpoints_wanted(const json_t *service);

struct endpointslice_plan {
    json_t *create; /* arrays of objects; owned */
    json_t *update;
    json_t *remove;
};

/* slices: those that there are and this controller manages. */
void endpointslice_plan(struct endpointslice_plan *out, const json_t *service, const json_t *pods,
                        const json_t *slices);
void endpointslice_plan_free(struct endpointslice_plan *plan);

/* Shared by both. The ports of a service as a pod has them: [{name, port, protocol, appProtocol}]; a port
 * that the pod does not have is left out. */
json_t *endpoints_ports(const json_t *service, const json_t *pod);
bool endpoints_has_pod(const json_t *pod, bool include_terminating);
/* The pod's own host name in the service's domain; NULL: none. */
const char *endpoints_hostname(const json_t *service, const json_t *pod);
json_t *endpoints_target(const json_t *pod);
/* The service's labels, without NULL. A new object. */
json_t *endpoints_labels(const json_t *service);

#endif
