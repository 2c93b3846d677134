/* What the files of orphans.h share. All of it belongs to the one thread of orphans.c. */
#ifndef KATENA_API_ORPHANS_INTERNAL_H
#define KATENA_API_ORPHANS_INTERNAL_H

#include "api/orphans.h"
#include "api/verbs_internal.h"
#include "replay/replay.h"

struct event_recorder;
struct client;

/* What is to become of an output of an orphan (orphans_policy.c). */
enum orphan_policy {
    ORPHAN_DROP,  /* not even tried: it says how things looked from the wrong side */
    ORPHAN_AS_IS, /* tried, and let go when it does not hold: who made it will look again */
    ORPHAN_BIND,  /* a pod's binding: done again when the pod still has no node */
    ORPHAN_QUIET, /* merged; what is lost is not told */
    ORPHAN_MERGE, /* merged; what is lost is told */
};

/* One output of an orphan, opened. */
struct orphan_part {
    const struct tx *tx;
    const struct tx_output *output;
    const struct schema_kind *kind; /* NULL: none that the API serves */
    enum orphan_policy policy;
    enum replay_verb verb;
    json_t *base;   /* NULL for a create, and where it is lost */
    json_t *orphan; /* NULL for a removal */
};

/* An object that was made twice under one name: later changes of the one that lost go to the other. */
struct orphan_alias {
    char *from, *to; /* UIDs */
};

struct orphan_conflicts; /* orphans_conflict.c */

struct orphan_aliases {
    struct orphan_alias *items;
    size_t count;
};

/* ---- orphans_part.c ---- */

/* The content of a transaction's output, a new reference; NULL when it has none, or its body is pruned. */
json_t *orphan_content(struct api_server *server, const struct tx_output *output);
void orphan_part_open(struct api_server *server, struct orphan_part *part, const struct tx *tx, size_t index);
void orphan_part_close(struct orphan_part *part);

/* ---- orphans_policy.c ---- */

/* The rest of part is filled. */
enum orphan_policy orphan_policy_of(const struct orphan_part *part);

/* ---- orphans_past.c ---- */

/* In what form an orphan is in the chain. */
struct orphan_past {
    bool as_is;          /* as it is, or as what it is a rebased form of: nothing of it was lost */
    const struct tx *tx; /* the rebased form; NULL when its body is pruned */
    struct block *block; /* what tx belongs to */
};

/* ERR_NOT_FOUND: in none. */
int orphan_past_find(struct api_server *server, const struct tx *tx, struct orphan_past *out,
                     struct err *err);
void orphan_past_close(struct orphan_past *past);
/* What the rebased form made of an object; NULL: nothing. */
const struct tx_output *orphan_past_output(const struct orphan_past *past, const struct resource_key *key);
/* Notes which objects were changed in place of others of the same name. */
void orphan_past_learn(const struct orphan_past *past, const struct tx *tx, struct orphan_aliases *aliases);

/* ---- orphans_alias.c ---- */

const char *orphan_alias_of(const struct orphan_aliases *aliases, const char *uid); /* NULL: none */
void orphan_alias_add(struct orphan_aliases *aliases, const struct resource_key *key, const char *from,
                      const char *to);
void orphan_aliases_clear(struct orphan_aliases *aliases);

/* ---- orphans_replay.c ---- */

/* Replays an orphan that does not hold as it is. 0 when it is done: replayed, lost and told, or let go.
 * ERR_UNAVAILABLE: it has to be tried again later. ERR_INCLUDED: a rebased form is in the chain already. */
int orphan_replay(struct api_server *server, struct orphan_aliases *aliases,
                  struct orphan_conflicts *conflicts, const struct tx *tx, struct err *err);

/* Tells what was lost with one whose rebased form is in the chain: the same as orphan_replay told when it put
 * it there, or would have if the node had not crashed. Where the body of that is pruned, what the orphan made
 * is compared with what stands there now. */
void orphan_tell_past(struct api_server *server, struct orphan_aliases *aliases,
                      struct orphan_conflicts *conflicts, const struct tx *tx,
                      const struct orphan_past *past);

/* ---- orphans_service.c ---- */

/* Whether an address or node port of a Service belongs to another one now. */
bool orphan_service_taken(struct api_server *server, const json_t *service);
/* Gives call->live's new version other ones instead, and tells that as losses. */
int orphan_service_readdress(struct api_call *call, json_t *service, struct replay_decision *decision);
/* Adds the addresses in which two versions of a Service differ to what is lost. */
void orphan_service_differences(const json_t *before, const json_t *after, struct replay_decision *decision);

/* ---- orphans_conflict.c ---- */

struct orphan_conflicts *orphan_conflicts_new(struct api_server *server);
void orphan_conflicts_free(struct orphan_conflicts *conflicts); /* writes what is untold; takes NULL */

/* A Conflict and an Event to come. current is the object as it stands (NULL: gone); reason why nothing was
 * kept, or NULL; note, or NULL, what else is to be known. */
void orphan_conflict_tell(struct orphan_conflicts *conflicts, const struct orphan_part *part,
                          const struct replay_decision *decision, const json_t *current, const char *reason,
                          const char *note);

/* Whether it is a Conflict that was made on the side that lost; that is told again where it does not hold. */
bool orphan_is_conflict(const struct orphan_part *part);
void orphan_conflict_again(struct orphan_conflicts *conflicts, const json_t *conflict);

/* Writes them, and removes the oldest Conflicts when there are too many. False: that is not possible at the
 * moment, and all of them stay untold. */
bool orphan_conflicts_write(struct orphan_conflicts *conflicts);
size_t orphan_conflicts_untold(const struct orphan_conflicts *conflicts);

#endif
