/* Any bytes as a vote, a proof and a certificate: refused, or decoded to what encodes to the same bytes. */
#include "chain/vote.h"

#include "base/mem.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_certificate(const uint8_t *data, size_t size)
{
    struct vote_certificate certificate;
    struct err err;
    if (vote_certificate_decode(&certificate, data, size, &err) != 0)
        return;
    mem_auto const struct vote **votes = mem_calloc(certificate.count, sizeof(*votes));
    for (size_t i = 0; i < certificate.count; i++)
        votes[i] = &certificate.votes[i];
    buf_auto struct buf again = BUF_INIT;
    vote_certificate_encode(&again, votes, certificate.count);
    assert(again.len == size && memcmp(again.data, data, size) == 0);
    vote_certificate_free(&certificate);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct vote a, b;
    struct err err;
    enum vote_conflict conflict;
    uint8_t again[VOTE_PROOF_SIZE];
    if (vote_decode(&a, data, size, &err) == 0) {
        vote_encode(again, &a);
        assert(memcmp(again, data, VOTE_SIZE) == 0);
    }
    if (vote_proof_check(data, size, &a, &b, &conflict, &err) == 0) {
        vote_proof_encode(again, &a, &b);
        assert(memcmp(again, data, VOTE_PROOF_SIZE) == 0);
    }
    check_certificate(data, size);
    return 0;
}
