/* See allocate.h. */
#include "api/allocate.h"

#include "api/verbs_internal.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>

struct api_allocator {
    pthread_mutex_t lock;
    struct api_reserved *reserved; /* copies of what the calls hold */
    uint32_t network;
    unsigned prefix;
    char cidr[32];
};

struct api_allocator *allocator_new(const char *cidr, struct err *err)
{
    char address[32];
    struct in_addr parsed;
    const char *slash = strchr(cidr, '/');
    int prefix = slash ? atoi(slash + 1) : -1;
    snprintf(address, sizeof(address), "%.*s", (int)(slash ? slash - cidr : (long)strlen(cidr)), cidr);
    if (prefix < 8 || prefix > 29 || inet_pton(AF_INET, address, &parsed) != 1) {
        err_set(err, ERR_BAD_REQUEST, "service network %s is no IPv4 network from /8 to /29", cidr);
        return NULL;
    }
    struct api_allocator *allocator = mem_zalloc(sizeof(*allocator));
    pthread_mutex_init(&allocator->lock, NULL);
    allocator->prefix = (unsigned)prefix;
    allocator->network = ntohl(parsed.s_addr) & (0xffffffffu << (32 - prefix));
    snprintf(allocator->cidr, sizeof(allocator->cidr), "%s", cidr);
    return allocator;
}

void allocator_free(struct api_allocator *allocator)
{
    if (!allocator)
        return;
    assert(!allocator->reserved);
    pthread_mutex_destroy(&allocator->lock);
    free(allocator);
}

uint32_t allocator_size(const struct api_allocator *allocator)
{
    return (1u << (32 - allocator->prefix)) - 2;
}

const char *allocator_cidr(const struct api_allocator *allocator)
{
    return allocator->cidr;
}

void allocator_address(const struct api_allocator *allocator, uint32_t number, char out[16])
{
    struct in_addr address = {.s_addr = htonl(allocator->network + number)};
    inet_ntop(AF_INET, &address, out, 16);
}

bool allocator_contains(const struct api_allocator *allocator, const char *text)
{
    struct in_addr parsed;
    if (inet_pton(AF_INET, text, &parsed) != 1)
        return false;
    uint32_t offset = ntohl(parsed.s_addr) - allocator->network;
    return offset >= 1 && offset <= allocator_size(allocator);
}

static struct api_reserved **find(struct api_reserved **list, const char *term, const char *value)
{
    while (*list && (strcmp((*list)->term, term) != 0 || strcmp((*list)->value, value) != 0))
        list = &(*list)->next;
    return list;
}

static void push(struct api_reserved **list, const char *term, const char *value)
{
    struct api_reserved *entry = mem_zalloc(sizeof(*entry));
    snprintf(entry->term, sizeof(entry->term), "%s", term);
    snprintf(entry->value, sizeof(entry->value), "%s", value);
    entry->next = *list;
    *list = entry;
}

static void drop(struct api_reserved **at)
{
    struct api_reserved *entry = *at;
    *at = entry->next;
    free(entry);
}

/* Reads a snapshot that is newer than the reservation: whoever held the value before has let it go only
 * after its block. */
static bool taken(struct api_server *server, const char *term, const char *value, const char *own_uid)
{
    const struct state_store_ops *ops = ledger_store_ops(server->ledger);
    struct state_snapshot *snapshot = ops->snapshot_begin(ledger_store(server->ledger));
    struct state_iter *iter = ops->iter_index(snapshot, term, value);
    struct state_object state;
    bool found = false;
    while (!found && ops->iter_next(iter, &state))
        found = strcmp(state.uid, own_uid) != 0;
    ops->iter_end(iter);
    ops->snapshot_end(snapshot);
    return found;
}

bool allocate_reserve(struct api_server *server, struct api_reserved **list, const char *term,
                      const char *value, const char *own_uid)
{
    struct api_allocator *allocator = server->verbs->allocator;
    pthread_mutex_lock(&allocator->lock);
    bool free_here = !*find(&allocator->reserved, term, value);
    if (free_here)
        push(&allocator->reserved, term, value);
    pthread_mutex_unlock(&allocator->lock);
    if (!free_here)
        return false;
    push(list, term, value);
    if (!taken(server, term, value, own_uid))
        return true;
    struct api_reserved *only = *list;
    *list = only->next;
    only->next = NULL;
    allocate_release(server, only);
    return false;
}

void allocate_release(struct api_server *server, struct api_reserved *reserved)
{
    if (!reserved)
        return;
    struct api_allocator *allocator = server->verbs->allocator;
    pthread_mutex_lock(&allocator->lock);
    while (reserved) {
        struct api_reserved **at = find(&allocator->reserved, reserved->term, reserved->value);
        assert(*at);
        drop(at);
        drop(&reserved);
    }
    pthread_mutex_unlock(&allocator->lock);
}
