/*
 * Bearer tokens: the bytes as a token, as the rest of one with a good header, and as the claims of one that
 * is signed. Only the last is ever accepted, and gives back what was signed.
 */
#include "base/mem.h"
#include "pki/pki.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char fuzz_dir[] = "/tmp/katena-fuzz-XXXXXX";
static struct pki *fuzz_pki;

static void clean_up(void)
{
    mem_auto char *command = mem_printf("rm -r %s", fuzz_dir);
    pki_close(fuzz_pki);
    if (system(command) != 0)
        perror(fuzz_dir);
}

static void open_once(void)
{
    if (fuzz_pki)
        return;
    struct pki_options options = {.data_dir = mkdtemp(fuzz_dir), .node_name = "node"};
    int code = pki_open(&fuzz_pki, &options, NULL);
    assert(code == 0);
    atexit(clean_up);
}

static bool accepted(const char *token, struct buf *claims)
{
    return pki_verify_token(fuzz_pki, token, claims, NULL) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    open_once();
    buf_auto struct buf claims = BUF_INIT;
    buf_auto struct buf token = BUF_INIT;
    mem_auto char *text = mem_strndup((const char *)data, size);
    if (size > 4096)
        return 0;
    bool as_token = accepted(text, &claims);
    assert(!as_token);

    int code = pki_sign_token(fuzz_pki, text, &token, NULL);
    assert(code == 0);
    bool as_claims = accepted(token.data, &claims);
    assert(as_claims && strcmp(buf_str(&claims), text) == 0);

    char *dot = strchr(token.data, '.');
    mem_auto char *forged = mem_printf("%.*s%s", (int)(dot + 1 - token.data), token.data, text);
    bool as_rest = accepted(forged, &claims);
    assert(!as_rest);
    return 0;
}
