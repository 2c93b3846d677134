/* The protobuf envelope and malformed messages; test_golden.c compares whole objects with Go's bytes. */
#include "unit.h"

#include "codec/json.h"
#include "object/decode.h"
#include "object/protobuf_wire.h"
#include "object/registry.h"

#include <stdbool.h>

static void test_envelope_round_trips(void **state)
{
    (void)state;
    struct err err = {0};
    buf_auto struct buf sealed = BUF_INIT;
    protobuf_seal(&sealed, "apps/v1", "Deployment", "raw", 3);
    assert_memory_equal(sealed.data,
                        "k8s\0\x0a\x15\x0a\x07"
                        "apps/v1\x12\x0a"
                        "Deployment\x12\x03raw\x1a\0\x22\0",
                        sealed.len);
    char api_version[32], kind[32];
    const uint8_t *raw;
    size_t len;
    assert_int_equal(protobuf_open((const uint8_t *)sealed.data, sealed.len, api_version, sizeof(api_version),
                                   kind, sizeof(kind), &raw, &len, &err),
                     0);
    assert_string_equal(api_version, "apps/v1");
    assert_string_equal(kind, "Deployment");
    assert_int_equal(len, 3);
    assert_memory_equal(raw, "raw", 3);
}

static int open_bytes(const void *bytes, size_t len)
{
    struct err err = {0};
    char api_version[8], kind[8];
    const uint8_t *raw;
    size_t raw_len;
    return protobuf_open(bytes, len, api_version, sizeof(api_version), kind, sizeof(kind), &raw, &raw_len,
                         &err);
}

static void test_bad_envelopes_are_refused(void **state)
{
    (void)state;
    assert_int_equal(open_bytes("k8s", 3), ERR_BAD_REQUEST);
    assert_int_equal(open_bytes("{\"a\":1}", 7), ERR_BAD_REQUEST);
    assert_int_equal(open_bytes("k8s\0", 4), 0);
    assert_int_equal(open_bytes("k8s\0\x12\x05raw", 9), ERR_BAD_REQUEST);
    /* A kind that does not fit its buffer. */
    assert_int_equal(open_bytes("k8s\0\x0a\x0a\x12\x08"
                                "LongKind",
                                16),
                     ERR_BAD_REQUEST);
}

static void expect_malformed(const void *bytes, size_t len)
{
    struct err err = {0};
    json_t *out = NULL;
    const struct schema_message *pod = registry_message("io.k8s.api.core.v1.Pod");
    assert_int_equal(protobuf_decode(pod, bytes, len, &out, &err), ERR_BAD_REQUEST);
    assert_null(out);
    assert_true(err.message[0]);
}

static void test_malformed_messages_are_refused(void **state)
{
    (void)state;
    expect_malformed("\x0a", 1);         /* no length */
    expect_malformed("\x0a\x05\x0a", 3); /* a length beyond the end */
    expect_malformed("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10);
    expect_malformed("\x08\x01", 2);             /* a varint where a message stands */
    expect_malformed("\x0a\x03\x0a\x01\xff", 5); /* a name that is not UTF-8 */
    expect_malformed("\x00\x01", 2);             /* field number 0 */
    expect_malformed("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 10);
}

static void test_unknown_numbers_are_passed_over(void **state)
{
    (void)state;
    struct err err = {0};
    const struct schema_message *pod = registry_message("io.k8s.api.core.v1.Pod");
    json_auto_t *out = NULL;
    assert_int_equal(protobuf_decode(pod, (const uint8_t *)"\xfa\x01\x01x\x0a\x03\x0a\x01p", 9, &out, &err),
                     0);
    assert_string_equal(json_str(out, "metadata", "name"), "p");
    assert_string_equal(json_str(out, "kind"), "Pod");
    assert_string_equal(json_str(out, "apiVersion"), "v1");
}

static void test_long_messages_get_long_lengths(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 127, 128, 16383, 16384, 2097152};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        buf_auto struct buf out = BUF_INIT;
        size_t mark = protobuf_wire_open(&out, 1);
        for (size_t j = 0; j < sizes[i]; j++)
            buf_putc(&out, (char)('a' + j % 26));
        protobuf_wire_close(&out, mark);
        struct pbwire_reader reader = {(uint8_t *)out.data, (uint8_t *)out.data + out.len};
        struct pbwire_field field;
        assert_int_equal(protobuf_wire_next(&reader, &field), 1);
        assert_int_equal(field.len, sizes[i]);
        assert_true(reader.at == reader.end);
        assert_true(sizes[i] == 0 || field.bytes[sizes[i] - 1] == 'a' + (sizes[i] - 1) % 26);
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_envelope_round_trips),
    cmocka_unit_test(test_bad_envelopes_are_refused),
    cmocka_unit_test(test_malformed_messages_are_refused),
    cmocka_unit_test(test_unknown_numbers_are_passed_over),
    cmocka_unit_test(test_long_messages_get_long_lengths),
};
UNIT_MAIN(tests)
