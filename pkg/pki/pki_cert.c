/*
 * Keys and certificates: ECDSA on P-256 with SHA-256, which every TLS 1.3 client takes and which costs a
 * handshake the least.
 */
#include "pki/pki_internal.h"

#include "base/mem.h"
#include "base/rand.h"

#include <arpa/inet.h>
#include <string.h>

/* Certificates begin a little in the past, for clients whose clock is behind. */
#define BACKDATE_S 3600

int pki_gnutls_error(struct err *err, const char *what, int code)
{
    return err_set(err, ERR_INTERNAL, "%s: %s", what, gnutls_strerror(code));
}

int pki_key_make(gnutls_x509_privkey_t *out, struct err *err)
{
    int rc = gnutls_x509_privkey_init(out);
    if (rc < 0)
        return pki_gnutls_error(err, "make a key", rc);
    rc = gnutls_x509_privkey_generate(*out, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1),
                                      0);
    if (rc < 0) {
        gnutls_x509_privkey_deinit(*out);
        *out = NULL;
        return pki_gnutls_error(err, "make a key", rc);
    }
    return 0;
}

static char *datum_steal_text(gnutls_datum_t *datum)
{
    char *text = mem_strndup((const char *)datum->data, datum->size);
    gnutls_memset(datum->data, 0, datum->size);
    gnutls_free(datum->data);
    return text;
}

int pki_key_export(gnutls_x509_privkey_t key, char **pem, struct err *err)
{
    gnutls_datum_t datum = {NULL, 0};
    int rc = gnutls_x509_privkey_export2_pkcs8(key, GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN, &datum);
    if (rc < 0)
        return pki_gnutls_error(err, "export a key", rc);
    *pem = datum_steal_text(&datum);
    return 0;
}

int pki_key_import(gnutls_x509_privkey_t *out, const struct buf *pem, struct err *err)
{
    int rc = gnutls_x509_privkey_init(out);
    if (rc < 0)
        return pki_gnutls_error(err, "read a key", rc);
    gnutls_datum_t datum = {(unsigned char *)pem->data, (unsigned)pem->len};
    rc = gnutls_x509_privkey_import2(*out, &datum, GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN);
    if (rc < 0) {
        gnutls_x509_privkey_deinit(*out);
        *out = NULL;
        return pki_gnutls_error(err, "read a key", rc);
    }
    return 0;
}

static int set_serial(gnutls_x509_crt_t cert)
{
    uint8_t serial[16];
    rand_bytes(serial, sizeof(serial));
    serial[0] = (serial[0] & 0x7f) | 0x40; /* positive, and of one length */
    return gnutls_x509_crt_set_serial(cert, serial, sizeof(serial));
}

static int set_key_ids(gnutls_x509_crt_t cert, gnutls_x509_crt_t issuer)
{
    unsigned char id[64];
    size_t size = sizeof(id);
    int rc = gnutls_x509_crt_get_key_id(cert, 0, id, &size);
    if (rc >= 0)
        rc = gnutls_x509_crt_set_subject_key_id(cert, id, size);
    if (rc < 0 || !issuer)
        return rc;
    size = sizeof(id);
    rc = gnutls_x509_crt_get_key_id(issuer, 0, id, &size);
    return rc < 0 ? rc : gnutls_x509_crt_set_authority_key_id(cert, id, size);
}

static int set_common(gnutls_x509_crt_t cert, gnutls_x509_privkey_t key, int64_t now_s, int64_t lifetime_s)
{
    int rc = gnutls_x509_crt_set_version(cert, 3);
    if (rc >= 0)
        rc = set_serial(cert);
    if (rc >= 0)
        rc = gnutls_x509_crt_set_key(cert, key);
    if (rc >= 0)
        rc = gnutls_x509_crt_set_activation_time(cert, (time_t)(now_s - BACKDATE_S));
    if (rc >= 0)
        rc = gnutls_x509_crt_set_expiration_time(cert, (time_t)(now_s + lifetime_s));
    return rc;
}

static int sign(gnutls_x509_crt_t cert, gnutls_x509_crt_t issuer, gnutls_x509_privkey_t key)
{
    gnutls_privkey_t signer;
    int rc = gnutls_privkey_init(&signer);
    if (rc < 0)
        return rc;
    rc = gnutls_privkey_import_x509(signer, key, 0);
    if (rc >= 0)
        rc = gnutls_x509_crt_privkey_sign(cert, issuer, signer, GNUTLS_DIG_SHA256, 0);
    gnutls_privkey_deinit(signer);
    return rc;
}

int pki_ca_make(gnutls_x509_crt_t *out, gnutls_x509_privkey_t key, int64_t now_s, struct err *err)
{
    static const char name[] = "katena-ca";
    gnutls_x509_crt_t cert;
    int rc = gnutls_x509_crt_init(&cert);
    if (rc < 0)
        return pki_gnutls_error(err, "make the CA", rc);
    rc = set_common(cert, key, now_s, PKI_CA_LIFETIME_S);
    if (rc >= 0)
        rc = gnutls_x509_crt_set_dn_by_oid(cert, GNUTLS_OID_X520_COMMON_NAME, 0, name, sizeof(name) - 1);
    if (rc >= 0)
        rc = gnutls_x509_crt_set_basic_constraints(cert, 1, -1);
    if (rc >= 0)
        rc = gnutls_x509_crt_set_key_usage(cert, GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_CRL_SIGN |
                                                     GNUTLS_KEY_DIGITAL_SIGNATURE);
    if (rc >= 0)
        rc = set_key_ids(cert, NULL);
    if (rc >= 0)
        rc = sign(cert, cert, key);
    if (rc < 0) {
        gnutls_x509_crt_deinit(cert);
        return pki_gnutls_error(err, "make the CA", rc);
    }
    /* Only a parsed certificate can be verified against: a made one has no encoded names yet. */
    mem_auto char *pem = NULL;
    int code = pki_cert_export(cert, &pem, err);
    gnutls_x509_crt_deinit(cert);
    if (code || !pem)
        return code;
    struct buf text = {pem, strlen(pem), 0};
    return pki_cert_import(out, &text, err);
}

static int set_subject(gnutls_x509_crt_t cert, const struct pki_subject *subject)
{
    int rc = 0;
    for (size_t i = 0; rc >= 0 && i < subject->organization_count; i++)
        rc = gnutls_x509_crt_set_dn_by_oid(cert, GNUTLS_OID_X520_ORGANIZATION_NAME, 0,
                                           subject->organizations[i],
                                           (unsigned)strlen(subject->organizations[i]));
    if (rc >= 0)
        rc = gnutls_x509_crt_set_dn_by_oid(cert, GNUTLS_OID_X520_COMMON_NAME, 0, subject->common_name,
                                           (unsigned)strlen(subject->common_name));
    for (size_t i = 0; rc >= 0 && subject->addresses && subject->addresses[i]; i++) {
        const char *address = subject->addresses[i];
        unsigned char ip[16];
        if (inet_pton(AF_INET, address, ip) == 1)
            rc = gnutls_x509_crt_set_subject_alt_name(cert, GNUTLS_SAN_IPADDRESS, ip, 4, GNUTLS_FSAN_APPEND);
        else if (inet_pton(AF_INET6, address, ip) == 1)
            rc = gnutls_x509_crt_set_subject_alt_name(cert, GNUTLS_SAN_IPADDRESS, ip, 16, GNUTLS_FSAN_APPEND);
        else
            rc = gnutls_x509_crt_set_subject_alt_name(cert, GNUTLS_SAN_DNSNAME, address,
                                                      (unsigned)strlen(address), GNUTLS_FSAN_APPEND);
    }
    return rc;
}

int pki_cert_make(const struct pki *pki, gnutls_x509_crt_t *out, gnutls_x509_privkey_t key,
                  enum pki_purpose purpose, const struct pki_subject *subject, int64_t now_s,
                  int64_t lifetime_s, struct err *err)
{
    gnutls_x509_crt_t cert;
    int rc = gnutls_x509_crt_init(&cert);
    if (rc < 0)
        return pki_gnutls_error(err, "make a certificate", rc);
    rc = set_common(cert, key, now_s, lifetime_s);
    if (rc >= 0)
        rc = set_subject(cert, subject);
    if (rc >= 0)
        rc = gnutls_x509_crt_set_basic_constraints(cert, 0, -1);
    if (rc >= 0)
        rc = gnutls_x509_crt_set_key_usage(cert, GNUTLS_KEY_DIGITAL_SIGNATURE);
    if (rc >= 0 && purpose != PKI_CLIENT)
        rc = gnutls_x509_crt_set_key_purpose_oid(cert, GNUTLS_KP_TLS_WWW_SERVER, 0);
    if (rc >= 0 && purpose != PKI_SERVER)
        rc = gnutls_x509_crt_set_key_purpose_oid(cert, GNUTLS_KP_TLS_WWW_CLIENT, 0);
    if (rc >= 0)
        rc = set_key_ids(cert, pki->ca);
    if (rc >= 0)
        rc = sign(cert, pki->ca, pki->ca_key);
    if (rc < 0) {
        gnutls_x509_crt_deinit(cert);
        return pki_gnutls_error(err, "make a certificate", rc);
    }
    *out = cert;
    return 0;
}

int pki_cert_export(gnutls_x509_crt_t cert, char **pem, struct err *err)
{
    gnutls_datum_t datum = {NULL, 0};
    int rc = gnutls_x509_crt_export2(cert, GNUTLS_X509_FMT_PEM, &datum);
    if (rc < 0)
        return pki_gnutls_error(err, "export a certificate", rc);
    *pem = datum_steal_text(&datum);
    return 0;
}

int pki_cert_import(gnutls_x509_crt_t *out, const struct buf *pem, struct err *err)
{
    int rc = gnutls_x509_crt_init(out);
    if (rc < 0)
        return pki_gnutls_error(err, "read a certificate", rc);
    gnutls_datum_t datum = {(unsigned char *)pem->data, (unsigned)pem->len};
    rc = gnutls_x509_crt_import(*out, &datum, GNUTLS_X509_FMT_PEM);
    if (rc < 0) {
        gnutls_x509_crt_deinit(*out);
        *out = NULL;
        return pki_gnutls_error(err, "read a certificate", rc);
    }
    return 0;
}

bool pki_cert_fresh(const struct pki *pki, gnutls_x509_crt_t cert, int64_t now_s)
{
    unsigned status = 0;
    int rc = gnutls_x509_crt_verify(cert, &pki->ca, 1, GNUTLS_VERIFY_DISABLE_TIME_CHECKS, &status);
    return rc >= 0 && status == 0 &&
           (int64_t)gnutls_x509_crt_get_expiration_time(cert) - now_s > PKI_RENEW_BEFORE_S;
}

bool pki_cert_matches_key(gnutls_x509_crt_t cert, gnutls_x509_privkey_t key)
{
    unsigned char a[64];
    unsigned char b[64];
    size_t a_size = sizeof(a);
    size_t b_size = sizeof(b);
    return gnutls_x509_crt_get_key_id(cert, 0, a, &a_size) >= 0 &&
           gnutls_x509_privkey_get_key_id(key, 0, b, &b_size) >= 0 && a_size == b_size &&
           memcmp(a, b, a_size) == 0;
}

bool pki_cert_covers(gnutls_x509_crt_t cert, const char *const *addresses)
{
    for (size_t i = 0; addresses && addresses[i]; i++) {
        unsigned char ip[16];
        bool named;
        if (inet_pton(AF_INET, addresses[i], ip) == 1)
            named = gnutls_x509_crt_check_ip(cert, ip, 4, 0);
        else if (inet_pton(AF_INET6, addresses[i], ip) == 1)
            named = gnutls_x509_crt_check_ip(cert, ip, 16, 0);
        else
            named = gnutls_x509_crt_check_hostname(cert, addresses[i]);
        if (!named)
            return false;
    }
    return true;
}
