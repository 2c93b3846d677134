/* See control.h. */
#include "peer/control.h"

#include "base/mem.h"
#include "chain/wire.h"

#include <assert.h>
#include <stdio.h>

static void put_stamp(struct buf *out, const struct control_stamp *stamp)
{
    wire_put_u64(out, (uint64_t)stamp->wall_us);
    wire_put_u32(out, stamp->mono);
    wire_put_u32(out, stamp->echo);
    wire_put_u32(out, stamp->hold);
}

static void put_node(struct buf *out, const struct control_node *node)
{
    buf_append(out, node->key, PEER_KEY_SIZE);
    wire_put_string(out, node->name);
    wire_put_u8(out, (uint8_t)node->address_count);
    for (size_t i = 0; i < node->address_count; i++)
        wire_put_string(out, node->addresses[i]);
}

void control_encode(struct buf *out, const struct control *control)
{
    wire_put_u8(out, (uint8_t)control->type);
    switch (control->type) {
    case CONTROL_HELLO:
        wire_put_u16(out, control->version);
        buf_append(out, control->chain_id, sizeof(control->chain_id));
        buf_append(out, control->nonce, CONTROL_NONCE_SIZE);
        wire_put_u64(out, control->instance);
        put_stamp(out, &control->stamp);
        put_node(out, &control->self);
        break;
    case CONTROL_AUTH:
        buf_append(out, control->signature, CONTROL_SIGNATURE_SIZE);
        wire_put_u8(out, control->live);
        put_stamp(out, &control->stamp);
        break;
    case CONTROL_READY:
    case CONTROL_HEARTBEAT:
    case CONTROL_ANSWER:
        put_stamp(out, &control->stamp);
        break;
    case CONTROL_REFUSE:
        wire_put_u8(out, (uint8_t)control->refusal);
        wire_put_string(out, control->reason);
        break;
    case CONTROL_ADDRESSES:
        wire_put_u8(out, (uint8_t)control->node_count);
        for (size_t i = 0; i < control->node_count; i++)
            put_node(out, &control->nodes[i]);
        break;
    }
}

static void get_stamp(struct wire_reader *in, struct control_stamp *stamp)
{
    stamp->wall_us = (int64_t)wire_get_u64(in);
    stamp->mono = wire_get_u32(in);
    stamp->echo = wire_get_u32(in);
    stamp->hold = wire_get_u32(in);
    /* Times outside of these years are nonsense, and would overflow sums. */
    if (stamp->wall_us < 0 || stamp->wall_us > INT64_MAX / 4)
        in->bad = true;
}

/* Texts of peers reach logs and terminals: printable ASCII only. */
static void get_text(struct wire_reader *in, char *out, size_t size)
{
    const char *text = wire_get_string(in, size - 1);
    for (const char *c = text; *c; c++)
        if (*c < ' ' || *c > '~')
            in->bad = true;
    snprintf(out, size, "%s", in->bad ? "" : text);
}

static void get_node(struct wire_reader *in, struct control_node *node)
{
    wire_get_copy(in, node->key, PEER_KEY_SIZE);
    get_text(in, node->name, sizeof(node->name));
    node->address_count = wire_get_u8(in);
    if (node->address_count > CONTROL_ADDRESSES_MAX) {
        node->address_count = 0;
        in->bad = true;
    }
    for (size_t i = 0; i < node->address_count; i++)
        get_text(in, node->addresses[i], sizeof(node->addresses[i]));
}

static void get_hello(struct wire_reader *in, struct control *out)
{
    out->version = wire_get_u16(in);
    if (out->version != CONTROL_VERSION) {
        in->next = in->end; /* what follows is not ours to judge */
        return;
    }
    wire_get_copy(in, out->chain_id, sizeof(out->chain_id));
    wire_get_copy(in, out->nonce, CONTROL_NONCE_SIZE);
    out->instance = wire_get_u64(in);
    get_stamp(in, &out->stamp);
    get_node(in, &out->self);
}

static void get_auth(struct wire_reader *in, struct control *out)
{
    wire_get_copy(in, out->signature, CONTROL_SIGNATURE_SIZE);
    uint8_t live = wire_get_u8(in);
    if (live > 1)
        in->bad = true;
    out->live = live == 1;
    get_stamp(in, &out->stamp);
}

static void get_refuse(struct wire_reader *in, struct control *out)
{
    uint8_t refusal = wire_get_u8(in);
    if (refusal == 0 || refusal >= REFUSAL_COUNT)
        in->bad = true;
    out->refusal = (enum control_refusal)refusal;
    get_text(in, out->reason, sizeof(out->reason));
}

static void get_addresses(struct wire_reader *in, struct control *out)
{
    size_t count = wire_get_u8(in);
    if (count > CONTROL_NODES_MAX) {
        in->bad = true;
        return;
    }
    out->nodes = mem_calloc(count ? count : 1, sizeof(*out->nodes));
    out->node_count = count;
    for (size_t i = 0; i < count && !in->bad; i++)
        get_node(in, &out->nodes[i]);
}

int control_decode(struct control *out, const void *bytes, size_t len, struct err *err)
{
    struct wire_reader in = wire_reader(bytes, len);
    *out = (struct control){.type = (enum control_type)wire_get_u8(&in)};
    switch (out->type) {
    case CONTROL_HELLO:
        get_hello(&in, out);
        break;
    case CONTROL_AUTH:
        get_auth(&in, out);
        break;
    case CONTROL_READY:
    case CONTROL_HEARTBEAT:
    case CONTROL_ANSWER:
        get_stamp(&in, &out->stamp);
        break;
    case CONTROL_REFUSE:
        get_refuse(&in, out);
        break;
    case CONTROL_ADDRESSES:
        get_addresses(&in, out);
        break;
    default:
        return err_set(err, ERR_INVALID, "a control frame has the unknown type %d", (int)out->type);
    }
    if (wire_done(&in))
        return 0;
    int type = (int)out->type;
    control_free(out);
    return err_set(err, ERR_INVALID, "a control frame of type %d is malformed", type);
}

void control_free(struct control *control)
{
    free(control->nodes);
    control->nodes = NULL;
    control->node_count = 0;
}
