/* SPDX-License-Identifier: MIT
   Weakly ordered memory between one writer and one reader, as C11 has it for stores, loads and fences.

   The writer reads nothing of the reader's, so all of its stores are laid down first, in the order of its program: store
   number i goes to place at[i] with value is[i]. What a later acquire learns from it is view[i]: all stores up to that
   number. That is i itself for a release store, and the number of the last release fence for a relaxed one.

   A load may then return any store to its place that is not older than what the reader is known to have seen: `known`
   (all stores up to that number, by acquire) and `seen` (the newest store read from this place: coherence). Old values
   are stores that are still in the writer's buffer or loads that were done early; there is no other difference between
   machines in this model, so it holds for each of them. `pending` is what an acquire fence will make known. A choice
   of a future store is not a guess: it says that the writer has come that far by then.

   The history is rebuilt whenever its inputs are chosen anew, and is the same for all states behind that choice:
   it is hidden from the state vector. */

hidden byte at[256];
hidden byte is[256];
hidden byte view[256];
hidden byte length_of_history;
hidden byte fence;      /* number of the last store before the last release fence */
hidden byte scratch;

byte last;              /* the last store of the writer */
byte known;
byte pending;
byte seen[PLACES];

/* The writer's side; called within one step. */
inline put(spot, what)
{
    at[length_of_history] = spot; is[length_of_history] = what; view[length_of_history] = fence;
    length_of_history++
}

inline put_release(spot, what)
{
    at[length_of_history] = spot; is[length_of_history] = what; view[length_of_history] = length_of_history;
    length_of_history++
}

inline fence_release()
{
    fence = length_of_history - 1
}

/* The reader's side. */
inline newest(spot, upto)
{
    scratch = upto;
    do
    :: at[scratch] == spot -> break
    :: else -> scratch--
    od
}

byte pick;
byte newer;

/* The next newer store to a place, 0 if there is none. */
inline find_newer(spot)
{
    scratch = pick + 1;
    do
    :: scratch <= last && at[scratch] != spot -> scratch++
    :: else -> break
    od;
    newer = (scratch <= last -> scratch : 0)
}

inline load(spot, out, acquire)
{
    atomic {
        d_step {
            newest(spot, known);
            pick = scratch;
            if :: pick < seen[spot] -> pick = seen[spot] :: else fi;
            find_newer(spot)
        }
        do
        :: newer > 0 -> d_step { pick = newer; find_newer(spot) }
        :: break
        od;
        skip; /* a loop may not end at the head of a d_step */
        d_step {
            out = is[pick];
            if :: COHERENT(spot) -> seen[spot] = pick :: else fi;
            if :: view[pick] > pending -> pending = view[pick] :: else fi;
            if :: acquire && view[pick] > known -> known = view[pick] :: else fi;
            pick = 0;
            newer = 0
        }
    }
}

inline fence_acquire()
{
    d_step { if :: pending > known -> known = pending :: else fi }
}

/* Kill the writer behind any store that it may have come to, by what the reader knows; all that it wrote arrives. */
inline kill_writer()
{
    d_step {
        pick = known;
        scratch = 0;
        do
        :: scratch < PLACES ->
            if :: seen[scratch] > pick -> pick = seen[scratch] :: else fi;
            seen[scratch] = 0;
            scratch++
        :: else -> break
        od;
        pending = 0
    }
    do
    :: pick < last -> pick++
    :: break
    od;
    skip;
    d_step {
        last = pick;
        known = pick;
        pick = 0
    }
}
