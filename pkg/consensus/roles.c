#include "consensus/roles.h"

#include "chain/wire.h"

#include <assert.h>
#include <string.h>

#include <sodium.h>

#define STREAM_WORDS 64

uint64_t roles_slot(const struct roles_settings *settings, int64_t now_us)
{
    assert(settings->slot_us > 0 && now_us >= 0);
    return (uint64_t)(now_us / settings->slot_us);
}

int64_t roles_slot_start_us(const struct roles_settings *settings, uint64_t slot)
{
    return (int64_t)slot * settings->slot_us;
}

uint64_t roles_epoch(const struct roles_settings *settings, uint64_t slot)
{
    assert(settings->epoch_slots > 0);
    return slot / settings->epoch_slots;
}

/* The keystream, a few blocks at a time. */
struct stream {
    uint8_t key[crypto_stream_chacha20_KEYBYTES];
    uint8_t bytes[STREAM_WORDS * 4];
    uint64_t block; /* the next block of 64 bytes */
    unsigned used;  /* words of bytes that are spent */
};

static void stream_init(struct stream *s, const uint8_t seed[ROLES_SEED_SIZE], uint64_t slot)
{
    static const char domain[] = "katena roles";
    uint8_t text[sizeof(domain) - 1 + ROLES_SEED_SIZE + 8];
    memcpy(text, domain, sizeof(domain) - 1);
    memcpy(text + sizeof(domain) - 1, seed, ROLES_SEED_SIZE);
    wire_store_u64(text + sizeof(text) - 8, slot);
    crypto_generichash(s->key, sizeof(s->key), text, sizeof(text), NULL, 0);
    s->block = 0;
    s->used = STREAM_WORDS;
}

static uint32_t stream_next(struct stream *s)
{
    static const uint8_t nonce[crypto_stream_chacha20_NONCEBYTES];
    static const uint8_t zeros[STREAM_WORDS * 4];
    if (s->used == STREAM_WORDS) {
        crypto_stream_chacha20_xor_ic(s->bytes, zeros, sizeof(zeros), nonce, s->block, s->key);
        s->block += sizeof(zeros) / 64;
        s->used = 0;
    }
    return wire_load_u32(s->bytes + (size_t)4 * s->used++);
}

/* Uniform in [0, bound): numbers below 2^32 mod bound are refused, which leaves a multiple of bound. */
static uint32_t stream_below(struct stream *s, uint32_t bound)
{
    uint32_t refused = (uint32_t)(0 - bound) % bound;
    uint32_t number;
    do
        number = stream_next(s);
    while (number < refused);
    return number % bound;
}

void roles_order(uint32_t *order, uint32_t n, const uint8_t seed[ROLES_SEED_SIZE], uint64_t slot)
{
    struct stream stream;
    stream_init(&stream, seed, slot);
    for (uint32_t i = 0; i < n; i++)
        order[i] = i;
    for (uint32_t i = n; i > 1; i--) {
        uint32_t other = stream_below(&stream, i);
        uint32_t moved = order[i - 1];
        order[i - 1] = order[other];
        order[other] = moved;
    }
}

uint32_t roles_place(const uint32_t *order, uint32_t n, uint32_t validator)
{
    for (uint32_t i = 0; i < n; i++)
        if (order[i] == validator)
            return i;
    return ROLES_NO_PLACE;
}

enum role roles_at(const struct roles_settings *settings, uint32_t place)
{
    assert(settings->committee_max >= 1 && settings->committee_max <= ROLES_COMMITTEE_MAX);
    if (place == 0)
        return ROLE_PRODUCER;
    return place <= settings->committee_max ? ROLE_COMMITTEE : ROLE_VALIDATOR;
}

uint32_t roles_turn(const uint32_t *order, uint32_t n, uint32_t validator,
                    bool (*is_live)(void *arg, uint32_t validator), void *arg)
{
    uint32_t before = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (order[i] == validator)
            return before;
        before += is_live(arg, order[i]);
    }
    return ROLES_NO_PLACE;
}
