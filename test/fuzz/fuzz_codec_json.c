/* Our reader and writer against jansson's: what jansson reads we read to the same value, and what we write it
 * reads back. */
#include "codec/json.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* jansson takes NUL behind a value for the end of the text. */
    if (size && memchr(data, 0, size))
        return 0;
    struct err err = {0};
    json_auto_t *ours = json_parse((const char *)data, size, &err);
    json_auto_t *theirs =
        json_loadb((const char *)data, size, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
    if (theirs && !ours) /* jansson allows far more levels, and longer numbers */
        assert(size > JSON_DEPTH_MAX);
    if (theirs && ours)
        assert(json_equal(ours, theirs));
    if (!ours) {
        assert(err.code == ERR_BAD_REQUEST);
        return 0;
    }
    buf_auto struct buf text = BUF_INIT;
    json_dump_buf(&text, ours);
    json_auto_t *back = json_loadb(text.data, text.len, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
    assert(back && json_equal(ours, back));
    return 0;
}
