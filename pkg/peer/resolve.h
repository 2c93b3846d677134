/*
 * Names to addresses without waiting: getaddrinfo may take many seconds, so each look-up has a detached
 * thread, which nobody waits for. An address in digits is answered at once.
 */
#ifndef KATENA_PEER_RESOLVE_H
#define KATENA_PEER_RESOLVE_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

#define RESOLVE_MAX 16
#define RESOLVE_TEXT_MAX 64

struct resolved {
    char texts[RESOLVE_MAX][RESOLVE_TEXT_MAX]; /* in digits, in the order to be tried */
    size_t count;
    char error[128]; /* why there is none */
};

/* Where threads that are done report: wake runs on such a thread, until resolver_close. */
struct resolver;
struct resolver *resolver_open(void (*wake)(void *arg), void *arg);
void resolver_close(struct resolver *resolver);

struct resolution;

/* NULL: too many look-ups are under way. The caller ends it with resolution_end. */
struct resolution *resolution_start(struct resolver *resolver, const char *host);
bool resolution_done(struct resolution *resolution, struct resolved *out);
void resolution_end(struct resolution *resolution); /* takes NULL; also while it is under way */

#endif
