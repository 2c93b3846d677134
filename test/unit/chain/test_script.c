/* Locking scripts: what unlocks them, what does not, and that none runs away. */
#include "unit.h"

#include "chain/hash.h"
#include "chain/script.h"

#include <sodium.h>

static uint8_t keys[3][TX_KEY_SIZE], secrets[3][64];
static uint8_t message[TX_SIGNED_SIZE];
static bool rbac_answer;

static bool rbac(void *arg)
{
    (void)arg;
    return rbac_answer;
}

static int setup(void **state)
{
    (void)state;
    assert_true(sodium_init() >= 0);
    for (int i = 0; i < 3; i++) {
        uint8_t seed[32];
        memset(seed, i + 1, sizeof(seed));
        crypto_sign_seed_keypair(keys[i], secrets[i], seed);
    }
    memset(message, 0x77, sizeof(message));
    rbac_answer = true;
    return 0;
}

static int run(const void *lock, size_t lock_len, const void *unlock, size_t unlock_len)
{
    struct script_env env = {message, rbac, NULL};
    struct err err;
    return script_run(lock, lock_len, unlock, unlock_len, &env, &err);
}

static int run_bufs(const struct buf *lock, const struct buf *unlock)
{
    return run(lock->data, lock->len, unlock->data, unlock->len);
}

static void put_signature(struct buf *out, int signer)
{
    uint8_t signature[TX_SIGNATURE_SIZE];
    crypto_sign_detached(signature, NULL, message, sizeof(message), secrets[signer]);
    script_unlock_item(out, signature, sizeof(signature));
}

static void test_default_is_rbac(void **state)
{
    (void)state;
    assert_int_equal(run(NULL, 0, NULL, 0), 0);
    assert_int_equal(run(NULL, 0, "\x01x", 2), ERR_FORBIDDEN); /* more than one item is left */
    rbac_answer = false;
    assert_int_equal(run(NULL, 0, NULL, 0), ERR_FORBIDDEN);
    assert_int_equal(run(NULL, 0, "\x01x", 2), ERR_FORBIDDEN);
}

static void test_key(void **state)
{
    (void)state;
    buf_auto struct buf lock = BUF_INIT;
    script_lock_key(&lock, keys[0]);
    buf_auto struct buf right = BUF_INIT;
    put_signature(&right, 0);
    assert_int_equal(run_bufs(&lock, &right), 0);
    buf_auto struct buf wrong = BUF_INIT;
    put_signature(&wrong, 1);
    assert_int_equal(run_bufs(&lock, &wrong), ERR_FORBIDDEN);
    assert_int_equal(run(lock.data, lock.len, NULL, 0), ERR_FORBIDDEN);
    message[0] ^= 1; /* the signature is of another transaction */
    assert_int_equal(run_bufs(&lock, &right), ERR_FORBIDDEN);
}

static void test_multi(void **state)
{
    (void)state;
    buf_auto struct buf lock = BUF_INIT;
    script_lock_multi(&lock, 2, 3, (const uint8_t(*)[TX_KEY_SIZE])keys);
    for (int a = 0; a < 3; a++)
        for (int b = 0; b < 3; b++) {
            buf_auto struct buf unlock = BUF_INIT;
            put_signature(&unlock, a);
            put_signature(&unlock, b);
            assert_int_equal(run_bufs(&lock, &unlock), a < b ? 0 : ERR_FORBIDDEN);
        }
    buf_auto struct buf one = BUF_INIT;
    put_signature(&one, 0);
    assert_int_equal(run_bufs(&lock, &one), ERR_FORBIDDEN);
}

static void test_preimage(void **state)
{
    (void)state;
    uint8_t hash[HASH_SIZE];
    hash_sha256(hash, "open sesame", 11);
    buf_auto struct buf lock = BUF_INIT;
    script_lock_preimage(&lock, hash);
    assert_int_equal(run(lock.data, lock.len, "\x0bopen sesame", 12), 0);
    assert_int_equal(run(lock.data, lock.len, "\x0bopen barley", 12), ERR_FORBIDDEN);
}

static void test_key_and_rbac(void **state)
{
    (void)state;
    buf_auto struct buf lock = BUF_INIT;
    script_lock_key(&lock, keys[0]);
    buf_puts(&lock, "\x12\x30"); /* RBAC AND */
    buf_auto struct buf unlock = BUF_INIT;
    put_signature(&unlock, 0);
    assert_int_equal(run_bufs(&lock, &unlock), 0);
    rbac_answer = false;
    assert_int_equal(run_bufs(&lock, &unlock), ERR_FORBIDDEN);
    lock.data[lock.len - 1] = SCRIPT_OR;
    assert_int_equal(run_bufs(&lock, &unlock), 0);
}

static void test_not_and_equal(void **state)
{
    (void)state;
    assert_int_equal(run("\x12\x32", 2, NULL, 0), ERR_FORBIDDEN);
    assert_int_equal(run("\x12\x32\x32", 3, NULL, 0), 0);
    assert_int_equal(run("\x01\x01"
                         "a\x21",
                         4,
                         "\x01"
                         "a",
                         2),
                     0);
    assert_int_equal(run("\x01\x00\x01\x00\x21", 5, NULL, 0), 0);
    assert_int_equal(run("\x01\x00", 2, NULL, 0), ERR_FORBIDDEN); /* an empty item is false */
}

static void test_malformed(void **state)
{
    (void)state;
    struct err err;
    static const struct {
        const char *lock;
        size_t len;
    } bad[] = {{"\xff", 1},
               {"\x01\x05"
                "ab",
                4},
               {"\x01", 1},
               {"\x11\x02\x01", 3},
               {"\x11\x00\x01", 3},
               {"\x11\x01\x11", 3},
               {"\x00", 1}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(run(bad[i].lock, bad[i].len, NULL, 0), ERR_FORBIDDEN);
        assert_int_equal(script_check((const uint8_t *)bad[i].lock, bad[i].len, &err), ERR_INVALID);
    }
    assert_int_equal(run("\x30", 1, NULL, 0), ERR_FORBIDDEN); /* the stack is empty */
    assert_int_equal(run("\x12", 1,
                         "\x05"
                         "a",
                         2),
                     ERR_FORBIDDEN); /* unlocking data cut off */
}

static void test_bounds(void **state)
{
    (void)state;
    /* A deep stack, and more hashes than there is room for, fail without harm. */
    uint8_t deep[SCRIPT_STACK_MAX + 1];
    memset(deep, SCRIPT_RBAC, sizeof(deep));
    assert_int_equal(run(deep, sizeof(deep), NULL, 0), ERR_FORBIDDEN);
    uint8_t hashes[1 + SCRIPT_STACK_MAX + 1];
    memset(hashes, SCRIPT_SHA256, sizeof(hashes));
    hashes[0] = SCRIPT_RBAC;
    assert_int_equal(run(hashes, sizeof(hashes), NULL, 0), ERR_FORBIDDEN);
    assert_int_equal(run(hashes, sizeof(hashes) - 1, NULL, 0), 0);
    /* At most SCRIPT_SIGNATURES_MAX verifications in one run. */
    buf_auto struct buf lock = BUF_INIT;
    buf_auto struct buf unlock = BUF_INIT;
    for (int i = 0; i <= SCRIPT_SIGNATURES_MAX; i++) {
        if (i)
            buf_putc(&lock, SCRIPT_SWAP);
        script_lock_key(&lock, keys[0]);
        if (i)
            buf_putc(&lock, SCRIPT_AND);
        put_signature(&unlock, 0);
        assert_int_equal(run_bufs(&lock, &unlock), i < SCRIPT_SIGNATURES_MAX ? 0 : ERR_FORBIDDEN);
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup(test_default_is_rbac, setup), cmocka_unit_test_setup(test_key, setup),
    cmocka_unit_test_setup(test_multi, setup),           cmocka_unit_test_setup(test_preimage, setup),
    cmocka_unit_test_setup(test_key_and_rbac, setup),    cmocka_unit_test_setup(test_not_and_equal, setup),
    cmocka_unit_test_setup(test_malformed, setup),       cmocka_unit_test_setup(test_bounds, setup),
};

UNIT_MAIN(tests)
