/* SPDX-License-Identifier: MIT
   The broadcast ring of fastfeed_core/ring.h: see README.md for what is checked and how to run it.

   Positions count cache lines. A block has four lines, a record one to three, a ring BLOCKS blocks; UNTIL lines are
   written. Digit i of `sizes`, to the base of three, says how many lines each PERIOD-th record from i on has.

   Every line has two places: its first word, which is the stamp if a record starts there and payload if one goes on
   there, and one word for the rest of a head. Payload that lies where a stamp may be looked for is as bad as can be: it
   is the stamp that this line will need one lap later. */

#ifndef BLOCKS
#define BLOCKS 4
#endif
#ifndef UNTIL
#define UNTIL 24
#endif
#ifndef PERIOD
#define PERIOD 3
#define PATTERNS 27
#endif

#define BLOCK 4
#define LINES (BLOCKS * BLOCK)
#define PLACES (2 + BLOCKS + 2 * LINES)
#define CLAIMED 0
#define TAIL 1
#define FIRST(block) (2 + (block) % BLOCKS)
#define WORD(line) (2 + BLOCKS + (line) % LINES)
#define HEAD(line) (2 + BLOCKS + LINES + (line) % LINES)
/* FF_ZERO_LEAST and FF_ZERO_MOST: the first word of so many lines, and one more, is zeroed ahead. */
#ifndef ZERO_LEAST
#define ZERO_LEAST 1
#define ZERO_MOST 2
#endif

/* A stamp is looked at again only to find nothing new; without coherence there the model allows more, not less. */
#define COHERENT(place) ((place) < 2)

#define LENGTH(lines) ((lines) * 64) /* 0 is padding */
#define LENGTH_OF(head) ((head) / 64)
#define IS(position) ((position) + 1)
#define NEXT_LAP(position) STAMP((position) + LINES)

/* Each of these takes a safeguard out; the check must then find an error. */
#ifdef STAMP_WITHOUT_LAP
#define STAMP(position) IS((position) % LINES)
#else
#define STAMP(position) IS(position)
#endif
#ifdef NO_SEEK_VALIDATION
#define HELD(position) true
#else
#define HELD(position) VALID(position)
#endif
#ifdef NO_VALIDATION
#define VALID(position) true
#else
#define VALID(position) ((position) + LINES >= word)
#endif
#ifdef NO_CHECK_FENCE
#define CHECK_FENCE skip
#else
#define CHECK_FENCE fence_acquire()
#endif
#ifdef NO_PEEK_ACQUIRE
#define PEEK 0
#else
#define PEEK 1
#endif
#ifdef NO_TAIL_ACQUIRE
#define JOIN 0
#else
#define JOIN 1
#endif
#ifdef NO_TAIL_RELEASE
#define put_tail(value) put(TAIL, value)
#else
#define put_tail(value) put_release(TAIL, value)
#endif
#ifdef NO_COMMIT_RELEASE
#define put_stamp(position) put(WORD(position), STAMP(position))
#else
#define put_stamp(position) put_release(WORD(position), STAMP(position))
#endif
#ifdef HEAD_UNCLAIMED
#define FULL(end) ((end) > limit)
#else
#define FULL(end) ((end) >= limit)
#endif

/* Not every record is followed by a flush. */
#define FLUSH(count) ((count) % 2 == 0)

#define PADDING 4

#include "view.pml"

/* What was written: for each position, what starts there and how many records came before; the store that commits. */
hidden byte starts[64];     /* 0 nothing, 1 to 3 a record of that many lines, PADDING */
hidden byte before[64];
hidden byte commits[64];

hidden byte position;
hidden byte limit;
hidden byte written;
hidden byte lines;
hidden byte next_block;
hidden byte zeroed;         /* the first words from `position` up to here are 0 */
hidden byte until;
hidden byte late;           /* with CLAIM_LATE: `claimed` has yet to be stored */

hidden byte pattern[PERIOD];
byte sizes;

inline write_next_block()
{
    next_block = limit;
    limit = limit + BLOCK;
#ifndef CLAIM_LATE
    put(CLAIMED, limit);
#endif
#ifndef NO_CLAIM_FENCE
    fence_release();
#endif
    put(FIRST(next_block / BLOCK), written);
#ifndef NO_ZERO_BLOCK
    put(WORD(next_block), 0);
#endif
    zeroed = next_block + 1;
    put(HEAD(position), IS(position) + LENGTH(0));
    put_stamp(position);
    starts[position] = PADDING;
    commits[position] = length_of_history - 1;
    position = next_block;
    put_tail(position);
#ifdef CLAIM_LATE
    late = 1;
#endif
}

/* The head and what follows, in any order: nothing but the stamp commits it. */
inline write_record()
{
    put(HEAD(position), IS(position) + LENGTH(lines));
    until = 1;
    do
    :: until < lines -> put(WORD(position + until), NEXT_LAP(position + until)); until++
    :: else -> break
    od
}

/* ff_ring_commit, but for its last line. */
inline write_commit()
{
    next_block = 0;
    if
    :: position + lines >= zeroed ->
#ifdef ZERO_LATE
        next_block = 1;
#else
#if !defined(NO_ZERO_AHEAD) && !defined(NO_ZERO_BEHIND_LONG)
        put(WORD(position + lines), 0);
#endif
#endif
#ifndef ZEROED_STAYS
        zeroed = position + lines + 1
#endif
    :: else
    fi;
    put_stamp(position);
    starts[position] = lines;
    before[position] = written;
    commits[position] = length_of_history - 1;
    if :: next_block -> put(WORD(position + lines), 0) :: else fi;
    position = position + lines;
    written++
}

/* ff_ring_zero_ahead */
inline write_zeros()
{
    until = position + (lines < ZERO_LEAST -> ZERO_LEAST : (lines > ZERO_MOST -> ZERO_MOST : lines)) + 1;
#ifndef ZERO_UNCLAIMED
    if :: until > limit -> until = limit :: else fi;
#endif
    do
    :: zeroed < until ->
#ifndef NO_ZERO_AHEAD
        put(WORD(zeroed), 0);
#endif
        zeroed++
    :: else -> break
    od
}

inline write_history()
{
    d_step {
        length_of_history = 0;
        fence = 0;
        do
        :: length_of_history < PLACES ->
            at[length_of_history] = length_of_history; is[length_of_history] = 0; view[length_of_history] = 0;
            length_of_history++
        :: else -> break
        od;
        is[CLAIMED] = BLOCK;
        fence = PLACES - 1;
        known = PLACES - 1;
        position = 0;
        limit = BLOCK;
        scratch = 0;
        do
        :: scratch < 64 -> starts[scratch] = 0; before[scratch] = 0; commits[scratch] = 0; scratch++
        :: else -> break
        od;
        written = 0;
        zeroed = 0;
        until = sizes;
        scratch = 0;
        do
        :: scratch < PERIOD -> pattern[scratch] = 1 + until % 3; until = until / 3; scratch++
        :: else -> break
        od;
        do
        :: position < UNTIL ->
            lines = pattern[written % PERIOD];
            if
            :: FULL(position + lines) -> write_next_block()
            :: else
            fi;
            write_record();
#ifdef CLAIM_LATE
            if :: late -> put(CLAIMED, limit); fence_release(); late = 0 :: else fi;
#endif
            write_commit();
            write_zeros();
            if :: FLUSH(written) -> put_tail(position) :: else fi
        :: else -> break
        od;
        put_tail(position);
        length_of_history--
    }
}

/* The reader. */
byte place;         /* position of the next record to read */
byte count;         /* records before it, those that were lost among them */
byte word;
byte head;
byte wanted;
bit whole;          /* every line after the first is the record's */
bit dead;           /* the producer is; what it wrote has arrived */
bit found;

/* ff_ring_seek_block */
inline seek_block(position_in_it)
{
    wanted = (position_in_it) - (position_in_it) % BLOCK;
    found = 0;
    load(TAIL, word, JOIN);
    if
    :: wanted <= word ->
        load(FIRST(wanted / BLOCK), head, 0);
        CHECK_FENCE;
        load(CLAIMED, word, 0);
        d_step { if :: HELD(wanted) -> assert(before[wanted] == head); place = wanted; count = head; found = 1 :: else fi }
    :: else
    fi;
    d_step { word = 0; head = 0; wanted = 0 }
}

/* Padding: step over it. Nothing may be accepted that was not written there. */
inline accept_padding()
{
    assert(starts[place] == PADDING);
    place = place + BLOCK - place % BLOCK
}

inline accept_record()
{
    assert(starts[place] > 0 && starts[place] < PADDING);
    assert(before[place] == count);
    assert(head == IS(place) + LENGTH(starts[place]));
    assert(whole);
    place = place + starts[place];
    count++
}

/* ff_ring_peek, the copy, ff_ring_valid, ff_ring_advance */
mtype = {EMPTY, LAPPED, READ};
mtype outcome = EMPTY;

inline read()
{
    load(WORD(place), word, PEEK);
    if
    :: word != STAMP(place) ->
        load(CLAIMED, word, 1);
        if :: place + LINES >= word -> outcome = EMPTY :: else -> outcome = LAPPED fi
    :: else ->
        load(HEAD(place), head, 0);
        whole = 1;
        if
        :: LENGTH_OF(head) > 1 && place % BLOCK < BLOCK - 1 ->
            load(WORD(place + 1), word, 0);
            whole = (word == NEXT_LAP(place + 1));
            if
            :: LENGTH_OF(head) > 2 && place % BLOCK < BLOCK - 2 ->
                load(WORD(place + 2), word, 0);
                whole = whole && (word == NEXT_LAP(place + 2))
            :: else
            fi
        :: else
        fi;
        CHECK_FENCE;
        load(CLAIMED, word, 0);
        d_step {
            if
            :: !VALID(place) -> outcome = LAPPED
            :: else ->
                if :: LENGTH_OF(head) == 0 -> accept_padding() :: else -> accept_record() fi;
                outcome = READ
            fi
        }
    fi;
    d_step { head = 0; word = 0; whole = 0 }
}

/* ff_ring_recover. Every try that fails has been overtaken by half of the ring; with the producer at rest none does. */
inline recover()
{
    do
    :: load(CLAIMED, word, 1);
        seek_block(word - LINES / 2);
        assert(found || !dead);
        if :: found -> break :: else fi
    od
}

/* ff_ring_seek_oldest */
inline seek_oldest()
{
    do
    :: load(CLAIMED, word, 1);
        seek_block((word > LINES -> word - LINES + BLOCK : 0));
        if :: found -> break :: else fi
    od
}

/* ff_ring_seek: to the start of the block that holds `goal`, and from there over its records. */
byte goal;

inline seek()
{
    seek_block(goal);
    do
    :: found && place < goal ->
        read();
        /* What lies before a tail that was seen has been committed. */
        assert(outcome != EMPTY || !to_tail);
        if :: outcome != READ -> found = 0 :: else fi
    :: else -> break
    od
}

/* ff_ring_seek_tail, or a reader that comes back to a position that it kept, wherever the producer is by now: it stands
   there, or hears that no record starts there, or that the ring does not hold it; then it takes the oldest. */
bit to_tail;

inline join()
{
    do
    :: if
        :: to_tail -> load(TAIL, goal, 1)
        :: else
        fi;
        seek();
        if
        :: found && place == goal -> break
        :: else ->
            if
            :: to_tail -> assert(!found)
            :: else -> assert(!found || starts[goal] == 0); found = 0; break
            fi
        fi
    od;
    if :: !found -> seek_oldest() :: else fi;
    skip;
    d_step { goal = 0; to_tail = 0 }
}

init {
    select(sizes : 0 .. PATTERNS - 1);
    write_history();
    last = length_of_history;
    /* A reader that was there from the start, or one that joins. */
    if
    :: true
    :: seek_oldest()
    :: if :: to_tail = 1 :: select(goal : 0 .. UNTIL) fi;
        join()
    fi;
    do
    :: read();
        if
        :: outcome == LAPPED -> recover()
        :: outcome == EMPTY && dead -> break
        :: else
        fi;
        /* The writer dies while the reader waits: whatever the reader was at before, it comes to this. */
        if
        :: outcome == EMPTY && !dead ->
#ifdef ALIVE
            /* With two blocks a dead writer may have claimed the very block that a lapped reader goes on in. */
            known = last;
#else
            kill_writer();
#endif
            dead = 1
        :: true
        fi
    od;
    skip;
    d_step {
        /* All that was committed has been read or counted as lost, and nothing else. */
        scratch = 0;
        head = 0;
        do
        :: scratch < 64 ->
            if
            :: starts[scratch] > 0 && starts[scratch] < PADDING && commits[scratch] <= last -> head++
            :: else
            fi;
            scratch++
        :: else -> break
        od;
        assert(count == head)
    }
}
