/* Random bytes and the names made from them. An edge facility: the core takes randomness as an argument. */
#ifndef KATENA_BASE_RAND_H
#define KATENA_BASE_RAND_H

#include <stddef.h>
#include <stdint.h>

#define RAND_UUID_MAX 37

void rand_bytes(void *out, size_t n); /* from the kernel, by libsodium */
/* The same for what is no secret once it is given out, as ids are: fetched ahead for several. */
void rand_id(void *out, size_t n);
uint32_t rand_below(uint32_t bound);     /* uniform in [0, bound) */
void rand_uuid(char out[RAND_UUID_MAX]); /* a random UUID, RFC 9562 version 4 */
void rand_suffix(char *out, size_t n);   /* n letters of Kubernetes' name alphabet, and a NUL */

#endif
