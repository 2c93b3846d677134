/* Who a connection and a request belong to: inside the HTTP edge. */
#ifndef KATENA_API_AUTHN_INTERNAL_H
#define KATENA_API_AUTHN_INTERNAL_H

#include "api/api_internal.h"

#include <gnutls/gnutls.h>

void api_identity_add_group(struct api_identity *identity, const char *group);
void api_identity_add_extra(struct api_identity *identity, const char *name, const char *value);

/* The user of a verified client certificate: CN and O (authn_cert.c). False when the client sent none, or
 * none that the cluster's CA signed for clients and that is valid now. */
bool authn_certificate(gnutls_session_t session, struct api_identity *out);

/* system:anonymous. */
void authn_anonymous(struct api_identity *out);

/* Impersonation (authn_impersonate.c): the values of the Impersonate-* headers. */
struct authn_impersonation {
    const char *user;
    const char *uid;
    const char **groups;
    size_t group_count;
    json_t *extra; /* object of string arrays; may be NULL */
};
/* Replaces identity by the one asked for, when its owner may impersonate it: ERR_FORBIDDEN as Kubernetes
 * words it, ERR_BAD_REQUEST for groups or extras without a user. Nothing asked for: 0. */
int authn_impersonate(struct api_server *server, struct api_identity *identity,
                      const struct authn_impersonation *as, struct err *err);

#endif
