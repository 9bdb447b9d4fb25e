/* SPDX-License-Identifier: MIT
   What a record costs its producer and its readers when records come one after the other.

   throughput publish SIZE MIB CHUNKS CPU CPU     one producer, 8 readers in four states; ns a record
   throughput backlog SIZE CHUNKS CPU CPU         reading what is there, written by this core and by the other
   throughput lossless SIZE BATCH CHUNKS CPU CPU  producer and reader at once, nothing lost, between two ping-pongs

   Prints a JSON line a chunk. Every record that is read is checked. A chunk is the median of many short runs, so that
   a run in which another process had the core is one of the slow ones and not a part of all. */
#include <linux/futex.h>
#include <sys/syscall.h>

#include "common.h"
#include "wake.h"

#define RUNS 200
#define READERS 8

typedef struct {
    uint64_t there, pad0[31], back, pad1[31]; /* ping-pong */
    uint64_t go, pad2[31], done, pad3[31];    /* a step of the protocol between the two processes */
    uint64_t reached, pad4[31];               /* lossless: position of the reader */
    uint32_t word, sleepers;                  /* the wake-up */
    uint64_t mode, ready;
    ff_ring_writer writer; /* whoever writes has it: one process at a time */
} shared;

enum { NONE, STOPPED, SLEEPING, BACKLOGGED, MODES };
static const char *const MODE[] = {"none", "stopped", "sleeping", "backlogged"};

static shared *words;
static ff_ring_control *control;
static char *ring;
static uint64_t capacity;
static char buffer[65536 + 64] __attribute__((aligned(64)));

static void open_area(uint64_t bytes)
{
    char *area = share(AREA_HEAD + bytes + 4096);
    capacity = bytes;
    words = (shared *)area;
    control = (ff_ring_control *)(area + 32768);
    ring = area + AREA_HEAD;
}

#define INLINE static inline __attribute__((always_inline))

INLINE void fill(uint64_t *payload, uint64_t number, uint64_t size)
{
    for (uint64_t k = 0; k < (size - sizeof(ff_head)) / 8; k++)
        payload[k] = number + k;
}

INLINE void check(const char *record, uint64_t number, uint64_t size)
{
    const uint64_t *payload = (const uint64_t *)(record + sizeof(ff_head));
    uint64_t wrong = ((const ff_head *)record)->length ^ size;
    for (uint64_t k = 0; k < (size - sizeof(ff_head)) / 8; k++)
        wrong |= payload[k] ^ (number + k);
    if (wrong)
        die("record %llu is not what was written", (unsigned long long)number);
}

INLINE void write_one(ff_ring_writer *w, uint64_t size)
{
    uint64_t *payload = claim(w, size);
    fill(payload, w->count, size);
    ff_ring_commit(w, (ff_head *)(payload - 2), size, 1, 3);
}

/* The size as a constant, as it is where a feed writes a struct. */
#define BY_SIZE(size, call)                                                                                            \
    switch (size) {                                                                                                    \
    case 48: { enum { S = 48 }; call; } break;                                                                         \
    case 64: { enum { S = 64 }; call; } break;                                                                         \
    case 128: { enum { S = 128 }; call; } break;                                                                       \
    case 256: { enum { S = 256 }; call; } break;                                                                       \
    default: die("no such size");                                                                                      \
    }

static double median(uint32_t *samples, int n)
{
    qsort(samples, (size_t)n, sizeof *samples, by_value);
    return samples[n / 2];
}

/* ---- publish */

static void reader(int index)
{
    ff_ring_reader r;
    struct timespec ms = {0, 1000000 + 100000 * index};
    ff_ring_attach(&r, control, ring, capacity, 1);
    __atomic_fetch_add(&words->ready, 1, __ATOMIC_ACQ_REL);
    for (;;) {
        uint64_t mode = load(&words->mode);
        int64_t length;
        if (mode == SLEEPING) {
            /* As a reader that blocks, only that nobody flushes: it sleeps until the mode changes. */
            uint32_t seen = ff_prepare_sleep(&words->word, &words->sleepers);
            if (load(&words->mode) == SLEEPING)
                ff_sleep(&words->word, seen, 1000000000);
            continue;
        }
        length = ff_ring_copy(&r, buffer);
        if (length == FF_LAPPED)
            ff_ring_recover(&r);
        else if (length > 0)
            check(buffer, r.count - 1, (uint64_t)length);
        nanosleep(&ms, 0);
    }
}

static double publish_run(ff_ring_writer *w, uint64_t size, double scale)
{
    uint32_t samples[RUNS];
    for (int run = 0; run < RUNS; run++) {
        uint64_t start = ticks();
        BY_SIZE(size, for (int i = 0; i < 1024; i++) write_one(w, S));
        samples[run] = (uint32_t)(ticks() - start);
    }
    ff_ring_flush(w);
    return median(samples, RUNS) * scale / 1024;
}

static void publish(uint64_t size, int chunks, int cpu, int other)
{
    pid_t children[READERS];
    ff_ring_writer w;
    double scale;
    ff_ring_init(&w, control, ring, capacity, 1);
    pin(cpu);
    scale = ns_per_tick();
    for (uint64_t i = 0; i < capacity / 64; i++)
        BY_SIZE(size, write_one(&w, S));
    for (int chunk = 0; chunk < chunks; chunk++) {
        printf("{\"size\": %d, \"mib\": %d, \"none\": %.2f", (int)size, (int)(capacity >> 20),
               publish_run(&w, size, scale));
        store(&words->mode, BACKLOGGED);
        store(&words->ready, 0);
        for (int i = 0; i < READERS; i++) {
            children[i] = spawn();
            if (children[i] == 0) {
                pin(other);
                reader(i);
            }
        }
        while (load(&words->ready) != READERS)
            usleep(1000);
        for (int mode = STOPPED; mode < MODES; mode++) {
            store(&words->mode, (uint64_t)mode);
            for (int i = 0; i < READERS; i++)
                kill(children[i], mode == STOPPED ? SIGSTOP : SIGCONT);
            usleep(20000); /* until all sleep */
            printf(", \"%s\": %.2f", MODE[mode], publish_run(&w, size, scale));
            store(&words->mode, BACKLOGGED);
            ff_wake(&words->word, &words->sleepers);
        }
        for (int i = 0; i < READERS; i++) {
            kill(children[i], SIGKILL);
            waitpid(children[i], 0, 0);
        }
        printf("}\n");
        fflush(stdout);
    }
}

/* ---- backlog */

#define BACKLOG 4096 /* records */

INLINE void write_backlog(ff_ring_writer *w, uint64_t size)
{
    for (int i = 0; i < BACKLOG; i++)
        write_one(w, size);
}

/* Every record is copied; a look at its number, or at all of it. */
INLINE void read_backlog(ff_ring_reader *r, uint64_t size, int all)
{
    int64_t length;
    uint64_t wrong = 0;
    for (int i = 0; i < BACKLOG; i++) {
        const uint64_t *payload = (const uint64_t *)(buffer + sizeof(ff_head));
        if ((length = ff_ring_copy(r, buffer)) != (int64_t)size)
            die("expected a record of %d bytes, was %d", (int)size, (int)length);
        if (all)
            check(buffer, r->count - 1, size);
        wrong |= payload[0] ^ (r->count - 1);
    }
    if (wrong)
        die("a record is not what was written");
}

static void backlog(uint64_t size, int chunks, int cpu, int other)
{
    static const char *const HOW[] = {"same core", "other core"};
    ff_ring_writer *w = &words->writer;
    ff_ring_reader r;
    uint32_t samples[RUNS];
    uint64_t step = 0;
    double scale;
    pid_t child;
    ff_ring_init(w, control, ring, capacity, 1);
    ff_ring_attach(&r, control, ring, capacity, 1);
    child = spawn();
    if (child == 0) {
        pin(other);
        for (;;) {
            await(&words->go, ++step);
            BY_SIZE(size, write_backlog(w, S));
            store(&words->done, step);
        }
    }
    pin(cpu);
    scale = ns_per_tick();
    for (int chunk = -1; chunk < chunks; chunk++) { /* the first looks at every word and is not printed */
        if (chunk >= 0)
            printf("{\"size\": %d", (int)size);
        for (int how = 0; how < 2; how++) {
            for (int run = 0; run < RUNS; run++) {
                uint64_t start;
                if (how == 0) {
                    BY_SIZE(size, write_backlog(w, S));
                } else {
                    store(&words->go, ++step);
                    await(&words->done, step);
                }
                start = ticks();
                BY_SIZE(size, read_backlog(&r, S, chunk < 0));
                samples[run] = (uint32_t)(ticks() - start);
            }
            if (chunk >= 0)
                printf(", \"%s\": %.2f", HOW[how], median(samples, RUNS) * scale / BACKLOG);
        }
        if (chunk >= 0)
            printf("}\n");
        fflush(stdout);
    }
    kill(child, SIGKILL);
    waitpid(child, 0, 0);
}

/* ---- lossless */

#ifndef PAUSES
#define PAUSES 20 /* of a reader that finds nothing: batches form, and the producer's line is left alone meanwhile */
#endif
#define STRIDE 4096
#define LOSSLESS 8192 /* records a run: twice what fits, and short beside a time slice */

/* `n` batches as of socket reads: each record committed at once, the tail stored once a batch; never more than half a ring ahead of the reader. */
INLINE void produce(ff_ring_writer *w, uint64_t size, int batch, int n)
{
    uint64_t reached = load(&words->reached);
    for (int i = 0; i < n; i++) {
        while (w->position - reached > capacity / 2) {
            reached = load(&words->reached);
            relax();
        }
        for (int k = 0; k < batch; k++)
            write_one(w, size);
        ff_ring_flush(w);
    }
}

INLINE void consume(ff_ring_reader *r, uint64_t size, uint64_t n)
{
    uint64_t wrong = 0, stop = r->count + n, told = r->position;
    while (r->count < stop) {
        int64_t length = ff_ring_copy(r, buffer);
        if (length == FF_EMPTY) {
            for (int i = 0; i < PAUSES; i++)
                relax();
            continue;
        }
        if (length != (int64_t)size)
            die("expected a record of %d bytes, was %d", (int)size, (int)length);
        wrong |= ((const uint64_t *)buffer)[2] ^ (r->count - 1);
        if (r->position - told >= STRIDE)
            store(&words->reached, told = r->position);
    }
    store(&words->reached, r->position);
    if (wrong)
        die("a record is not what was written");
}

static void lossless(uint64_t size, int batch, int chunks, int cpu, int other)
{
    const int trips = 5000, n = LOSSLESS / batch;
    uint64_t records = (uint64_t)n * (uint64_t)batch, base = 0, step = 0;
    uint32_t runs[RUNS], *samples = calloc((size_t)trips, sizeof *samples);
    ff_ring_writer *w = &words->writer;
    ff_ring_reader r;
    double scale;
    pid_t child;
    ff_ring_init(w, control, ring, capacity, 1);
    ff_ring_attach(&r, control, ring, capacity, 1);
    child = spawn();
    pin(child ? cpu : other);
    scale = child ? ns_per_tick() : 0;
    for (int chunk = 0; chunk < chunks; chunk++) {
        if (child == 0) {
            pong(&words->there, &words->back, base, trips);
            for (int run = 0; run < RUNS; run++) {
                await(&words->go, ++step);
                BY_SIZE(size, produce(w, S, batch, n));
            }
            pong(&words->there, &words->back, base + (uint64_t)trips, trips);
        } else {
            ping(&words->there, &words->back, base, trips, samples);
            printf("{\"size\": %d, \"batch\": %d, \"before\": %.1f", (int)size, batch,
                   middle(samples, trips) * scale);
            for (int run = 0; run < RUNS; run++) {
                uint64_t start = ticks();
                store(&words->go, ++step);
                BY_SIZE(size, consume(&r, S, records));
                runs[run] = (uint32_t)(ticks() - start);
            }
            printf(", \"ns\": %.2f", median(runs, RUNS) * scale / (double)records);
            ping(&words->there, &words->back, base + (uint64_t)trips, trips, samples);
            printf(", \"after\": %.1f}\n", middle(samples, trips) * scale);
            fflush(stdout);
        }
        base += 2 * (uint64_t)trips;
    }
    if (child == 0)
        _exit(0);
    join(child);
    if (r.lost)
        die("records were lost");
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    if (!strcmp(what, "publish") && argc == 7) {
        open_area((uint64_t)atoi(argv[3]) << 20);
        publish((uint64_t)atoi(argv[2]), atoi(argv[4]), atoi(argv[5]), atoi(argv[6]));
    } else if (!strcmp(what, "backlog") && argc == 6) {
        open_area(2 << 20); /* holds the backlog of the largest size */
        backlog((uint64_t)atoi(argv[2]), atoi(argv[3]), atoi(argv[4]), atoi(argv[5]));
    } else if (!strcmp(what, "lossless") && argc == 7) {
        open_area(1 << 19);
        lossless((uint64_t)atoi(argv[2]), atoi(argv[3]), atoi(argv[4]), atoi(argv[5]), atoi(argv[6]));
    } else {
        die("throughput publish SIZE MIB CHUNKS CPU CPU | backlog SIZE CHUNKS CPU CPU | "
            "lossless SIZE BATCH CHUNKS CPU CPU");
    }
    return 0;
}
