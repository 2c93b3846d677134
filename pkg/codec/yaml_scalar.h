/* What a YAML 1.1 scalar without quotes stands for; shared by yaml.c and yaml_dump.c. */
#ifndef KATENA_CODEC_YAML_SCALAR_H
#define KATENA_CODEC_YAML_SCALAR_H

#include <jansson.h>
#include <stdbool.h>

/* null, true, 12, 1.5 or the text itself as JSON; NULL for a number that JSON cannot say (.nan, .inf). */
json_t *yaml__resolve(const char *text);

/* "<<", which asks to merge a mapping. */
bool yaml__is_merge(const char *text);

#endif
