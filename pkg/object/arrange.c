/* See arrange.h. An object that is in order already, as nearly all are, is only looked at. */
#include "object/arrange.h"

#include <string.h>

static void arrange_value(const struct schema_field *field, json_t *value)
{
    size_t i;
    const char *key;
    json_t *item;
    if (field->type != SCHEMA_MESSAGE)
        return;
    if (field->shape == SCHEMA_SINGLE) {
        arrange_members(field->message, value);
        return;
    }
    json_array_foreach(value, i, item) arrange_members(field->message, item);
    json_object_foreach(value, key, item) arrange_members(field->message, item);
}

static void rebuild(const struct schema_message *message, json_t *object)
{
    json_t *all = json_copy(object);
    json_object_clear(object);
    for (size_t i = 0; i < message->member_count; i++) {
        json_t *value = json_object_get(all, message->members[i].name);
        if (value)
            json_object_set_nocheck(object, message->members[i].name, value);
    }
    json_object_update_missing(object, all);
    json_decref(all);
}

void arrange_members(const struct schema_message *message, json_t *object)
{
    const char *name;
    json_t *value;
    const struct schema_member *last = message->members;
    bool ordered = true;
    json_object_foreach(object, name, value)
    {
        const struct schema_member *member = schema_member_find(message, name, strlen(name));
        if (!member)
            continue;
        ordered = ordered && member >= last;
        last = member;
        arrange_value(member->field, value);
    }
    if (!ordered)
        rebuild(message, object);
}
