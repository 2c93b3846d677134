/* One HTTP GET of a probe or a hook, by libcurl, and a TCP connection attempt. */
#ifndef KATENA_KUBELET_HTTP_GET_H
#define KATENA_KUBELET_HTTP_GET_H

#include "base/err.h"

#include <jansson.h>

/* action is an HTTPGetAction of the container spec; host stands in where it names none. *status is the HTTP
 * status; an error says that there was no answer, in the words of Kubernetes' probes where that is easy. */
int http_get(const json_t *action, const json_t *spec, const char *host, int64_t timeout_s, long *status,
             struct err *err);

/* Connects and closes. */
int tcp_connect(const json_t *action, const json_t *spec, const char *host, int64_t timeout_s,
                struct err *err);

/* The number of a port given as a number, a numeric string or the name of a container port; 0: none. */
int http_port(const json_t *port, const json_t *spec);

#endif
