/* SPDX-License-Identifier: MIT
   Waking readers that sleep: how long it takes from the commit, what it costs the producer, how often it happens.

   wake READERS FLUSHES CPU CPU    the producer on the first cpu, the readers on the second; prints one JSON line

   First the producer flushes one record every 300 us, so that all readers sleep each time; then it flushes 16 records
   at a time as fast as it can. Readers block as a subscription does: announce, look once more, sleep. */
#include <linux/futex.h>
#include <sys/syscall.h>

#include "common.h"
#include "wake.h"

#define CAPACITY (1 << 20)
#define GAP 300000 /* ns between two flushes of the first part */
#define LAST UINT64_MAX

typedef struct {
    uint32_t word, pad0[63];    /* in the data file */
    uint32_t sleepers, pad1[63]; /* in the readers' memory */
    uint64_t ready, finished, missed;
} shared;

static shared *words;
static ff_ring_control *control;
static char *ring;
static uint32_t *latencies; /* of the first reader */
static int flushes;

static void publish(ff_ring_writer *w, uint64_t value)
{
    uint64_t *payload = claim(w, 64);
    payload[0] = value;
    ff_ring_commit(w, (ff_head *)(payload - 2), 64, 1, 3);
}

static int flush(ff_ring_writer *w)
{
    ff_ring_flush(w);
    return ff_wake(&words->word, &words->sleepers);
}

static void reader(int index)
{
    static char buffer[65536] __attribute__((aligned(64)));
    const uint64_t *payload = (const uint64_t *)(buffer + sizeof(ff_head));
    ff_ring_reader r;
    ff_ring_attach(&r, control, ring, CAPACITY, 1);
    __atomic_fetch_add(&words->ready, 1, __ATOMIC_ACQ_REL);
    for (;;) {
        const ff_head *head;
        int64_t length = ff_ring_copy(&r, buffer);
        if (length == FF_LAPPED) {
            ff_ring_recover(&r);
            continue;
        }
        if (length == FF_EMPTY) {
            uint32_t seen = ff_prepare_sleep(&words->word, &words->sleepers);
            int64_t from = monotonic();
            if (ff_ring_peek(&r, &head) != FF_EMPTY)
                continue;
            ff_sleep(&words->word, seen, 1000000000);
            /* Nobody is silent for that long: the wake-up was missed. */
            if (monotonic() - from > 900000000)
                __atomic_fetch_add(&words->missed, 1, __ATOMIC_ACQ_REL);
            continue;
        }
        if (payload[0] == LAST)
            break;
        if (index == 0 && r.count <= (uint64_t)flushes)
            latencies[r.count - 1] = (uint32_t)(monotonic() - (int64_t)payload[0]);
    }
    __atomic_fetch_add(&words->finished, 1, __ATOMIC_ACQ_REL);
}

int main(int argc, char **argv)
{
    ff_ring_writer w;
    int readers, wakes = 0, busy_wakes = 0;
    uint32_t *costs;
    double busy;
    int64_t at;
    char *area;
    if (argc != 5)
        die("wake READERS FLUSHES CPU CPU");
    readers = atoi(argv[1]);
    flushes = atoi(argv[2]);
    area = share(AREA_HEAD + CAPACITY + 4096);
    words = (shared *)area;
    control = (ff_ring_control *)(area + 32768);
    ring = area + AREA_HEAD;
    latencies = (uint32_t *)share((size_t)flushes * sizeof *latencies);
    costs = calloc((size_t)flushes, sizeof *costs);
    ff_ring_init(&w, control, ring, CAPACITY, 1);
    for (int i = 0; i < readers; i++)
        if (spawn() == 0) {
            pin(atoi(argv[4]));
            reader(i);
            _exit(0);
        }
    pin(atoi(argv[3]));
    while (load(&words->ready) != (uint64_t)readers)
        usleep(1000);
    for (int i = 0; i < flushes; i++) {
        for (at = monotonic(); monotonic() - at < GAP;)
            relax();
        at = monotonic();
        publish(&w, (uint64_t)at);
        wakes += flush(&w);
        costs[i] = (uint32_t)(monotonic() - at);
    }
    at = monotonic();
    for (int i = 0; i < 100 * flushes; i++) {
        for (int k = 0; k < 16; k++)
            publish(&w, 0);
        busy_wakes += flush(&w);
    }
    busy = (double)(monotonic() - at) / (100.0 * flushes);
    publish(&w, LAST);
    flush(&w);
    while (load(&words->finished) != (uint64_t)readers)
        usleep(1000);
    for (int i = 0; i < readers; i++)
        join(-1);
    printf("{\"readers\": %d, \"flushes\": %d, \"missed\": %d, \"wakes per flush\": %.4f, \"flush\": %.1f", readers,
           flushes, (int)words->missed, (double)wakes / flushes, middle(costs, flushes));
    printf(", \"latency\": [%.0f", middle(latencies, flushes));
    printf(", %.0f, %.0f]", (double)latencies[(int)(0.9 * flushes)], (double)latencies[(int)(0.99 * flushes)]);
    printf(", \"busy flush\": %.1f, \"busy wakes per flush\": %.6f}\n", busy, busy_wakes / (100.0 * flushes));
    return 0;
}
