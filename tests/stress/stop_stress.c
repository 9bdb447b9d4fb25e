/* SPDX-License-Identifier: MIT
   A ring in a file, for processes that are stopped: what publishing costs beside them, and what they find afterwards.

   stop_stress FILE init            make it
   stop_stress FILE produce ROUNDS  write the ring ROUNDS times full of records of one line; prints wakes
   stop_stress FILE end             say that nothing more comes, and wake who sleeps
   stop_stress FILE read            read until the end; prints what was read and lost
   stop_stress FILE sleep           the same, asleep when there is nothing */
#include "core.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#define CAPACITY 65536
#define PER_ROUND (CAPACITY / FF_LINE - FF_BLOCKS) /* a block ends with at least a line of padding */

typedef struct {
    ff_ring_control control;
    uint64_t _a[16];
    ff_ring_writer writer; /* kept between runs; base and control are set anew */
    uint64_t _b[16];
    uint32_t word;
    uint64_t _c[16];
    uint32_t sleepers;
    uint64_t _d[16];
    uint64_t ended;
} shared_state;

#define STATE_BYTES ((sizeof(shared_state) + 4095) & ~(size_t)4095)

static shared_state *shared;

/* What callgrind counts: nothing else is in here. */
__attribute__((noinline)) uint64_t publish(ff_ring_writer *w, uint64_t records)
{
    uint64_t wakes = 0;
    for (uint64_t i = 0; i < records; i++) {
        ff_head *head = ff_ring_claim(w, FF_LINE);
        memset(head + 1, (int)(w->count & 255), FF_LINE - sizeof *head);
        ff_ring_commit(w, head, FF_LINE, 1, 0);
        if (i % 8 == 7) {
            ff_ring_flush(w);
            wakes += (uint64_t)ff_wake(&shared->word, &shared->sleepers);
        }
    }
    return wakes;
}

static void read_all(ff_ring_reader *r, int sleep)
{
    char record[65536];
    uint64_t read = 0, torn = 0;
    int last = 0;
    for (;;) {
        const ff_head *head;
        int64_t length = ff_ring_peek(r, &head);
        if (length > 0) {
            memcpy(record, head, (size_t)length);
            if (!ff_ring_valid(r, r->position))
                length = FF_LAPPED;
        }
        if (length == FF_LAPPED) {
            ff_ring_recover(r);
        } else if (length == FF_EMPTY) {
            uint32_t seen;
            if (last)
                break;
            last = (int)__atomic_load_n(&shared->ended, ORDER_ACQUIRE);
            if (!sleep) {
                sched_yield();
                continue;
            }
            seen = ff_prepare_sleep(&shared->word, &shared->sleepers);
            if (ff_ring_peek(r, &head) == FF_EMPTY && !__atomic_load_n(&shared->ended, ORDER_ACQUIRE))
                ff_sleep(&shared->word, seen, 1000000000);
        } else {
            torn += length != FF_LINE || ((ff_head *)record)->seq != (uint32_t)r->count ||
                    (unsigned char)record[FF_LINE - 1] != (r->count & 255);
            ff_ring_advance(r, (uint64_t)length);
            read++;
            last = 0;
        }
    }
    printf("{\"read\": %llu, \"lost\": %llu, \"torn\": %llu}\n", (unsigned long long)read, (unsigned long long)r->lost,
           (unsigned long long)torn);
}

int main(int argc, char **argv)
{
    size_t size = STATE_BYTES + CAPACITY + 4096;
    int fd, init;
    char *base;
    if (argc < 3)
        return 2;
    init = strcmp(argv[2], "init") == 0;
    fd = open(argv[1], O_RDWR | O_CREAT, 0600);
    if (fd < 0 || (init && ftruncate(fd, (off_t)size)))
        return 2;
    shared = mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (shared == MAP_FAILED)
        return 2;
    base = (char *)shared + STATE_BYTES;
    if (init) {
        ff_ring_init(&shared->writer, &shared->control, base, CAPACITY, 1);
    } else if (strcmp(argv[2], "produce") == 0 && argc == 4) {
        ff_ring_writer w = shared->writer;
        uint64_t wakes;
        w.control = &shared->control;
        w.base = base;
        wakes = publish(&w, strtoull(argv[3], 0, 10) * PER_ROUND);
        shared->writer = w;
        printf("{\"written\": %llu, \"wakes\": %llu}\n", (unsigned long long)w.count, (unsigned long long)wakes);
    } else if (strcmp(argv[2], "end") == 0) {
        __atomic_store_n(&shared->ended, 1, ORDER_RELEASE);
        shared->sleepers = 1;
        ff_wake(&shared->word, &shared->sleepers);
    } else {
        ff_ring_reader r;
        ff_ring_attach(&r, &shared->control, base, CAPACITY, 1);
        ff_ring_seek_tail(&r);
        printf("{\"start\": %llu}\n", (unsigned long long)r.count);
        fflush(stdout);
        read_all(&r, strcmp(argv[2], "sleep") == 0);
    }
    return 0;
}
