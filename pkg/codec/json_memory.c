/* See json_memory.h. */
#include "codec/json_memory.h"

#include "base/mem.h"

#include <jansson.h>
#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>

/* Blocks are kept by what malloc made of their size: 24, 40, 56, … bytes. */
#define STEP 16
#define BINS 8
#define KEPT_MAX 48 /* of a bin: some 32 KiB for a thread that works with values */

struct block {
    struct block *next;
};

struct bin {
    struct block *first;
    unsigned count;
};

struct kept {
    struct bin bins[BINS];
    bool known; /* the thread's end will empty them */
    bool ended;
};

static _Thread_local struct kept kept;
static pthread_key_t at_end;

/* The bin of blocks with this many bytes; BINS or more: none. */
static size_t bin_of(size_t usable)
{
    return usable < 24 ? BINS : (usable - 24) / STEP;
}

static void *take(size_t size)
{
    size_t i = size <= 24 ? 0 : (size - 24 + STEP - 1) / STEP;
    if (i >= BINS || !kept.bins[i].first)
        return mem_alloc(size);
    struct bin *bin = &kept.bins[i];
    struct block *block = bin->first;
    bin->first = block->next;
    bin->count--;
    return block;
}

static void give(void *p)
{
    size_t i = p ? bin_of(malloc_usable_size(p)) : BINS;
    if (i >= BINS || kept.bins[i].count == KEPT_MAX || kept.ended) {
        free(p);
        return;
    }
    if (!kept.known) {
        kept.known = true;
        pthread_setspecific(at_end, &kept);
    }
    struct block *block = p;
    block->next = kept.bins[i].first;
    kept.bins[i].first = block;
    kept.bins[i].count++;
}

static void empty(void *arg)
{
    struct kept *k = arg;
    k->ended = true;
    for (size_t i = 0; i < BINS; i++) {
        while (k->bins[i].first) {
            struct block *block = k->bins[i].first;
            k->bins[i].first = block->next;
            free(block);
        }
        k->bins[i].count = 0;
    }
}

void json_memory_start(void)
{
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* they watch malloc */
    if (pthread_key_create(&at_end, empty) == 0)
        json_set_alloc_funcs(take, give);
#else
    (void)empty;
    (void)take;
    (void)give;
#endif
}
