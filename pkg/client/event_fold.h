/*
 * Which event becomes what: a new object, a higher count of an earlier one, or nothing. Pure: time is an
 * argument. Bounded memory; the longest unused subject is forgotten first.
 */
#ifndef KATENA_CLIENT_EVENT_FOLD_H
#define KATENA_CLIENT_EVENT_FOLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EVENT_FOLD_MAX 256           /* subjects of each kind that are remembered */
#define EVENT_SIMILAR_MAX 10         /* distinct messages before they are combined, … */
#define EVENT_SIMILAR_US 600000000LL /* … within this time */
#define EVENT_BURST 25               /* events about one object at once, … */
#define EVENT_REFILL_US 300000000LL  /* … then one each this long */
#define EVENT_NAME_MAX 320

enum event_fold_verdict { EVENT_DROP, EVENT_CREATE, EVENT_COUNT };

struct event_fold;

struct event_fold_in {
    const char *object; /* identity of object and source: the spam limit counts these */
    const char *kind;   /* with type and reason, without the message: similar ones */
    const char *message;
    const char *name; /* the name that a new event would get */
    int64_t now_us;
};

struct event_fold_out {
    enum event_fold_verdict verdict;
    bool combined; /* the message gets "(combined from similar events): " in front */
    int64_t count;
    int64_t first_us;          /* firstTimestamp */
    char name[EVENT_NAME_MAX]; /* of the event to create or to count up */
};

struct event_fold *event_fold_new(void);
void event_fold_free(struct event_fold *fold);
void event_fold_step(struct event_fold *fold, const struct event_fold_in *in, struct event_fold_out *out);
/* The counted event is gone from the API: the next equal one is created anew. */
void event_fold_forget(struct event_fold *fold, const char *name);

#endif
