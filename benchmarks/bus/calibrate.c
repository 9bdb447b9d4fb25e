/* SPDX-License-Identifier: MIT
   The ping-pong of common.h as a library: calibrates pairs of processes that are not drivers in C. */
#include "common.h"

/* Median of `n` round trips in ns. */
double bench_ping(uint64_t *there, const uint64_t *back, uint64_t base, int n)
{
    static double scale;
    uint32_t *samples = calloc((size_t)n, sizeof *samples);
    double found;
    if (scale == 0)
        scale = ns_per_tick();
    ping(there, back, base, n, samples);
    found = middle(samples, n) * scale;
    free(samples);
    return found;
}

void bench_pong(const uint64_t *there, uint64_t *back, uint64_t base, int n) { pong(there, back, base, n); }
