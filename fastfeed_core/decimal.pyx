"""ASCII decimal text to an int64 mantissa: exact or an error, never rounded, never wrapped."""

from libc.stdint cimport int64_t, uint64_t

from fastfeed_core.status cimport INEXACT, OK, RANGE, SYNTAX, TRUNCATED

from fastfeed_core.status import describe

cdef enum:
    #: exponents beyond this are clamped: with at most 19 digits kept, the result is out of range or inexact anyway
    EXPONENT_LIMIT = 100000
    #: of numbers whose exponent is their own
    EXPONENT_MOST = 100


cdef inline bint _is_digit(const char* p, const char* end) noexcept nogil:
    return p < end and c"0" <= p[0] <= c"9"


cdef struct Digits:
    #: the number is value * 10**scale
    uint64_t value
    long scale
    bint negative
    #: more than 19 significant digits: `value` lacks some
    bint too_long


cdef int _read_digits(const char** cursor, const char* end, Digits* out) noexcept nogil:
    """Read a JSON number; on failure the cursor stands at the offending byte."""
    cdef const char* p = cursor[0]
    cdef bint exponent_negative = False
    cdef uint64_t value = 0
    cdef int digits = 0             # significant digits in value
    cdef int zeros = 0              # zeros seen since the last digit that is not one
    cdef long scale = 0             # the value read so far is value * 10**scale, zeros not yet counted
    cdef long power = 0
    cdef bint fraction = False
    out.negative = False
    out.too_long = False
    if p < end and p[0] == c"-":
        out.negative = True
        p += 1
    if p >= end:
        cursor[0] = p
        return TRUNCATED
    if not _is_digit(p, end) or (p[0] == c"0" and _is_digit(p + 1, end)):
        cursor[0] = p
        return SYNTAX
    while p < end:
        if p[0] == c"." and not fraction:
            fraction = True
            p += 1
            if not _is_digit(p, end):
                cursor[0] = p
                return TRUNCATED if p >= end else SYNTAX
            continue
        if not _is_digit(p, end):
            break
        if fraction:
            scale -= 1
        if p[0] == c"0":
            # A zero counts only when another digit follows it: trailing zeros never cost precision.
            if digits:
                zeros += 1
        else:
            if digits + zeros + 1 > 19:
                out.too_long = True
            else:
                for _ in range(zeros):
                    value *= 10
                value = value * 10 + <uint64_t>(p[0] - c"0")
                digits += zeros + 1
            zeros = 0
        p += 1
    if p < end and (p[0] | 0x20) == c"e":
        p += 1
        if p < end and (p[0] == c"+" or p[0] == c"-"):
            exponent_negative = p[0] == c"-"
            p += 1
        if not _is_digit(p, end):
            cursor[0] = p
            return TRUNCATED if p >= end else SYNTAX
        while _is_digit(p, end):
            if power < EXPONENT_LIMIT:
                power = power * 10 + (p[0] - c"0")
            p += 1
        if exponent_negative:
            power = -power
    out.value = value
    out.scale = scale + power + zeros
    cursor[0] = p
    return OK


cdef int decimal_slow(const char** cursor, const char* end, int exponent, int64_t* mantissa) noexcept nogil:
    cdef const char* p = cursor[0]
    cdef Digits digits
    cdef long scale
    cdef int code = _read_digits(&p, end, &digits)
    if code != OK:
        cursor[0] = p
        return code
    if digits.value == 0:
        mantissa[0] = 0
        cursor[0] = p
        return OK
    scale = digits.scale - exponent
    if scale < 0:
        return INEXACT
    if digits.too_long or scale > 18 or digits.value > 9223372036854775807ULL // POW10[scale]:
        return RANGE
    digits.value *= POW10[scale]
    mantissa[0] = -<int64_t>digits.value if digits.negative else <int64_t>digits.value
    cursor[0] = p
    return OK


cdef int decimal_read_any(const char** cursor, const char* end, int64_t* mantissa, int* exponent) noexcept nogil:
    cdef const char* p = cursor[0]
    cdef Digits digits
    cdef int code = _read_digits(&p, end, &digits)
    if code != OK:
        cursor[0] = p
        return code
    if digits.value == 0:
        mantissa[0] = 0
        exponent[0] = 0
        cursor[0] = p
        return OK
    # Numbers without a decimal point keep exponent 0 where they can: 100 is 100, not 1e2.
    while digits.scale > 0 and digits.value <= 922337203685477580ULL:
        digits.value *= 10
        digits.scale -= 1
    if digits.too_long or not -EXPONENT_MOST <= digits.scale <= EXPONENT_MOST or digits.value > 9223372036854775807ULL:
        return RANGE
    mantissa[0] = -<int64_t>digits.value if digits.negative else <int64_t>digits.value
    exponent[0] = <int>digits.scale
    cursor[0] = p
    return OK


def parse(bytes text not None, int exponent):
    """Return the mantissa of `text`, so that its value is mantissa * 10**exponent.

    Parameters
    ----------
    text : a JSON number, all of it
    exponent : -18 to 18

    Raises
    ------
    ValueError : not a JSON number, not exact at this exponent, or beyond int64
    """
    cdef const char* p = text
    cdef const char* end = p + len(text)
    cdef int64_t mantissa = 0
    cdef int code
    if not -18 <= exponent <= 18:
        raise ValueError(f"exponent out of range: expected -18 to 18, was {exponent}")
    code = decimal_read(&p, end, exponent, &mantissa)
    if code == OK and p != end:
        code = SYNTAX
    if code != OK:
        raise ValueError(f"cannot read {text!r} at exponent {exponent}: {describe(code)}")
    return mantissa


def parse_any(bytes text not None):
    """Return (mantissa, exponent) of `text`, so that its value is mantissa * 10**exponent, without trailing zeros.

    Parameters
    ----------
    text : a JSON number, all of it

    Raises
    ------
    ValueError : not a JSON number, more digits than int64 has, or an exponent beyond -100 to 100
    """
    cdef const char* p = text
    cdef const char* end = p + len(text)
    cdef int64_t mantissa = 0
    cdef int exponent = 0
    cdef int code = decimal_read_any(&p, end, &mantissa, &exponent)
    if code == OK and p != end:
        code = SYNTAX
    if code != OK:
        raise ValueError(f"cannot read {text!r}: {describe(code)}")
    return mantissa, exponent
