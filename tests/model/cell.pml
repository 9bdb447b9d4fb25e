/* SPDX-License-Identifier: MIT
   The double-buffered cell of fastfeed_core/ring.h: see README.md.

   VERSIONS versions are written; each fills the two words of slot `version & 1` with its number. A reader must get two
   words of one version, one that was whole at some moment, and never an older one than the last that it got. When the
   writer is dead, wherever it died, the first try succeeds. */

#ifndef VERSIONS
#define VERSIONS 5
#endif

#define PLACES 5
#define VERSION 0
#define WORD(slot, i) (1 + 2 * (slot) + (i))
#define COHERENT(place) ((place) == VERSION)

/* Each of these takes a safeguard out; the check must then find an error. */
#ifdef NO_VALIDATION
#define VALID true
#else
#ifdef VALID_TOO_LONG
#define VALID (word < now - now % 2 + 4)
#else
#define VALID (word < now - now % 2 + 3)
#endif
#endif
#ifdef NO_CHECK_FENCE
#define CHECK_FENCE skip
#else
#define CHECK_FENCE fence_acquire()
#endif
#ifdef NO_READ_ACQUIRE
#define READ 0
#else
#define READ 1
#endif
#ifdef NO_COMMIT_RELEASE
#define put_version(value) put(VERSION, value)
#else
#define put_version(value) put_release(VERSION, value)
#endif
#ifdef MARK_RELAXED
#define put_mark(value) put(VERSION, value)
#else
#define put_mark(value) put_release(VERSION, value)
#endif
#ifdef ONE_SLOT
#define SLOT(version) 0
#else
#define SLOT(version) ((version) % 2)
#endif

#include "view.pml"

hidden byte version;

inline write_history()
{
    d_step {
        do
        :: length_of_history < PLACES ->
            at[length_of_history] = length_of_history; is[length_of_history] = 0; view[length_of_history] = 0;
            length_of_history++
        :: else -> break
        od;
        fence = PLACES - 1;
        known = PLACES - 1;
        version = 1;
        do
        :: version <= VERSIONS ->
#ifndef NO_MARK
            put_mark(2 * version - 1);
#endif
#ifndef NO_BEGIN_FENCE
            fence_release();
#endif
            put(WORD(SLOT(version), 0), version);
            put(WORD(SLOT(version), 1), version);
            put_version(2 * version);
            version++
        :: else -> break
        od;
        last = length_of_history - 1
    }
}

byte now;
byte word;
byte one;
byte two;
byte got;
byte reads;
bit dead;

init {
    write_history();
    do
    :: reads < 3 ->
        load(VERSION, now, READ);
        load(WORD(SLOT(now / 2), 0), one, 0);
        load(WORD(SLOT(now / 2), 1), two, 0);
        CHECK_FENCE;
        load(VERSION, word, 0);
        if
        :: VALID ->
            assert(one == two && one == now / 2);
            assert(one >= got);
            got = one;
            reads++
        :: else ->
            assert(!dead)
        fi;
        d_step { now = 0; word = 0; one = 0; two = 0 }
        if
        :: !dead -> kill_writer(); dead = 1
        :: true
        fi
    :: else -> break
    od
}
