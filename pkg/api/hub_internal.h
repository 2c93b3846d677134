/*
 * The watch hub: from the changes of each block to the events of each watch.
 *
 *     ledger thread ── hub_publish ──► channel (one per kind) ── window of events ──► api_watch_next
 *                                            │                                            ▲
 *                                            └ wakes the watches that found nothing       │
 *                       chain ── ledger_history ── what is older than the window ─────────┘
 *
 * A channel keeps events only while somebody watches its kind. Its window is complete for all positions after
 * complete_since; a watch that stands earlier reads the gap from the chain. So the seam between a list, the
 * history and the live events is a comparison of positions: an event is delivered exactly when it is greater
 * than the watch's position.
 *
 * A position is a branch (ledger_branch) and a resourceVersion on it. When the chain was exchanged for
 * another branch, the changes that lead from the one state to the other stand in the window between the two
 * branches: at (the new branch - 1, their place). So a watch that follows the window comes over without
 * reading the chain, and one that reads the chain begins behind them, at switch_rv or later. Between the
 * switch and the ledger's telling of it nobody reads the chain: it is not yet the one that the window is of.
 *
 * Locks: hub->lock guards channels, windows and the list of watches. A watch's own state belongs to the
 * thread that reads it. event->lock guards the lazily parsed values and is taken last.
 */
#ifndef KATENA_API_HUB_INTERNAL_H
#define KATENA_API_HUB_INTERNAL_H

#include "api/verbs_internal.h"

#define HUB_WINDOW_BYTES (4u << 20)
#define HUB_WINDOW_KEPT (256u << 10) /* not trimmed below this */
#define HUB_TRIM_US (50 * 1000)
#define HUB_PARSED_EVENTS 16 /* the newest of a channel keep their parsed values, nine times the text */
#define HUB_WINDOW_EVENTS 16384
#define HUB_BOOKMARK_US (60 * 1000 * 1000)

struct hub_position {
    uint64_t branch; /* even; odd: among the changes that lead to the next one */
    uint64_t rv;
};

static inline bool hub_before(struct hub_position a, struct hub_position b)
{
    return a.branch < b.branch || (a.branch == b.branch && a.rv < b.rv);
}

/* One change of one object, shared by all watches: counted references, immutable but for the parsed values.
 */
struct hub_event {
    atomic_uint references;
    enum state_change_type type;
    struct hub_position at;       /* its place in the window */
    uint64_t rv;                  /* of the object */
    const char *namespace, *name; /* behind the event */
    struct buf text;              /* the object after the change; of a deletion, as it was last */
    bool has_old;
    struct buf old; /* as it was before, when has_old */
    uint32_t old_rv_offset;
    pthread_mutex_t lock;
    json_t *value, *old_value; /* parsed on demand, kept while fresh or borrowed */
    unsigned borrowers;
    bool stale;
};

/* NULL when the content does not open. with_old: for watches with selectors. */
struct hub_event *hub_event_new(struct api_server *server, const struct state_change *change, bool with_old);
struct hub_event *hub_event_retain(struct hub_event *event);
void hub_event_release(struct hub_event *event);
/* The parsed object, shared and not to be changed; NULL when it is no JSON. It is borrowed until
 * hub_event_return: not counted by jansson, whose counter is read without synchronization. */
const json_t *hub_event_value(struct hub_event *event);
const json_t *hub_event_old_value(struct hub_event *event);
void hub_event_return(struct hub_event *event);
/* From now on values are kept no longer than they are borrowed. */
void hub_event_forget(struct hub_event *event);
size_t hub_event_size(const struct hub_event *event);

struct hub_channel {
    const char *group, *resource;
    struct api_watch *watches; /* doubly linked */
    size_t watch_count;
    size_t selecting;                   /* watches with selectors: they need the old versions */
    struct hub_position complete_since; /* all changes after this position are in the window */
    struct hub_position old_since;      /* and after this one with their old versions */
    struct hub_event **window;          /* ring */
    size_t cap, first, count;
    bool touched; /* by the block that is being published */
};

struct api_hub {
    struct api_server *server;
    pthread_mutex_t lock;
    pthread_cond_t woken; /* a round of wake calls has ended */
    struct hub_channel *channels;
    size_t channel_count;
    uint64_t branch;    /* that the windows are of */
    uint64_t head_rv;   /* on it */
    uint64_t switch_rv; /* of the head when it was told: what is older is not in a window of this branch */
    size_t window_bytes, window_events; /* over all channels */
    int64_t bookmarked_us, trimmed_us;
    struct api_watch **waking; /* of the round under way */
    size_t waking_cap;
    bool stopping;
};

struct api_watch {
    struct api_hub *hub; /* NULL once the hub has stopped */
    struct hub_channel *channel;
    struct api_watch *previous, *next;
    const struct schema_kind *kind;
    char *namespace, *only_name;
    struct selector *labels, *fields;
    bool selects; /* some selector has to look at the objects */

    struct api_list *initial; /* still to be delivered as ADDED */
    bool initial_end;         /* and then a bookmark that says so */
    bool bookmarks;
    struct hub_position position; /* every change up to here is delivered or none of ours */
    bool untold;             /* position is of a branch that the hub had not been told of when it began */
    bool ahead;              /* position is a client's, and beyond the head: still to be looked at */
    bool abandoned;          /* position is of a branch that this node left */
    struct hub_event **past; /* from the chain, in order; references */
    size_t past_count, past_at, past_cap;
    struct hub_position past_reached; /* the position after the last of them */
    struct hub_position announced;    /* the newest position that the client knows */
    struct hub_event *current;
    bool current_shared; /* the event given out is current's text */
    struct buf text;     /* the event given out, otherwise */
    bool borrowed;       /* current's value is given out */
    json_t *value;       /* or a value of our own */
    bool ended;

    /* Guarded by hub->lock. */
    void (*wake)(void *arg);
    void *wake_arg;
    bool armed;  /* the last _next found nothing */
    bool waking; /* its wake is being called */
    bool bookmark_due;
    struct hub_position passed; /* the position that it has reached in the window */
};

/* hub_window.c: the window of a channel; hub->lock is held. */
void hub_window_push(struct api_hub *hub, struct hub_channel *channel, struct hub_event *event);
void hub_window_clear(struct api_hub *hub, struct hub_channel *channel);
/* Drops what all watches have passed, now and then. */
void hub_window_trim(struct api_hub *hub, int64_t now_us);
/* The first event after position; NULL when there is none. Borrowed. */
struct hub_event *hub_window_after(const struct hub_channel *channel, struct hub_position position);

/* The value of the event that the last api_watch_next gave, for in-process readers; valid until the next. */
const json_t *api_watch_value(struct api_watch *watch, const struct api_watch_event *event);
/* The same of its kind, apiVersion and metadata, without managedFields: read out of the text for each watch,
 * which is a fraction of the work. */
const json_t *api_watch_metadata(struct api_watch *watch, const struct api_watch_event *event);

struct hub_channel *hub_channel_find(struct api_hub *hub, const char *group, const char *resource);
/* Returns the branch that the hub knows. */
uint64_t hub_attach(struct api_hub *hub, struct api_watch *watch);
/* After this the watch is not woken any more. */
void hub_watch_detach(struct api_watch *watch);

#endif
