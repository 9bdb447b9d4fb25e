/* SPDX-License-Identifier: MIT
   Producers that are killed with SIGKILL at random instants of writing flat out; prints what their readers found as one
   line of JSON.

   kill_stress KILLS SEED

   Each producer takes over the very memory of the one before, which a bus never does, as the next generation: whoever
   still reads the last one must find nothing. NO_GENERATION gives all generations the same tag. */
#include "core.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define CAPACITY 65536
#ifdef NO_GENERATION
#define TAG(generation) 1
#else
#define TAG(generation) (generation)
#endif

typedef struct {
    ff_ring_control control;
    stress_cell cell;
    uint64_t stop;
    uint64_t read, lost, torn;          /* of the reader that is there while the producer dies */
} shared_state;

static shared_state *shared;
static char *base;
static char buffer[65536];

static void produce(uint64_t generation, uint64_t random)
{
    ff_ring_writer w;
    memset(&shared->cell, 0, sizeof shared->cell);
    ff_ring_init(&w, &shared->control, base, CAPACITY, TAG(generation));
    for (;;) {
        uint64_t length = stress_length(&random, ff_max_record(CAPACITY));
        stress_commit(&w, stress_prepare(&w, length, generation), length);
        if (stress_random(&random) % 8 == 0) {
            ff_ring_flush(&w);
            stress_write_cell(&shared->cell, generation);
        }
    }
}

/* ff_ring_peek, copy, check: as a bus's readers do it. */
static int64_t take(ff_ring_reader *r)
{
    const ff_head *head;
    int64_t length = ff_ring_peek(r, &head);
    if (length <= 0)
        return length;
    memcpy(buffer, head, (size_t)length);
    return ff_ring_valid(r, r->position) ? length : FF_LAPPED;
}

/* Read until there is nothing left, or for ever until `stop`; returns the records that were not whole. */
static uint64_t drain(ff_ring_reader *r, uint64_t generation, int wait, uint64_t *read)
{
    uint64_t torn = 0, stop;
    for (;;) {
        int64_t length;
        stop = __atomic_load_n(&shared->stop, ORDER_ACQUIRE);
        length = take(r);
        if (length == FF_LAPPED) {
            ff_ring_recover(r);
        } else if (length == FF_EMPTY) {
            if (!wait || stop)
                return torn;
        } else {
            torn += !stress_whole(buffer, (uint64_t)length, r->count, r->position, generation);
            ff_ring_advance(r, (uint64_t)length);
            *read += 1;
        }
    }
}

int main(int argc, char **argv)
{
    uint64_t kills, random, i, records = 0, read = 0, torn = 0, mistaken = 0, uncounted = 0, cells = 0, torn_cells = 0;
    uint64_t unflushed = 0;
    ff_ring_reader stale;
    if (argc != 3)
        return 2;
    kills = strtoull(argv[1], 0, 10);
    random = stress_mix(strtoull(argv[2], 0, 10), 1) | 1;
    shared = mmap(0, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    base = mmap(0, CAPACITY + 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (i = 1; i <= kills; i++) {
        ff_ring_reader r;
        uint64_t number, found = 0;
        unsigned slot;
        pid_t producer, reader;
        uint64_t seed = stress_random(&random);
        struct timespec instant = {0, (long)(stress_random(&random) % 1500000)};
        memset(shared, 0, sizeof *shared);
        memset(base, 0, CAPACITY);
        if ((producer = fork()) == 0)
            produce(i, seed | 1);
        while (__atomic_load_n(&shared->control.tail, ORDER_ACQUIRE) == 0)
            ;
        if ((reader = fork()) == 0) {
            ff_ring_attach(&r, &shared->control, base, CAPACITY, TAG(i));
            shared->torn = drain(&r, i, 1, &shared->read);
            shared->lost = r.lost;
            _exit(r.count != shared->read + shared->lost);
        }
        nanosleep(&instant, 0);
        kill(producer, SIGKILL);
        waitpid(producer, 0, 0);
        __atomic_store_n(&shared->stop, 1, ORDER_RELEASE);
        {
            int status = 0;
            waitpid(reader, &status, 0);
            uncounted += status != 0;
        }
        torn += shared->torn;
        read += shared->read;

        /* Who comes too late finds all that is left, in order, and the same end. */
        ff_ring_attach(&r, &shared->control, base, CAPACITY, TAG(i));
        ff_ring_seek_oldest(&r);
        torn += drain(&r, i, 0, &found);
        uncounted += r.lost != 0 || r.count != shared->read + shared->lost;
        records += r.count;
        unflushed += r.position - shared->control.tail > 0;
        ff_ring_seek_tail(&r);
        uncounted += r.count > shared->control.count; /* stored before the tail: it may be ahead of it */

        number = ff_cell_read(&shared->cell.version, &slot);
        if (number >= 2) {
            cells++;
            torn_cells += !ff_cell_valid(&shared->cell.version, number) ||
                          !stress_whole_cell(shared->cell.slots[slot], number >> 1, i);
        }

        /* Who still reads the generation before, over the memory of this one. */
        if (i > 1) {
            found = 0;
            mistaken += drain(&stale, i - 1, 0, &found);
        }
        ff_ring_attach(&stale, &shared->control, base, CAPACITY, TAG(i));
        ff_ring_seek_oldest(&stale);
    }
    printf("{\"kills\": %llu, \"records\": %llu, \"read\": %llu, \"torn\": %llu, \"uncounted\": %llu, "
           "\"mistaken\": %llu, \"cells\": %llu, \"torn_cells\": %llu, \"unflushed\": %llu}\n",
           (unsigned long long)kills, (unsigned long long)records, (unsigned long long)read, (unsigned long long)torn,
           (unsigned long long)uncounted, (unsigned long long)mistaken, (unsigned long long)cells,
           (unsigned long long)torn_cells, (unsigned long long)unflushed);
    return 0;
}
