/* The API over HTTPS: who may ask what, representations, streams, and clients that misbehave. */
#include "unit.h"

#include "base/clock.h"
#include "http_fixture.h"

#define CONFIGMAPS "/api/v1/namespaces/default/configmaps"

static struct http_fixture f;

static int group_setup(void **state)
{
    (void)state;
    http_fixture_open(&f);
    return 0;
}

static int group_teardown(void **state)
{
    (void)state;
    http_fixture_close(&f);
    return 0;
}

static void create_configmap(const char *name)
{
    mem_auto char *body =
        mem_printf("{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"%s\"}}", name);
    json_decref(http_json(&f, 201, "POST", CONFIGMAPS, NULL, body));
}

/* ---- who asks ---- */

static int status_of(gnutls_certificate_credentials_t credentials, const char *method, const char *path,
                     const char *headers)
{
    struct http_client c;
    http_connect(&c, &f, credentials);
    http_ask(&c, method, path, headers, NULL);
    int status = c.status;
    http_disconnect(&c);
    return status;
}

static void test_anonymous_sees_health_and_version_only(void **state)
{
    (void)state;
    assert_int_equal(status_of(f.anonymous, "GET", "/livez", NULL), 200);
    assert_int_equal(status_of(f.anonymous, "GET", "/readyz?verbose", NULL), 200);
    assert_int_equal(status_of(f.anonymous, "GET", "/healthz", NULL), 200);
    assert_int_equal(status_of(f.anonymous, "GET", "/version", NULL), 200);
    static const char *const closed[] = {"/",        "/api",        "/apis",           "/api/v1/pods",
                                         "/metrics", "/openapi/v2", "/openid/v1/jwks", "/nothing"};
    for (size_t i = 0; i < sizeof(closed) / sizeof(*closed); i++)
        assert_int_equal(status_of(f.anonymous, "GET", closed[i], NULL), 401);
    assert_int_equal(status_of(f.anonymous, "POST", CONFIGMAPS, NULL), 401);
    assert_int_equal(status_of(f.anonymous, "GET", "/livez", "Impersonate-User: system:admin\r\n"), 403);
}

static void test_users_without_rights_are_refused(void **state)
{
    (void)state;
    struct http_client c;
    http_connect(&c, &f, f.stranger);
    http_ask(&c, "GET", CONFIGMAPS, NULL, NULL);
    assert_int_equal(c.status, 403);
    assert_non_null(strstr(c.body.data,
                           "configmaps is forbidden: User \\\"stranger\\\" cannot list resource "
                           "\\\"configmaps\\\" in API group \\\"\\\" in the namespace \\\"default\\\""));
    http_ask(&c, "GET", "/api/v1/nothings", NULL, NULL); /* not even whether it exists */
    assert_int_equal(c.status, 403);
    http_ask(&c, "GET", "/metrics", NULL, NULL);
    assert_int_equal(c.status, 403);
    http_ask(&c, "GET", "/api", NULL, NULL); /* system:discovery */
    assert_int_equal(c.status, 200);
    http_disconnect(&c);
}

static void test_foreign_certificates_are_nobody(void **state)
{
    (void)state;
    static const char *const masters[] = {"system:masters"};
    struct scratch scratch;
    struct pki *other;
    scratch_make(&scratch);
    struct pki_options options = {.data_dir = scratch.path, .node_name = "node"};
    assert_int_equal(pki_open(&other, &options, NULL), 0);
    gnutls_certificate_credentials_t theirs = http_credentials(other, "system:admin", masters, 1);
    gnutls_datum_t ca = {(unsigned char *)pki_ca_cert(f.pki), (unsigned)strlen(pki_ca_cert(f.pki))};
    assert_true(gnutls_certificate_set_x509_trust_mem(theirs, &ca, GNUTLS_X509_FMT_PEM) > 0);
    assert_int_equal(status_of(theirs, "GET", CONFIGMAPS, NULL), 401);
    gnutls_certificate_free_credentials(theirs);
    pki_close(other);
    scratch_remove(&scratch);
}

static void test_a_server_certificate_is_no_client(void **state)
{
    (void)state;
    gnutls_certificate_credentials_t node = http_credentials(f.pki, NULL, NULL, 0);
    gnutls_datum_t c = {(unsigned char *)pki_serving_cert(f.pki), (unsigned)strlen(pki_serving_cert(f.pki))};
    gnutls_datum_t k = {(unsigned char *)pki_serving_key(f.pki), (unsigned)strlen(pki_serving_key(f.pki))};
    assert_int_equal(gnutls_certificate_set_x509_key_mem(node, &c, &k, GNUTLS_X509_FMT_PEM), 0);
    assert_int_equal(status_of(node, "GET", CONFIGMAPS, NULL), 401);
    gnutls_certificate_free_credentials(node);
}

static void test_impersonation(void **state)
{
    (void)state;
    assert_int_equal(status_of(f.admin, "GET", CONFIGMAPS, "Impersonate-User: bob\r\n"), 403);
    assert_int_equal(status_of(f.admin, "GET", CONFIGMAPS,
                               "Impersonate-User: bob\r\nImpersonate-Group: x\r\n"
                               "Impersonate-Group: system:masters\r\n"),
                     200);
    assert_int_equal(status_of(f.admin, "GET", CONFIGMAPS, "Impersonate-Group: system:masters\r\n"), 400);
    struct http_client c;
    http_connect(&c, &f, f.stranger);
    http_ask(&c, "GET", "/api", "Impersonate-User: bob\r\n", NULL);
    assert_int_equal(c.status, 403);
    assert_non_null(strstr(c.body.data,
                           "users \\\"bob\\\" is forbidden: User \\\"stranger\\\" cannot impersonate "
                           "resource \\\"users\\\" in API group \\\"\\\" at the cluster scope"));
    http_ask(&c, "GET", "/api", NULL, NULL); /* the connection's own user is as before */
    assert_int_equal(c.status, 200);
    http_disconnect(&c);
}

static void test_tokens(void **state)
{
    (void)state;
    static const char path[] = "/api/v1/namespaces/default/serviceaccounts/robot";
    json_decref(
        http_json(&f, 201, "POST", "/api/v1/namespaces/default/serviceaccounts", NULL,
                  "{\"kind\":\"ServiceAccount\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"robot\"}}"));
    mem_auto char *token_path = mem_printf("%s/token", path);
    json_t *token =
        http_json(&f, 201, "POST", token_path, NULL,
                  "{\"kind\":\"TokenRequest\",\"apiVersion\":\"authentication.k8s.io/v1\",\"spec\":{}}");
    mem_auto char *good =
        mem_printf("Authorization: Bearer %s\r\n", json_str_or_empty(token, "status", "token"));
    mem_auto char *bad =
        mem_printf("Authorization: Bearer %sx\r\n", json_str_or_empty(token, "status", "token"));
    json_decref(token);
    assert_int_equal(status_of(f.anonymous, "GET", "/api", good), 200);
    assert_int_equal(status_of(f.anonymous, "GET", CONFIGMAPS, good), 403);
    assert_int_equal(status_of(f.anonymous, "GET", "/api", bad), 401);
    assert_int_equal(status_of(f.anonymous, "GET", "/livez", bad), 401);
    assert_int_equal(status_of(f.anonymous, "GET", "/api", "Authorization: Basic eDp5\r\n"), 401);
    json_decref(http_json(&f, 200, "DELETE", path, NULL, NULL));
    assert_int_equal(status_of(f.anonymous, "GET", "/api", good), 401); /* its account is gone */
}

/* ---- TLS ---- */

static void test_only_tls_1_3(void **state)
{
    (void)state;
    struct http_client c;
    assert_int_equal(http_connect_with(&c, &f, f.admin, "NORMAL:-VERS-ALL:+VERS-TLS1.3"), 0);
    http_disconnect(&c);
    assert_true(http_connect_with(&c, &f, f.admin, "NORMAL:-VERS-ALL:+VERS-TLS1.2") < 0);
    http_disconnect(&c);
}

/* ---- what is asked ---- */

static void test_unknown_paths_and_methods(void **state)
{
    (void)state;
    static const char nothing[] = "the server could not find the requested resource";
    static const char method[] = "the server does not allow this method on the requested resource";
    http_expect_status(http_json(&f, 404, "GET", "/nothing", NULL, NULL), "NotFound", nothing);
    http_expect_status(http_json(&f, 404, "GET", "/api/v2/pods", NULL, NULL), "NotFound", nothing);
    http_expect_status(http_json(&f, 404, "GET", "/api/v1/nothings", NULL, NULL), "NotFound", nothing);
    http_expect_status(http_json(&f, 404, "GET", "/api/v1/namespaces/x/nodes", NULL, NULL), "NotFound",
                       nothing);
    http_expect_status(http_json(&f, 404, "GET", "/apis/none.example", NULL, NULL), "NotFound", nothing);
    http_expect_status(http_json(&f, 405, "BREW", CONFIGMAPS, NULL, NULL), "MethodNotAllowed", method);
    http_expect_status(http_json(&f, 405, "PUT", CONFIGMAPS, NULL, "{}"), "MethodNotAllowed", method);
    http_expect_status(http_json(&f, 405, "POST", "/api/v1/configmaps", NULL, "{}"), "MethodNotAllowed",
                       method);
    http_expect_status(http_json(&f, 405, "POST", "/version", NULL, "{}"), "MethodNotAllowed", method);
    http_expect_status(http_json(&f, 400, "GET", CONFIGMAPS "?limit=ten", NULL, NULL), "BadRequest",
                       "strconv.ParseInt: parsing \"ten\": invalid syntax");
    http_expect_status(
        http_json(&f, 422, "POST", CONFIGMAPS "?dryRun=some", NULL, "{}"), "Invalid",
        "CreateOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: \"some\": supported "
        "values: \"All\"");
    json_decref(http_json(&f, 200, "GET", CONFIGMAPS "?dryRun=some", NULL, NULL));
    http_expect_status(http_json(&f, 406, "GET", CONFIGMAPS, "Accept: text/html\r\n", NULL), "NotAcceptable",
                       "only the following media types are accepted: application/json, application/yaml, "
                       "application/vnd.kubernetes.protobuf");
}

static void test_discovery(void **state)
{
    (void)state;
    struct http_client c;
    http_connect(&c, &f, f.admin);
    http_ask(
        &c, "GET", "/apis",
        "Accept: application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json\r\n",
        NULL);
    assert_int_equal(c.status, 200);
    assert_non_null(strstr(c.headers.data, "as=APIGroupDiscoveryList"));
    json_t *list = json_loadb(c.body.data, c.body.len, 0, NULL);
    assert_string_equal(json_str_or_empty(list, "apiVersion"), "apidiscovery.k8s.io/v2");
    json_decref(list);
    char *tag = strcasestr(c.headers.data, "ETag: ");
    assert_non_null(tag);
    mem_auto char *again = mem_printf("Accept: application/json;g=apidiscovery.k8s.io;v=v2;"
                                      "as=APIGroupDiscoveryList\r\nIf-None-Match: %.*s\r\n",
                                      (int)strcspn(tag + 6, "\n"), tag + 6);
    http_ask(&c, "GET", "/apis", again, NULL);
    assert_int_equal(c.status, 304);
    http_ask(&c, "GET", "/apis/apps/v1", NULL, NULL);
    assert_non_null(strstr(c.body.data, "\"deployments/scale\""));
    http_ask(&c, "GET", "/api", NULL, NULL);
    assert_non_null(strstr(c.body.data, "\"APIVersions\""));
    http_disconnect(&c);
}

static void test_representations(void **state)
{
    (void)state;
    create_configmap("forms");
    struct http_client c;
    http_connect(&c, &f, f.admin);
    http_ask(&c, "GET", CONFIGMAPS "/forms", "Accept: application/yaml\r\n", NULL);
    assert_non_null(strstr(c.headers.data, "Content-Type: application/yaml"));
    assert_non_null(strstr(c.body.data, "kind: ConfigMap\n"));
    http_ask(&c, "GET", CONFIGMAPS "/forms", "Accept: application/vnd.kubernetes.protobuf\r\n", NULL);
    assert_memory_equal(c.body.data, "k8s\0", 4);
    http_ask(&c, "GET", CONFIGMAPS, "Accept: application/vnd.kubernetes.protobuf\r\n", NULL);
    assert_memory_equal(c.body.data, "k8s\0", 4);
    http_ask(&c, "GET", CONFIGMAPS, "Accept: application/json;as=Table;v=v1;g=meta.k8s.io\r\n", NULL);
    assert_non_null(strstr(c.body.data, "\"kind\":\"Table\""));
    assert_non_null(strstr(c.body.data, "\"columnDefinitions\":[{"));
    http_ask(&c, "GET", CONFIGMAPS "?includeObject=None",
             "Accept: application/json;as=Table;v=v1;g=meta.k8s.io\r\n", NULL);
    assert_null(strstr(c.body.data, "PartialObjectMetadata"));
    http_ask(&c, "GET", CONFIGMAPS,
             "Accept: application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io\r\n", NULL);
    assert_non_null(strstr(c.body.data, "\"kind\":\"PartialObjectMetadataList\""));
    http_ask(&c, "GET", CONFIGMAPS "/absent", "Accept: application/json;as=Table;v=v1;g=meta.k8s.io\r\n",
             NULL);
    assert_int_equal(c.status, 404);
    assert_non_null(strstr(c.body.data, "\"kind\":\"Status\""));
    assert_true(http_send_text(&c, "HEAD /version HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    assert_true(http_receive_head(&c));
    assert_int_equal(c.status, 200);
    http_ask(&c, "GET", "/livez", NULL, NULL); /* no body followed */
    assert_string_equal(c.body.data, "ok");
    http_disconnect(&c);
}

static void test_a_long_list_is_streamed(void **state)
{
    (void)state;
    struct http_client c;
    http_connect(&c, &f, f.admin);
    mem_auto char *filler = mem_zalloc(4001);
    memset(filler, 'x', 4000);
    for (int i = 0; i < 60; i++) {
        mem_auto char *body =
            mem_printf("{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":"
                       "\"long-%d\",\"labels\":{\"long\":\"yes\"}},\"data\":{\"x\":\"%s\"}}",
                       i, filler);
        http_ask(&c, "POST", CONFIGMAPS, NULL, body);
        assert_int_equal(c.status, 201);
    }
    http_ask(&c, "GET", CONFIGMAPS "?labelSelector=long%3Dyes", NULL, NULL);
    assert_non_null(strcasestr(c.headers.data, "Transfer-Encoding: chunked"));
    json_t *list = json_loadb(c.body.data, c.body.len, 0, NULL);
    assert_non_null(list);
    assert_int_equal(json_array_size(json_at(list, "items")), 60);
    assert_true(strlen(json_str_or_empty(list, "metadata", "resourceVersion")) > 10);
    json_decref(list);
    http_disconnect(&c);
}

/* ---- watches ---- */

static void watch_open(struct http_client *c, const char *query, const char *headers)
{
    mem_auto char *text = mem_printf("GET " CONFIGMAPS "?watch=true%s HTTP/1.1\r\nHost: localhost\r\n%s\r\n",
                                     query, headers ? headers : "");
    http_connect(c, &f, f.admin);
    assert_true(http_send_text(c, text));
    assert_true(http_receive_head(c));
}

/* Chunks until the body has text in it. */
static void watch_until(struct http_client *c, const char *text)
{
    while (c->body.len == 0 || !memmem(c->body.data, c->body.len, text, strlen(text)))
        if (!http_chunk(c, &c->body))
            fail_msg("the watch ended without %s: %s", text, buf_str(&c->body));
}

static void test_a_watch_sees_changes(void **state)
{
    (void)state;
    struct http_client json;
    struct http_client table;
    struct http_client protobuf;
    watch_open(&json, "&fieldSelector=metadata.name%3Dseen", NULL);
    watch_open(&table, "&fieldSelector=metadata.name%3Dseen",
               "Accept: application/json;as=Table;v=v1;g=meta.k8s.io\r\n");
    watch_open(&protobuf, "&fieldSelector=metadata.name%3Dseen",
               "Accept: application/vnd.kubernetes.protobuf\r\n");
    assert_int_equal(json.status, 200);
    assert_non_null(strstr(protobuf.headers.data, "application/vnd.kubernetes.protobuf;stream=watch"));
    create_configmap("seen");
    json_decref(http_json(&f, 200, "DELETE", CONFIGMAPS "/seen", NULL, NULL));
    watch_until(&json, "{\"type\":\"ADDED\",\"object\":{\"kind\":\"ConfigMap\"");
    watch_until(&json, "{\"type\":\"DELETED\"");
    watch_until(&table, "\"kind\":\"Table\"");
    watch_until(&table, "\"columnDefinitions\":[{");
    watch_until(&table, "\"columnDefinitions\":[]"); /* the second event repeats no columns */
    watch_until(&protobuf, "DELETED");
    const unsigned char *p = (const unsigned char *)protobuf.body.data;
    size_t first = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
    assert_true(first + 4 < protobuf.body.len);
    assert_memory_equal(p + 4,
                        "\x0a\x05"
                        "ADDED",
                        7);
    http_disconnect(&json);
    http_disconnect(&table);
    http_disconnect(&protobuf);
}

static void test_a_watch_of_one_object(void **state)
{
    (void)state;
    static const char *const paths[] = {CONFIGMAPS "/only?watch=true",
                                        "/api/v1/watch/namespaces/default/configmaps/only"};
    create_configmap("other");
    create_configmap("only");
    for (size_t i = 0; i < 2; i++) {
        struct http_client c;
        mem_auto char *text = mem_printf("GET %s HTTP/1.1\r\nHost: a\r\n\r\n", paths[i]);
        http_connect(&c, &f, f.admin);
        assert_true(http_send_text(&c, text));
        assert_true(http_receive_head(&c));
        watch_until(&c, "\"name\":\"only\"");
        assert_null(strstr(c.body.data, "\"name\":\"other\""));
        http_disconnect(&c);
    }
}

static void test_a_watch_ends_in_time(void **state)
{
    (void)state;
    struct http_client c;
    watch_open(&c, "&timeoutSeconds=1&fieldSelector=metadata.name%3Dnone", NULL);
    assert_int_equal(c.status, 200);
    assert_false(http_chunk(&c, &c.body));
    assert_false(c.ended); /* a clean end, and the connection is good for more */
    http_ask(&c, "GET", "/version", NULL, NULL);
    assert_int_equal(c.status, 200);
    http_disconnect(&c);
}

static unsigned watchers(void)
{
    struct http_client c;
    http_connect(&c, &f, f.admin);
    http_ask(&c, "GET", "/metrics", NULL, NULL);
    unsigned n = (unsigned)atoi(strstr(c.body.data, "\napiserver_registered_watchers ") + 31);
    http_disconnect(&c);
    return n;
}

static void test_a_client_that_hangs_up_frees_its_watch(void **state)
{
    (void)state;
    struct http_client whole;
    struct http_client half;
    watch_open(&whole, "", NULL);
    watch_open(&half, "", NULL);
    assert_int_equal(watchers(), 2);
    http_disconnect(&whole);
    shutdown(half.fd, SHUT_WR);
    for (int i = 0; i < 500 && watchers() > 0; i++)
        usleep(10000);
    assert_int_equal(watchers(), 0);
    http_disconnect(&half);
}

/* ---- clients that misbehave ---- */

static void test_large_bodies(void **state)
{
    (void)state;
    static const char message[] = "Request entity too large: limit is 3145728";
    char *body = mem_alloc(10 * 1024 * 1024 + 1);
    memset(body, ' ', 10 * 1024 * 1024);
    body[10 * 1024 * 1024] = '\0';
    http_expect_status(http_json(&f, 413, "POST", CONFIGMAPS, NULL, body), "RequestEntityTooLarge", message);
    free(body);
    /* A client that waits for leave, or announces what nobody would read, is told at once. */
    assert_int_equal(
        status_of(f.admin, "POST", CONFIGMAPS, "Expect: 100-continue\r\nContent-Length: 4000000\r\n"), 413);
    assert_int_equal(status_of(f.admin, "POST", CONFIGMAPS, "Content-Length: 99999999999\r\n"), 413);
}

static void test_broken_requests(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "\r\n\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00",
        "GET /version HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        "GET /%00/x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /version HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n",
        "POST " CONFIGMAPS
        " HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\n{\"a"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        struct http_client c;
        http_connect(&c, &f, f.admin);
        http_send_text(&c, texts[i]);
        gnutls_bye(c.session, GNUTLS_SHUT_WR);
        shutdown(c.fd, SHUT_WR);
        while (http_more(&c)) /* whatever comes, the connection ends */
            ;
        http_disconnect(&c);
    }
    struct http_client plain; /* no TLS at all */
    http_connect_tcp(&plain, &f);
    assert_true(write(plain.fd, "GET / HTTP/1.1\r\n\r\n", 18) == 18);
    http_disconnect(&plain);
    assert_int_equal(status_of(f.admin, "GET", "/version", NULL), 200);
}

static void test_bad_json(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "",
        "{",
        "[]",
        "\"x\"",
        "{\"kind\":\"Pod\",\"apiVersion\":\"v1\"}",
        "{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":7}}",
        "{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"data\":{\"a\":1}}",
        "\xff\xfe",
        "{\"a\":{\"a\":{\"a\":{\"a\""};
    for (size_t i = 0; i < sizeof(bodies) / sizeof(*bodies); i++)
        http_expect_status(http_json(&f, 400, "POST", CONFIGMAPS, NULL, bodies[i]), "BadRequest", NULL);
}

static void test_a_slow_client_holds_up_nobody(void **state)
{
    (void)state;
    struct http_client slow[8];
    for (size_t i = 0; i < 8; i++) {
        http_connect(&slow[i], &f, f.admin);
        assert_true(http_send_text(&slow[i], i % 2 ? "GET /ver"
                                                   : "POST " CONFIGMAPS
                                                     " HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{"));
    }
    for (int i = 0; i < 20; i++)
        assert_int_equal(status_of(f.admin, "GET", "/version", NULL), 200);
    for (size_t i = 0; i < 8; i++)
        http_disconnect(&slow[i]);
}

/* A client that closes its side before it has the answer: libmicrohttpd hangs up on it when the end is read
 * before the block is made. Either way the request is carried out, and nobody else is disturbed. */
static void test_a_half_closed_client_is_served(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        struct http_client c;
        mem_auto char *body = mem_printf(
            "{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"half-%d\"}}", i);
        mem_auto char *text =
            mem_printf("POST " CONFIGMAPS " HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                       "Content-Length: %zu\r\n\r\n%s",
                       strlen(body), body);
        http_connect(&c, &f, f.admin);
        assert_true(http_send_text(&c, text));
        if (i % 2)
            gnutls_bye(c.session, GNUTLS_SHUT_WR);
        shutdown(c.fd, SHUT_WR);
        if (http_receive(&c))
            assert_int_equal(c.status, 201);
        else
            assert_true(c.ended);
        http_disconnect(&c);
        mem_auto char *path = mem_printf(CONFIGMAPS "/half-%d", i);
        int64_t until_us = clock_mono_us() + 10000000;
        while (status_of(f.admin, "GET", path, NULL) != 200)
            assert_true(clock_mono_us() < until_us);
    }
}

static void test_a_thousand_connections(void **state)
{
    (void)state;
    enum { COUNT = 1000 };
    struct http_client *clients = mem_calloc(COUNT, sizeof(*clients));
    /* A connection without a request is not kept for long, and so many handshakes may take longer. */
    for (int i = 0; i < COUNT; i++) {
        http_connect(&clients[i], &f, f.admin);
        assert_true(http_send_text(&clients[i], "GET /version HTTP/1.1\r\nHost: a\r\n\r\n"));
    }
    for (int i = 0; i < COUNT; i++) {
        assert_true(http_receive(&clients[i]));
        assert_int_equal(clients[i].status, 200);
        http_disconnect(&clients[i]);
    }
    free(clients);
    assert_int_equal(status_of(f.admin, "GET", "/version", NULL), 200);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_anonymous_sees_health_and_version_only),
        cmocka_unit_test(test_users_without_rights_are_refused),
        cmocka_unit_test(test_foreign_certificates_are_nobody),
        cmocka_unit_test(test_a_server_certificate_is_no_client),
        cmocka_unit_test(test_impersonation),
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_only_tls_1_3),
        cmocka_unit_test(test_unknown_paths_and_methods),
        cmocka_unit_test(test_discovery),
        cmocka_unit_test(test_representations),
        cmocka_unit_test(test_a_long_list_is_streamed),
        cmocka_unit_test(test_a_watch_sees_changes),
        cmocka_unit_test(test_a_watch_of_one_object),
        cmocka_unit_test(test_a_watch_ends_in_time),
        cmocka_unit_test(test_a_client_that_hangs_up_frees_its_watch),
        cmocka_unit_test(test_large_bodies),
        cmocka_unit_test(test_broken_requests),
        cmocka_unit_test(test_bad_json),
        cmocka_unit_test(test_a_slow_client_holds_up_nobody),
        cmocka_unit_test(test_a_half_closed_client_is_served),
        cmocka_unit_test(test_a_thousand_connections),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
