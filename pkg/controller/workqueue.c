/* See workqueue.h. A hash table finds an item by its key, a binary heap the earliest; an item that is being
 * worked on is in the table only. */
#include "controller/workqueue.h"

#include "base/mem.h"

#include <assert.h>
#include <string.h>

#define HEAP_NONE SIZE_MAX
#define NEVER INT64_MAX

struct node {
    struct node *chain;
    uint64_t hash;
    int64_t due_us;
    int64_t again_us; /* asked for while being worked on; NEVER: not asked for */
    uint64_t seq;     /* order of adding */
    size_t heap;      /* index; HEAP_NONE: being worked on */
    unsigned failures;
    struct work_item item; /* last: its key follows */
};

struct workqueue {
    struct node **buckets;
    size_t bucket_count; /* a power of two */
    size_t count;
    struct node **heap;
    size_t heap_count, heap_cap;
    uint64_t seq;
};

struct workqueue *workqueue_new(void)
{
    struct workqueue *q = mem_zalloc(sizeof(*q));
    q->bucket_count = 64;
    q->buckets = mem_calloc(q->bucket_count, sizeof(struct node *));
    return q;
}

void workqueue_free(struct workqueue *q)
{
    if (!q)
        return;
    for (size_t i = 0; i < q->bucket_count; i++) {
        for (struct node *n = q->buckets[i], *next; n; n = next) {
            next = n->chain;
            free(n);
        }
    }
    free(q->buckets);
    free(q->heap);
    free(q);
}

static bool node_before(const struct node *a, const struct node *b)
{
    return a->due_us != b->due_us ? a->due_us < b->due_us : a->seq < b->seq;
}

static void heap_put(struct workqueue *q, size_t at, struct node *n)
{
    q->heap[at] = n;
    n->heap = at;
}

static void heap_up(struct workqueue *q, size_t at, struct node *n)
{
    while (at > 0 && node_before(n, q->heap[(at - 1) / 2])) {
        heap_put(q, at, q->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    heap_put(q, at, n);
}

static void heap_push(struct workqueue *q, struct node *n)
{
    if (q->heap_count == q->heap_cap) {
        q->heap_cap = q->heap_cap ? q->heap_cap * 2 : 64;
        q->heap = mem_reallocarray(q->heap, q->heap_cap, sizeof(struct node *));
    }
    heap_up(q, q->heap_count++, n);
}

static struct node *heap_pop(struct workqueue *q)
{
    struct node *top = q->heap[0];
    struct node *last = q->heap[--q->heap_count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= q->heap_count)
            break;
        if (child + 1 < q->heap_count && node_before(q->heap[child + 1], q->heap[child]))
            child++;
        if (!node_before(q->heap[child], last))
            break;
        heap_put(q, at, q->heap[child]);
        at = child;
    }
    if (q->heap_count)
        heap_put(q, at, last);
    top->heap = HEAP_NONE;
    return top;
}

static uint64_t key_hash(int owner, const char *key)
{
    uint64_t h = 14695981039346656037ULL ^ (uint64_t)(unsigned)owner;
    for (; *key; key++)
        h = (h ^ (uint8_t)*key) * 1099511628211ULL;
    return h;
}

static void table_grow(struct workqueue *q)
{
    size_t count = q->bucket_count * 2;
    struct node **buckets = mem_calloc(count, sizeof(struct node *));
    for (size_t i = 0; i < q->bucket_count; i++) {
        for (struct node *n = q->buckets[i], *next; n; n = next) {
            next = n->chain;
            n->chain = buckets[n->hash & (count - 1)];
            buckets[n->hash & (count - 1)] = n;
        }
    }
    free(q->buckets);
    q->buckets = buckets;
    q->bucket_count = count;
}

static struct node *node_new(struct workqueue *q, int owner, const char *key, uint64_t hash)
{
    if (q->count >= q->bucket_count)
        table_grow(q);
    size_t len = strlen(key) + 1;
    struct node *n = mem_zalloc(sizeof(*n) + len);
    n->hash = hash;
    n->again_us = NEVER;
    n->item.owner = owner;
    memcpy(n->item.key, key, len);
    n->chain = q->buckets[hash & (q->bucket_count - 1)];
    q->buckets[hash & (q->bucket_count - 1)] = n;
    q->count++;
    return n;
}

static void node_schedule(struct workqueue *q, struct node *n, int64_t due_us)
{
    n->due_us = due_us;
    n->seq = q->seq++;
    heap_push(q, n);
}

void workqueue_add(struct workqueue *q, int owner, const char *key, int64_t due_us)
{
    uint64_t hash = key_hash(owner, key);
    struct node *n = q->buckets[hash & (q->bucket_count - 1)];
    while (n && (n->hash != hash || n->item.owner != owner || strcmp(n->item.key, key) != 0))
        n = n->chain;
    if (!n) {
        node_schedule(q, node_new(q, owner, key, hash), due_us);
    } else if (n->heap == HEAP_NONE) {
        if (due_us < n->again_us)
            n->again_us = due_us;
    } else if (due_us < n->due_us) {
        n->due_us = due_us;
        heap_up(q, n->heap, n);
    }
}

struct work_item *workqueue_take(struct workqueue *q, int64_t now_us, int64_t *next_due_us)
{
    *next_due_us = q->heap_count ? q->heap[0]->due_us : NEVER;
    if (*next_due_us > now_us)
        return NULL;
    return &heap_pop(q)->item;
}

static void node_free(struct workqueue *q, struct node *n)
{
    struct node **link = &q->buckets[n->hash & (q->bucket_count - 1)];
    while (*link != n)
        link = &(*link)->chain;
    *link = n->chain;
    free(n);
    q->count--;
}

static int64_t backoff_us(unsigned failures)
{
    int64_t delay = WORKQUEUE_BACKOFF_MIN_US;
    while (failures-- > 1 && delay < WORKQUEUE_BACKOFF_MAX_US)
        delay *= 2;
    return delay < WORKQUEUE_BACKOFF_MAX_US ? delay : WORKQUEUE_BACKOFF_MAX_US;
}

void workqueue_done(struct workqueue *q, struct work_item *item, bool failed, int64_t again_us,
                    int64_t now_us)
{
    struct node *n = (struct node *)((char *)item - offsetof(struct node, item));
    assert(n->heap == HEAP_NONE);
    n->failures = failed ? n->failures + 1 : 0;
    int64_t due = failed ? now_us + backoff_us(n->failures) : again_us ? again_us : NEVER;
    if (n->again_us < due)
        due = n->again_us;
    n->again_us = NEVER;
    if (due == NEVER)
        node_free(q, n);
    else
        node_schedule(q, n, due);
}

bool workqueue_idle(const struct workqueue *q, int64_t now_us)
{
    return q->count == q->heap_count && (!q->heap_count || q->heap[0]->due_us > now_us);
}

size_t workqueue_count(const struct workqueue *q)
{
    return q->count;
}
