#include "consensus/finality.h"

#include "base/mem.h"
#include "consensus/membership.h"

#include <assert.h>
#include <string.h>

/* The votes from one source to one target. */
struct link {
    struct checkpoint source, target;
    uint32_t votes;
    bool done;       /* its target was justified by it */
    uint8_t voted[]; /* by validator */
};

struct finality {
    struct fork_choice *tree;
    uint32_t validators, quorum;
    struct link **links;
    size_t link_count, link_cap;
    struct checkpoint *justified; /* since the finalized one, which is the first; ascending by round */
    size_t justified_count, justified_cap;
    const struct membership *(*members_at)(void *arg,
                                           const struct fork_block *block); /* NULL: all validators */
    void *members_arg;
    bool byzantine;
    uint8_t *proven; /* by validator: counts for every link */
};

uint32_t finality_quorum(uint32_t n, bool byzantine)
{
    return byzantine ? (uint32_t)((uint64_t)n * 2 / 3) + 1 : n / 2 + 1;
}

static bool same(const struct checkpoint *a, const struct checkpoint *b)
{
    return a->round == b->round && memcmp(a->block, b->block, HASH_SIZE) == 0;
}

static void justified_add(struct finality *f, const struct checkpoint *checkpoint)
{
    if (f->justified_count == f->justified_cap) {
        f->justified_cap = f->justified_cap ? 2 * f->justified_cap : 8;
        f->justified = mem_reallocarray(f->justified, f->justified_cap, sizeof(*f->justified));
    }
    size_t at = f->justified_count++;
    for (; at > 0 && f->justified[at - 1].round > checkpoint->round; at--)
        f->justified[at] = f->justified[at - 1];
    f->justified[at] = *checkpoint;
}

static bool justified_has(const struct finality *f, const struct checkpoint *checkpoint)
{
    for (size_t i = 0; i < f->justified_count; i++)
        if (same(&f->justified[i], checkpoint))
            return true;
    return false;
}

struct finality *finality_new(struct fork_choice *tree, uint32_t validators, uint32_t quorum,
                              const struct checkpoint *finalized, const struct checkpoint *justified)
{
    struct finality *f = mem_zalloc(sizeof(*f));
    f->tree = tree;
    f->validators = validators;
    f->quorum = quorum;
    f->proven = mem_zalloc(validators + 1);
    justified_add(f, finalized);
    if (!same(finalized, justified))
        justified_add(f, justified);
    return f;
}

void finality_free(struct finality *f)
{
    if (!f)
        return;
    for (size_t i = 0; i < f->link_count; i++)
        free(f->links[i]);
    free(f->links);
    free(f->justified);
    free(f->proven);
    free(f);
}

const struct checkpoint *finality_finalized(const struct finality *f)
{
    return &f->justified[0];
}

const struct checkpoint *finality_justified(const struct finality *f)
{
    return &f->justified[f->justified_count - 1];
}

void finality_use_members(struct finality *f, bool byzantine,
                          const struct membership *(*at)(void *arg, const struct fork_block *block),
                          void *arg)
{
    f->members_at = at;
    f->members_arg = arg;
    f->byzantine = byzantine;
}

static bool has_quorum(const struct finality *f, const struct link *link)
{
    uint32_t votes = 0;
    for (uint32_t i = 0; !f->members_at && i < f->validators; i++)
        votes += link->voted[i] || f->proven[i];
    if (!f->members_at)
        return votes >= f->quorum;
    const struct fork_node *target = fork_choice_find(f->tree, link->target.block);
    if (!target)
        return false;
    const struct membership *members = f->members_at(f->members_arg, fork_node_block(target));
    for (uint32_t i = 0; i < f->validators; i++)
        votes += (link->voted[i] || f->proven[i]) && membership_has(members, i);
    return votes >= finality_quorum(members->count, f->byzantine);
}

/* Drops the links to rounds before one; those with a quorum only when asked. */
static void links_filter(struct finality *f, uint64_t before_round, bool with_quorum)
{
    size_t kept = 0;
    for (size_t i = 0; i < f->link_count; i++) {
        struct link *link = f->links[i];
        if (link->target.round < before_round && (with_quorum || !has_quorum(f, link)))
            free(link);
        else
            f->links[kept++] = link;
    }
    f->link_count = kept;
}

void finality_forget(struct finality *f, uint64_t before_round)
{
    links_filter(f, before_round, false);
}

static void finalize(struct finality *f, const struct checkpoint *checkpoint)
{
    struct checkpoint chosen = *checkpoint;
    size_t kept = 0;
    for (size_t i = 0; i < f->justified_count; i++)
        if (f->justified[i].round > chosen.round || same(&f->justified[i], &chosen))
            f->justified[kept++] = f->justified[i];
    f->justified_count = kept;
    assert(kept > 0 && same(&f->justified[0], &chosen));
    links_filter(f, chosen.round + 1, true);
}

/* Applies a link with a quorum, if its source is justified and its target a known descendant of it. */
static enum finality_change link_apply(struct finality *f, struct link *link)
{
    const struct fork_node *source = fork_choice_find(f->tree, link->source.block);
    const struct fork_node *target = fork_choice_find(f->tree, link->target.block);
    if (!source || !target || link->source.round < finality_finalized(f)->round ||
        !fork_node_leads_to(source, target))
        return FINALITY_UNCHANGED;
    /* An honest voter starts from what it knows to be justified, and one is in each quorum. */
    if (!justified_has(f, &link->source))
        justified_add(f, &link->source);
    link->done = true;
    struct checkpoint from = link->source;
    bool direct = link->target.round == from.round + 1;
    bool is_new = !justified_has(f, &link->target);
    if (is_new)
        justified_add(f, &link->target);
    if (direct && from.round > finality_finalized(f)->round) {
        finalize(f, &from);
        return FINALITY_FINALIZED;
    }
    return is_new ? FINALITY_JUSTIFIED : FINALITY_UNCHANGED;
}

enum finality_change finality_settle(struct finality *f)
{
    enum finality_change result = FINALITY_UNCHANGED;
    for (size_t i = 0; i < f->link_count;) {
        struct link *link = f->links[i++];
        if (link->done || !has_quorum(f, link))
            continue;
        enum finality_change change = link_apply(f, link);
        if (change > result)
            result = change;
        if (change != FINALITY_UNCHANGED)
            i = 0; /* another link may have waited for this one's target */
    }
    return result;
}

enum finality_change finality_proven(struct finality *f, uint32_t validator)
{
    assert(validator < f->validators);
    f->proven[validator] = 1;
    return finality_settle(f);
}

static bool matches(const struct link *link, const struct vote *vote)
{
    return link->source.round == vote->number && link->target.round == vote->round &&
           memcmp(link->source.block, vote->source, HASH_SIZE) == 0 &&
           memcmp(link->target.block, vote->target, HASH_SIZE) == 0;
}

static struct link *link_new(struct finality *f, const struct vote *vote)
{
    struct link *link = mem_zalloc(sizeof(*link) + f->validators);
    link->source.round = vote->number;
    link->target.round = vote->round;
    memcpy(link->source.block, vote->source, HASH_SIZE);
    memcpy(link->target.block, vote->target, HASH_SIZE);
    if (f->link_count == f->link_cap) {
        f->link_cap = f->link_cap ? 2 * f->link_cap : 16;
        f->links = mem_reallocarray(f->links, f->link_cap, sizeof(struct link *));
    }
    f->links[f->link_count++] = link;
    return link;
}

enum finality_change finality_vote(struct finality *f, uint32_t validator, const struct vote *vote)
{
    assert(validator < f->validators && vote->kind == VOTE_CHECKPOINT && vote->number < vote->round);
    if (vote->round <= finality_finalized(f)->round)
        return FINALITY_UNCHANGED;
    struct link *link = NULL;
    unsigned in_round = 0;
    for (size_t i = 0; i < f->link_count; i++) {
        if (f->links[i]->target.round == vote->round && f->links[i]->voted[validator])
            in_round++;
        if (matches(f->links[i], vote))
            link = f->links[i];
    }
    if (in_round >= 2 || (link && link->voted[validator]))
        return FINALITY_UNCHANGED;
    if (!link)
        link = link_new(f, vote);
    link->voted[validator] = 1;
    link->votes++;
    return !link->done && has_quorum(f, link) ? finality_settle(f) : FINALITY_UNCHANGED;
}

void voter_init(struct voter *voter, const struct finality_lock *durable)
{
    *voter = (struct voter){.lock = *durable};
}

bool voter_request(struct voter *voter, const struct checkpoint *source, const struct checkpoint *target,
                   struct finality_lock *lock)
{
    if (voter->waiting || target->round <= voter->lock.target_round ||
        source->round < voter->lock.source_round || source->round >= target->round)
        return false;
    voter->source = *source;
    voter->target = *target;
    voter->wanted = (struct finality_lock){source->round, target->round};
    voter->waiting = true;
    *lock = voter->wanted;
    return true;
}

void voter_persisted(struct voter *voter, struct vote *vote)
{
    assert(voter->waiting);
    voter->waiting = false;
    voter->lock = voter->wanted;
    *vote =
        (struct vote){.kind = VOTE_CHECKPOINT, .round = voter->target.round, .number = voter->source.round};
    memcpy(vote->source, voter->source.block, HASH_SIZE);
    memcpy(vote->target, voter->target.block, HASH_SIZE);
}
