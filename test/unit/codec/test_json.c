/* JSON text to values and back. */
#include "unit.h"

#include "base/mem.h"
#include "codec/json.h"
#include "codec/json_plain.h"

static void expect(const char *text, const char *dumped)
{
    struct err err = {0};
    json_auto_t *value = json_parse(text, strlen(text), &err);
    if (!value)
        fail_msg("%s: %s", text, err.message);
    buf_auto struct buf out = BUF_INIT;
    json_dump_buf(&out, value);
    assert_string_equal(buf_str(&out), dumped);
    json_auto_t *again = json_parse(out.data, out.len, &err);
    assert_true(json_equal(value, again));
}

static void test_values(void **state)
{
    (void)state;
    expect(" { \"b\" : [ 1 , -2, true,false , null ] ,\n\t\"a\":{}, \"\":[] } ",
           "{\"b\":[1,-2,true,false,null],\"a\":{},\"\":[]}");
    expect("\"x\"", "\"x\"");
    expect("0", "0");
    expect("[9223372036854775807,-9223372036854775808]", "[9223372036854775807,-9223372036854775808]");
    expect("[1.5,0.1,1e3,-2.5E-7,1e300]", "[1.5,0.1,1000.0,-2.5e-07,1e+300]");
    expect("12345678901234567890", "1.2345678901234567e+19");
}

static void test_strings(void **state)
{
    (void)state;
    expect("\"a\\\"\\\\\\/\\b\\f\\n\\r\\tz\"", "\"a\\\"\\\\/\\b\\f\\n\\r\\tz\"");
    expect("\"\\u0041\\u00e9\\u20ac\\ud83d\\ude00\"", "\"A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"");
    expect("\"\xc3\xa9 \xf0\x9f\x98\x80\"", "\"\xc3\xa9 \xf0\x9f\x98\x80\"");
    expect("\"\\u001f\x7f\"", "\"\\u001f\x7f\"");
    /* What is no UTF-8 is replaced, as in Go: stray bytes, overlong forms, lone surrogates. */
    expect("\"a\xff\x62\"", "\"a\xef\xbf\xbd\x62\"");
    expect("\"\xc0\xaf\"", "\"\xef\xbf\xbd\xef\xbf\xbd\"");
    expect("\"\\ud800x\\udc00\"", "\"\xef\xbf\xbdx\xef\xbf\xbd\"");
    expect("\"\\ud800\\u0041\"", "\"\xef\xbf\xbd\x41\"");
    expect("{\"\\u0061b\":{\"c\\n\":\"d\\n\"}}", "{\"ab\":{\"c\\n\":\"d\\n\"}}");
}

static void expect_error(const char *text, const char *error)
{
    struct err err = {0};
    json_auto_t *value = json_parse(text, strlen(text), &err);
    assert_null(value);
    assert_int_equal(err.code, ERR_BAD_REQUEST);
    assert_string_equal(err.message, error);
}

/* The words of Go's encoding/json. */
static void test_errors(void **state)
{
    (void)state;
    expect_error("", "unexpected end of JSON input");
    expect_error("{\"a\":", "unexpected end of JSON input");
    expect_error("\"abc", "unexpected end of JSON input");
    expect_error("}", "invalid character '}' looking for beginning of value");
    expect_error("{a", "invalid character 'a' looking for beginning of object key string");
    expect_error("{\"a\":1,}", "invalid character '}' looking for beginning of object key string");
    expect_error("{\"a\" 1}", "invalid character '1' after object key");
    expect_error("{\"a\":1 \"b\"}", "invalid character '\"' after object key:value pair");
    expect_error("[1 2]", "invalid character '2' after array element");
    expect_error("[1,]", "invalid character ']' looking for beginning of value");
    expect_error("1 x", "invalid character 'x' after top-level value");
    expect_error("\"a\nb\"", "invalid character '\\n' in string literal");
    expect_error("\"\\q\"", "invalid character 'q' in string escape code");
    expect_error("\"\\u12g4\"", "invalid character 'g' in \\u hexadecimal character escape");
    expect_error("\"\\u0000\"", "invalid character '\\x00' in string literal");
    expect_error("trux", "invalid character 'x' in literal true (expecting 'e')");
    expect_error("-x", "invalid character 'x' in numeric literal");
    expect_error("1.x", "invalid character 'x' after decimal point in numeric literal");
    expect_error("1ex", "invalid character 'x' in exponent of numeric literal");
    expect_error("01", "invalid character '1' after top-level value");
    expect_error("1e999", "json: cannot unmarshal number 1e999 into Go value of type float64");
    expect_error("\x01", "invalid character '\\x01' looking for beginning of value");
}

static void test_duplicates(void **state)
{
    (void)state;
    static const char text[] = "{\"a\":1,\"s\":{\"c\":[{},{\"n\":1,\"n\":2}]},\"a\":3}";
    expect_error(text, "duplicate field \"s.c[1].n\"");
    struct err err = {0};
    json_auto_t *duplicates = json_array();
    json_auto_t *value = json_parse_reporting(text, strlen(text), duplicates, &err);
    assert_non_null(value);
    assert_int_equal(json_int_or(0, value, "a"), 3);
    assert_int_equal(json_array_size(duplicates), 2);
    assert_string_equal(json_string_value(json_array_get(duplicates, 0)), "duplicate field \"s.c[1].n\"");
    assert_string_equal(json_string_value(json_array_get(duplicates, 1)), "duplicate field \"a\"");
}

static void test_depth_is_limited(void **state)
{
    (void)state;
    for (int depth = JSON_DEPTH_MAX; depth <= JSON_DEPTH_MAX + 1; depth++) {
        buf_auto struct buf text = BUF_INIT;
        for (int i = 0; i < depth; i++)
            buf_putc(&text, '[');
        for (int i = 0; i < depth; i++)
            buf_putc(&text, ']');
        struct err err = {0};
        json_auto_t *value = json_parse(text.data, text.len, &err);
        assert_true((value != NULL) == (depth == JSON_DEPTH_MAX));
        assert_string_equal(err.message, value ? "" : "exceeded max depth");
    }
}

/* A text that is cut anywhere is an error, never a crash or a value. */
static void test_every_cut_is_refused(void **state)
{
    (void)state;
    static const char text[] = "{\"a\":[1.5e3,\"\\u00e9\\ud83d\\ude00\",true,null],\"b\":{\"c\":-1}}";
    for (size_t len = 0; len < strlen(text); len++) {
        struct err err = {0};
        mem_auto char *cut = mem_dup(text, len + 1);
        json_auto_t *value = json_parse(cut, len, &err);
        assert_null(value);
        assert_string_equal(err.message, "unexpected end of JSON input");
    }
}

/* Every byte at every place of texts of every length around a word's. */
static void test_plain_ends_at_the_first_special_byte(void **state)
{
    (void)state;
    for (size_t len = 1; len < 20; len++) {
        for (size_t at = 0; at < len; at++) {
            for (int byte = 0; byte < 256; byte++) {
                char text[20];
                memset(text, 'a', sizeof(text));
                text[at] = (char)byte;
                if (at + 1 < len)
                    text[at + 1] = (char)(byte % 3 ? 0x80 : 0x21); /* a borrow must not reach it */
                bool written = byte < 0x20 || byte == '"' || byte == '\\';
                size_t expected = written || byte > 0x7f ? at : at + 1 < len && byte % 3 ? at + 1 : len;
                assert_int_equal(json_plain_len(text, len, 1), expected);
                assert_int_equal(json_plain_len(text, len, 0), written ? at : len);
            }
        }
    }
}

static void expect_beginning(const char *text, const char *dumped)
{
    struct err err = {0};
    json_auto_t *value = json_parse_beginning(text, strlen(text), "m", "x", &err);
    if (!dumped) {
        assert_null(value);
        return;
    }
    assert_non_null(value);
    buf_auto struct buf out = BUF_INIT;
    json_dump_buf(&out, value);
    assert_string_equal(buf_str(&out), dumped);
}

static void test_only_the_beginning_is_read(void **state)
{
    (void)state;
    expect_beginning("{\"a\":1,\"m\":{\"b\":2},\"c\":3}", "{\"a\":1,\"m\":{\"b\":2}}");
    expect_beginning("{\"m\":{\"b\":2,\"x\":[1], \"d\":4},\"c\":3}", "{\"m\":{\"b\":2}}");
    expect_beginning("{\"m\":{\"x\":not read", "{\"m\":{}}");
    expect_beginning("{\"m\":{}not read", "{\"m\":{}}");
    /* Only there: deeper and elsewhere the names mean nothing. */
    expect_beginning("{\"x\":1,\"a\":[{\"m\":1}],\"m\":{\"e\":{\"m\":2,\"x\":3}}}",
                     "{\"x\":1,\"a\":[{\"m\":1}],\"m\":{\"e\":{\"m\":2,\"x\":3}}}");
    expect_beginning("{\"a\":1}", "{\"a\":1}");
    expect_beginning("{\"m\":{\"b\":2", NULL);
    expect_beginning("{\"a\":", NULL);
    expect_beginning("", NULL);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_values),
    cmocka_unit_test(test_strings),
    cmocka_unit_test(test_errors),
    cmocka_unit_test(test_duplicates),
    cmocka_unit_test(test_only_the_beginning_is_read),
    cmocka_unit_test(test_plain_ends_at_the_first_special_byte),
    cmocka_unit_test(test_depth_is_limited),
    cmocka_unit_test(test_every_cut_is_refused),
};
UNIT_MAIN(tests)
