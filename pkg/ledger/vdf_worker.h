/*
 * The thread that evaluates delay functions (vdf/vdf.h) for the seeds of epochs. It is there once one was
 * asked for, has the lowest priority, and works in short slices with long pauses: nobody waits for a seed,
 * and a node has better things to do. Nobody waits for this thread either, nor for a lock that it holds.
 */
#ifndef KATENA_LEDGER_VDF_WORKER_H
#define KATENA_LEDGER_VDF_WORKER_H

#include "vdf/vdf.h"

struct vdf_worker;

/* done is called on a thread of the worker that has no such priority. */
typedef void (*vdf_done_fn)(void *arg, const struct vdf_proof *proof);

struct vdf_worker *vdf_worker_new(vdf_done_fn done, void *arg);

/* Begins an evaluation, in place of one that is not finished. One thread at a time, and not out of done. */
void vdf_worker_start(struct vdf_worker *worker, const uint8_t seed[VDF_SEED_SIZE], uint64_t difficulty);

/* Takes NULL. Waits until done, if it is being called, has returned. */
void vdf_worker_free(struct vdf_worker *worker);

#endif
