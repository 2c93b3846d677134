/* base: errors, buffers, hexadecimal, times. */
#include "unit.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/hex.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/timefmt.h"

#include <errno.h>

static void err_set_returns_its_code_and_formats(void **state)
{
    (void)state;
    struct err err;
    assert_int_equal(err_set(&err, ERR_NOT_FOUND, "pods \"%s\" not found", "x"), ERR_NOT_FOUND);
    assert_string_equal(err.message, "pods \"x\" not found");
    assert_int_equal(err_set(NULL, ERR_CONFLICT, "ignored"), ERR_CONFLICT);
}

static void err_wrap_puts_its_text_in_front(void **state)
{
    (void)state;
    struct err err;
    errno = ENOENT;
    assert_int_equal(err_set_errno(&err, "open %s", "/x"), ERR_IO);
    assert_int_equal(err_wrap(&err, "chain"), ERR_IO);
    assert_string_equal(err.message, "chain: open /x: No such file or directory");
}

static void err_message_is_cut_not_overrun(void **state)
{
    (void)state;
    struct err err;
    char text[ERR_MESSAGE_MAX + 100];
    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    err_set(&err, ERR_IO, "%s", text);
    err_wrap(&err, "%s", text);
    assert_int_equal(strlen(err.message), ERR_MESSAGE_MAX - 1);
}

static void err_table_maps_to_http(void **state)
{
    (void)state;
    assert_int_equal(err_http_status(ERR_INVALID), 422);
    assert_string_equal(err_reason(ERR_EXISTS), "AlreadyExists");
    assert_int_equal(err_http_status(-9999), 500);
}

static void buf_grows_and_stays_terminated(void **state)
{
    (void)state;
    buf_auto struct buf b = BUF_INIT;
    assert_string_equal(buf_str(&b), "");
    for (int i = 0; i < 1000; i++)
        buf_printf(&b, "%d,", i);
    assert_int_equal(b.len, strlen(b.data));
    buf_consume(&b, 2);
    assert_memory_equal(b.data, "1,2,3", 5);
    mem_auto char *text = buf_steal(&b);
    assert_int_equal(b.len, 0);
    assert_memory_equal(text, "1,2,3", 5);
}

static void hex_round_trips_and_refuses_other_text(void **state)
{
    (void)state;
    uint8_t bytes[4] = {0, 0x7f, 0x80, 0xff};
    char text[9];
    hex_encode(text, bytes, sizeof(bytes));
    assert_string_equal(text, "007f80ff");
    uint8_t back[4];
    assert_true(hex_decode(back, sizeof(back), "007F80ff"));
    assert_memory_equal(bytes, back, sizeof(bytes));
    assert_false(hex_decode(back, sizeof(back), "007f80f"));
    assert_false(hex_decode(back, sizeof(back), "007f80ff0"));
    assert_false(hex_decode(back, sizeof(back), "007f80fg"));
}

static void timefmt_round_trips(void **state)
{
    (void)state;
    char text[TIMEFMT_MAX];
    timefmt_seconds(text, 0);
    assert_string_equal(text, "1970-01-01T00:00:00Z");
    timefmt_micro(text, 1795408140123456);
    int64_t us;
    assert_true(timefmt_parse(text, &us));
    assert_int_equal(us, 1795408140123456);
    for (int64_t day = -200000; day < 200000; day += 37) {
        timefmt_seconds(text, day * 86400 + 86399);
        assert_true(timefmt_parse(text, &us));
        assert_int_equal(us, (day * 86400 + 86399) * 1000000);
    }
}

static void timefmt_parse_knows_offsets_and_refuses_nonsense(void **state)
{
    (void)state;
    int64_t us;
    assert_true(timefmt_parse("2026-11-23T06:29:00.5+02:00", &us));
    char text[TIMEFMT_MAX];
    timefmt_micro(text, us);
    assert_string_equal(text, "2026-11-23T04:29:00.500000Z");
    const char *const bad[] = {"",
                               "2026",
                               "2026-13-01T00:00:00Z",
                               "2026-02-29T00:00:00Z",
                               "2026-01-01T24:00:00Z",
                               "2026-01-01T00:00:00",
                               "2026-01-01T00:00:00.Z",
                               "2026-01-01T00:00:00Zx"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(timefmt_parse(bad[i], &us));
}

static void timefmt_age_reads_like_kubectl(void **state)
{
    (void)state;
    static const struct {
        int64_t seconds;
        const char *text;
    } cases[] = {{0, "0s"},
                 {119, "119s"},
                 {120, "2m"},
                 {192, "3m12s"},
                 {600, "10m"},
                 {3 * 3600, "3h"},
                 {5 * 3600 + 60, "5h1m"},
                 {47 * 3600, "47h"},
                 {51 * 3600, "2d3h"},
                 {9 * 86400, "9d"},
                 {800 * 86400LL, "2y70d"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[TIMEFMT_MAX];
        timefmt_age(text, cases[i].seconds);
        assert_string_equal(text, cases[i].text);
    }
}

static void uuid_has_version_and_variant(void **state)
{
    (void)state;
    char a[RAND_UUID_MAX], b[RAND_UUID_MAX];
    rand_uuid(a);
    rand_uuid(b);
    assert_int_equal(strlen(a), 36);
    assert_int_equal(a[14], '4');
    assert_non_null(strchr("89ab", a[19]));
    assert_string_not_equal(a, b);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(err_set_returns_its_code_and_formats),
    cmocka_unit_test(err_wrap_puts_its_text_in_front),
    cmocka_unit_test(err_message_is_cut_not_overrun),
    cmocka_unit_test(err_table_maps_to_http),
    cmocka_unit_test(buf_grows_and_stays_terminated),
    cmocka_unit_test(hex_round_trips_and_refuses_other_text),
    cmocka_unit_test(timefmt_round_trips),
    cmocka_unit_test(timefmt_parse_knows_offsets_and_refuses_nonsense),
    cmocka_unit_test(timefmt_age_reads_like_kubectl),
    cmocka_unit_test(uuid_has_version_and_variant),
};

UNIT_MAIN(tests)
