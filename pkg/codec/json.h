/* Short ways through jansson values. Paths are given as NULL-terminated member names by the macros. */
#ifndef KATENA_CODEC_JSON_H
#define KATENA_CODEC_JSON_H

#include "base/buf.h"
#include "base/err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define JSON_DEPTH_MAX 128

/* The value at a path of members, borrowed; NULL when any step is missing. */
json_t *json_at_(const json_t *value, ...) __attribute__((sentinel));
#define json_at(value, ...) json_at_((value), __VA_ARGS__, NULL)

/* The string, integer or boolean at a path; NULL, fallback or false when it is missing or of another type. */
#define json_str(value, ...) json_string_value(json_at_((value), __VA_ARGS__, NULL))
#define json_str_or_empty(value, ...) json_or_empty_(json_at_((value), __VA_ARGS__, NULL))
#define json_int_or(fallback, value, ...) json_int_or_((fallback), json_at_((value), __VA_ARGS__, NULL))
#define json_bool_at(value, ...) json_is_true(json_at_((value), __VA_ARGS__, NULL))
const char *json_or_empty_(const json_t *value);
int64_t json_int_or_(int64_t fallback, const json_t *value);

/* "object", "array", "string", "number", "bool" or "null": how Go's decoder calls a JSON value. */
const char *json_kind_name(const json_t *value);

/* The object member `name` of object, made when it is missing or null. Borrowed. */
json_t *json_object_ensure(json_t *object, const char *name);
json_t *json_array_ensure(json_t *object, const char *name);

/* Sets a member to a string or an integer. */
void json_set_str(json_t *object, const char *name, const char *value);
void json_set_int(json_t *object, const char *name, int64_t value);

/* The names of an object's members in byte order, *count of them. The caller frees the array; the names are
 * the object's. */
const char **json_sorted_keys(const json_t *object, size_t *count);

/* Appends the compact text of a value; members keep their order. */
void json_dump_buf(struct buf *out, const json_t *value);

/* Parses one JSON text; the error is worded as Kubernetes' decoder words it, without a prefix. Duplicate
 * members and more than JSON_DEPTH_MAX levels are refused. The caller owns the result. */
json_t *json_parse(const void *text, size_t len, struct err *err);

/* The same for what this program has written: deeper, since managed fields nest what clients have sent. */
json_t *json_parse_stored(const void *text, size_t len, struct err *err);

/* The beginning of an object that this program has written: its members up to and with `last`, and that one
 * only up to its member `except`. Nothing behind is looked at. */
json_t *json_parse_beginning(const void *text, size_t len, const char *last, const char *except,
                             struct err *err);

/* The same as json_parse, but of duplicate members the last one counts, and each duplicate appends `duplicate
 * field "spec.x"` to duplicates, a json array. */
json_t *json_parse_reporting(const void *text, size_t len, json_t *duplicates, struct err *err);

#endif
