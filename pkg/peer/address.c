/* See address.h. */
#include "peer/address.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool host_char(char c, bool ipv6)
{
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.')
        return true;
    return ipv6 ? c == ':' || c == '%' : c == '-' || c == '_';
}

static bool copy_host(struct address *out, const char *host, size_t len, bool ipv6)
{
    if (len == 0 || len >= sizeof(out->host))
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = host[i];
        out->host[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
        if (!host_char(out->host[i], ipv6))
            return false;
    }
    out->host[len] = '\0';
    return true;
}

static bool parse_port(int *out, const char *text)
{
    size_t len = strlen(text);
    if (len == 0 || len > 5 || strspn(text, "0123456789") != len)
        return false;
    *out = atoi(text);
    return *out > 0 && *out <= 65535;
}

bool address_parse(struct address *out, const char *text)
{
    *out = (struct address){.port = PEER_PORT};
    const char *rest;
    if (text[0] == '[') {
        const char *end = strchr(text, ']');
        if (!end || !copy_host(out, text + 1, (size_t)(end - text - 1), true))
            return false;
        rest = end + 1;
    } else {
        rest = strchr(text, ':');
        if (rest && strchr(rest + 1, ':')) { /* a bare IPv6 address */
            return copy_host(out, text, strlen(text), true);
        }
        if (!rest)
            rest = text + strlen(text);
        if (!copy_host(out, text, (size_t)(rest - text), false))
            return false;
    }
    if (*rest == '\0')
        return true;
    return *rest == ':' && parse_port(&out->port, rest + 1);
}

void address_format(char out[PEER_ADDRESS_MAX], const struct address *address)
{
    const char *open = strchr(address->host, ':') ? "[" : "";
    const char *close = *open ? "]" : "";
    snprintf(out, PEER_ADDRESS_MAX, "%s%.253s%s:%d", open, address->host, close, address->port);
}
