"""ASCII decimal text to an int64 mantissa: exact or an error, never rounded, never wrapped."""

from libc.stdint cimport int64_t, uint64_t

from fastfeed_core.status cimport INEXACT, OK, RANGE, SYNTAX, TRUNCATED

cdef enum:
    #: digits that always fit an int64
    SAFE_DIGITS = 18

cdef extern from "pow10.h" nogil:
    const uint64_t[20] POW10 "FF_POW10"

#: value = mantissa * 10**exponent; the slow path takes signs, exponents and more than 18 digits
cdef int decimal_slow(const char** cursor, const char* end, int exponent, int64_t* mantissa) noexcept nogil


cdef inline int decimal_read(const char** cursor, const char* end, int exponent, int64_t* mantissa) noexcept nogil:
    """Read the JSON number at `cursor[0]` as `mantissa * 10**exponent` and move the cursor behind it.

    Plain digits with an optional fraction are read here; everything else is left to `decimal_slow`, which starts
    again from the first character.
    """
    cdef const char* p = cursor[0]
    cdef const char* first = p
    cdef const char* point
    cdef int keep = -exponent
    cdef int missing
    cdef uint64_t value
    cdef unsigned int digit
    if p >= end:
        return TRUNCATED
    digit = <unsigned int>(<unsigned char>p[0]) - 48
    if digit > 9 or keep < 0:
        return decimal_slow(cursor, end, exponent, mantissa)
    value = digit
    p += 1
    if digit != 0:
        while p < end:
            digit = <unsigned int>(<unsigned char>p[0]) - 48
            if digit > 9:
                break
            value = value * 10 + digit
            p += 1
    elif p < end and <unsigned int>(<unsigned char>p[0]) - 48 <= 9:
        cursor[0] = p
        return SYNTAX                       # a leading zero
    if p - first > SAFE_DIGITS:
        return decimal_slow(cursor, end, exponent, mantissa)
    missing = keep
    if p < end and p[0] == c".":
        p += 1
        point = p
        first += 1                          # the point is no digit
        while p < end:
            digit = <unsigned int>(<unsigned char>p[0]) - 48
            if digit > 9 or missing == 0:
                break
            value = value * 10 + digit
            missing -= 1
            p += 1
        if p - first > SAFE_DIGITS:
            return decimal_slow(cursor, end, exponent, mantissa)
        if missing == 0:
            while p < end and p[0] == c"0":
                p += 1
            if p < end and <unsigned int>(<unsigned char>p[0]) - 48 <= 9:
                # Excess digits that are not zeros; an exponent behind them could still make the value exact.
                return decimal_slow(cursor, end, exponent, mantissa)
        if p == point:
            cursor[0] = p
            return TRUNCATED if p >= end else SYNTAX
    if p < end and (p[0] | 0x20) == c"e":
        return decimal_slow(cursor, end, exponent, mantissa)
    if missing != 0 and value != 0:
        if missing > SAFE_DIGITS or value > 9223372036854775807ULL // POW10[missing]:
            return RANGE
        value *= POW10[missing]
    mantissa[0] = <int64_t>value
    cursor[0] = p
    return OK
