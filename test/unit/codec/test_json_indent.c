/* JSON laid out for reading. */
#include "unit.h"

#include "codec/json_indent.h"

/* The same whether the text comes whole or byte by byte. */
static void expect(const char *text, const char *laid_out)
{
    buf_auto struct buf whole = BUF_INIT, pieces = BUF_INIT;
    struct json_indent at_once = {0}, by_bytes = {0};
    json_indent_put(&whole, &at_once, text, strlen(text));
    for (const char *p = text; *p; p++)
        json_indent_put(&pieces, &by_bytes, p, 1);
    assert_string_equal(buf_str(&whole), laid_out);
    assert_string_equal(buf_str(&pieces), laid_out);
}

static void test_structure(void **state)
{
    (void)state;
    expect("{\"a\":1,\"b\":[1,true,{\"c\":null}]}",
           "{\n  \"a\": 1,\n  \"b\": [\n    1,\n    true,\n    {\n      \"c\": null\n    }\n  ]\n}");
    expect("{}", "{}");
    expect("[{},[]]\n", "[\n  {},\n  []\n]");
    expect("12", "12");
}

static void test_strings(void **state)
{
    (void)state;
    expect("{\"a{\":\"},[ :\"}", "{\n  \"a{\": \"},[ :\"\n}");
    expect("[\"\\\"\",\"\\\\\",\"x\"]", "[\n  \"\\\"\",\n  \"\\\\\",\n  \"x\"\n]");
}

static const struct CMUnitTest tests[] = {cmocka_unit_test(test_structure), cmocka_unit_test(test_strings)};

UNIT_MAIN(tests)
