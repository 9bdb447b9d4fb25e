/* SPDX-License-Identifier: MIT
   One producer flat out, readers that check every byte of every record; prints what they saw as one line of JSON.

   ring_stress threads|processes ring|cells SECONDS READERS SEED CAPACITY

   NO_VALIDATION takes out the look behind the copy. */
#include "core.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef UNDER_TSAN
/* unseen.c: a lock and a load that ThreadSanitizer does not see, so that they make no order between threads. A copy
   that is overwritten is a race by design and is no finding; with the lock the producer claims no block, and begins no
   cell, between a reader's look and the end of its validation. What is accepted must then be ordered by the protocol
   alone: after the writes that it read, and before those that overwrite it. */
void unseen_lock(void);
void unseen_unlock(void);
uint64_t unseen_load(const uint64_t *at);
#else
#define unseen_lock() ((void)0)
#define unseen_unlock() ((void)0)
#endif

#define MAX_READERS 8

typedef struct {
    uint64_t read, lost, skipped, laps, joins, torn, disordered, tries, count, finished;
    uint64_t _pad[6];
} result;

typedef struct {
    ff_ring_control control;
    stress_cell cell;
    result results[MAX_READERS];
    uint64_t done;
    uint64_t written;
    uint64_t ready;
} shared_state;

static shared_state *shared;
static char *base;
static uint64_t capacity;
static int cells;
static uint64_t seed;
static const uint64_t generation = 3;

/* A copy of the next record: its length, FF_EMPTY or FF_LAPPED; `valid` may lie under NO_VALIDATION. */
static int64_t take(ff_ring_reader *r, char *buffer, uint64_t *random)
{
    const ff_head *head = 0;
    int64_t length;
    (void)random;
#ifdef UNDER_TSAN
    unseen_lock();
    if (r->position + capacity < unseen_load(&shared->control.claimed)) {
        unseen_unlock();
        return FF_LAPPED;
    }
    length = ff_ring_peek(r, &head);
    if (length > 0) {
        memcpy(buffer, head, (size_t)length);
        if (!ff_ring_valid(r, r->position))
            abort(); /* nobody could claim */
    }
    unseen_unlock();
    return length;
#else
    length = ff_ring_peek(r, &head);
    if (length <= 0)
        return length;
    stress_stall(random);
    memcpy(buffer, head, (size_t)length / 2);
    stress_stall(random);
    memcpy(buffer + length / 2, (const char *)head + length / 2, (size_t)(length - length / 2));
    stress_stall(random);
#ifndef NO_VALIDATION
    if (!ff_ring_valid(r, r->position))
        return FF_LAPPED;
#endif
    return length;
#endif
}

/* Now and then a reader goes somewhere else: what it skips or reads again it knows exactly. */
static void join(ff_ring_reader *r, result *out, uint64_t *random)
{
    uint64_t before = r->count;
    uint64_t back = stress_random(random) % (capacity / 2);
    uint64_t at = r->position, target = (at > back ? at - back : 0) & ~(uint64_t)(FF_LINE - 1);
    unseen_lock();
    switch (stress_random(random) % 3) {
    case 0:
        ff_ring_seek_oldest(r);
        break;
    case 1:
        ff_ring_seek_tail(r);
        break;
    default:
        /* Not 1: the ring does not hold it any more, or no record starts there. The reader is somewhere before it. */
        if (ff_ring_seek(r, target) == 1 && r->position != target)
            out->disordered++;
    }
    unseen_unlock();
    out->skipped += r->count - before;
    out->joins++;
}

static void read_ring(result *out, uint64_t *random)
{
    static _Thread_local char buffer[65536];
    ff_ring_reader r;
    uint64_t lost;
    int last = 0;
    ff_ring_attach(&r, &shared->control, base, capacity, generation);
    for (;;) {
        uint64_t position;
        int64_t length;
        if (stress_random(random) % 20000 == 0)
            join(&r, out, random);
        position = r.position;
        length = take(&r, buffer, random);
        if (length == FF_LAPPED) {
            lost = r.lost;
            ff_ring_recover(&r);
            out->laps++;
            if (r.lost <= lost || r.position <= position)
                out->disordered++; /* a lap loses something, and leads on */
            last = 0;
        } else if (length == FF_EMPTY) {
            if (last)
                break;
            last = (int)__atomic_load_n(&shared->done, ORDER_ACQUIRE);
        } else {
            position = r.position; /* padding may have been stepped over */
            if (!stress_whole(buffer, (uint64_t)length, r.count, position, generation)) {
                out->torn++;
                ff_ring_recover(&r);
                continue;
            }
            ff_ring_advance(&r, (uint64_t)length);
            out->read++;
            last = 0;
        }
    }
    out->lost = r.lost;
    out->count = r.count;
}

static void read_cells(result *out, uint64_t *random)
{
    uint64_t words[CELL_WORDS];
    uint64_t newest = 0;
    (void)random;
    while (!__atomic_load_n(&shared->done, ORDER_ACQUIRE)) {
        uint64_t version;
        unsigned slot;
        int valid;
        unseen_lock();
        version = ff_cell_read(&shared->cell.version, &slot);
#ifdef UNDER_TSAN
        for (int i = 0; i < CELL_WORDS; i++) /* memcpy of a known size becomes an instruction that is not seen */
            words[i] = shared->cell.slots[slot][i];
#else
        stress_stall(random);
        memcpy(words, shared->cell.slots[slot], sizeof words / 2);
        stress_stall(random);
        memcpy(words + CELL_WORDS / 2, shared->cell.slots[slot] + CELL_WORDS / 2, sizeof words / 2);
#endif
        valid = ff_cell_valid(&shared->cell.version, version);
#ifdef NO_VALIDATION
        valid = 1;
#endif
        unseen_unlock();
        if (version < 2)
            continue;
        out->tries++;
        if (!valid) {
            out->laps++;
            continue;
        }
        if (!stress_whole_cell(words, version >> 1, generation)) {
            out->torn++;
            continue;
        }
        if (version >> 1 < newest)
            out->disordered++;
        newest = version >> 1;
        out->read++;
    }
    out->count = newest;
}

static void *reader(void *at)
{
    uint64_t index = (uint64_t)(intptr_t)at;
    uint64_t random = stress_mix(seed, index + 100) | 1;
    result *out = &shared->results[index];
    __atomic_fetch_add(&shared->ready, 1, ORDER_RELEASE);
    if (cells)
        read_cells(out, &random);
    else
        read_ring(out, &random);
    out->finished = 1;
    return 0;
}

int main(int argc, char **argv)
{
    int processes, failed = 0;
    uint64_t readers, random, starts = 0, flushes = 0, i;
    unsigned char *started;
    double seconds;
    int64_t until;
    pthread_t threads[MAX_READERS];
    pid_t children[MAX_READERS];
    ff_ring_writer w;
    if (argc != 7)
        return 2;
    processes = strcmp(argv[1], "processes") == 0;
    cells = strcmp(argv[2], "cells") == 0;
    seconds = atof(argv[3]);
    readers = strtoull(argv[4], 0, 10);
    seed = strtoull(argv[5], 0, 10);
    capacity = strtoull(argv[6], 0, 10);
    if (readers > MAX_READERS)
        return 2;
    if (processes) {
        shared = mmap(0, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        base = mmap(0, capacity + 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    } else {
        /* Exactly the ring: AddressSanitizer sees the first byte beside it. */
        shared = aligned_alloc(4096, (sizeof *shared + 4095) & ~(size_t)4095);
        base = aligned_alloc(4096, capacity);
        memset(shared, 0, sizeof *shared);
        memset(base, 0, capacity);
    }
    ff_ring_init(&w, &shared->control, base, capacity, generation);
    started = calloc(capacity / FF_LINE, 1);
    for (i = 0; i < readers; i++) {
        if (!processes)
            pthread_create(&threads[i], 0, reader, (void *)(intptr_t)i);
        else if ((children[i] = fork()) == 0) {
            reader((void *)(intptr_t)i);
            _exit(0);
        }
    }
    while (__atomic_load_n(&shared->ready, ORDER_ACQUIRE) < readers)
        ;
    random = stress_mix(seed, 1) | 1;
    until = ff_monotonic() + (int64_t)(seconds * 1e9);
    do {
        /* A socket read's worth; now and then a pause, so that readers are sometimes near and sometimes far. */
        for (i = stress_random(&random) % 16; i > 0; i--) {
            if (cells) {
#ifdef UNDER_TSAN
                uint64_t number = (shared->cell.version >> 1) + 1;
                unsigned slot;
                unseen_lock();
                slot = ff_cell_begin(&shared->cell.version);
                unseen_unlock();
                for (int j = 0; j < CELL_WORDS; j++)
                    shared->cell.slots[slot][j] = j ? stress_mix(number + generation, (uint64_t)j) : number;
                ff_cell_commit(&shared->cell.version);
#else
                stress_write_cell(&shared->cell, generation);
#endif
            } else {
                uint64_t length = stress_length(&random, ff_max_record(capacity));
                ff_head *head;
                unseen_lock();
                head = ff_ring_claim(&w, length);
                unseen_unlock();
                stress_fill((char *)(head + 1), w.count, w.position, length, generation);
                started[(w.position & w.mask) / FF_LINE] = 1;
                stress_commit(&w, head, length);
            }
        }
        ff_ring_flush(&w);
        flushes++;
        stress_stall(&random);
    } while ((flushes & 63) != 0 || ff_monotonic() < until);
    shared->written = cells ? shared->cell.version >> 1 : w.count;
    __atomic_store_n(&shared->done, 1, ORDER_RELEASE);
    for (i = 0; i < readers; i++) {
        int status = 0;
        if (processes)
            waitpid(children[i], &status, 0);
        else
            pthread_join(threads[i], 0);
        failed |= status != 0 || !shared->results[i].finished;
    }
    for (i = 0; i < capacity / FF_LINE; i++)
        starts += started[i];
    printf("{\"written\": %llu, \"rounds\": %.1f, \"starts\": %llu, \"readers\": [",
           (unsigned long long)shared->written, (double)w.position / (double)capacity, (unsigned long long)starts);
    for (i = 0; i < readers; i++) {
        const result *s = &shared->results[i];
        printf("%s{\"read\": %llu, \"lost\": %llu, \"skipped\": %lld, \"laps\": %llu, \"joins\": %llu, \"torn\": %llu, "
               "\"disordered\": %llu, \"tries\": %llu, \"count\": %llu}",
               i ? ", " : "", (unsigned long long)s->read, (unsigned long long)s->lost, (long long)s->skipped,
               (unsigned long long)s->laps, (unsigned long long)s->joins, (unsigned long long)s->torn,
               (unsigned long long)s->disordered, (unsigned long long)s->tries, (unsigned long long)s->count);
    }
    printf("]}\n");
    free(started);
    if (!processes) {
        free(shared);
        free(base);
    }
    return failed;
}
