/* SPDX-License-Identifier: MIT
   Round trips of records between two pinned processes over two rings, spinning at both ends, each chunk between two
   chunks of bare cache-line ping-pong of the same pair.

   roundtrip SIZE CHUNKS TRIPS CPU CPU    prints a JSON line a chunk: p50, p90, p99, p99.9 in ns

   A trip is what a feed and a reader do with a record: claim, fill word by word, commit, flush; poll, copy, validate,
   advance, look at every word of the copy. The size is a constant, as it is where a feed writes a struct. */
#include "common.h"

#define CAPACITY (1 << 20)
#define WARM_UP 2000

typedef struct {
    ff_ring_writer out;
    ff_ring_reader in;
    char buffer[65536] __attribute__((aligned(64)));
} end_;

typedef struct {
    end_ *end;
    uint64_t base;
    int n;
    uint32_t *samples;
} run_;

#define INLINE static inline __attribute__((always_inline))

static const uint64_t AHEAD = AREA_HEAD;
static char *area;

static ff_ring_control *control(int ring) { return (ff_ring_control *)(area + 4096 * (1 + ring)); }
static char *ring_base(int ring) { return area + AHEAD + (size_t)ring * (CAPACITY + 4096); }

/* Words of a record: a multiple of its number each, so that a word of another record, or of another place, is seen. */
INLINE void send(end_ *e, uint64_t number, uint64_t size)
{
    uint64_t *payload = claim(&e->out, size);
    for (uint64_t k = 0; k < (size - sizeof(ff_head)) / 8; k++)
        payload[k] = number * (2 * k + 1);
    ff_ring_commit(&e->out, (ff_head *)(payload - 2), size, 1, 3);
    ff_ring_flush(&e->out);
}

INLINE uint64_t receive(end_ *e, uint64_t size)
{
    const uint64_t *payload = (const uint64_t *)(e->buffer + sizeof(ff_head));
    uint64_t wrong = 0;
    int64_t length;
    while ((length = ff_ring_copy(&e->in, e->buffer)) == FF_EMPTY)
        EMPTY;
    for (uint64_t k = 0; k < (size - sizeof(ff_head)) / 8; k++)
        wrong |= payload[k] ^ (payload[0] * (2 * k + 1));
    if (length != (int64_t)size || wrong)
        die("expected a record of %d bytes, was %d; bits that differ: %llx", (int)size, (int)length,
            (unsigned long long)wrong);
    return payload[0];
}

INLINE void trips(run_ r, uint64_t size)
{
    for (int i = 1; i <= r.n; i++) {
        uint64_t start = ticks(), number;
        send(r.end, r.base + (uint64_t)i, size);
        number = receive(r.end, size);
        r.samples[i - 1] = (uint32_t)(ticks() - start);
        if (number != r.base + (uint64_t)i)
            die("expected record %llu, was %llu", (unsigned long long)(r.base + (uint64_t)i),
                (unsigned long long)number);
    }
}

INLINE void echo(run_ r, uint64_t size)
{
    for (int i = 0; i < r.n; i++)
        send(r.end, receive(r.end, size), size);
}

#define OF_SIZE(size) \
    static __attribute__((noinline)) void trips_##size(run_ r) { trips(r, size); } \
    static __attribute__((noinline)) void echo_##size(run_ r) { echo(r, size); }
OF_SIZE(48)
OF_SIZE(64)
OF_SIZE(128)
OF_SIZE(256)
OF_SIZE(512)
OF_SIZE(1024)

static const struct {
    int size;
    void (*trips)(run_), (*echo)(run_);
} SIZES[] = {{48, trips_48, echo_48}, {64, trips_64, echo_64}, {128, trips_128, echo_128}, {256, trips_256, echo_256},
             {512, trips_512, echo_512}, {1024, trips_1024, echo_1024}};

static void print(const char *name, double scale, uint32_t *samples, int n)
{
    printf("\"%s\": [%.1f", name, middle(samples, n) * scale);
    for (int i = 0; i < 3; i++)
        printf(", %.1f", samples[(int)((double[]){0.9, 0.99, 0.999}[i] * (n - 1))] * scale);
    printf("]");
}

int main(int argc, char **argv)
{
    end_ *e = aligned_alloc(64, (sizeof(end_) + 63) & ~(size_t)63);
    run_ run = {e, 0, 0, 0}, warm_up = {e, 1, WARM_UP, 0};
    uint64_t *there, *back;
    double scale;
    pid_t child;
    int chunks, mine, kind = -1;
    if (argc != 6)
        die("roundtrip SIZE CHUNKS TRIPS CPU CPU");
    for (size_t i = 0; i < sizeof SIZES / sizeof *SIZES; i++)
        if (SIZES[i].size == atoi(argv[1]))
            kind = (int)i;
    chunks = atoi(argv[2]);
    run.n = atoi(argv[3]);
    if (kind < 0 || run.n < WARM_UP)
        die("size or trips out of range");
    area = share(AHEAD + 2 * (CAPACITY + 4096));
    run.samples = warm_up.samples = calloc((size_t)run.n, sizeof *run.samples);
    there = (uint64_t *)area;
    back = (uint64_t *)(area + 256);
    for (int ring = 0; ring < 2; ring++) {
        ff_ring_writer w;
        ff_ring_init(&w, control(ring), ring_base(ring), CAPACITY, 1);
    }
    child = spawn();
    mine = child == 0;
    madvise(area, AHEAD + 2 * (CAPACITY + 4096), MADV_POPULATE_WRITE);
    ff_ring_init(&e->out, control(mine), ring_base(mine), CAPACITY, 1);
    ff_ring_attach(&e->in, control(!mine), ring_base(!mine), CAPACITY, 1);
    pin(atoi(argv[4 + mine]));
    if (child == 0) {
        SIZES[kind].echo(warm_up);
        for (int chunk = 0; chunk < chunks; chunk++, run.base += 2 * (uint64_t)run.n) {
            pong(there, back, run.base, run.n);
            SIZES[kind].echo(run);
            pong(there, back, run.base + (uint64_t)run.n, run.n);
        }
        _exit(0);
    }
    scale = ns_per_tick();
    SIZES[kind].trips(warm_up);
    for (int chunk = 0; chunk < chunks; chunk++, run.base += 2 * (uint64_t)run.n) {
        ping(there, back, run.base, run.n, run.samples);
        printf("{\"size\": %d, ", SIZES[kind].size);
        print("before", scale, run.samples, run.n);
        SIZES[kind].trips(run);
        printf(", ");
        print("trip", scale, run.samples, run.n);
        ping(there, back, run.base + (uint64_t)run.n, run.n, run.samples);
        printf(", ");
        print("after", scale, run.samples, run.n);
        printf("}\n");
        fflush(stdout);
    }
    join(child);
    return 0;
}
