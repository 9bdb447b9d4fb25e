/* SPDX-License-Identifier: MIT
   Clocks, and sleeping until a word changes: futex on Linux, short sleeps elsewhere.

   The word lies in the data file, which readers cannot write. The flag by which they ask to be woken is the bell: a
   System V segment and not a file, because whoever may write a file may also cut it short, and the feed's next look at
   its mapping would be the feed's end (SIGBUS). A segment keeps its size for life. It is marked for removal as soon as
   it is made: its id, in the header of the data file, leads to it for as long as anybody is attached, and the kernel
   takes it back after the last one, however they ended. */
#ifndef FASTFEED_WAKE_H
#define FASTFEED_WAKE_H

#include <stdint.h>
#include <time.h>

#ifdef __linux__
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

static inline int64_t ff_clock(clockid_t which)
{
    struct timespec t;
    clock_gettime(which, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline int64_t ff_realtime(void) { return ff_clock(CLOCK_REALTIME); }

static inline int64_t ff_monotonic(void) { return ff_clock(CLOCK_MONOTONIC); }

/* The same clock as of the last tick of the kernel, 1 to 10 ms ago: a fifth of the price, for what needs no more. */
static inline int64_t ff_monotonic_coarse(void)
{
#ifdef CLOCK_MONOTONIC_COARSE
    return ff_clock(CLOCK_MONOTONIC_COARSE);
#else
    return ff_clock(CLOCK_MONOTONIC);
#endif
}

/* Tests build without the fence, to show that they would see what it prevents. */
#ifdef FF_NO_WAKE_FENCE
#define ff_wake_fence() __atomic_signal_fence(__ATOMIC_SEQ_CST)
#else
#define ff_wake_fence() __atomic_thread_fence(__ATOMIC_SEQ_CST)
#endif

/* The producer's side, after its records are committed: wake everybody if anybody said that he sleeps.
   Returns 1 if a system call was made. */
static inline int ff_wake(uint32_t *word, uint32_t *sleepers)
{
    /* Full fence: the commits before it and the load behind it must not swap (Dekker). Pairs with the one in
       ff_prepare_sleep; without it a reader could go to sleep on a record that it missed. */
    ff_wake_fence();
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
    ff_wake_fence(); /* pairs with the one in ff_wake */
    return seen;
}

/* Sleep while the word is `seen`, until the time is up, a signal comes, or ff_interrupt has a bit of `mask`; returns 1
   after a signal. */
static inline int ff_sleep_as(const uint32_t *word, uint32_t seen, int64_t timeout_ns, uint32_t mask)
{
#ifdef __linux__
    int64_t until = ff_monotonic() + timeout_ns;
    struct timespec t = {until / 1000000000, until % 1000000000};
    return syscall(SYS_futex, word, FUTEX_WAIT_BITSET, seen, &t, 0, mask) == -1 && errno == EINTR;
#else
    struct timespec t = {0, timeout_ns < 500000 ? timeout_ns : 500000};
    (void)word;
    (void)seen;
    (void)mask;
    return nanosleep(&t, 0) == -1;
#endif
}

static inline void ff_sleep(const uint32_t *word, uint32_t seen, int64_t timeout_ns)
{
    ff_sleep_as(word, seen, timeout_ns, 0xFFFFFFFF);
}

/* Wake those sleepers, in this or another process, whose mask has a bit of this one; they look, and sleep on. */
static inline void ff_interrupt(const uint32_t *word, uint32_t mask)
{
#ifdef __linux__
    syscall(SYS_futex, word, FUTEX_WAKE_BITSET, INT_MAX, 0, 0, mask);
#else
    (void)word;
    (void)mask;
#endif
}

typedef struct {
    uint32_t sleepers; /* not 0: somebody may sleep. Anybody with access to the bus may write anything here */
    uint32_t _pad[31];
    uint64_t generation; /* ids belong to an IPC namespace and are used again: this tells whose segment it is */
} ff_bell;

/* Make the bell for this user, or (`group` >= 0) for a group as well. NULL without System V memory: then nobody can be
   woken, and blocking readers look every millisecond. */
static inline ff_bell *ff_bell_create(int64_t group, uint64_t generation, int64_t *id)
{
#ifdef __linux__
    int key = shmget(IPC_PRIVATE, sizeof(ff_bell), IPC_CREAT | 0600);
    ff_bell *bell = key < 0 ? (ff_bell *)-1 : (ff_bell *)shmat(key, 0, 0);
    struct shmid_ds about;
    *id = -1;
    if (key < 0)
        return 0;
    if (bell != (ff_bell *)-1 && group >= 0 && shmctl(key, IPC_STAT, &about) == 0) {
        about.shm_perm.gid = (gid_t)group;
        about.shm_perm.mode = 0660;
        shmctl(key, IPC_SET, &about);
    }
    shmctl(key, IPC_RMID, 0);
    if (bell == (ff_bell *)-1)
        return 0;
    bell->generation = generation; /* takes the page now */
    *id = key;
    return bell;
#else
    (void)group;
    (void)generation;
    *id = -1;
    return 0;
#endif
}

/* NULL if it cannot be reached from here (another IPC namespace, no permission) or is another one. */
static inline ff_bell *ff_bell_attach(int64_t id, uint64_t generation)
{
#ifdef __linux__
    ff_bell *bell = id < 0 || id > INT_MAX ? (ff_bell *)-1 : (ff_bell *)shmat((int)id, 0, 0);
    if (bell == (ff_bell *)-1)
        return 0;
    if (bell->generation == generation)
        return bell;
    shmdt(bell);
#else
    (void)id;
    (void)generation;
#endif
    return 0;
}

static inline void ff_bell_detach(ff_bell *bell)
{
#ifdef __linux__
    if (bell)
        shmdt(bell);
#else
    (void)bell;
#endif
}

#endif
