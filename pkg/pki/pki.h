/*
 * The certificates and keys of a cluster and a node, made at the first start and kept under
 * <data-dir>/pki with mode 0600: the cluster's CA, the serving certificate, the administrator's client
 * certificate (in the kubeconfig), and the key that signs service account tokens.
 */
#ifndef KATENA_PKI_PKI_H
#define KATENA_PKI_PKI_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct pki;

struct pki_options {
    const char *data_dir;
    const char *node_name;
    const char *const *addresses; /* IPs and DNS names for the serving certificate, NULL-terminated */
};

#define PKI_SEAL_KEY_SIZE 32
#define PKI_HASH_SIZE 32

/* Loads, or makes what is missing; renews a certificate that expires within 30 days. */
int pki_open(struct pki **out, const struct pki_options *options, struct err *err);
void pki_close(struct pki *pki);

/* PEM texts, owned by pki. */
const char *pki_ca_cert(const struct pki *pki);
const char *pki_serving_cert(const struct pki *pki); /* with the CA behind it */
const char *pki_serving_key(const struct pki *pki);

/* Makes a client certificate: CN = user, O = each group. The caller frees both PEM texts. */
int pki_issue_client(struct pki *pki, const char *user, const char *const *groups, size_t group_count,
                     int64_t lifetime_s, char **cert, char **key, struct err *err);

/* Writes <data-dir>/kubeconfig (mode 0600) for the administrator (system:masters), unless it is there and
 * still valid for this CA and server. */
int pki_write_kubeconfig(struct pki *pki, const char *path, const char *server_url, struct err *err);

/* JSON Web Tokens of service accounts. Signs claims (JSON text) as ES256; verifies and gives the claims'
 * text back. Expiry is the caller's to check, with its own clock. */
int pki_sign_token(struct pki *pki, const char *claims, struct buf *token, struct err *err);
int pki_verify_token(struct pki *pki, const char *token, struct buf *claims, struct err *err);
/* The public key as a JWK set (GET /openid/v1/jwks). */
void pki_jwks(struct pki *pki, struct buf *out);

/* The key that seals Secrets (32 bytes), kept beside the others. */
const uint8_t *pki_seal_key(const struct pki *pki);

/* Files for the connections between nodes: the CA, and a certificate of this node that is good for both sides
 * of a connection (CN=system:katena:peer:NAME, O=system:katena:peers). Paths, owned by pki. */
struct pki_peer_files {
    const char *ca, *cert, *key;
};
struct pki_peer_files pki_peer_files(const struct pki *pki);

/* ---- what all nodes of a cluster have in common ---- */

struct pki_shared {
    char *ca_cert, *ca_key, *service_account_key; /* PEM; owned */
    uint8_t seal_key[PKI_SEAL_KEY_SIZE];
};
int pki_shared_load(struct pki_shared *out, const struct pki *pki, struct err *err);
/* Lays it down under <data-dir>/pki before the first pki_open there. ERR_CONFLICT: another cluster's is
 * there already. */
int pki_shared_store(const struct pki_shared *shared, const char *data_dir, struct err *err);
void pki_shared_free(struct pki_shared *shared); /* wipes the keys */

/* SHA-256 of a CA certificate (of its DER form): what join tokens name a cluster by. */
int pki_ca_hash(uint8_t out[PKI_HASH_SIZE], const char *ca_pem, struct err *err);
/* Of the CA in a data directory; ERR_NOT_FOUND when it has none. */
int pki_ca_hash_of(uint8_t out[PKI_HASH_SIZE], const char *data_dir, struct err *err);

#endif
