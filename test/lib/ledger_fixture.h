/* Transactions on a ledger for tests: objects without API semantics around them. */
#ifndef KATENA_TEST_LEDGER_FIXTURE_H
#define KATENA_TEST_LEDGER_FIXTURE_H

#include "base/mem.h"
#include "ledger/ledger.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIXTURE_NAMESPACE "default"

static inline struct resource_key fixture_key(const char *resource, const char *name)
{
    bool is_namespace = !strcmp(resource, "namespaces");
    return (struct resource_key){"", resource, is_namespace ? "" : FIXTURE_NAMESPACE, name};
}

/* The transaction that made the newest version of an object; zeros when there is none. */
static inline bool fixture_find(struct ledger *ledger, const struct resource_key *key,
                                uint8_t tx_id[TX_ID_SIZE], uint64_t *rv)
{
    const struct state_store_ops *ops = ledger_store_ops(ledger);
    struct state_snapshot *snapshot = ops->snapshot_begin(ledger_store(ledger));
    struct state_object object;
    bool found = ops->get(snapshot, key, &object, NULL) == 0;
    memset(tx_id, 0, TX_ID_SIZE);
    if (found) {
        memcpy(tx_id, object.tx_id, TX_ID_SIZE);
        if (rv)
            *rv = object.rv;
    }
    ops->snapshot_end(snapshot);
    return found;
}

/* The JSON of an object with a value in it, and where its resourceVersion stands. */
static inline void fixture_content(struct buf *out, uint32_t *rv_offset, const struct resource_key *key,
                                   const char *value)
{
    buf_printf(out, "{\"metadata\":{\"name\":\"%s\",\"resourceVersion\":\"", key->name);
    *rv_offset = (uint32_t)out->len;
    buf_printf(out, "%s\"},\"data\":{\"value\":\"%s\"}}", TX_RV_PLACEHOLDER, value);
}

/* A signed put (value given) or delete (value NULL) of one object by an administrator. The inputs follow from
 * what is there now. */
static inline struct tx *fixture_tx(struct ledger *ledger, const char *resource, const char *name,
                                    const char *value)
{
    static const char *const groups[] = {"system:masters", "system:authenticated"};
    struct resource_key key = fixture_key(resource, name);
    struct tx *tx = tx_new();
    struct tx_input input = {.key = key};
    bool exists = fixture_find(ledger, &key, input.tx_id, NULL);
    tx_set_user(tx, "kubernetes-admin", groups, 2);
    tx_set_verb(tx, !value ? "delete" : exists ? "update" : "create", "");
    input.kind = TX_INPUT_DIRECT;
    if (!exists) {
        input.kind = TX_INPUT_INDIRECT;
        input.key = fixture_key("namespaces", FIXTURE_NAMESPACE);
        fixture_find(ledger, &input.key, input.tx_id, NULL);
    }
    if (exists || *key.namespace)
        tx_add_input(tx, &input);
    char uid[64];
    snprintf(uid, sizeof(uid), "uid-%s-%s", resource, name);
    buf_auto struct buf content = BUF_INIT;
    struct tx_index_term term = {"owner", "uid-of-owner"};
    struct tx_output output = {.op = value ? TX_OUTPUT_PUT : TX_OUTPUT_DELETE, .key = key, .uid = uid};
    if (value) {
        fixture_content(&content, &output.rv_offset, &key, value);
        output.encoding = TX_CONTENT_PLAIN;
        output.content = (const uint8_t *)content.data;
        output.content_len = content.len;
        output.terms = &term;
        output.term_count = 1;
    }
    tx_add_output(tx, &output);
    struct err err;
    if (ledger_encode(ledger, tx, &err) < 0) {
        fprintf(stderr, "%s\n", err.message);
        abort();
    }
    return tx;
}

static inline int fixture_put(struct ledger *ledger, const char *resource, const char *name,
                              const char *value, struct ledger_result *result, struct err *err)
{
    return ledger_submit_wait(ledger, fixture_tx(ledger, resource, name, value), result, err);
}

/* The same where it has to succeed; returns the resourceVersion. */
static inline uint64_t fixture_must_put(struct ledger *ledger, const char *resource, const char *name,
                                        const char *value)
{
    struct ledger_result result;
    struct err err;
    if (fixture_put(ledger, resource, name, value, &result, &err)) {
        fprintf(stderr, "%s/%s was not written: %s\n", resource, name, err.message);
        abort();
    }
    return result.rv;
}

#endif
