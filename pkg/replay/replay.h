/*
 * Replay: what becomes of a transaction whose block was abandoned (docs/consensus.md, the design's section 3:
 * Bayou's dependency check and merge procedure, by fields as server-side apply knows them).
 *
 *   replayed as it is     whatever it was built on is still the newest: the caller tried that first
 *   1. same UID, the fields it changed have their base values: applied
 *   2. disjoint fields: merged three ways, lists by their merge keys
 *   3. same value: nothing to do
 *   4. same field, other value: the winner stays, the loser is a conflict
 *   5. a create of what exists becomes an apply; a change of what was deleted is a conflict and never
 * resurrects
 *   6. with an explicit resourceVersion it is strict: a conflict
 *
 * Pure: objects in, a decision out. Secrets come opened. Deterministic: two nodes decide alike.
 */
#ifndef KATENA_REPLAY_REPLAY_H
#define KATENA_REPLAY_REPLAY_H

#include "object/schema.h"

#include <jansson.h>
#include <stdbool.h>

enum replay_verb { REPLAY_CREATE, REPLAY_CHANGE, REPLAY_DELETE };

struct replay_case {
    const struct schema_kind *kind;
    enum replay_verb verb;
    bool strict;           /* the client gave a resourceVersion */
    const json_t *base;    /* what it was built on; NULL for a create, or where that is lost */
    const json_t *orphan;  /* what it made; NULL for a delete, unless that began with a mark */
    const json_t *current; /* what is there now; NULL: nothing */
};

enum replay_outcome {
    REPLAY_NOTHING, /* the current state has it already */
    REPLAY_PUT,     /* merged takes the current object's place */
    REPLAY_REMOVE,  /* the current object is to be deleted */
    REPLAY_LOST,    /* nothing of it could be kept */
};

/* One field in which the orphan lost. */
struct replay_loss {
    char *path;     /* as kubectl writes it: .spec.template.spec.containers[name="web"].image */
    json_t *winner; /* NULL: absent */
    json_t *loser;  /* NULL: it removed the field */
};

struct replay_decision {
    enum replay_outcome outcome;
    json_t *merged;             /* REPLAY_PUT */
    struct replay_loss *losses; /* with REPLAY_PUT and REPLAY_NOTHING too: part of it may have lost */
    size_t loss_count;
    const char *reason; /* of REPLAY_LOST: a constant, e.g. "the object was deleted" */
};

void replay_decide(struct replay_decision *out, const struct replay_case *c);

/* REPLAY_LOST with this reason (a constant, or NULL), and all that is lost with it: for a caller who could
 * not put what replay_decide gave. */
void replay_lose(struct replay_decision *out, const struct replay_case *c, const char *reason);

/* The object that was changed into orphan, from what the intent says of it: the old values of the members
 * that differ, with null for those that were not there. A new reference. */
json_t *replay_base(const json_t *orphan, const json_t *old_values);
void replay_decision_free(struct replay_decision *decision);

#endif
