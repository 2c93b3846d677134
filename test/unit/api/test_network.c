/* /katena/v1 over HTTPS: a node that asks to be admitted, the nodes, and how far a change is. */
#include "unit.h"

#include "api/join.h"
#include "base/clock.h"
#include "base/hex.h"
#include "http_fixture.h"
#include "ledger/ledger.h"

#include <sodium.h>

#define CONFIGMAPS "/api/v1/namespaces/default/configmaps"
#define SECRETS "/api/v1/namespaces/kube-system/secrets"

static struct http_fixture f;

static int group_setup(void **state)
{
    (void)state;
    struct registry_validator *self = mem_zalloc(sizeof(*self));
    http_fixture_open(&f);
    snprintf(self->name, sizeof(self->name), "first");
    memcpy(self->key, ledger_node_public(f.ledger), TX_KEY_SIZE);
    snprintf(self->addresses[0], REGISTRY_ADDRESS_MAX, "10.0.0.1:6444");
    self->address_count = 1;
    int code = ledger_ensure_registered(f.ledger, self, NULL);
    free(self);
    return code;
}

static int group_teardown(void **state)
{
    (void)state;
    http_fixture_close(&f);
    return 0;
}

/* ---- tokens and requests ---- */

/* A token as katena token create makes it; NULL leaves a field out. */
static struct join_token make_token(const char *expiration, bool single_use)
{
    struct join_token token;
    uint8_t hash[PKI_HASH_SIZE];
    char digest[2 * JOIN_TOKEN_HASH_SIZE + 1];
    assert_int_equal(pki_ca_hash(hash, pki_ca_cert(f.pki), NULL), 0);
    join_token_make(&token, hash);
    join_token_digest(digest, &token);
    json_auto_t *secret =
        json_pack("{s:s, s:s, s:{s:o}, s:{s:s, s:s, s:s, s:s*, s:s*}}", "apiVersion", "v1", "kind", "Secret",
                  "metadata", "name", json_sprintf(JOIN_TOKEN_NAME_PREFIX "%s", token.id), "stringData",
                  "token-id", token.id, JOIN_TOKEN_DIGEST, digest, JOIN_TOKEN_USAGE, "true", "expiration",
                  expiration, JOIN_TOKEN_SINGLE_USE, single_use ? "true" : NULL);
    json_object_set_new(secret, "type", json_string(JOIN_TOKEN_SECRET_TYPE));
    char *text = json_dumps(secret, 0);
    json_decref(http_json(&f, 201, "POST", SECRETS, NULL, text));
    free(text);
    return token;
}

struct joining {
    struct join_request request;
    uint8_t secret_key[64];
};

static struct joining *begin(const char *name, const struct join_token *token)
{
    struct http_client c;
    struct joining *j = mem_zalloc(sizeof(*j));
    j->request = (struct join_request){.version = JOIN_VERSION, .token = *token, .address_count = 1};
    snprintf(j->request.name, sizeof(j->request.name), "%s", name);
    snprintf(j->request.addresses[0], REGISTRY_ADDRESS_MAX, "10.0.0.2:6444");
    crypto_sign_keypair(j->request.key, j->secret_key);
    http_connect(&c, &f, f.anonymous);
    http_ask(&c, "GET", JOIN_PATH, NULL, NULL);
    assert_int_equal(c.status, 200);
    assert_int_equal(join_challenge_decode(j->request.challenge, c.body.data, c.body.len, NULL), 0);
    http_disconnect(&c);
    return j;
}

/* Signs and asks, as nobody; the answer's status. body may be NULL. */
static int ask(struct joining *j, struct buf *body)
{
    struct http_client c;
    buf_auto struct buf text = BUF_INIT;
    join_request_sign(&j->request, j->secret_key);
    join_request_encode(&text, &j->request);
    http_connect(&c, &f, f.anonymous);
    http_ask(&c, "POST", JOIN_PATH, NULL, buf_str(&text));
    int status = c.status;
    if (body)
        buf_append(body, c.body.data, c.body.len);
    http_disconnect(&c);
    return status;
}

static void assert_refused(struct joining *j, int status, const char *why)
{
    buf_auto struct buf body = BUF_INIT;
    int got = ask(j, &body);
    if (got != status || !strstr(buf_str(&body), why))
        fail_msg("%d, not %d: %s", got, status, buf_str(&body));
}

/* ---- cases ---- */

static void test_anybody_gets_the_ca(void **state)
{
    (void)state;
    struct http_client c;
    http_connect(&c, &f, f.anonymous);
    http_ask(&c, "GET", JOIN_CA_PATH, NULL, NULL);
    assert_int_equal(c.status, 200);
    assert_string_equal(c.body.data, pki_ca_cert(f.pki));
    http_ask(&c, "GET", "/katena/v1/nodes", NULL, NULL);
    assert_int_equal(c.status, 401);
    http_ask(&c, "GET", "/katena/v1/tx/00", NULL, NULL);
    assert_int_equal(c.status, 401);
    http_ask(&c, "DELETE", JOIN_PATH, NULL, NULL);
    assert_int_equal(c.status, 405);
    http_disconnect(&c);
}

static void test_requests_that_do_not_hold(void **state)
{
    (void)state;
    struct join_token good = make_token(NULL, false), wrong = good;
    struct join_token expired = make_token("2001-01-01T00:00:00Z", false);
    wrong.secret[0] = wrong.secret[0] == 'b' ? 'c' : 'b';
    struct joining *j = begin("node-x", &wrong);
    assert_refused(j, 401, "does not know the token");
    j->request.token = expired;
    assert_refused(j, 401, "expired at 2001-01-01T00:00:00Z");
    j->request.token = good;
    j->request.token.ca_hash[0] ^= 1;
    assert_refused(j, 401, "another cluster");
    j->request.token = good;
    j->request.challenge[9] ^= 1;
    assert_refused(j, 401, "challenge");
    j->request.challenge[9] ^= 1;
    j->request.key[0] ^= 1;
    assert_refused(j, 401, "not signed by the node key");
    j->request.key[0] ^= 1;
    j->request.version = JOIN_VERSION + 1;
    assert_refused(j, 409, "Use the same program on both");
    j->request.version = JOIN_VERSION;
    snprintf(j->request.name, sizeof(j->request.name), "Bad_Name");
    assert_refused(j, 422, "no name for a node");
    snprintf(j->request.name, sizeof(j->request.name), "first");
    assert_refused(j, 409, "another key");
    free(j);
}

static void test_a_change_alone_is_final_at_once(void **state)
{
    (void)state;
    struct http_client c;
    http_connect(&c, &f, f.admin);
    http_ask(&c, "POST", CONFIGMAPS "?commit=irreversible", NULL, "{\"metadata\":{\"name\":\"alone\"}}");
    assert_int_equal(c.status, 201);
    assert_non_null(strstr(buf_str(&c.headers), "Katena-Tx: "));
    assert_non_null(strstr(buf_str(&c.headers), "Katena-Height: "));
    http_ask(&c, "POST", CONFIGMAPS "?commit=sometime", NULL, "{\"metadata\":{\"name\":\"never\"}}");
    assert_int_equal(c.status, 400);
    http_ask(&c, "POST", CONFIGMAPS, "Katena-Commit: nonsense\r\n", "{\"metadata\":{\"name\":\"never\"}}");
    assert_int_equal(c.status, 400);
    http_ask(&c, "POST", CONFIGMAPS "?commit=irreversible&commitTimeout=x", NULL,
             "{\"metadata\":{\"name\":\"never\"}}");
    assert_int_equal(c.status, 400);
    http_ask(&c, "GET", CONFIGMAPS "/never", NULL, NULL);
    assert_int_equal(c.status, 404);
    http_disconnect(&c);
    json_auto_t *status = http_json(
        &f, 200, "GET", "/katena/v1/tx?resource=configmaps&namespace=default&name=alone", NULL, NULL);
    assert_string_equal(json_str(status, "level"), "irreversible");
    mem_auto char *short_path =
        mem_printf("/katena/v1/tx/%.10s?wait=irreversible", json_str(status, "transaction"));
    json_auto_t *again = http_json(&f, 200, "GET", short_path, NULL, NULL);
    assert_string_equal(json_str(again, "transaction"), json_str(status, "transaction"));
    mem_auto char *unknown = mem_printf("/katena/v1/tx/%064d", 1);
    json_auto_t *none = http_json(&f, 200, "GET", unknown, NULL, NULL);
    assert_string_equal(json_str(none, "level"), "unknown");
    json_decref(
        http_json(&f, 404, "GET", "/katena/v1/tx?resource=pods&namespace=default&name=x", NULL, NULL));
    json_decref(http_json(&f, 400, "GET", "/katena/v1/tx", NULL, NULL));
}

static void test_the_only_node_stays(void **state)
{
    (void)state;
    json_auto_t *refusal = http_json(&f, 409, "DELETE", "/katena/v1/nodes/first", NULL, NULL);
    assert_non_null(strstr(json_str(refusal, "message"), "the only node"));
    json_decref(http_json(&f, 404, "DELETE", "/katena/v1/nodes/nobody", NULL, NULL));
    json_auto_t *nodes = http_json(&f, 200, "GET", "/katena/v1/nodes", NULL, NULL);
    assert_int_equal(json_array_size(json_at(nodes, "items")), 1);
}

/* The second node is admitted, but never seen: what needs its word waits. From here on that is so. */
static void test_a_node_is_admitted(void **state)
{
    (void)state;
    struct join_token token = make_token(NULL, true);
    struct joining *j = begin("second", &token), *other = begin("third", &token);
    struct join_answer answer;
    struct err err;
    buf_auto struct buf body = BUF_INIT;
    assert_int_equal(ask(j, &body), 200);
    if (join_answer_decode(&answer, body.data, body.len, &err))
        fail_msg("%s", err.message);
    assert_memory_equal(answer.chain_id, ledger_chain_id(f.ledger), TX_ID_SIZE);
    assert_memory_equal(answer.shared.seal_key, pki_seal_key(f.pki), PKI_SEAL_KEY_SIZE);
    assert_string_equal(answer.shared.ca_cert, pki_ca_cert(f.pki));
    assert_int_equal(answer.peer_count, 2);
    join_answer_free(&answer);
    assert_int_equal(ask(j, NULL), 200); /* the same node may ask again */
    assert_refused(other, 401, "another one has used it");
    json_auto_t *node = http_json(&f, 200, "GET", "/katena/v1/nodes/second", NULL, NULL);
    assert_string_equal(json_string_value(json_array_get(json_at(node, "addresses"), 0)), "10.0.0.2:6444");
    free(j);
    free(other);
}

static void test_a_change_that_cannot_become_final(void **state)
{
    (void)state;
    struct http_client c;
    http_connect(&c, &f, f.admin);
    int64_t begin_us = clock_mono_us();
    http_ask(&c, "POST", CONFIGMAPS "?commit=irreversible&commitTimeout=300ms", NULL,
             "{\"metadata\":{\"name\":\"waits\"}}");
    assert_int_equal(c.status, 504);
    assert_true(clock_mono_us() - begin_us >= 300000);
    assert_non_null(strstr(c.body.data, "katena chain status "));
    assert_non_null(strstr(buf_str(&c.headers), "Katena-Tx: "));
    http_ask(&c, "GET", CONFIGMAPS "/waits", NULL, NULL); /* it is there all the same */
    assert_int_equal(c.status, 200);
    http_ask(&c, "POST", CONFIGMAPS "?commitTimeout=100ms", NULL,
             "{\"metadata\":{\"name\":\"noted\",\"annotations\":{\"katena.io/commit\":\"irreversible\"}}}");
    assert_int_equal(c.status, 504);
    http_disconnect(&c);
    json_auto_t *status = http_json(&f, 200, "GET",
                                    "/katena/v1/tx?resource=configmaps&namespace=default&name=waits&"
                                    "wait=irreversible&timeout=100ms",
                                    NULL, NULL);
    assert_string_equal(json_str(status, "level"), "included");
    assert_true(json_bool_at(status, "timedOut"));
}

/* Last, since it stops the server: nobody is left waiting. */
static void test_a_stop_ends_the_waiting(void **state)
{
    (void)state;
    struct http_client c;
    http_connect(&c, &f, f.admin);
    static const char request[] = "GET /katena/v1/tx?resource=configmaps&namespace=default&name=waits&"
                                  "wait=irreversible&timeout=60s HTTP/1.1\r\nHost: x\r\n\r\n";
    assert_true(http_send_text(&c, request));
    usleep(200000);
    int64_t begin_us = clock_mono_us();
    api_server_stop(f.server);
    f.server = NULL;
    assert_true(clock_mono_us() - begin_us < 5000000);
    http_disconnect(&c);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_anybody_gets_the_ca),
    cmocka_unit_test(test_requests_that_do_not_hold),
    cmocka_unit_test(test_a_change_alone_is_final_at_once),
    cmocka_unit_test(test_the_only_node_stays),
    cmocka_unit_test(test_a_node_is_admitted),
    cmocka_unit_test(test_a_change_that_cannot_become_final),
    cmocka_unit_test(test_a_stop_ends_the_waiting),
};

int main(void)
{
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
