/*
 * Addresses and ports of Services. What is taken is in the state (index terms "clusterIP" and "nodePort");
 * what is being taken is in a table of this process, so that two creates at once do not choose the same.
 */
#ifndef KATENA_API_ALLOCATE_H
#define KATENA_API_ALLOCATE_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define ALLOCATE_PORT_FIRST 30000
#define ALLOCATE_PORT_LAST 32767

struct api_allocator;
struct api_server;

/* One reserved value; a list hangs on each call. */
struct api_reserved {
    struct api_reserved *next;
    char term[16];
    char value[48];
};

/* Reserves value for the list, unless another call holds it or some other Service than own_uid (may be "")
 * has it. A value that the list holds already is refused too. */
bool allocate_reserve(struct api_server *server, struct api_reserved **list, const char *term,
                      const char *value, const char *own_uid);

/* Whether text is an address of the service network. */
bool allocator_contains(const struct api_allocator *allocator, const char *text);
/* How many addresses there are to give, from 1 on. */
uint32_t allocator_size(const struct api_allocator *allocator);
const char *allocator_cidr(const struct api_allocator *allocator);

#endif
