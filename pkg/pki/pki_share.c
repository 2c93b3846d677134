/*
 * What all nodes of a cluster have in common, taken from the node that admits another and laid down by the
 * one that joins. Keys are written before the certificate, so a directory with ca.crt in it is whole.
 */
#include "pki/pki_internal.h"

#include "base/mem.h"

#include <errno.h>
#include <gnutls/crypto.h>
#include <string.h>
#include <sys/stat.h>

static void free_secret(char *text)
{
    if (text)
        explicit_bzero(text, strlen(text));
    free(text);
}

void pki_shared_free(struct pki_shared *shared)
{
    free(shared->ca_cert);
    free_secret(shared->ca_key);
    free_secret(shared->service_account_key);
    explicit_bzero(shared->seal_key, sizeof(shared->seal_key));
    *shared = (struct pki_shared){.ca_cert = NULL};
}

static int load_text(char **out, const char *dir, const char *name, struct err *err)
{
    struct buf text = BUF_INIT;
    int code = pki_file_read(dir, name, &text, err);
    if (code)
        buf_free(&text);
    else
        *out = buf_steal(&text);
    return code;
}

int pki_shared_load(struct pki_shared *out, const struct pki *pki, struct err *err)
{
    *out = (struct pki_shared){.ca_cert = mem_strdup(pki->ca_pem)};
    memcpy(out->seal_key, pki->seal_key, sizeof(out->seal_key));
    int code = load_text(&out->ca_key, pki->dir, "ca.key", err);
    if (!code)
        code = load_text(&out->service_account_key, pki->dir, "service-account.key", err);
    if (code)
        pki_shared_free(out);
    return code;
}

/* A file that is there has to be the same: two clusters do not mix. */
static int store_file(const char *dir, const char *name, const void *bytes, size_t len, struct err *err)
{
    buf_auto struct buf old = BUF_INIT;
    int code = pki_file_read(dir, name, &old, err);
    if (code == ERR_NOT_FOUND)
        return pki_file_write(dir, name, bytes, len, err);
    if (code)
        return code;
    bool same = old.len == len && memcmp(old.data, bytes, len) == 0;
    explicit_bzero(old.data, old.len);
    return same ? 0
                : err_set(err, ERR_CONFLICT, "%s/%s is there already, and is another cluster's", dir, name);
}

static int check_shared(const struct pki_shared *shared, struct err *err)
{
    struct buf cert_text = {shared->ca_cert, strlen(shared->ca_cert), 0};
    struct buf key_text = {shared->ca_key, strlen(shared->ca_key), 0};
    struct buf account_text = {shared->service_account_key, strlen(shared->service_account_key), 0};
    gnutls_x509_crt_t cert = NULL;
    gnutls_x509_privkey_t key = NULL, account = NULL;
    int code = pki_cert_import(&cert, &cert_text, err);
    if (!code)
        code = pki_key_import(&key, &key_text, err);
    if (!code)
        code = pki_key_import(&account, &account_text, err);
    if (!code && !pki_cert_matches_key(cert, key))
        code = err_set(err, ERR_INVALID, "the CA's key does not belong to its certificate");
    if (cert)
        gnutls_x509_crt_deinit(cert);
    if (key)
        gnutls_x509_privkey_deinit(key);
    if (account)
        gnutls_x509_privkey_deinit(account);
    return code;
}

int pki_shared_store(const struct pki_shared *shared, const char *data_dir, struct err *err)
{
    mem_auto char *dir = mem_printf("%s/pki", data_dir);
    int code = check_shared(shared, err);
    if (code)
        return code;
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return err_set_errno(err, "create %s", dir);
    code = store_file(dir, "ca.key", shared->ca_key, strlen(shared->ca_key), err);
    if (!code)
        code = store_file(dir, "service-account.key", shared->service_account_key,
                          strlen(shared->service_account_key), err);
    if (!code)
        code = store_file(dir, "seal.key", shared->seal_key, sizeof(shared->seal_key), err);
    if (!code)
        code = store_file(dir, "ca.crt", shared->ca_cert, strlen(shared->ca_cert), err);
    return code;
}

int pki_ca_hash(uint8_t out[PKI_HASH_SIZE], const char *ca_pem, struct err *err)
{
    struct buf text = {(char *)ca_pem, strlen(ca_pem), 0};
    gnutls_x509_crt_t cert;
    gnutls_datum_t der = {NULL, 0};
    int code = pki_cert_import(&cert, &text, err);
    if (code)
        return code;
    int rc = gnutls_x509_crt_export2(cert, GNUTLS_X509_FMT_DER, &der);
    if (rc >= 0)
        rc = gnutls_hash_fast(GNUTLS_DIG_SHA256, der.data, der.size, out);
    gnutls_free(der.data);
    gnutls_x509_crt_deinit(cert);
    return rc < 0 ? pki_gnutls_error(err, "hash the CA's certificate", rc) : 0;
}

int pki_ca_hash_of(uint8_t out[PKI_HASH_SIZE], const char *data_dir, struct err *err)
{
    mem_auto char *dir = mem_printf("%s/pki", data_dir);
    buf_auto struct buf pem = BUF_INIT;
    int code = pki_file_read(dir, "ca.crt", &pem, err);
    return code ? code : pki_ca_hash(out, buf_str(&pem), err);
}
