/* SPDX-License-Identifier: MIT
   Compiled without ThreadSanitizer, and linked to what is compiled with it: see ring_stress.c. */
#include <sched.h>
#include <stdint.h>

static int held;

void unseen_lock(void)
{
    while (__atomic_exchange_n(&held, 1, __ATOMIC_ACQUIRE))
        sched_yield();
}

void unseen_unlock(void) { __atomic_store_n(&held, 0, __ATOMIC_RELEASE); }

uint64_t unseen_load(const uint64_t *at) { return __atomic_load_n(at, __ATOMIC_ACQUIRE); }
