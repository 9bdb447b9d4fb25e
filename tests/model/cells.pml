/* SPDX-License-Identifier: MIT
   Tops with a position: the words `cells_next` and `cells` around the cells of fastfeed_core/ring.h, as publisher_flush
   writes them and TopReader and TopSet of fastfeed_core/top.pyx read them. See README.md.

   Two instruments, FLUSHES flushes; a choice says which instruments each flush changes, and behind which the second one
   is prepared: its first cell, an empty book, stands outside of any flush. The position behind the records of flush f is
   f, and a cell's levels are the number of the flush that changed them last. Whatever a reader gets is right if its
   levels are those of its position: every record before it is in them, none behind it. There the ring can be read on
   from, so that no position may lie beyond the tail. Torn copies are the subject of cell.pml. */

#ifndef FLUSHES
#define FLUSHES 2
#endif
#ifndef READS
#define READS 2
#endif

#define PLACES 13
#define TAIL 0
#define NEXT 1
#define CELLS 2
#define VERSION(book) (3 + (book))
#define AS_OF(book, slot) (5 + 2 * (book) + (slot) % 2)
#define LEVELS(book, slot) (9 + 2 * (book) + (slot) % 2)
#define COHERENT(place) ((place) < 5)

/* Each of these takes a safeguard out; the check must then find an error. */
#ifdef NO_CELLS_RELEASE
#define put_cells(value) put(CELLS, value)
#else
#define put_cells(value) put_release(CELLS, value)
#endif
#ifdef NO_COMMIT_RELEASE
#define put_version(book, value) put(VERSION(book), value)
#else
#define put_version(book, value) put_release(VERSION(book), value)
#endif
#ifdef NO_CELLS_ACQUIRE
#define LOOK 0
#else
#define LOOK 1
#endif
#ifdef NO_READ_ACQUIRE
#define READ 0
#else
#define READ 1
#endif
#ifdef NO_CHECK_FENCE
#define CHECK_FENCE skip
#else
#define CHECK_FENCE fence_acquire()
#endif
#ifdef NO_QUIET
#define QUIET true
#else
#define QUIET (next == cells)
#endif
#ifdef NO_SAME
#define SAME(seen_before) true
#else
#define SAME(seen_before) (word == seen_before)
#endif
#ifdef CELLS_ALONE
#define LATER(one, other) (other)
#else
#define LATER(one, other) ((one) > (other) -> (one) : (other))
#endif

#include "view.pml"

/* Levels of each book as of each position. */
hidden byte first_book[FLUSHES + 1];
hidden byte second_book[FLUSHES + 1];

hidden byte flush;
hidden byte levels[2];
hidden byte versions[2];

/* Bits 2f and 2f + 1: flush f + 1 changes the first, the second book. */
byte changes;
byte prepared;      /* flush behind which the second book gets its first cell */

inline write_cell(book)
{
    put_release(VERSION(book), versions[book] + 1);
    fence_release();
    put(AS_OF(book, versions[book] / 2 + 1), flush);
    put(LEVELS(book, versions[book] / 2 + 1), levels[book]);
    versions[book] = versions[book] + 2;
    put_version(book, versions[book])
}

inline write_flush()
{
    if :: (changes >> (2 * flush - 2)) & 1 -> levels[0] = flush :: else fi;
    if :: flush > prepared && ((changes >> (2 * flush - 1)) & 1) -> levels[1] = flush :: else fi;
    first_book[flush] = levels[0];
    second_book[flush] = levels[1];
#ifndef TAIL_LATE
    put_release(TAIL, flush);
#endif
#ifndef NEXT_LATE
    put(NEXT, flush);
#endif
#ifdef CELLS_EARLY
    put_cells(flush);
#endif
    if :: levels[0] == flush -> write_cell(0) :: else fi;
    if :: levels[1] == flush -> write_cell(1) :: else fi;
#ifdef NEXT_LATE
    put(NEXT, flush);
#endif
#ifndef CELLS_EARLY
    put_cells(flush);
#endif
#ifdef TAIL_LATE
    put_release(TAIL, flush);
#endif
}

inline write_history()
{
    d_step {
        length_of_history = 0;
        do
        :: length_of_history < PLACES ->
            at[length_of_history] = length_of_history; is[length_of_history] = 0; view[length_of_history] = 0;
            length_of_history++
        :: else -> break
        od;
        fence = PLACES - 1;
        known = PLACES - 1;
        flush = 0;
        levels[0] = 0;
        levels[1] = 0;
        versions[0] = 0;
        versions[1] = 0;
        do
        :: flush <= FLUSHES ->
            if :: flush > 0 -> write_flush() :: else fi;
            if :: flush == prepared -> write_cell(1) :: else fi;
            flush++
        :: else -> break
        od;
        last = length_of_history - 1
    }
}

/* The reader. */
byte cells;
byte next;
byte now[2];
byte word;
byte as_of;
byte got[2];
byte position;
byte latest[2];     /* positions of the last copies */
byte reads;
bit good;
bit dead;

inline accept(book)
{
    d_step {
        assert(got[book] == (book == 0 -> first_book[position] : second_book[position]));
        assert(position >= latest[book]);
        latest[book] = position
    }
}

/* TopReader.read_cell */
inline read_one(book)
{
#ifndef CELLS_BEHIND
    load(CELLS, cells, LOOK);
#endif
    load(VERSION(book), now[book], READ);
    if
    :: now[book] < 2 -> good = 1 /* the row is there, its first cell is still to come */
    :: else ->
        load(AS_OF(book, now[book] / 2), as_of, 0);
        load(LEVELS(book, now[book] / 2), got[book], 0);
        CHECK_FENCE;
        load(VERSION(book), word, 0);
        good = (word < now[book] - now[book] % 2 + 3)
    fi;
#ifdef CELLS_BEHIND
    load(CELLS, cells, LOOK);
#endif
    position = LATER(as_of, cells);
    /* Nobody writes any more: the first copy is good. */
    assert(good || !dead);
    if :: good -> accept(book) :: else fi
}

/* TopSet, all as of one position. While a flush is being written there is none, with a dead writer never again. */
inline read_both()
{
#ifdef LOOK_FIRST
    load(CELLS, cells, LOOK);
    load(NEXT, next, 0);
#endif
    load(VERSION(0), now[0], READ);
    load(VERSION(1), now[1], READ);
#ifndef LOOK_FIRST
    load(CELLS, cells, LOOK);
    load(NEXT, next, 0);
#endif
    if
    :: QUIET ->
        load(LEVELS(0, now[0] / 2), got[0], 0);
        load(LEVELS(1, now[1] / 2), got[1], 0);
        CHECK_FENCE;
        load(VERSION(0), word, 0);
        good = SAME(now[0]);
        load(VERSION(1), word, 0);
        good = good && SAME(now[1]);
        position = cells;
        if :: good -> accept(0); accept(1) :: else fi
    :: else
    fi
}

init {
    select(changes : 0 .. (1 << (2 * FLUSHES)) - 1);
    select(prepared : 0 .. FLUSHES);
    write_history();
    do
    :: reads < READS ->
        if
        :: !dead -> kill_writer(); dead = 1
        :: true
        fi;
        good = 0;
        if
        :: read_one(0)
        :: read_one(1)
        :: read_both()
        fi;
        if
        :: good ->
            load(TAIL, word, 1);
            assert(word >= position)
        :: else
        fi;
        d_step {
            reads++;
            cells = 0; next = 0; now[0] = 0; now[1] = 0; word = 0; as_of = 0; got[0] = 0; got[1] = 0; position = 0
        }
    :: else -> break
    od
}
