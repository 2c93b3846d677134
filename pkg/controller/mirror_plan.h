/* The EndpointSlices for Endpoints that a user wrote. Pure. */
#ifndef KATENA_CONTROLLER_MIRROR_PLAN_H
#define KATENA_CONTROLLER_MIRROR_PLAN_H

#include <jansson.h>
#include <stdbool.h>

#define MIRROR_MANAGER "endpointslicemirroring-controller.k8s.io"

/* Whether Endpoints are a user's own, rather than a controller's, and no other slices speak for them. */
bool mirror_wanted(const json_t *endpoints);

/* The slices that they should have, one for each subset and family of addresses: a new array of objects whose
 * names follow from the place of the subset. service: without a selector, else there are none. */
json_t *mirror_slices(const json_t *endpoints, const json_t *service);

#endif
