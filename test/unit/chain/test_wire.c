/* The primitives of the encoding: round trips, and that only the canonical form is read. */
#include "unit.h"

#include "chain/wire.h"

static void test_varint_round_trip(void **state)
{
    (void)state;
    static const uint64_t values[] = {0, 1, 127, 128, 16383, 16384, UINT32_MAX, UINT64_MAX - 1, UINT64_MAX};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        buf_auto struct buf out = BUF_INIT;
        wire_put_varint(&out, values[i]);
        struct wire_reader in = wire_reader(out.data, out.len);
        assert_true(wire_get_varint(&in, UINT64_MAX) == values[i]);
        assert_true(wire_done(&in));
        /* One byte less is cut off. */
        in = wire_reader(out.data, out.len - 1);
        wire_get_varint(&in, UINT64_MAX);
        assert_true(in.bad);
    }
}

static void check_bad_varint(const char *bytes, size_t len, uint64_t max)
{
    struct wire_reader in = wire_reader(bytes, len);
    assert_int_equal(wire_get_varint(&in, max), 0);
    assert_true(in.bad);
}

static void test_varint_has_one_form(void **state)
{
    (void)state;
    check_bad_varint("\x80\x00", 2, UINT64_MAX);
    check_bad_varint("\xff\x80\x00", 3, UINT64_MAX);
    check_bad_varint("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10, UINT64_MAX);
    check_bad_varint("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, UINT64_MAX);
    check_bad_varint("\x05", 1, 4);
}

static void test_strings(void **state)
{
    (void)state;
    struct wire_reader in = wire_reader("ab\0cde", 6);
    assert_string_equal(wire_get_string(&in, 2), "ab");
    assert_string_equal(wire_get_string(&in, 10), ""); /* no NUL behind it */
    assert_true(in.bad);
    in = wire_reader("abc", 4);
    wire_get_string(&in, 2); /* longer than allowed */
    assert_true(in.bad);
}

static void test_nothing_is_read_after_a_violation(void **state)
{
    (void)state;
    struct wire_reader in = wire_reader("\x01\x02\x03", 3);
    assert_null(wire_get_raw(&in, 4));
    assert_int_equal(wire_get_u8(&in), 0);
    assert_int_equal(wire_left(&in), 0);
    assert_false(wire_done(&in));
}

static void test_bytes(void **state)
{
    (void)state;
    buf_auto struct buf out = BUF_INIT;
    wire_put_bytes(&out, "hello", 5);
    wire_put_u16(&out, 0x0102);
    wire_put_u32(&out, 0x01020304);
    wire_put_u64(&out, UINT64_C(0x0102030405060708));
    assert_memory_equal(out.data, "\x05hello\x02\x01\x04\x03\x02\x01\x08\x07\x06\x05\x04\x03\x02\x01",
                        out.len);
    struct wire_reader in = wire_reader(out.data, out.len);
    size_t len;
    assert_memory_equal(wire_get_bytes(&in, 5, &len), "hello", 5);
    assert_int_equal(len, 5);
    assert_int_equal(wire_get_u16(&in), 0x0102);
    assert_int_equal(wire_get_u32(&in), 0x01020304);
    assert_true(wire_get_u64(&in) == UINT64_C(0x0102030405060708));
    in = wire_reader(out.data, out.len);
    assert_null(wire_get_bytes(&in, 4, &len));
    assert_true(in.bad);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_varint_round_trip),
    cmocka_unit_test(test_varint_has_one_form),
    cmocka_unit_test(test_strings),
    cmocka_unit_test(test_nothing_is_read_after_a_violation),
    cmocka_unit_test(test_bytes),
};

UNIT_MAIN(tests)
