/* See script.h. */
#include "chain/script.h"

#include "chain/hash.h"
#include "chain/wire.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

#define ITEM_MAX 1024

/* Items point into the lock, the unlocking data, or hashes. */
struct item {
    const uint8_t *bytes;
    size_t len;
};

struct machine {
    struct item stack[SCRIPT_STACK_MAX];
    size_t depth;
    uint8_t hashes[SCRIPT_STACK_MAX][HASH_SIZE];
    size_t hash_count;
    unsigned verifications;
    const struct script_env *env;
    bool failed;
};

static const uint8_t true_byte = 1;

static void push(struct machine *m, const void *bytes, size_t len)
{
    if (m->depth == SCRIPT_STACK_MAX || len > ITEM_MAX) {
        m->failed = true;
        return;
    }
    m->stack[m->depth++] = (struct item){bytes, len};
}

static void push_bool(struct machine *m, bool value)
{
    push(m, &true_byte, value);
}

static struct item pop(struct machine *m)
{
    if (m->depth == 0) {
        m->failed = true;
        return (struct item){NULL, 0};
    }
    return m->stack[--m->depth];
}

static bool signature_holds(struct machine *m, struct item signature, const uint8_t *key)
{
    if (signature.len != TX_SIGNATURE_SIZE)
        return false;
    if (++m->verifications > SCRIPT_SIGNATURES_MAX) {
        m->failed = true;
        return false;
    }
    return crypto_sign_verify_detached(signature.bytes, m->env->signed_bytes, TX_SIGNED_SIZE, key) == 0;
}

static void run_signed(struct machine *m)
{
    struct item key = pop(m);
    struct item signature = pop(m);
    push_bool(m, key.len == TX_KEY_SIZE && signature_holds(m, signature, key.bytes));
}

/* Signatures stand in the order of their keys, so one pass over the keys decides. */
static void run_multi(struct machine *m, unsigned need, unsigned n, const uint8_t *keys)
{
    struct item signatures[SCRIPT_SIGNATURES_MAX];
    for (unsigned i = need; i-- > 0;)
        signatures[i] = pop(m);
    unsigned matched = 0;
    for (unsigned k = 0; k < n && matched < need && need - matched <= n - k && !m->failed; k++)
        if (signature_holds(m, signatures[matched], keys + (size_t)k * TX_KEY_SIZE))
            matched++;
    push_bool(m, matched == need);
}

static void run_sha256(struct machine *m)
{
    struct item item = pop(m);
    if (m->hash_count == SCRIPT_STACK_MAX) {
        m->failed = true;
        return;
    }
    uint8_t *hash = m->hashes[m->hash_count++];
    hash_sha256(hash, item.bytes, item.len);
    push(m, hash, HASH_SIZE);
}

static void run_swap(struct machine *m)
{
    struct item b = pop(m);
    struct item a = pop(m);
    push(m, b.bytes, b.len);
    push(m, a.bytes, a.len);
}

static void run_plain(struct machine *m, enum script_op op)
{
    struct item b = pop(m);
    if (op == SCRIPT_NOT) {
        push_bool(m, b.len == 0);
        return;
    }
    struct item a = pop(m);
    if (op == SCRIPT_AND)
        push_bool(m, a.len && b.len);
    else if (op == SCRIPT_OR)
        push_bool(m, a.len || b.len);
    else
        push_bool(m, a.len == b.len && (a.len == 0 || memcmp(a.bytes, b.bytes, a.len) == 0));
}

/* One instruction of a lock as it is read: operands point into the lock. */
struct instruction {
    enum script_op op;
    const uint8_t *data; /* PUSH: the item; MULTI: the keys */
    size_t len;
    unsigned m, n;
};

static bool instruction_get(struct wire_reader *in, struct instruction *out)
{
    *out = (struct instruction){.op = wire_get_u8(in)};
    switch (out->op) {
    case SCRIPT_PUSH:
        out->len = wire_get_u8(in);
        out->data = wire_get_raw(in, out->len);
        break;
    case SCRIPT_MULTI:
        out->m = wire_get_u8(in);
        out->n = wire_get_u8(in);
        if (out->m == 0 || out->m > out->n || out->n > SCRIPT_SIGNATURES_MAX)
            return false;
        out->data = wire_get_raw(in, (size_t)out->n * TX_KEY_SIZE);
        break;
    case SCRIPT_SIGNED:
    case SCRIPT_RBAC:
    case SCRIPT_SHA256:
    case SCRIPT_EQUAL:
    case SCRIPT_AND:
    case SCRIPT_OR:
    case SCRIPT_NOT:
    case SCRIPT_SWAP:
        break;
    default:
        return false;
    }
    return !in->bad;
}

static void instruction_run(struct machine *m, const struct instruction *i)
{
    switch (i->op) {
    case SCRIPT_PUSH:
        push(m, i->data, i->len);
        break;
    case SCRIPT_SIGNED:
        run_signed(m);
        break;
    case SCRIPT_MULTI:
        run_multi(m, i->m, i->n, i->data);
        break;
    case SCRIPT_RBAC:
        push_bool(m, m->env->rbac(m->env->arg));
        break;
    case SCRIPT_SHA256:
        run_sha256(m);
        break;
    case SCRIPT_SWAP:
        run_swap(m);
        break;
    default:
        run_plain(m, i->op);
    }
}

static bool unlock_push(struct machine *m, const uint8_t *unlock, size_t unlock_len)
{
    struct wire_reader in = wire_reader(unlock, unlock_len);
    while (wire_left(&in) && !m->failed) {
        size_t len;
        const uint8_t *item = wire_get_bytes(&in, ITEM_MAX, &len);
        if (!in.bad)
            push(m, item, len);
    }
    return wire_done(&in) && !m->failed;
}

int script_run(const uint8_t *lock, size_t lock_len, const uint8_t *unlock, size_t unlock_len,
               const struct script_env *env, struct err *err)
{
    static const uint8_t lock_default[] = {SCRIPT_RBAC};
    if (lock_len == 0) {
        lock = lock_default;
        lock_len = sizeof(lock_default);
    }
    struct machine m;
    m.depth = m.hash_count = 0;
    m.verifications = 0;
    m.env = env;
    m.failed = false;
    if (!unlock_push(&m, unlock, unlock_len))
        return err_set(err, ERR_FORBIDDEN, "the unlocking data is malformed");
    struct wire_reader in = wire_reader(lock, lock_len);
    while (wire_left(&in) && !m.failed) {
        struct instruction instruction;
        if (!instruction_get(&in, &instruction))
            return err_set(err, ERR_FORBIDDEN, "the locking script is malformed");
        instruction_run(&m, &instruction);
    }
    if (m.failed || m.depth != 1 || m.stack[0].len == 0)
        return err_set(err, ERR_FORBIDDEN, "the locking script does not allow it");
    return 0;
}

int script_check(const uint8_t *lock, size_t lock_len, struct err *err)
{
    struct wire_reader in = wire_reader(lock, lock_len);
    while (wire_left(&in)) {
        struct instruction instruction;
        if (!instruction_get(&in, &instruction))
            return err_set(err, ERR_INVALID, "the locking script is malformed");
    }
    return 0;
}

void script_lock_key(struct buf *out, const uint8_t key[TX_KEY_SIZE])
{
    wire_put_u8(out, SCRIPT_PUSH);
    wire_put_u8(out, TX_KEY_SIZE);
    buf_append(out, key, TX_KEY_SIZE);
    wire_put_u8(out, SCRIPT_SIGNED);
}

void script_lock_multi(struct buf *out, unsigned m, unsigned n, const uint8_t (*keys)[TX_KEY_SIZE])
{
    assert(m && m <= n && n <= SCRIPT_SIGNATURES_MAX);
    wire_put_u8(out, SCRIPT_MULTI);
    wire_put_u8(out, (uint8_t)m);
    wire_put_u8(out, (uint8_t)n);
    buf_append(out, keys, (size_t)n * TX_KEY_SIZE);
}

void script_lock_preimage(struct buf *out, const uint8_t hash[32])
{
    wire_put_u8(out, SCRIPT_SHA256);
    wire_put_u8(out, SCRIPT_PUSH);
    wire_put_u8(out, HASH_SIZE);
    buf_append(out, hash, HASH_SIZE);
    wire_put_u8(out, SCRIPT_EQUAL);
}

void script_unlock_item(struct buf *out, const void *item, size_t len)
{
    wire_put_bytes(out, item, len);
}
