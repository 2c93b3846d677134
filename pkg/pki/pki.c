/*
 * What must exist under <data-dir>/pki:
 *
 *     ca.key, ca.crt            the cluster's CA
 *     serving.key, serving.crt  the API's TLS certificate, made anew when it expires or misses an address
 *     peer.key, peer.crt        for connections between nodes, both sides of them; renewed likewise
 *     service-account.key       signs tokens
 *     seal.key                  seals Secrets
 *
 * A key is written before what is made from it, so after a crash between the two the second is simply made
 * again. A file that is there but cannot be read is an error: replacing a CA or a sealing key in silence
 * would cut off every client, or lose every Secret.
 */
#include "pki/pki_internal.h"

#include "base/mem.h"
#include "base/rand.h"

#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ADDRESSES_MAX 128

struct address_list {
    const char *items[ADDRESSES_MAX + 1]; /* NULL-terminated; owned */
    size_t count;
};

static void address_add(struct address_list *list, const char *address)
{
    if (!address || !*address || list->count == ADDRESSES_MAX)
        return;
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i], address) == 0)
            return;
    list->items[list->count++] = mem_strdup(address);
    list->items[list->count] = NULL;
}

static void addresses_free(struct address_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free((char *)list->items[i]);
}

/* The host's own addresses, but not those of its bridges to pods, which come and go. */
static void addresses_of_host(struct address_list *list)
{
    char host[256] = "";
    if (gethostname(host, sizeof(host) - 1) == 0)
        address_add(list, host);
    struct ifaddrs *interfaces = NULL;
    if (getifaddrs(&interfaces) != 0)
        return;
    for (struct ifaddrs *i = interfaces; i; i = i->ifa_next) {
        char text[INET6_ADDRSTRLEN];
        mem_auto char *bridge = mem_printf("/sys/class/net/%s/bridge", i->ifa_name);
        if (!i->ifa_addr || i->ifa_flags & IFF_LOOPBACK || access(bridge, F_OK) == 0)
            continue;
        if (i->ifa_addr->sa_family == AF_INET) {
            if (inet_ntop(AF_INET, &((struct sockaddr_in *)i->ifa_addr)->sin_addr, text, sizeof(text)))
                address_add(list, text);
        } else if (i->ifa_addr->sa_family == AF_INET6) {
            struct in6_addr *ip = &((struct sockaddr_in6 *)i->ifa_addr)->sin6_addr;
            if (!IN6_IS_ADDR_LINKLOCAL(ip) && inet_ntop(AF_INET6, ip, text, sizeof(text)))
                address_add(list, text);
        }
    }
    freeifaddrs(interfaces);
}

static void addresses_collect(struct address_list *list, const struct pki_options *options)
{
    static const char *const fixed[] = {"localhost",
                                        "127.0.0.1",
                                        "::1",
                                        "kubernetes",
                                        "kubernetes.default",
                                        "kubernetes.default.svc",
                                        "kubernetes.default.svc.cluster.local"};
    memset(list, 0, sizeof(*list));
    for (size_t i = 0; i < sizeof(fixed) / sizeof(*fixed); i++)
        address_add(list, fixed[i]);
    address_add(list, options->node_name);
    for (size_t i = 0; options->addresses && options->addresses[i]; i++)
        address_add(list, options->addresses[i]);
    addresses_of_host(list);
}

/* The key of a file, made when there is none. */
static int key_ensure(struct pki *pki, const char *name, gnutls_x509_privkey_t *out, struct err *err)
{
    buf_auto struct buf pem = BUF_INIT;
    int code = pki_file_read(pki->dir, name, &pem, err);
    if (!code)
        code = pki_key_import(out, &pem, err) ? err_wrap(err, "%s/%s", pki->dir, name) : 0;
    if (pem.data)
        explicit_bzero(pem.data, pem.len);
    if (code != ERR_NOT_FOUND)
        return code;
    mem_auto char *text = NULL;
    if ((code = pki_key_make(out, err)) != 0)
        return code;
    code = pki_key_export(*out, &text, err);
    if (!code)
        code = pki_file_write(pki->dir, name, text, strlen(text), err);
    if (code) {
        gnutls_x509_privkey_deinit(*out);
        *out = NULL;
    }
    return code;
}

/* Loads a certificate; *out stays NULL when there is none. */
static int cert_load(struct pki *pki, const char *name, gnutls_x509_crt_t *out, struct err *err)
{
    buf_auto struct buf pem = BUF_INIT;
    *out = NULL;
    int code = pki_file_read(pki->dir, name, &pem, err);
    if (code == ERR_NOT_FOUND) {
        err_clear(err);
        return 0;
    }
    return code ? code : pki_cert_import(out, &pem, err) ? err_wrap(err, "%s/%s", pki->dir, name) : 0;
}

static int ca_open(struct pki *pki, int64_t now_s, struct err *err)
{
    int code = key_ensure(pki, "ca.key", &pki->ca_key, err);
    if (!code)
        code = cert_load(pki, "ca.crt", &pki->ca, err);
    if (code)
        return code;
    bool keep = pki->ca && pki_cert_matches_key(pki->ca, pki->ca_key) &&
                (int64_t)gnutls_x509_crt_get_expiration_time(pki->ca) - now_s > PKI_RENEW_BEFORE_S;
    if (keep)
        return pki_cert_export(pki->ca, &pki->ca_pem, err);
    /* Renewed with the same key, so certificates that the old one signed remain good. */
    gnutls_x509_crt_t old = pki->ca;
    code = pki_ca_make(&pki->ca, pki->ca_key, now_s, err);
    if (old)
        gnutls_x509_crt_deinit(old);
    if (code) {
        pki->ca = NULL;
        return code;
    }
    code = pki_cert_export(pki->ca, &pki->ca_pem, err);
    return code ? code : pki_file_write(pki->dir, "ca.crt", pki->ca_pem, strlen(pki->ca_pem), err);
}

/* A certificate of this node: kept while it is fresh, for this key and names every address. */
struct own_cert {
    const char *cert_file, *key_file;
    enum pki_purpose purpose;
    const char *common_name, *organization;
    const char *const *addresses;
};

static int own_cert_make(struct pki *pki, gnutls_x509_crt_t *cert, gnutls_x509_privkey_t key,
                         const struct own_cert *own, int64_t now_s, struct err *err)
{
    struct pki_subject subject = {
        .common_name = own->common_name,
        .organizations = &own->organization,
        .organization_count = 1,
        .addresses = own->addresses,
    };
    mem_auto char *pem = NULL;
    int code = pki_cert_make(pki, cert, key, own->purpose, &subject, now_s, PKI_CERT_LIFETIME_S, err);
    if (!code)
        code = pki_cert_export(*cert, &pem, err);
    return code ? code : pki_file_write(pki->dir, own->cert_file, pem, strlen(pem), err);
}

/* cert_pem and key_pem (may be NULL) are the caller's. */
static int own_cert_open(struct pki *pki, const struct own_cert *own, int64_t now_s, char **cert_pem,
                         char **key_pem, struct err *err)
{
    gnutls_x509_privkey_t key = NULL;
    gnutls_x509_crt_t cert = NULL;
    int code = key_ensure(pki, own->key_file, &key, err);
    if (!code)
        code = cert_load(pki, own->cert_file, &cert, err);
    if (!code && !(cert && pki_cert_fresh(pki, cert, now_s) && pki_cert_matches_key(cert, key) &&
                   pki_cert_covers(cert, own->addresses))) {
        if (cert)
            gnutls_x509_crt_deinit(cert);
        cert = NULL;
        code = own_cert_make(pki, &cert, key, own, now_s, err);
    }
    if (!code && cert_pem)
        code = pki_cert_export(cert, cert_pem, err);
    if (!code && key_pem)
        code = pki_key_export(key, key_pem, err);
    if (cert)
        gnutls_x509_crt_deinit(cert);
    if (key)
        gnutls_x509_privkey_deinit(key);
    return code;
}

static int serving_open(struct pki *pki, const struct pki_options *options, int64_t now_s, struct err *err)
{
    struct address_list addresses;
    addresses_collect(&addresses, options);
    bool named = options->node_name && *options->node_name;
    mem_auto char *peer_name = mem_printf("system:katena:peer:%s", named ? options->node_name : "");
    struct own_cert serving = {.cert_file = "serving.crt",
                               .key_file = "serving.key",
                               .purpose = PKI_SERVER,
                               .common_name = named ? options->node_name : "katena",
                               .organization = "katena",
                               .addresses = addresses.items};
    struct own_cert peer = {.cert_file = "peer.crt",
                            .key_file = "peer.key",
                            .purpose = PKI_PEER,
                            .common_name = peer_name,
                            .organization = "system:katena:peers",
                            .addresses = addresses.items};
    mem_auto char *pem = NULL;
    int code = own_cert_open(pki, &serving, now_s, &pem, &pki->serving_key_pem, err);
    if (!code)
        code = own_cert_open(pki, &peer, now_s, NULL, NULL, err);
    if (!code)
        pki->serving_pem = mem_printf("%s%s", pem, pki->ca_pem);
    addresses_free(&addresses);
    return code;
}

static int seal_key_open(struct pki *pki, struct err *err)
{
    buf_auto struct buf bytes = BUF_INIT;
    int code = pki_file_read(pki->dir, "seal.key", &bytes, err);
    if (code == ERR_NOT_FOUND) {
        rand_bytes(pki->seal_key, sizeof(pki->seal_key));
        return pki_file_write(pki->dir, "seal.key", pki->seal_key, sizeof(pki->seal_key), err);
    }
    if (code)
        return code;
    if (bytes.len != sizeof(pki->seal_key))
        return err_set(err, ERR_CORRUPT, "%s/seal.key has %zu bytes, not %zu", pki->dir, bytes.len,
                       sizeof(pki->seal_key));
    memcpy(pki->seal_key, bytes.data, bytes.len);
    explicit_bzero(bytes.data, bytes.len);
    return 0;
}

/* The directory, and a lock on it: `katena token` may run beside the server. Returns a descriptor. */
static int directory_lock(const char *data_dir, const char *dir, int *fd, struct err *err)
{
    if (mkdir(data_dir, 0700) != 0 && errno != EEXIST)
        return err_set_errno(err, "create %s", data_dir);
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return err_set_errno(err, "create %s", dir);
    *fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*fd < 0)
        return err_set_errno(err, "open %s", dir);
    if (flock(*fd, LOCK_EX) != 0) {
        close(*fd);
        return err_set_errno(err, "lock %s", dir);
    }
    return 0;
}

int pki_open(struct pki **out, const struct pki_options *options, struct err *err)
{
    int lock = -1;
    int64_t now_s = time(NULL);
    struct pki *pki = mem_zalloc(sizeof(*pki));
    pki->dir = mem_printf("%s/pki", options->data_dir);
    pki->ca_path = mem_printf("%s/ca.crt", pki->dir);
    pki->peer_cert_path = mem_printf("%s/peer.crt", pki->dir);
    pki->peer_key_path = mem_printf("%s/peer.key", pki->dir);
    int code = directory_lock(options->data_dir, pki->dir, &lock, err);
    if (!code) {
        code = ca_open(pki, now_s, err);
        if (!code)
            code = serving_open(pki, options, now_s, err);
        if (!code)
            code = pki_token_open(pki, err);
        if (!code)
            code = seal_key_open(pki, err);
        close(lock);
    }
    if (code) {
        pki_close(pki);
        return code;
    }
    *out = pki;
    return 0;
}

void pki_close(struct pki *pki)
{
    if (!pki)
        return;
    if (pki->serving_key_pem)
        explicit_bzero(pki->serving_key_pem, strlen(pki->serving_key_pem));
    if (pki->ca)
        gnutls_x509_crt_deinit(pki->ca);
    if (pki->ca_key)
        gnutls_x509_privkey_deinit(pki->ca_key);
    if (pki->token_public)
        gnutls_pubkey_deinit(pki->token_public);
    if (pki->token_key)
        gnutls_privkey_deinit(pki->token_key);
    explicit_bzero(pki->seal_key, sizeof(pki->seal_key));
    free(pki->dir);
    free(pki->ca_path);
    free(pki->peer_cert_path);
    free(pki->peer_key_path);
    free(pki->ca_pem);
    free(pki->serving_pem);
    free(pki->serving_key_pem);
    free(pki->token_kid);
    free(pki->token_header);
    free(pki);
}

const char *pki_ca_cert(const struct pki *pki)
{
    return pki->ca_pem;
}

const char *pki_serving_cert(const struct pki *pki)
{
    return pki->serving_pem;
}

const char *pki_serving_key(const struct pki *pki)
{
    return pki->serving_key_pem;
}

struct pki_peer_files pki_peer_files(const struct pki *pki)
{
    return (struct pki_peer_files){pki->ca_path, pki->peer_cert_path, pki->peer_key_path};
}

const uint8_t *pki_seal_key(const struct pki *pki)
{
    return pki->seal_key;
}

int pki_issue_client(struct pki *pki, const char *user, const char *const *groups, size_t group_count,
                     int64_t lifetime_s, char **cert, char **key, struct err *err)
{
    struct pki_subject subject = {
        .common_name = user, .organizations = groups, .organization_count = group_count};
    gnutls_x509_privkey_t private_key;
    gnutls_x509_crt_t crt;
    *cert = NULL;
    *key = NULL;
    int code = pki_key_make(&private_key, err);
    if (code)
        return code;
    code = pki_cert_make(pki, &crt, private_key, PKI_CLIENT, &subject, time(NULL), lifetime_s, err);
    if (!code) {
        code = pki_cert_export(crt, cert, err);
        if (!code)
            code = pki_key_export(private_key, key, err);
        gnutls_x509_crt_deinit(crt);
    }
    gnutls_x509_privkey_deinit(private_key);
    if (code) {
        free(*cert);
        *cert = NULL;
    }
    return code;
}
