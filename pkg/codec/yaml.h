/*
 * YAML as Kubernetes reads and writes it (sigs.k8s.io/yaml): a document becomes the JSON value that it
 * stands for. Plain scalars resolve by YAML 1.1 with Go's number syntax (`yes` is true, `0x10` is 16, `~` is
 * null; dates stay text), merge keys are followed, keys become text. Duplicate keys, more than JSON_DEPTH_MAX
 * levels and aliases that would blow a document up are refused.
 *
 * Errors are ERR_BAD_REQUEST with Kubernetes' words: `error converting YAML to JSON: yaml: line 3: …`.
 */
#ifndef KATENA_CODEC_YAML_H
#define KATENA_CODEC_YAML_H

#include "base/buf.h"
#include "base/err.h"

#include <jansson.h>

/* The first document; null for a text without one. The caller owns the result; NULL on error. */
json_t *yaml_parse(const void *text, size_t len, struct err *err);

/* All documents that are not empty, as an array. The caller owns the result; NULL on error. */
json_t *yaml_parse_all(const void *text, size_t len, struct err *err);

/* Appends a value as one YAML document; members keep their order. */
void yaml_dump(struct buf *out, const json_t *value);

#endif
