/*
 * Watches over a chain switch. Three nodes serve the API; one is cut off, both
 * sides write, the network heals. Whatever a watch was told, it must add up to what is there, from wherever a
 * client goes on: from any resourceVersion that it has seen it is either told that it is too old, or comes to
 * the same state.
 */
#include "api_fixture.h"
#include "ledger_cluster.h"

#include "api/hub_internal.h"

#define NAMES 6
#define ROUNDS 6
#define VERSIONS_MAX 512

static const char *const names[NAMES] = {"a", "b", "c", "d", "e", "f"};

/* What a client knows: resourceVersions, "" for what does not exist. */
struct view {
    char versions[NAMES][24];
};

struct watcher {
    struct api_watch *watch;
    struct view view;
    size_t deleted; /* events */
    bool lost;
};

struct test {
    struct cluster *cluster;
    struct api_fixture api[3];
    char seen[VERSIONS_MAX][24]; /* by any client */
    struct view states[VERSIONS_MAX];
    size_t seen_count;
};

static uint32_t rng;
static unsigned draw(unsigned below)
{
    rng = rng * 1664525 + 1013904223;
    return (rng >> 16) % below;
}

static size_t place_of(const char *name)
{
    for (size_t i = 0; i < NAMES; i++)
        if (!strcmp(names[i], name))
            return i;
    return NAMES;
}

/* ---- a client ---- */

static struct api_watch *open_watch(struct api_fixture *f, const char *resource_version)
{
    f->extra.resource_version = resource_version;
    f->extra.allow_bookmarks = true;
    struct api_response *response = api_ask(f, API_WATCH, "configmaps", "default", "", NULL);
    assert_int_equal(response->status, 200);
    struct api_watch *watch = response->watch;
    response->watch = NULL;
    api_response_free(response);
    return watch;
}

static void list_now(struct api_fixture *f, struct view *view, char version[24])
{
    json_t *list = api_ok(f, 200, API_LIST, "configmaps", "default", "", NULL), *item;
    size_t i;
    memset(view, 0, sizeof(*view));
    snprintf(version, 24, "%s", json_str(json_object_get(list, "metadata"), "resourceVersion"));
    json_array_foreach(json_object_get(list, "items"), i, item)
    {
        size_t place = place_of(json_str(item, "metadata", "name"));
        if (place < NAMES)
            snprintf(view->versions[place], sizeof(view->versions[place]), "%s",
                     json_str(item, "metadata", "resourceVersion"));
    }
    json_decref(list);
}

static void remember(struct test *t, const char *version, const struct view *view)
{
    if (t->seen_count == VERSIONS_MAX)
        return;
    snprintf(t->seen[t->seen_count], sizeof(t->seen[0]), "%s", version);
    t->states[t->seen_count++] = *view;
}

static void apply(struct watcher *client, const char *type, const json_t *object, bool strict)
{
    size_t place = place_of(json_str_or_empty(object, "metadata", "name"));
    if (place == NAMES)
        return;
    char *known = client->view.versions[place];
    const char *version = json_str(object, "metadata", "resourceVersion");
    if (strict) {
        assert_int_equal(!strcmp(type, "ADDED"), !*known);
        /* A deletion may have the version of the head that was told last. */
        assert_true(strcmp(known, version) != 0 || !strcmp(type, "DELETED"));
    }
    client->deleted += !strcmp(type, "DELETED");
    snprintf(known, 24, "%s", !strcmp(type, "DELETED") ? "" : version);
}

/* Takes all events that are there. strict: each has to fit what the client knows. */
static void take(struct test *t, struct watcher *client, bool strict, bool keep)
{
    struct api_watch_event event;
    while (!client->lost && api_watch_next(client->watch, &event)) {
        json_t *object = json_loadb(event.json, event.json_len, 0, NULL);
        if (!strcmp(event.type, "ERROR")) {
            assert_int_equal(json_int_or(0, object, "code"), 410);
            client->lost = true;
        } else if (strcmp(event.type, "BOOKMARK") != 0) {
            apply(client, event.type, object, strict);
        }
        if (keep && !client->lost)
            remember(t, json_str(object, "metadata", "resourceVersion"), &client->view);
        json_decref(object);
    }
}

/* ---- what happens ---- */

static void change(struct test *t, size_t node, unsigned mark)
{
    struct api_fixture *f = &t->api[node];
    const char *name = names[draw(NAMES)];
    char body[256];
    struct api_response *response;
    switch (draw(3)) {
    case 0:
        snprintf(body, sizeof(body), "{\"metadata\":{\"name\":\"%s\"}}", name);
        response = api_ask(f, API_CREATE, "configmaps", "default", "", body);
        break;
    case 1:
        response = api_ask(f, API_DELETE, "configmaps", "default", name, NULL);
        break;
    default:
        snprintf(body, sizeof(body), "{\"data\":{\"%s\":\"%u\"}}", draw(2) ? "x" : "y", mark);
        f->extra.content_type = "application/merge-patch+json";
        response = api_ask(f, API_PATCH, "configmaps", "default", name, body);
    }
    assert_true(response->status < 500);
    api_response_free(response);
}

/* All have one final head, and nothing is left to be brought back or told. */
static bool quiet(struct cluster *cluster, void *arg)
{
    (void)arg;
    for (size_t i = 0; i < cluster->count; i++) {
        struct ledger_state state;
        ledger_state(cluster->nodes[i].ledger, &state);
        if (state.orphans || state.pending || state.final_height != state.head_height ||
            ledger_branch(cluster->nodes[i].ledger) % 2)
            return false;
    }
    return cluster_agrees(cluster, NULL);
}

static void expect_view(const struct view *view, const struct view *expected, const char *what)
{
    for (size_t i = 0; i < NAMES; i++)
        if (strcmp(view->versions[i], expected->versions[i]) != 0)
            fail_msg("%s: %s is at \"%s\", not \"%s\"", what, names[i], view->versions[i],
                     expected->versions[i]);
}

/* Everybody's head is beyond whatever a client has seen. */
static void move_on(struct test *t)
{
    api_response_free(api_ask(&t->api[0], API_CREATE, "configmaps", "default", "",
                              "{\"metadata\":{\"generateName\":\"beyond-\"}}"));
    assert_true(cluster_wait(quiet, t->cluster, NULL));
}

/* From everything that a client may have kept. A version that is ahead of the node, since it never saw the
 * branch that had it, waits until the head is beyond it. */
static void expect_resumes(struct test *t, size_t node, const struct view *expected)
{
    size_t lost = 0;
    struct watcher *clients = mem_calloc(t->seen_count, sizeof(*clients));
    for (size_t i = 0; i < t->seen_count; i++) {
        clients[i] = (struct watcher){.watch = open_watch(&t->api[node], t->seen[i]), .view = t->states[i]};
        take(t, &clients[i], false, false);
    }
    move_on(t);
    for (size_t i = 0; i < t->seen_count; i++) {
        take(t, &clients[i], false, false);
        if (!clients[i].lost)
            expect_view(&clients[i].view, expected, t->seen[i]);
        lost += clients[i].lost;
        api_watch_close(clients[i].watch);
    }
    free(clients);
    assert_true(lost < t->seen_count);
}

static void play(struct test *t)
{
    char version[24];
    struct watcher eager = {0}, lazy = {0};
    struct api_fixture *watched = &t->api[draw(3)]; /* whichever side prevails */
    list_now(watched, &eager.view, version);
    lazy.view = eager.view;
    eager.watch = open_watch(watched, version);
    lazy.watch = open_watch(watched, version);
    remember(t, version, &eager.view);
    cluster_link(t->cluster, 0, 1, false);
    cluster_link(t->cluster, 0, 2, false);
    for (unsigned i = 0, changes = 1 + draw(8); i < changes; i++) {
        change(t, 0, i);
        take(t, &eager, true, true);
    }
    for (unsigned i = 0, changes = draw(8); i < changes; i++)
        change(t, 1, 100 + i);
    cluster_link(t->cluster, 0, 1, true);
    cluster_link(t->cluster, 0, 2, true);
    for (unsigned i = 0; i < 3; i++) {
        change(t, 0, 200 + i);
        take(t, &eager, true, true);
    }
    if (!cluster_wait(quiet, t->cluster, NULL)) {
        cluster_dump(t->cluster);
        fail_msg("the network does not come to rest");
    }
    struct view expected;
    list_now(watched, &expected, version);
    take(t, &eager, true, true);
    take(t, &lazy, true, true);
    assert_false(eager.lost);
    expect_view(&eager.view, &expected, "a watch that reads");
    if (!lazy.lost)
        expect_view(&lazy.view, &expected, "a watch that is late");
    expect_resumes(t, 0, &expected);
    expect_resumes(t, 1, &expected);
    api_watch_close(eager.watch);
    api_watch_close(lazy.watch);
}

static void test_all_roads_lead_to_one_state(void **state)
{
    (void)state;
    struct test *t = mem_zalloc(sizeof(*t));
    t->cluster = cluster_new_bare(3);
    rng = (uint32_t)clock_wall_us();
    printf("seed %u\n", rng);
    for (size_t i = 0; i < 3; i++) {
        t->api[i].ledger = t->cluster->nodes[i].ledger;
        snprintf(t->api[i].dir, sizeof(t->api[i].dir), "%s", t->cluster->nodes[i].dir.path);
        api_fixture_serve(&t->api[i]);
    }
    assert_true(cluster_wait(quiet, t->cluster, NULL));
    for (int round = 0; round < ROUNDS; round++)
        play(t);
    uint64_t branches = 0;
    for (size_t i = 0; i < 3; i++)
        branches += ledger_branch(t->api[i].ledger);
    assert_true(branches > 0);
    for (size_t i = 0; i < 3; i++)
        api_fixture_end(&t->api[i]);
    cluster_free(t->cluster);
    free(t);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_all_roads_lead_to_one_state),
};

UNIT_MAIN(tests)
