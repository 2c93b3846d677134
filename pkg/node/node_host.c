/* What a node takes from its host: name, address, and the networks made from its options. */
#include "node/node_internal.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void node_default_name(char out[NODE_NAME_MAX])
{
    char host[NODE_NAME_MAX] = "";
    gethostname(host, sizeof(host) - 1);
    size_t n = 0;
    for (const char *p = host; *p; p++) {
        char c = (char)tolower((unsigned char)*p);
        bool inner = n > 0 && (c == '-' || c == '.');
        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || inner)
            out[n++] = c;
    }
    while (n && (out[n - 1] == '-' || out[n - 1] == '.'))
        n--;
    out[n] = '\0';
    if (!n)
        snprintf(out, NODE_NAME_MAX, "node");
}

/* Connecting a datagram socket asks the routing table and sends nothing. */
static bool address_of_default_route(char out[NODE_ADDRESS_MAX])
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    struct sockaddr_in far = {.sin_family = AF_INET, .sin_port = htons(9)};
    inet_pton(AF_INET, "192.0.2.1", &far.sin_addr); /* RFC 5737: an address of documentation */
    struct sockaddr_in own;
    socklen_t len = sizeof(own);
    bool found = !connect(fd, (struct sockaddr *)&far, sizeof(far)) &&
                 !getsockname(fd, (struct sockaddr *)&own, &len) &&
                 inet_ntop(AF_INET, &own.sin_addr, out, NODE_ADDRESS_MAX);
    close(fd);
    return found;
}

static bool address_of_first_interface(char out[NODE_ADDRESS_MAX])
{
    struct ifaddrs *all;
    if (getifaddrs(&all))
        return false;
    bool found = false;
    for (struct ifaddrs *i = all; i && !found; i = i->ifa_next) {
        if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET || !(i->ifa_flags & IFF_UP) ||
            i->ifa_flags & IFF_LOOPBACK)
            continue;
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)i->ifa_addr;
        found = inet_ntop(AF_INET, &in->sin_addr, out, NODE_ADDRESS_MAX) != NULL;
    }
    freeifaddrs(all);
    return found;
}

void node_default_address(char out[NODE_ADDRESS_MAX])
{
    if (!address_of_default_route(out) && !address_of_first_interface(out))
        snprintf(out, NODE_ADDRESS_MAX, "127.0.0.1");
}

static bool parse_cidr(const char *cidr, uint32_t *network, int *bits)
{
    char address[NODE_ADDRESS_MAX];
    const char *slash = strchr(cidr, '/');
    if (!slash || (size_t)(slash - cidr) >= sizeof(address))
        return false;
    memcpy(address, cidr, (size_t)(slash - cidr));
    address[slash - cidr] = '\0';
    struct in_addr parsed;
    char *end;
    long prefix = strtol(slash + 1, &end, 10);
    if (*end || end == slash + 1 || prefix < 1 || prefix > 30 || inet_pton(AF_INET, address, &parsed) != 1)
        return false;
    *bits = (int)prefix;
    *network = ntohl(parsed.s_addr) & ~(uint32_t)((1ull << (32 - prefix)) - 1);
    return true;
}

static void print_address(char out[NODE_ADDRESS_MAX], uint32_t address)
{
    struct in_addr in = {.s_addr = htonl(address)};
    inet_ntop(AF_INET, &in, out, NODE_ADDRESS_MAX);
}

bool node_pod_cidr(char out[NODE_ADDRESS_MAX], const char *cidr)
{
    uint32_t network;
    int bits;
    if (!parse_cidr(cidr, &network, &bits) || bits > 24)
        return false;
    print_address(out, network);
    size_t len = strlen(out);
    snprintf(out + len, NODE_ADDRESS_MAX - len, "/24");
    return true;
}

bool node_first_service_address(char out[NODE_ADDRESS_MAX], const char *cidr)
{
    uint32_t network;
    int bits;
    if (!parse_cidr(cidr, &network, &bits))
        return false;
    print_address(out, network + 1);
    return true;
}

bool node_network_taken(char interface[IFNAMSIZ], const char *pod_cidr, const char *own_bridge)
{
    uint32_t network;
    int bits;
    struct ifaddrs *all;
    if (!parse_cidr(pod_cidr, &network, &bits) || getifaddrs(&all))
        return false;
    bool taken = false;
    for (struct ifaddrs *i = all; i && !taken; i = i->ifa_next) {
        if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET || !strcmp(i->ifa_name, own_bridge))
            continue;
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)i->ifa_addr;
        taken = (ntohl(in->sin_addr.s_addr) ^ network) >> (32 - bits) == 0;
        if (taken)
            snprintf(interface, IFNAMSIZ, "%s", i->ifa_name);
    }
    freeifaddrs(all);
    return taken;
}

/* The node in the default place has the plain name; others get a hash of their place. */
void node_bridge_name(char out[16], const char *data_dir)
{
    if (!strcmp(data_dir, "/var/lib/katena")) {
        snprintf(out, 16, "katena0");
        return;
    }
    uint8_t hash[crypto_generichash_BYTES_MIN];
    crypto_generichash(hash, sizeof(hash), (const unsigned char *)data_dir, strlen(data_dir), NULL, 0);
    snprintf(out, 16, "katena%02x%02x%02x%02x", hash[0], hash[1], hash[2], hash[3]);
}
