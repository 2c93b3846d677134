/*
 * JSON text laid out for reading, as Go's MarshalIndent does: two spaces a level, one member a line. It works
 * on the text as it comes, so that a stream can be laid out without being held. Pure.
 */
#ifndef KATENA_CODEC_JSON_INDENT_H
#define KATENA_CODEC_JSON_INDENT_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

struct json_indent {
    unsigned depth;
    bool opened;    /* a bracket was opened and nothing stands in it yet */
    bool in_string; /* between quotes */
    bool escaped;   /* behind a backslash */
};

/* Appends the next len bytes of a valid text, laid out. state begins as zeros. */
void json_indent_put(struct buf *out, struct json_indent *state, const char *text, size_t len);

#endif
