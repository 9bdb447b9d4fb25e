/* SPDX-License-Identifier: MIT
   The broadcast ring of fastfeed_core/ring.h: see README.md for what is checked and how to run it.

   Positions count cache lines. A block has four lines, a record one or two, a ring BLOCKS blocks. Bit i of `sizes` says
   that each PERIOD-th record from i on has two lines. Every line has two places: the word that is the stamp if a record starts there, and one
   word for all else. A word of payload that lies where a stamp may be looked for is as bad as can be: it is the stamp
   that this line will need one lap later. */

#ifndef BLOCKS
#define BLOCKS 4
#endif
#ifndef RECORDS
#define RECORDS 14
#endif
#ifndef PERIOD
#define PERIOD 4
#endif

#define BLOCK 4
#define LINES (BLOCKS * BLOCK)
#define PLACES (2 + BLOCKS + 2 * LINES)
#define CLAIMED 0
#define TAIL 1
#define FIRST(block) (2 + (block) % BLOCKS)
#define STAMP(line) (2 + BLOCKS + (line) % LINES)
#define BODY(line) (2 + BLOCKS + LINES + (line) % LINES)
/* A stamp is looked at again only to find nothing new; without coherence there the model allows more, not less. */
#define COHERENT(place) ((place) < 2)

#define TWO 64
#define PAD 128
#define IS(position) ((position) + 1)

/* Each of these takes a safeguard out; the check must then find an error. */
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
#define put_stamp(position) put(STAMP(position), IS(position))
#else
#define put_stamp(position) put_release(STAMP(position), IS(position))
#endif
#ifdef HEAD_UNCLAIMED
#define FULL(end) ((end) > limit)
#else
#define FULL(end) ((end) >= limit)
#endif

/* Not every record is followed by a flush. */
#define FLUSH(count) ((count) % 2 == 0)

#include "view.pml"

/* What was written: for each position, what starts there and how many records came before; the store that commits. */
hidden byte starts[64];     /* 0 nothing, 1 or 2 a record of that many lines, 3 padding */
hidden byte before[64];
hidden byte commits[64];

hidden byte position;
hidden byte limit;
hidden byte written;
hidden byte lines;
hidden byte next_block;
hidden byte late;           /* with CLAIM_LATE: `claimed` has yet to be stored */

short sizes;

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
    put(STAMP(next_block), 0);
    put(BODY(position), PAD);
    put_stamp(position);
    starts[position] = 3;
    commits[position] = length_of_history - 1;
    position = next_block;
    put_tail(position);
#ifdef CLAIM_LATE
    late = 1;
#endif
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
        do
        :: written < RECORDS ->
            lines = 1 + ((sizes >> (written % PERIOD)) & 1);
            if
            :: FULL(position + lines) -> write_next_block()
            :: else
            fi;
            put(BODY(position), IS(position) + (lines == 2 -> TWO : 0));
            if
            :: lines == 2 ->
                put(STAMP(position + 1), IS(position + 1 + LINES));
                put(BODY(position + 1), IS(position) + TWO)
            :: else
            fi;
#ifdef CLAIM_LATE
            if :: late -> put(CLAIMED, limit); fence_release(); late = 0 :: else fi;
#endif
#ifndef NO_ZERO_AHEAD
            put(STAMP(position + lines), 0);
#endif
            put_stamp(position);
            starts[position] = lines;
            before[position] = written;
            commits[position] = length_of_history - 1;
            position = position + lines;
            written++;
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
byte stamp;
byte body;
byte more;
byte target;
byte first;
bit dead;           /* the producer is; what it wrote has arrived */
bit found;

/* ff_ring_seek_block */
inline seek_block(wanted)
{
    target = (wanted) - (wanted) % BLOCK;
    found = 0;
    load(TAIL, word, JOIN);
    if
    :: target <= word ->
        load(FIRST(target / BLOCK), first, 0);
        CHECK_FENCE;
        load(CLAIMED, word, 0);
        if :: VALID(target) -> place = target; count = first; found = 1 :: else fi
    :: else
    fi;
    word = 0; first = 0; target = 0
}

/* Padding: step over it. Nothing may be accepted that was not written there. */
inline accept_padding()
{
    assert(starts[place] == 3);
    place = place + BLOCK - place % BLOCK
}

inline accept_record()
{
    assert(starts[place] == 1 || starts[place] == 2);
    assert(before[place] == count);
    assert(body == IS(place) + (starts[place] == 2 -> TWO : 0));
    assert(starts[place] == 1 || more == body);
    place = place + starts[place];
    count++
}

/* ff_ring_peek, the copy, ff_ring_valid, ff_ring_advance */
mtype = {EMPTY, LAPPED, READ};
mtype outcome = EMPTY;

inline read()
{
    load(STAMP(place), stamp, PEEK);
    if
    :: stamp != IS(place) ->
        load(CLAIMED, word, 1);
        if :: place + LINES >= word -> outcome = EMPTY :: else -> outcome = LAPPED fi
    :: else ->
        load(BODY(place), body, 0);
        more = 0;
        if
        :: !(body & PAD) && (body & TWO) && place % BLOCK < BLOCK - 1 -> load(BODY(place + 1), more, 0)
        :: else
        fi;
        CHECK_FENCE;
        load(CLAIMED, word, 0);
        d_step {
            if
            :: !VALID(place) -> outcome = LAPPED
            :: else ->
                if :: body & PAD -> accept_padding() :: else -> accept_record() fi;
                outcome = READ
            fi
        }
    fi;
    d_step { stamp = 0; body = 0; more = 0; word = 0 }
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

/* ff_ring_seek_tail: to the start of the tail's block, and from there over its records. */
byte wanted;

inline seek_tail()
{
    do
    :: load(TAIL, word, 1);
        wanted = word;
        seek_block(wanted);
        do
        :: found && place < wanted ->
            read();
            /* What lies before a tail that was seen has been committed. */
            assert(outcome != EMPTY);
            if :: outcome == LAPPED -> found = 0 :: else fi
        :: else -> break
        od;
        if :: found -> assert(place == wanted); break :: else fi
    od;
    wanted = 0
}

init {
    select(sizes : 0 .. (1 << PERIOD) - 1);
    write_history();
    last = length_of_history;
    /* A reader that was there from the start, or one that joins. */
    if
    :: true
    :: seek_oldest()
    :: seek_tail()
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
        first = 0;
        do
        :: scratch < 64 ->
            if
            :: starts[scratch] > 0 && starts[scratch] < 3 && commits[scratch] <= last -> first++
            :: else
            fi;
            scratch++
        :: else -> break
        od;
        assert(count == first)
    }
}
