/* The PKI on disk: what the first start makes, what later starts keep, renew or refuse. */
#include "unit.h"

#include "base/mem.h"
#include "pki/pki_internal.h"

#include <dirent.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char *directory_make(void)
{
    char *dir = mem_strdup("/tmp/katena-pki-XXXXXX");
    assert_non_null(mkdtemp(dir));
    return dir;
}

static void directory_remove(char *dir)
{
    const char *const names[] = {
        "pki/ca.key",   "pki/ca.crt",   "pki/serving.key", "pki/serving.crt", "pki/service-account.key",
        "pki/seal.key", "pki/peer.key", "pki/peer.crt",    "kubeconfig"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        mem_auto char *path = mem_printf("%s/%s", dir, names[i]);
        unlink(path);
    }
    mem_auto char *pki = mem_printf("%s/pki", dir);
    assert_int_equal(rmdir(pki), 0); /* nothing else was left there, no temporary file either */
    assert_int_equal(rmdir(dir), 0);
    free(dir);
}

static struct pki *open_at(const char *dir, const char *const *addresses)
{
    struct err err = {0};
    struct pki *pki = NULL;
    struct pki_options options = {.data_dir = dir, .node_name = "node-a", .addresses = addresses};
    if (pki_open(&pki, &options, &err))
        fail_msg("%s", err.message);
    return pki;
}

static gnutls_x509_crt_t parse(const char *pem)
{
    gnutls_x509_crt_t cert;
    struct buf text = BUF_INIT;
    buf_puts(&text, pem);
    assert_int_equal(pki_cert_import(&cert, &text, NULL), 0);
    buf_free(&text);
    return cert;
}

static void test_first_start_makes_everything_private(void **state)
{
    (void)state;
    char *dir = directory_make();
    pki_close(open_at(dir, NULL));
    mem_auto char *sub = mem_printf("%s/pki", dir);
    DIR *d = opendir(sub);
    int files = 0;
    for (struct dirent *e; (e = readdir(d));) {
        struct stat st;
        if (e->d_name[0] == '.')
            continue;
        mem_auto char *path = mem_printf("%s/%s", sub, e->d_name);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        files++;
    }
    closedir(d);
    assert_int_equal(files, 8);
    directory_remove(dir);
}

static void test_second_start_keeps_everything(void **state)
{
    (void)state;
    char *dir = directory_make();
    struct pki *a = open_at(dir, NULL);
    struct pki *b = open_at(dir, NULL);
    assert_string_equal(pki_ca_cert(a), pki_ca_cert(b));
    assert_string_equal(pki_serving_cert(a), pki_serving_cert(b));
    assert_string_equal(pki_serving_key(a), pki_serving_key(b));
    assert_memory_equal(pki_seal_key(a), pki_seal_key(b), PKI_SEAL_KEY_SIZE);
    assert_string_equal(a->token_kid, b->token_kid);
    pki_close(a);
    pki_close(b);
    directory_remove(dir);
}

static void test_serving_certificate_names(void **state)
{
    (void)state;
    char *dir = directory_make();
    static const char *const addresses[] = {"10.43.0.1", "katena.example", "fd00::1", NULL};
    static const char *const wanted[] = {"localhost", "127.0.0.1",  "::1",
                                         "node-a",    "10.43.0.1",  "katena.example",
                                         "fd00::1",   "kubernetes", "kubernetes.default.svc.cluster.local",
                                         NULL};
    static const char *const other[] = {"other.example", NULL};
    struct pki *pki = open_at(dir, addresses);
    gnutls_x509_crt_t cert = parse(pki_serving_cert(pki));
    assert_true(pki_cert_covers(cert, wanted));
    assert_false(pki_cert_covers(cert, other));
    assert_true(pki_cert_fresh(pki, cert, time(NULL)));
    gnutls_x509_crt_deinit(cert);

    /* A new address makes a new certificate of the same CA and key. */
    struct pki *again = open_at(dir, other);
    cert = parse(pki_serving_cert(again));
    assert_true(pki_cert_covers(cert, other));
    assert_string_equal(pki_serving_key(pki), pki_serving_key(again));
    assert_string_equal(pki_ca_cert(pki), pki_ca_cert(again));
    gnutls_x509_crt_deinit(cert);
    pki_close(pki);
    pki_close(again);
    directory_remove(dir);
}

static void test_renewal_comes_before_expiry(void **state)
{
    (void)state;
    char *dir = directory_make();
    struct pki *pki = open_at(dir, NULL);
    gnutls_x509_crt_t cert = parse(pki_serving_cert(pki));
    int64_t expiry = gnutls_x509_crt_get_expiration_time(cert);
    assert_true(pki_cert_fresh(pki, cert, expiry - PKI_RENEW_BEFORE_S - 10));
    assert_false(pki_cert_fresh(pki, cert, expiry - PKI_RENEW_BEFORE_S + 10));
    gnutls_x509_crt_deinit(cert);

    /* One that is nearly over is replaced at the next start. */
    gnutls_x509_privkey_t key;
    struct buf pem = BUF_INIT;
    buf_puts(&pem, pki_serving_key(pki));
    assert_int_equal(pki_key_import(&key, &pem, NULL), 0);
    struct pki_subject subject = {.common_name = "node-a"};
    assert_int_equal(pki_cert_make(pki, &cert, key, PKI_SERVER, &subject, time(NULL), 3600, NULL), 0);
    mem_auto char *text = NULL;
    assert_int_equal(pki_cert_export(cert, &text, NULL), 0);
    assert_int_equal(pki_file_write(pki->dir, "serving.crt", text, strlen(text), NULL), 0);
    struct pki *again = open_at(dir, NULL);
    assert_null(strstr(pki_serving_cert(again), text));
    gnutls_x509_crt_deinit(cert);
    gnutls_x509_privkey_deinit(key);
    buf_free(&pem);
    pki_close(pki);
    pki_close(again);
    directory_remove(dir);
}

static void test_a_foreign_or_lost_certificate_is_replaced(void **state)
{
    (void)state;
    char *dir = directory_make();
    char *other_dir = directory_make();
    struct pki *other = open_at(other_dir, NULL);
    struct pki *pki = open_at(dir, NULL);
    gnutls_x509_crt_t foreign = parse(pki_serving_cert(other));
    assert_false(pki_cert_fresh(pki, foreign, time(NULL)));
    gnutls_x509_crt_deinit(foreign);

    mem_auto char *ca = mem_printf("%s/ca.crt", pki->dir);
    assert_int_equal(unlink(ca), 0);
    struct pki *again = open_at(dir, NULL); /* the CA's key remains, so what it signed stays good */
    gnutls_x509_crt_t cert = parse(pki_serving_cert(pki));
    assert_true(pki_cert_fresh(again, cert, time(NULL)));
    gnutls_x509_crt_deinit(cert);
    pki_close(pki);
    pki_close(again);
    pki_close(other);
    directory_remove(dir);
    directory_remove(other_dir);
}

static void test_damaged_keys_are_refused(void **state)
{
    (void)state;
    static const char *const names[] = {"ca.key", "service-account.key", "seal.key", "ca.crt"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        char *dir = directory_make();
        struct pki *pki = open_at(dir, NULL);
        assert_int_equal(pki_file_write(pki->dir, names[i], "garbage", 7, NULL), 0);
        struct err err = {0};
        struct pki *again = NULL;
        struct pki_options options = {.data_dir = dir, .node_name = "node-a"};
        assert_true(pki_open(&again, &options, &err) < 0);
        assert_null(again);
        assert_non_null(strstr(err.message, "/pki/"));
        pki_close(pki);
        directory_remove(dir);
    }
}

static void test_client_certificate(void **state)
{
    (void)state;
    char *dir = directory_make();
    struct pki *pki = open_at(dir, NULL);
    static const char *const groups[] = {"team-a", "team-b"};
    mem_auto char *pem = NULL;
    mem_auto char *key = NULL;
    assert_int_equal(pki_issue_client(pki, "ann", groups, 2, PKI_CERT_LIFETIME_S, &pem, &key, NULL), 0);
    gnutls_x509_crt_t cert = parse(pem);
    char text[64];
    size_t size = sizeof(text);
    assert_int_equal(gnutls_x509_crt_get_dn_by_oid(cert, GNUTLS_OID_X520_COMMON_NAME, 0, 0, text, &size), 0);
    assert_string_equal(text, "ann");
    size = sizeof(text);
    assert_int_equal(
        gnutls_x509_crt_get_dn_by_oid(cert, GNUTLS_OID_X520_ORGANIZATION_NAME, 1, 0, text, &size), 0);
    assert_string_equal(text, "team-b");
    size = sizeof(text);
    unsigned critical;
    assert_int_equal(gnutls_x509_crt_get_key_purpose_oid(cert, 0, text, &size, &critical), 0);
    assert_string_equal(text, GNUTLS_KP_TLS_WWW_CLIENT);
    assert_true(pki_cert_fresh(pki, cert, time(NULL)));
    gnutls_x509_crt_deinit(cert);
    pki_close(pki);
    directory_remove(dir);
}

static void test_kubeconfig_is_kept_while_valid(void **state)
{
    (void)state;
    char *dir = directory_make();
    struct pki *pki = open_at(dir, NULL);
    mem_auto char *path = mem_printf("%s/kubeconfig", dir);
    buf_auto struct buf first = BUF_INIT;
    buf_auto struct buf second = BUF_INIT;
    struct stat st;
    assert_int_equal(pki_write_kubeconfig(pki, path, "https://127.0.0.1:6443", NULL), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(pki_file_read(dir, "kubeconfig", &first, NULL), 0);
    assert_non_null(strstr(first.data, "server: https://127.0.0.1:6443\n"));
    assert_non_null(strstr(first.data, "current-context: katena\n"));

    assert_int_equal(pki_write_kubeconfig(pki, path, "https://127.0.0.1:6443", NULL), 0);
    assert_int_equal(pki_file_read(dir, "kubeconfig", &second, NULL), 0);
    assert_string_equal(first.data, second.data);

    assert_int_equal(pki_write_kubeconfig(pki, path, "https://127.0.0.1:7443", NULL), 0);
    assert_int_equal(pki_file_read(dir, "kubeconfig", &second, NULL), 0);
    assert_non_null(strstr(second.data, "server: https://127.0.0.1:7443\n"));

    assert_int_equal(pki_file_write(dir, "kubeconfig", "server: x\n", 10, NULL), 0);
    assert_int_equal(pki_write_kubeconfig(pki, path, "https://127.0.0.1:7443", NULL), 0);
    assert_int_equal(pki_file_read(dir, "kubeconfig", &second, NULL), 0);
    assert_non_null(strstr(second.data, "client-key-data: "));
    pki_close(pki);
    directory_remove(dir);
}

/* A second directory with what the first one shares: the same CA, the same tokens, the same sealed Secrets.
 */
static void test_shared_keys_make_another_node_of_the_cluster(void **state)
{
    (void)state;
    struct pki_shared shared;
    uint8_t first_hash[PKI_HASH_SIZE], second_hash[PKI_HASH_SIZE];
    char *first = directory_make(), *second = directory_make();
    struct pki *a = open_at(first, NULL);
    assert_int_equal(pki_shared_load(&shared, a, NULL), 0);
    assert_int_equal(pki_ca_hash_of(second_hash, second, NULL), ERR_NOT_FOUND);
    assert_int_equal(pki_shared_store(&shared, second, NULL), 0);
    assert_int_equal(pki_shared_store(&shared, second, NULL), 0); /* once more is harmless */
    struct pki *b = open_at(second, NULL);
    assert_string_equal(pki_ca_cert(a), pki_ca_cert(b));
    assert_string_not_equal(pki_serving_key(a), pki_serving_key(b));
    assert_memory_equal(pki_seal_key(a), pki_seal_key(b), PKI_SEAL_KEY_SIZE);
    assert_int_equal(pki_ca_hash(first_hash, pki_ca_cert(a), NULL), 0);
    assert_int_equal(pki_ca_hash_of(second_hash, second, NULL), 0);
    assert_memory_equal(first_hash, second_hash, PKI_HASH_SIZE);
    buf_auto struct buf token = BUF_INIT, claims = BUF_INIT;
    assert_int_equal(pki_sign_token(a, "{}", &token, NULL), 0);
    assert_int_equal(pki_verify_token(b, token.data, &claims, NULL), 0);
    pki_close(a);
    pki_close(b);
    pki_shared_free(&shared);
    directory_remove(first);
    directory_remove(second);
}

static void test_two_clusters_do_not_mix(void **state)
{
    (void)state;
    struct pki_shared shared;
    struct err err;
    char *first = directory_make(), *second = directory_make();
    struct pki *a = open_at(first, NULL), *b = open_at(second, NULL);
    assert_int_equal(pki_shared_load(&shared, a, NULL), 0);
    assert_int_equal(pki_shared_store(&shared, second, &err), ERR_CONFLICT);
    free(shared.ca_key);
    struct pki_shared other;
    assert_int_equal(pki_shared_load(&other, b, NULL), 0);
    shared.ca_key = mem_strdup(other.ca_key);
    assert_int_equal(pki_shared_store(&shared, first, &err), ERR_INVALID); /* not this certificate's key */
    pki_shared_free(&shared);
    pki_shared_free(&other);
    pki_close(a);
    pki_close(b);
    directory_remove(first);
    directory_remove(second);
}

static void test_peer_certificate_serves_and_connects(void **state)
{
    (void)state;
    char *dir = directory_make();
    struct pki *pki = open_at(dir, NULL);
    struct buf pem = BUF_INIT;
    char oid[64], name[64];
    bool server = false, client = false;
    assert_int_equal(pki_file_read(pki->dir, "peer.crt", &pem, NULL), 0);
    assert_string_equal(strrchr(pki_peer_files(pki).cert, '/'), "/peer.crt");
    gnutls_x509_crt_t cert = parse(buf_str(&pem));
    size_t size = sizeof(oid);
    for (unsigned i = 0; gnutls_x509_crt_get_key_purpose_oid(cert, i, oid, &size, NULL) >= 0; i++) {
        server |= !strcmp(oid, GNUTLS_KP_TLS_WWW_SERVER);
        client |= !strcmp(oid, GNUTLS_KP_TLS_WWW_CLIENT);
        size = sizeof(oid);
    }
    assert_true(server && client);
    size = sizeof(name);
    assert_true(gnutls_x509_crt_get_dn_by_oid(cert, GNUTLS_OID_X520_COMMON_NAME, 0, 0, name, &size) >= 0);
    assert_string_equal(name, "system:katena:peer:node-a");
    gnutls_x509_crt_deinit(cert);
    buf_free(&pem);
    pki_close(pki);
    directory_remove(dir);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_first_start_makes_everything_private),
    cmocka_unit_test(test_second_start_keeps_everything),
    cmocka_unit_test(test_serving_certificate_names),
    cmocka_unit_test(test_renewal_comes_before_expiry),
    cmocka_unit_test(test_a_foreign_or_lost_certificate_is_replaced),
    cmocka_unit_test(test_damaged_keys_are_refused),
    cmocka_unit_test(test_client_certificate),
    cmocka_unit_test(test_kubeconfig_is_kept_while_valid),
    cmocka_unit_test(test_shared_keys_make_another_node_of_the_cluster),
    cmocka_unit_test(test_two_clusters_do_not_mix),
    cmocka_unit_test(test_peer_certificate_serves_and_connects),
};

UNIT_MAIN(tests)
