/* See verbs_rv.h. */
#include "api/verbs_rv.h"

#include <inttypes.h>
#include <stdio.h>

bool rv_parse(const char *text, uint64_t *rv)
{
    uint64_t value = 0;
    if (!*text)
        return false;
    for (const char *p = text; *p; p++) {
        if (*p < '0' || *p > '9' || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
            return false;
    }
    *rv = value;
    return true;
}

void rv_format(char out[RV_TEXT_MAX], uint64_t rv)
{
    snprintf(out, RV_TEXT_MAX, "%" PRIu64, rv);
}
