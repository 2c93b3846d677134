/* Proofs come from anyone. */
#include "ledger/proof.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct proof_trust trust = {0};
    struct proof_result result;
    struct err err;
    if (proof_check(&result, data, size, &trust, &err) == 0) {
        assert(result.tx && result.header.height <= result.last.height);
        tx_free(result.tx);
    } else {
        assert(!result.tx);
    }
    return 0;
}
