/*
 * See state_mem.h. Objects are kept in an array sorted by key bytes; each has its versions, newest first,
 * and a version says in which generations of the store it was live. A snapshot is a generation. Versions
 * that no open snapshot can see are freed when their object changes again, or when many are dead.
 */
#include "state/state_mem.h"

#include "base/mem.h"
#include "chain/arena.h"
#include "chain/bytemap.h"
#include "state/record.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct version {
    uint64_t born;
    uint64_t died; /* UINT64_MAX: live */
    struct version *older;
    size_t len;
    char record[];
};

struct entry {
    char *key;
    size_t key_len;
    struct version *newest;
};

struct node_total {
    char *node;
    struct tx_claim sum;
};

struct state_mem {
    uint64_t generation;
    uint64_t height;
    uint64_t rv;
    struct lthash hash;
    struct entry *entries;
    size_t count, cap;
    size_t live;
    struct node_total *totals;
    size_t total_count;
    struct bytemap txs; /* ids of all transactions, with the generation that brought them */
    struct arena tx_ids;
    struct state_snapshot *snapshots; /* the open ones */
};

struct state_snapshot {
    struct state_mem *mem;
    struct state_snapshot *next;
    uint64_t generation;
    uint64_t rv;
};

struct state_iter {
    struct state_snapshot *snapshot;
    struct buf prefix; /* key bytes that all results begin with */
    struct buf next;   /* key bytes from which to go on, … */
    bool after;        /* … exclusive */
    char *term;        /* NULL: every object */
    char *value;
};

struct state_mem *state_mem_new(void)
{
    return mem_zalloc(sizeof(struct state_mem));
}

static void versions_free(struct version *version)
{
    while (version) {
        struct version *older = version->older;
        free(version);
        version = older;
    }
}

void state_mem_free(struct state_mem *mem)
{
    if (!mem)
        return;
    assert(!mem->snapshots);
    for (size_t i = 0; i < mem->count; i++) {
        versions_free(mem->entries[i].newest);
        free(mem->entries[i].key);
    }
    for (size_t i = 0; i < mem->total_count; i++)
        free(mem->totals[i].node);
    bytemap_free(&mem->txs);
    arena_free(&mem->tx_ids);
    free(mem->totals);
    free(mem->entries);
    free(mem);
}

static int bytes_compare(const void *a, size_t a_len, const void *b, size_t b_len)
{
    int order = memcmp(a, b, a_len < b_len ? a_len : b_len);
    return order ? order : (a_len > b_len) - (a_len < b_len);
}

/* The first entry at or behind a key. */
static size_t entry_lower(const struct state_mem *mem, const void *key, size_t len)
{
    size_t low = 0;
    size_t high = mem->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct entry *e = &mem->entries[middle];
        if (bytes_compare(e->key, e->key_len, key, len) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct entry *entry_find(const struct state_mem *mem, const void *key, size_t len)
{
    size_t i = entry_lower(mem, key, len);
    if (i < mem->count && bytes_compare(mem->entries[i].key, mem->entries[i].key_len, key, len) == 0)
        return &mem->entries[i];
    return NULL;
}

static struct entry *entry_ensure(struct state_mem *mem, const void *key, size_t len)
{
    struct entry *found = entry_find(mem, key, len);
    if (found)
        return found;
    size_t at = entry_lower(mem, key, len);
    if (mem->count == mem->cap) {
        mem->cap = mem->cap ? 2 * mem->cap : 64;
        mem->entries = mem_reallocarray(mem->entries, mem->cap, sizeof(*mem->entries));
    }
    memmove(&mem->entries[at + 1], &mem->entries[at], (mem->count - at) * sizeof(*mem->entries));
    mem->count++;
    mem->entries[at] = (struct entry){mem_dup(key, len), len, NULL};
    return &mem->entries[at];
}

/* Frees the versions of an object that had died before the oldest open snapshot began. */
static void versions_trim(struct state_mem *mem, struct entry *entry)
{
    uint64_t oldest = mem->generation;
    for (const struct state_snapshot *s = mem->snapshots; s; s = s->next)
        oldest = s->generation < oldest ? s->generation : oldest;
    struct version **at = &entry->newest;
    while (*at && (*at)->died > oldest)
        at = &(*at)->older;
    versions_free(*at);
    *at = NULL;
}

static void change_apply(struct state_mem *mem, const struct state_change *change)
{
    buf_auto struct buf key = BUF_INIT;
    key_encode(&key, &change->object.key);
    struct entry *entry = entry_ensure(mem, key.data, key.len);
    versions_trim(mem, entry);
    bool was_live = entry->newest && entry->newest->died == UINT64_MAX;
    assert(was_live == change->has_old);
    if (was_live) {
        entry->newest->died = mem->generation;
        mem->live--;
    }
    if (change->type == STATE_DELETED)
        return;
    buf_auto struct buf record = BUF_INIT;
    state_record_encode(&record, &change->object);
    struct version *version = mem_alloc(sizeof(*version) + record.len);
    *version = (struct version){mem->generation, UINT64_MAX, entry->newest, record.len};
    memcpy(version->record, record.data, record.len);
    entry->newest = version;
    mem->live++;
}

static void tx_note(struct state_mem *mem, const uint8_t tx_id[TX_ID_SIZE])
{
    const void *kept = arena_dup(&mem->tx_ids, tx_id, TX_ID_SIZE);
    bytemap_set(&mem->txs, kept, TX_ID_SIZE, (uint32_t)mem->generation);
}

void state_mem_set_tx(struct state_mem *mem, const uint8_t tx_id[TX_ID_SIZE], bool there)
{
    if (there)
        tx_note(mem, tx_id);
    else
        bytemap_remove(&mem->txs, tx_id, TX_ID_SIZE);
}

static void total_apply(struct state_mem *mem, const struct state_claim_total *total)
{
    size_t i = 0;
    while (i < mem->total_count && strcmp(mem->totals[i].node, total->node) != 0)
        i++;
    if (i == mem->total_count) {
        mem->totals = mem_reallocarray(mem->totals, ++mem->total_count, sizeof(*mem->totals));
        mem->totals[i].node = mem_strdup(total->node);
    }
    mem->totals[i].sum = total->sum;
    mem->totals[i].sum.node = NULL;
}

/* Dead objects have no versions left once nobody can see them. */
static void dead_collect(struct state_mem *mem)
{
    size_t kept = 0;
    for (size_t i = 0; i < mem->count; i++) {
        struct entry *entry = &mem->entries[i];
        versions_trim(mem, entry);
        if (entry->newest)
            mem->entries[kept++] = *entry;
        else
            free(entry->key);
    }
    mem->count = kept;
}

void state_mem_apply(struct state_mem *mem, const struct state_update *update)
{
    /* Collecting walks everything, so it waits until half of the entries could be dead. */
    if (mem->count > 2 * mem->live + 1024)
        dead_collect(mem);
    mem->generation++;
    for (size_t i = 0; i < update->change_count; i++) {
        change_apply(mem, &update->changes[i]);
        tx_note(mem, update->changes[i].object.tx_id);
    }
    for (size_t i = 0; i < update->total_count; i++)
        total_apply(mem, &update->totals[i]);
    mem->height = update->height;
    mem->rv = update->head_rv;
    mem->hash = *update->hash;
}

uint64_t state_mem_height(const struct state_mem *mem)
{
    return mem->height;
}

const struct lthash *state_mem_hash(const struct state_mem *mem)
{
    return &mem->hash;
}

size_t state_mem_count(const struct state_mem *mem)
{
    return mem->live;
}

static struct state_snapshot *snapshot_begin(void *store)
{
    struct state_mem *mem = store;
    struct state_snapshot *snapshot = mem_alloc(sizeof(*snapshot));
    *snapshot = (struct state_snapshot){mem, mem->snapshots, mem->generation, mem->rv};
    mem->snapshots = snapshot;
    return snapshot;
}

static void snapshot_end(struct state_snapshot *snapshot)
{
    if (!snapshot)
        return;
    struct state_snapshot **at = &snapshot->mem->snapshots;
    while (*at != snapshot)
        at = &(*at)->next;
    *at = snapshot->next;
    free(snapshot);
}

static uint64_t snapshot_rv(struct state_snapshot *snapshot)
{
    return snapshot->rv;
}

/* The version of an entry that a snapshot sees, decoded; false when there is none. Versions that came and
 * went within one block have been born and died in one generation, and nobody sees them. */
static bool entry_read(const struct entry *entry, uint64_t generation, struct state_object *out)
{
    for (const struct version *v = entry->newest; v; v = v->older)
        if (v->born <= generation && generation < v->died) {
            bool decoded = state_record_decode(out, v->record, v->len);
            assert(decoded);
            return decoded;
        }
    return false;
}

static int get(struct state_snapshot *snapshot, const struct resource_key *key, struct state_object *out,
               struct err *err)
{
    (void)err;
    buf_auto struct buf bytes = BUF_INIT;
    key_encode(&bytes, key);
    const struct entry *entry = entry_find(snapshot->mem, bytes.data, bytes.len);
    return entry && entry_read(entry, snapshot->generation, out) ? 0 : ERR_NOT_FOUND;
}

static struct state_iter *iter_begin(struct state_snapshot *snapshot, const void *prefix, size_t prefix_len,
                                     const void *start, size_t start_len)
{
    struct state_iter *iter = mem_zalloc(sizeof(*iter));
    iter->snapshot = snapshot;
    buf_append(&iter->prefix, prefix, prefix_len);
    bool from_start = start && bytes_compare(start, start_len, prefix, prefix_len) > 0;
    buf_append(&iter->next, from_start ? start : prefix, from_start ? start_len : prefix_len);
    return iter;
}

static struct state_iter *iter_index(struct state_snapshot *snapshot, const char *term, const char *value)
{
    struct state_iter *iter = iter_begin(snapshot, "", 0, NULL, 0);
    iter->term = mem_strdup(term);
    iter->value = mem_strdup(value);
    return iter;
}

static bool has_term(const struct state_object *object, const char *name, const char *value)
{
    struct tx_index_term term;
    for (size_t pos = 0; state_term_next(object, &pos, &term);)
        if (strcmp(term.name, name) == 0 && strcmp(term.value, value) == 0)
            return true;
    return false;
}

static bool iter_next(struct state_iter *iter, struct state_object *out)
{
    const struct state_mem *mem = iter->snapshot->mem;
    size_t i = entry_lower(mem, buf_str(&iter->next), iter->next.len);
    for (; i < mem->count; i++) {
        const struct entry *e = &mem->entries[i];
        if (e->key_len < iter->prefix.len || memcmp(e->key, buf_str(&iter->prefix), iter->prefix.len) != 0)
            return false;
        bool is_last = iter->after && bytes_compare(e->key, e->key_len, iter->next.data, iter->next.len) == 0;
        if (is_last || !entry_read(e, iter->snapshot->generation, out))
            continue;
        if (iter->term && !has_term(out, iter->term, iter->value))
            continue;
        buf_clear(&iter->next);
        buf_append(&iter->next, e->key, e->key_len);
        iter->after = true;
        return true;
    }
    return false;
}

static void iter_end(struct state_iter *iter)
{
    if (!iter)
        return;
    buf_free(&iter->prefix);
    buf_free(&iter->next);
    free(iter->term);
    free(iter->value);
    free(iter);
}

static int claimed(struct state_snapshot *snapshot, const char *node, struct tx_claim *out, struct err *err)
{
    (void)err;
    *out = (struct tx_claim){0};
    for (size_t i = 0; i < snapshot->mem->total_count; i++)
        if (strcmp(snapshot->mem->totals[i].node, node) == 0)
            *out = snapshot->mem->totals[i].sum;
    return 0;
}

static bool find_tx(struct state_snapshot *snapshot, const uint8_t tx_id[TX_ID_SIZE], uint64_t *height)
{
    const struct state_mem *mem = snapshot->mem;
    uint32_t generation = bytemap_get(&mem->txs, tx_id, TX_ID_SIZE);
    if (generation == BYTEMAP_NONE || generation > snapshot->generation)
        return false;
    uint64_t below = mem->generation - generation; /* an update is a block */
    *height = mem->height > below ? mem->height - below : 0;
    return true;
}

const struct state_store_ops *state_mem_ops(void)
{
    static const struct state_store_ops ops = {
        .snapshot_begin = snapshot_begin,
        .snapshot_end = snapshot_end,
        .snapshot_rv = snapshot_rv,
        .get = get,
        .iter_begin = iter_begin,
        .iter_index = iter_index,
        .iter_next = iter_next,
        .iter_end = iter_end,
        .claimed = claimed,
        .find_tx = find_tx,
    };
    return &ops;
}
