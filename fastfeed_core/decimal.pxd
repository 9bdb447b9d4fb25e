"""ASCII decimal text to an int64 mantissa: exact or an error, never rounded, never wrapped."""

from libc.stdint cimport int64_t, uint64_t

from fastfeed_core.status cimport OK

cdef extern from "decimal.h" nogil:
    const uint64_t[20] POW10 "FF_POW10"
    bint ff_decimal_fast(const char** cursor, const char* end, int keep, int64_t* mantissa)

#: value = mantissa * 10**exponent; takes every number: signs, exponents, any length
cdef int decimal_slow(const char** cursor, const char* end, int exponent, int64_t* mantissa) noexcept nogil
#: value = mantissa * 10**exponent with the exponent of the text's last digit that is not zero
cdef int decimal_read_any(const char** cursor, const char* end, int64_t* mantissa, int* exponent) noexcept nogil


cdef inline int decimal_read(const char** cursor, const char* end, int exponent, int64_t* mantissa) noexcept nogil:
    """Read the JSON number at `cursor[0]` as `mantissa * 10**exponent` and move the cursor behind it.

    Exponents are -18 to 18. Short plain numbers are read eight characters at a time, all others one by one.
    """
    if exponent <= 0 and ff_decimal_fast(cursor, end, -exponent, mantissa):
        return OK
    return decimal_slow(cursor, end, exponent, mantissa)
