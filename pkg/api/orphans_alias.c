/* Objects that were made twice under one name, and which of the two stays. */
#include "api/orphans_internal.h"

#include "base/mem.h"

const char *orphan_alias_of(const struct orphan_aliases *aliases, const char *uid)
{
    for (size_t i = aliases->count; i-- > 0;)
        if (!strcmp(aliases->items[i].from, uid))
            return aliases->items[i].to;
    return NULL;
}

/* A pod is its containers, so two pods never become one. */
void orphan_alias_add(struct orphan_aliases *aliases, const struct resource_key *key, const char *from,
                      const char *to)
{
    bool pod = !*key->group && !strcmp(key->resource, "pods");
    if (!*from || !*to || !strcmp(from, to) || pod || orphan_alias_of(aliases, from))
        return;
    aliases->items = mem_reallocarray(aliases->items, aliases->count + 1, sizeof(*aliases->items));
    aliases->items[aliases->count++] = (struct orphan_alias){mem_strdup(from), mem_strdup(to)};
}

void orphan_aliases_clear(struct orphan_aliases *aliases)
{
    for (size_t i = 0; i < aliases->count; i++) {
        free(aliases->items[i].from);
        free(aliases->items[i].to);
    }
    free(aliases->items);
    *aliases = (struct orphan_aliases){0};
}
