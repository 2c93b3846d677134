/*
 * Events (core/v1): what a component tells users about an object, as `kubectl describe` shows it.
 *
 * Recording never blocks and never fails: the text goes into a bounded queue, and one thread per recorder
 * writes. It folds and limits as client-go does: an equal event within the cache raises the count of the one
 * that is there; more than ten that differ only in their message within ten minutes are combined; and one
 * object gets at most 25 events at once and then one per five minutes. The thread sleeps while there is
 * nothing to write.
 */
#ifndef KATENA_CLIENT_EVENT_H
#define KATENA_CLIENT_EVENT_H

#include "client/client.h"

#define EVENT_NORMAL "Normal"
#define EVENT_WARNING "Warning"

struct event_recorder;

/* component: "deployment-controller", "kubelet", …; host: the node's name, or NULL. client is borrowed and
 * outlives the recorder. */
struct event_recorder *event_recorder_new(struct client *client, const char *component, const char *host);

/* Writes what is queued, ends the thread, frees. */
void event_recorder_free(struct event_recorder *recorder);

/* Waits until everything that was recorded before the call is written. */
void event_recorder_flush(struct event_recorder *recorder);

/* Records an event about object (any object with metadata; apiVersion and kind are taken from it, and where
 * a list left them out, an object with spec.containers is taken for a Pod). Any thread. */
void event_record(struct event_recorder *recorder, const json_t *object, const char *type, const char *reason,
                  const char *format, ...) __attribute__((format(printf, 5, 6)));

/* As event_record for a part of the object: field_path "spec.containers{web}". */
void event_record_field(struct event_recorder *recorder, const json_t *object, const char *field_path,
                        const char *type, const char *reason, const char *format, ...)
    __attribute__((format(printf, 6, 7)));

/* As event_record for an object whose apiVersion and kind the caller knows. */
void event_record_kind(struct event_recorder *recorder, const char *api_version, const char *kind,
                       const json_t *object, const char *type, const char *reason, const char *format, ...)
    __attribute__((format(printf, 7, 8)));

#endif
