/*
 * What was lost, told: a Conflict that stays in the chain for a week, and an Event on the object. The name of
 * a Conflict follows from the transaction, so two nodes that come to the same end tell it once. Of a Secret
 * the fields are named and no value is.
 *
 * They are written together after a batch: whoever wrote a field ten times on the side that lost has lost the
 * last value; the nine before it were his own to replace.
 */
#include "api/orphans_internal.h"

#include "base/clock.h"
#include "base/hex.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "client/event.h"
#include "client/kube.h"
#include "object/registry.h"

#include <stdio.h>

#define LOSSES_MAX 64
#define VALUE_MAX 1024 /* bytes of a value's text; the rest is cut */
#define CONFLICTS_MAX 1000
#define CONFLICTS_AGE_US (7 * 24 * 3600 * INT64_C(1000000))
#define NAME_DIGITS 16
#define NOT_SHOWN "(not shown)"
/* Of conflicts of objects in no namespace, or in one that is gone: not everybody may read them. */
#define FALLBACK_NAMESPACE "kube-system"

static const struct client_resource conflicts_resource = {"katena.io", "v1alpha1", "conflicts"};

/* One that is not written yet. */
struct untold {
    json_t *conflict;
    json_t *object;                 /* for the Event */
    const struct schema_kind *kind; /* NULL: there is to be none */
    bool replaced;                  /* on its own side: not told */
};

struct orphan_conflicts {
    struct api_server *server;
    struct client *client; /* NULL until there is something to tell */
    struct event_recorder *events;
    struct untold *untold; /* in the order of the orphans */
    size_t untold_count;
};

struct orphan_conflicts *orphan_conflicts_new(struct api_server *server)
{
    struct orphan_conflicts *conflicts = mem_zalloc(sizeof(*conflicts));
    conflicts->server = server;
    return conflicts;
}

static void forget_all(struct orphan_conflicts *conflicts)
{
    for (size_t i = 0; i < conflicts->untold_count; i++) {
        json_decref(conflicts->untold[i].conflict);
        json_decref(conflicts->untold[i].object);
    }
    conflicts->untold_count = 0;
}

void orphan_conflicts_free(struct orphan_conflicts *conflicts)
{
    if (!conflicts)
        return;
    if (!orphan_conflicts_write(conflicts))
        forget_all(conflicts); /* their orphans are not done: the next run tells them */
    free(conflicts->untold);
    if (conflicts->events)
        event_recorder_free(conflicts->events);
    api_local_client_free(conflicts->client);
    free(conflicts);
}

static void start(struct orphan_conflicts *conflicts)
{
    static const char *const groups[] = {"system:masters"};
    if (conflicts->client)
        return;
    conflicts->client = api_local_client(conflicts->server, "system:apiserver", groups, 1);
    conflicts->events = event_recorder_new(conflicts->client, "replay", conflicts->server->node_name);
}

/* ---- the values ---- */

/* A value's text; NULL for an absent one. */
static char *value_text(const struct orphan_part *part, const json_t *value)
{
    if (!value)
        return NULL;
    if (object_sealed_kind(&part->output->key))
        return mem_strdup(NOT_SHOWN);
    struct buf text = BUF_INIT;
    object_write_value(&text, value);
    if (text.len > VALUE_MAX) {
        size_t len = VALUE_MAX;
        while (len > 0 && ((unsigned char)text.data[len] & 0xc0) == 0x80)
            len--; /* not inside of a character */
        size_t whole = text.len;
        text.data[len] = '\0';
        text.len = len;
        buf_printf(&text, "... (%zu bytes)", whole);
    }
    return buf_steal(&text);
}

static json_t *losses_json(const struct orphan_part *part, const struct replay_decision *decision)
{
    json_t *list = json_array();
    for (size_t i = 0; i < decision->loss_count && i < LOSSES_MAX; i++) {
        const struct replay_loss *loss = &decision->losses[i];
        mem_auto char *winner = value_text(part, loss->winner);
        mem_auto char *loser = value_text(part, loss->loser);
        json_t *item = json_pack("{s:s}", "path", loss->path);
        if (winner)
            json_set_str(item, "winner", winner);
        if (loser)
            json_set_str(item, "loser", loser);
        json_array_append_new(list, item);
    }
    return list;
}

/* ---- the Conflict ---- */

static json_t *reference(const struct orphan_part *part, const json_t *current)
{
    char api_version[256];
    const struct resource_key *key = &part->output->key;
    const char *uid = json_str_or_empty(current, "metadata", "uid");
    registry_api_version(api_version, sizeof(api_version), part->kind);
    json_t *out = json_pack("{s:s, s:s, s:s, s:s}", "kind", part->kind->kind, "name", key->name, "uid",
                            *uid ? uid : part->output->uid, "apiVersion", api_version);
    if (*key->namespace)
        json_set_str(out, "namespace", key->namespace);
    return out;
}

static char *conflict_name(const struct orphan_part *part)
{
    char digits[NAME_DIGITS + 1];
    hex_encode(digits, part->tx->id, NAME_DIGITS / 2);
    size_t index = (size_t)(part->output - part->tx->outputs);
    return index ? mem_printf("%s.%s.%zu", part->kind->plural, digits, index)
                 : mem_printf("%s.%s", part->kind->plural, digits);
}

static char *reason_text(const struct replay_decision *decision, const char *reason, const char *note)
{
    struct buf text = BUF_INIT;
    buf_puts(&text, reason ? reason : "");
    if (note)
        buf_printf(&text, "%s%s", text.len ? "; " : "", note);
    if (decision->loss_count > LOSSES_MAX)
        buf_printf(&text, "%s%zu more fields are not listed", text.len ? "; " : "",
                   decision->loss_count - LOSSES_MAX);
    return buf_steal(&text);
}

static json_t *conflict_object(const struct orphan_part *part, const struct replay_decision *decision,
                               const json_t *current, const char *reason, const char *note)
{
    char id[2 * TX_ID_SIZE + 1], when[TIMEFMT_MAX];
    hex_encode(id, part->tx->id, TX_ID_SIZE);
    timefmt_micro(when, part->tx->time_us);
    mem_auto char *name = conflict_name(part);
    mem_auto char *why = reason_text(decision, reason, note);
    const char *namespace = part->output->key.namespace;
    json_t *out = json_pack("{s:s, s:s, s:{s:s, s:s}, s:o, s:s, s:s, s:s, s:s, s:s, s:o}", "kind", "Conflict",
                            "apiVersion", "katena.io/v1alpha1", "metadata", "name", name, "namespace",
                            *namespace ? namespace : FALLBACK_NAMESPACE, "object", reference(part, current),
                            "transaction", id, "user", part->tx->user, "verb", part->tx->verb, "time", when,
                            "outcome", reason ? "Lost" : "Merged", "losses", losses_json(part, decision));
    if (*part->tx->subresource)
        json_set_str(out, "subresource", part->tx->subresource);
    if (*why)
        json_set_str(out, "reason", why);
    return out;
}

/* It may be possible a little later. */
static bool is_temporary(int code)
{
    return code == ERR_UNAVAILABLE || code == ERR_TIMEOUT || code == ERR_TOO_MANY;
}

/* ERR_EXISTS: it is there already. */
static int put_conflict(struct orphan_conflicts *conflicts, json_t *object)
{
    struct err err = {0};
    const char *namespace = kube_namespace(object);
    int rc = client_create(conflicts->client, &conflicts_resource, namespace, object, NULL, &err);
    /* A namespace that is gone, or going, takes nothing new. */
    if (rc && rc != ERR_EXISTS && !is_temporary(rc) && strcmp(namespace, FALLBACK_NAMESPACE) != 0) {
        json_set_str(json_object_get(object, "metadata"), "namespace", FALLBACK_NAMESPACE);
        rc = client_create(conflicts->client, &conflicts_resource, FALLBACK_NAMESPACE, object, NULL, &err);
    }
    if (rc && rc != ERR_EXISTS)
        log_error("replay", "a conflict could not be recorded: %s", err.message);
    return rc;
}

/* ---- the Event ---- */

static void first_loss(struct buf *out, const json_t *loss, const char *separator)
{
    const char *winner = json_str(loss, "winner");
    const char *loser = json_str(loss, "loser");
    buf_printf(out, "%s%s ", separator, json_str_or_empty(loss, "path"));
    if ((winner && !strcmp(winner, NOT_SHOWN)) || (loser && !strcmp(loser, NOT_SHOWN)))
        buf_puts(out, "stays as it is");
    else
        buf_printf(out, "stays %.200s and not %.200s", winner ? winner : "absent", loser ? loser : "absent");
}

static void record_event(struct orphan_conflicts *conflicts, const struct untold *it)
{
    char api_version[256];
    const char *reason = json_str(it->conflict, "reason");
    const json_t *losses = json_object_get(it->conflict, "losses");
    size_t count = json_array_size(losses);
    registry_api_version(api_version, sizeof(api_version), it->kind);
    buf_auto struct buf what = BUF_INIT;
    bool merged = !strcmp(json_str_or_empty(it->conflict, "outcome"), "Merged");
    if (!merged)
        buf_printf(&what, "nothing of it was kept: %s", reason);
    if (count > 0)
        first_loss(&what, json_array_get(losses, 0), merged ? "" : "; ");
    if (count > 1)
        buf_printf(&what, ", and %zu more", count - 1);
    if (merged && reason)
        buf_printf(&what, " (%s)", reason);
    event_record_kind(
        conflicts->events, api_version, it->kind->kind, it->object, EVENT_WARNING, "ReplayConflict",
        "A change by %s (%s) met others when histories were merged: %s. All of it: katena chain "
        "conflicts",
        json_str_or_empty(it->conflict, "user"), json_str_or_empty(it->conflict, "verb"), buf_str(&what));
}

static void add_untold(struct orphan_conflicts *conflicts, struct untold item)
{
    conflicts->untold =
        mem_reallocarray(conflicts->untold, conflicts->untold_count + 1, sizeof(*conflicts->untold));
    conflicts->untold[conflicts->untold_count++] = item;
}

void orphan_conflict_tell(struct orphan_conflicts *conflicts, const struct orphan_part *part,
                          const struct replay_decision *decision, const json_t *current, const char *reason,
                          const char *note)
{
    const json_t *object = current ? current : part->orphan ? part->orphan : part->base;
    add_untold(conflicts, (struct untold){.conflict = conflict_object(part, decision, current, reason, note),
                                          .object = json_deep_copy(object),
                                          .kind = part->kind});
    log_warn("replay", "%s of %s %s/%s by %s lost %zu field%s%s%s", part->tx->verb,
             part->output->key.resource, part->output->key.namespace, part->output->key.name, part->tx->user,
             decision->loss_count, decision->loss_count == 1 ? "" : "s", reason ? ": " : "",
             reason ? reason : "");
}

bool orphan_is_conflict(const struct orphan_part *part)
{
    return part->kind && kind_is(part->kind, conflicts_resource.group, conflicts_resource.resource) &&
           part->verb == REPLAY_CREATE && part->orphan;
}

/* Its namespace may be gone on this side, and it says more than that. */
void orphan_conflict_again(struct orphan_conflicts *conflicts, const json_t *conflict)
{
    json_t *copy = json_deep_copy(conflict);
    json_object_set_new(copy, "metadata",
                        json_pack("{s:s, s:s}", "name", json_str_or_empty(conflict, "metadata", "name"),
                                  "namespace", json_str_or_empty(conflict, "metadata", "namespace")));
    add_untold(conflicts, (struct untold){.conflict = copy});
}

/* ---- what was replaced on its own side ---- */

static bool same_object(const json_t *a, const json_t *b)
{
    static const char *const parts[] = {"apiVersion", "kind", "namespace", "name"};
    bool same = true;
    for (size_t i = 0; same && i < sizeof(parts) / sizeof(*parts); i++)
        same = !strcmp(json_str_or_empty(a, "object", parts[i]), json_str_or_empty(b, "object", parts[i]));
    return same;
}

static bool has_path(const json_t *conflict, const char *path)
{
    const json_t *losses = json_object_get(conflict, "losses");
    for (size_t i = 0; i < json_array_size(losses); i++)
        if (!strcmp(json_str_or_empty(json_array_get(losses, i), "path"), path))
            return true;
    return false;
}

static bool is_replaced(const struct orphan_conflicts *conflicts, size_t index, const char *path)
{
    const json_t *conflict = conflicts->untold[index].conflict;
    for (size_t i = index + 1; i < conflicts->untold_count; i++)
        if (same_object(conflict, conflicts->untold[i].conflict) &&
            has_path(conflicts->untold[i].conflict, path))
            return true;
    return false;
}

static void drop_replaced(struct orphan_conflicts *conflicts, size_t index)
{
    json_t *losses = json_object_get(conflicts->untold[index].conflict, "losses");
    size_t before = json_array_size(losses);
    for (size_t i = before; i-- > 0;)
        if (is_replaced(conflicts, index, json_str_or_empty(json_array_get(losses, i), "path")))
            json_array_remove(losses, i);
    conflicts->untold[index].replaced |= before && !json_array_size(losses);
}

/* ---- their end ---- */

static int by_age(const void *a, const void *b)
{
    int64_t x = kube_created(*(json_t *const *)a), y = kube_created(*(json_t *const *)b);
    return x < y ? -1 : x > y;
}

static void trim(struct orphan_conflicts *conflicts)
{
    json_auto_t *list = NULL;
    if (client_list(conflicts->client, &conflicts_resource, NULL, NULL, NULL, &list, NULL))
        return;
    size_t count = json_array_size(list);
    mem_auto json_t **sorted = mem_calloc(count + 1, sizeof(json_t *));
    for (size_t i = 0; i < count; i++)
        sorted[i] = json_array_get(list, i);
    qsort(sorted, count, sizeof(json_t *), by_age);
    int64_t oldest = clock_wall_us() - CONFLICTS_AGE_US;
    for (size_t i = 0; i < count; i++)
        if (count - i > CONFLICTS_MAX || kube_created(sorted[i]) < oldest)
            client_delete(conflicts->client, &conflicts_resource, kube_namespace(sorted[i]),
                          kube_name(sorted[i]), NULL, NULL);
}

size_t orphan_conflicts_untold(const struct orphan_conflicts *conflicts)
{
    return conflicts->untold_count;
}

/* In order, so that one that replaces others is written after them or not at all. */
static bool write_all(struct orphan_conflicts *conflicts)
{
    for (size_t i = 0; i < conflicts->untold_count; i++) {
        struct untold *it = &conflicts->untold[i];
        if (it->kind)
            drop_replaced(conflicts, i);
        int rc = it->replaced ? ERR_EXISTS : put_conflict(conflicts, it->conflict);
        if (is_temporary(rc))
            return false;
        if (rc != ERR_EXISTS && it->kind)
            record_event(conflicts, it);
    }
    return true;
}

bool orphan_conflicts_write(struct orphan_conflicts *conflicts)
{
    if (!conflicts->untold_count)
        return true;
    start(conflicts);
    if (!write_all(conflicts))
        return false;
    forget_all(conflicts);
    trim(conflicts);
    return true;
}
