/* JSON in tests without a wall of backslashes: ' stands for ". */
#ifndef KATENA_TEST_JSON_TEXT_H
#define KATENA_TEST_JSON_TEXT_H

#include "unit.h"

#include <jansson.h>

/* The value of a formatted text; the caller owns it. */
static inline json_t *jq(const char *format, ...) __attribute__((format(printf, 1, 2)));
static inline json_t *jq(const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        abort();
    va_end(args);
    for (char *p = text; *p; p++)
        *p = *p == '\'' ? '"' : *p;
    json_error_t error;
    json_t *value = json_loads(text, JSON_DECODE_ANY, &error);
    if (!value)
        fail_msg("%s in %s", error.text, text);
    free(text);
    return value;
}

#endif
