/* Query parameters of requests for resources. */
#include "unit.h"

#include "api/query.h"

static int put(struct query *query, const char *name, const char *value, struct err *err)
{
    err_clear(err);
    return query_put(query, name, value, err);
}

static void test_defaults(void **state)
{
    (void)state;
    struct query query;
    struct api_request request = {0};
    query_init(&query);
    query_apply(&query, &request);
    assert_null(request.label_selector);
    assert_int_equal(request.grace_period_s, -1);
    assert_int_equal(request.field_validation, API_FIELDS_WARN);
    assert_false(request.dry_run);
    assert_string_equal(query.include_object, "Metadata");
}

static void test_values_reach_the_request(void **state)
{
    (void)state;
    struct query query;
    struct err err;
    struct api_request request = {0};
    static const char *const parameters[][2] = {
        {"labelSelector", "a=b"},
        {"fieldSelector", "metadata.name=x"},
        {"resourceVersion", "12"},
        {"resourceVersionMatch", "Exact"},
        {"continue", "token"},
        {"fieldManager", "me"},
        {"propagationPolicy", "Orphan"},
        {"limit", "500"},
        {"timeoutSeconds", "30"},
        {"gracePeriodSeconds", "0"},
        {"allowWatchBookmarks", "true"},
        {"sendInitialEvents", "true"},
        {"dryRun", "All"},
        {"force", "true"},
        {"orphanDependents", "false"},
        {"fieldValidation", "Strict"},
        {"somethingElse", "x"},
        {"commit", "irreversible"},
        {"commitTimeout", "1m"},
    };
    query_init(&query);
    for (size_t i = 0; i < sizeof(parameters) / sizeof(*parameters); i++)
        assert_int_equal(put(&query, parameters[i][0], parameters[i][1], &err), 0);
    query_apply(&query, &request);
    assert_true(query.commit_final);
    assert_int_equal(query.commit_timeout_us, 60000000);
    assert_string_equal(request.label_selector, "a=b");
    assert_string_equal(request.field_selector, "metadata.name=x");
    assert_string_equal(request.resource_version, "12");
    assert_string_equal(request.resource_version_match, "Exact");
    assert_string_equal(request.continue_token, "token");
    assert_string_equal(request.field_manager, "me");
    assert_string_equal(request.propagation_policy, "Orphan");
    assert_int_equal(request.limit, 500);
    assert_int_equal(request.timeout_s, 30);
    assert_int_equal(request.grace_period_s, 0);
    assert_true(request.allow_bookmarks && request.send_initial_events && request.send_initial_events_set);
    assert_true(request.dry_run && request.force);
    assert_true(request.orphan_dependents_set && !request.orphan_dependents);
    assert_int_equal(request.field_validation, API_FIELDS_STRICT);
}

static void test_booleans(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        bool expected;
    } cases[] = {{"true", true},   {"1", true},      {"", true},  {"yes", true},
                 {"false", false}, {"False", false}, {"0", false}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct query query;
        struct err err;
        query_init(&query);
        assert_int_equal(put(&query, "watch", cases[i].value, &err), 0);
        assert_int_equal(query.watch, cases[i].expected);
    }
}

static void test_bad_values(void **state)
{
    (void)state;
    struct query query;
    struct err err;
    query_init(&query);
    assert_int_equal(put(&query, "limit", "ten", &err), ERR_BAD_REQUEST);
    assert_string_equal(err.message, "strconv.ParseInt: parsing \"ten\": invalid syntax");
    assert_int_equal(put(&query, "limit", "", &err), ERR_BAD_REQUEST);
    assert_int_equal(put(&query, "limit", " 1", &err), ERR_BAD_REQUEST);
    assert_int_equal(put(&query, "limit", "1x", &err), ERR_BAD_REQUEST);
    assert_int_equal(put(&query, "limit", "99999999999999999999", &err), ERR_BAD_REQUEST);
    assert_string_equal(err.message,
                        "strconv.ParseInt: parsing \"99999999999999999999\": value out of range");
    assert_int_equal(put(&query, "dryRun", "some", &err), ERR_INVALID);
    assert_string_equal(err.message, "dryRun: Unsupported value: \"some\": supported values: \"All\"");
    assert_int_equal(put(&query, "fieldValidation", "strict", &err), ERR_INVALID);
    assert_int_equal(put(&query, "includeObject", "All", &err), ERR_BAD_REQUEST);
    assert_int_equal(put(&query, "commit", "final", &err), ERR_BAD_REQUEST);
    assert_int_equal(put(&query, "commitTimeout", "soon", &err), ERR_BAD_REQUEST);
    assert_int_equal(put(&query, "commitTimeout", "2h", &err), ERR_BAD_REQUEST);
    assert_int_equal(query.limit, 0);
    assert_false(query.dry_run);
}

static void test_a_negative_grace_period_is_the_shortest(void **state)
{
    (void)state;
    struct query query;
    struct err err;
    query_init(&query);
    assert_int_equal(put(&query, "gracePeriodSeconds", "-5", &err), 0);
    assert_int_equal(query.grace_period_s, 1);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_defaults),
    cmocka_unit_test(test_values_reach_the_request),
    cmocka_unit_test(test_booleans),
    cmocka_unit_test(test_bad_values),
    cmocka_unit_test(test_a_negative_grace_period_is_the_shortest),
};

UNIT_MAIN(tests)
