/* Selectors in text form: no input may crash the parsers, and what parses can be matched. */
#include "base/mem.h"
#include "object/registry.h"
#include "object/selector.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mem_auto char *text = mem_strndup((const char *)data, size);
    struct err err = {0};
    struct selector *selector = NULL;
    json_t *labels = json_pack("{s:s,s:s}", "a", "b", "n", "1");
    if (!selector_parse_labels(&selector, text, &err)) {
        selector_matches_labels(selector, labels);
        selector_requires(selector, "a");
        selector_free(selector);
    } else if (!err.message[0]) {
        abort();
    }
    const struct schema_kind *kind = registry_by_kind("", "v1", "Pod");
    if (!selector_parse_fields(&selector, text, kind, &err)) {
        selector_matches_fields(selector, labels);
        selector_free(selector);
    }
    json_decref(labels);
    return 0;
}
