/* Join tokens as text, and what their Secret keeps of them. */
#include "unit.h"

#include "base/mem.h"
#include "codec/json.h"
#include "pki/join_secret.h"

#define TOKEN                                                              \
    "K1000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f::" \
    "abc123.0123456789abcdefghijklmnopqrstuv"

static void test_text_gives_the_token_back(void **state)
{
    (void)state;
    struct join_token token;
    char text[JOIN_TOKEN_MAX];
    assert_int_equal(join_token_parse(&token, TOKEN, NULL), 0);
    assert_string_equal(token.id, "abc123");
    assert_string_equal(token.secret, "0123456789abcdefghijklmnopqrstuv");
    assert_int_equal(token.ca_hash[31], 0x1f);
    join_token_format(text, &token);
    assert_string_equal(text, TOKEN);
}

static void test_new_tokens_are_well_formed_and_differ(void **state)
{
    (void)state;
    const uint8_t hash[JOIN_TOKEN_HASH_SIZE] = {1, 2, 3};
    struct join_token a, b, back;
    char text[JOIN_TOKEN_MAX];
    join_token_make(&a, hash);
    join_token_make(&b, hash);
    assert_string_not_equal(a.secret, b.secret);
    join_token_format(text, &a);
    assert_int_equal(join_token_parse(&back, text, NULL), 0);
    assert_memory_equal(&back, &a, sizeof(a));
    assert_true(join_token_id_valid(a.id));
    assert_false(join_token_id_valid("ABC123"));
    assert_false(join_token_id_valid("abc12"));
}

/* Every one-character change, every shorter text and some longer ones: refused, or another token. */
static void test_damaged_text_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", "K1", "K2" TOKEN, TOKEN " ", TOKEN "\n", " " TOKEN, "abc123.0123456789abcdef"};
    struct join_token token;
    struct err err;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        assert_int_equal(join_token_parse(&token, bad[i], &err), ERR_INVALID);
        assert_non_null(strstr(err.message, "katena token create"));
    }
    char text[] = TOKEN;
    for (size_t i = 0; text[i]; i++) {
        char old = text[i];
        text[i] = '!';
        assert_int_equal(join_token_parse(&token, text, &err), ERR_INVALID);
        text[i] = '\0';
        assert_int_equal(join_token_parse(&token, text, &err), ERR_INVALID);
        text[i] = old;
    }
}

static void test_digest_knows_only_its_own_token(void **state)
{
    (void)state;
    struct join_token token, other;
    char digest[2 * JOIN_TOKEN_HASH_SIZE + 1];
    assert_int_equal(join_token_parse(&token, TOKEN, NULL), 0);
    join_token_digest(digest, &token);
    assert_null(strstr(digest, token.secret));
    assert_true(join_token_matches(&token, digest));
    other = token;
    other.secret[31] = 'w';
    assert_false(join_token_matches(&other, digest));
    other = token;
    other.id[0] = 'z';
    assert_false(join_token_matches(&other, digest));
    assert_false(join_token_matches(&token, ""));
    digest[63] = '\0';
    assert_false(join_token_matches(&token, digest));
}

static void test_secret_keeps_what_is_needed(void **state)
{
    (void)state;
    struct join_token token;
    assert_int_equal(join_token_parse(&token, TOKEN, NULL), 0);
    json_auto_t *secret = join_secret_make(&token, 1000000000, true, "why");
    mem_auto char *whole = json_dumps(secret, 0);
    assert_null(strstr(whole, token.secret));
    assert_string_equal(json_str(secret, "metadata", "name"), "bootstrap-token-abc123");
    assert_string_equal(json_str(secret, "stringData", "expiration"), "2001-09-09T01:46:40Z");
    assert_string_equal(json_str(secret, "stringData", "single-use"), "true");
    assert_true(join_token_matches(&token, json_str(secret, "stringData", JOIN_TOKEN_DIGEST)));
    json_auto_t *lasting = join_secret_make(&token, 0, false, NULL);
    assert_null(json_at(lasting, "stringData", "expiration"));
    assert_null(json_at(lasting, "stringData", "single-use"));
}

static void test_fields_are_base64(void **state)
{
    (void)state;
    json_auto_t *secret = json_object();
    join_secret_set_field(secret, "expiration", "2001-09-09T01:46:40Z");
    mem_auto char *text = join_secret_field(secret, "expiration");
    mem_auto char *none = join_secret_field(secret, "nothing");
    assert_string_equal(text, "2001-09-09T01:46:40Z");
    assert_string_equal(none, "");
    static const struct {
        int64_t now_s;
        bool expired;
    } cases[] = {{999999999, false}, {1000000000, true}, {1000000001, true}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        mem_auto char *until = NULL;
        assert_int_equal(join_secret_expired(secret, cases[i].now_s * 1000000, &until), cases[i].expired);
    }
    join_secret_set_field(secret, "expiration", "soon"); /* what cannot be read does not hold */
    mem_auto char *until = NULL;
    assert_true(join_secret_expired(secret, 0, &until));
    json_set_str(json_object_get(secret, "data"), "bad", "%%%");
    mem_auto char *bad = join_secret_field(secret, "bad");
    assert_string_equal(bad, "");
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_text_gives_the_token_back),
    cmocka_unit_test(test_new_tokens_are_well_formed_and_differ),
    cmocka_unit_test(test_damaged_text_is_refused),
    cmocka_unit_test(test_digest_knows_only_its_own_token),
    cmocka_unit_test(test_secret_keeps_what_is_needed),
    cmocka_unit_test(test_fields_are_base64),
};
UNIT_MAIN(tests)
