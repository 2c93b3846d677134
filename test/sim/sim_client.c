/* What the clients of a simulated node do: valid changes, races, and every kind of nonsense. */
#include "sim.h"

#include "state/record.h"

/* A live object of some kinds, drawn from the store; false when there is none. */
static bool object_draw(struct sim_world *w, struct state_object *out, struct buf *record)
{
    static const char *const resources[] = {"configmaps", "pods", "namespaces", "nodes"};
    const struct state_store_ops *ops = state_mem_ops();
    struct state_snapshot *snapshot = ops->snapshot_begin(w->node.store);
    struct resource_key kind = {"", resources[sim_draw(w, 4)], NULL, ""};
    buf_auto struct buf prefix = BUF_INIT;
    key_encode(&prefix, &kind);
    struct state_iter *iter = ops->iter_begin(snapshot, prefix.data, prefix.len, NULL, 0);
    uint32_t skip = sim_draw(w, 24);
    bool found = false;
    struct state_object object;
    while (ops->iter_next(iter, &object)) {
        buf_clear(record);
        state_record_encode(record, &object);
        found = true;
        if (skip-- == 0)
            break;
    }
    ops->iter_end(iter);
    ops->snapshot_end(snapshot);
    return found && state_record_decode(out, record->data, record->len);
}

static struct resource_key key_draw(struct sim_world *w, char text[64])
{
    char *ns = text;
    char *name = text + 16;
    snprintf(ns, 16, "ns%u", sim_draw(w, 5));
    snprintf(name, 40, "o%u", sim_draw(w, 30));
    switch (sim_draw(w, 8)) {
    case 0:
        return tx_fixture_key_of("namespaces", "", ns);
    case 1:
        snprintf(name, 40, "n%u", sim_draw(w, 3));
        return tx_fixture_key_of("nodes", "", name);
    case 2:
    case 3:
    case 4:
        return tx_fixture_key_of("pods", ns, name);
    default:
        return tx_fixture_key_of("configmaps", ns, name);
    }
}

static struct tx_claim claim_draw(struct sim_world *w, const struct resource_key *key, char node[16])
{
    if (strcmp(key->resource, "nodes") == 0) {
        snprintf(node, 16, "%s", key->name);
        return (struct tx_claim){node, 2000, 4096, 6};
    }
    if (strcmp(key->resource, "pods") != 0 || sim_draw(w, 3) == 0)
        return (struct tx_claim){NULL, 0, 0, 0};
    snprintf(node, 16, "n%u", sim_draw(w, 3));
    return (struct tx_claim){node, 100 * sim_draw(w, 8), 64 * sim_draw(w, 32), 1};
}

static void output_add(struct sim_world *w, struct tx *tx, const struct resource_key *key,
                       enum tx_output_op op)
{
    char node[16], content[64];
    snprintf(content, sizeof(content), "{\"x\":%u}", sim_draw(w, 1000000));
    struct tx_index_term terms[] = {{"owner", "u1"}, {"node", "n1"}};
    struct tx_output output = {.op = op, .key = *key, .uid = "u"};
    if (op == TX_OUTPUT_PUT) {
        output.encoding = sim_draw(w, 10) ? TX_CONTENT_PLAIN : TX_CONTENT_SEALED;
        output.content = (const uint8_t *)content;
        output.content_len = strlen(content);
        output.claim = claim_draw(w, key, node);
        output.terms = terms;
        output.term_count = sim_draw(w, 3);
    }
    tx_add_output(tx, &output);
}

static void create_add(struct sim_world *w, struct tx *tx)
{
    char text[64];
    struct resource_key key = key_draw(w, text);
    struct resource_key parent;
    if (key_parent(&parent, &key))
        tx_fixture_input(tx, TX_INPUT_INDIRECT, parent, NULL);
    output_add(w, tx, &key, TX_OUTPUT_PUT);
}

/* An update or a deletion of what is there, now and then with a version that is not the newest. */
static bool change_add(struct sim_world *w, struct tx *tx, enum tx_output_op op)
{
    buf_auto struct buf record = BUF_INIT;
    struct state_object object;
    if (!object_draw(w, &object, &record))
        return false;
    if (sim_draw(w, 8) == 0)
        object.tx_id[0] ^= 1;
    tx_fixture_input(tx, TX_INPUT_DIRECT, object.key, object.tx_id);
    output_add(w, tx, &object.key, op);
    return true;
}

/* Makes a transaction one that nobody may accept, or leaves it as it is. */
static void spoil(struct sim_world *w, struct tx *tx, bool *must_fail)
{
    static const char *const groups[] = {"system:authenticated"};
    const uint8_t *secret = w->node.tx.secret_key;
    *must_fail = true;
    switch (sim_draw(w, 24)) {
    case 0:
        tx->chain_id[3] ^= 1;
        break;
    case 1:
        secret = w->stranger_secret;
        break;
    case 2:
        tx_set_user(tx, "mallory", groups, 1);
        break;
    default:
        *must_fail = false;
    }
    int rc = tx_sign(tx, secret, NULL);
    assert(rc == 0);
    (void)rc;
}

/* The transaction as it comes over a wire: not trusted; sometimes with a damaged signature. */
static struct tx *over_the_wire(struct sim_world *w, struct tx *tx, bool *must_fail)
{
    struct buf bytes = BUF_INIT;
    buf_append(&bytes, tx->encoded, tx->encoded_len);
    if (sim_draw(w, 4) == 0) {
        /* After the header and the size of the batch. */
        size_t signature_at = 9 + (size_t)(uint8_t)tx->encoded[0] + 256u * (uint8_t)tx->encoded[1];
        bytes.data[signature_at + sim_draw(w, TX_SIGNATURE_SIZE)] ^= 4;
        *must_fail = true;
    }
    struct tx *received;
    int rc = tx_decode(&received, (const uint8_t *)bytes.data, bytes.len, NULL);
    assert(rc == 0);
    (void)rc;
    buf_free(&bytes);
    tx_free(tx);
    return received;
}

struct tx *sim_client_tx(struct sim_world *w, bool *must_fail)
{
    uint32_t what = sim_draw(w, 10);
    struct tx *tx = tx_fixture_new(&w->node.tx, what < 4 ? "create" : what < 8 ? "update" : "delete");
    tx->strict = sim_draw(w, 3) == 0;
    if (what < 4 || !change_add(w, tx, what < 8 ? TX_OUTPUT_PUT : TX_OUTPUT_DELETE)) {
        tx_set_verb(tx, "create", "");
        create_add(w, tx);
    }
    spoil(w, tx, must_fail);
    if (sim_draw(w, 5) == 0)
        tx = over_the_wire(w, tx, must_fail);
    return tx;
}
