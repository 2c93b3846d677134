/* The conditions of a namespace that is being deleted. Pure. */
#ifndef KATENA_CONTROLLER_NAMESPACE_PLAN_H
#define KATENA_CONTROLLER_NAMESPACE_PLAN_H

#include <jansson.h>
#include <stdint.h>

/* A new status for the namespace. remaining: {"pods.": 2, …} by resource and group; finalizers: {"name": 2,
 * …} by finalizer; failures: texts. Each may be empty. */
json_t *namespace_status(const json_t *namespace, const json_t *remaining, const json_t *finalizers,
                         const json_t *failures, int64_t now_us);

#endif
