/* Client certificates. GnuTLS has the CA that it verifies against; see http_server.c. */
#include "api/authn_internal.h"

#include "base/mem.h"

#include <gnutls/crypto.h>
#include <gnutls/x509.h>
#include <string.h>

#define NAME_MAX_BYTES 1024
#define ORGANIZATIONS_MAX 256

/* Whether the chain is good for a TLS client. */
static bool peer_verified(gnutls_session_t session)
{
    char client[] = GNUTLS_KP_TLS_WWW_CLIENT;
    gnutls_typed_vdata_st data = {
        .type = GNUTLS_DT_KEY_PURPOSE_OID, .data = (unsigned char *)client, .size = 0};
    unsigned status = 0;
    return gnutls_certificate_verify_peers(session, &data, 1, &status) >= 0 && status == 0;
}

/* One component of the subject as text; false at the end, or when it is not plain text. */
static bool subject_part(gnutls_x509_crt_t cert, const char *oid, unsigned index, char *out, size_t size)
{
    int rc = gnutls_x509_crt_get_dn_by_oid(cert, oid, index, 0, out, &size);
    return rc >= 0 && strlen(out) == size;
}

static void add_credential_id(struct api_identity *out, const gnutls_datum_t *der)
{
    unsigned char digest[32];
    char text[sizeof("X509SHA256=") + 2 * sizeof(digest)] = "X509SHA256=";
    if (gnutls_hash_fast(GNUTLS_DIG_SHA256, der->data, der->size, digest) < 0)
        return;
    size_t at = strlen(text);
    for (size_t i = 0; i < sizeof(digest); i++) {
        text[at++] = "0123456789abcdef"[digest[i] >> 4];
        text[at++] = "0123456789abcdef"[digest[i] & 15];
    }
    text[at] = '\0';
    api_identity_add_extra(out, "authentication.kubernetes.io/credential-id", text);
}

bool authn_certificate(gnutls_session_t session, struct api_identity *out)
{
    unsigned count = 0;
    const gnutls_datum_t *chain = gnutls_certificate_get_peers(session, &count);
    char text[NAME_MAX_BYTES];
    gnutls_x509_crt_t cert;
    if (!chain || count == 0 || !peer_verified(session) || gnutls_x509_crt_init(&cert) < 0)
        return false;
    bool known = gnutls_x509_crt_import(cert, &chain[0], GNUTLS_X509_FMT_DER) >= 0 &&
                 subject_part(cert, GNUTLS_OID_X520_COMMON_NAME, 0, text, sizeof(text)) && *text;
    if (known) {
        *out = (struct api_identity){.name = mem_strdup(text), .uid = mem_strdup("")};
        for (unsigned i = 0; i < ORGANIZATIONS_MAX; i++) {
            if (!subject_part(cert, GNUTLS_OID_X520_ORGANIZATION_NAME, i, text, sizeof(text)))
                break;
            api_identity_add_group(out, text);
        }
        api_identity_add_group(out, "system:authenticated");
        add_credential_id(out, &chain[0]);
    }
    gnutls_x509_crt_deinit(cert);
    return known;
}

void authn_anonymous(struct api_identity *out)
{
    *out = (struct api_identity){.name = mem_strdup("system:anonymous"), .uid = mem_strdup("")};
    api_identity_add_group(out, "system:unauthenticated");
}
