/* Any lock against any unlocking data (the first byte says how long the lock is): it ends, the same each
 * time. */
#include "chain/script.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool rbac(void *arg)
{
    return *(bool *)arg;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    size_t lock_len = data[0] < size - 1 ? data[0] : size - 1;
    const uint8_t *lock = data + 1;
    const uint8_t *unlock = lock + lock_len;
    size_t unlock_len = size - 1 - lock_len;
    static const uint8_t message[TX_SIGNED_SIZE] = {1, 2, 3};
    for (int answer = 0; answer < 2; answer++) {
        bool allowed = answer;
        struct script_env env = {message, rbac, &allowed};
        struct err err;
        int first = script_run(lock, lock_len, unlock, unlock_len, &env, &err);
        int second = script_run(lock, lock_len, unlock, unlock_len, &env, &err);
        assert(first == second && (first == 0 || first == ERR_FORBIDDEN));
        /* What unlocks is well-formed. */
        assert(first != 0 || script_check(lock, lock_len, &err) == 0);
        (void)second;
    }
    return 0;
}
