/* Label and field selectors. Pure. */
#ifndef KATENA_OBJECT_SELECTOR_H
#define KATENA_OBJECT_SELECTOR_H

#include "base/err.h"
#include "object/schema.h"

#include <jansson.h>
#include <stdbool.h>

struct selector;

/* "a=b,c!=d,e in (f,g),h notin (i),j,!k"; "" matches all. The caller frees *out with selector_free. */
int selector_parse_labels(struct selector **out, const char *text, struct err *err);

/* A metav1.LabelSelector value {matchLabels, matchExpressions}; NULL matches nothing, {} all. */
int selector_from_object(struct selector **out, const json_t *label_selector, struct err *err);

/* "metadata.name=x,spec.nodeName!=y"; fields that the kind does not support are an error with Kubernetes'
 * text: `field label not supported: spec.foo`. */
int selector_parse_fields(struct selector **out, const char *text, const struct schema_kind *kind,
                          struct err *err);

bool selector_matches_labels(const struct selector *selector, const json_t *labels); /* NULL labels: none */
bool selector_matches_fields(const struct selector *selector, const json_t *object);
/* The value that the selector asks of a field by equality ("spec.nodeName"); NULL when it does not. */
const char *selector_requires(const struct selector *selector, const char *name);
bool selector_empty(const struct selector *selector);
void selector_free(struct selector *selector);

#endif
