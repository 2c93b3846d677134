/* Lines of a container log: what is accepted lies within the line. */
#include "kubelet/log_read.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* A copy of its own, so that a read behind the line is noticed. */
    char *line = malloc(size ? size : 1);
    struct log_record record;
    if (size)
        __builtin_memcpy(line, data, size);
    if (log_parse(&record, line, size) &&
        (record.time < line || record.text < line || record.text + record.text_len != line + size))
        abort();
    free(line);
    return 0;
}
