"""Clocks and the futex of `wake.h`, as Cython sees them."""

from libc.stdint cimport int64_t, uint32_t

cdef extern from "wake.h" nogil:
    int64_t ff_realtime()
    int64_t ff_monotonic()
    int ff_wake(uint32_t* word, uint32_t* sleepers)
    uint32_t ff_prepare_sleep(const uint32_t* word, uint32_t* sleepers)
    void ff_sleep(const uint32_t* word, uint32_t seen, int64_t timeout_ns)
