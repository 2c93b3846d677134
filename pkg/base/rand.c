/* See rand.h. */
#include "base/rand.h"

#include "base/hex.h"

#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <string.h>

/* What a thread has fetched ahead. A byte is given out once, and wiped as it goes. */
#define AHEAD_SIZE 512

struct ahead {
    unsigned forks; /* that the process had seen when it was fetched */
    size_t left;
    uint8_t bytes[AHEAD_SIZE];
};

static _Thread_local struct ahead ahead;
static atomic_uint forks;

/* What both sides of a fork have in memory is not random for either of them: the child starts anew. */
static void on_fork(void)
{
    atomic_fetch_add(&forks, 1);
}

static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, on_fork);
}

static void fetch(unsigned seen)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, watch_forks);
    randombytes_buf(ahead.bytes, AHEAD_SIZE);
    ahead.left = AHEAD_SIZE;
    ahead.forks = seen;
}

void rand_bytes(void *out, size_t n)
{
    randombytes_buf(out, n);
}

void rand_id(void *out, size_t n)
{
    unsigned seen = atomic_load_explicit(&forks, memory_order_relaxed);
    if (n > AHEAD_SIZE) {
        randombytes_buf(out, n);
        return;
    }
    if (ahead.left < n || ahead.forks != seen)
        fetch(seen);
    uint8_t *next = ahead.bytes + AHEAD_SIZE - ahead.left;
    memcpy(out, next, n);
    memset(next, 0, n);
    ahead.left -= n;
}

uint32_t rand_below(uint32_t bound)
{
    return randombytes_uniform(bound);
}

void rand_uuid(char out[RAND_UUID_MAX])
{
    uint8_t b[16];
    rand_id(b, sizeof(b));
    b[6] = (b[6] & 0x0f) | 0x40;
    b[8] = (b[8] & 0x3f) | 0x80;
    static const uint8_t parts[] = {4, 2, 2, 2, 6}; /* bytes, with a dash between */
    for (size_t i = 0, at = 0; i < sizeof(parts); at += parts[i++], out++) {
        hex_encode(out, b + at, parts[i]);
        out += 2 * parts[i];
        *out = i + 1 < sizeof(parts) ? '-' : '\0';
    }
}

void rand_suffix(char *out, size_t n)
{
    /* No vowels and nothing that looks alike, so that no word appears by chance; as Kubernetes does. */
    static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";
    for (size_t i = 0; i < n; i++)
        out[i] = alphabet[rand_below(sizeof(alphabet) - 1)];
    out[n] = '\0';
}
