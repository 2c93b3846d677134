/* Shared by decode.c and decode_scalar.c: where in the object the decoder is, and its error wording. */
#ifndef KATENA_OBJECT_DECODE_INTERNAL_H
#define KATENA_OBJECT_DECODE_INTERNAL_H

#include "object/decode.h"

/* One step of the way from the root: a member, or an item of the parent's list. The frames of a way live on
 * the stack and are read only to word errors and unknown fields. */
struct decode__frame {
    const struct decode__frame *parent; /* NULL for the root */
    const char *name;                   /* NULL for an item */
    size_t index;
    const struct schema_message *owner; /* the message that the member belongs to; NULL for an item */
};

/* `json: cannot unmarshal <what> into Go struct field Owner.path of type <type>`. */
int decode__type_error(const struct decode__frame *frame, const char *what, const char *type,
                       struct err *err);

/* The canonical form of a value that is neither a message nor a list nor a map; NULL with err set. */
json_t *decode__scalar(const struct decode__frame *frame, enum schema_type type, const json_t *value,
                       struct err *err);

/* The zero value as JSON shows it; NULL for a type that shows none. */
json_t *decode__zero(enum schema_type type);

#endif
