/* The ledger on a real disk: answers, reading, subscribers, history, opening again. */
#include "unit.h"
#include "scratch.h"
#include "ledger_fixture.h"

#include "base/log.h"
#include "blockstore/blockstore.h"
#include "blockstore/recent.h"
#include "ledger/ledger_internal.h"

#include <pthread.h>
#include <sys/stat.h>

#define PATIENCE_MS 20000

struct bench {
    struct scratch dir;
    struct ledger *ledger;
};

static void bench_open(struct bench *b)
{
    struct ledger_options options = {.data_dir = b->dir.path};
    struct err err;
    int rc = ledger_open(&b->ledger, &options, &err);
    if (rc)
        fail_msg("%s", err.message);
}

static int setup(void **state)
{
    struct bench *b = mem_zalloc(sizeof(*b));
    struct err err;
    struct ledger_result result;
    log_set_level(LOG_LEVEL_ERROR);
    scratch_make(&b->dir);
    bench_open(b);
    assert_int_equal(fixture_put(b->ledger, "namespaces", FIXTURE_NAMESPACE, "x", &result, &err), 0);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;
    ledger_close(b->ledger);
    scratch_remove(&b->dir);
    free(b);
    return 0;
}

static void expect_object(struct ledger *ledger, const char *name, const char *value, uint64_t rv)
{
    const struct state_store_ops *ops = ledger_store_ops(ledger);
    struct state_snapshot *snapshot = ops->snapshot_begin(ledger_store(ledger));
    struct state_object object;
    struct resource_key key = fixture_key("configmaps", name);
    int rc = ops->get(snapshot, &key, &object, NULL);
    if (!value) {
        assert_int_equal(rc, ERR_NOT_FOUND);
    } else {
        buf_auto struct buf expected = BUF_INIT;
        uint32_t rv_offset;
        fixture_content(&expected, &rv_offset, &key, value);
        assert_int_equal(rc, 0);
        assert_int_equal(object.rv, rv);
        assert_int_equal(object.rv_offset, rv_offset);
        assert_int_equal(object.content_len, expected.len);
        assert_memory_equal(object.content, expected.data, expected.len);
        assert_string_equal(object.key.name, name);
    }
    ops->snapshot_end(snapshot);
}

static void test_put_read_reopen(void **state)
{
    struct bench *b = *state;
    struct err err;
    struct ledger_result a, c;
    uint8_t chain_id[TX_ID_SIZE], key[TX_KEY_SIZE];
    assert_int_equal(fixture_put(b->ledger, "configmaps", "a", "1", &a, &err), 0);
    assert_int_equal(fixture_put(b->ledger, "configmaps", "b", "2", &c, &err), 0);
    assert_int_equal(a.height + 1, c.height);
    assert_true(c.rv > a.rv);
    expect_object(b->ledger, "a", "1", a.rv);
    memcpy(chain_id, ledger_chain_id(b->ledger), TX_ID_SIZE);
    memcpy(key, ledger_node_public(b->ledger), TX_KEY_SIZE);
    for (int i = 0; i < 3; i++) {
        ledger_close(b->ledger);
        bench_open(b);
        assert_memory_equal(ledger_chain_id(b->ledger), chain_id, TX_ID_SIZE);
        assert_memory_equal(ledger_node_public(b->ledger), key, TX_KEY_SIZE);
        expect_object(b->ledger, "a", "1", a.rv);
        expect_object(b->ledger, "b", "2", c.rv);
    }
    assert_int_equal(fixture_put(b->ledger, "configmaps", "a", "3", &a, &err), 0);
    assert_int_equal(a.height, c.height + 1);
    expect_object(b->ledger, "a", "3", a.rv);
    assert_int_equal(fixture_put(b->ledger, "configmaps", "a", NULL, &a, &err), 0);
    expect_object(b->ledger, "a", NULL, 0);
    struct stat st;
    assert_int_equal(stat(scratch_file(&b->dir, "chain/node.key"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void test_rejections(void **state)
{
    struct bench *b = *state;
    struct err err;
    struct ledger_result result;
    struct tx *first = fixture_tx(b->ledger, "configmaps", "a", "1");
    struct tx *second = fixture_tx(b->ledger, "configmaps", "a", "2");
    assert_int_equal(ledger_submit_wait(b->ledger, first, &result, &err), 0);
    assert_int_equal(ledger_submit_wait(b->ledger, second, &result, &err), ERR_EXISTS);
    assert_true(*err.message);
    first = fixture_tx(b->ledger, "configmaps", "a", "3");
    second = fixture_tx(b->ledger, "configmaps", "a", "4");
    assert_int_equal(ledger_submit_wait(b->ledger, first, &result, &err), 0);
    assert_int_equal(ledger_submit_wait(b->ledger, second, &result, &err), ERR_STALE);
}

static size_t list(struct ledger *ledger, const char *resource, const char *term, char *names, size_t size)
{
    const struct state_store_ops *ops = ledger_store_ops(ledger);
    struct state_snapshot *snapshot = ops->snapshot_begin(ledger_store(ledger));
    struct resource_key kind = {"", resource, NULL, ""};
    buf_auto struct buf prefix = BUF_INIT;
    key_encode(&prefix, &kind);
    struct state_iter *iter = term ? ops->iter_index(snapshot, "owner", term)
                                   : ops->iter_begin(snapshot, prefix.data, prefix.len, NULL, 0);
    struct state_object object;
    size_t count = 0;
    for (*names = '\0'; ops->iter_next(iter, &object); count++) {
        strncat(names, object.key.name, size - strlen(names) - 1);
        strncat(names, " ", size - strlen(names) - 1);
    }
    ops->iter_end(iter);
    ops->snapshot_end(snapshot);
    return count;
}

static void test_lists(void **state)
{
    struct bench *b = *state;
    struct err err;
    struct ledger_result result;
    char names[256];
    assert_int_equal(list(b->ledger, "configmaps", NULL, names, sizeof(names)), 0);
    const char *make[] = {"b", "a", "ab", "c"};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(fixture_put(b->ledger, "configmaps", make[i], "1", &result, &err), 0);
    list(b->ledger, "configmaps", NULL, names, sizeof(names));
    assert_string_equal(names, "a ab b c ");
    assert_int_equal(fixture_put(b->ledger, "configmaps", "ab", NULL, &result, &err), 0);
    list(b->ledger, "configmaps", NULL, names, sizeof(names));
    assert_string_equal(names, "a b c ");
    list(b->ledger, "configmaps", "uid-of-owner", names, sizeof(names));
    assert_string_equal(names, "a b c default ");
    assert_int_equal(list(b->ledger, "configmaps", "uid-of-nobody", names, sizeof(names)), 0);
    assert_int_equal(list(b->ledger, "configmap", NULL, names, sizeof(names)), 0);
}

/* A change as one line, for comparing what a subscriber saw with what the history replays. */
static void change_line(struct buf *out, const struct state_change *change)
{
    static const char *const types[] = {"ADDED", "MODIFIED", "DELETED"};
    buf_printf(out, "%s %s/%s %llu %.*s", types[change->type], change->object.key.resource,
               change->object.key.name, (unsigned long long)change->object.rv,
               (int)change->object.content_len, change->object.content);
    if (change->has_old)
        buf_printf(out, " old %llu %.*s", (unsigned long long)change->old.rv, (int)change->old.content_len,
                   change->old.content);
    buf_putc(out, '\n');
}

struct watch {
    pthread_mutex_t lock;
    struct buf lines;
    uint64_t height;
};

static void watch_block(void *arg, uint64_t height, uint64_t head_rv, const struct state_change *changes,
                        size_t count)
{
    struct watch *watch = arg;
    assert_true(height > watch->height);
    watch->height = height;
    for (size_t i = 0; i < count; i++) {
        change_line(&watch->lines, &changes[i]);
        assert_true(changes[i].object.rv <= head_rv);
    }
}

static bool history_change(void *arg, const struct state_change *change)
{
    change_line(arg, change);
    return true;
}

static void test_history_is_what_subscribers_saw(void **state)
{
    struct bench *b = *state;
    struct watch watch = {0};
    struct err err;
    struct ledger_result first, result;
    assert_int_equal(fixture_put(b->ledger, "configmaps", "a", "1", &first, &err), 0);
    ledger_subscribe(b->ledger, watch_block, &watch);
    for (int i = 0; i < 20; i++) {
        char name[8], value[16];
        snprintf(name, sizeof(name), "m%d", i % 4);
        snprintf(value, sizeof(value), "%d", i);
        assert_int_equal(fixture_put(b->ledger, "configmaps", name, i % 7 == 6 ? NULL : value, &result, &err),
                         0);
    }
    assert_int_equal(fixture_put(b->ledger, "configmaps", "a", NULL, &result, &err), 0);
    buf_auto struct buf lines = BUF_INIT;
    assert_int_equal(ledger_history(b->ledger, first.rv, UINT64_MAX, history_change, &lines, &err), 0);
    assert_string_equal(buf_str(&lines), buf_str(&watch.lines));
    buf_clear(&lines);
    assert_int_equal(ledger_history(b->ledger, result.rv, UINT64_MAX, history_change, &lines, &err), 0);
    assert_int_equal(lines.len, 0);
    assert_int_equal(ledger_history(b->ledger, first.rv - 1, UINT64_MAX, history_change, &lines, &err),
                     ERR_EXPIRED);
    assert_int_equal(ledger_history(b->ledger, 1, UINT64_MAX, history_change, &lines, &err), ERR_EXPIRED);
    assert_int_equal(ledger_history(b->ledger, result.rv + 1, UINT64_MAX, history_change, &lines, &err),
                     ERR_EXPIRED);
    buf_free(&watch.lines);
}

struct tally {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    int answered, included;
    uint64_t first_height, last_height;
};

static void count_answer(void *arg, const struct ledger_result *result)
{
    struct tally *tally = arg;
    pthread_mutex_lock(&tally->lock);
    tally->answered++;
    tally->included += result->code == 0;
    if (!result->code && !tally->first_height)
        tally->first_height = result->height;
    if (!result->code)
        tally->last_height = result->height;
    pthread_cond_signal(&tally->cond);
    pthread_mutex_unlock(&tally->lock);
}

/* What is queued shares blocks: far fewer commits than transactions. */
static void test_batches(void **state)
{
    struct bench *b = *state;
    struct tally tally = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0, 0, 0};
    enum { COUNT = 400 };
    static struct tx *txs[COUNT];
    char name[16];
    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof(name), "n%d", i);
        txs[i] = fixture_tx(b->ledger, "configmaps", name, "1");
    }
    for (int i = 0; i < COUNT; i++)
        ledger_submit(b->ledger, txs[i], count_answer, &tally);
    pthread_mutex_lock(&tally.lock);
    while (tally.answered < COUNT)
        pthread_cond_wait(&tally.cond, &tally.lock);
    pthread_mutex_unlock(&tally.lock);
    assert_int_equal(tally.included, COUNT);
    assert_true(tally.last_height - tally.first_height < COUNT / 4);
}

/* More than are kept in memory before they are indexed: each is found, also after opening again. */
static void test_every_id_is_found(void **state)
{
    struct bench *b = *state;
    struct tally tally = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0, 0, 0};
    enum { COUNT = 2 * RECENT_MAX + 500 };
    uint8_t(*ids)[TX_ID_SIZE] = mem_calloc(COUNT, TX_ID_SIZE);
    for (int i = 0; i < COUNT; i++) {
        char name[16];
        snprintf(name, sizeof(name), "n%d", i);
        struct tx *tx = fixture_tx(b->ledger, "configmaps", name, "1");
        memcpy(ids[i], tx->id, TX_ID_SIZE);
        ledger_submit(b->ledger, tx, count_answer, &tally);
    }
    pthread_mutex_lock(&tally.lock);
    while (tally.answered < COUNT)
        pthread_cond_wait(&tally.cond, &tally.lock);
    pthread_mutex_unlock(&tally.lock);
    assert_int_equal(tally.included, COUNT);
    for (int round = 0; round < 2; round++) {
        uint64_t height;
        uint32_t index;
        struct err err;
        for (int i = 0; i < COUNT; i++)
            assert_int_equal(blockstore_height_of_tx(ledger_store(b->ledger), ids[i], &height, &index, &err),
                             0);
        ledger_close(b->ledger);
        bench_open(b);
    }
    free(ids);
}

struct worker {
    struct ledger *ledger;
    int number, failures;
};

static void *work(void *arg)
{
    struct worker *worker = arg;
    struct err err;
    struct ledger_result result;
    char name[32], value[32];
    for (int i = 0; i < 30; i++) {
        snprintf(name, sizeof(name), "w%d-%d", worker->number, i % 5);
        snprintf(value, sizeof(value), "%d", i);
        worker->failures += fixture_put(worker->ledger, "configmaps", name, value, &result, &err) != 0;
        buf_auto struct buf lines = BUF_INIT;
        if (i % 10 == 9)
            worker->failures +=
                ledger_history(worker->ledger, result.rv, UINT64_MAX, history_change, &lines, &err) != 0;
        struct rbac_policy *policy = ledger_policy(worker->ledger);
        rbac_policy_release(policy);
    }
    return NULL;
}

static void test_many_threads(void **state)
{
    struct bench *b = *state;
    enum { THREADS = 8 };
    pthread_t threads[THREADS];
    struct worker workers[THREADS];
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){b->ledger, i, 0};
        pthread_create(&threads[i], NULL, work, &workers[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(workers[i].failures, 0);
    }
    char names[512];
    assert_int_equal(list(b->ledger, "configmaps", NULL, names, sizeof(names)), THREADS * 5);
}

static void test_second_open_is_refused(void **state)
{
    struct bench *b = *state;
    struct ledger *other;
    struct ledger_options options = {.data_dir = b->dir.path};
    struct err err;
    assert_int_equal(ledger_open(&other, &options, &err), ERR_CONFLICT);
    assert_non_null(strstr(err.message, "in use by another katena"));
}

static void test_lost_key(void **state)
{
    struct bench *b = *state;
    struct ledger_options options = {.data_dir = b->dir.path};
    struct err err;
    ledger_close(b->ledger);
    b->ledger = NULL;
    char path[256];
    snprintf(path, sizeof(path), "%s", scratch_file(&b->dir, "chain/node.key"));
    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(ledger_open(&b->ledger, &options, &err), ERR_FORBIDDEN);
    unlink(path);
    assert_int_equal(ledger_open(&b->ledger, &options, &err), ERR_NOT_FOUND);
    assert_non_null(strstr(err.message, "node.key"));
}

static void ignore_answer(void *arg, const struct ledger_result *result)
{
    (void)arg;
    (void)result;
}

static bool sleeps_for_ever(struct ledger *ledger)
{
    pthread_mutex_lock(&ledger->lock);
    bool sleeps = ledger->asleep_until_us == INT64_MAX && ledger->deadline_us == INT64_MAX;
    pthread_mutex_unlock(&ledger->lock);
    return sleeps;
}

/* A node that is alone wants nothing of the time: it is woken by what comes, or never. */
static void test_idle_is_silent(void **state)
{
    struct bench *b = *state;
    struct err err;
    struct ledger_result result;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(fixture_put(b->ledger, "configmaps", "a", "1", &result, &err), 0);
        ledger_submit_inline(b->ledger, fixture_tx(b->ledger, "configmaps", "b", "1"), ignore_answer, NULL);
        for (int k = 0; k < PATIENCE_MS && !sleeps_for_ever(b->ledger); k++)
            usleep(1000);
        assert_true(sleeps_for_ever(b->ledger));
    }
    assert_true(ledger_owns(b->ledger, "x", 1));
    struct ledger_state now;
    struct ledger_tx_status status;
    ledger_state(b->ledger, &now);
    assert_int_equal(now.head_height, now.final_height);
    assert_memory_equal(now.head_hash, now.final_hash, HASH_SIZE);
    ledger_tx_status(b->ledger, result.tx_id, &status);
    assert_int_equal(status.level, LEDGER_IRREVERSIBLE);
    assert_int_equal(status.height, result.height);
    assert_int_equal(status.rv, result.rv);
    result.tx_id[0] ^= 1;
    ledger_tx_status(b->ledger, result.tx_id, &status);
    assert_int_equal(status.level, LEDGER_UNKNOWN);
    struct tx *stale = fixture_tx(b->ledger, "configmaps", "a", "2");
    assert_int_equal(fixture_put(b->ledger, "configmaps", "a", "3", NULL, &err), 0);
    assert_int_equal(ledger_submit_wait(b->ledger, stale, &result, &err), ERR_STALE);
    ledger_tx_status(b->ledger, result.tx_id, &status);
    assert_int_equal(status.level, LEDGER_REJECTED);
    assert_true(*status.reason);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(test_put_read_reopen, setup, teardown),
    cmocka_unit_test_setup_teardown(test_rejections, setup, teardown),
    cmocka_unit_test_setup_teardown(test_lists, setup, teardown),
    cmocka_unit_test_setup_teardown(test_history_is_what_subscribers_saw, setup, teardown),
    cmocka_unit_test_setup_teardown(test_batches, setup, teardown),
    cmocka_unit_test_setup_teardown(test_every_id_is_found, setup, teardown),
    cmocka_unit_test_setup_teardown(test_many_threads, setup, teardown),
    cmocka_unit_test_setup_teardown(test_idle_is_silent, setup, teardown),
    cmocka_unit_test_setup_teardown(test_second_open_is_refused, setup, teardown),
    cmocka_unit_test_setup_teardown(test_lost_key, setup, teardown),
};

UNIT_MAIN(tests)
