/*
 * What holds for any three versions: made from one Deployment by random edits on two sides, from a fixed
 * seed. The oracle of disjoint edits is to make one side's edits on the other's object.
 */
#include "unit.h"

#include "codec/json.h"
#include "json_text.h"
#include "object/decode.h"
#include "object/registry.h"
#include "replay/replay.h"

#define ROUNDS 800
#define EDITS_MAX 8

static uint64_t seed;

static unsigned below(unsigned bound)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)((seed >> 33) % bound);
}

struct edit {
    unsigned what, which;
    char side; /* whose names it uses: 'l', 'r', or 's' for shared ones */
    unsigned value;
};

static const char *name_of(const struct edit *e)
{
    static char name[8];
    snprintf(name, sizeof(name), "%c%u", e->side, e->which);
    return name;
}

static json_t *named(json_t *list, const char *name, size_t *index)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        *index = i;
        if (!strcmp(json_str_or_empty(json_array_get(list, i), "name"), name))
            return json_array_get(list, i);
    }
    return NULL;
}

static json_t *item_ensure(json_t *list, const char *name)
{
    size_t index;
    json_t *item = named(list, name, &index);
    if (!item) {
        item = json_pack("{s:s}", "name", name);
        json_array_append_new(list, item);
    }
    return item;
}

static void set_text(json_t *object, const char *name, unsigned value)
{
    char text[16];
    snprintf(text, sizeof(text), "%u", value);
    json_set_str(object, name, text);
}

static void toggle_finalizer(json_t *metadata, const char *name)
{
    char text[16];
    snprintf(text, sizeof(text), "x/%s", name);
    json_t *list = json_array_ensure(metadata, "finalizers");
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (!strcmp(json_string_value(json_array_get(list, i)), text)) {
            json_array_remove(list, i);
            return;
        }
    }
    json_array_append_new(list, json_string(text));
}

static void make_edit(json_t *object, const struct edit *e)
{
    json_t *metadata = json_object_get(object, "metadata");
    json_t *pod = json_at(object, "spec", "template", "spec");
    json_t *containers = json_array_ensure(pod, "containers");
    const char *name = name_of(e);
    size_t index;
    switch (e->what) {
    case 0:
        set_text(json_object_ensure(metadata, "labels"), name, e->value);
        return;
    case 1:
        json_object_del(json_object_ensure(metadata, "labels"), name);
        return;
    case 2:
        set_text(item_ensure(containers, name), "image", e->value);
        return;
    case 3:
        if (named(containers, name, &index))
            json_array_remove(containers, index);
        return;
    case 4:
        set_text(item_ensure(json_array_ensure(item_ensure(containers, name), "env"), "E"), "value",
                 e->value);
        return;
    case 5:
        toggle_finalizer(metadata, name);
        return;
    case 6:
        set_text(json_object_ensure(metadata, "annotations"), name, e->value);
        return;
    default:
        json_object_set_new(item_ensure(containers, name), "args", json_pack("[s]", name));
    }
}

static json_t *make_base(void)
{
    json_t *base = jq("{'kind':'Deployment','apiVersion':'apps/v1','metadata':{'name':'x','uid':'u',"
                      "'labels':{},'annotations':{},'finalizers':[]},'spec':{'selector':{},'template':{"
                      "'metadata':{},'spec':{'containers':[]}},'strategy':{}},'status':{}}");
    for (unsigned i = 0; i < 8; i++) {
        struct edit e = {below(8), below(3), "lrs"[below(3)], below(4)};
        make_edit(base, &e);
    }
    return base;
}

static void make_edits(struct edit *edits, size_t *count, bool disjoint, char side)
{
    *count = 1 + below(EDITS_MAX);
    for (size_t i = 0; i < *count; i++)
        edits[i] = (struct edit){below(8), below(3), disjoint || !below(4) ? side : 's', below(4)};
}

static json_t *edited(const json_t *object, const struct edit *edits, size_t count)
{
    json_t *copy = json_deep_copy(object);
    for (size_t i = 0; i < count; i++)
        make_edit(copy, &edits[i]);
    return copy;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The text of a value without the order of members and items, and without what is empty. */
static char *text_of(const json_t *value)
{
    struct buf out = BUF_INIT;
    size_t count = json_is_object(value) ? json_object_size(value) : json_array_size(value);
    if (!json_is_object(value) && !json_is_array(value)) {
        json_dump_buf(&out, value);
        return buf_steal(&out);
    }
    char **texts = calloc(count + 1, sizeof(char *));
    size_t n = 0;
    const char *name;
    json_t *member;
    size_t i;
    json_object_foreach((json_t *)value, name, member)
    {
        char *inner = text_of(member);
        if (asprintf(&texts[n], "%s:%s", name, inner) < 0)
            abort();
        n += *inner != '\0' || (free(texts[n]), false);
        free(inner);
    }
    json_array_foreach(value, i, member) texts[n++] = text_of(member);
    if (n)
        qsort(texts, n, sizeof(char *), by_text);
    for (i = 0; i < n; i++) {
        buf_printf(&out, "%s%s", i ? "," : "(", texts[i]);
        free(texts[i]);
    }
    free(texts);
    buf_puts(&out, n ? ")" : "");
    return buf_steal(&out);
}

static void assert_same(const json_t *a, const json_t *b)
{
    char *x = text_of(a), *y = text_of(b);
    assert_string_equal(x, y);
    free(x);
    free(y);
}

static struct replay_decision decide(const json_t *base, const json_t *orphan, const json_t *current)
{
    struct replay_case c = {
        registry_by_resource("apps", "v1", "deployments"), REPLAY_CHANGE, false, base, orphan, current};
    struct replay_decision decision;
    replay_decide(&decision, &c);
    assert_int_not_equal(decision.outcome, REPLAY_LOST);
    assert_int_not_equal(decision.outcome, REPLAY_REMOVE);
    return decision;
}

static json_t *result_of(const struct replay_decision *decision, const json_t *current)
{
    return decision->merged ? decision->merged : (json_t *)current;
}

struct sides {
    json_t *base, *left, *right;
    struct edit left_edits[EDITS_MAX], right_edits[EDITS_MAX];
    size_t left_count, right_count;
};

static void sides_make(struct sides *s, bool disjoint)
{
    s->base = make_base();
    make_edits(s->left_edits, &s->left_count, disjoint, 'l');
    make_edits(s->right_edits, &s->right_count, disjoint, 'r');
    s->left = edited(s->base, s->left_edits, s->left_count);
    s->right = edited(s->base, s->right_edits, s->right_count);
}

static void sides_free(struct sides *s)
{
    json_decref(s->base);
    json_decref(s->left);
    json_decref(s->right);
}

static void test_disjoint_edits_commute(void **state)
{
    (void)state;
    seed = 1;
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct sides s;
        sides_make(&s, true);
        struct replay_decision one = decide(s.base, s.left, s.right);
        struct replay_decision other = decide(s.base, s.right, s.left);
        json_t *both = edited(s.right, s.left_edits, s.left_count);
        assert_int_equal(one.loss_count, 0);
        assert_int_equal(other.loss_count, 0);
        assert_same(result_of(&one, s.right), both);
        assert_same(result_of(&other, s.left), both);
        json_decref(both);
        replay_decision_free(&one);
        replay_decision_free(&other);
        sides_free(&s);
    }
}

static void test_what_is_there_is_not_done_again(void **state)
{
    (void)state;
    seed = 2;
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct sides s;
        sides_make(&s, false);
        struct replay_decision own = decide(s.base, s.left, s.left);
        assert_int_equal(own.outcome, REPLAY_NOTHING);
        assert_int_equal(own.loss_count, 0);
        struct replay_decision once = decide(s.base, s.left, s.right);
        struct replay_decision twice = decide(s.base, s.left, result_of(&once, s.right));
        assert_int_equal(twice.outcome, REPLAY_NOTHING);
        assert_int_equal(twice.loss_count, once.loss_count);
        replay_decision_free(&own);
        replay_decision_free(&twice);
        replay_decision_free(&once);
        sides_free(&s);
    }
}

static void test_a_result_is_an_object_of_its_kind(void **state)
{
    (void)state;
    seed = 3;
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct sides s;
        sides_make(&s, false);
        struct replay_decision once = decide(s.base, s.left, s.right);
        struct replay_decision again = decide(s.base, s.left, s.right);
        const json_t *result = result_of(&once, s.right);
        json_t *decoded = NULL;
        json_auto_t *unknown = json_array();
        assert_int_equal(decode_json_as_sent(registry_by_resource("apps", "v1", "deployments")->message,
                                             result, &decoded, unknown, NULL),
                         0);
        assert_int_equal(json_array_size(unknown), 0);
        assert_same(decoded, result);
        json_decref(decoded);
        char *x = json_dumps(result, 0), *y = json_dumps(result_of(&again, s.right), 0);
        assert_string_equal(x, y);
        free(x);
        free(y);
        replay_decision_free(&once);
        replay_decision_free(&again);
        sides_free(&s);
    }
}

/* Whether a change is told once: no path twice, and none inside of another. */
static void check_paths(const struct replay_decision *decision)
{
    for (size_t i = 0; i < decision->loss_count; i++) {
        const struct replay_loss *a = &decision->losses[i];
        assert_false(a->winner == a->loser || (a->winner && a->loser && json_equal(a->winner, a->loser)));
        for (size_t k = 0; k < decision->loss_count; k++)
            if (k != i && !strncmp(a->path, decision->losses[k].path, strlen(a->path)))
                assert_true(strchr(".[", decision->losses[k].path[strlen(a->path)]) == NULL);
    }
}

/* An edit of the orphan's either is in the result or is told: what a person would check by hand. */
static void check_label(const struct sides *s, const struct replay_decision *decision, const char *name)
{
    const json_t *base = json_at(s->base, "metadata", "labels", name);
    const json_t *orphan = json_at(s->left, "metadata", "labels", name);
    const json_t *result = json_at(result_of(decision, s->right), "metadata", "labels", name);
    char path[64];
    snprintf(path, sizeof(path), ".metadata.labels.%s", name);
    bool told = false;
    for (size_t i = 0; i < decision->loss_count; i++)
        told |= !strcmp(decision->losses[i].path, path);
    bool changed = base != orphan && !(base && orphan && json_equal(base, orphan));
    bool there = result == orphan || (result && orphan && json_equal(result, orphan));
    assert_int_equal(told, changed && !there);
}

static void test_losses_are_told_once(void **state)
{
    (void)state;
    seed = 4;
    size_t losses = 0;
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct sides s;
        sides_make(&s, false);
        struct replay_decision decision = decide(s.base, s.left, s.right);
        check_paths(&decision);
        static const char *const names[] = {"s0", "s1", "s2", "l0", "l1", "l2"};
        for (size_t k = 0; k < sizeof(names) / sizeof(*names); k++)
            check_label(&s, &decision, names[k]);
        losses += decision.loss_count;
        replay_decision_free(&decision);
        sides_free(&s);
    }
    assert_true(losses > ROUNDS / 10); /* or the generator makes no conflicts */
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_disjoint_edits_commute),
    cmocka_unit_test(test_what_is_there_is_not_done_again),
    cmocka_unit_test(test_a_result_is_an_object_of_its_kind),
    cmocka_unit_test(test_losses_are_told_once),
};

UNIT_MAIN(tests)
