/* Service account tokens: what is signed verifies, and nothing else does. */
#include "unit.h"

#include "base/mem.h"
#include "pki/pki_internal.h"

static struct pki *test_pki;
static char test_dir[] = "/tmp/katena-token-XXXXXX";

static int group_setup(void **state)
{
    (void)state;
    struct pki_options options = {.data_dir = mkdtemp(test_dir), .node_name = "node-a"};
    return pki_open(&test_pki, &options, NULL);
}

static int group_teardown(void **state)
{
    (void)state;
    pki_close(test_pki);
    mem_auto char *command = mem_printf("rm -r %s", test_dir);
    return system(command);
}

static void test_a_signed_token_verifies(void **state)
{
    (void)state;
    /* Many rounds, since r and s of an ECDSA signature differ in length now and then. */
    for (int i = 0; i < 300; i++) {
        struct buf token = BUF_INIT;
        struct buf claims = BUF_INIT;
        mem_auto char *text = mem_printf("{\"sub\":\"system:serviceaccount:default:default\",\"n\":%d}", i);
        assert_int_equal(pki_sign_token(test_pki, text, &token, NULL), 0);
        assert_int_equal(pki_verify_token(test_pki, token.data, &claims, NULL), 0);
        assert_string_equal(claims.data, text);
        buf_free(&token);
        buf_free(&claims);
    }
}

static void test_every_changed_byte_is_noticed(void **state)
{
    (void)state;
    struct buf token = BUF_INIT;
    struct buf claims = BUF_INIT;
    assert_int_equal(pki_sign_token(test_pki, "{\"sub\":\"x\"}", &token, NULL), 0);
    for (size_t i = 0; i < token.len; i++) {
        char kept = token.data[i];
        token.data[i] = kept == 'A' ? 'B' : 'A';
        assert_int_equal(pki_verify_token(test_pki, token.data, &claims, NULL), ERR_UNAUTHORIZED);
        token.data[i] = kept;
    }
    for (size_t n = 0; n < token.len; n++) {
        mem_auto char *cut = mem_strndup(token.data, n);
        assert_int_equal(pki_verify_token(test_pki, cut, &claims, NULL), ERR_UNAUTHORIZED);
    }
    buf_free(&token);
    buf_free(&claims);
}

static void test_other_algorithms_and_keys_are_refused(void **state)
{
    (void)state;
    struct buf claims = BUF_INIT;
    struct buf token = BUF_INIT;
    pki_base64url(&token, "{\"alg\":\"none\"}", 14);
    buf_puts(&token, ".e30.");
    assert_int_equal(pki_verify_token(test_pki, token.data, &claims, NULL), ERR_UNAUTHORIZED);

    char dir[] = "/tmp/katena-token-XXXXXX";
    struct pki *other = NULL;
    struct pki_options options = {.data_dir = mkdtemp(dir), .node_name = "node-a"};
    assert_int_equal(pki_open(&other, &options, NULL), 0);
    buf_clear(&token);
    assert_int_equal(pki_sign_token(other, "{}", &token, NULL), 0);
    assert_int_equal(pki_verify_token(test_pki, token.data, &claims, NULL), ERR_UNAUTHORIZED);
    pki_close(other);
    mem_auto char *command = mem_printf("rm -r %s", dir);
    assert_int_equal(system(command), 0);
    buf_free(&token);
    buf_free(&claims);
}

static void test_a_long_token_is_refused(void **state)
{
    (void)state;
    char *huge = mem_alloc(1 << 20);
    memset(huge, 'a', (1 << 20) - 1);
    huge[(1 << 20) - 1] = '\0';
    struct buf claims = BUF_INIT;
    assert_int_equal(pki_verify_token(test_pki, huge, &claims, NULL), ERR_UNAUTHORIZED);
    free(huge);
    buf_free(&claims);
}

static void test_base64url(void **state)
{
    (void)state;
    /* RFC 4648, section 10, without padding. */
    static const char *const plain[] = {"", "f", "fo", "foo", "foob", "fooba", "foobar"};
    static const char *const coded[] = {"", "Zg", "Zm8", "Zm9v", "Zm9vYg", "Zm9vYmE", "Zm9vYmFy"};
    for (size_t i = 0; i < 7; i++) {
        struct buf out = BUF_INIT;
        pki_base64url(&out, plain[i], strlen(plain[i]));
        assert_string_equal(buf_str(&out), coded[i]);
        buf_clear(&out);
        assert_true(pki_base64url_decode(&out, coded[i], strlen(coded[i])));
        assert_string_equal(buf_str(&out), plain[i]);
        buf_free(&out);
    }
    static const char *const bad[] = {"Z", "Zg==", "Zh", "Z g", "Zm9vY", "+/"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct buf out = BUF_INIT;
        assert_false(pki_base64url_decode(&out, bad[i], strlen(bad[i])));
        buf_free(&out);
    }
}

static void test_jwks_names_the_key(void **state)
{
    (void)state;
    struct buf out = BUF_INIT;
    pki_jwks(test_pki, &out);
    assert_non_null(strstr(out.data, test_pki->token_kid));
    assert_non_null(strstr(out.data, "\"crv\":\"P-256\""));
    buf_free(&out);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_signed_token_verifies),
        cmocka_unit_test(test_every_changed_byte_is_noticed),
        cmocka_unit_test(test_other_algorithms_and_keys_are_refused),
        cmocka_unit_test(test_a_long_token_is_refused),
        cmocka_unit_test(test_base64url),
        cmocka_unit_test(test_jwks_names_the_key),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
