/* See key.h. */
#include "chain/key.h"

#include <assert.h>

static void part_put(struct buf *out, const char *part)
{
    buf_append(out, part, strlen(part) + 1);
}

void key_encode(struct buf *out, const struct resource_key *key)
{
    part_put(out, key->group);
    part_put(out, key->resource);
    if (!key->namespace)
        return;
    part_put(out, key->namespace);
    buf_append(out, key->name, strlen(key->name));
}

bool key_decode(struct resource_key *key, const char *bytes, size_t len)
{
    if (len > KEY_BYTES_MAX)
        return false;
    const char *parts[4];
    const char *end = bytes + len;
    for (int i = 0; i < 3; i++) {
        parts[i] = bytes;
        const char *nul = bytes < end ? memchr(bytes, 0, (size_t)(end - bytes)) : NULL;
        if (!nul)
            return false;
        bytes = nul + 1;
    }
    parts[3] = bytes;
    assert(*end == 0);
    if (strlen(bytes) != (size_t)(end - bytes) || !*parts[1] || !*parts[3])
        return false;
    *key = (struct resource_key){parts[0], parts[1], parts[2], parts[3]};
    return true;
}

int key_compare(const struct resource_key *a, const struct resource_key *b)
{
    /* NUL sorts before every other byte, so comparing part by part is comparing the bytes. */
    int order = strcmp(a->group, b->group);
    if (!order)
        order = strcmp(a->resource, b->resource);
    if (!order)
        order = strcmp(a->namespace, b->namespace);
    return order ? order : strcmp(a->name, b->name);
}

bool key_parent(struct resource_key *parent, const struct resource_key *key)
{
    if (!*key->namespace)
        return false;
    *parent = (struct resource_key){"", "namespaces", "", key->namespace};
    return true;
}
