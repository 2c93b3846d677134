/*
 * Inside the PKI: pki.c decides what must exist, pki_cert.c makes certificates, pki_file.c keeps them on
 * disk, pki_token.c signs and verifies tokens, pki_kubeconfig.c writes the administrator's configuration.
 */
#ifndef KATENA_PKI_INTERNAL_H
#define KATENA_PKI_INTERNAL_H

#include "pki/pki.h"

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

#define PKI_RENEW_BEFORE_S (30LL * 24 * 3600)
#define PKI_CA_LIFETIME_S (10LL * 365 * 24 * 3600)
#define PKI_CERT_LIFETIME_S (365LL * 24 * 3600)

struct pki {
    char *dir; /* <data-dir>/pki */

    gnutls_x509_privkey_t ca_key;
    gnutls_x509_crt_t ca;
    char *ca_pem;

    char *serving_pem; /* the certificate, then the CA */
    char *serving_key_pem;

    char *ca_path, *peer_cert_path, *peer_key_path;

    gnutls_privkey_t token_key;
    gnutls_pubkey_t token_public;
    char *token_kid;    /* base64url of the SHA-256 of the public key */
    char *token_header; /* base64url of the one JOSE header that is made and accepted */

    uint8_t seal_key[PKI_SEAL_KEY_SIZE];
};

/* ERR_INTERNAL with what was attempted and GnuTLS' words. */
int pki_gnutls_error(struct err *err, const char *what, int code);

/* ---- pki_file.c ---- */

/* The whole file; ERR_NOT_FOUND when there is none. out is cleared first. */
int pki_file_read(const char *dir, const char *name, struct buf *out, struct err *err);
/* Mode 0600, durable, and either the old or the new content after a crash. */
int pki_file_write(const char *dir, const char *name, const void *bytes, size_t len, struct err *err);

/* ---- pki_cert.c ---- */

enum pki_purpose { PKI_SERVER, PKI_CLIENT, PKI_PEER /* both */ };

struct pki_subject {
    const char *common_name;
    const char *const *organizations;
    size_t organization_count;
    const char *const *addresses; /* subject alternative names, NULL-terminated; may be NULL */
};

int pki_key_make(gnutls_x509_privkey_t *out, struct err *err);
int pki_key_export(gnutls_x509_privkey_t key, char **pem, struct err *err);
int pki_key_import(gnutls_x509_privkey_t *out, const struct buf *pem, struct err *err);

int pki_ca_make(gnutls_x509_crt_t *out, gnutls_x509_privkey_t key, int64_t now_s, struct err *err);
int pki_cert_make(const struct pki *pki, gnutls_x509_crt_t *out, gnutls_x509_privkey_t key,
                  enum pki_purpose purpose, const struct pki_subject *subject, int64_t now_s,
                  int64_t lifetime_s, struct err *err);
int pki_cert_export(gnutls_x509_crt_t cert, char **pem, struct err *err);
int pki_cert_import(gnutls_x509_crt_t *out, const struct buf *pem, struct err *err);

/* Signed by the CA, and not to expire within PKI_RENEW_BEFORE_S. */
bool pki_cert_fresh(const struct pki *pki, gnutls_x509_crt_t cert, int64_t now_s);
/* True when the certificate is for this key. */
bool pki_cert_matches_key(gnutls_x509_crt_t cert, gnutls_x509_privkey_t key);
/* True when the certificate names every address. */
bool pki_cert_covers(gnutls_x509_crt_t cert, const char *const *addresses);

/* ---- pki_token.c ---- */

int pki_token_open(struct pki *pki, struct err *err);

/* base64 of RFC 4648: with padding (standard alphabet), or url-safe without. Appends. */
void pki_base64(struct buf *out, const void *bytes, size_t len);
void pki_base64url(struct buf *out, const void *bytes, size_t len);
/* Appends the bytes of strict, unpadded base64url; false when text is anything else. */
bool pki_base64url_decode(struct buf *out, const char *text, size_t len);

#endif
