/* See event_fold.h. Subjects are kept by a 64-bit digest of their text: a collision would fold two unlike
 * events, which costs a line of information and nothing else. */
#include "client/event_fold.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

#define MESSAGES_MAX (EVENT_SIMILAR_MAX + 1)

struct spam_slot {
    uint64_t digest;
    int64_t used_us;
    int64_t filled_us; /* time at which tokens was right */
    int tokens;
};

struct similar_slot {
    uint64_t digest;
    int64_t used_us;
    size_t count;
    uint64_t messages[MESSAGES_MAX];
};

struct count_slot {
    uint64_t digest;
    int64_t used_us;
    int64_t first_us;
    int64_t count;
    char *name;
};

struct event_fold {
    struct spam_slot spam[EVENT_FOLD_MAX];
    struct similar_slot similar[EVENT_FOLD_MAX];
    struct count_slot counts[EVENT_FOLD_MAX];
};

struct event_fold *event_fold_new(void)
{
    return mem_zalloc(sizeof(struct event_fold));
}

void event_fold_free(struct event_fold *fold)
{
    if (!fold)
        return;
    for (size_t i = 0; i < EVENT_FOLD_MAX; i++)
        free(fold->counts[i].name);
    free(fold);
}

static uint64_t digest_of(uint64_t seed, const char *text)
{
    uint64_t h = seed ^ 14695981039346656037ULL;
    for (; *text; text++)
        h = (h ^ (uint8_t)*text) * 1099511628211ULL;
    return h ? h : 1;
}

/* The slot of a digest, else the longest unused one. All slot types begin with digest and used_us. */
static void *slot_find(void *slots, size_t size, uint64_t digest)
{
    char *oldest = slots;
    for (size_t i = 0; i < EVENT_FOLD_MAX; i++) {
        char *slot = (char *)slots + i * size;
        if (*(uint64_t *)slot == digest)
            return slot;
        if (((struct spam_slot *)slot)->used_us < ((struct spam_slot *)oldest)->used_us)
            oldest = slot;
    }
    return oldest;
}

static bool spam_allows(struct event_fold *fold, uint64_t digest, int64_t now_us)
{
    struct spam_slot *slot = slot_find(fold->spam, sizeof(*slot), digest);
    if (slot->digest != digest)
        *slot = (struct spam_slot){.digest = digest, .filled_us = now_us, .tokens = EVENT_BURST};
    slot->used_us = now_us;
    int64_t refill = (now_us - slot->filled_us) / EVENT_REFILL_US;
    if (refill > 0) {
        slot->filled_us += refill * EVENT_REFILL_US;
        slot->tokens = slot->tokens + refill > EVENT_BURST ? EVENT_BURST : slot->tokens + (int)refill;
    }
    if (slot->tokens == 0)
        return false;
    slot->tokens--;
    return true;
}

/* Whether this is one too many of events that differ only in their message. */
static bool similar_combines(struct event_fold *fold, uint64_t digest, uint64_t message, int64_t now_us)
{
    struct similar_slot *slot = slot_find(fold->similar, sizeof(*slot), digest);
    if (slot->digest != digest || now_us - slot->used_us > EVENT_SIMILAR_US) {
        memset(slot, 0, sizeof(*slot));
        slot->digest = digest;
    }
    slot->used_us = now_us;
    for (size_t i = 0; i < slot->count; i++) {
        if (slot->messages[i] == message)
            return slot->count >= EVENT_SIMILAR_MAX;
    }
    if (slot->count < EVENT_SIMILAR_MAX)
        slot->messages[slot->count++] = message;
    return slot->count >= EVENT_SIMILAR_MAX;
}

void event_fold_step(struct event_fold *fold, const struct event_fold_in *in, struct event_fold_out *out)
{
    memset(out, 0, sizeof(*out));
    uint64_t kind = digest_of(0, in->kind);
    uint64_t message = digest_of(kind, in->message);
    out->combined = similar_combines(fold, kind, message, in->now_us);
    uint64_t digest = out->combined ? kind : message;
    if (!spam_allows(fold, digest_of(0, in->object), in->now_us)) {
        out->verdict = EVENT_DROP;
        return;
    }
    struct count_slot *slot = slot_find(fold->counts, sizeof(*slot), digest);
    if (slot->digest != digest || !slot->name) {
        free(slot->name);
        *slot = (struct count_slot){.digest = digest, .first_us = in->now_us, .name = mem_strdup(in->name)};
    }
    slot->used_us = in->now_us;
    slot->count++;
    out->verdict = slot->count == 1 ? EVENT_CREATE : EVENT_COUNT;
    out->count = slot->count;
    out->first_us = slot->first_us;
    snprintf(out->name, sizeof(out->name), "%s", slot->name);
}

void event_fold_forget(struct event_fold *fold, const char *name)
{
    for (size_t i = 0; i < EVENT_FOLD_MAX; i++) {
        struct count_slot *slot = &fold->counts[i];
        if (slot->name && !strcmp(slot->name, name)) {
            free(slot->name);
            memset(slot, 0, sizeof(*slot));
        }
    }
}
