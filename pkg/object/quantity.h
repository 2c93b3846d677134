/* resource.Quantity ("500m", "1Gi", "1e3"): exact for what fits a node. Pure, no floats. */
#ifndef KATENA_OBJECT_QUANTITY_H
#define KATENA_OBJECT_QUANTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The value in thousandths, rounded up, saturating; false when text is no quantity. */
bool quantity_milli(const char *text, int64_t *milli);

/* The value in whole units, rounded up, saturating. */
bool quantity_value(const char *text, int64_t *value);

/* The canonical form: "0.5" becomes "500m", "1024Mi" "1Gi". Returns false when text is no quantity. */
bool quantity_canonical(char *out, size_t size, const char *text);

#endif
