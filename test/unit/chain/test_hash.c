/* Known answers of the hash functions (chain/hash.h). */
#include "chain/hash.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

static const char abc_sha256[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
static const char empty_sha256[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
static const char abc_blake2b[] = "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319";

static void check(const uint8_t hash[HASH_SIZE], const char *wanted)
{
    char text[2 * HASH_SIZE + 1];
    for (size_t i = 0; i < HASH_SIZE; i++)
        snprintf(text + 2 * i, 3, "%02x", hash[i]);
    assert_string_equal(text, wanted);
}

static void test_sha256(void **state)
{
    (void)state;
    uint8_t hash[HASH_SIZE];
    hash_sha256(hash, "abc", 3);
    check(hash, abc_sha256);
    hash_sha256(hash, "", 0);
    check(hash, empty_sha256);
}

static void test_sha256_parts(void **state)
{
    (void)state;
    uint8_t hash[HASH_SIZE];
    hash_sha256_parts(hash, "a", 1, "b", 1, "c", 1);
    check(hash, abc_sha256);
    hash_sha256_parts(hash, "ab", 2, "c", 1, NULL, 0);
    check(hash, abc_sha256);
}

static void test_content(void **state)
{
    (void)state;
    uint8_t hash[HASH_SIZE];
    hash_content(hash, "abc", 3);
    check(hash, abc_blake2b);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_sha256),
    cmocka_unit_test(test_sha256_parts),
    cmocka_unit_test(test_content),
};

UNIT_MAIN(tests)
