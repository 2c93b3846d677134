/* What subscribers are told after a switch: whoever applies it to what he saw has what is. */
#include "unit.h"

#include "base/mem.h"
#include "ledger/fold.h"
#include "ledger/tx_memory.h"

#define NAMES 6

/* A state of few objects; version 0 is none. */
struct thing {
    uint64_t rv;
    unsigned uid;
};
struct world {
    struct thing things[NAMES];
};

static const char *const names[NAMES] = {"a", "b", "c", "d", "e", "f"};
static char uids[256][8];

static struct state_object object_of(size_t i, const struct thing *thing)
{
    snprintf(uids[thing->uid % 256], sizeof(uids[0]), "u%u", thing->uid % 256);
    struct state_object object = {.key = {"", "pods", "default", names[i]},
                                  .rv = thing->rv,
                                  .uid = uids[thing->uid % 256],
                                  .encoding = TX_CONTENT_PLAIN,
                                  .content = (const uint8_t *)"{}",
                                  .content_len = 2};
    return object;
}

static int world_get(struct state_snapshot *snapshot, const struct resource_key *key,
                     struct state_object *out, struct err *err)
{
    const struct world *world = (const struct world *)snapshot;
    (void)err;
    for (size_t i = 0; i < NAMES; i++)
        if (!strcmp(names[i], key->name) && world->things[i].rv) {
            *out = object_of(i, &world->things[i]);
            return 0;
        }
    return ERR_NOT_FOUND;
}

static const struct state_store_ops ops = {.get = world_get};

/* One change of a world, noted. */
static void change_to(struct fold *fold, struct world *world, size_t i, struct thing to)
{
    struct thing *thing = &world->things[i];
    struct state_change change = {.object = object_of(i, to.rv ? &to : thing), .has_old = thing->rv != 0};
    if (thing->rv)
        change.old = object_of(i, thing);
    change.type = !to.rv ? STATE_DELETED : thing->rv ? STATE_MODIFIED : STATE_ADDED;
    fold_note(fold, &change);
    *thing = to;
}

struct told {
    struct world *world;
    uint64_t told_rv, last_rv;
    size_t count;
    bool deletions_over;
};

static size_t place_of(const char *name)
{
    for (size_t i = 0; i < NAMES; i++)
        if (!strcmp(names[i], name))
            return i;
    fail();
    return 0;
}

static void on_told(void *arg, const struct state_change *changes, size_t count)
{
    struct told *told = arg;
    told->count = count;
    for (size_t c = 0; c < count; c++) {
        const struct state_change *change = &changes[c];
        struct thing *thing = &told->world->things[place_of(change->object.key.name)];
        if (change->type == STATE_DELETED) {
            assert_false(told->deletions_over);
            assert_true(thing->rv != 0);
            assert_int_equal(change->object.rv, told->told_rv);
            assert_true(change->has_old && change->old.rv == thing->rv);
            thing->rv = 0;
            continue;
        }
        told->deletions_over = true;
        assert_true(change->object.rv >= told->last_rv);
        told->last_rv = change->object.rv;
        unsigned uid = (unsigned)atoi(change->object.uid + 1);
        assert_int_equal(change->type == STATE_ADDED, thing->rv == 0);
        if (thing->rv) {
            assert_int_equal(uid, thing->uid);
            assert_true(change->has_old && change->old.rv == thing->rv);
            assert_true(change->object.rv != thing->rv);
        }
        *thing = (struct thing){change->object.rv, uid};
    }
}

static void expect_same(const struct world *a, const struct world *b)
{
    for (size_t i = 0; i < NAMES; i++) {
        assert_int_equal(a->things[i].rv, b->things[i].rv);
        if (a->things[i].rv)
            assert_int_equal(a->things[i].uid, b->things[i].uid);
    }
}

static void tell(struct fold *fold, struct world *seen, const struct world *now, struct told *told)
{
    struct err err;
    *told = (struct told){.world = seen, .told_rv = 777};
    assert_int_equal(
        fold_difference(fold, &ops, (struct state_snapshot *)(uintptr_t)now, 777, on_told, told, &err), 0);
    expect_same(seen, now);
}

static uint32_t rng;
static unsigned draw(unsigned below)
{
    rng = rng * 1664525 + 1013904223;
    return rng >> 16 & 0x7fff ? (rng >> 16) % below : 0;
}

static void test_any_way_leads_there(void **state)
{
    (void)state;
    for (rng = 1; rng < 3000; rng += 1) {
        uint32_t seed = rng;
        struct world now = {0}, seen;
        struct told told;
        uint64_t rv = 100;
        unsigned uid = 1;
        for (size_t i = 0; i < NAMES; i++)
            if (draw(2))
                now.things[i] = (struct thing){rv++, uid++};
        seen = now;
        struct world saved[3] = {now, now, now};
        struct fold *fold = fold_new();
        for (int steps = (int)draw(20); steps > 0; steps--) {
            size_t i = draw(NAMES), from = draw(3);
            struct thing to = {rv++, now.things[i].rv ? now.things[i].uid : uid++};
            switch (draw(4)) {
            case 0: /* back to how it was at some time */
                to = saved[from].things[i];
                break;
            case 1:
                to.rv = 0;
                break;
            default:
                break;
            }
            if (to.rv || now.things[i].rv)
                change_to(fold, &now, i, to);
            if (!draw(4))
                saved[from] = now;
        }
        tell(fold, &seen, &now, &told);
        fold_free(fold);
        rng = seed;
    }
}

/* What is as it was is not told of, and what only went back and forth neither. */
static void test_nothing_without_a_difference(void **state)
{
    (void)state;
    struct world now = {.things = {{5, 1}, {6, 2}}}, seen = now;
    struct fold *fold = fold_new();
    struct told told;
    assert_int_equal(fold_bytes(fold), 0);
    change_to(fold, &now, 0, (struct thing){0});
    change_to(fold, &now, 0, (struct thing){5, 1});
    change_to(fold, &now, 3, (struct thing){9, 3});
    change_to(fold, &now, 3, (struct thing){0});
    assert_true(fold_bytes(fold) > 0);
    tell(fold, &seen, &now, &told);
    assert_int_equal(told.count, 0);
    fold_free(fold);
}

/* Another object of the same name is one that goes and one that comes. */
static void test_same_name(void **state)
{
    (void)state;
    struct world now = {.things = {{5, 1}, {6, 2}}}, seen = now;
    struct fold *fold = fold_new();
    struct told told;
    change_to(fold, &now, 1, (struct thing){0});
    change_to(fold, &now, 1, (struct thing){8, 7});
    tell(fold, &seen, &now, &told);
    assert_int_equal(told.count, 2);
    fold_free(fold);
}

static void number_id(uint8_t id[TX_ID_SIZE], unsigned number)
{
    memset(id, 7, TX_ID_SIZE);
    memcpy(id, &number, sizeof(number));
}

static void test_memory_of_transactions(void **state)
{
    (void)state;
    struct tx_memory *memory = tx_memory_new();
    char reason[TX_MEMORY_REASON];
    uint8_t id[TX_ID_SIZE];
    number_id(id, 1);
    assert_int_equal(tx_memory_get(memory, id, reason), TX_MEMORY_NONE);
    tx_memory_put(memory, id, TX_MEMORY_PENDING, NULL);
    assert_int_equal(tx_memory_get(memory, id, reason), TX_MEMORY_PENDING);
    tx_memory_put(memory, id, TX_MEMORY_REJECTED, "why");
    assert_int_equal(tx_memory_get(memory, id, reason), TX_MEMORY_REJECTED);
    assert_string_equal(reason, "why");
    tx_memory_drop_orphan(memory, id);
    assert_int_equal(tx_memory_get(memory, id, reason), TX_MEMORY_REJECTED);
    for (unsigned i = 0; i < 3 * TX_MEMORY_MAX; i++) {
        number_id(id, 10 + i);
        tx_memory_put(memory, id, i % 3 ? TX_MEMORY_REJECTED : TX_MEMORY_ORPHAN, "late");
        if (i % 5 == 0)
            tx_memory_drop(memory, id);
        assert_int_equal(tx_memory_get(memory, id, reason), i % 5 == 0 ? TX_MEMORY_NONE
                                                            : i % 3    ? TX_MEMORY_REJECTED
                                                                       : TX_MEMORY_ORPHAN);
    }
    number_id(id, 1);
    assert_int_equal(tx_memory_get(memory, id, reason), TX_MEMORY_NONE);
    size_t kept = 0;
    for (unsigned i = 2 * TX_MEMORY_MAX; i < 3 * TX_MEMORY_MAX; i++) {
        number_id(id, 10 + i);
        kept += tx_memory_get(memory, id, reason) != TX_MEMORY_NONE;
    }
    assert_true(kept > TX_MEMORY_MAX * 3 / 4);
    tx_memory_free(memory);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_any_way_leads_there),
    cmocka_unit_test(test_nothing_without_a_difference),
    cmocka_unit_test(test_same_name),
    cmocka_unit_test(test_memory_of_transactions),
};

UNIT_MAIN(tests)
