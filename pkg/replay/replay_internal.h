/*
 * What the files of replay share: one walk over three versions of an object.
 *
 *   base      what the orphan was built on
 *   orphan    what it made
 *   current   what stands there now, and stays wherever there is doubt
 */
#ifndef KATENA_REPLAY_INTERNAL_H
#define KATENA_REPLAY_INTERNAL_H

#include "base/buf.h"
#include "object/field_place.h"
#include "replay/replay.h"

/* How a field is treated beside its shape (replay_rules.c). */
enum replay_rule {
    REPLAY_FREE,   /* merged; a conflict is told */
    REPLAY_QUIET,  /* merged; the current value wins a conflict without a word */
    REPLAY_WHOLE,  /* quiet, and one value whatever its shape */
    REPLAY_KEPT,   /* always the current value: no part of what the client said */
    REPLAY_FROZEN, /* always the current value; another one is told */
};

struct replay_walk {
    struct replay_decision *out;
    const struct schema_kind *kind; /* NULL: unknown */
    bool created;                   /* base is absent because two objects were made under one name */
    unsigned rejecting;             /* inside of what keeps the current value, and tells */
    unsigned quiet;                 /* inside of what does not tell */
    struct buf path;                /* .spec.containers[name="web"].image */
    struct buf pattern;             /* spec.containers[].image */
};

/* A position in the schema. plain: the schema knows nothing here, so objects are taken apart and lists are
 * not. */
struct replay_place {
    struct field_place at;
    bool plain;
    bool retain_keys; /* members exclude one another, as volume sources do */
};

/* Three versions of one value; NULL: absent. */
struct replay_three {
    const json_t *base, *orphan, *current;
};

/* The pattern of the walk is that of the field asked about. */
enum replay_rule replay_rule_of(const struct replay_walk *walk);

/* Takes from an orphan that was made beside another object of its name what the server gave each of them. */
void replay_strip_given(const struct schema_kind *kind, json_t *orphan);

/* The merged value, a new reference; NULL: absent. */
json_t *replay_merge(struct replay_walk *walk, struct replay_place place, struct replay_three v);

/* The same for lists whose items have an identity; false when these have none, or one twice. */
bool replay_merge_list(struct replay_walk *walk, struct replay_place place, struct replay_three v,
                       json_t **out);

/* Puts managedFields into merged: those of current, and for what the orphan brought its managers. */
void replay_owners(const struct schema_kind *kind, struct replay_three v, json_t *merged);

static inline bool replay_same(const json_t *a, const json_t *b)
{
    return a == b || (a && b && json_equal(a, b));
}

#endif
