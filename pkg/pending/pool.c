/* See pending.h. A ring of items that grows; removal from the middle leaves a hole that taking skips. */
#include "pending/pending.h"

#include "base/mem.h"
#include "chain/bytemap.h"

#include <assert.h>
#include <stdlib.h>

struct pending {
    struct pending_item *ring;
    size_t capacity; /* a power of two */
    size_t head;     /* place of the oldest item; places count up for ever, modulo the capacity */
    size_t used;     /* places from head on, holes included */
    size_t count;    /* items */
    size_t bytes;
    struct bytemap ids; /* id -> place, as a 32-bit number */
};

struct pending *pending_new(void)
{
    struct pending *p = mem_zalloc(sizeof(*p));
    p->capacity = 64;
    p->ring = mem_calloc(p->capacity, sizeof(*p->ring));
    return p;
}

static struct pending_item *place_at(const struct pending *p, size_t place)
{
    return &p->ring[place & (p->capacity - 1)];
}

void pending_free(struct pending *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->used; i++)
        tx_free(place_at(p, p->head + i)->tx);
    bytemap_free(&p->ids);
    free(p->ring);
    free(p);
}

/* Closes the holes. The items keep their order, and get new places. */
static void ring_compact(struct pending *p)
{
    size_t kept = 0;
    bytemap_clear(&p->ids);
    for (size_t i = 0; i < p->used; i++) {
        struct pending_item item = *place_at(p, p->head + i);
        if (!item.tx)
            continue;
        *place_at(p, p->head + kept) = item;
        bytemap_set(&p->ids, item.tx->id, TX_ID_SIZE, (uint32_t)(p->head + kept) & INT32_MAX);
        kept++;
    }
    for (size_t i = kept; i < p->used; i++)
        *place_at(p, p->head + i) = (struct pending_item){0};
    p->used = kept;
}

/* Doubles the ring. Places stay what they are, so the map of ids stays right. */
static void ring_grow(struct pending *p)
{
    struct pending_item *grown = mem_calloc(2 * p->capacity, sizeof(*grown));
    for (size_t i = 0; i < p->used; i++)
        grown[(p->head + i) & (2 * p->capacity - 1)] = *place_at(p, p->head + i);
    free(p->ring);
    p->ring = grown;
    p->capacity *= 2;
}

static void item_store(struct pending *p, size_t place, const struct pending_item *item)
{
    *place_at(p, place) = *item;
    p->count++;
    p->bytes += item->tx->encoded_len;
    bytemap_set(&p->ids, item->tx->id, TX_ID_SIZE, (uint32_t)place & INT32_MAX);
}

/* Empties a place; returns what was there. */
static struct pending_item item_clear(struct pending *p, size_t place)
{
    struct pending_item item = *place_at(p, place);
    *place_at(p, place) = (struct pending_item){0};
    if (item.tx) {
        p->count--;
        p->bytes -= item.tx->encoded_len;
        bytemap_remove(&p->ids, item.tx->id, TX_ID_SIZE);
    }
    return item;
}

int pending_add(struct pending *p, struct tx *tx, void *token, struct err *err)
{
    return pending_add_item(p, &(struct pending_item){.tx = tx, .token = token}, err);
}

int pending_add_item(struct pending *p, const struct pending_item *item, struct err *err)
{
    const struct tx *tx = item->tx;
    assert(tx->encoded);
    if (p->count >= PENDING_COUNT_MAX || p->bytes + tx->encoded_len > PENDING_BYTES_MAX)
        return err_set(err, ERR_TOO_MANY, "too many transactions are waiting for a block");
    if (bytemap_get(&p->ids, tx->id, TX_ID_SIZE) != BYTEMAP_NONE)
        return err_set(err, ERR_CONFLICT, "the transaction is waiting for a block already");
    if (p->used == p->capacity && p->count < p->capacity / 2)
        ring_compact(p);
    else if (p->used == p->capacity)
        ring_grow(p);
    item_store(p, p->head + p->used, item);
    p->used++;
    return 0;
}

static void holes_skip(struct pending *p)
{
    while (p->used && !place_at(p, p->head)->tx) {
        p->head++;
        p->used--;
    }
}

size_t pending_take(struct pending *p, size_t outputs_max, size_t bytes_max, struct pending_item **items)
{
    struct pending_item *taken = mem_calloc(p->count + 1, sizeof(*taken));
    size_t count = 0;
    size_t outputs = 0;
    size_t bytes = 0;
    for (holes_skip(p); p->used; holes_skip(p)) {
        const struct tx *tx = place_at(p, p->head)->tx;
        outputs += tx->output_count;
        bytes += tx->encoded_len;
        if (count && (outputs > outputs_max || bytes > bytes_max))
            break;
        taken[count++] = item_clear(p, p->head);
    }
    *items = taken;
    return count;
}

void pending_put_back(struct pending *p, const struct pending_item *items, size_t count)
{
    while (p->used + count > p->capacity)
        ring_grow(p);
    for (size_t i = count; i-- > 0;) {
        p->head--;
        p->used++;
        item_store(p, p->head, &items[i]);
    }
}

/* The map has the low bits of the place; there are fewer places than these can tell apart. */
static bool find_offset(const struct pending *p, const uint8_t tx_id[TX_ID_SIZE], size_t *offset)
{
    uint32_t low = bytemap_get(&p->ids, tx_id, TX_ID_SIZE);
    if (low == BYTEMAP_NONE)
        return false;
    *offset = ((size_t)low - p->head) & INT32_MAX;
    assert(*offset < p->used);
    return true;
}

struct pending_item *pending_find(struct pending *p, const uint8_t tx_id[TX_ID_SIZE])
{
    size_t offset;
    return find_offset(p, tx_id, &offset) ? place_at(p, p->head + offset) : NULL;
}

struct pending_item *pending_next(struct pending *p, size_t *place)
{
    while (*place < p->used) {
        struct pending_item *item = place_at(p, p->head + (*place)++);
        if (item->tx)
            return item;
    }
    return NULL;
}

bool pending_remove(struct pending *p, const uint8_t tx_id[TX_ID_SIZE], struct pending_item *item)
{
    size_t offset;
    if (!find_offset(p, tx_id, &offset))
        return false;
    *item = item_clear(p, p->head + offset);
    assert(item->tx);
    holes_skip(p);
    return true;
}

void pending_drop(struct pending *p, bool (*drops)(void *arg, const struct pending_item *item), void *arg)
{
    for (size_t i = 0; i < p->used; i++) {
        const struct pending_item *item = place_at(p, p->head + i);
        if (item->tx && drops(arg, item))
            tx_free(item_clear(p, p->head + i).tx);
    }
    holes_skip(p);
}

size_t pending_count(const struct pending *p)
{
    return p->count;
}

size_t pending_bytes(const struct pending *p)
{
    return p->bytes;
}
