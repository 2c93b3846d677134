/* Bodies of both sides of joining: what decodes is encoded and decoded again to the same. */
#include "api/join.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void request(const uint8_t *data, size_t size)
{
    static struct join_request first, second;
    buf_auto struct buf text = BUF_INIT;
    if (join_request_decode(&first, data, size, NULL) || first.version != JOIN_VERSION)
        return;
    join_request_encode(&text, &first);
    int code = join_request_decode(&second, text.data, text.len, NULL);
    bool same = code == 0 && memcmp(&first, &second, sizeof(first)) == 0;
    assert(same);
    join_request_verify(&second);
}

static void answer(const uint8_t *data, size_t size)
{
    struct join_answer first, second;
    buf_auto struct buf text = BUF_INIT;
    if (join_answer_decode(&first, data, size, NULL))
        return;
    join_answer_encode(&text, &first);
    int code = join_answer_decode(&second, text.data, text.len, NULL);
    bool same = code == 0 && first.peer_count == second.peer_count &&
                strcmp(first.shared.ca_key, second.shared.ca_key) == 0 &&
                strcmp(first.cluster_cidr, second.cluster_cidr) == 0;
    assert(same);
    join_answer_free(&first);
    join_answer_free(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t challenge[JOIN_CHALLENGE_SIZE];
    request(data, size);
    answer(data, size);
    join_challenge_decode(challenge, data, size, NULL);
    return 0;
}
