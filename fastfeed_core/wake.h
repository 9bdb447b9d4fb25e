/* SPDX-License-Identifier: MIT
   Clocks, and sleeping until a word changes: futex on Linux, short sleeps elsewhere. */
#ifndef FASTFEED_WAKE_H
#define FASTFEED_WAKE_H

#include <stdint.h>
#include <time.h>

#ifdef __linux__
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

static inline int64_t ff_realtime(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline int64_t ff_monotonic(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* The producer's side, after its records are committed: wake everybody if anybody said that he sleeps.
   Returns 1 if a system call was made. */
static inline int ff_wake(uint32_t *word, uint32_t *sleepers)
{
    /* Full fence: the commits before it and the load behind it must not swap (Dekker). Pairs with the one in
       ff_prepare_sleep; without it a reader could go to sleep on a record that it missed. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (__builtin_expect(__atomic_load_n(sleepers, __ATOMIC_RELAXED) == 0, 1))
        return 0;
    __atomic_store_n(sleepers, 0, __ATOMIC_RELAXED);
    /* Release: a reader that sees the new word sets the flag again after it was cleared, so that it is not lost.
       Pairs with the acquire in ff_prepare_sleep. */
    __atomic_fetch_add(word, 1, __ATOMIC_RELEASE);
#ifdef __linux__
    syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, 0, 0, 0);
#endif
    return 1;
}

/* A reader announces that it is about to sleep and must poll once more after this; the result goes to ff_sleep. */
static inline uint32_t ff_prepare_sleep(const uint32_t *word, uint32_t *sleepers)
{
    uint32_t seen = __atomic_load_n(word, __ATOMIC_ACQUIRE);
    __atomic_store_n(sleepers, 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* pairs with the one in ff_wake */
    return seen;
}

static inline void ff_sleep(const uint32_t *word, uint32_t seen, int64_t timeout_ns)
{
#ifdef __linux__
    struct timespec t = {timeout_ns / 1000000000, timeout_ns % 1000000000};
    syscall(SYS_futex, word, FUTEX_WAIT, seen, &t, 0, 0);
#else
    struct timespec t = {0, timeout_ns < 500000 ? timeout_ns : 500000};
    (void)seen;
    nanosleep(&t, 0);
#endif
}

#endif
