/* SPDX-License-Identifier: MIT
   Sleeping and waking, fastfeed_core/wake.h: see README.md.

   One producer publishes RECORDS records with a flush after each; READERS readers sleep in the kernel whenever there is
   nothing to read, with no timeout: a wake-up that is lost shows as a reader that sleeps for ever beside a record.

   Both sides store and load, so stores are buffered here as they are made, one place in the buffer for each variable:
   they reach memory in any order, and a load may overtake all of them. A release store or a read-modify-write with
   release waits for the stores before it, a full fence for all. A read-modify-write acts on memory. Loads are not done
   early; the two that matter stand behind a full fence. The kernel compares the word and queues the sleeper in one step,
   under the lock that a wake takes, and both calls are full barriers. */

#ifndef READERS
#define READERS 2
#endif
#ifndef RECORDS
#define RECORDS 3
#endif

#define P READERS           /* the producer's buffer; reader i has buffer i */

byte record;                /* records committed, as the stamps say */
byte wake;                  /* the word that readers sleep on */
byte sleepers;              /* the flag in the readers' file */

/* What each has stored and memory does not have yet: value + 1, 0 for nothing. */
byte buffered_record;
byte buffered_sleepers[READERS + 1];

bit asleep[READERS];
byte taken[READERS];

inline drain(me)
{
    /* A full fence: everything of `me` is in memory. */
    (buffered_sleepers[me] == 0 && (me != P || buffered_record == 0))
}

inline store_sleepers(me, value)
{
    /* Two stores to one place keep their order: the earlier one must be out. */
    atomic { buffered_sleepers[me] == 0 -> buffered_sleepers[me] = value + 1 }
}

inline load_sleepers(me, value)
{
    value = (buffered_sleepers[me] > 0 -> buffered_sleepers[me] - 1 : sleepers)
}

/* Memory takes a buffered store at any time. */
#define take_sleepers(who) \
    atomic { buffered_sleepers[who] > 0 -> sleepers = buffered_sleepers[who] - 1; buffered_sleepers[who] = 0 }

active proctype memory()
{
end:
    do
    :: atomic { buffered_record > 0 -> record = buffered_record - 1; buffered_record = 0 }
    :: take_sleepers(P)
    :: take_sleepers(0)
#if READERS > 1
    :: take_sleepers(1)
#endif
#if READERS > 2
    :: take_sleepers(2)
#endif
    od
}

active proctype producer()
{
    byte n, flag, i;
    do
    :: n < RECORDS ->
        n++;
        /* Commit: a release store of the stamp. */
        atomic { buffered_record == 0 && buffered_sleepers[P] == 0 -> buffered_record = n + 1 }
        /* ff_wake */
#ifndef NO_WAKE_FENCE
        drain(P);
#endif
        load_sleepers(P, flag);
        if
        :: flag == 0
        :: else ->
            flag = 0;
#ifdef CLEAR_LATE
            wake++;
            i = 0;
            d_step { do :: i < READERS -> asleep[i] = 0; i++ :: else -> break od; i = 0 }
            store_sleepers(P, 0);
#else
            store_sleepers(P, 0);
#ifdef NO_WORD_RELEASE
            wake++;
#else
            atomic { buffered_sleepers[P] == 0 && buffered_record == 0 -> wake++ }
#endif
            /* FUTEX_WAKE, everybody. */
            drain(P);
            d_step { do :: i < READERS -> asleep[i] = 0; i++ :: else -> break od; i = 0 }
#endif
        fi
    :: else -> break
    od;
    drain(P)
}

proctype reader(byte me)
{
    byte before;
    do
    :: taken[me] == RECORDS -> break
    :: else ->
        if
        :: taken[me] < record -> taken[me]++
        :: else ->
            /* ff_prepare_sleep */
            before = wake;
            store_sleepers(me, 1);
#ifndef NO_SLEEP_FENCE
            drain(me);
#endif
            /* Look once more. */
#ifndef NO_SECOND_LOOK
            if
            :: taken[me] < record -> taken[me]++
            :: else ->
#else
            if
            :: true ->
#endif
                /* FUTEX_WAIT: the compare and the queue are one step. */
                drain(me);
#ifdef NO_COMPARE
                asleep[me] = 1;
#else
                d_step { if :: wake == before -> asleep[me] = 1 :: else fi }
#endif
                !asleep[me]
            fi
        fi
    od
}

init {
    byte i;
    atomic {
        do
        :: i < READERS -> run reader(i); i++
        :: else -> break
        od
    }
}

/* A reader that waits for ever is an invalid end state: spin reports it without being asked. */
