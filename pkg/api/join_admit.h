/* The admitting side of joining: what a request to join is checked against, and what it is answered with. */
#ifndef KATENA_API_JOIN_ADMIT_H
#define KATENA_API_JOIN_ADMIT_H

#include "api/api_internal.h"
#include "api/join.h"

/* Registers the node that asks, and fills *out (join_answer_free). Blocks until the registration is in a
 * durable block. A request that was granted before is granted again as long as its token is good. Errors are
 * worded for whoever starts the joining node. */
int join_admit(struct api_server *server, const struct join_request *request, struct join_answer *out,
               struct err *err);

#endif
