/* Contacts and routes. Changes happen with the lock, which every function here takes itself. */
#include "peer/peer_internal.h"

#include "base/clock.h"
#include "base/hex.h"
#include "base/mem.h"

#include <stdio.h>

struct contact *contact_find(const struct peers *peers, const uint8_t key[PEER_KEY_SIZE])
{
    for (struct contact *contact = peers->contacts; contact; contact = contact->next)
        if (memcmp(contact->key, key, PEER_KEY_SIZE) == 0)
            return contact;
    return NULL;
}

struct contact *contact_get(struct peers *peers, const uint8_t key[PEER_KEY_SIZE], const char *name)
{
    struct contact *contact = contact_find(peers, key);
    if (!contact && peers->contact_count >= CONTACTS_MAX)
        return NULL;
    peers_lock(peers);
    if (!contact) {
        contact = mem_zalloc(sizeof(*contact));
        memcpy(contact->key, key, PEER_KEY_SIZE);
        contact->next = peers->contacts;
        peers->contacts = contact;
        peers->contact_count++;
    }
    if (name && !contact->name[0])
        snprintf(contact->name, sizeof(contact->name), "%s", name);
    peers_unlock(peers);
    return contact;
}

const char *key_label(const uint8_t key[PEER_KEY_SIZE])
{
    static _Thread_local char text[24];
    hex_encode(text, key, 8);
    return text;
}

const char *contact_label(const struct contact *contact)
{
    return contact->name[0] ? contact->name : key_label(contact->key);
}

/* ---- routes ---- */

static struct route *route_find(const struct peers *peers, const char *text)
{
    for (struct route *route = peers->routes; route; route = route->next)
        if (strcmp(route->text, text) == 0)
            return route;
    return NULL;
}

static bool is_own_address(const struct peers *peers, const char *text)
{
    for (size_t i = 0; i < peers->self.address_count; i++)
        if (strcmp(peers->self.addresses[i], text) == 0)
            return true;
    return false;
}

struct route *route_add(struct peers *peers, const char *text, struct contact *contact, unsigned source)
{
    struct address address;
    char normal[PEER_ADDRESS_MAX];
    if (!address_parse(&address, text))
        return NULL;
    address_format(normal, &address);
    if (is_own_address(peers, normal))
        return NULL;
    struct route *route = route_find(peers, normal);
    if (!route && peers->route_count >= ROUTES_MAX)
        return NULL;
    peers_lock(peers);
    if (!route) {
        route = mem_zalloc(sizeof(*route));
        route->address = address;
        memcpy(route->text, normal, sizeof(normal));
        route->due_us = clock_mono_us();
        route->next = peers->routes;
        peers->routes = route;
        peers->route_count++;
    }
    /* Hearsay does not take an address from the node that answered there. */
    if (contact && (!route->contact || source == ROUTE_LEARNED))
        route->contact = contact;
    route->sources |= source;
    peers_unlock(peers);
    return route;
}

static void route_free(struct route *route)
{
    if (route->conn)
        route->conn->route = NULL;
    resolution_end(route->resolution);
    free(route);
}

/* Those that nobody names any more. */
static void routes_prune(struct peers *peers)
{
    struct route **at = &peers->routes;
    while (*at) {
        struct route *route = *at;
        if (route->sources) {
            at = &route->next;
            continue;
        }
        *at = route->next;
        peers->route_count--;
        route_free(route);
    }
}

void routes_replace(struct peers *peers, struct contact *contact, const struct control_node *node,
                    unsigned source)
{
    struct route *kept[CONTROL_ADDRESSES_MAX];
    size_t count = 0;
    for (size_t i = 0; i < node->address_count; i++) {
        struct route *route = route_add(peers, node->addresses[i], contact, source);
        if (route)
            kept[count++] = route;
    }
    peers_lock(peers);
    for (struct route *route = peers->routes; route; route = route->next) {
        if (route->contact != contact || !(route->sources & source))
            continue;
        bool keep = false;
        for (size_t i = 0; i < count; i++)
            keep |= kept[i] == route;
        if (!keep)
            route->sources &= ~source;
    }
    routes_prune(peers);
    peers_unlock(peers);
}

void routes_describe(const struct peers *peers, const struct contact *contact, struct control_node *out)
{
    memcpy(out->key, contact->key, PEER_KEY_SIZE);
    snprintf(out->name, sizeof(out->name), "%s", contact->name);
    out->address_count = 0;
    for (const struct route *route = peers->routes; route; route = route->next)
        if (route->contact == contact && !route->self && out->address_count < CONTROL_ADDRESSES_MAX)
            memcpy(out->addresses[out->address_count++], route->text, PEER_ADDRESS_MAX);
}

bool routes_are_news(const struct peers *peers, const struct contact *contact)
{
    for (const struct route *route = peers->routes; route; route = route->next)
        if (route->contact == contact && !route->self && !(route->sources & ROUTE_LEARNED))
            return true;
    return false;
}

void routes_hurry(struct peers *peers, const struct contact *contact, int64_t now_us)
{
    for (struct route *route = peers->routes; route; route = route->next)
        if (route->contact == contact && route->due_us > now_us)
            route->due_us = now_us;
}

/* ---- nodes that left ---- */

static void contact_forget(struct peers *peers, struct contact **at)
{
    struct contact *contact = *at;
    peers_lock(peers);
    for (struct route *route = peers->routes; route; route = route->next) {
        if (route->contact != contact)
            continue;
        route->contact = NULL;
        route->sources &= ROUTE_SEED;
    }
    routes_prune(peers);
    *at = contact->next;
    peers->contact_count--;
    peers_unlock(peers);
    free(contact);
}

static bool contact_in_use(const struct peers *peers, const struct contact *contact)
{
    for (const struct conn *conn = peers->conns; conn; conn = conn->next)
        if (conn->contact == contact)
            return true;
    return false;
}

void book_recheck(struct peers *peers)
{
    int64_t now = clock_mono_us();
    struct contact **at = &peers->contacts;
    while (*at) {
        struct contact *contact = *at;
        const char *reason = "it is not a node of the cluster";
        if (peers->callbacks.allowed(peers->callbacks.arg, contact->key, &reason)) {
            routes_hurry(peers, contact, now);
        } else if (contact->conn) {
            conn_refuse(contact->conn, REFUSAL_FORBIDDEN, "%s", reason);
        } else if (!contact_in_use(peers, contact) && !score_refused(&contact->score, now)) {
            contact_forget(peers, at);
            continue;
        }
        at = &contact->next;
    }
    net_rearm(peers);
}

void book_free(struct peers *peers)
{
    for (struct route *route = peers->routes, *next; route; route = next) {
        next = route->next;
        route_free(route);
    }
    for (struct contact *contact = peers->contacts, *next; contact; contact = next) {
        next = contact->next;
        free(contact);
    }
}
