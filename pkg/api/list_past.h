/*
 * The objects of one kind as they stood at an older position: what has changed since, undone. A page of a
 * list that continues, or a list at an exact resourceVersion, is the newest snapshot with these laid over it.
 */
#ifndef KATENA_API_LIST_PAST_H
#define KATENA_API_LIST_PAST_H

#include "api/api_internal.h"

struct list_past_entry {
    struct buf key;  /* key bytes */
    bool present;    /* false: it did not exist then */
    struct buf text; /* as it stood, when present */
};

struct list_past {
    struct list_past_entry *entries; /* sorted by key bytes */
    size_t count;
};

/* Fills *out from the changes in (since, until] of a kind. ERR_EXPIRED when they are no longer kept. The
 * caller frees it in any case. */
int list_past_read(struct api_server *server, const struct schema_kind *kind, uint64_t since, uint64_t until,
                   struct list_past *out, struct err *err);
void list_past_free(struct list_past *past);

#endif
