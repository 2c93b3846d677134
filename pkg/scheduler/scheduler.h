/*
 * The scheduler: finds a node for each pod that has none, and binds it.
 *
 * A watch on pods and nodes feeds a compact picture of the cluster (model.h): per node its allocatable and
 * used resources, per pod what it asks for. A pure function (decide.h) takes a pod and the picture and
 * answers with a node, or with why none fits. One thread takes pods by priority and age, decides, and binds;
 * a pod that fits nowhere waits until something changes that could help it.
 *
 * The schedulers of several nodes divide the pods among themselves (client_owns). Each knows of what the
 * others bound as soon as the chain does; when two fill a node at once, the later binding is refused and
 * decided again.
 */
#ifndef KATENA_SCHEDULER_SCHEDULER_H
#define KATENA_SCHEDULER_SCHEDULER_H

#include "base/err.h"
#include "client/client.h"

struct scheduler;

/* client is borrowed and outlives the scheduler. */
int scheduler_start(struct scheduler **out, struct client *client, struct err *err);
void scheduler_stop(struct scheduler *scheduler);

#endif
