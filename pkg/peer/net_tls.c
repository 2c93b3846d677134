/* TLS: version 1.3 only, certificates of the cluster's authority on both sides. */
#include "peer/peer_internal.h"

#include <openssl/err.h>

static void tls_configure(SSL_CTX *context)
{
    SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
    SSL_CTX_set_num_tickets(context, 0); /* nobody resumes */
    /* What could not be written is written again from another place; an idle connection keeps no buffers. */
    SSL_CTX_set_mode(context, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
}

bool net_tls_export(struct lws *wsi, uint8_t out[32], const char **why)
{
    static const char label[] = "EXPORTER-katena-peer-v1";
    SSL *ssl = lws_get_ssl(wsi);
    X509 *cert = ssl ? SSL_get1_peer_certificate(ssl) : NULL;
    bool verified = cert && SSL_get_verify_result(ssl) == X509_V_OK;
    X509_free(cert);
    *why = "its certificate is not of this cluster";
    if (!verified)
        return false;
    *why = "it does not speak TLS 1.3";
    if (SSL_version(ssl) != TLS1_3_VERSION)
        return false;
    *why = "the TLS session cannot be named";
    return SSL_export_keying_material(ssl, out, 32, label, sizeof(label) - 1, NULL, 0, 0) == 1;
}

static int tls_error(struct err *err, const char *what, const char *file)
{
    char text[128];
    ERR_error_string_n(ERR_peek_last_error(), text, sizeof(text));
    ERR_clear_error();
    return err_set(err, ERR_INVALID, "%s %s: %s", what, file, text);
}

/* libwebsockets' own context for clients would be lost when a second manager runs in the process (it keeps
 * the place of its data in a global), and it only logs what is wrong with the files. */
int net_tls_open(struct peers *peers, struct err *err)
{
    SSL_CTX *context = SSL_CTX_new(TLS_method());
    peers->client_tls = context;
    ERR_clear_error();
    if (!context)
        return tls_error(err, "make a TLS context", "");
    if (SSL_CTX_load_verify_locations(context, peers->ca_file, NULL) != 1)
        return tls_error(err, "read the authority's certificate", peers->ca_file);
    if (SSL_CTX_use_certificate_chain_file(context, peers->cert_file) != 1)
        return tls_error(err, "read the peer certificate", peers->cert_file);
    if (SSL_CTX_use_PrivateKey_file(context, peers->key_file, SSL_FILETYPE_PEM) != 1)
        return tls_error(err, "read the peer key", peers->key_file);
    if (SSL_CTX_check_private_key(context) != 1)
        return tls_error(err, "use the peer key", peers->key_file);
    tls_configure(context);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    return 0;
}

/* OpenSSL's verdict on a certificate stands; it is only noted. */
void net_tls_verdict(struct conn *conn, X509_STORE_CTX *store)
{
    const char *text = X509_verify_cert_error_string(X509_STORE_CTX_get_error(store));
    if (conn->state >= CONN_UP)
        return;
    if (!conn->dialed)
        peers_warn(conn->peers, "the certificate of a peer at %s does not hold: %s", conn->remote, text);
    conn_close(conn, "its certificate does not hold: %.100s", text);
}

/* On the server's side, too, without libwebsockets' global. */
static int verify(int ok, X509_STORE_CTX *store)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct peers *peers = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    for (struct conn *conn = peers->conns; conn && !ok; conn = conn->next) {
        if (conn->dialed || conn->accepted_fd != SSL_get_fd(ssl) || conn->open)
            continue;
        net_tls_verdict(conn, store);
        break;
    }
    return ok;
}

void net_tls_serve(struct peers *peers, SSL_CTX *context)
{
    tls_configure(context);
    SSL_CTX_set_app_data(context, peers);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, verify);
}
