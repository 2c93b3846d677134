/*
 * What every component needs to know of Kubernetes objects in JSON form: names, owners, conditions, the
 * state of a pod. Pure; NULL objects are taken as empty. Strings are borrowed from the object.
 */
#ifndef KATENA_CLIENT_KUBE_H
#define KATENA_CLIENT_KUBE_H

#include "client/client.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Room for "namespace/name" and a NUL. */
#define KUBE_KEY_MAX 384

extern const struct client_resource kube_pods, kube_nodes, kube_services, kube_endpoints, kube_namespaces,
    kube_configmaps, kube_secrets, kube_serviceaccounts, kube_events, kube_endpointslices, kube_deployments,
    kube_replicasets, kube_leases;

const char *kube_name(const json_t *object);      /* "" when there is none */
const char *kube_namespace(const json_t *object); /* "" for cluster scope */
const char *kube_uid(const json_t *object);
bool kube_deleting(const json_t *object); /* has a deletionTimestamp */
bool kube_has_finalizer(const json_t *object, const char *name);
/* A label or an annotation; NULL when it is not there. */
const char *kube_label(const json_t *object, const char *name);
const char *kube_annotation(const json_t *object, const char *name);

/* "namespace/name", or "name" for cluster scope. */
void kube_key(char out[KUBE_KEY_MAX], const json_t *object);
/* Splits a key in place: *namespace is "" for cluster scope. */
void kube_key_split(char *key, const char **namespace, const char **name);

/* Microseconds since 1970 of an RFC 3339 text; 0 for none. */
int64_t kube_time(const char *text);
int64_t kube_created(const json_t *object);

/* The owner reference that says controller: true; NULL when there is none. */
const json_t *kube_controller(const json_t *object);
bool kube_controlled_by(const json_t *object, const char *uid);
/* A new reference to owner as controller that blocks its foreground deletion. */
json_t *kube_controller_ref(const char *api_version, const char *kind, const json_t *owner);

/* The condition of a type in status.conditions; NULL when there is none. */
json_t *kube_condition(const json_t *object, const char *type);
/* Its status ("True", "False", "Unknown"); "" when there is none. */
const char *kube_condition_status(const json_t *object, const char *type);

/* A pod: phase Succeeded or Failed; neither ended nor being deleted; condition Ready. */
bool kube_pod_terminal(const json_t *pod);
bool kube_pod_active(const json_t *pod);
bool kube_pod_ready(const json_t *pod);
/* Ready for at least min_ready_us; otherwise, if time alone will do it, *due_us says when (0: never). */
bool kube_pod_available(const json_t *pod, int64_t min_ready_us, int64_t now_us, int64_t *due_us);

/* Whether a toleration covers a taint. */
bool kube_tolerates(const json_t *toleration, const json_t *taint);

/* Equal where absent, null, zero, "", false, [] and {} are the same: what omitempty makes of them. */
bool kube_equal(const json_t *a, const json_t *b);

/* Whether a create was refused because its namespace is going: there is nothing to try again. */
bool kube_namespace_terminating(const struct err *err);

/* As client_list, but only the objects that have the owner (by the index). */
int kube_list_owned(struct client *client, const struct client_resource *resource, const char *namespace,
                    const char *owner_uid, json_t **items, struct err *err);

#endif
