/*
 * Which representation a client accepts (RFC 9110, 12.5.1, with the parameters that Kubernetes gives media
 * types): JSON, YAML or protobuf; the object itself, a Table, or its metadata alone. Pure.
 */
#ifndef KATENA_API_NEGOTIATE_H
#define KATENA_API_NEGOTIATE_H

#include <stdbool.h>
#include <stddef.h>

enum negotiate_media {
    NEGOTIATE_JSON = 1,
    NEGOTIATE_YAML = 2,
    NEGOTIATE_PROTOBUF = 4,
    NEGOTIATE_OPENAPI_PROTOBUF = 8, /* of /openapi/v2 */
};

enum negotiate_as {
    NEGOTIATE_OBJECT = 1,
    NEGOTIATE_TABLE = 2,
    NEGOTIATE_PARTIAL = 4,       /* PartialObjectMetadata */
    NEGOTIATE_PARTIAL_LIST = 8,  /* PartialObjectMetadataList */
    NEGOTIATE_DISCOVERY_V2 = 16, /* APIGroupDiscoveryList, g=apidiscovery.k8s.io */
    NEGOTIATE_DISCOVERY_V2BETA1 = 32,
};

struct negotiate_result {
    enum negotiate_media media;
    enum negotiate_as as;
    bool v1beta1; /* meta.k8s.io/v1beta1 was asked for */
};

/* The best of what an Accept header (NULL or "": anything) and the server agree on; ties go to the earlier
 * clause, and a wildcard to JSON. media and as are the sets on offer. False: nothing (406). */
bool negotiate(const char *accept, unsigned media, unsigned as, struct negotiate_result *out);

/* The media types on offer, "application/json, application/yaml, …", for the message of a 406. */
void negotiate_offers(char *out, size_t size, unsigned media);

#endif
