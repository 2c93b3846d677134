/*
 * katena chain conflicts: changes that lost, in part or as a whole, when histories were merged
 * (docs/consensus.md, "Replay"). They are objects of the cluster, kind Conflict, read here from the state.
 */
#include "chain.h"

#include "base/mem.h"
#include "codec/json.h"

#include <stdlib.h>
#include <string.h>

struct found {
    json_t **items;
    size_t count;
};

static int collect(struct blockstore *store, const char *namespace, struct found *found, struct err *err)
{
    const struct state_store_ops *ops = blockstore_ops();
    const struct resource_key kind = {"katena.io", "conflicts", namespace, ""};
    buf_auto struct buf prefix = BUF_INIT;
    struct state_object object;
    int rc = 0;
    key_encode(&prefix, &kind);
    struct state_snapshot *snapshot = ops->snapshot_begin(store);
    struct state_iter *iter = ops->iter_begin(snapshot, prefix.data, prefix.len, NULL, 0);
    while (!rc && ops->iter_next(iter, &object)) {
        json_t *item = json_parse_stored(object.content, object.content_len, err);
        if (!item) {
            rc = err ? err->code : ERR_CORRUPT;
            break;
        }
        /* What the chain adds, and who may read the fields, is of no interest here. */
        json_object_del(json_object_get(item, "metadata"), "managedFields");
        json_object_del(json_object_get(item, "metadata"), "resourceVersion");
        found->items = mem_reallocarray(found->items, found->count + 1, sizeof(*found->items));
        found->items[found->count++] = item;
    }
    ops->iter_end(iter);
    ops->snapshot_end(snapshot);
    return rc;
}

/* Newest first. */
static int by_time(const void *a, const void *b)
{
    const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
    int order = strcmp(json_str_or_empty(y, "time"), json_str_or_empty(x, "time"));
    return order ? order
                 : strcmp(json_str_or_empty(x, "metadata", "name"), json_str_or_empty(y, "metadata", "name"));
}

static void print_loss(const json_t *loss)
{
    const char *winner = json_str(loss, "winner");
    const char *loser = json_str(loss, "loser");
    printf("    %s\n", json_str_or_empty(loss, "path"));
    printf("        stays  %s\n", winner ? winner : "(absent)");
    printf("        lost   %s\n", loser ? loser : "(removed)");
}

static void print_conflict(const json_t *conflict)
{
    const char *namespace = json_str_or_empty(conflict, "object", "namespace");
    const char *subresource = json_str_or_empty(conflict, "subresource");
    const char *reason = json_str_or_empty(conflict, "reason");
    printf("%s  %s %s%s%s\n", json_str_or_empty(conflict, "time"),
           json_str_or_empty(conflict, "object", "kind"), namespace, *namespace ? "/" : "",
           json_str_or_empty(conflict, "object", "name"));
    printf("    %s%s%s by %s, transaction %.*s: %s\n", json_str_or_empty(conflict, "verb"),
           *subresource ? " of " : "", subresource, json_str_or_empty(conflict, "user"), CHAIN_SHORT_ID,
           json_str_or_empty(conflict, "transaction"),
           !strcmp(json_str_or_empty(conflict, "outcome"), "Merged") ? "merged, but for"
                                                                     : "nothing of it was kept");
    if (*reason)
        printf("    (%s)\n", reason);
    size_t i;
    json_t *loss;
    json_array_foreach(json_object_get(conflict, "losses"), i, loss)
    {
        print_loss(loss);
    }
}

static void print_text(const struct found *found)
{
    if (!found->count)
        puts("No conflicts.");
    for (size_t i = 0; i < found->count; i++) {
        if (i)
            putchar('\n');
        print_conflict(found->items[i]);
    }
}

static void print_json(const struct found *found)
{
    json_auto_t *items = json_array();
    for (size_t i = 0; i < found->count; i++)
        json_array_append(items, found->items[i]);
    json_auto_t *list = json_pack("{s:s, s:s, s:O}", "kind", "ConflictList", "apiVersion",
                                  "katena.io/v1alpha1", "items", items);
    json_dumpf(list, stdout, JSON_INDENT(4));
    putchar('\n');
}

int chain_conflicts(struct blockstore *store, const struct chain_arguments *a)
{
    struct found found = {0};
    struct err err = {0};
    if (a->output && strcmp(a->output, "json") != 0) {
        fputs("katena: chain conflicts -o takes json\n", stderr);
        return 2;
    }
    int rc = collect(store, a->namespace, &found, &err);
    if (found.count)
        qsort(found.items, found.count, sizeof(*found.items), by_time);
    if (!rc && (a->json || a->output))
        print_json(&found);
    else if (!rc)
        print_text(&found);
    for (size_t i = 0; i < found.count; i++)
        json_decref(found.items[i]);
    free(found.items);
    return rc ? chain_fail(&err) : 0;
}
