/* Sealed texts, and the runtime that opens them on the way to runc. */
#include "unit.h"

#include "cri/oci_runtime.h"
#include "cri/sealed.h"

#include <stdlib.h>
#include <string.h>

static const uint8_t key[SEALED_KEY_SIZE] = {1, 2, 3};
static const uint8_t other_key[SEALED_KEY_SIZE] = {3, 2, 1};

static void test_round_trip(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "correct horse battery staple", "\xff\x01 no UTF-8"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        buf_auto struct buf sealed = BUF_INIT;
        buf_auto struct buf opened = BUF_INIT;
        struct err err;
        sealed_put(&sealed, key, texts[i], strlen(texts[i]));
        assert_true(sealed_is(buf_str(&sealed)));
        assert_true(!*texts[i] || !strstr(buf_str(&sealed), texts[i]));
        assert_int_equal(sealed_open(&opened, key, buf_str(&sealed), &err), 0);
        assert_string_equal(buf_str(&opened), texts[i]);
        assert_int_equal(sealed_open(&opened, other_key, buf_str(&sealed), &err), ERR_CORRUPT);
    }
}

static void test_refuses_what_is_not_sealed(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "plain",
                                        SEALED_PREFIX,
                                        SEALED_PREFIX "AAAA",
                                        SEALED_PREFIX "!!",
                                        SEALED_PREFIX
                                        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"};
    buf_auto struct buf opened = BUF_INIT;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        assert_int_equal(sealed_open(&opened, key, texts[i], NULL), ERR_CORRUPT);
    assert_int_equal(opened.len, 0);
}

static void test_opens_a_bundle(void **state)
{
    (void)state;
    buf_auto struct buf sealed = BUF_INIT;
    buf_auto struct buf json = BUF_INIT;
    struct err err;
    sealed_put(&sealed, key, "hush", 4);
    buf_printf(&json,
               "{\"process\":{\"env\":[\"A=%s\",\"B=plain\",\"C\"],\"args\":[\"run\",\"%s\"]},"
               "\"root\":{\"path\":\"rootfs\"},\"annotations\":{\"x\":\"%s\"}}",
               buf_str(&sealed), buf_str(&sealed), buf_str(&sealed));
    assert_int_equal(oci_runtime_open(&json, key, "/bundle", &err), 0);
    assert_non_null(strstr(buf_str(&json), "\"env\":[\"A=hush\",\"B=plain\",\"C\"]"));
    assert_non_null(strstr(buf_str(&json), "\"args\":[\"run\",\"hush\"]"));
    assert_non_null(strstr(buf_str(&json), "\"path\":\"/bundle/rootfs\""));
    assert_non_null(strstr(buf_str(&json), SEALED_PREFIX)); /* only what the process gets is opened */
}

static void test_opens_a_process(void **state)
{
    (void)state;
    buf_auto struct buf sealed = BUF_INIT;
    buf_auto struct buf json = BUF_INIT;
    struct err err;
    sealed_put(&sealed, key, "hush", 4);
    buf_printf(&json, "{\"env\":[\"A=%s\"],\"args\":[\"sh\"]}", buf_str(&sealed));
    assert_int_equal(oci_runtime_open(&json, key, NULL, &err), 0);
    assert_string_equal(buf_str(&json), "{\"env\":[\"A=hush\"],\"args\":[\"sh\"]}");
    assert_int_equal(oci_runtime_open(&json, key, NULL, &err), 0);
    buf_clear(&json);
    buf_printf(&json, "{\"env\":[\"A=%s\"]}", buf_str(&sealed));
    assert_int_equal(oci_runtime_open(&json, other_key, NULL, &err), ERR_CORRUPT);
    buf_clear(&json);
    buf_puts(&json, "{");
    assert_int_equal(oci_runtime_open(&json, key, NULL, &err), ERR_CORRUPT);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_round_trip),
    cmocka_unit_test(test_refuses_what_is_not_sealed),
    cmocka_unit_test(test_opens_a_bundle),
    cmocka_unit_test(test_opens_a_process),
};

UNIT_MAIN(tests)
