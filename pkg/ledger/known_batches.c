/* See known_batches.h: a table in which a batch has one place, by its root. */
#include "ledger/known_batches.h"

#include "base/mem.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define PLACES 2048

struct known_batches {
    pthread_mutex_t lock;
    struct tx_batch *places; /* NULL: none yet */
};

struct known_batches *known_batches_new(void)
{
    struct known_batches *known = mem_zalloc(sizeof(*known));
    pthread_mutex_init(&known->lock, NULL);
    return known;
}

void known_batches_free(struct known_batches *known)
{
    if (!known)
        return;
    pthread_mutex_destroy(&known->lock);
    free(known->places);
    free(known);
}

static size_t place_of(const struct tx_batch *batch)
{
    return ((size_t)batch->root[0] << 8 | batch->root[1]) % PLACES;
}

void known_batches_note(struct known_batches *known, const struct tx_batch *batch)
{
    pthread_mutex_lock(&known->lock);
    if (!known->places)
        known->places = mem_calloc(PLACES, sizeof(*known->places));
    known->places[place_of(batch)] = *batch;
    pthread_mutex_unlock(&known->lock);
}

bool known_batches_has(struct known_batches *known, const struct tx_batch *batch)
{
    pthread_mutex_lock(&known->lock);
    bool has = known->places && memcmp(&known->places[place_of(batch)], batch, sizeof(*batch)) == 0;
    pthread_mutex_unlock(&known->lock);
    return has;
}
