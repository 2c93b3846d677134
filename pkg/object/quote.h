/* Texts in error messages, quoted as Go's %q does, so that messages read as those of Kubernetes. Pure. */
#ifndef KATENA_OBJECT_QUOTE_H
#define KATENA_OBJECT_QUOTE_H

#include "base/buf.h"

/* Appends text in double quotes. */
void quote_append(struct buf *out, const char *text);

/* The quoted text; the caller frees it. */
char *quote_text(const char *text);

#endif
