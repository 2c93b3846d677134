/* resourceVersions as text. */
#ifndef KATENA_API_VERBS_RV_H
#define KATENA_API_VERBS_RV_H

#include <stdbool.h>
#include <stdint.h>

#define RV_TEXT_MAX 24

/* False when text is no decimal number that fits. */
bool rv_parse(const char *text, uint64_t *rv);
void rv_format(char out[RV_TEXT_MAX], uint64_t rv);

#endif
