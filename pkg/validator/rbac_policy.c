/* See rbac_policy.h. */
#include "validator/rbac_internal.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RBAC_GROUP_NAME "rbac.authorization.k8s.io"

static const char *const policy_resources[] = {"clusterrolebindings", "clusterroles", "rolebindings",
                                               "roles"};
#define POLICY_RESOURCES (sizeof(policy_resources) / sizeof(policy_resources[0]))

bool rbac_is_policy_key(const struct resource_key *key)
{
    if (strcmp(key->group, RBAC_GROUP_NAME) != 0)
        return false;
    for (size_t i = 0; i < POLICY_RESOURCES; i++)
        if (strcmp(key->resource, policy_resources[i]) == 0)
            return true;
    return false;
}

static int key_bytes_compare(const char *a, size_t a_len, const char *b, size_t b_len)
{
    int order = memcmp(a, b, a_len < b_len ? a_len : b_len);
    return order ? order : (a_len > b_len) - (a_len < b_len);
}

static const struct rbac_entry *entry_find(const struct rbac_policy *policy, const char *key, size_t len)
{
    size_t low = 0;
    size_t high = policy->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct rbac_entry *e = policy->entries[middle];
        int order = key_bytes_compare(e->key, e->key_len, key, len);
        if (order == 0)
            return e;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static const struct rbac_entry *role_of(const struct rbac_policy *policy, const struct rbac_entry *binding)
{
    struct resource_key key = {
        .group = RBAC_GROUP_NAME,
        .resource = binding->role_is_cluster ? "clusterroles" : "roles",
        .namespace = binding->role_is_cluster ? "" : binding->namespace,
        .name = binding->role_name,
    };
    buf_auto struct buf bytes = BUF_INIT;
    key_encode(&bytes, &key);
    return entry_find(policy, bytes.data, bytes.len);
}

/* Grants are linked from the last to the first, so that each chain runs in the order of the keys: cluster
 * role bindings before role bindings, as Kubernetes visits them. */
static void index_build(struct rbac_policy *policy)
{
    for (size_t i = 0; i < policy->count; i++)
        policy->grant_count += policy->entries[i]->subject_count;
    policy->grants = mem_calloc(policy->grant_count + 1, sizeof(*policy->grants));
    size_t at = policy->grant_count;
    for (size_t i = policy->count; i-- > 0;) {
        const struct rbac_entry *binding = policy->entries[i];
        if (!binding->is_binding)
            continue;
        const struct rbac_entry *role = role_of(policy, binding);
        for (size_t s = binding->subject_count; s-- > 0;) {
            const struct rbac_subject *subject = &binding->subjects[s];
            size_t len = strlen(subject->index_key);
            uint32_t next = bytemap_get(&policy->index, subject->index_key, len);
            policy->grants[--at] = (struct rbac_grant){binding, role, subject, next};
            bytemap_set(&policy->index, subject->index_key, len, (uint32_t)at);
        }
    }
}

uint32_t rbac__grants_of(const struct rbac_policy *policy, char prefix, const char *name)
{
    char key[TX_USER_MAX + 3];
    int len = snprintf(key, sizeof(key), "%c:%s", prefix, name);
    return (size_t)len < sizeof(key) ? bytemap_get(&policy->index, key, (size_t)len) : BYTEMAP_NONE;
}

struct pending_entry {
    struct rbac_entry *entry; /* NULL: the object is gone */
    char *key;
    size_t key_len;
    size_t position;
};

static int pending_compare(const void *a, const void *b)
{
    const struct pending_entry *x = a;
    const struct pending_entry *y = b;
    int order = key_bytes_compare(x->key, x->key_len, y->key, y->key_len);
    return order ? order : (x->position > y->position) - (x->position < y->position);
}

/* The changes compiled, sorted by key, and of each key only the last. */
static size_t changes_compile(struct pending_entry *out, const struct rbac_change *changes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct buf key = BUF_INIT;
        key_encode(&key, &changes[i].key);
        out[i] = (struct pending_entry){rbac__entry_compile(&changes[i]), NULL, key.len, i};
        out[i].key = buf_steal(&key);
    }
    qsort(out, count, sizeof(*out), pending_compare);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        bool is_last = i + 1 == count ||
                       key_bytes_compare(out[i].key, out[i].key_len, out[i + 1].key, out[i + 1].key_len) != 0;
        if (is_last) {
            out[kept++] = out[i];
        } else {
            rbac__entry_release(out[i].entry);
            free(out[i].key);
        }
    }
    return kept;
}

static void entry_take(struct rbac_policy *policy, struct rbac_entry *entry)
{
    if (entry)
        policy->entries[policy->count++] = entry;
}

struct rbac_policy *rbac_policy_change(const struct rbac_policy *policy, const struct rbac_change *changes,
                                       size_t count)
{
    struct rbac_policy *made = mem_zalloc(sizeof(*made));
    atomic_init(&made->references, 1);
    size_t old_count = policy ? policy->count : 0;
    made->entries = mem_calloc(old_count + count + 1, sizeof(struct rbac_entry *));
    mem_auto struct pending_entry *pending = mem_calloc(count + 1, sizeof(*pending));
    size_t pending_count = changes_compile(pending, changes, count);
    size_t next = 0;
    for (size_t i = 0; i < old_count; i++) {
        struct rbac_entry *old = policy->entries[i];
        int order = -1;
        while (next < pending_count && (order = key_bytes_compare(pending[next].key, pending[next].key_len,
                                                                  old->key, old->key_len)) < 0)
            entry_take(made, pending[next++].entry);
        if (next < pending_count && order == 0) {
            entry_take(made, pending[next++].entry);
            continue;
        }
        atomic_fetch_add(&old->references, 1);
        entry_take(made, old);
    }
    while (next < pending_count)
        entry_take(made, pending[next++].entry);
    for (size_t i = 0; i < pending_count; i++)
        free(pending[i].key);
    index_build(made);
    return made;
}

struct rbac_policy *rbac_policy_load(const struct state_store_ops *ops, struct state_snapshot *snapshot)
{
    struct rbac_change *changes = NULL;
    size_t count = 0;
    size_t cap = 0;
    for (size_t r = 0; r < POLICY_RESOURCES; r++) {
        struct resource_key kind = {RBAC_GROUP_NAME, policy_resources[r], NULL, ""};
        buf_auto struct buf prefix = BUF_INIT;
        key_encode(&prefix, &kind);
        struct state_iter *iter = ops->iter_begin(snapshot, prefix.data, prefix.len, NULL, 0);
        struct state_object object;
        while (ops->iter_next(iter, &object)) {
            if (object.encoding != TX_CONTENT_PLAIN)
                continue;
            if (count == cap) {
                cap = cap ? 2 * cap : 128;
                changes = mem_reallocarray(changes, cap, sizeof(*changes));
            }
            changes[count++] = (struct rbac_change){object.key, object.content, object.content_len};
        }
        ops->iter_end(iter);
    }
    struct rbac_policy *policy = rbac_policy_change(NULL, changes, count);
    free(changes);
    return policy;
}

struct rbac_policy *rbac_policy_retain(struct rbac_policy *policy)
{
    atomic_fetch_add(&policy->references, 1);
    return policy;
}

void rbac_policy_release(struct rbac_policy *policy)
{
    if (!policy || atomic_fetch_sub(&policy->references, 1) != 1)
        return;
    for (size_t i = 0; i < policy->count; i++)
        rbac__entry_release(policy->entries[i]);
    bytemap_free(&policy->index);
    free(policy->entries);
    free(policy->grants);
    free(policy);
}
