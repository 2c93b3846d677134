/* What a joining and an admitting node say to each other. */
#include "unit.h"

#include "api/join.h"
#include "base/mem.h"
#include "codec/json.h"

#include <sodium.h>

static const uint8_t seal_key[PKI_SEAL_KEY_SIZE] = {1, 2, 3};

static void make_request(struct join_request *out, uint8_t secret_key[64])
{
    uint8_t hash[JOIN_TOKEN_HASH_SIZE] = {7};
    *out = (struct join_request){.version = JOIN_VERSION, .program = "katena/test", .name = "node-b"};
    crypto_sign_keypair(out->key, secret_key);
    join_token_make(&out->token, hash);
    snprintf(out->addresses[0], sizeof(out->addresses[0]), "10.0.0.2:6444");
    snprintf(out->addresses[1], sizeof(out->addresses[1]), "[fd00::2]:6444");
    out->address_count = 2;
    join_challenge_make(out->challenge, seal_key, 1000);
    join_request_sign(out, secret_key);
}

static void test_request_survives_the_way(void **state)
{
    (void)state;
    struct join_request request, back;
    uint8_t secret_key[64];
    struct err err;
    buf_auto struct buf text = BUF_INIT;
    make_request(&request, secret_key);
    join_request_encode(&text, &request);
    if (join_request_decode(&back, text.data, text.len, &err))
        fail_msg("%s", err.message);
    assert_string_equal(back.name, "node-b");
    assert_string_equal(back.addresses[1], "[fd00::2]:6444");
    assert_int_equal(back.address_count, 2);
    assert_memory_equal(back.key, request.key, sizeof(back.key));
    assert_memory_equal(&back.token, &request.token, sizeof(back.token));
    assert_true(join_request_verify(&back));
}

static void test_signature_covers_every_claim(void **state)
{
    (void)state;
    struct join_request request, changed;
    uint8_t secret_key[64];
    make_request(&request, secret_key);
    changed = request;
    changed.name[0] = 'm';
    assert_false(join_request_verify(&changed));
    changed = request;
    changed.addresses[0][0] = '2';
    assert_false(join_request_verify(&changed));
    changed = request;
    changed.address_count = 1;
    assert_false(join_request_verify(&changed));
    changed = request;
    changed.challenge[0] ^= 1;
    assert_false(join_request_verify(&changed));
    changed = request;
    changed.token.id[0] = changed.token.id[0] == 'b' ? 'c' : 'b';
    assert_false(join_request_verify(&changed));
    changed = request;
    changed.key[0] ^= 1;
    assert_false(join_request_verify(&changed));
}

/* The request with one member set to a value; NULL takes the member away. */
static int decode_with(const char *member, json_t *value, struct err *err)
{
    struct join_request request, back;
    uint8_t secret_key[64];
    buf_auto struct buf text = BUF_INIT, changed = BUF_INIT;
    make_request(&request, secret_key);
    join_request_encode(&text, &request);
    json_auto_t *object = json_parse(text.data, text.len, NULL);
    if (value)
        json_object_set_new(object, member, value);
    else
        json_object_del(object, member);
    json_dump_buf(&changed, object);
    return join_request_decode(&back, changed.data, changed.len, err);
}

static void test_bad_requests_are_refused(void **state)
{
    (void)state;
    struct join_request back;
    struct err err;
    static const char *const names[] = {"", "Node", "a_b", "-a", "a/b", "a b"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        assert_int_equal(decode_with("name", json_string(names[i]), &err), ERR_INVALID);
    assert_int_equal(decode_with("key", json_string("00"), &err), ERR_INVALID);
    assert_int_equal(decode_with("key", NULL, &err), ERR_INVALID);
    assert_int_equal(decode_with("signature", json_integer(1), &err), ERR_INVALID);
    assert_int_equal(decode_with("token", json_string("abc"), &err), ERR_INVALID);
    assert_int_equal(decode_with("addresses", json_pack("[s]", "no-port"), &err), ERR_INVALID);
    assert_int_equal(decode_with("addresses", json_pack("[i]", 1), &err), ERR_INVALID);
    assert_int_equal(
        decode_with("addresses",
                    json_pack("[sssssssss]", "a:1", "a:2", "a:3", "a:4", "a:5", "a:6", "a:7", "a:8", "a:9"),
                    &err),
        ERR_INVALID);
    assert_int_equal(decode_with("addresses", NULL, &err), 0);
    assert_int_equal(join_request_decode(&back, "[]", 2, &err), ERR_BAD_REQUEST);
    assert_int_equal(join_request_decode(&back, "{", 1, &err), ERR_BAD_REQUEST);
    /* Another version is for the caller to name. */
    assert_int_equal(decode_with("version", json_integer(9), &err), 0);
}

static void test_addresses(void **state)
{
    (void)state;
    static const char *const good[] = {"10.0.0.1:6444", "a-b.example:1", "[::1]:65535",
                                       "[fe80::1%eth0]:6444"};
    static const char *const bad[] = {"",     ":6444",     "a",        "a:",        "a:0",   "a:65536",
                                      "a:1x", "::1:6444",  "[]:1",     "a b:1",     "a\n:1", "http://a:1",
                                      "a:-1", "[::1:6444", "a:000001", "[a/b]:6444"};
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
        assert_true(join_address_valid(good[i]));
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        if (join_address_valid(bad[i]))
            fail_msg("%s", bad[i]);
}

static void test_challenges_expire(void **state)
{
    (void)state;
    uint8_t challenge[JOIN_CHALLENGE_SIZE], back[JOIN_CHALLENGE_SIZE];
    const uint8_t other_key[PKI_SEAL_KEY_SIZE] = {9};
    buf_auto struct buf text = BUF_INIT;
    join_challenge_make(challenge, seal_key, 1000);
    join_challenge_encode(&text, challenge);
    assert_int_equal(join_challenge_decode(back, text.data, text.len, NULL), 0);
    assert_true(join_challenge_holds(back, seal_key, 1000));
    assert_true(join_challenge_holds(back, seal_key, 1119));
    assert_false(join_challenge_holds(back, seal_key, 1121));
    assert_false(join_challenge_holds(back, seal_key, 900));
    assert_false(join_challenge_holds(back, other_key, 1000));
    back[0] ^= 1; /* another time, for which nobody vouches */
    assert_false(join_challenge_holds(back, seal_key, 1000));
    static const char old[] = "{\"version\":0,\"challenge\":\"\"}";
    assert_int_equal(join_challenge_decode(back, old, sizeof(old) - 1, NULL), ERR_CONFLICT);
}

static void test_answer_survives_the_way(void **state)
{
    (void)state;
    struct join_answer answer = {.version = JOIN_VERSION, .chain_id = {5}}, back;
    buf_auto struct buf text = BUF_INIT;
    answer.shared = (struct pki_shared){.ca_cert = mem_strdup("cert\n"),
                                        .ca_key = mem_strdup("key\n"),
                                        .service_account_key = mem_strdup("account\n"),
                                        .seal_key = {6}};
    snprintf(answer.cluster_cidr, sizeof(answer.cluster_cidr), "10.42.0.0/16");
    snprintf(answer.service_cidr, sizeof(answer.service_cidr), "10.43.0.0/16");
    answer.peers = mem_calloc(1, sizeof(*answer.peers));
    answer.peer_count = 1;
    snprintf(answer.peers[0].name, sizeof(answer.peers[0].name), "node-a");
    answer.peers[0].key[0] = 8;
    snprintf(answer.peers[0].addresses[0], REGISTRY_ADDRESS_MAX, "10.0.0.1:6444");
    answer.peers[0].address_count = 1;
    join_answer_encode(&text, &answer);
    assert_int_equal(join_answer_decode(&back, text.data, text.len, NULL), 0);
    assert_string_equal(back.shared.ca_key, "key\n");
    assert_int_equal(back.shared.seal_key[0], 6);
    assert_string_equal(back.service_cidr, "10.43.0.0/16");
    assert_int_equal(back.peer_count, 1);
    assert_string_equal(back.peers[0].addresses[0], "10.0.0.1:6444");
    assert_int_equal(back.peers[0].key[0], 8);
    join_answer_free(&back);
    static const char poor[] = "{\"version\":1,\"caCert\":\"x\"}";
    assert_int_equal(join_answer_decode(&back, poor, sizeof(poor) - 1, NULL), ERR_BAD_REQUEST);
    join_answer_free(&answer);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_request_survives_the_way), cmocka_unit_test(test_signature_covers_every_claim),
    cmocka_unit_test(test_bad_requests_are_refused), cmocka_unit_test(test_addresses),
    cmocka_unit_test(test_challenges_expire),        cmocka_unit_test(test_answer_survives_the_way),
};
UNIT_MAIN(tests)
