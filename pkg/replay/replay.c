/* See replay.h: what becomes of an orphan as a whole; replay_merge.c goes into its fields. */
#include "replay/replay_internal.h"

#include "codec/json.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static const char lost_deleted[] = "the object was deleted";
static const char lost_replaced[] = "the object was deleted, and another one has its name";
static const char lost_strict[] = "the change named a resourceVersion, and the object was changed";
static const char lost_unknown[] = "the version that it was built on is not known any more";

static const char *uid_of(const json_t *object)
{
    return json_str_or_empty(object, "metadata", "uid");
}

/* Two objects of one name are told apart by their UIDs; one without says nothing. */
static bool is_other(const json_t *a, const json_t *b)
{
    return *uid_of(a) && *uid_of(b) && strcmp(uid_of(a), uid_of(b)) != 0;
}

/* An object without what the server keeps beside its content. */
static json_t *content_of(const json_t *object)
{
    static const char *const kept_by_server[] = {"resourceVersion", "managedFields", "selfLink"};
    json_t *content = json_copy((json_t *)object);
    json_t *metadata = json_copy(json_object_get(object, "metadata"));
    for (size_t i = 0; metadata && i < sizeof(kept_by_server) / sizeof(*kept_by_server); i++)
        json_object_del(metadata, kept_by_server[i]);
    if (metadata)
        json_object_set_new(content, "metadata", metadata);
    return content;
}

static bool same_content(const json_t *a, const json_t *b)
{
    if (!a || !b)
        return false;
    json_auto_t *x = content_of(a);
    json_auto_t *y = content_of(b);
    return json_equal(x, y);
}

static json_t *merge_root(struct replay_walk *walk, struct replay_three v)
{
    struct replay_place root = {.at = {FIELD_LEAF, NULL, NULL}, .plain = !walk->kind};
    if (walk->kind)
        root.at = field_place_of_message(walk->kind->message);
    return replay_merge(walk, root, v);
}

static void walk_free(struct replay_walk *walk)
{
    buf_free(&walk->path);
    buf_free(&walk->pattern);
}

void replay_lose(struct replay_decision *out, const struct replay_case *c, const char *reason)
{
    *out = (struct replay_decision){.outcome = REPLAY_LOST, .reason = reason};
    struct replay_walk walk = {.out = out, .kind = c->kind, .rejecting = 1};
    struct replay_three v = {c->base, c->orphan, c->current};
    if (c->orphan)
        json_decref(merge_root(&walk, v));
    walk_free(&walk);
}

static void merge(struct replay_decision *out, const struct replay_case *c, const json_t *base, bool created)
{
    json_auto_t *orphan = json_deep_copy(c->orphan);
    if (created)
        replay_strip_given(c->kind, orphan);
    struct replay_walk walk = {.out = out, .kind = c->kind, .created = created};
    struct replay_three v = {base, orphan, c->current};
    json_auto_t *shared = merge_root(&walk, v);
    walk_free(&walk);
    if (replay_same(shared, c->current))
        return;
    out->outcome = REPLAY_PUT;
    out->merged = json_deep_copy(shared);
    replay_owners(c->kind, v, out->merged);
}

/* Rule 5: a create of what exists becomes an apply. One that is there already was done by somebody else. */
static void decide_create(struct replay_decision *out, const struct replay_case *c)
{
    if (!c->current) {
        out->outcome = REPLAY_PUT;
        out->merged = json_deep_copy(c->orphan);
        return;
    }
    if (!*uid_of(c->orphan) || is_other(c->orphan, c->current))
        merge(out, c, NULL, true);
}

static void decide_change(struct replay_decision *out, const struct replay_case *c)
{
    const json_t *known = c->base ? c->base : c->orphan;
    if (!c->current)
        replay_lose(out, c, lost_deleted);
    else if (is_other(known, c->current))
        replay_lose(out, c, lost_replaced);
    else if (c->strict && !same_content(c->base, c->current))
        replay_lose(out, c, lost_strict);
    else
        merge(out, c, c->base, false);
}

/* A deletion wins over changes of the same object; a later object of that name is none of its business. With
 * finalizers or a grace period a deletion is a mark first (orphan is set). */
static void decide_delete(struct replay_decision *out, const struct replay_case *c)
{
    const json_t *known = c->base ? c->base : c->orphan;
    if (!c->current || is_other(known, c->current))
        return;
    if (!known || !*uid_of(known))
        replay_lose(out, c, lost_unknown);
    else if (c->strict && !same_content(c->base, c->current))
        replay_lose(out, c, lost_strict);
    else if (c->orphan)
        merge(out, c, c->base, false);
    else
        out->outcome = REPLAY_REMOVE;
}

void replay_decide(struct replay_decision *out, const struct replay_case *c)
{
    assert(c->orphan || c->verb == REPLAY_DELETE);
    *out = (struct replay_decision){.outcome = REPLAY_NOTHING};
    switch (c->verb) {
    case REPLAY_CREATE:
        decide_create(out, c);
        break;
    case REPLAY_CHANGE:
        decide_change(out, c);
        break;
    case REPLAY_DELETE:
        decide_delete(out, c);
        break;
    }
}

json_t *replay_base(const json_t *orphan, const json_t *old_values)
{
    json_t *base = json_copy((json_t *)orphan);
    const char *name;
    json_t *old;
    json_object_foreach((json_t *)old_values, name, old)
    {
        const json_t *now = json_object_get(orphan, name);
        if (json_is_null(old))
            json_object_del(base, name);
        else if (json_is_object(old) && json_is_object(now))
            json_object_set_new(base, name, replay_base(now, old));
        else
            json_object_set(base, name, old);
    }
    return base;
}

void replay_decision_free(struct replay_decision *decision)
{
    json_decref(decision->merged);
    for (size_t i = 0; i < decision->loss_count; i++) {
        free(decision->losses[i].path);
        json_decref(decision->losses[i].winner);
        json_decref(decision->losses[i].loser);
    }
    free(decision->losses);
    *decision = (struct replay_decision){0};
}
