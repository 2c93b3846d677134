/* See query.h. */
#include "api/query.h"

#include "base/timefmt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void query_init(struct query *query)
{
    *query = (struct query){.include_object = "Metadata",
                            .grace_period_s = -1,
                            .field_validation = API_FIELDS_WARN,
                            .commit_timeout_us = QUERY_COMMIT_TIMEOUT_US};
}

/* As upstream converts a bool parameter: anything but "false" and "0" (any case for the former) is true. */
static bool bool_value(const char *value)
{
    return strcasecmp(value, "false") != 0 && strcmp(value, "0") != 0;
}

static int int_value(int64_t *out, const char *value, struct err *err)
{
    char *end;
    errno = 0;
    long long n = strtoll(value, &end, 10);
    bool digits = *value >= '0' && *value <= '9';
    bool sign = (*value == '-' || *value == '+') && value[1] >= '0' && value[1] <= '9';
    if ((!digits && !sign) || *end)
        return err_set(err, ERR_BAD_REQUEST, "strconv.ParseInt: parsing \"%.200s\": invalid syntax", value);
    if (errno == ERANGE)
        return err_set(err, ERR_BAD_REQUEST, "strconv.ParseInt: parsing \"%.200s\": value out of range",
                       value);
    *out = n;
    return 0;
}

static int put_dry_run(struct query *query, const char *value, struct err *err)
{
    if (strcmp(value, "All") != 0)
        return err_set(err, ERR_INVALID, "dryRun: Unsupported value: \"%.200s\": supported values: \"All\"",
                       value);
    query->dry_run = true;
    return 0;
}

static int put_field_validation(struct query *query, const char *value, struct err *err)
{
    static const struct {
        const char *name;
        enum api_field_validation value;
    } table[] = {{"", API_FIELDS_WARN},
                 {"Warn", API_FIELDS_WARN},
                 {"Ignore", API_FIELDS_IGNORE},
                 {"Strict", API_FIELDS_STRICT}};
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
        if (strcmp(value, table[i].name) == 0) {
            query->field_validation = table[i].value;
            return 0;
        }
    return err_set(
        err, ERR_INVALID,
        "fieldValidation: Unsupported value: \"%.200s\": supported values: \"\", \"Ignore\", \"Strict\", "
        "\"Warn\"",
        value);
}

static int put_include_object(struct query *query, const char *value, struct err *err)
{
    if (strcmp(value, "") == 0 || strcmp(value, "Metadata") == 0)
        query->include_object = "Metadata";
    else if (strcmp(value, "Object") == 0)
        query->include_object = "Object"; /* literals, since a stream outlives the request's text */
    else if (strcmp(value, "None") == 0)
        query->include_object = "None";
    else
        return err_set(err, ERR_BAD_REQUEST,
                       "Invalid value: \"%.200s\": must be 'Metadata', 'Object', 'None', or empty", value);
    return 0;
}

/* Text parameters are kept as they are; the verbs check what they mean. */
static bool put_text(struct query *query, const char *name, const char *value)
{
    const struct {
        const char *name;
        const char **target;
    } table[] = {
        {"labelSelector", &query->label_selector},
        {"fieldSelector", &query->field_selector},
        {"resourceVersion", &query->resource_version},
        {"resourceVersionMatch", &query->resource_version_match},
        {"continue", &query->continue_token},
        {"fieldManager", &query->field_manager},
        {"propagationPolicy", &query->propagation_policy},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
        if (strcmp(name, table[i].name) == 0) {
            *table[i].target = value;
            return true;
        }
    return false;
}

static bool put_bool(struct query *query, const char *name, const char *value)
{
    const struct {
        const char *name;
        bool *target;
        bool *set;
    } table[] = {
        {"watch", &query->watch, NULL},
        {"allowWatchBookmarks", &query->allow_bookmarks, NULL},
        {"sendInitialEvents", &query->send_initial_events, &query->send_initial_events_set},
        {"force", &query->force, NULL},
        {"orphanDependents", &query->orphan_dependents, &query->orphan_dependents_set},
        {"pretty", &query->pretty, NULL},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
        if (strcmp(name, table[i].name) == 0) {
            *table[i].target = bool_value(value);
            if (table[i].set)
                *table[i].set = true;
            return true;
        }
    return false;
}

int query_put_commit(struct query *query, const char *value, struct err *err)
{
    bool final = strcmp(value, "irreversible") == 0;
    if (!final && *value && strcmp(value, "included") != 0)
        return err_set(
            err, ERR_BAD_REQUEST,
            "commit: Unsupported value: \"%.200s\": supported values: \"included\", \"irreversible\"", value);
    query->commit_final = final;
    return 0;
}

static int put_commit_timeout(struct query *query, const char *value, struct err *err)
{
    int64_t us;
    if (!timefmt_duration(value, &us) || us > QUERY_COMMIT_TIMEOUT_MAX_US)
        return err_set(err, ERR_BAD_REQUEST,
                       "commitTimeout: Invalid value: \"%.200s\": must be a duration such as \"30s\", of one "
                       "hour at most",
                       value);
    query->commit_timeout_us = us;
    return 0;
}

int query_put(struct query *query, const char *name, const char *value, struct err *err)
{
    if (put_text(query, name, value) || put_bool(query, name, value))
        return 0;
    if (strcmp(name, "limit") == 0)
        return int_value(&query->limit, value, err);
    if (strcmp(name, "timeoutSeconds") == 0)
        return int_value(&query->timeout_s, value, err);
    if (strcmp(name, "gracePeriodSeconds") == 0) {
        int code = int_value(&query->grace_period_s, value, err);
        if (!code && query->grace_period_s < 0)
            query->grace_period_s = 1; /* upstream takes a negative period for the shortest */
        return code;
    }
    if (strcmp(name, "commit") == 0)
        return query_put_commit(query, value, err);
    if (strcmp(name, "commitTimeout") == 0)
        return put_commit_timeout(query, value, err);
    if (strcmp(name, "dryRun") == 0)
        return put_dry_run(query, value, err);
    if (strcmp(name, "fieldValidation") == 0)
        return put_field_validation(query, value, err);
    if (strcmp(name, "includeObject") == 0)
        return put_include_object(query, value, err);
    return 0;
}

void query_apply(const struct query *query, struct api_request *request)
{
    request->label_selector = query->label_selector;
    request->field_selector = query->field_selector;
    request->resource_version = query->resource_version;
    request->resource_version_match = query->resource_version_match;
    request->continue_token = query->continue_token;
    request->field_manager = query->field_manager;
    request->propagation_policy = query->propagation_policy;
    request->limit = query->limit;
    request->timeout_s = query->timeout_s;
    request->grace_period_s = query->grace_period_s;
    request->allow_bookmarks = query->allow_bookmarks;
    request->send_initial_events = query->send_initial_events;
    request->send_initial_events_set = query->send_initial_events_set;
    request->dry_run = query->dry_run;
    request->force = query->force;
    request->orphan_dependents = query->orphan_dependents;
    request->orphan_dependents_set = query->orphan_dependents_set;
    request->field_validation = query->field_validation;
}
