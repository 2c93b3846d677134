/*
 * Finality with changes of the validator set (docs/consensus.md), on a small instance, for Spin: every choice
 * of votes by three validators over ROUNDS rounds. Two conflicting blocks are never final.
 *
 *   0 -- A -- A2 -- A4      A takes validator 2 out of the set, A2 validator 1; B takes validator 0 out.
 *    \-- B -- B2            A2, A4 and B2 hold the proof that their parent is final, so its change acts there.
 *
 * A validator votes at most once in a round, from a justified checkpoint that is not earlier than any source
 * it has voted from. Votes are taken round by round; nothing is lost by that: a vote needs only that its source
 * was justified, which votes of earlier rounds did, so any history can be told in this order. A vote that is not
 * part of a quorum does not move the lock here: a history with a violation has one without such votes.
 *
 * -DAT_ONCE lets a change act without a proof, -DNO_LOCK lets sources go back: Spin then finds a violation.
 */
#ifndef ROUNDS
#define ROUNDS 5
#endif
#define VALIDATORS 3
#define BLOCKS 6
#define NONE 255

#define A 1
#define A2 2
#define A4 3
#define B 4
#define B2 5

byte ancestors[BLOCKS]; /* of a block and itself, as bits */
byte members[BLOCKS];   /* of the set that acts at a block, as bits */
byte quorum[BLOCKS];

byte justified[ROUNDS + 1]; /* blocks, as bits, by round */
byte final;                 /* blocks, as bits */
byte lock[VALIDATORS];      /* the latest source round */
byte from_round[VALIDATORS], from_block[VALIDATORS], to_block[VALIDATORS];

inline set_up()
{
    ancestors[0] = 1; ancestors[A] = 3; ancestors[A2] = 7; ancestors[A4] = 15; ancestors[B] = 17; ancestors[B2] = 49;
    members[0] = 7; members[A] = 7; members[A2] = 3; members[A4] = 1; members[B] = 7; members[B2] = 6;
    quorum[0] = 2; quorum[A] = 2; quorum[A2] = 2; quorum[A4] = 1; quorum[B] = 2; quorum[B2] = 2;
    justified[0] = 1;
    final = 1
}

#ifdef AT_ONCE
#define EXISTS(b) true
#else
#define EXISTS(b) \
    ((b != A2 || (final >> A & 1)) && (b != A4 || (final >> A2 & 1)) && (b != B2 || (final >> B & 1)))
#endif

#define MAY_VOTE(s, t) \
    ((justified[source_round] >> s & 1) && (ancestors[t] >> s & 1) && (members[t] >> v & 1) && EXISTS(t))

/* Validator v votes for something that it may vote for, or for nothing. */
inline choose_vote()
{
        from_round[v] = NONE;
        from_block[v] = 0;
        to_block[v] = 0;
        if
        :: skip
        :: true ->
#ifdef NO_LOCK
            select(source_round : 0 .. round - 1);
#else
            source_round = lock[v];
            do
            :: source_round < round - 1 -> source_round++
            :: break
            od;
#endif
            select(source : 0 .. BLOCKS - 1);
            select(target : 0 .. BLOCKS - 1);
            if
            :: MAY_VOTE(source, target) ->
                from_round[v] = source_round;
                from_block[v] = source;
                to_block[v] = target
            :: else
            fi
        fi;
        source_round = 0;
        source = 0;
        target = 0
}

/* What the votes of the round justify and finalize. */
inline count_votes()
{
    d_step {
        v = 0;
        do
        :: v < VALIDATORS && from_round[v] != NONE ->
            votes = 0;
            other = 0;
            do
            :: other < VALIDATORS ->
                if
                :: from_round[other] == from_round[v] && from_block[other] == from_block[v] &&
                   to_block[other] == to_block[v] && (members[to_block[v]] >> other & 1) -> votes++
                :: else
                fi;
                other++
            :: else -> break
            od;
            if
            :: votes >= quorum[to_block[v]] ->
                lock[v] = from_round[v];
                justified[round] = justified[round] | (1 << to_block[v]);
                if
                :: from_round[v] + 1 == round -> final = final | (1 << from_block[v])
                :: else
                fi
            :: else
            fi;
            v++
        :: v < VALIDATORS && from_round[v] == NONE -> v++
        :: else -> break
        od;
        v = 0;
        do
        :: v < VALIDATORS -> from_round[v] = NONE; from_block[v] = 0; to_block[v] = 0; v++
        :: else -> break
        od;
        /* Checkpoints that no voter may start from any more need not be told apart. */
        other = 0;
        do
        :: other < lock[0] && other < lock[1] && other < lock[2] -> justified[other] = 0; other++
        :: else -> break
        od;
        v = 0;
        votes = 0;
        other = 0
    }
}

active proctype network()
{
    byte round = 1, v = 0, source_round, votes, other;
    int source, target;
    d_step { set_up() }
    do
    :: round <= ROUNDS ->
        do
        :: v < VALIDATORS -> atomic { choose_vote(); v++ }
        :: else -> break
        od;
        count_votes();
        assert(!((final & 14) != 0 && (final & 48) != 0));
        round++
    :: else -> break
    od
}
