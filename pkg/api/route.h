/*
 * From a method and a path to what is asked for (the URL layout of the Kubernetes API: /api/v1/…,
 * /apis/GROUP/V/…, and the paths beside the resources). Pure.
 */
#ifndef KATENA_API_ROUTE_H
#define KATENA_API_ROUTE_H

#include "api/request.h"

enum route_what {
    ROUTE_NONE,             /* nothing is there: 404 */
    ROUTE_RESOURCE,         /* objects */
    ROUTE_API_VERSIONS,     /* /api */
    ROUTE_GROUPS,           /* /apis */
    ROUTE_GROUP,            /* /apis/GROUP */
    ROUTE_GROUP_VERSION,    /* /api/v1, /apis/GROUP/VERSION */
    ROUTE_INDEX,            /* / */
    ROUTE_VERSION,          /* /version */
    ROUTE_HEALTH,           /* /healthz, /livez, /readyz, and one check below them */
    ROUTE_METRICS,          /* /metrics */
    ROUTE_OPENAPI_V2,       /* /openapi/v2 */
    ROUTE_OPENAPI_V3_INDEX, /* /openapi/v3 */
    ROUTE_OPENAPI_V3,       /* /openapi/v3/api/v1, /openapi/v3/apis/GROUP/VERSION */
    ROUTE_JWKS,             /* /openid/v1/jwks */
    ROUTE_OPENID,           /* /.well-known/openid-configuration */
    ROUTE_CHAIN,            /* /katena/v1/chain, /katena/v1/chain/SUBCOMMAND (its name) */
    ROUTE_CA,               /* /katena/v1/ca */
    ROUTE_JOIN,             /* /katena/v1/join */
    ROUTE_STATUS,           /* /katena/v1/status */
    ROUTE_NODES,            /* /katena/v1/nodes, /katena/v1/nodes/NAME */
    ROUTE_TX,               /* /katena/v1/tx, /katena/v1/tx/ID (its name) */
};

struct route {
    enum route_what what;
    const char *group; /* strings are "" when absent, and live in storage */
    const char *version;
    const char *resource;
    const char *namespace;
    const char *name;
    const char *subresource;
    const char *check; /* of ROUTE_HEALTH: the one check asked for */
    bool watch;        /* the old form, /api/v1/watch/… */
    bool deep;         /* more path behind the subresource: for proxies only */
    char *storage;
};

/* Splits a path whose percent-escapes are decoded. Always fills *out; release it with route_free. */
void route_parse(struct route *out, const char *path);
void route_free(struct route *route);

/* The verb of a request for a resource: watching says that the query has watch=true. False for a method that
 * means nothing here. */
bool route_verb(const struct route *route, const char *method, bool watching, enum api_verb *verb);

/* "get", "list", …, as RBAC rules name it. */
const char *route_verb_name(enum api_verb verb);

/* Whether kind (or its subresource) answers this verb. */
bool route_allows(const struct schema_kind *kind, const char *subresource, enum api_verb verb);

#endif
