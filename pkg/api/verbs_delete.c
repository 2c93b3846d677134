/*
 * Delete: at once, gracefully, or when the last finalizer is gone (Kubernetes API concepts: "Resource
 * deletion"; garbage collection: "Cascading deletion").
 */
#include "api/verbs_internal.h"

#include "api/verbs_rv.h"
#include "base/mem.h"
#include "base/timefmt.h"

#include <stdio.h>

#define FINALIZER_FOREGROUND "foregroundDeletion"
#define FINALIZER_ORPHAN "orphan"
#define POD_GRACE_DEFAULT 30

static int read_policy(struct api_call *call, struct delete_options *out)
{
    const char *policy = json_str(out->body, "propagationPolicy");
    json_t *orphan = json_object_get(out->body, "orphanDependents");
    if (!policy)
        policy = call->request->propagation_policy;
    bool orphan_set = json_is_boolean(orphan) || call->request->orphan_dependents_set;
    bool orphan_value = json_is_boolean(orphan) ? json_is_true(orphan) : call->request->orphan_dependents;
    out->policy = policy ? policy : "";
    if (orphan_set && *out->policy)
        return err_set(&call->err, ERR_INVALID,
                       "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Invalid value: \"%s\": "
                       "orphanDependents and deletionPropagation cannot be both set",
                       out->policy);
    if (orphan_set)
        out->policy = orphan_value ? "Orphan" : "Background";
    if (*out->policy && strcmp(out->policy, "Background") != 0 && strcmp(out->policy, "Foreground") != 0 &&
        strcmp(out->policy, "Orphan") != 0)
        return err_set(
            &call->err, ERR_INVALID,
            "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported value: \"%s\": "
            "supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\"",
            out->policy);
    return 0;
}

int delete_options_read(struct api_call *call, struct delete_options *out)
{
    *out = (struct delete_options){.grace_s = call->request->grace_period_s};
    if (call->request->body_len > 0 || call->request->body_value) {
        int rc = call_decode_message(call, "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions",
                                     "meta.k8s.io", "", "DeleteOptions", &out->body);
        if (rc)
            return rc;
        out->grace_s = json_int_or(out->grace_s, out->body, "gracePeriodSeconds");
        out->uid = json_str(out->body, "preconditions", "uid");
        out->resource_version = json_str(out->body, "preconditions", "resourceVersion");
        if (json_array_size(json_object_get(out->body, "dryRun")) > 0)
            call->dry_run = true;
    }
    return read_policy(call, out);
}

static int check_preconditions(struct api_call *call, const struct delete_options *options)
{
    char why[512];
    const char *name = json_str_or_empty(call->live, "metadata", "name");
    const char *uid = json_str_or_empty(call->live, "metadata", "uid");
    if (options->uid && strcmp(options->uid, uid) != 0) {
        snprintf(
            why, sizeof(why),
            "the UID in the precondition (%.64s) does not match the UID in record (%.64s). The object might "
            "have been deleted and then recreated",
            options->uid, uid);
        return call_conflict(call, name, why);
    }
    uint64_t rv = 0;
    if (options->resource_version &&
        (!rv_parse(options->resource_version, &rv) || rv != call->live_state.rv)) {
        snprintf(
            why, sizeof(why),
            "the ResourceVersion in the precondition (%.32s) does not match the ResourceVersion in record "
            "(%llu). The object might have been modified",
            options->resource_version, (unsigned long long)call->live_state.rv);
        return call_conflict(call, name, why);
    }
    return 0;
}

/* The grace period of a pod; 0 for one that no kubelet has to end. -1: the kind knows none. */
static int64_t grace_of(const struct schema_kind *kind, const json_t *live,
                        const struct delete_options *options)
{
    if (!kind_is(kind, "", "pods"))
        return -1;
    const char *phase = json_str_or_empty(live, "status", "phase");
    if (!*json_str_or_empty(live, "spec", "nodeName") || !strcmp(phase, "Failed") ||
        !strcmp(phase, "Succeeded"))
        return 0;
    int64_t grace = options->grace_s;
    if (grace < 0)
        grace = json_int_or(POD_GRACE_DEFAULT, live, "spec", "terminationGracePeriodSeconds");
    return grace < 0 ? 1 : grace;
}

static void mark(struct api_call *call, json_t *object, int64_t deletion_s, int64_t grace_s)
{
    json_t *metadata = json_object_get(object, "metadata");
    char when[TIMEFMT_MAX];
    timefmt_seconds(when, deletion_s);
    bool first = !json_object_get(metadata, "deletionTimestamp");
    json_set_str(metadata, "deletionTimestamp", when);
    json_set_int(metadata, "deletionGracePeriodSeconds", grace_s);
    int64_t generation = json_int_or(0, metadata, "generation");
    if (first && generation > 0)
        json_set_int(metadata, "generation", generation + 1);
    if (kind_is(call->kind, "", "namespaces"))
        json_set_str(json_object_ensure(object, "status"), "phase", "Terminating");
}

/* The garbage collector's finalizers follow the policy; without one, those that are there stay. */
static void set_policy_finalizers(json_t *object, const char *policy)
{
    if (!*policy)
        return;
    meta_remove_finalizer(object, FINALIZER_FOREGROUND);
    meta_remove_finalizer(object, FINALIZER_ORPHAN);
    if (!strcmp(policy, "Foreground"))
        meta_add_finalizer(object, FINALIZER_FOREGROUND);
    else if (!strcmp(policy, "Orphan"))
        meta_add_finalizer(object, FINALIZER_ORPHAN);
}

/* A deletion is pending already: the period may only get shorter. */
static enum delete_outcome shorten(struct api_call *call, const struct delete_options *options,
                                   json_t *object)
{
    int64_t old = json_int_or(0, object, "metadata", "deletionGracePeriodSeconds");
    if (options->grace_s < 0 || options->grace_s >= old)
        return DELETE_NOTHING;
    int64_t when_us = call->now_us;
    timefmt_parse(json_str_or_empty(object, "metadata", "deletionTimestamp"), &when_us);
    mark(call, object, when_us / 1000000 - old + options->grace_s, options->grace_s);
    return DELETE_MARK;
}

static bool held(const struct schema_kind *kind, const json_t *object)
{
    return json_array_size(json_at(object, "metadata", "finalizers")) > 0 ||
           (kind_is(kind, "", "namespaces") && json_array_size(json_at(object, "spec", "finalizers")) > 0);
}

static enum delete_outcome decide(struct api_call *call, const struct delete_options *options, json_t *object)
{
    bool pending = json_at(object, "metadata", "deletionTimestamp") != NULL;
    set_policy_finalizers(object, options->policy);
    int64_t now_s = call->now_us / 1000000;
    if (pending) {
        enum delete_outcome outcome = shorten(call, options, object);
        if (held(call->kind, object))
            return outcome == DELETE_MARK || !meta_same(object, call->live) ? DELETE_MARK : DELETE_NOTHING;
        bool graceless = json_int_or(0, object, "metadata", "deletionGracePeriodSeconds") == 0;
        return graceless ? DELETE_NOW : outcome;
    }
    int64_t grace = grace_of(call->kind, object, options);
    if (grace <= 0 && !held(call->kind, object))
        return DELETE_NOW;
    mark(call, object, now_s + (grace > 0 ? grace : 0), grace > 0 ? grace : 0);
    return DELETE_MARK;
}

int delete_decide(struct api_call *call, const struct delete_options *options, enum delete_outcome *outcome,
                  json_t **object)
{
    int rc = check_preconditions(call, options);
    if (!rc)
        rc = admission_delete(call);
    if (rc)
        return rc;
    *object = json_deep_copy(call->live);
    *outcome = decide(call, options, *object);
    return 0;
}

/* Kinds whose deletion answers with the object, as upstream's registries do; the others with a Status. */
static bool returns_object(const struct schema_kind *kind)
{
    return kind_is(kind, "", "pods") || kind_is(kind, "", "services") || kind_is(kind, "", "serviceaccounts");
}

static json_t *deleted_status(const struct api_call *call)
{
    json_t *details = json_object();
    json_set_str(details, "name", json_str_or_empty(call->live, "metadata", "name"));
    if (*call->kind->group)
        json_set_str(details, "group", call->kind->group);
    json_set_str(details, "kind", call->kind->plural);
    json_set_str(details, "uid", json_str_or_empty(call->live, "metadata", "uid"));
    return json_pack("{s:s, s:s, s:{}, s:s, s:o}", "kind", "Status", "apiVersion", "v1", "metadata", "status",
                     "Success", "details", details);
}

int delete_live(struct api_call *call, const struct delete_options *options, const char *verb,
                const char *subresource, json_t *reply)
{
    enum delete_outcome outcome;
    json_auto_t *object = NULL;
    int rc = delete_decide(call, options, &outcome, &object);
    if (rc) {
        json_decref(reply);
        return rc;
    }
    if (outcome == DELETE_NOTHING) {
        call_reply_object(call, 200, reply ? reply : json_incref(call->live));
        return 0;
    }
    struct call_write write = {.verb = verb,
                               .subresource = subresource,
                               .strict = options->resource_version != NULL,
                               .status = reply ? 201 : 200,
                               .reply = reply};
    if (outcome == DELETE_MARK) {
        write.object = object;
    } else {
        write.remove = true;
        if (!reply)
            write.reply = returns_object(call->kind) ? json_deep_copy(object) : deleted_status(call);
    }
    return call_commit(call, &write);
}

int verbs_delete(struct api_call *call)
{
    struct delete_options options;
    int rc = delete_options_read(call, &options);
    json_auto_t *body = options.body;
    (void)body;
    if (!rc)
        rc = call_live(call);
    return rc ? rc : delete_live(call, &options, "delete", "", NULL);
}
