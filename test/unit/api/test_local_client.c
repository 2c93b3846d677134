/* The in-process client: requests, retries of lost races, watches with a dispatcher. */
#include "api_fixture.h"

#include "client/client.h"

static const struct client_resource configmaps = {"", "v1", "configmaps"};

static json_t *make_object(const char *name)
{
    return json_pack("{s:{s:s, s:s}, s:{s:s}}", "metadata", "name", name, "namespace", "default", "data", "n",
                     "0");
}

static void test_requests(void **state)
{
    (void)state;
    struct api_fixture f;
    api_fixture_open(&f);
    struct client *client = api_local_client(f.server, "system:test", api_masters, 1);
    struct err err = {0};
    json_t *object = make_object("a"), *out = NULL, *items = NULL;
    assert_int_equal(client_create(client, &configmaps, "default", object, &out, &err), 0);
    assert_string_equal(json_str(json_array_get(json_at(out, "metadata", "managedFields"), 0), "manager"),
                        "test");
    assert_int_equal(client_create(client, &configmaps, "default", object, NULL, &err), ERR_EXISTS);
    assert_string_equal(err.message, "configmaps \"a\" already exists");
    json_object_set_new(json_object_get(out, "data"), "n", json_string("1"));
    assert_int_equal(client_update(client, &configmaps, NULL, out, NULL, &err), 0);
    assert_int_equal(client_update(client, &configmaps, NULL, out, NULL, &err), ERR_CONFLICT);
    json_decref(out);
    assert_int_equal(client_get(client, &configmaps, "default", "a", &out, &err), 0);
    assert_string_equal(json_str(out, "data", "n"), "1");
    json_decref(out);
    assert_int_equal(client_list(client, &configmaps, "default", NULL, NULL, &items, &err), 0);
    assert_int_equal(json_array_size(items), 1);
    json_decref(items);
    assert_int_equal(client_delete(client, &configmaps, "default", "a", NULL, &err), 0);
    assert_int_equal(client_get(client, &configmaps, "default", "a", &out, &err), ERR_NOT_FOUND);
    json_decref(object);
    api_local_client_free(client);
    api_fixture_close(&f);
}

struct adder {
    struct client *client;
    int number;
};

/* Each adds fields of its own to one object: lost races are run again, nobody's field is lost. */
static void *add_fields(void *arg)
{
    struct adder *a = arg;
    struct err err = {0};
    for (int i = 0; i < 20; i++) {
        char key[32];
        snprintf(key, sizeof(key), "k%d-%d", a->number, i);
        json_t *patch = json_pack("{s:{s:s}}", "data", key, "x");
        while (
            client_patch(a->client, &configmaps, NULL, "default", "a", CLIENT_PATCH_MERGE, patch, NULL, &err))
            assert_int_equal(err.code, ERR_CONFLICT);
        json_decref(patch);
    }
    return NULL;
}

static void test_races_are_retried(void **state)
{
    (void)state;
    struct api_fixture f;
    api_fixture_open(&f);
    struct client *client = api_local_client(f.server, "system:test", api_masters, 1);
    json_t *object = make_object("a"), *out;
    struct err err = {0};
    assert_int_equal(client_create(client, &configmaps, "default", object, NULL, &err), 0);
    pthread_t threads[4];
    struct adder adders[4];
    for (int i = 0; i < 4; i++) {
        adders[i] = (struct adder){client, i};
        pthread_create(&threads[i], NULL, add_fields, &adders[i]);
    }
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(client_get(client, &configmaps, "default", "a", &out, &err), 0);
    assert_int_equal(json_object_size(json_object_get(out, "data")), 1 + 4 * 20);
    json_decref(out);
    json_decref(object);
    api_local_client_free(client);
    api_fixture_close(&f);
}

struct seen {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int added, modified, deleted, synced, added_before_sync;
};

static void on_event(void *arg, enum client_event event, const json_t *object)
{
    struct seen *seen = arg;
    pthread_mutex_lock(&seen->lock);
    assert_true((event == CLIENT_SYNCED) == (object == NULL));
    seen->added += event == CLIENT_ADDED;
    seen->added_before_sync += event == CLIENT_ADDED && !seen->synced;
    seen->modified += event == CLIENT_MODIFIED;
    seen->deleted += event == CLIENT_DELETED;
    seen->synced += event == CLIENT_SYNCED;
    pthread_cond_broadcast(&seen->changed);
    pthread_mutex_unlock(&seen->lock);
}

static void wait_for(struct seen *seen, const int *what, int count)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 10;
    pthread_mutex_lock(&seen->lock);
    while (*what < count)
        if (pthread_cond_timedwait(&seen->changed, &seen->lock, &until))
            fail_msg("only %d of %d events came", *what, count);
    pthread_mutex_unlock(&seen->lock);
}

static void test_watch(void **state)
{
    (void)state;
    struct api_fixture f;
    api_fixture_open(&f);
    struct client *client = api_local_client(f.server, "system:test", api_masters, 1);
    struct seen seen = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    struct err err = {0};
    for (int i = 0; i < 3; i++) {
        char name[8];
        snprintf(name, sizeof(name), "a%d", i);
        json_t *object = make_object(name);
        assert_int_equal(client_create(client, &configmaps, "default", object, NULL, &err), 0);
        json_decref(object);
    }
    struct client_watch *watch = client_watch_start(client, &configmaps, "default", NULL, on_event, &seen);
    wait_for(&seen, &seen.synced, 1);
    assert_int_equal(seen.added_before_sync, 3);
    json_t *patch = json_pack("{s:{s:s}}", "data", "n", "9");
    assert_int_equal(
        client_patch(client, &configmaps, NULL, "default", "a1", CLIENT_PATCH_MERGE, patch, NULL, &err), 0);
    json_decref(patch);
    wait_for(&seen, &seen.modified, 1);
    assert_int_equal(client_delete(client, &configmaps, "default", "a2", NULL, &err), 0);
    wait_for(&seen, &seen.deleted, 1);
    client_watch_stop(watch);
    assert_int_equal(client_delete(client, &configmaps, "default", "a0", NULL, &err), 0);
    assert_int_equal(seen.deleted, 1);
    /* One that is never stopped ends with its client. */
    client_watch_start(client, &configmaps, NULL, "metadata.name=a1", on_event, &seen);
    wait_for(&seen, &seen.synced, 2);
    assert_int_equal(seen.added, 4);
    api_local_client_free(client);
    api_fixture_close(&f);
}

/* Clients with dispatchers of their own share the parsed objects of events. */
static void test_clients_share_events(void **state)
{
    (void)state;
    struct api_fixture f;
    api_fixture_open(&f);
    enum { clients = 3, count = 100 };
    struct client *client[clients];
    struct seen seen[clients];
    struct err err = {0};
    for (int i = 0; i < clients; i++) {
        client[i] = api_local_client(f.server, "system:test", api_masters, 1);
        seen[i] = (struct seen){.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
        client_watch_start(client[i], &configmaps, "default", NULL, on_event, &seen[i]);
        wait_for(&seen[i], &seen[i].synced, 1);
    }
    for (int i = 0; i < count; i++) {
        char name[16];
        snprintf(name, sizeof(name), "a%d", i);
        json_t *object = make_object(name);
        assert_int_equal(client_create(client[i % clients], &configmaps, "default", object, NULL, &err), 0);
        json_decref(object);
    }
    for (int i = 0; i < clients; i++) {
        wait_for(&seen[i], &seen[i].added, count);
        assert_int_equal(seen[i].added, count);
        api_local_client_free(client[i]);
    }
    api_fixture_close(&f);
}

struct seen_metadata {
    struct seen seen;
    int whole; /* objects that had more than was asked for */
    char uid[64];
};

static void on_metadata(void *arg, enum client_event event, const json_t *object)
{
    struct seen_metadata *seen = arg;
    if (object && !strcmp(json_str_or_empty(object, "metadata", "name"), "m")) {
        seen->whole += json_object_get(object, "data") || json_at(object, "metadata", "managedFields");
        assert_string_equal(json_str_or_empty(object, "kind"), "ConfigMap");
        assert_string_equal(json_str_or_empty(object, "apiVersion"), "v1");
        assert_string_equal(json_str_or_empty(object, "metadata", "labels", "a"), "b");
        assert_true(strlen(json_str_or_empty(object, "metadata", "resourceVersion")) > 1);
        snprintf(seen->uid, sizeof(seen->uid), "%s", json_str_or_empty(object, "metadata", "uid"));
    }
    on_event(&seen->seen, event, object);
}

/* The same object as it is found, changed and deleted, beside a watch of whole objects. */
static void test_watch_of_metadata(void **state)
{
    (void)state;
    struct api_fixture f;
    api_fixture_open(&f);
    struct client *client = api_local_client(f.server, "system:test", api_masters, 1);
    struct seen_metadata seen = {
        .seen = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER}};
    struct seen full = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    struct err err = {0};
    json_auto_t *object = make_object("m");
    json_set_str(json_object_ensure(json_object_get(object, "metadata"), "labels"), "a", "b");
    json_auto_t *made = NULL;
    assert_int_equal(client_create(client, &configmaps, "default", object, &made, &err), 0);
    client_watch_start_metadata(client, &configmaps, on_metadata, &seen);
    client_watch_start(client, &configmaps, NULL, NULL, on_event, &full);
    wait_for(&seen.seen, &seen.seen.synced, 1);
    wait_for(&full, &full.synced, 1);
    assert_string_equal(seen.uid, json_str_or_empty(made, "metadata", "uid"));
    json_auto_t *patch = json_pack("{s:{s:s}}", "data", "n", "9");
    assert_int_equal(
        client_patch(client, &configmaps, NULL, "default", "m", CLIENT_PATCH_MERGE, patch, NULL, &err), 0);
    assert_int_equal(client_delete(client, &configmaps, "default", "m", NULL, &err), 0);
    wait_for(&seen.seen, &seen.seen.deleted, 1);
    wait_for(&full, &full.deleted, 1);
    assert_int_equal(seen.seen.modified, 1);
    assert_int_equal(seen.seen.added, full.added);
    assert_int_equal(seen.whole, 0);
    api_local_client_free(client);
    api_fixture_close(&f);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_requests),
    cmocka_unit_test(test_races_are_retried),
    cmocka_unit_test(test_watch),
    cmocka_unit_test(test_watch_of_metadata),
    cmocka_unit_test(test_clients_share_events),
};

UNIT_MAIN(tests)
