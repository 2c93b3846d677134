/* See rand.h. */
#include "base/rand.h"

#include <sodium.h>
#include <stdio.h>

void rand_bytes(void *out, size_t n)
{
    randombytes_buf(out, n);
}

uint32_t rand_below(uint32_t bound)
{
    return randombytes_uniform(bound);
}

void rand_uuid(char out[RAND_UUID_MAX])
{
    uint8_t b[16];
    rand_bytes(b, sizeof(b));
    b[6] = (b[6] & 0x0f) | 0x40;
    b[8] = (b[8] & 0x3f) | 0x80;
    snprintf(out, RAND_UUID_MAX, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0],
             b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
}

void rand_suffix(char *out, size_t n)
{
    /* No vowels and nothing that looks alike, so that no word appears by chance; as Kubernetes does. */
    static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";
    for (size_t i = 0; i < n; i++)
        out[i] = alphabet[rand_below(sizeof(alphabet) - 1)];
    out[n] = '\0';
}
