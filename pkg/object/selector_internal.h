/* Shared by the label and the field selector. */
#ifndef KATENA_OBJECT_SELECTOR_INTERNAL_H
#define KATENA_OBJECT_SELECTOR_INTERNAL_H

#include "base/buf.h"
#include "object/selector.h"

enum selector_op {
    SELECTOR_EQUALS,
    SELECTOR_NOT_EQUALS,
    SELECTOR_IN,
    SELECTOR_NOT_IN,
    SELECTOR_EXISTS,
    SELECTOR_NOT_EXISTS,
    SELECTOR_GREATER,
    SELECTOR_LESS,
};

struct requirement {
    char *key;
    enum selector_op op;
    char **values; /* unique */
    size_t value_count;
    char *field;         /* of a field selector: the member names, each ended by NUL, the list by another */
    const char *missing; /* of a field selector: what an absent field counts as; static */
};

struct selector {
    bool nothing;
    struct requirement *items; /* sorted by key */
    size_t count;
};

struct selector *selector_new(void);
struct requirement *selector_add(struct selector *selector, const char *key, enum selector_op op);
void requirement_add_value(struct requirement *r, const char *value);
void requirement_sort_values(struct requirement *r);
void requirement_check(const struct requirement *r, struct buf *faults);
void selector_sort(struct selector *selector);

#endif
