/* HOST:PORT texts (pure). IPv6 hosts stand in brackets; without a port it is PEER_PORT. */
#ifndef KATENA_PEER_ADDRESS_H
#define KATENA_PEER_ADDRESS_H

#include "peer/peer.h"

#include <stdbool.h>

#define ADDRESS_HOST_MAX 254

struct address {
    char host[ADDRESS_HOST_MAX]; /* lower case, without brackets */
    int port;
};

/* False when text is no such address. */
bool address_parse(struct address *out, const char *text);

/* The one text of an address. */
void address_format(char out[PEER_ADDRESS_MAX], const struct address *address);

#endif
