/* The administrator's kubeconfig: one cluster, one user, one context, with everything embedded. */
#include "pki/pki_internal.h"

#include "base/mem.h"

#include <libgen.h>
#include <string.h>
#include <time.h>

/* The value behind "key: " at the beginning of some line (after spaces), as a copy; NULL when there is none.
 * The files read here are those that kubeconfig_text wrote: a file of another make is replaced. */
static char *line_value(const char *text, const char *key)
{
    size_t n = strlen(key);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += strspn(line, " \n");
        if (strncmp(line, key, n) == 0 && strncmp(line + n, ": ", 2) == 0)
            return mem_strndup(line + n + 2, strcspn(line + n + 2, "\r\n"));
        if (!*line)
            break;
    }
    return NULL;
}

static bool client_cert_valid(const struct pki *pki, const char *base64, int64_t now_s)
{
    gnutls_datum_t in = {(unsigned char *)base64, (unsigned)strlen(base64)};
    gnutls_datum_t pem = {NULL, 0};
    if (gnutls_base64_decode2(&in, &pem) < 0)
        return false;
    struct buf text = BUF_INIT;
    buf_append(&text, pem.data, pem.size);
    gnutls_free(pem.data);
    gnutls_x509_crt_t cert;
    bool valid = false;
    if (pki_cert_import(&cert, &text, NULL) == 0) {
        valid = pki_cert_fresh(pki, cert, now_s);
        gnutls_x509_crt_deinit(cert);
    }
    buf_free(&text);
    return valid;
}

static bool kubeconfig_valid(const struct pki *pki, const char *text, const char *server_url, int64_t now_s)
{
    mem_auto char *server = line_value(text, "server");
    mem_auto char *ca = line_value(text, "certificate-authority-data");
    mem_auto char *cert = line_value(text, "client-certificate-data");
    buf_auto struct buf ca_base64 = BUF_INIT;
    pki_base64(&ca_base64, pki->ca_pem, strlen(pki->ca_pem));
    return server && ca && cert && strcmp(server, server_url) == 0 && strcmp(ca, buf_str(&ca_base64)) == 0 &&
           client_cert_valid(pki, cert, now_s);
}

static void put_base64_line(struct buf *out, const char *key, const char *pem)
{
    buf_printf(out, "    %s: ", key);
    pki_base64(out, pem, strlen(pem));
    buf_putc(out, '\n');
}

static void kubeconfig_text(struct buf *out, const struct pki *pki, const char *server_url, const char *cert,
                            const char *key)
{
    buf_puts(out, "apiVersion: v1\nkind: Config\nclusters:\n- name: katena\n  cluster:\n");
    buf_printf(out, "    server: %s\n", server_url);
    put_base64_line(out, "certificate-authority-data", pki->ca_pem);
    buf_puts(out, "contexts:\n- name: katena\n  context:\n    cluster: katena\n    user: katena\n"
                  "current-context: katena\npreferences: {}\nusers:\n- name: katena\n  user:\n");
    put_base64_line(out, "client-certificate-data", cert);
    put_base64_line(out, "client-key-data", key);
}

int pki_write_kubeconfig(struct pki *pki, const char *path, const char *server_url, struct err *err)
{
    mem_auto char *dir_copy = mem_strdup(path);
    mem_auto char *name_copy = mem_strdup(path);
    const char *dir = dirname(dir_copy);
    const char *name = basename(name_copy);
    buf_auto struct buf text = BUF_INIT;
    int code = pki_file_read(dir, name, &text, err);
    if (code && code != ERR_NOT_FOUND)
        return code;
    if (!code && kubeconfig_valid(pki, buf_str(&text), server_url, time(NULL)))
        return 0;
    mem_auto char *cert = NULL;
    mem_auto char *key = NULL;
    static const char *const groups[] = {"system:masters"};
    code = pki_issue_client(pki, "system:admin", groups, 1, PKI_CERT_LIFETIME_S, &cert, &key, err);
    if (code)
        return code;
    buf_clear(&text);
    kubeconfig_text(&text, pki, server_url, cert, key);
    return pki_file_write(dir, name, text.data, text.len, err);
}
