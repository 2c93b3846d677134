/* YAML to JSON and back, as sigs.k8s.io/yaml does it. */
#include "unit.h"

#include "base/mem.h"
#include "codec/json.h"
#include "codec/yaml.h"

static void expect(const char *yaml, const char *json)
{
    struct err err = {0};
    json_auto_t *value = yaml_parse(yaml, strlen(yaml), &err);
    if (!value)
        fail_msg("%s: %s", yaml, err.message);
    buf_auto struct buf out = BUF_INIT;
    json_dump_buf(&out, value);
    assert_string_equal(buf_str(&out), json);
}

static void expect_error(const char *yaml, const char *error)
{
    struct err err = {0};
    json_auto_t *value = yaml_parse(yaml, strlen(yaml), &err);
    assert_null(value);
    assert_int_equal(err.code, ERR_BAD_REQUEST);
    assert_string_equal(err.message, error);
}

static void test_scalars(void **state)
{
    (void)state;
    expect("[a, 1, -2, +3, 1.5, .5, 1e3, 0x1F, 0o17, 017, 0b101, 1_000, 08]",
           "[\"a\",1,-2,3,1.5,0.5,1000.0,31,15,15,5,1000,8.0]");
    expect("[yes, No, on, OFF, true, False, y, n, tRue]",
           "[true,false,true,false,true,false,true,false,\"tRue\"]");
    expect("[~, null, Null, NULL, nULL, '', \"\"]", "[null,null,null,null,\"nULL\",\"\",\"\"]");
    expect("[\"1\", '1', \"true\", 'null', \"a\\tb\"]", "[\"1\",\"1\",\"true\",\"null\",\"a\\tb\"]");
    expect("[1.2.3, 2026-11-23, 12:30, 1e, 0x, '-', 10.0.0.1, 1Gi, 500m]",
           "[\"1.2.3\",\"2026-11-23\",\"12:30\",\"1e\",\"0x\",\"-\",\"10.0.0.1\",\"1Gi\",\"500m\"]");
    expect("[9223372036854775807, -9223372036854775808]", "[9223372036854775807,-9223372036854775808]");
    expect("[!!str 12, !!int \"7\", !!float 3, !other x]", "[\"12\",7,3,\"x\"]");
}

static void test_collections(void **state)
{
    (void)state;
    expect("a: 1\nb:\n- x\n-  v: z\n   w:\nc: {d: [], e: {}}\n",
           "{\"a\":1,\"b\":[\"x\",{\"v\":\"z\",\"w\":null}],\"c\":{\"d\":[],\"e\":{}}}");
    expect("text: |\n  one\n  two\nfolded: >-\n  one\n  two\n",
           "{\"text\":\"one\\ntwo\\n\",\"folded\":\"one two\"}");
    expect("1: a\nyes: b\n1.5: c\n", "{\"1\":\"a\",\"true\":\"b\",\"1.5\":\"c\"}");
    expect("{\"kind\": \"Pod\", \"spec\": {\"n\": 1}}", "{\"kind\":\"Pod\",\"spec\":{\"n\":1}}");
    expect("", "null");
    expect("# only a comment\n", "null");
}

static void test_aliases_and_merges(void **state)
{
    (void)state;
    expect("a: &x {k: 1}\nb: *x\nc: [*x, *x]\n",
           "{\"a\":{\"k\":1},\"b\":{\"k\":1},\"c\":[{\"k\":1},{\"k\":1}]}");
    expect("a: &n ~\nb: *n\n", "{\"a\":null,\"b\":null}");
    expect("base: &b {k: 1, l: 2}\nd:\n  l: 3\n  <<: *b\n",
           "{\"base\":{\"k\":1,\"l\":2},\"d\":{\"l\":3,\"k\":1}}");
    expect("d:\n  <<: [{k: 1}, {k: 2, m: 3}]\n", "{\"d\":{\"k\":1,\"m\":3}}");
    expect("'<<': 1", "{\"<<\":1}");
}

static void test_documents(void **state)
{
    (void)state;
    static const char text[] = "---\na: 1\n---\n# nothing\n---\n[b]\n...\n---\nc\n";
    struct err err = {0};
    json_auto_t *all = yaml_parse_all(text, strlen(text), &err);
    assert_non_null(all);
    buf_auto struct buf out = BUF_INIT;
    json_dump_buf(&out, all);
    assert_string_equal(buf_str(&out), "[{\"a\":1},[\"b\"],\"c\"]");
    expect(text, "{\"a\":1}");
    json_auto_t *none = yaml_parse_all("", 0, &err);
    assert_int_equal(json_array_size(none), 0);
}

#define PREFIX "error converting YAML to JSON: yaml: "

static void test_errors(void **state)
{
    (void)state;
    expect_error("a: b\nc: d: e\n", PREFIX "line 2: mapping values are not allowed in this context");
    expect_error("a: 1\nb: [1,\n", PREFIX "line 2: did not find expected node content");
    expect_error("a:\n\t- b\n", PREFIX "line 2: found character that cannot start any token");
    expect_error("a: 1\nb: 2\na: 3\n", PREFIX "unmarshal errors:\n  line 3: key \"a\" already set in map");
    expect_error("a: *b", PREFIX "unknown anchor 'b' referenced");
    expect_error("a: &x [*x]", PREFIX "anchor 'x' value contains itself");
    expect_error("a: .inf", PREFIX "line 1: json: unsupported value");
    expect_error("<<: 1", PREFIX "line 1: map merge requires map or sequence of maps as the value");
    expect_error("[a]: b", PREFIX "line 1: unsupported map key");
    expect_error("a: !!int x", PREFIX "line 1: cannot decode `x` as a !!int");
    expect_error("a: \"b\\0c\"", PREFIX "line 1: control characters are not allowed");
}

static void test_bombs_are_refused(void **state)
{
    (void)state;
    buf_auto struct buf bomb = BUF_INIT;
    buf_puts(&bomb, "a0: &a0 [1,2,3,4,5,6,7,8,9]\n");
    for (int i = 1; i < 12; i++)
        buf_printf(&bomb, "a%d: &a%d [*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d]\n", i, i, i - 1, i - 1,
                   i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    expect_error(buf_str(&bomb), PREFIX "document contains excessive aliasing");

    buf_auto struct buf deep = BUF_INIT;
    for (int i = 0; i < 500; i++)
        buf_putc(&deep, '[');
    expect_error(buf_str(&deep), PREFIX "line 1: exceeded max depth");
}

static void expect_dump(const char *json, const char *yaml)
{
    struct err err = {0};
    json_auto_t *value = json_parse(json, strlen(json), &err);
    assert_non_null(value);
    buf_auto struct buf out = BUF_INIT;
    yaml_dump(&out, value);
    assert_string_equal(buf_str(&out), yaml);
    json_auto_t *back = yaml_parse(out.data, out.len, &err);
    assert_true(json_equal(value, back));
}

static void test_dump(void **state)
{
    (void)state;
    expect_dump("{\"kind\":\"Pod\",\"spec\":{\"containers\":[{\"name\":\"a\",\"args\":[\"-c\",\"1\"]}],\"n\":"
                "2,\"e\":{},"
                "\"l\":[]},\"ok\":true,\"no\":null}",
                "kind: Pod\nspec:\n  containers:\n  - name: a\n    args:\n    - -c\n    - \"1\"\n  \"n\": "
                "2\n  e: {}\n"
                "  l: []\nok: true\n\"no\": null\n");
    expect_dump(
        "{\"a\":\"x\\ny\\n\",\"b\":\"yes\",\"c\":\"1.5\",\"d\":\"\",\"e\":\"- "
        "x\",\"f\":\"12:30\",\"g\":\"~\","
        "\"h\":\"null\",\"i\":\"<<\",\"j\":\"é: ü\"}",
        "a: |\n  x\n  y\nb: \"yes\"\nc: \"1.5\"\nd: \"\"\ne: '- x'\nf: \"12:30\"\ng: \"~\"\nh: \"null\"\n"
        "i: \"<<\"\nj: 'é: ü'\n");
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_scalars),   cmocka_unit_test(test_collections),
    cmocka_unit_test(test_documents), cmocka_unit_test(test_aliases_and_merges),
    cmocka_unit_test(test_errors),    cmocka_unit_test(test_bombs_are_refused),
    cmocka_unit_test(test_dump),
};
UNIT_MAIN(tests)
