/* Join tokens: what is taken as one is written back byte for byte. */
#include "base/mem.h"
#include "pki/join_token.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct join_token token;
    char text[JOIN_TOKEN_MAX], digest[2 * JOIN_TOKEN_HASH_SIZE + 1];
    mem_auto char *input = mem_strndup((const char *)data, size);
    if (join_token_parse(&token, input, NULL))
        return 0;
    join_token_format(text, &token);
    join_token_digest(digest, &token);
    bool known = join_token_matches(&token, digest) && join_token_id_valid(token.id);
    /* Hexadecimal digits may come in capitals. */
    bool same = strlen(text) == strlen(input) && strcmp(text + 66, input + 66) == 0;
    assert(known && same);
    return 0;
}
