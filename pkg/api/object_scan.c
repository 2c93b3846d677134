/*
 * Looking into an object's canonical text without parsing it. The text is our own (object_bytes.c): compact,
 * valid JSON; the scanner stays inside it even if it were not.
 */
#include "api/verbs_internal.h"

struct scan {
    const char *at, *end;
};

static void skip_string(struct scan *s)
{
    for (s->at++; s->at < s->end && *s->at != '"'; s->at++)
        s->at += *s->at == '\\';
    s->at++;
}

/* Past one value of any kind. */
static void skip_value(struct scan *s)
{
    int depth = 0;
    do {
        if (s->at >= s->end)
            return;
        switch (*s->at) {
        case '"':
            skip_string(s);
            break;
        case '{':
        case '[':
            depth++;
            s->at++;
            break;
        case '}':
        case ']':
            depth--;
            s->at++;
            break;
        default:
            s->at++;
        }
        /* A number or a word ends where the next value or the end begins. */
    } while (depth > 0 || (s->at < s->end && !strchr(",}]", *s->at)));
}

/* From the '{' of an object to the value of a member; false (at behind the object) when it has none. */
static bool find_member(struct scan *s, const char *name)
{
    size_t len = strlen(name);
    for (s->at++; s->at < s->end && *s->at == '"'; s->at += s->at < s->end && *s->at == ',') {
        const char *key = s->at + 1;
        skip_string(s);
        bool found = (size_t)(s->at - key) == len + 1 && !memcmp(key, name, len);
        s->at++; /* the colon */
        if (found)
            return s->at < s->end;
        skip_value(s);
    }
    return false;
}

json_t *object_labels(const struct buf *text)
{
    struct scan s = {buf_str(text), buf_str(text) + text->len};
    if (!text->len || *s.at != '{' || !find_member(&s, "metadata") || *s.at != '{' ||
        !find_member(&s, "labels"))
        return NULL;
    const char *start = s.at;
    skip_value(&s);
    return s.at <= s.end ? json_parse_stored(start, (size_t)(s.at - start), NULL) : NULL;
}
