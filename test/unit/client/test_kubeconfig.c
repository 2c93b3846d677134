/* Kubeconfigs: the current context of one file or several. */
#include "unit.h"

#include "client/kubeconfig.h"

#include <string.h>

#define CLUSTER "clusters: [{name: c, cluster: {server: 'https://h:6443/'}}]\n"
#define CONTEXT "current-context: x\ncontexts: [{name: x, context: {cluster: c, user: u}}]\n"
#define USER "users: [{name: u, user: {token: secret}}]\n"

static struct kubeconfig config;
static struct err err;

static int read_texts(const char *first, const char *second)
{
    struct kubeconfig_source sources[] = {{"/a/first", first, strlen(first)},
                                          {"second", second, second ? strlen(second) : 0}};
    return kubeconfig_read(&config, sources, second ? 2 : 1, &err);
}

static void check_refused(int code, const char *message, const char *text)
{
    assert_int_equal(read_texts(text, NULL), code);
    if (!strstr(err.message, message))
        fail_msg("\"%s\" lacks \"%s\"", err.message, message);
    kubeconfig_free(&config);
}

static void test_data(void **state)
{
    (void)state;
    static const char text[] =
        CONTEXT "clusters:\n- name: other\n  cluster: {server: 'https://other'}\n"
                "- name: c\n  cluster:\n    server: https://h:6443///\n"
                "    certificate-authority-data: Q0E=\n    certificate-authority: ignored\n"
                "users:\n- name: u\n  user:\n    client-certificate-data: Q0VSVA==\n"
                "    client-key-data: S0VZ\n    as: bob\n";
    assert_int_equal(read_texts(text, NULL), 0);
    assert_string_equal(config.server, "https://h:6443");
    assert_string_equal(config.ca_data, "CA");
    assert_null(config.ca_file);
    assert_string_equal(config.cert_data, "CERT");
    assert_string_equal(config.key_data, "KEY");
    assert_string_equal(config.as, "bob");
    assert_null(config.token);
    assert_false(config.insecure);
    kubeconfig_free(&config);
}

static void test_files_are_beside_their_kubeconfig(void **state)
{
    (void)state;
    static const char first[] =
        CONTEXT "clusters:\n- name: c\n  cluster:\n    server: https://h\n"
                "    certificate-authority: pki/ca.crt\n    insecure-skip-tls-verify: true\n";
    static const char second[] = "users:\n- name: u\n  user:\n    client-certificate: cert.pem\n"
                                 "    client-key: /keys/key.pem\n    tokenFile: t\n    token: ignored\n";
    assert_int_equal(read_texts(first, second), 0);
    assert_string_equal(config.ca_file, "/a/pki/ca.crt");
    assert_string_equal(config.cert_file, "cert.pem");
    assert_string_equal(config.key_file, "/keys/key.pem");
    assert_string_equal(config.token_file, "t");
    assert_null(config.token);
    assert_true(config.insecure);
    kubeconfig_free(&config);
}

static void test_the_first_file_counts(void **state)
{
    (void)state;
    assert_int_equal(read_texts(USER, "current-context: x\n"
                                      "contexts: [{name: x, context: {cluster: c, user: u}}]\n" CLUSTER
                                      "users: [{name: u, user: {token: other}}]\n"),
                     0);
    assert_string_equal(config.token, "secret");
    kubeconfig_free(&config);
}

static void test_what_cannot_be_used_is_told(void **state)
{
    (void)state;
    check_refused(ERR_NOT_FOUND, "no current-context is set", "");
    check_refused(ERR_NOT_FOUND, "no current-context is set", CLUSTER USER);
    check_refused(ERR_NOT_FOUND, "the current context \"z\" is in no kubeconfig",
                  "current-context: z\n" CLUSTER);
    check_refused(ERR_NOT_FOUND, "names the cluster \"c\", which is not there", CONTEXT USER);
    check_refused(ERR_NOT_FOUND, "names the user \"u\", who is not there", CONTEXT CLUSTER);
    check_refused(ERR_BAD_REQUEST, "is no https URL",
                  CONTEXT USER "clusters: [{name: c, cluster: {server: 'http://h'}}]\n");
    check_refused(ERR_BAD_REQUEST, "neither a client certificate nor a token",
                  CONTEXT CLUSTER "users: [{name: u, user: {exec: {command: login}}}]\n");
    check_refused(ERR_BAD_REQUEST, "belong together",
                  CONTEXT CLUSTER "users: [{name: u, user: {client-certificate: a}}]\n");
    check_refused(ERR_BAD_REQUEST, "client-key-data is no base64",
                  CONTEXT CLUSTER "users: [{name: u, user: {client-key-data: '%%'}}]\n");
    check_refused(ERR_BAD_REQUEST, "/a/first: error converting YAML", "a: [\n");
    check_refused(ERR_NOT_FOUND, "no current-context is set", "[1, 2]\n");
    check_refused(ERR_NOT_FOUND, "is in no kubeconfig", "current-context: x\ncontexts: 7\n");
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_data),
    cmocka_unit_test(test_files_are_beside_their_kubeconfig),
    cmocka_unit_test(test_the_first_file_counts),
    cmocka_unit_test(test_what_cannot_be_used_is_told),
};

UNIT_MAIN(tests)
