/*
 * The query parameters of a request for a resource (meta/v1 ListOptions, GetOptions, CreateOptions,
 * UpdateOptions, PatchOptions, DeleteOptions), checked as Kubernetes checks them. Pure.
 */
#ifndef KATENA_API_QUERY_H
#define KATENA_API_QUERY_H

#include "api/request.h"

#define QUERY_COMMIT_TIMEOUT_US 30000000LL
#define QUERY_COMMIT_TIMEOUT_MAX_US 3600000000LL

struct query {
    const char *label_selector;
    const char *field_selector;
    const char *resource_version;
    const char *resource_version_match;
    const char *continue_token;
    const char *field_manager;
    const char *propagation_policy;
    const char *include_object; /* of a Table: "Metadata" unless given */
    int64_t limit;
    int64_t timeout_s;
    int64_t grace_period_s; /* -1: not given */
    bool watch;
    bool allow_bookmarks;
    bool send_initial_events;
    bool send_initial_events_set;
    bool dry_run;
    bool force;
    bool orphan_dependents;
    bool orphan_dependents_set;
    bool pretty;
    bool commit_final;         /* commit=irreversible: answer when the change is final, … */
    int64_t commit_timeout_us; /* … or at the end of this time */
    enum api_field_validation field_validation;
};

void query_init(struct query *query);

/* Takes one parameter; value is borrowed, "" for none. Unknown names are ignored. Returns ERR_BAD_REQUEST or,
 * for a value that a field may not have, ERR_INVALID with Kubernetes' text. */
int query_put(struct query *query, const char *name, const char *value, struct err *err);

/* Fills the parameters of request. */
void query_apply(const struct query *query, struct api_request *request);

/* A commit level as a parameter or header gives it: "irreversible", "included" or "". */
int query_put_commit(struct query *query, const char *value, struct err *err);

#endif
