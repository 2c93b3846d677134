/* The edge to the kernel's nftables, through libnftables. */
#ifndef KATENA_PROXY_NFT_H
#define KATENA_PROXY_NFT_H

#include "base/err.h"

/* Runs commands as one transaction: all of them take effect, or none. */
int nft_run(const char *commands, struct err *err);

#endif
