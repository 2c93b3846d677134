/*
 * Replay: base, orphan and current as JSON with a NUL after each of the first two, and a first byte that says
 * which kind, verb and strictness. An empty text is an absent object. Whatever they are, the decision is the
 * same each time, a result that is replayed again changes nothing, and no path is told twice.
 */
#include "codec/json.h"
#include "object/registry.h"
#include "replay/replay.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct schema_kind *kind_of(unsigned number)
{
    switch (number % 4) {
    case 0:
        return registry_by_resource("apps", "v1", "deployments");
    case 1:
        return registry_by_resource("", "v1", "pods");
    case 2:
        return registry_by_resource("", "v1", "services");
    default:
        return NULL;
    }
}

/* The next text up to a NUL or the end; false when it is there and no object. */
static bool next_object(const uint8_t **at, const uint8_t *end, json_t **out)
{
    const uint8_t *cut = memchr(*at, 0, (size_t)(end - *at));
    size_t len = (size_t)((cut ? cut : end) - *at);
    *out = len ? json_parse(*at, len, NULL) : NULL;
    *at = cut ? cut + 1 : end;
    return !len || json_is_object(*out);
}

static void check_same(const struct replay_decision *a, const struct replay_decision *b)
{
    if (a->outcome != b->outcome || a->loss_count != b->loss_count)
        abort();
    char *x = a->merged ? json_dumps(a->merged, 0) : NULL;
    char *y = b->merged ? json_dumps(b->merged, 0) : NULL;
    if ((x || y) && (!x || !y || strcmp(x, y) != 0))
        abort();
    free(x);
    free(y);
}

static void check_losses(const struct replay_decision *decision)
{
    for (size_t i = 0; i < decision->loss_count; i++) {
        const struct replay_loss *loss = &decision->losses[i];
        if (!loss->winner && !loss->loser)
            abort();
        if (loss->winner && loss->loser && json_equal(loss->winner, loss->loser))
            abort();
    }
}

/* No change takes an object its identity; the API sees to that before there is an orphan. */
static bool keeps_identity(const struct replay_case *c)
{
    const char *orphan = json_str_or_empty(c->orphan, "metadata", "uid");
    return c->verb != REPLAY_CHANGE || !strcmp(orphan, json_str_or_empty(c->current, "metadata", "uid"));
}

static void check(const struct replay_case *c)
{
    struct replay_decision once, again, after = {0};
    replay_decide(&once, c);
    replay_decide(&again, c);
    check_same(&once, &again);
    check_losses(&once);
    if (once.outcome == REPLAY_PUT && c->verb != REPLAY_CREATE && !c->strict && keeps_identity(c)) {
        struct replay_case next = *c;
        next.current = once.merged;
        replay_decide(&after, &next);
        if (after.outcome != REPLAY_NOTHING)
            abort();
    }
    replay_decision_free(&once);
    replay_decision_free(&again);
    replay_decision_free(&after);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    unsigned mode = *data;
    const uint8_t *at = data + 1;
    json_t *objects[3];
    bool readable = true;
    for (size_t i = 0; i < 3; i++)
        readable &= next_object(&at, data + size, &objects[i]);
    struct replay_case c = {.kind = kind_of(mode),
                            .verb = (enum replay_verb)(mode / 4 % 3),
                            .strict = mode / 12 % 2,
                            .base = objects[0],
                            .orphan = objects[1],
                            .current = objects[2]};
    if (readable && (c.orphan || c.verb == REPLAY_DELETE))
        check(&c);
    for (size_t i = 0; i < 3; i++)
        json_decref(objects[i]);
    return 0;
}
