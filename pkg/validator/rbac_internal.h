/* The compiled form of a policy, shared by its compilation and its evaluation. */
#ifndef KATENA_VALIDATOR_RBAC_INTERNAL_H
#define KATENA_VALIDATOR_RBAC_INTERNAL_H

#include "chain/arena.h"
#include "chain/bytemap.h"
#include "validator/rbac.h"
#include "validator/rbac_policy.h"

#include <stdatomic.h>

struct rbac_strings {
    const char **items;
    size_t count;
};

struct rbac_rule {
    struct rbac_strings verbs;
    struct rbac_strings groups;
    struct rbac_strings resources;
    struct rbac_strings names;
    struct rbac_strings urls;
};

enum rbac_subject_kind { RBAC_USER, RBAC_GROUP, RBAC_SERVICE_ACCOUNT };

struct rbac_subject {
    enum rbac_subject_kind kind;
    const char *name;
    const char *namespace; /* of a service account */
    const char *index_key; /* "u:" or "g:" and the name that requests carry */
};

/* A role or a binding: one object of the chain. Counted, since policies share them. */
struct rbac_entry {
    atomic_uint references;
    struct arena arena;
    char *key; /* key bytes */
    size_t key_len;
    bool is_binding;
    const char *namespace; /* "" for the cluster kinds */
    const char *name;
    /* a role: */
    struct rbac_rule *rules;
    size_t rule_count;
    /* a binding: */
    bool role_is_cluster;
    const char *role_name;
    struct rbac_subject *subjects;
    size_t subject_count;
};

/* One subject of one binding, in the chain of all with the same index_key. */
struct rbac_grant {
    const struct rbac_entry *binding;
    const struct rbac_entry *role; /* NULL: there is none of that name, and nothing is granted */
    const struct rbac_subject *subject;
    uint32_t next; /* BYTEMAP_NONE: the last */
};

struct rbac_policy {
    atomic_uint references;
    struct rbac_entry **entries; /* sorted by key */
    size_t count;
    struct rbac_grant *grants;
    size_t grant_count;
    struct bytemap index; /* index_key -> the first of its grants */
};

/* The grants of a subject; BYTEMAP_NONE: none. */
uint32_t rbac__grants_of(const struct rbac_policy *policy, char prefix, const char *name);

/* Reads an object into a new entry; NULL when it grants nothing whatever it says. */
struct rbac_entry *rbac__entry_compile(const struct rbac_change *change);
void rbac__entry_release(struct rbac_entry *entry);

#endif
