/* Selectors: what matches, and the words of every refusal. */
#include "unit.h"

#include "object/registry.h"
#include "object/selector.h"

static json_t *parsed(const char *text)
{
    json_t *value = json_loads(text, 0, NULL);
    assert_non_null(value);
    return value;
}

static bool labels_match(const char *text, const char *labels)
{
    struct selector *selector = NULL;
    struct err err = {0};
    if (selector_parse_labels(&selector, text, &err))
        fail_msg("%s: %s", text, err.message);
    json_t *set = labels ? parsed(labels) : NULL;
    bool matches = selector_matches_labels(selector, set);
    json_decref(set);
    selector_free(selector);
    return matches;
}

static void test_selector_labels_match(void **state)
{
    (void)state;
    static const char set[] = "{\"a\":\"b\",\"c\":\"d\",\"n\":\"3\",\"empty\":\"\"}";
    static const char *const yes[] = {
        "",
        "a=b",
        "a==b",
        "a=b,c=d",
        "a != x",
        "zz!=x",
        "a in (b)",
        "a in (x, b)",
        "a notin (x,y)",
        "zz notin (x)",
        "a",
        "!zz",
        "a,!zz",
        "n>2",
        "n<4",
        "n > 2 , n < 4",
        "empty=",
        "empty in ()",
        "empty in (,x)",
        "empty in (x,,y)",
        "x!=in",
        "empty",
        "  a  =  b  ",
    };
    static const char *const no[] = {
        "a=c",  "zz=b", "a!=b",    "a in (c,d)", "a notin (b)",     "!a", "zz", "n>3", "n<3", "a>2",
        "zz>2", "a=",   "empty!=", "a=b,c=x",    "a notin (x,b,y)",
    };
    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
        if (!labels_match(yes[i], set))
            fail_msg("should match: %s", yes[i]);
    for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
        if (labels_match(no[i], set))
            fail_msg("should not match: %s", no[i]);
    assert_true(labels_match("", NULL));
    assert_true(labels_match("!a", NULL));
    assert_false(labels_match("a", NULL));
    assert_true(labels_match("x in (in,notin)", "{\"x\":\"notin\"}"));
}

static void test_selector_labels_errors(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"a=b=c", "found '=', expected: ',' or 'end of string'"},
        {"a=b,", "found '', expected: identifier after ','"},
        {",a", "found ',', expected: !, identifier, or 'end of string'"},
        {"a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"},
        {"!", "unable to parse requirement: found '', expected: identifier"},
        {"!a=b", "found '=', expected: ',' or 'end of string'"},
        {"a in b", "unable to parse requirement: found 'b' expected: '('"},
        {"a in (b", "unable to parse requirement: found '', expected: ',' or ')'"},
        {"a in (=", "unable to parse requirement: found '=', expected: ',', ')' or identifier"},
        {"a in (b,", "unable to parse requirement: found '', expected: ',', or identifier"},
        {"a==(", "unable to parse requirement: found '(', expected: identifier"},
        {"a>x", "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the "
                "value must be an integer"},
        {"a=-b",
         "unable to parse requirement: values[0][a]: Invalid value: \"-b\": a valid label must be an empty "
         "string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
         "alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
         "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"},
        {"-a=b",
         "unable to parse requirement: <nil>: Invalid value: \"-a\": name part must consist of alphanumeric "
         "characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName', "
         " "
         "or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?"
         "[A-Za-z0-9]')"},
        {"/a=b", "unable to parse requirement: <nil>: Invalid value: \"/a\": prefix part must be non-empty"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct selector *selector = NULL;
        struct err err = {0};
        assert_int_equal(selector_parse_labels(&selector, cases[i][0], &err), ERR_BAD_REQUEST);
        assert_string_equal(err.message, cases[i][1]);
        assert_int_equal(selector_parse_labels(&selector, cases[i][0], NULL), ERR_BAD_REQUEST);
    }
}

static bool object_matches(const char *selector_text, const char *labels)
{
    json_t *object = selector_text ? parsed(selector_text) : NULL;
    json_t *set = parsed(labels);
    struct selector *selector = NULL;
    struct err err = {0};
    assert_int_equal(selector_from_object(&selector, object, &err), 0);
    bool matches = selector_matches_labels(selector, set);
    selector_free(selector);
    json_decref(object);
    json_decref(set);
    return matches;
}

static void test_selector_from_object(void **state)
{
    (void)state;
    assert_false(object_matches(NULL, "{}"));
    assert_true(object_matches("{}", "{}"));
    assert_true(object_matches("{\"matchLabels\":{\"a\":\"b\"}}", "{\"a\":\"b\",\"c\":\"d\"}"));
    assert_false(object_matches("{\"matchLabels\":{\"a\":\"b\"}}", "{\"a\":\"x\"}"));
    static const char expressions[] =
        "{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"In\",\"values\":[\"b\",\"c\"]},"
        "{\"key\":\"z\",\"operator\":\"DoesNotExist\"}]}";
    assert_true(object_matches(expressions, "{\"a\":\"c\"}"));
    assert_false(object_matches(expressions, "{\"a\":\"c\",\"z\":\"\"}"));

    struct selector *selector = NULL;
    struct err err = {0};
    json_t *bad = parsed("{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"Like\"}]}");
    assert_int_equal(selector_from_object(&selector, bad, &err), ERR_INVALID);
    assert_string_equal(err.message, "\"Like\" is not a valid label selector operator");
    json_decref(bad);
    bad = parsed("{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"In\"}]}");
    assert_int_equal(selector_from_object(&selector, bad, &err), ERR_INVALID);
    json_decref(bad);
    bad = parsed("{\"matchLabels\":{\"a/b/c\":\"x\"}}");
    assert_int_equal(selector_from_object(&selector, bad, &err), ERR_INVALID);
    json_decref(bad);
}

static bool fields_match(const char *text, const char *object_text)
{
    const struct schema_kind *pod_kind = registry_by_kind("", "v1", "Pod");
    struct selector *selector = NULL;
    struct err err = {0};
    if (selector_parse_fields(&selector, text, pod_kind, &err))
        fail_msg("%s: %s", text, err.message);
    json_t *object = parsed(object_text);
    bool matches = selector_matches_fields(selector, object);
    json_decref(object);
    selector_free(selector);
    return matches;
}

static void test_selector_fields(void **state)
{
    (void)state;
    static const char object[] = "{\"metadata\":{\"name\":\"a,b=c\\\\\"},\"spec\":{\"nodeName\":\"n1\"}}";
    assert_true(fields_match("", object));
    assert_true(fields_match("spec.nodeName=n1", object));
    assert_true(fields_match("spec.nodeName==n1,metadata.name!=x", object));
    assert_false(fields_match("spec.nodeName!=n1", object));
    assert_false(fields_match("spec.nodeName=", object));
    assert_true(fields_match("spec.nodeName=", "{}"));
    assert_true(fields_match("spec.nodeName!=x", "{}"));
    assert_true(fields_match("metadata.name=a\\,b\\=c\\\\", object));
    assert_true(fields_match("spec.hostNetwork=false", object));
    assert_true(fields_match("spec.hostNetwork=true", "{\"spec\":{\"hostNetwork\":true}}"));
    assert_false(fields_match("spec.hostNetwork=true", object));
}

static void test_selector_fields_errors(void **state)
{
    (void)state;
    static const struct {
        const char *kind;
        const char *text;
        const char *message;
    } cases[] = {
        {"Pod", "spec.foo=x", "field label not supported: spec.foo"},
        {"ConfigMap", "spec.foo=x",
         "\"spec.foo\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\""},
        {"Pod", "spec.nodeName", "invalid selector: 'spec.nodeName'; can't understand 'spec.nodeName'"},
        {"Pod", "a=b,x", "field label not supported: a"},
        {"Pod", "metadata.name=a\\b", "invalid field selector: invalid escape sequence: \\b"},
        {"Pod", "metadata.name=a\\", "invalid field selector: invalid escape sequence: \\"},
        {"Pod", "metadata.name=a=b", "invalid field selector: unescaped character in value: 61"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct selector *selector = NULL;
        struct err err = {0};
        assert_int_equal(
            selector_parse_fields(&selector, cases[i].text, registry_by_kind("", "v1", cases[i].kind), &err),
            ERR_BAD_REQUEST);
        assert_string_equal(err.message, cases[i].message);
    }
}

static void test_selector_requires(void **state)
{
    (void)state;
    struct selector *selector = NULL;
    assert_int_equal(selector_parse_fields(&selector, "spec.nodeName=n1,metadata.name!=x",
                                           registry_by_kind("", "v1", "Pod"), NULL),
                     0);
    assert_string_equal(selector_requires(selector, "spec.nodeName"), "n1");
    assert_null(selector_requires(selector, "metadata.name"));
    assert_false(selector_empty(selector));
    selector_free(selector);
    assert_int_equal(selector_parse_labels(&selector, "", NULL), 0);
    assert_true(selector_empty(selector));
    selector_free(selector);
    selector_free(NULL);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_selector_labels_match),  cmocka_unit_test(test_selector_labels_errors),
    cmocka_unit_test(test_selector_from_object),   cmocka_unit_test(test_selector_fields),
    cmocka_unit_test(test_selector_fields_errors), cmocka_unit_test(test_selector_requires),
};

UNIT_MAIN(tests)
