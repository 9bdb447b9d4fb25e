"""Latency histograms and how they are read."""

from libc.stdint cimport int64_t
from libc.string cimport memcpy, memset


def bucket_low(int64_t index):
    """Return the smallest value that falls into a bucket."""
    if index < 64:
        return index
    return (32 + (index & 31)) << ((index >> 5) - 1)


def bucket_high(int64_t index):
    """Return the largest value that falls into a bucket."""
    return bucket_low(index + 1) - 1


cdef class Histogram:
    """Counts of int64 values (ns) in log-linear buckets, each 3 % wide.

    Parameters
    ----------
    counts : bytes of HISTOGRAM_SIZE little-endian int64 to start from; none: all zero
    """

    cdef int64_t[HISTOGRAM_SIZE] counts
    cdef readonly int64_t max

    def __cinit__(self, bytes counts=None, int64_t max=0):
        memset(self.counts, 0, sizeof(self.counts))
        if counts is not None:
            if len(counts) != sizeof(self.counts):
                raise ValueError(f"histogram size: expected {sizeof(self.counts)} bytes, was {len(counts)}")
            memcpy(self.counts, <const char*>counts, sizeof(self.counts))
        self.max = max

    cpdef record(self, int64_t value):
        """Count one value; a negative one (clocks of two machines) counts as 0."""
        histogram_add(self.counts, value)
        if value > self.max:
            self.max = value

    def merge(self, Histogram other not None):
        """Add another histogram's counts."""
        cdef int i
        for i in range(HISTOGRAM_SIZE):
            self.counts[i] += other.counts[i]
        self.max = max(self.max, other.max)

    @property
    def count(self):
        """Values counted."""
        cdef int64_t total = 0
        cdef int i
        for i in range(HISTOGRAM_SIZE):
            total += self.counts[i]
        return total

    def percentile(self, double percent):
        """Return the value below which `percent` (0 to 100) of the values lie, to 3 %; 0 if there are none."""
        cdef int64_t total = self.count
        cdef int64_t wanted
        cdef int64_t seen = 0
        cdef int i
        if total == 0:
            return 0
        wanted = max(1, <int64_t>(total * percent / 100.0 + 0.999999))
        for i in range(HISTOGRAM_SIZE):
            seen += self.counts[i]
            if seen >= wanted:
                return min(bucket_high(i), self.max) if self.max else bucket_high(i)
        return self.max
