/*
 * katena chain blame: which transaction last set each field of an object. The newest version is taken apart
 * into fields, and the versions before it are walked, newest first: a field belongs to the oldest version
 * since which it has stayed the same.
 */
#include "chain.h"

#include "base/mem.h"
#include "base/timefmt.h"
#include "codec/json.h"

#include <stdlib.h>
#include <string.h>

struct field {
    char *path;
    char *value;
    size_t version; /* that it goes back to, so far */
    bool settled;
};

struct fields {
    struct field *list;
    size_t count, cap;
};

/* Who made a version. */
struct version {
    uint8_t tx_id[TX_ID_SIZE];
    char *user;
    int64_t time_us;
};

struct blame {
    struct blockstore *store;
    struct resource_key key;
    struct fields fields; /* of the newest version */
    struct version *versions;
    size_t version_count;
    bool sealed;
    bool cut; /* older versions are pruned */
};

static void fields_add(struct fields *fields, const char *path, const json_t *value)
{
    if (fields->count == fields->cap) {
        fields->cap = fields->cap ? 2 * fields->cap : 64;
        fields->list = mem_reallocarray(fields->list, fields->cap, sizeof(*fields->list));
    }
    buf_auto struct buf text = BUF_INIT;
    json_dump_buf(&text, value);
    fields->list[fields->count++] = (struct field){.path = mem_strdup(path), .value = buf_steal(&text)};
}

static void fields_free(struct fields *fields)
{
    for (size_t i = 0; i < fields->count; i++) {
        free(fields->list[i].path);
        free(fields->list[i].value);
    }
    free(fields->list);
}

/* What has no author of its own. */
static bool is_bookkeeping(const char *path)
{
    return !strcmp(path, "metadata.resourceVersion") || !strcmp(path, "metadata.managedFields");
}

/* Items of a list go by their name where they have one, so that a field keeps its path when others come. */
static void item_path(struct buf *out, const char *path, const json_t *item, size_t index)
{
    const char *name = json_str(item, "name");
    if (!name)
        name = json_str(item, "type");
    if (name)
        buf_printf(out, "%s[%s]", path, name);
    else
        buf_printf(out, "%s[%zu]", path, index);
}

static void flatten(struct fields *fields, const char *path, json_t *value)
{
    if (is_bookkeeping(path))
        return;
    if (json_is_object(value) && json_object_size(value)) {
        const char *name;
        json_t *member;
        json_object_foreach(value, name, member)
        {
            buf_auto struct buf inner = BUF_INIT;
            buf_printf(&inner, "%s%s%s", path, *path ? "." : "", name);
            flatten(fields, inner.data, member);
        }
    } else if (json_is_array(value) && json_array_size(value)) {
        size_t index;
        json_t *item;
        json_array_foreach(value, index, item)
        {
            buf_auto struct buf inner = BUF_INIT;
            item_path(&inner, path, item, index);
            flatten(fields, inner.data, item);
        }
    } else {
        fields_add(fields, path, value);
    }
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct field *)a)->path, ((const struct field *)b)->path);
}

/* Fields that the older version has too, unchanged, go back to it; the others are settled. */
static void compare_with(struct blame *blame, const uint8_t *content, size_t len, size_t version)
{
    json_auto_t *object = json_parse(content, len, NULL);
    struct fields old = {0};
    if (object)
        flatten(&old, "", object);
    if (old.count)
        qsort(old.list, old.count, sizeof(*old.list), by_path);
    for (size_t i = 0; i < blame->fields.count; i++) {
        struct field *field = &blame->fields.list[i];
        if (field->settled)
            continue;
        const struct field *same =
            old.count ? bsearch(field, old.list, old.count, sizeof(*old.list), by_path) : NULL;
        if (same && !strcmp(same->value, field->value))
            field->version = version;
        else
            field->settled = true;
    }
    fields_free(&old);
}

static void add_version(struct blame *blame, const struct tx *tx, int64_t time_us)
{
    blame->versions = mem_reallocarray(blame->versions, blame->version_count + 1, sizeof(*blame->versions));
    struct version *version = &blame->versions[blame->version_count++];
    *version = (struct version){.user = mem_strdup(tx->user), .time_us = time_us};
    memcpy(version->tx_id, tx->id, TX_ID_SIZE);
}

static const struct tx_output *output_of(const struct tx *tx, const struct resource_key *key)
{
    for (size_t i = tx->output_count; i-- > 0;)
        if (!key_compare(&tx->outputs[i].key, key))
            return &tx->outputs[i];
    return NULL;
}

static bool previous_of(const struct tx *tx, const struct resource_key *key, uint8_t tx_id[TX_ID_SIZE])
{
    for (size_t i = 0; i < tx->input_count; i++)
        if (tx->inputs[i].kind == TX_INPUT_DIRECT && !key_compare(&tx->inputs[i].key, key)) {
            memcpy(tx_id, tx->inputs[i].tx_id, TX_ID_SIZE);
            return true;
        }
    return false;
}

/* Takes one version in; *more says whether there is one before it, then named by tx_id. */
static int take_version(struct blame *blame, uint8_t tx_id[TX_ID_SIZE], bool *more, struct err *err)
{
    uint64_t height;
    uint32_t index;
    struct block *block;
    *more = false;
    int rc = blockstore_height_of_tx(blame->store, tx_id, &height, &index, err);
    if (!rc)
        rc = blockstore_block_at(blame->store, height, &block, err);
    if (rc == ERR_GONE || rc == ERR_NOT_FOUND) { /* pruned, or from before the store or the chain began */
        blame->cut = true;
        return 0;
    }
    if (rc)
        return rc;
    const struct tx *tx = block->txs[index];
    const struct tx_output *output = output_of(tx, &blame->key);
    if (output) {
        add_version(blame, tx, block->header.time_us);
        blame->sealed |= output->encoding == TX_CONTENT_SEALED;
        if (!blame->sealed)
            compare_with(blame, output->content, output->content_len, blame->version_count - 1);
        *more = previous_of(tx, &blame->key, tx_id);
    }
    block_free(block);
    return 0;
}

static void print_version(const struct version *version, bool boundary)
{
    char when[TIMEFMT_MAX];
    timefmt_seconds(when, version->time_us / 1000000);
    printf("%s%s %s %-24s", boundary ? "^" : " ", chain_short_id(version->tx_id), when, version->user);
}

static void print_blame(const struct blame *blame)
{
    if (blame->sealed) {
        puts("The content is sealed (a Secret), so only whole versions can be told, newest first:");
        for (size_t i = 0; i < blame->version_count; i++) {
            print_version(&blame->versions[i], false);
            putchar('\n');
        }
    }
    for (size_t i = 0; !blame->sealed && i < blame->fields.count; i++) {
        const struct field *field = &blame->fields.list[i];
        bool oldest = field->version + 1 == blame->version_count;
        print_version(&blame->versions[field->version], blame->cut && oldest);
        printf(" %s: %s\n", field->path, field->value);
    }
    if (blame->cut)
        puts("(older versions were pruned: what is marked with ^ may be older)");
}

/* The one object that the filter means, at the head. The memory of *key is the snapshot's. */
static int find_object(struct state_snapshot *snapshot, const struct chain_filter *filter,
                       struct state_object *out, struct err *err)
{
    const struct state_store_ops *ops = blockstore_ops();
    struct resource_key key = {filter->group, filter->resource, filter->namespace, filter->name};
    if (!filter->any_group)
        return ops->get(snapshot, &key, out, err);
    struct state_iter *iter = ops->iter_begin(snapshot, "", 0, NULL, 0);
    bool found = false;
    while (!found && ops->iter_next(iter, out))
        found = chain_filter_matches(filter, &out->key);
    ops->iter_end(iter);
    return found ? 0 : ERR_NOT_FOUND;
}

static int blame_object(struct blame *blame, const struct state_object *object, struct err *err)
{
    blame->key = object->key;
    blame->sealed = object->encoding == TX_CONTENT_SEALED;
    if (!blame->sealed) {
        json_auto_t *content = json_parse(object->content, object->content_len, err);
        if (!content)
            return err_wrap(err, "the object's content");
        flatten(&blame->fields, "", content);
    }
    uint8_t tx_id[TX_ID_SIZE];
    memcpy(tx_id, object->tx_id, TX_ID_SIZE);
    int rc = 0;
    for (bool more = true; !rc && more;)
        rc = take_version(blame, tx_id, &more, err);
    return rc;
}

int chain_blame(struct blockstore *store, const struct chain_arguments *a)
{
    struct chain_arguments arguments = *a;
    struct chain_filter filter;
    struct blame blame = {.store = store};
    struct state_object object;
    struct err err = {0};
    if (!arguments.namespace)
        arguments.namespace = "default";
    if (!chain_filter_parse(&filter, &arguments, 0, true))
        return 2;
    struct state_snapshot *snapshot = blockstore_ops()->snapshot_begin(store);
    int rc = find_object(snapshot, &filter, &object, &err);
    if (rc == ERR_NOT_FOUND)
        err_set(&err, rc, "there is no %s \"%s\"%s%s (katena chain log finds what was deleted)",
                filter.resource, filter.name, *filter.namespace ? " in namespace " : "", filter.namespace);
    if (!rc)
        rc = blame_object(&blame, &object, &err);
    if (!rc && !blame.version_count)
        puts("The version that made this object was pruned; only its state is kept.");
    else if (!rc)
        print_blame(&blame);
    blockstore_ops()->snapshot_end(snapshot);
    fields_free(&blame.fields);
    for (size_t i = 0; i < blame.version_count; i++)
        free(blame.versions[i].user);
    free(blame.versions);
    return rc < 0 ? chain_fail(&err) : 0;
}
