/* base: errors, buffers, hexadecimal, times. */
#include "unit.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/hex.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/timefmt.h"

#include <errno.h>

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

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

static void buf_printf_takes_what_is_longer_than_its_room(void **state)
{
    (void)state;
    for (int len = 0; len < 300; len++) {
        buf_auto struct buf b = BUF_INIT;
        buf_puts(&b, "before ");
        buf_printf(&b, "%*s%c", len, "", 'x');
        assert_int_equal(b.len, 8 + len);
        assert_int_equal(b.len, strlen(b.data));
        buf_putc(&b, 'y');
        assert_int_equal(b.data[7 + len], 'x');
        assert_int_equal(b.len, strlen(b.data));
        assert_int_equal(b.data[8 + len], 'y');
    }
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
    for (size_t i = 0; i < 36; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        assert_true(dash ? a[i] == '-' : a[i] && strchr("0123456789abcdef", a[i]));
    }
}

static int compare_uuids(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void uuids_do_not_repeat(void **state)
{
    (void)state;
    static char uuids[1000][RAND_UUID_MAX];
    for (size_t i = 0; i < 1000; i++)
        rand_uuid(uuids[i]);
    qsort(uuids, 1000, RAND_UUID_MAX, compare_uuids);
    for (size_t i = 1; i < 1000; i++)
        assert_string_not_equal(uuids[i - 1], uuids[i]);
}

/* What was fetched ahead before a fork must not come out on both sides. */
static void uuids_differ_after_a_fork(void **state)
{
    (void)state;
    char here[RAND_UUID_MAX], there[RAND_UUID_MAX];
    int pipe_fds[2];
    rand_uuid(here);
    assert_int_equal(pipe(pipe_fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        rand_uuid(there);
        _exit(write(pipe_fds[1], there, sizeof(there)) != sizeof(there));
    }
    rand_uuid(here);
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(read(pipe_fds[0], there, sizeof(there)), sizeof(there));
    assert_string_not_equal(here, there);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}

static void timefmt_duration_takes_units(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t us;
    } good[] = {
        {"0", 0},          {"30", 30000000},    {"30s", 30000000},    {"1m", 60000000}, {"1h30m", 5400000000},
        {"500ms", 500000}, {"1d", 86400000000}, {"1m500ms", 60500000}};
    static const char *const bad[] = {
        "", "s", "-1s", "1x", "1s2", "1.5s", "1 s", "99999999999999999999", "36601d", "1h "};
    int64_t us;
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        assert_true(timefmt_duration(good[i].text, &us));
        assert_int_equal(us, good[i].us);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_false(timefmt_duration(bad[i], &us));
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(err_set_returns_its_code_and_formats),
    cmocka_unit_test(err_wrap_puts_its_text_in_front),
    cmocka_unit_test(err_message_is_cut_not_overrun),
    cmocka_unit_test(err_table_maps_to_http),
    cmocka_unit_test(buf_grows_and_stays_terminated),
    cmocka_unit_test(buf_printf_takes_what_is_longer_than_its_room),
    cmocka_unit_test(hex_round_trips_and_refuses_other_text),
    cmocka_unit_test(timefmt_round_trips),
    cmocka_unit_test(timefmt_parse_knows_offsets_and_refuses_nonsense),
    cmocka_unit_test(timefmt_age_reads_like_kubectl),
    cmocka_unit_test(timefmt_duration_takes_units),
    cmocka_unit_test(uuid_has_version_and_variant),
    cmocka_unit_test(uuids_do_not_repeat),
    cmocka_unit_test(uuids_differ_after_a_fork),
};

UNIT_MAIN(tests)
