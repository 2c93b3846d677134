/*
 * Orphans: what becomes of transactions whose blocks were abandoned in a switch of chains (docs/consensus.md,
 * "Replay"). One thread, which sleeps while there are none:
 *
 *   1. Each orphan is submitted again as it is, by every node that has it: it is the same transaction with
 *      the same id, so it comes in once, and a chain of changes by several nodes comes in at once.
 *   2. What does not hold any more is replayed by the node that signed it: three-way merge of its fields
 *      (replay/replay.h), signed anew, naming the original. At most one rebased form comes in.
 *   3. Where that node is away, another one does it after two seconds, chosen by rendezvous, or after four
 *      whoever has it.
 *   4. What is lost becomes a Conflict (api/katena) and an Event on the object.
 *
 * An orphan is done when it, or its rebased form, is in the chain, or when there is nothing to be done; and
 * not before what it lost is in the chain, too. So after a crash in between the next run tells it.
 */
#ifndef KATENA_API_ORPHANS_H
#define KATENA_API_ORPHANS_H

#include "api/api_internal.h"

struct api_orphans;

/* After the verbs and the events have been started; takes care of what an earlier run left, too. */
int orphans_start(struct api_server *server, struct err *err);
void orphans_stop(struct api_server *server); /* before the verbs are stopped; takes a server without any */

#endif
