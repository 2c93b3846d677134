/*
 * A watch is enough to know the state: writers do random things to a few objects, watches that begin at
 * random moments (some with a selector, some from an old position) keep a model, and in the end every model
 * is what a list shows.
 */
#include "api_fixture.h"

#include <stdatomic.h>

#define NAMES 6
#define WRITERS 3
#define WATCHES 4
#define STEPS 80

struct model {
    struct api_fixture *f;
    struct api_watch *watch;
    const char *selector;
    json_t *objects; /* name: object */
    int events;
};

static unsigned next_random(unsigned *seed)
{
    return *seed = *seed * 1103515245u + 12345u, *seed >> 16;
}

static void run(struct api_fixture *f, enum api_verb verb, const char *name, const char *type,
                const char *body)
{
    f->extra.content_type = type;
    struct api_response *response = api_ask(f, verb, "configmaps", "default", name, body);
    if (response->status >= 400 && response->status != 404 && response->status != 409)
        fail_msg("%d %s", response->status, buf_str(&response->body));
    api_response_free(response);
}

static void step(struct api_fixture *f, unsigned *seed)
{
    char name[16], body[200];
    snprintf(name, sizeof(name), "n%u", next_random(seed) % NAMES);
    switch (next_random(seed) % 4) {
    case 0:
    case 1:
        snprintf(body, sizeof(body), "{\"metadata\":{\"name\":\"%s\",\"labels\":{\"l\":\"%u\"}}}", name,
                 next_random(seed) % 2);
        run(f, API_CREATE, "", "application/json", body);
        break;
    case 2:
        snprintf(body, sizeof(body), "{\"metadata\":{\"labels\":{\"l\":\"%u\"}},\"data\":{\"d\":\"%u\"}}",
                 next_random(seed) % 2, next_random(seed) % 100);
        run(f, API_PATCH, name, "application/merge-patch+json", body);
        break;
    default:
        run(f, API_DELETE, name, NULL, NULL);
    }
}

struct writer {
    struct api_fixture *f;
    unsigned seed;
};

static atomic_int writing;

static void *write_randomly(void *arg)
{
    struct writer *w = arg;
    struct api_fixture own = {.server = w->f->server, .user = w->f->user};
    for (int i = 0; i < STEPS; i++)
        step(&own, &w->seed);
    json_decref(own.warnings);
    atomic_fetch_sub(&writing, 1);
    return NULL;
}

static void open_model(struct model *m, const char *resource_version)
{
    struct api_fixture own = {.server = m->f->server, .user = m->f->user};
    own.extra.label_selector = m->selector;
    own.extra.resource_version = resource_version;
    struct api_response *response = api_ask(&own, API_WATCH, "configmaps", "default", "", NULL);
    m->watch = response->watch;
    response->watch = NULL;
    api_response_free(response);
    m->objects = json_object();
}

/* Each event must be possible in the state that the model is in. */
static void take(struct model *m, const struct api_watch_event *event)
{
    json_t *object = json_loadb(event->json, event->json_len, 0, NULL);
    const char *name = json_str(object, "metadata", "name");
    const json_t *known = json_object_get(m->objects, name);
    if (!strcmp(event->type, "ADDED"))
        assert_null(known);
    else
        assert_non_null(known);
    if (known)
        assert_true(strcmp(json_str(object, "metadata", "resourceVersion"),
                           json_str(known, "metadata", "resourceVersion")) > 0);
    if (!strcmp(event->type, "DELETED")) {
        json_object_del(m->objects, name);
        json_decref(object);
    } else {
        json_object_set_new(m->objects, name, object);
    }
    m->events++;
}

static void read_all(struct model *m)
{
    struct api_watch_event event;
    while (api_watch_next(m->watch, &event))
        take(m, &event);
}

static void check_model(struct model *m)
{
    m->f->extra.label_selector = m->selector;
    json_t *list = api_ok(m->f, 200, API_LIST, "configmaps", "default", "", NULL);
    const json_t *items = json_object_get(list, "items");
    assert_int_equal(json_array_size(items), json_object_size(m->objects));
    for (size_t i = 0; i < json_array_size(items); i++) {
        const json_t *item = json_array_get(items, i);
        assert_true(json_equal(item, json_object_get(m->objects, json_str(item, "metadata", "name"))));
    }
    json_decref(list);
}

static void test_models(void **state)
{
    (void)state;
    struct api_fixture f;
    api_fixture_open(&f);
    json_t *empty = api_ok(&f, 200, API_LIST, "configmaps", "default", "", NULL);
    const char *origin = json_str(empty, "metadata", "resourceVersion");
    pthread_t threads[WRITERS];
    struct writer writers[WRITERS];
    atomic_store(&writing, WRITERS);
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){&f, 7 + i};
        pthread_create(&threads[i], NULL, write_randomly, &writers[i]);
    }
    struct model models[WATCHES];
    for (int i = 0; i < WATCHES; i++) {
        models[i] = (struct model){.f = &f, .selector = i % 2 ? "l=1" : NULL};
        open_model(&models[i], i >= 2 ? origin : NULL);
        read_all(&models[i]);
        usleep(5000);
    }
    while (atomic_load(&writing) > 0)
        for (int i = 0; i < WATCHES; i++)
            read_all(&models[i]);
    for (int i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < WATCHES; i++) {
        read_all(&models[i]);
        check_model(&models[i]);
        assert_true(models[i].events > 0);
        api_watch_close(models[i].watch);
        json_decref(models[i].objects);
    }
    json_decref(empty);
    api_fixture_close(&f);
}

static const struct CMUnitTest tests[] = {cmocka_unit_test(test_models)};

UNIT_MAIN(tests)
