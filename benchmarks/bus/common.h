/* SPDX-License-Identifier: MIT
   What the drivers of the bus benchmark share: clocks, pinning, a pair of processes, samples. */
#ifndef BENCH_COMMON_H
#define BENCH_COMMON_H

#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ring.h"

#ifndef EMPTY
#define EMPTY relax() /* what a reader that spins does between two looks */
#endif

#define MAX_RECORD 4096
#define AREA_HEAD 65536 /* words, ping-pong lines and the rings' control words; the rings follow */

#define die(...) (fprintf(stderr, __VA_ARGS__), fputc('\n', stderr), exit(2))

static inline void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

/* Ticks of a counter that all cores share. The fence keeps it from being read before what it times has finished. */
static inline uint64_t ticks(void)
{
#if defined(__x86_64__)
    __builtin_ia32_lfence();
    return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
    uint64_t t;
    __asm__ __volatile__("isb; mrs %0, cntvct_el0" : "=r"(t));
    return t;
#endif
}

static inline int64_t monotonic(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline double ns_per_tick(void)
{
    int64_t n0 = monotonic();
    uint64_t t0 = ticks();
    while (monotonic() - n0 < 50000000)
        ;
    return (double)(monotonic() - n0) / (double)(ticks() - t0);
}

static inline void pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set))
        die("cannot pin to cpu %d: %s", cpu, strerror(errno));
}

/* Memory that a child shares: pages of the same kind as those of a bus. */
static inline char *share(size_t size)
{
    char *p = mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (p == MAP_FAILED)
        die("cannot map %zu bytes: %s", size, strerror(errno));
    memset(p, 0, size); /* a page that is mapped but was never written would fault in the timed loop */
    return p;
}

/* A child that goes when its parent does. */
static inline pid_t spawn(void)
{
    pid_t parent = getpid(), child = fork();
    if (child < 0)
        die("cannot fork: %s", strerror(errno));
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(2);
    }
    return child;
}

static inline void join(pid_t child)
{
    int status;
    if (waitpid(child, &status, 0) <= 0 || !WIFEXITED(status) || WEXITSTATUS(status))
        die("the other process failed");
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static inline double percentile(uint32_t *sorted, int n, double share) { return sorted[(int)(share * (n - 1))]; }

/* The median, finer than the counter's steps of some ns: the mean of the fifth around it. Sorts. */
static inline double middle(uint32_t *samples, int n)
{
    double sum = 0;
    int from = 2 * n / 5, to = 3 * n / 5;
    qsort(samples, (size_t)n, sizeof *samples, by_value);
    for (int i = from; i < to; i++)
        sum += samples[i];
    return sum / (to - from);
}

static inline void store(uint64_t *at, uint64_t value) { __atomic_store_n(at, value, __ATOMIC_RELEASE); }
static inline uint64_t load(const uint64_t *at) { return __atomic_load_n(at, __ATOMIC_ACQUIRE); }

static inline void await(const uint64_t *at, uint64_t value)
{
    while (load(at) != value)
        ;
}

/* The calibration: one line goes there, another comes back, and nothing else is done. */
static inline void ping(uint64_t *there, const uint64_t *back, uint64_t base, int n, uint32_t *samples)
{
    for (int i = 1; i <= n; i++) {
        uint64_t start = ticks();
        store(there, base + (uint64_t)i);
        await(back, base + (uint64_t)i);
        samples[i - 1] = (uint32_t)(ticks() - start);
    }
}

static inline void pong(const uint64_t *there, uint64_t *back, uint64_t base, int n)
{
    for (int i = 1; i <= n; i++) {
        await(there, base + (uint64_t)i);
        store(back, base + (uint64_t)i);
    }
}

/* Room for the next record: its payload, of words. */
static inline uint64_t *claim(ff_ring_writer *w, uint64_t size)
{
    return (uint64_t *)((char *)ff_ring_claim(w, size) + sizeof(ff_head));
}

#endif
