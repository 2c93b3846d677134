/*
 * What the API serves, as clients discover it: /api, /apis, /apis/G, /apis/G/V, each in the old form
 * (APIVersions, APIGroupList, APIGroup, APIResourceList) and, for the first two, aggregated
 * (APIGroupDiscoveryList, KEP-3352).
 */
#ifndef KATENA_API_DISCOVERY_H
#define KATENA_API_DISCOVERY_H

#include "api/negotiate.h"
#include "base/buf.h"

#include <stdbool.h>

/* The aggregated documents are made once: kubectl asks for them at nearly every command. */
struct discovery;
struct discovery *discovery_new(void);
void discovery_free(struct discovery *discovery);

/* The text of an aggregated document and its entity tag (quoted). as is NEGOTIATE_DISCOVERY_V2 or _V2BETA1.
 * The result is valid as long as discovery is. */
struct discovery_document {
    struct buf text;
    char etag[67];
};
const struct discovery_document *discovery_aggregated(const struct discovery *discovery, bool core,
                                                      enum negotiate_as as);
/* Its Content-Type. Static. */
const char *discovery_content_type(enum negotiate_as as);

/* The old forms; each appends the text. address is "HOST:PORT" as clients reach this server. */
void discovery_versions(struct buf *out, const char *address);
void discovery_groups(struct buf *out);
/* False when there is no such group (and version). */
bool discovery_group(struct buf *out, const char *group);
bool discovery_resources(struct buf *out, const char *group, const char *version);

#endif
