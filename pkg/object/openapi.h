/* The OpenAPI documents that kubectl explain, validation and Helm ask for, made from the schemas. */
#ifndef KATENA_OBJECT_OPENAPI_H
#define KATENA_OBJECT_OPENAPI_H

#include "base/buf.h"

#include <jansson.h>
#include <stdbool.h>

/* GET /openapi/v2: swagger 2.0, JSON. Appends the text. */
void openapi_v2(struct buf *out);

/* GET /openapi/v3: the index of group versions, with hashes in the URLs. */
void openapi_v3_index(struct buf *out);

/* GET /openapi/v3/apis/apps/v1; group "" is core. False when there is no such group version. */
bool openapi_v3(struct buf *out, const char *group, const char *version);

/* The v2 document as gnostic's protobuf (com.github.proto-openapi.spec.v2@v1.0+protobuf), which kubectl up
 * to 1.26 asks for. The answer's content type must be OPENAPI_V2_PROTOBUF_TYPE: the one that is asked for has
 * an @, which is no media type to Go's parser. */
#define OPENAPI_V2_PROTOBUF_TYPE "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
void openapi_v2_protobuf(struct buf *out);

#endif
