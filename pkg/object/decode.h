/*
 * Decoding objects from what clients send, by the schema, and encoding them.
 *
 * The one internal form of an object is a json_t whose members are in the schema's order; unknown fields
 * are dropped and reported (fieldValidation: Ignore, Warn or Strict decide what becomes of the report).
 */
#ifndef KATENA_OBJECT_DECODE_H
#define KATENA_OBJECT_DECODE_H

#include "base/buf.h"
#include "base/err.h"
#include "object/schema.h"

#include <jansson.h>

/* Coerces value to the schema: checks types (errors in the words of Kubernetes' decoder, e.g.
 * `json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32`),
 * drops nulls and unknown fields, orders members. Each unknown field appends `unknown field "spec.foo"` to
 * unknown (a json array of strings; may be NULL). Returns a new value in *out. */
int decode_json(const struct schema_message *message, const json_t *value, json_t **out, json_t *unknown,
                struct err *err);

/* The same without completing: decode_json leaves out zero values that Kubernetes omits and adds those that
 * it always shows (`status: {}`, `ready: false`), as decoding into Go structs and encoding again does; this
 * one keeps just what was sent. For the configurations of server-side apply. */
int decode_json_as_sent(const struct schema_message *message, const json_t *value, json_t **out,
                        json_t *unknown, struct err *err);

/* Kubernetes' protobuf envelope: "k8s" NUL, runtime.Unknown{typeMeta, raw, …}. */
#define PROTOBUF_MEDIA_TYPE "application/vnd.kubernetes.protobuf"

/* Reads the envelope's typeMeta and a borrowed span of the raw message. */
int protobuf_open(const uint8_t *bytes, size_t len, char *api_version, size_t api_version_size, char *kind,
                  size_t kind_size, const uint8_t **raw, size_t *raw_len, struct err *err);

/* A bare message to the internal form. A message that is a kind gets its kind and apiVersion, which the
 * envelope carries on this wire. */
int protobuf_decode(const struct schema_message *message, const uint8_t *raw, size_t len, json_t **out,
                    struct err *err);

/* The internal form to a bare message. */
void protobuf_encode(struct buf *out, const struct schema_message *message, const json_t *value);

/* Wraps a bare message in the envelope. */
void protobuf_seal(struct buf *out, const char *api_version, const char *kind, const void *raw, size_t len);

/* Appends one field that holds a message or bytes, for what is streamed instead of being built in memory: the
 * items (2) of a list behind its metadata (1); a WatchEvent's object (2), a RawExtension whose raw (1) is a
 * sealed object. */
void protobuf_put_message(struct buf *out, unsigned number, const void *bytes, size_t len);

#endif
