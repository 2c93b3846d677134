/*
 * Service account tokens: JSON Web Tokens (RFC 7519) signed with ES256 (RFC 7518, 3.4).
 *
 * One key signs them all, so one header is ever made, and only that header is accepted: there is no choice of
 * algorithm for an attacker to make, and no parser in front of the signature.
 */
#include "pki/pki_internal.h"

#include "base/mem.h"

#include <gnutls/crypto.h>
#include <string.h>

#define COORDINATE_SIZE 32
#define SIGNATURE_SIZE (2 * COORDINATE_SIZE)
#define TOKEN_MAX 16384

static void base64_groups(struct buf *out, const uint8_t *p, size_t len, const char *alphabet, bool pad)
{
    buf_reserve(out, (len + 2) / 3 * 4);
    for (size_t i = 0; i < len; i += 3) {
        size_t n = len - i < 3 ? len - i : 3;
        uint32_t v = (uint32_t)p[i] << 16 | (n > 1 ? (uint32_t)p[i + 1] << 8 : 0) | (n > 2 ? p[i + 2] : 0);
        char group[4] = {alphabet[v >> 18], alphabet[v >> 12 & 63], alphabet[v >> 6 & 63], alphabet[v & 63]};
        buf_append(out, group, n + 1);
        for (size_t k = n; pad && k < 3; k++)
            buf_putc(out, '=');
    }
}

void pki_base64(struct buf *out, const void *bytes, size_t len)
{
    base64_groups(out, bytes, len, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", true);
}

void pki_base64url(struct buf *out, const void *bytes, size_t len)
{
    base64_groups(out, bytes, len, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", false);
}

static int base64url_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

bool pki_base64url_decode(struct buf *out, const char *text, size_t len)
{
    if (len % 4 == 1)
        return false;
    uint32_t bits = 0;
    int count = 0;
    for (size_t i = 0; i < len; i++) {
        int v = base64url_value(text[i]);
        if (v < 0)
            return false;
        bits = bits << 6 | (uint32_t)v;
        count += 6;
        if (count >= 8) {
            count -= 8;
            buf_putc(out, (char)(bits >> count & 0xff));
        }
    }
    /* Left-over bits must be zero, so that a token has one spelling. */
    return (bits & ((1u << count) - 1)) == 0;
}

static int token_key_load(struct pki *pki, struct err *err)
{
    buf_auto struct buf pem = BUF_INIT;
    gnutls_x509_privkey_t key;
    int code = pki_file_read(pki->dir, "service-account.key", &pem, err);
    if (code == ERR_NOT_FOUND) {
        mem_auto char *text = NULL;
        if ((code = pki_key_make(&key, err)) != 0)
            return code;
        code = pki_key_export(key, &text, err);
        if (!code)
            code = pki_file_write(pki->dir, "service-account.key", text, strlen(text), err);
        if (code) {
            gnutls_x509_privkey_deinit(key);
            return code;
        }
    } else if (code) {
        return code;
    } else if (pki_key_import(&key, &pem, err) != 0) {
        return err_wrap(err, "%s/service-account.key", pki->dir);
    }
    int rc = gnutls_privkey_init(&pki->token_key);
    if (rc >= 0)
        rc = gnutls_privkey_import_x509(pki->token_key, key, GNUTLS_PRIVKEY_IMPORT_COPY);
    gnutls_x509_privkey_deinit(key);
    if (rc >= 0)
        rc = gnutls_pubkey_init(&pki->token_public);
    if (rc >= 0)
        rc = gnutls_pubkey_import_privkey(pki->token_public, pki->token_key, 0, 0);
    return rc < 0 ? pki_gnutls_error(err, "load the service account key", rc) : 0;
}

int pki_token_open(struct pki *pki, struct err *err)
{
    int code = token_key_load(pki, err);
    if (code)
        return code;
    gnutls_datum_t der;
    int rc = gnutls_pubkey_export2(pki->token_public, GNUTLS_X509_FMT_DER, &der);
    if (rc < 0)
        return pki_gnutls_error(err, "export the service account key", rc);
    uint8_t digest[32];
    rc = gnutls_hash_fast(GNUTLS_DIG_SHA256, der.data, der.size, digest);
    gnutls_free(der.data);
    if (rc < 0)
        return pki_gnutls_error(err, "hash the service account key", rc);
    struct buf kid = BUF_INIT;
    pki_base64url(&kid, digest, sizeof(digest));
    pki->token_kid = buf_steal(&kid);
    mem_auto char *header = mem_printf("{\"alg\":\"ES256\",\"kid\":\"%s\"}", pki->token_kid);
    struct buf encoded = BUF_INIT;
    pki_base64url(&encoded, header, strlen(header));
    pki->token_header = buf_steal(&encoded);
    return 0;
}

/* A coordinate of a DER integer as exactly 32 bytes: without its sign byte, with leading zeros. */
static void put_coordinate(uint8_t out[COORDINATE_SIZE], const gnutls_datum_t *integer)
{
    const uint8_t *p = integer->data;
    size_t n = integer->size;
    while (n > COORDINATE_SIZE && *p == 0) {
        p++;
        n--;
    }
    memset(out, 0, COORDINATE_SIZE);
    if (n <= COORDINATE_SIZE)
        memcpy(out + COORDINATE_SIZE - n, p, n);
}

int pki_sign_token(struct pki *pki, const char *claims, struct buf *token, struct err *err)
{
    size_t start = token->len;
    buf_puts(token, pki->token_header);
    buf_putc(token, '.');
    pki_base64url(token, claims, strlen(claims));
    gnutls_datum_t text = {(unsigned char *)token->data + start, (unsigned)(token->len - start)};
    gnutls_datum_t der = {NULL, 0};
    gnutls_datum_t r = {NULL, 0};
    gnutls_datum_t s = {NULL, 0};
    int rc = gnutls_privkey_sign_data2(pki->token_key, GNUTLS_SIGN_ECDSA_SHA256, 0, &text, &der);
    if (rc >= 0)
        rc = gnutls_decode_rs_value(&der, &r, &s);
    if (rc >= 0) {
        uint8_t raw[SIGNATURE_SIZE];
        put_coordinate(raw, &r);
        put_coordinate(raw + COORDINATE_SIZE, &s);
        buf_putc(token, '.');
        pki_base64url(token, raw, sizeof(raw));
    }
    gnutls_free(der.data);
    gnutls_free(r.data);
    gnutls_free(s.data);
    return rc < 0 ? pki_gnutls_error(err, "sign a token", rc) : 0;
}

static bool signature_holds(struct pki *pki, const char *text, size_t len, const uint8_t raw[SIGNATURE_SIZE])
{
    gnutls_datum_t r = {(unsigned char *)raw, COORDINATE_SIZE};
    gnutls_datum_t s = {(unsigned char *)raw + COORDINATE_SIZE, COORDINATE_SIZE};
    gnutls_datum_t der = {NULL, 0};
    if (gnutls_encode_rs_value(&der, &r, &s) < 0)
        return false;
    gnutls_datum_t data = {(unsigned char *)text, (unsigned)len};
    int rc = gnutls_pubkey_verify_data2(pki->token_public, GNUTLS_SIGN_ECDSA_SHA256, 0, &data, &der);
    gnutls_free(der.data);
    return rc >= 0;
}

int pki_verify_token(struct pki *pki, const char *token, struct buf *claims, struct err *err)
{
    buf_clear(claims);
    size_t header_len = strlen(pki->token_header);
    size_t len = strnlen(token, TOKEN_MAX + 1);
    if (len > TOKEN_MAX)
        return err_set(err, ERR_UNAUTHORIZED, "the token is too long");
    const char *payload = token + header_len + 1;
    if (len <= header_len || strncmp(token, pki->token_header, header_len) != 0 || token[header_len] != '.')
        return err_set(err, ERR_UNAUTHORIZED, "the token was not issued by this cluster");
    const char *dot = strchr(payload, '.');
    buf_auto struct buf signature = BUF_INIT;
    if (!dot || !pki_base64url_decode(&signature, dot + 1, strlen(dot + 1)) ||
        signature.len != SIGNATURE_SIZE)
        return err_set(err, ERR_UNAUTHORIZED, "the token is malformed");
    if (!signature_holds(pki, token, (size_t)(dot - token), (const uint8_t *)signature.data))
        return err_set(err, ERR_UNAUTHORIZED, "the token's signature is invalid");
    if (!pki_base64url_decode(claims, payload, (size_t)(dot - payload)))
        return err_set(err, ERR_UNAUTHORIZED, "the token is malformed");
    return 0;
}

void pki_jwks(struct pki *pki, struct buf *out)
{
    gnutls_ecc_curve_t curve;
    gnutls_datum_t x = {NULL, 0};
    gnutls_datum_t y = {NULL, 0};
    uint8_t raw[COORDINATE_SIZE];
    if (gnutls_pubkey_export_ecc_raw2(pki->token_public, &curve, &x, &y, 0) < 0) {
        buf_puts(out, "{\"keys\":[]}");
        return;
    }
    buf_printf(out,
               "{\"keys\":[{\"use\":\"sig\",\"kty\":\"EC\",\"kid\":\"%s\",\"crv\":\"P-256\",\"alg\":"
               "\"ES256\",\"x\":\"",
               pki->token_kid);
    put_coordinate(raw, &x);
    pki_base64url(out, raw, sizeof(raw));
    buf_puts(out, "\",\"y\":\"");
    put_coordinate(raw, &y);
    pki_base64url(out, raw, sizeof(raw));
    buf_puts(out, "\"}]}");
    gnutls_free(x.data);
    gnutls_free(y.data);
}
