#include "consensus/membership.h"

#include <assert.h>
#include <string.h>

void membership_init(struct membership *m, uint32_t n)
{
    assert(n >= 1 && n <= MEMBERSHIP_MAX);
    memset(m, 0, sizeof(*m));
    m->count = n;
    for (uint32_t i = 0; i < n; i++)
        m->members[i / 8] |= (uint8_t)(1 << i % 8);
}

bool membership_has(const struct membership *m, uint32_t validator)
{
    return validator < MEMBERSHIP_MAX && (m->members[validator / 8] >> validator % 8 & 1);
}

static void pending_apply(struct membership *m)
{
    uint32_t validator = m->pending.validator;
    m->members[validator / 8] ^= (uint8_t)(1 << validator % 8);
    m->count += m->pending.type == MEMBERSHIP_ADD ? 1 : -1;
    m->pending = (struct membership_change){0};
    m->pending_height = 0;
}

int membership_next(struct membership *out, const struct membership *parent, uint64_t height,
                    const struct membership_change *change, uint64_t final_height, struct err *err)
{
    assert(final_height < height);
    *out = *parent;
    if (out->pending.type != MEMBERSHIP_KEEP && final_height >= out->pending_height)
        pending_apply(out);
    if (change->type == MEMBERSHIP_KEEP)
        return 0;
    if (out->pending.type != MEMBERSHIP_KEEP)
        return err_set(err, ERR_INVALID, "an earlier change of the validator set is not final yet");
    if (change->validator >= MEMBERSHIP_MAX)
        return err_set(err, ERR_INVALID, "there is no validator %u", change->validator);
    if (membership_has(out, change->validator) != (change->type == MEMBERSHIP_REMOVE))
        return err_set(err, ERR_INVALID, "validator %u is %s", change->validator,
                       change->type == MEMBERSHIP_ADD ? "in the set already" : "not in the set");
    if (change->type == MEMBERSHIP_REMOVE && out->count == 1)
        return err_set(err, ERR_INVALID, "the last validator cannot leave");
    out->pending = *change;
    out->pending_height = height;
    return 0;
}
