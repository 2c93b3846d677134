/* See nft.h. A context is made for each run and freed: runs are rare, and it would keep memory for nothing.
 */
#include "proxy/nft.h"

#include <nftables/libnftables.h>

int nft_run(const char *commands, struct err *err)
{
    struct nft_ctx *ctx = nft_ctx_new(NFT_CTX_DEFAULT);
    if (!ctx)
        return err_set(err, ERR_IO, "cannot make an nftables context");
    nft_ctx_buffer_output(ctx);
    nft_ctx_buffer_error(ctx);
    int rc = nft_run_cmd_from_buffer(ctx, commands);
    if (rc)
        rc = err_set(err, ERR_IO, "nftables: %.1500s", nft_ctx_get_error_buffer(ctx));
    nft_ctx_free(ctx);
    return rc;
}
