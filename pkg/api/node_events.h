/*
 * What the ledger tells about the other nodes and about orphans, passed on to everyone in the API who asked.
 * The API server subscribes to the ledger once. Listeners are called on the thread that has the core, so they
 * must only wake somebody.
 */
#ifndef KATENA_API_NODE_EVENTS_H
#define KATENA_API_NODE_EVENTS_H

#include "api/api_internal.h"
#include "ledger/ledger.h"

struct api_events;

struct api_events *api_events_start(struct ledger *ledger);
void api_events_stop(struct api_events *events);

/* Any thread but a listener's call. The same fn and arg are given to remove, which returns when no call of it
 * is under way. */
void api_events_add(struct api_server *server, ledger_event_fn fn, void *arg);
void api_events_remove(struct api_server *server, ledger_event_fn fn, void *arg);

#endif
