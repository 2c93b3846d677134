/*
 * Hand-made schemas for tests: fills members and index of a message from its fields, as the schema compiler
 * does. No inlined messages.
 */
#ifndef KATENA_TEST_SCHEMA_FIXTURE_H
#define KATENA_TEST_SCHEMA_FIXTURE_H

#include "object/schema.h"

#include <stdlib.h>
#include <string.h>

static inline bool schema_fixture_before(const struct schema_member *a, const struct schema_member *b)
{
    return a->name_len != b->name_len ? a->name_len < b->name_len : memcmp(a->name, b->name, a->name_len) < 0;
}

/* The memory lives as long as the test program. */
static inline void schema_fixture_fill(struct schema_message *message, const char *name,
                                       const struct schema_field *fields, size_t count)
{
    struct schema_member *members = calloc(count, sizeof(*members));
    uint8_t *index = calloc(count, 1);
    for (size_t i = 0; i < count; i++) {
        members[i] = (struct schema_member){fields[i].name, strlen(fields[i].name), &fields[i]};
        size_t at = i;
        for (; at && schema_fixture_before(&members[i], &members[index[at - 1]]); at--)
            index[at] = index[at - 1];
        index[at] = (uint8_t)i;
    }
    *message = (struct schema_message){.name = name,
                                       .description = "",
                                       .fields = fields,
                                       .field_count = count,
                                       .members = members,
                                       .member_count = count,
                                       .index = index};
}

#endif
