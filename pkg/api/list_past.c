/* See list_past.h. */
#include "api/list_past.h"

#include "api/verbs_internal.h"
#include "base/mem.h"
#include "chain/bytemap.h"

struct reading {
    struct api_server *server;
    const struct schema_kind *kind;
    struct list_past *past;
    struct err *err;
    int rc;
    size_t cap;
    struct bytemap known; /* key bytes of the entries */
};

/* The first change of an object after the position tells how it stood there. */
static bool on_change(void *arg, const struct state_change *change)
{
    struct reading *r = arg;
    const struct state_object *o = &change->object;
    if (strcmp(o->key.resource, r->kind->plural) != 0 || strcmp(o->key.group, r->kind->group) != 0)
        return true;
    buf_auto struct buf key = BUF_INIT;
    key_encode(&key, &o->key);
    if (bytemap_get(&r->known, key.data, key.len) != BYTEMAP_NONE)
        return true;
    if (r->past->count == r->cap) {
        r->cap = r->cap ? 2 * r->cap : 16;
        r->past->entries = mem_reallocarray(r->past->entries, r->cap, sizeof(*r->past->entries));
    }
    struct list_past_entry *entry = &r->past->entries[r->past->count++];
    *entry = (struct list_past_entry){.key = key, .present = change->has_old};
    bytemap_set(&r->known, key.data, key.len, 0);
    key = (struct buf)BUF_INIT; /* the entry's now */
    if (change->has_old)
        r->rc = object_open(r->server, &change->old, &entry->text, r->err);
    return !r->rc;
}

static int compare_entries(const void *a, const void *b)
{
    const struct buf *x = &((const struct list_past_entry *)a)->key;
    const struct buf *y = &((const struct list_past_entry *)b)->key;
    int order = memcmp(x->data, y->data, x->len < y->len ? x->len : y->len);
    return order ? order : (x->len > y->len) - (x->len < y->len);
}

int list_past_read(struct api_server *server, const struct schema_kind *kind, uint64_t since, uint64_t until,
                   struct list_past *out, struct err *err)
{
    *out = (struct list_past){0};
    if (since == until)
        return 0;
    struct reading r = {.server = server, .kind = kind, .past = out, .err = err};
    int rc = ledger_history(server->ledger, since, until, on_change, &r, err);
    bytemap_free(&r.known);
    if (!rc)
        rc = r.rc;
    if (!rc && out->count > 1)
        qsort(out->entries, out->count, sizeof(*out->entries), compare_entries);
    return rc;
}

void list_past_free(struct list_past *past)
{
    for (size_t i = 0; i < past->count; i++) {
        buf_free(&past->entries[i].key);
        buf_free(&past->entries[i].text);
    }
    free(past->entries);
    *past = (struct list_past){0};
}
