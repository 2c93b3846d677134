/* The stored form of objects. */
#include "unit.h"

#include "state/entry.h"
#include "state/record.h"

static struct state_object object_full(void)
{
    struct state_object o = {
        .key = {"apps", "deployments", "default", "web"},
        .rv = UINT64_C(1740800000000000007),
        .uid = "uid-1",
        .encoding = TX_CONTENT_SEALED,
        .content = (const uint8_t *)"sealed bytes",
        .content_len = 12,
        .rv_offset = 77,
        .lock = (const uint8_t *)"\x12\x32",
        .lock_len = 2,
        .claim = {"n1", 250, 1 << 30, 1},
        .terms = (const uint8_t *)"owner\0u0\0node\0n1",
        .terms_len = 17,
    };
    memset(o.tx_id, 1, sizeof(o.tx_id));
    memset(o.content_hash, 2, sizeof(o.content_hash));
    memset(o.entry_hash, 3, sizeof(o.entry_hash));
    return o;
}

static void test_round_trip(void **state)
{
    (void)state;
    struct state_object o = object_full();
    buf_auto struct buf record = BUF_INIT;
    state_record_encode(&record, &o);
    struct state_object back;
    assert_true(state_record_decode(&back, record.data, record.len));
    assert_int_equal(key_compare(&o.key, &back.key), 0);
    assert_true(back.rv == o.rv);
    assert_string_equal(back.uid, "uid-1");
    assert_int_equal(back.encoding, TX_CONTENT_SEALED);
    assert_int_equal(back.content_len, 12);
    assert_memory_equal(back.content, o.content, 12);
    assert_int_equal(back.rv_offset, 77);
    assert_memory_equal(back.lock, o.lock, 2);
    assert_int_equal(back.lock_len, 2);
    assert_string_equal(back.claim.node, "n1");
    assert_int_equal(back.claim.memory_bytes, 1 << 30);
    assert_memory_equal(back.tx_id, o.tx_id, TX_ID_SIZE);
    assert_memory_equal(back.content_hash, o.content_hash, HASH_SIZE);
    assert_memory_equal(back.entry_hash, o.entry_hash, HASH_SIZE);
    struct tx_index_term term;
    size_t pos = 0;
    assert_true(state_term_next(&back, &pos, &term));
    assert_string_equal(term.name, "owner");
    assert_string_equal(term.value, "u0");
    assert_true(state_term_next(&back, &pos, &term));
    assert_string_equal(term.value, "n1");
    assert_false(state_term_next(&back, &pos, &term));
}

static void test_least(void **state)
{
    (void)state;
    struct state_object o = {.key = {"", "nodes", "", "n"}, .uid = ""};
    buf_auto struct buf record = BUF_INIT;
    state_record_encode(&record, &o);
    struct state_object back;
    assert_true(state_record_decode(&back, record.data, record.len));
    assert_null(back.claim.node);
    assert_string_equal(back.key.group, "");
    assert_int_equal(back.content_len, 0);
    struct tx_index_term term;
    size_t pos = 0;
    assert_false(state_term_next(&back, &pos, &term));
}

static void test_every_cut_is_refused(void **state)
{
    (void)state;
    struct state_object o = object_full();
    buf_auto struct buf record = BUF_INIT;
    state_record_encode(&record, &o);
    for (size_t len = 0; len < record.len; len++) {
        char *cut = malloc(len ? len : 1);
        memcpy(cut, record.data, len);
        struct state_object back;
        assert_false(state_record_decode(&back, cut, len));
        free(cut);
    }
}

/* Everything that later decisions depend on is in the entry. */
static void test_entry_covers_the_object(void **state)
{
    (void)state;
    uint8_t base[HASH_SIZE], other[HASH_SIZE];
    struct state_object o = object_full();
    state_entry_rebuild(base, &o);
#define CHANGED(assignment)                              \
    do {                                                 \
        o = object_full();                               \
        assignment;                                      \
        state_entry_rebuild(other, &o);                  \
        assert_memory_not_equal(base, other, HASH_SIZE); \
    } while (0)
    CHANGED(o.key.name = "web2");
    CHANGED(o.rv++);
    CHANGED(o.tx_id[0]++);
    CHANGED(o.uid = "uid-2");
    CHANGED(o.encoding = TX_CONTENT_PLAIN);
    CHANGED(o.content = (const uint8_t *)"sealed BYTES");
    CHANGED(o.rv_offset++);
    CHANGED(o.lock_len--);
    CHANGED(o.claim.node = NULL);
    CHANGED(o.claim.pods++);
    CHANGED(o.terms_len = 9);
#undef CHANGED
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_round_trip),
    cmocka_unit_test(test_least),
    cmocka_unit_test(test_every_cut_is_refused),
    cmocka_unit_test(test_entry_covers_the_object),
};

UNIT_MAIN(tests)
