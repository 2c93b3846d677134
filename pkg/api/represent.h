/*
 * From the JSON text of an object, as the verbs give it, to what the client accepts: the text itself, a
 * Table, its metadata, YAML, or protobuf. Pure, but for the time that a Table's ages need.
 */
#ifndef KATENA_API_REPRESENT_H
#define KATENA_API_REPRESENT_H

#include "api/negotiate.h"
#include "base/buf.h"
#include "object/schema.h"

#include <jansson.h>
#include <stdint.h>

struct represent {
    struct negotiate_result form;
    const struct schema_kind
        *kind;                  /* of the resource: a Table's columns; may be NULL for what is no object */
    const char *include_object; /* of a Table: Metadata, Object or None */
    int64_t now_us;
};

/* The Content-Type of an answer, and of a watch. Static. */
const char *represent_content_type(const struct represent *represent);
const char *represent_watch_content_type(const struct represent *represent);

/* True when the text itself is the answer. */
bool represent_is_plain(const struct represent *represent);

/* Appends one object (or Status, which is never a Table). */
void represent_object(struct buf *out, const struct represent *represent, const char *json, size_t len);

/* A list, piece by piece: head, each item, tail. JSON forms can be sent as they come (the metadata, which is
 * known only at the end, comes last); YAML and protobuf must be whole before the first byte leaves, and
 * represent_list_buffered says so: their bytes appear in out with the tail. */
struct represent_list {
    const struct represent *represent;
    bool any;
    json_t *items;      /* YAML */
    struct buf message; /* protobuf: the list's bare message */
};
bool represent_list_buffered(const struct represent *represent);
void represent_list_head(struct buf *out, struct represent_list *list, const struct represent *represent);
void represent_list_item(struct buf *out, struct represent_list *list, const char *json, size_t len);
/* remaining -1: unknown. */
void represent_list_tail(struct buf *out, struct represent_list *list, uint64_t rv,
                         const char *continue_token, int64_t remaining);
void represent_list_free(struct represent_list *list);

/* One event of a watch with its frame. first: the Table's columns go with the first event only. */
void represent_event(struct buf *out, const struct represent *represent, bool first, const char *type,
                     const char *json, size_t len);

#endif
