/* Any text as YAML; what is read must be written and read back to the same value. */
#include "codec/yaml.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = {0};
    json_auto_t *all = yaml_parse_all(data, size, &err);
    if (!all)
        return 0;
    size_t i;
    json_t *document;
    json_array_foreach(all, i, document)
    {
        buf_auto struct buf text = BUF_INIT;
        yaml_dump(&text, document);
        json_auto_t *back = yaml_parse(text.data, text.len, &err);
        assert(back && json_equal(document, back));
    }
    return 0;
}
