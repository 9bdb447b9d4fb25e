/* SPDX-License-Identifier: MIT
   A thread that publishes and one that sleeps, each trying to meet the other's most awkward moment.

   wake_race TRIES prints what it counted; `missed` are records that came while their reader slept, whose publisher saw
   no sleeper. A reader that was not woken in time only because its publisher was not running is none of these. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "ring.h"
#include "wake.h"

enum { CAPACITY = 1 << 16, PATIENCE_NS = 20000000 };

static struct {
    ff_ring_control control;
    char base[CAPACITY + 4096];
    uint32_t word __attribute__((aligned(128)));
    uint32_t sleepers __attribute__((aligned(128)));
    uint64_t taken __attribute__((aligned(128)));     /* records that the reader has */
    uint64_t published __attribute__((aligned(128))); /* records whose wake-up has been given, or found unnecessary */
    uint64_t given;                                   /* up */
} shared __attribute__((aligned(4096)));

static uint64_t tries;

static void pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu % (int)sysconf(_SC_NPROCESSORS_ONLN), &set);
    pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

static uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

static void *publish(void *unused)
{
    ff_ring_writer w;
    uint32_t random = 2463534242u;
    pin(0);
    ff_ring_init(&w, &shared.control, shared.base, CAPACITY, 1);
    __atomic_store_n(&shared.published, 1, __ATOMIC_RELEASE);
    for (uint64_t i = 0; i < tries; i++) {
        ff_head *head;
        /* Not before the reader has the last one: each record meets a reader that is about to find nothing. */
        while (__atomic_load_n(&shared.taken, __ATOMIC_ACQUIRE) < i)
            if (__atomic_load_n(&shared.given, __ATOMIC_RELAXED))
                return unused;
        /* One in 16 comes late enough for the reader to be asleep, the others while it is on its way. */
        for (uint32_t spin = next_random(&random) % 16 ? next_random(&random) % 128 : 20000; spin > 0; spin--)
            __asm__ __volatile__("");
        head = ff_ring_claim(&w, 64);
        ff_ring_commit(&w, head, 64, 1, 0);
        ff_wake(&shared.word, &shared.sleepers);
        __atomic_store_n(&shared.published, i + 2, __ATOMIC_RELEASE);
    }
    return unused;
}

int main(int argc, char **argv)
{
    ff_ring_reader r;
    pthread_t thread;
    uint64_t slept = 0, caught = 0, missed = 0;
    tries = argc > 1 ? strtoull(argv[1], 0, 10) : 20000;
    pthread_create(&thread, 0, publish, 0);
    while (__atomic_load_n(&shared.published, __ATOMIC_ACQUIRE) == 0)
        ;
    pin(1);
    ff_ring_attach(&r, &shared.control, shared.base, CAPACITY, 1);
    for (uint64_t i = 0; i < tries; i++) {
        const ff_head *head;
        int64_t length;
        while ((length = ff_ring_peek(&r, &head)) == FF_EMPTY) {
            uint32_t seen = ff_prepare_sleep(&shared.word, &shared.sleepers);
            int64_t before;
            if (ff_ring_peek(&r, &head) != FF_EMPTY) {
                caught++;
                continue;
            }
            before = ff_monotonic();
            ff_sleep_as(&shared.word, seen, PATIENCE_NS, 1);
            slept++;
            if (ff_monotonic() - before < PATIENCE_NS || ff_ring_peek(&r, &head) == FF_EMPTY)
                continue;
            /* The time was up, and the record is there: has its publisher been and gone without waking us? */
            while (__atomic_load_n(&shared.published, __ATOMIC_ACQUIRE) < i + 2)
                sched_yield();
            if (__atomic_load_n(&shared.word, __ATOMIC_ACQUIRE) == seen)
                missed++;
        }
        ff_ring_advance(&r, (uint64_t)length);
        __atomic_store_n(&shared.taken, i + 1, __ATOMIC_RELEASE);
#ifdef STOP_AT_FIRST
        if (missed) {
            __atomic_store_n(&shared.given, 1, __ATOMIC_RELAXED);
            break;
        }
#endif
    }
    pthread_join(thread, 0);
    printf("tries=%llu slept=%llu caught=%llu missed=%llu\n", (unsigned long long)tries, (unsigned long long)slept,
           (unsigned long long)caught, (unsigned long long)missed);
    return 0;
}
