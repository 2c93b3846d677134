/* jansson's memory: values made and freed by different threads, with and without it. */
#include "unit.h"

#include "codec/json.h"
#include "codec/json_memory.h"

#include <pthread.h>

#define VALUES 200

static json_t *make(int number)
{
    json_t *value = json_object();
    for (int i = 0; i < 20; i++) {
        char name[200];
        int len = snprintf(name, sizeof(name), "%d-%*d", number, i * 9, i);
        json_object_set_new(value, name, json_stringn(name, (size_t)len));
    }
    return value;
}

static void check(const json_t *value, int number)
{
    json_auto_t *expected = make(number);
    assert_true(json_equal(value, expected));
}

static void *make_all(void *arg)
{
    json_t **values = arg;
    for (int i = 0; i < VALUES; i++)
        values[i] = make(i);
    return NULL;
}

static void *free_all(void *arg)
{
    json_t **values = arg;
    for (int i = 0; i < VALUES; i++) {
        check(values[i], i);
        json_decref(values[i]);
    }
    return NULL;
}

static void run(void *(*fn)(void *), json_t **values)
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, fn, values), 0);
    pthread_join(thread, NULL);
}

static void test_values_pass_between_threads(void **state)
{
    (void)state;
    static json_t *values[VALUES];
    make_all(values); /* before: plain malloc's */
    json_memory_start();
    for (int round = 0; round < 3; round++) {
        run(free_all, values);
        run(make_all, values);
        free_all(values);
        make_all(values);
    }
    free_all(values);
}

/* A text that jansson made is freed by the caller with free(). */
static void test_texts_are_the_callers(void **state)
{
    (void)state;
    json_auto_t *value = make(1);
    for (int i = 0; i < 100; i++) {
        char *text = json_dumps(value, JSON_COMPACT);
        assert_non_null(text);
        free(text);
    }
    check(value, 1);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_values_pass_between_threads),
    cmocka_unit_test(test_texts_are_the_callers),
};
UNIT_MAIN(tests)
