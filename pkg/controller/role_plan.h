/* The rules of a ClusterRole that aggregates others. Pure. */
#ifndef KATENA_CONTROLLER_ROLE_PLAN_H
#define KATENA_CONTROLLER_ROLE_PLAN_H

#include <jansson.h>

/* The union of the rules of all roles (an array of ClusterRoles) that a selector of role's aggregationRule
 * matches, in the order of their names, each rule once. A new array. */
json_t *role_aggregate(const json_t *role, const json_t *roles);

#endif
