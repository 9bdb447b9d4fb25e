"""Clocks, the futex and the bell of `wake.h`, as Cython sees them."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef extern from "wake.h" nogil:
    ctypedef struct ff_bell:
        uint32_t sleepers

    int64_t ff_realtime()
    int64_t ff_monotonic()
    int64_t ff_monotonic_coarse()
    int ff_wake(uint32_t* word, uint32_t* sleepers)
    uint32_t ff_prepare_sleep(const uint32_t* word, uint32_t* sleepers)
    bint ff_sleep_as(const uint32_t* word, uint32_t seen, int64_t timeout_ns, uint32_t mask)
    void ff_interrupt(const uint32_t* word, uint32_t mask)
    ff_bell* ff_bell_create(int64_t group, uint64_t generation, int64_t* id)
    ff_bell* ff_bell_attach(int64_t id, uint64_t generation)
    void ff_bell_detach(ff_bell* bell)
