"""Latency histograms and how they are read."""

import base64
import struct
import zlib

from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy, memset

cdef enum:
    #: what HdrHistogram calls an encoded histogram (V2), and a compressed one
    HDR_COOKIE = 0x1C849313
    HDR_COMPRESSED = 0x1C849314
    #: 2 significant digits are 256 sub-buckets: each of them lies in one of our 64 an octave
    HDR_DIGITS = 2
    HDR_SUB_BITS = 8


cdef int latency_bytes() noexcept nogil:
    """Bytes of a LatencyHead with its two histograms."""
    return sizeof(LatencyHead) + 2 * HISTOGRAM_SIZE * sizeof(int64_t)


cdef void latency_init(LatencyHead* at) noexcept nogil:
    memset(at, 0, sizeof(LatencyHead))
    at.venue_min = (<uint64_t>1 << 63) - 1


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
                return self._value(i)
        return self.max

    cdef int64_t _value(self, int index):
        """The greatest value that a bucket stands for; the last one also for all that are beyond it."""
        if self.max and (index == HISTOGRAM_SIZE - 1 or self.max < bucket_high(index)):
            return self.max
        return bucket_high(index)

    def percentiles(self, int steps=5):
        """Return the distribution as [(percent, value, values up to it)], `steps` for each halving of what is left.

        These are the points of HdrHistogram's percentile output; the last one is (100.0, max, count).
        """
        cdef int64_t total = self.count
        cdef int64_t seen = 0
        cdef int i
        cdef double percent = 0.0
        cdef double step
        out = []
        if steps < 1:
            raise ValueError(f"steps: expected at least 1, was {steps}")
        for i in range(HISTOGRAM_SIZE):
            if self.counts[i] == 0:
                continue
            seen += self.counts[i]
            if seen == total:
                break
            while 100.0 * seen >= percent * total:
                out.append((percent, self._value(i), seen))
                step = 100.0 / steps / 2.0
                while (100.0 - percent) < step * steps * 2.0:
                    step /= 2.0
                percent += step
        if total:
            out.append((100.0, self.percentile(100.0), total))
        return out

    def encode(self):
        """Return the histogram as HdrHistogram's tools read it: V2, compressed, as base64 text.

        It has 2 significant digits there, a unit of 1 ns, and every value at the upper end of its bucket here.
        """
        cdef int64_t i
        cdef int64_t value
        cdef int64_t shift
        cdef int64_t place
        cdef int64_t last = -1
        cdef bytearray body = bytearray()
        for i in range(HISTOGRAM_SIZE):
            if self.counts[i] == 0:
                continue
            value = min(self._value(i), bucket_high(HISTOGRAM_SIZE - 1))
            shift = 0
            while value >> shift >= 1 << HDR_SUB_BITS:
                shift += 1
            place = (shift << (HDR_SUB_BITS - 1)) + (value >> shift)
            if place > last + 1:
                _put_zigzag(body, -(place - last - 1))
            _put_zigzag(body, self.counts[i])
            last = place
        head = struct.pack(">iiiiqqd", HDR_COOKIE, len(body), 0, HDR_DIGITS, 1, bucket_high(HISTOGRAM_SIZE - 1), 1.0)
        packed = zlib.compress(head + bytes(body))
        return base64.b64encode(struct.pack(">ii", HDR_COMPRESSED, len(packed)) + packed).decode()


cdef _put_zigzag(bytearray body, int64_t value):
    """A count, or minus a number of empty buckets, in HdrHistogram's variable length: 7 bits a byte, 8 in the ninth."""
    cdef uint64_t rest = (<uint64_t>value << 1) ^ <uint64_t>(value >> 63)
    cdef int n = 0
    while rest >= 128 and n < 8:
        body.append(rest & 127 | 128)
        rest >>= 7
        n += 1
    body.append(rest)
