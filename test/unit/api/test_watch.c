/* Lists and watches: selectors, pages, and that no event is missed or repeated at any seam. */
#include "api_fixture.h"

#include "api/hub_internal.h"

#define PATIENCE_MS 20000

static void make(struct api_fixture *f, const char *name, const char *label)
{
    char body[256];
    snprintf(body, sizeof(body), "{\"metadata\":{\"name\":\"%s\",\"labels\":{\"l\":\"%s\"}}}", name, label);
    api_do(f, 201, API_CREATE, "configmaps", "default", "", body);
}

static void relabel(struct api_fixture *f, const char *name, const char *label)
{
    char body[256];
    snprintf(body, sizeof(body), "{\"metadata\":{\"labels\":{\"l\":\"%s\"}}}", label);
    f->extra.content_type = "application/merge-patch+json";
    api_do(f, 200, API_PATCH, "configmaps", "default", name, body);
}

static struct api_watch *watch(struct api_fixture *f, const char *resource_version)
{
    f->extra.resource_version = resource_version;
    struct api_response *response = api_ask(f, API_WATCH, "configmaps", "default", "", NULL);
    assert_int_equal(response->status, 200);
    struct api_watch *opened = response->watch;
    response->watch = NULL;
    api_response_free(response);
    return opened;
}

/* The next event as "TYPE name"; "" when there is none. */
static const char *next(struct api_watch *w, char out[300])
{
    struct api_watch_event event;
    if (!api_watch_next(w, &event))
        return "";
    json_t *object = json_loadb(event.json, event.json_len, 0, NULL);
    assert_non_null(object);
    snprintf(out, 300, "%s %s", event.type,
             json_str(object, "metadata", "name") ? json_str(object, "metadata", "name")
                                                  : json_str_or_empty(object, "message"));
    json_decref(object);
    return out;
}

#define EXPECT(w, text)                               \
    do {                                              \
        char out_[300];                               \
        assert_string_equal(next((w), out_), (text)); \
    } while (0)

static void test_list_selectors_and_pages(void **state)
{
    (void)state;
    struct api_fixture f;
    api_fixture_open(&f);
    for (int i = 0; i < 10; i++) {
        char name[8];
        snprintf(name, sizeof(name), "c%d", i);
        make(&f, name, i < 5 ? "low" : "high");
    }
    f.extra.label_selector = "l=low";
    json_t *list = api_ok(&f, 200, API_LIST, "configmaps", "default", "", NULL);
    assert_int_equal(json_array_size(json_object_get(list, "items")), 5);
    json_decref(list);
    f.extra.field_selector = "metadata.name=c7";
    list = api_ok(&f, 200, API_LIST, "configmaps", "", "", NULL);
    assert_int_equal(json_array_size(json_object_get(list, "items")), 1);
    json_decref(list);

    f.extra.limit = 4;
    list = api_ok(&f, 200, API_LIST, "configmaps", "default", "", NULL);
    assert_int_equal(json_array_size(json_object_get(list, "items")), 4);
    assert_int_equal(json_int_or(-1, list, "metadata", "remainingItemCount"), 6);
    /* What happens between the pages is not in them: they show one state. */
    api_do(&f, 200, API_DELETE, "configmaps", "default", "c5", NULL);
    make(&f, "c55", "new");
    relabel(&f, "c6", "changed");
    f.extra.limit = 10;
    f.extra.continue_token = json_str(list, "metadata", "continue");
    json_t *rest = api_ok(&f, 200, API_LIST, "configmaps", "default", "", NULL);
    assert_int_equal(json_array_size(json_object_get(rest, "items")), 6);
    assert_string_equal(json_str(rest, "metadata", "resourceVersion"),
                        json_str(list, "metadata", "resourceVersion"));
    for (int i = 0; i < 6; i++) {
        char name[8];
        snprintf(name, sizeof(name), "c%d", i + 4);
        const json_t *item = json_array_get(json_object_get(rest, "items"), (size_t)i);
        assert_string_equal(json_str(item, "metadata", "name"), name);
        assert_string_not_equal(json_str(item, "metadata", "labels", "l"), "changed");
    }
    json_decref(rest);
    f.extra.resource_version = json_str(list, "metadata", "resourceVersion");
    f.extra.resource_version_match = "Exact";
    rest = api_ok(&f, 200, API_LIST, "configmaps", "default", "", NULL);
    assert_int_equal(json_array_size(json_object_get(rest, "items")), 10);
    json_decref(rest);
    json_decref(list);

    f.extra.continue_token = "nonsense";
    api_do(&f, 400, API_LIST, "configmaps", "default", "", NULL);
    f.extra.resource_version = "9999999999999999999";
    api_do(&f, 504, API_LIST, "configmaps", "default", "", NULL);
    f.extra.resource_version_match = "Exact";
    api_do(&f, 422, API_LIST, "configmaps", "default", "", NULL);
    f.extra.field_selector = "spec.foo=1";
    api_do(&f, 400, API_LIST, "configmaps", "default", "", NULL);
    api_fixture_close(&f);
}

static void test_initial_then_live(void **state)
{
    (void)state;
    struct api_fixture f;
    api_fixture_open(&f);
    make(&f, "a", "1");
    make(&f, "b", "1");
    struct api_watch *w = watch(&f, NULL);
    EXPECT(w, "ADDED a");
    make(&f, "c", "1"); /* while the initial state is being read */
    EXPECT(w, "ADDED b");
    EXPECT(w, "ADDED c");
    EXPECT(w, "");
    relabel(&f, "a", "2");
    api_do(&f, 200, API_DELETE, "configmaps", "default", "b", NULL);
    EXPECT(w, "MODIFIED a");
    EXPECT(w, "DELETED b");
    EXPECT(w, "");
    api_watch_close(w);
    api_fixture_close(&f);
}

static void test_replay_from_history(void **state)
{
    (void)state;
    struct api_fixture f;
    api_fixture_open(&f);
    make(&f, "a", "1");
    json_t *list = api_ok(&f, 200, API_LIST, "configmaps", "default", "", NULL);
    make(&f, "b", "1");
    relabel(&f, "a", "2");
    api_do(&f, 200, API_DELETE, "configmaps", "default", "b", NULL);
    struct api_watch *w = watch(&f, json_str(list, "metadata", "resourceVersion"));
    make(&f, "c", "1");
    EXPECT(w, "ADDED b");
    EXPECT(w, "MODIFIED a");
    EXPECT(w, "DELETED b");
    EXPECT(w, "ADDED c");
    EXPECT(w, "");
    api_watch_close(w);
    w = watch(&f, "12345");
    char out[300];
    assert_memory_equal(next(w, out), "ERROR too old resource version: 12345 (", 39);
    EXPECT(w, "");
    api_watch_close(w);
    json_decref(list);
    api_fixture_close(&f);
}

static void test_selector_transitions(void **state)
{
    (void)state;
    struct api_fixture f;
    api_fixture_open(&f);
    make(&f, "a", "in");
    make(&f, "b", "out");
    f.extra.label_selector = "l=in";
    struct api_watch *w = watch(&f, NULL);
    EXPECT(w, "ADDED a");
    EXPECT(w, "");
    relabel(&f, "b", "in");
    EXPECT(w, "ADDED b");
    relabel(&f, "a", "out");
    struct api_watch_event event;
    assert_true(api_watch_next(w, &event));
    assert_string_equal(event.type, "DELETED");
    json_t *left = json_loadb(event.json, event.json_len, 0, NULL);
    json_t *now = api_ok(&f, 200, API_GET, "configmaps", "default", "a", NULL);
    assert_string_equal(json_str(left, "metadata", "labels", "l"), "in");
    assert_string_equal(json_str(left, "metadata", "resourceVersion"),
                        json_str(now, "metadata", "resourceVersion"));
    json_decref(left);
    json_decref(now);
    api_do(&f, 200, API_DELETE, "configmaps", "default", "a", NULL);
    api_do(&f, 200, API_DELETE, "configmaps", "default", "b", NULL);
    EXPECT(w, "DELETED b");
    EXPECT(w, "");
    api_watch_close(w);
    api_fixture_close(&f);
}

static void test_initial_events_end(void **state)
{
    (void)state;
    struct api_fixture f;
    api_fixture_open(&f);
    make(&f, "a", "1");
    f.extra.send_initial_events = f.extra.send_initial_events_set = f.extra.allow_bookmarks = true;
    f.extra.resource_version_match = "NotOlderThan";
    struct api_watch *w = watch(&f, NULL);
    EXPECT(w, "ADDED a");
    struct api_watch_event event;
    assert_true(api_watch_next(w, &event));
    assert_string_equal(event.type, "BOOKMARK");
    assert_true(event.initial_end);
    json_t *bookmark = json_loadb(event.json, event.json_len, 0, NULL);
    assert_string_equal(json_str(bookmark, "metadata", "annotations", "k8s.io/initial-events-end"), "true");
    assert_string_equal(json_str(bookmark, "kind"), "ConfigMap");
    json_decref(bookmark);
    EXPECT(w, "");
    api_watch_close(w);
    f.extra.send_initial_events = f.extra.send_initial_events_set = true;
    api_do(&f, 422, API_WATCH, "configmaps", "default", "", NULL);
    api_fixture_close(&f);
}

/* A reader that is slower than a snapshot may be held sees the state of the beginning nevertheless. */
static void test_slow_list(void **state)
{
    (void)state;
    struct api_fixture f;
    api_fixture_open(&f);
    for (int i = 0; i < 6; i++) {
        char name[8];
        snprintf(name, sizeof(name), "c%d", i);
        make(&f, name, "old");
    }
    struct api_response *response = api_ask(&f, API_LIST, "configmaps", "default", "", NULL);
    list_set_hold(response->list, -1);
    struct buf text = BUF_INIT;
    for (int i = 0; i < 6; i++) {
        char name[8], other[8], expected[32];
        snprintf(name, sizeof(name), "c%d", i);
        assert_true(api_list_next(response->list, &text));
        snprintf(expected, sizeof(expected), "\"name\":\"%s\"", name);
        assert_non_null(strstr(buf_str(&text), expected));
        assert_non_null(strstr(buf_str(&text), "\"l\":\"old\""));
        snprintf(other, sizeof(other), "c%dx", i);
        make(&f, other, "new");
        if (i == 1)
            api_do(&f, 200, API_DELETE, "configmaps", "default", "c3", NULL);
        if (i == 2)
            relabel(&f, "c5", "new");
    }
    assert_false(api_list_next(response->list, &text));
    buf_free(&text);
    api_response_free(response);
    api_fixture_close(&f);
}

/* More than the window holds, before a watch reads any of it: the rest comes from the chain. */
static void test_behind_the_window(void **state)
{
    (void)state;
    struct api_fixture f;
    api_fixture_open(&f);
    struct api_watch *w = watch(&f, NULL);
    EXPECT(w, "");
    enum { count = 40, size = 200 * 1024 };
    char *body = mem_alloc(size + 200);
    for (int i = 0; i < count; i++) {
        int n = snprintf(body, 200, "{\"metadata\":{\"name\":\"big%02d\"},\"data\":{\"x\":\"", i);
        memset(body + n, 'a' + i % 26, size);
        memcpy(body + n + size, "\"}}", 4);
        api_do(&f, 201, API_CREATE, "configmaps", "default", "", body);
    }
    free(body);
    assert_true(f.server->hub->window_bytes <= HUB_WINDOW_BYTES);
    assert_true(hub_before(w->position, w->channel->complete_since));
    for (int i = 0; i < count; i++) {
        char expected[32];
        snprintf(expected, sizeof(expected), "ADDED big%02d", i);
        EXPECT(w, expected);
    }
    EXPECT(w, "");
    api_watch_close(w);
    assert_int_equal(f.server->hub->window_bytes, 0);
    api_fixture_close(&f);
}

static void test_bookmark_when_due(void **state)
{
    (void)state;
    struct api_fixture f;
    api_fixture_open(&f);
    f.extra.allow_bookmarks = true;
    struct api_watch *w = watch(&f, NULL);
    EXPECT(w, "");
    f.server->hub->bookmarked_us -= HUB_BOOKMARK_US;
    json_t *made = api_ok(&f, 201, API_CREATE, "secrets", "default", "", "{\"metadata\":{\"name\":\"s\"}}");
    struct api_watch_event event;
    assert_true(api_watch_next(w, &event));
    assert_string_equal(event.type, "BOOKMARK");
    json_t *bookmark = json_loadb(event.json, event.json_len, 0, NULL);
    assert_string_equal(json_str(bookmark, "metadata", "resourceVersion"),
                        json_str(made, "metadata", "resourceVersion"));
    json_decref(bookmark);
    json_decref(made);
    EXPECT(w, "");
    /* Nothing new: no bookmark. */
    f.server->hub->bookmarked_us -= HUB_BOOKMARK_US;
    make(&f, "a", "1");
    EXPECT(w, "ADDED a");
    EXPECT(w, "");
    api_watch_close(w);
    api_fixture_close(&f);
}

/* A watch that wakes its reader, read on a thread of its own while others write. */
struct reader {
    struct api_watch *watch;
    pthread_mutex_t lock;
    pthread_cond_t ready;
    bool pending, stop;
    uint64_t last_rv;
    int seen[4][64];
    _Atomic int total;
};

static void on_ready(void *arg)
{
    struct reader *r = arg;
    pthread_mutex_lock(&r->lock);
    r->pending = true;
    pthread_cond_signal(&r->ready);
    pthread_mutex_unlock(&r->lock);
}

static void take(struct reader *r, const struct api_watch_event *event)
{
    json_t *object = json_loadb(event->json, event->json_len, 0, NULL);
    uint64_t rv = strtoull(json_str(object, "metadata", "resourceVersion"), NULL, 10);
    assert_string_equal(event->type, "ADDED");
    int writer = 0, number = 0;
    assert_int_equal(sscanf(json_str(object, "metadata", "name"), "w%d-%d", &writer, &number), 2);
    assert_true(rv > r->last_rv);
    r->last_rv = rv;
    r->seen[writer][number]++;
    r->total++;
    json_decref(object);
}

static void *read_events(void *arg)
{
    struct reader *r = arg;
    struct api_watch_event event;
    for (;;) {
        while (api_watch_next(r->watch, &event))
            take(r, &event);
        pthread_mutex_lock(&r->lock);
        while (!r->pending && !r->stop)
            pthread_cond_wait(&r->ready, &r->lock);
        r->pending = false;
        bool stop = r->stop;
        pthread_mutex_unlock(&r->lock);
        if (stop)
            return NULL;
    }
}

struct writer {
    struct api_fixture *f;
    int number;
};

static void *write_objects(void *arg)
{
    struct writer *w = arg;
    struct api_fixture own = {.server = w->f->server, .user = w->f->user};
    for (int i = 0; i < 64; i++) {
        char name[32];
        snprintf(name, sizeof(name), "w%d-%d", w->number, i);
        make(&own, name, "x");
    }
    return NULL;
}

static void test_no_event_is_lost(void **state)
{
    (void)state;
    struct api_fixture f;
    api_fixture_open(&f);
    json_t *list = api_ok(&f, 200, API_LIST, "configmaps", "default", "", NULL);
    pthread_t writers[4], readers[3];
    struct writer w[4];
    struct reader r[3] = {0};
    for (int i = 0; i < 4; i++) {
        w[i] = (struct writer){&f, i};
        pthread_create(&writers[i], NULL, write_objects, &w[i]);
    }
    /* Readers come one by one in the middle of it, all from the same old position. */
    for (int i = 0; i < 3; i++) {
        usleep(3000);
        pthread_mutex_init(&r[i].lock, NULL);
        pthread_cond_init(&r[i].ready, NULL);
        r[i].watch = watch(&f, json_str(list, "metadata", "resourceVersion"));
        api_watch_on_ready(r[i].watch, on_ready, &r[i]);
        pthread_create(&readers[i], NULL, read_events, &r[i]);
    }
    for (int i = 0; i < 4; i++)
        pthread_join(writers[i], NULL);
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < PATIENCE_MS && r[i].total < 4 * 64; k++)
            usleep(1000);
        pthread_mutex_lock(&r[i].lock);
        r[i].stop = true;
        pthread_cond_signal(&r[i].ready);
        pthread_mutex_unlock(&r[i].lock);
        pthread_join(readers[i], NULL);
        api_watch_close(r[i].watch);
        assert_int_equal(r[i].total, 4 * 64);
        for (int k = 0; k < 4 * 64; k++)
            assert_int_equal(r[i].seen[k / 64][k % 64], 1);
    }
    json_decref(list);
    api_fixture_close(&f);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_list_selectors_and_pages),
    cmocka_unit_test(test_initial_then_live),
    cmocka_unit_test(test_replay_from_history),
    cmocka_unit_test(test_selector_transitions),
    cmocka_unit_test(test_slow_list),
    cmocka_unit_test(test_behind_the_window),
    cmocka_unit_test(test_bookmark_when_due),
    cmocka_unit_test(test_initial_events_end),
    cmocka_unit_test(test_no_event_is_lost),
};

UNIT_MAIN(tests)
