/* SPDX-License-Identifier: MIT
   Sleeping and waking between processes; prints what happened as one line of JSON.

   wake_stress sleep TRIES READERS SEED    real sleeps: the producer publishes a record when all have read the last
   wake_stress decide TRIES 1 SEED         the instant alone, without the kernel: producer and reader meet, one commits
                                           and looks for sleepers, the other says that it sleeps and looks for records.
                                           A miss: the reader would sleep, and nobody wakes it. Ends at the first one.

   NO_FENCES takes out the two full fences. */
#include "core.h"

#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_READERS 8
#define CAPACITY 65536
#define PATIENCE_NS 20000000000 /* of a sleeper: longer than any delay of a busy machine */

typedef struct {
    ff_ring_control control;
    uint64_t _a[16];
    uint32_t word;
    uint64_t _b[16];
    uint32_t sleepers;
    uint64_t _c[16];
    uint64_t taken[MAX_READERS][16];
    uint64_t sleeps[MAX_READERS];
    uint64_t missed;
    uint64_t _d[16];
    uint64_t at_producer;
    uint64_t _e[16];
    uint64_t at_reader;
} shared_state;

static shared_state *shared;
static char *base;

static void pause_until(const uint64_t *word, uint64_t value)
{
    for (int n = 0; __atomic_load_n(word, ORDER_ACQUIRE) < value; n++)
        if (n > 2000)
            sched_yield(); /* the other side may need this core */
}

static void jitter(uint64_t *random, uint64_t most)
{
    for (uint64_t n = stress_random(random) % most; n > 0; n--)
        __asm__ __volatile__("" ::: "memory");
}

static int ready(ff_ring_reader *r)
{
    const ff_head *head;
    return ff_ring_peek(r, &head) != FF_EMPTY;
}

static void take(ff_ring_reader *r)
{
    const ff_head *head;
    int64_t length = ff_ring_peek(r, &head);
    if (length <= 0 || !stress_whole((const char *)head, (uint64_t)length, r->count, r->position, 1))
        __atomic_fetch_add(&shared->missed, 1000000, ORDER_RELAXED); /* not a miss, and not to be taken for good */
    ff_ring_advance(r, (uint64_t)length);
}

static void sleeper(ff_ring_reader *r, uint64_t index, uint64_t tries)
{
    while (r->count < tries) {
        if (!ready(r)) {
            uint32_t seen = ff_prepare_sleep(&shared->word, &shared->sleepers);
            if (!ready(r)) {
                int64_t before = ff_monotonic();
                ff_sleep(&shared->word, seen, PATIENCE_NS);
                shared->sleeps[index]++;
                if (ff_monotonic() - before >= PATIENCE_NS)
                    __atomic_fetch_add(&shared->missed, 1, ORDER_RELAXED);
            }
            continue; /* woken for another's sake, or for nothing: look again */
        }
        take(r);
        __atomic_store_n(&shared->taken[index][0], r->count, ORDER_RELEASE);
    }
}

static void decider(ff_ring_reader *r, uint64_t tries, uint64_t random)
{
    for (uint64_t round = 1; round <= tries; round++) {
        int sleeps = 0;
        uint32_t seen = 0;
        __atomic_store_n(&shared->at_reader, 2 * round - 1, ORDER_RELEASE);
        pause_until(&shared->at_producer, 2 * round - 1);
        jitter(&random, 400);
        if (!ready(r)) {
            seen = ff_prepare_sleep(&shared->word, &shared->sleepers);
            sleeps = !ready(r);
        }
        shared->sleeps[0] += (uint64_t)sleeps;
        pause_until(&shared->at_producer, 2 * round);
        /* The producer is through: a word that did not move since wakes nobody. */
        if (sleeps && __atomic_load_n(&shared->word, ORDER_ACQUIRE) == seen)
            shared->missed++;
        take(r);
        shared->taken[0][0] = round;
        __atomic_store_n(&shared->at_reader, 2 * round, ORDER_RELEASE);
        if (shared->missed)
            return;
    }
}

int main(int argc, char **argv)
{
    uint64_t tries, readers, random, round, wakes = 0, sleeps = 0, i;
    pid_t children[MAX_READERS];
    int decide, failed = 0;
    ff_ring_writer w;
    if (argc != 5)
        return 2;
    decide = strcmp(argv[1], "decide") == 0;
    tries = strtoull(argv[2], 0, 10);
    readers = strtoull(argv[3], 0, 10);
    random = stress_mix(strtoull(argv[4], 0, 10), 1) | 1;
    if (readers < 1 || readers > MAX_READERS)
        return 2;
    shared = mmap(0, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    base = mmap(0, CAPACITY + 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ff_ring_init(&w, &shared->control, base, CAPACITY, 1);
    for (i = 0; i < readers; i++) {
        if ((children[i] = fork()) == 0) {
            ff_ring_reader r;
            ff_ring_attach(&r, &shared->control, base, CAPACITY, 1);
            if (decide)
                decider(&r, tries, stress_mix(random, 2) | 1);
            else
                sleeper(&r, i, tries);
            _exit(0);
        }
    }
    for (round = 1; round <= tries && !shared->missed; round++) {
        ff_head *head = stress_prepare(&w, 64, 1);
        if (decide) {
            shared->sleepers = 0; /* as a wake-up leaves it */
            __atomic_store_n(&shared->at_producer, 2 * round - 1, ORDER_RELEASE);
            pause_until(&shared->at_reader, 2 * round - 1);
            jitter(&random, 3000); /* the reader learns later that both are there: a line moves to it first */
        } else if (stress_random(&random) & 1) {
            /* Half of the tries find the reader asleep, the others on its way. */
            int64_t until = ff_monotonic() + (int64_t)(stress_random(&random) % 100000);
            while (ff_monotonic() < until)
                ;
        }
        stress_commit(&w, head, 64);
        ff_ring_flush(&w);
        wakes += (uint64_t)ff_wake(&shared->word, &shared->sleepers);
        if (decide) {
            __atomic_store_n(&shared->at_producer, 2 * round, ORDER_RELEASE);
            pause_until(&shared->at_reader, 2 * round);
        } else
            for (i = 0; i < readers; i++)
                pause_until(&shared->taken[i][0], round);
    }
    for (i = 0; i < readers; i++) {
        int status = 0;
        waitpid(children[i], &status, 0);
        failed |= status != 0;
        sleeps += shared->sleeps[i];
    }
    printf("{\"tries\": %llu, \"taken\": %llu, \"sleeps\": %llu, \"wakes\": %llu, \"missed\": %llu}\n",
           (unsigned long long)w.count, (unsigned long long)shared->taken[0][0], (unsigned long long)sleeps,
           (unsigned long long)wakes, (unsigned long long)shared->missed);
    return failed;
}
