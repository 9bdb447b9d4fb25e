"""Latency histograms: log-linear, 32 buckets an octave (3 % wide), up to 2**41 ns; HDR's idea, fixed size."""

from libc.stdint cimport int64_t, uint64_t

from fastfeed_core.records cimport HISTOGRAM_SIZE

cdef extern from *:
    """
    static inline int ff_bucket(int64_t v)
    {
        int shift;
        if (v < 64) return v < 0 ? 0 : (int)v;
        shift = 58 - __builtin_clzll((uint64_t)v);
        if (shift > 36) return 1215;
        return (shift << 5) + (int)(v >> shift);
    }
    """
    int histogram_bucket "ff_bucket"(int64_t value) noexcept nogil


cdef inline void histogram_add(int64_t* counts, int64_t value) noexcept nogil:
    counts[histogram_bucket(value)] += 1
