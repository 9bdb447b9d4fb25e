/* SPDX-License-Identifier: MIT
   The ring and the cells of fastfeed_core as they are, and ways to take their safeguards out from outside.

   NO_FENCES     fences order the compiler alone
   WEAK_RELEASE  release stores are relaxed
   UNDER_TSAN    fences are told to ThreadSanitizer, which does not know them: what the pair of fences in a reader's
                 validation and in front of an overwrite says is that an accepted copy was finished before its bytes
                 changed. That is an edge from the reader's fence to the writer's, and that is all that it becomes. */
#ifndef STRESS_CORE_H
#define STRESS_CORE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ORDER_RELAXED 0
#define ORDER_ACQUIRE 2
#define ORDER_RELEASE 3

#ifdef UNDER_TSAN
static uint64_t stress_edge;
#ifdef NO_FENCES
#define STRESS_FENCE___ATOMIC_RELEASE ((void)0)
#define STRESS_FENCE___ATOMIC_ACQUIRE ((void)0)
#else
#define STRESS_FENCE___ATOMIC_RELEASE ((void)__atomic_load_n(&stress_edge, ORDER_ACQUIRE))
#define STRESS_FENCE___ATOMIC_ACQUIRE ((void)__atomic_fetch_add(&stress_edge, 1, ORDER_RELEASE))
#endif
#define STRESS_FENCE___ATOMIC_SEQ_CST ((void)stress_edge) /* of sleep and wake: not this program's subject */
#define __atomic_thread_fence(order) STRESS_FENCE_##order
#elif defined(NO_FENCES)
#define __atomic_thread_fence(order) __atomic_signal_fence(order)
#endif
#ifdef WEAK_RELEASE
#pragma push_macro("__ATOMIC_RELEASE")
#undef __ATOMIC_RELEASE
#define __ATOMIC_RELEASE ORDER_RELAXED
#endif

#include "ring.h"
#include "wake.h"

#ifdef WEAK_RELEASE
#pragma pop_macro("__ATOMIC_RELEASE")
#endif
#undef __atomic_thread_fence

static inline uint64_t stress_random(uint64_t *state)
{
    /* xorshift64*: any state but 0 */
    uint64_t x = *state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return x * 0x2545F4914F6CDD1DULL;
}

static inline uint64_t stress_mix(uint64_t a, uint64_t b)
{
    uint64_t x = (a + 1) * 0x9E3779B97F4A7C15ULL ^ (b + 1) * 0xC2B2AE3D27D4EB4FULL;
    x ^= x >> 29;
    return x * 0xBF58476D1CE4E5B9ULL;
}

/* Now and then, for a moment that may be long enough for the other side to go around the ring. */
static inline void stress_stall(uint64_t *random)
{
    uint64_t dice = stress_random(random);
    if (__builtin_expect((dice & 31) == 0, 0)) {
        int64_t until = ff_monotonic() + (int64_t)(dice >> 8 & 0xffff); /* at most 65 us */
        while (ff_monotonic() < until)
            ;
    }
}

/* A record's payload: the number of the record, its length, then words made of both, of the position and of the
   generation, to the last byte. */
static inline void stress_fill(char *at, uint64_t number, uint64_t position, uint64_t length, uint64_t generation)
{
    uint64_t size = length - sizeof(ff_head), i;
    uint64_t key = stress_mix(number, position) + generation;
    uint64_t word;
    memcpy(at, &number, 8);
    memcpy(at + 8, &length, 8);
    for (i = 16; i < size; i += 8) {
        word = stress_mix(key, i);
        memcpy(at + i, &word, size - i < 8 ? size - i : 8);
    }
}

/* Whether a copied record is the one of that number, position and generation, whole. */
static inline int stress_whole(const char *record, uint64_t length, uint64_t number, uint64_t position,
                               uint64_t generation)
{
    char expected[65536];
    const ff_head *head = (const ff_head *)record;
    if (length < sizeof(ff_head) + 16 || length > sizeof expected || head->length != length)
        return 0;
    if (head->seq != (uint32_t)number || head->kind != 1 + number % 200 || head->flags != (uint8_t)(number * 7))
        return 0;
    stress_fill(expected, number, position, length, generation);
    return memcmp(expected, record + sizeof(ff_head), length - sizeof(ff_head)) == 0;
}

/* A record in two steps: all but its commit, and that. */
static inline ff_head *stress_prepare(ff_ring_writer *ring, uint64_t length, uint64_t generation)
{
    ff_head *head = ff_ring_claim(ring, length);
    stress_fill((char *)(head + 1), ring->count, ring->position, length, generation);
    return head;
}

static inline void stress_commit(ff_ring_writer *ring, ff_head *head, uint64_t length)
{
    ff_ring_commit(ring, head, length, (uint8_t)(1 + ring->count % 200), (uint8_t)(ring->count * 7));
}

/* Lengths in bytes: mostly of one or two lines, and of any size up to the greatest. */
static inline uint64_t stress_length(uint64_t *random, uint64_t greatest)
{
    uint64_t dice = stress_random(random);
    uint64_t least = sizeof(ff_head) + 16;
    return least + (dice >> 8) % ((dice & 3 ? (greatest < 160 ? greatest : 160) : greatest) - least + 1);
}

/* A double-buffered cell in a region of its own. */
#define CELL_WORDS 80
typedef struct {
    uint64_t version;
    uint64_t _pad[15];
    uint64_t slots[2][CELL_WORDS];
} stress_cell;

static inline void stress_write_cell(stress_cell *cell, uint64_t generation)
{
    uint64_t number = (cell->version >> 1) + 1;
    unsigned slot = ff_cell_begin(&cell->version);
    for (int i = 0; i < CELL_WORDS; i++)
        cell->slots[slot][i] = i ? stress_mix(number + generation, (uint64_t)i) : number;
    ff_cell_commit(&cell->version);
}

static inline int stress_whole_cell(const uint64_t *words, uint64_t number, uint64_t generation)
{
    for (int i = 0; i < CELL_WORDS; i++)
        if (words[i] != (i ? stress_mix(number + generation, (uint64_t)i) : number))
            return 0;
    return 1;
}

#endif
