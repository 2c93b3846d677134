/* Lower-case hexadecimal, for ids and hashes. */
#ifndef KATENA_BASE_HEX_H
#define KATENA_BASE_HEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Writes 2 * n digits and a NUL into out. */
void hex_encode(char *out, const uint8_t *bytes, size_t n);

/* Reads exactly 2 * n digits, either case; false (out undefined) when text is anything else. */
bool hex_decode(uint8_t *out, size_t n, const char *text);

#endif
