/*
 * Requests that reach into a pod of another node are passed on to the API of that node, and its answer is
 * passed back: logs as they come, upgraded connections byte by byte (node_link.h).
 *
 *     client ══ TLS ══ this node ══ TLS ══ the pod's node ── kubelet
 */
#ifndef KATENA_API_HTTP_FORWARD_H
#define KATENA_API_HTTP_FORWARD_H

#include "api/http_internal.h"

struct http_forward;

/* On the connection's thread: takes from the request what is to be passed on. ERR_UNAVAILABLE when another
 * node has passed it on already: the two do not agree on where the pod is. */
int http_forward_new(struct http_forward **out, struct http_request *request, const char *node, bool upgrade);

/* Asks the other node; may wait. What goes wrong is an answer, too: a Status without a reason, as of
 * kube-apiserver when it cannot reach a kubelet. */
void http_forward_ask(struct http_forward *forward, struct api_server *server);

/* Answers the client with what the other node said. */
enum MHD_Result http_forward_reply(struct http_request *request, struct http_forward *forward);

void http_forward_free(struct http_forward *forward); /* NULL is fine */

#endif
