"""Latency histograms: log-linear, 32 buckets an octave (3 % wide), up to 2**42 ns.

The counts lie as HdrHistogram has them with 64 sub-buckets and a unit of 1: between its 1 and 2 significant digits.
"""

from libc.stdint cimport int64_t, uint64_t

from fastfeed_core.records cimport HISTOGRAM_SIZE, LatencyHead

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


cdef inline void latency_add(LatencyHead* at, int64_t to_ring, int ring_bucket) noexcept nogil:
    """Count a message's time from socket to ring; the caller has its bucket, for it counts in several places."""
    cdef int64_t* counts = <int64_t*>(at + 1)
    counts[ring_bucket] += 1
    if to_ring > at.ring_max:
        at.ring_max = to_ring


cdef inline void latency_add_venue(LatencyHead* at, int64_t to_socket, int venue_bucket) noexcept nogil:
    """Count a message's time from venue to socket: a difference of two clocks, which may be negative."""
    cdef int64_t* counts = <int64_t*>(at + 1) + HISTOGRAM_SIZE
    counts[venue_bucket] += 1
    if to_socket > at.venue_max:
        at.venue_max = to_socket
    if to_socket < at.venue_min:
        at.venue_min = to_socket
    at.venue_ahead += to_socket < 0


cdef int latency_bytes() noexcept nogil
cdef void latency_init(LatencyHead* at) noexcept nogil
