/* See schema.h. */
#include "object/schema.h"

#include <string.h>

const struct schema_member *schema_member_find(const struct schema_message *message, const char *name,
                                               size_t len)
{
    size_t low = 0, high = message->member_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct schema_member *member = &message->members[message->index[middle]];
        int order =
            member->name_len != len ? (len < member->name_len ? -1 : 1) : memcmp(name, member->name, len);
        if (order == 0)
            return member;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

const struct schema_field *schema_field_by_name(const struct schema_message *message, const char *name)
{
    const struct schema_member *member = schema_member_find(message, name, strlen(name));
    return member ? member->field : NULL;
}

const struct schema_field *schema_field_by_number(const struct schema_message *message, unsigned number)
{
    size_t low = 0, high = message->field_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct schema_field *field = &message->fields[message->numbers[middle]];
        if (field->number == number)
            return number ? field : NULL;
        if (number < field->number)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}
