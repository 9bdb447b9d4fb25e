"""What scanners of all venues share: literals, integers and level arrays in the order that the venue sends them.

A scanner is the fast path of a decoder. It accepts a message only if it matches to the last byte; on any doubt it
answers False and the order-free cursor reads the message again from its start, so nothing here reports errors.
"""

from libc.stdint cimport int64_t

from fastfeed_core.cursor cimport Cursor, cursor_accept, cursor_decimal, cursor_expect, cursor_fail, cursor_space
from fastfeed_core.decimal cimport decimal_read
from fastfeed_core.status cimport OK, OVERSIZE, RANGE, SHAPE

cdef extern from "scan.h" nogil:
    #: step over `text` if it is what comes next
    bint scan_text "ff_scan_text"(const char** cursor, const char* end, const char* text, int64_t size)
    #: a JSON integer of 1 to 18 digits that is not negative
    bint scan_int "ff_scan_int"(const char** cursor, const char* end, int64_t* out)

cdef enum:
    MS = 1000000
    #: milliseconds beyond this do not fit nanoseconds in an int64
    MAX_MS = 9223372036854


cdef inline bint scan_ms(const char** cursor, const char* end, int64_t* out) noexcept nogil:
    """Milliseconds, as ns."""
    if not scan_int(cursor, end, out) or out[0] > MAX_MS:
        return False
    out[0] *= MS
    return True


cdef inline bint scan_decimal(const char** cursor, const char* end, int exponent, int64_t* out) noexcept nogil:
    """A number that is not negative."""
    return decimal_read(cursor, end, exponent, out) == OK and out[0] >= 0


cdef inline bint scan_word(const char** cursor, const char* end) noexcept nogil:
    """The rest of a plain ASCII string behind its opening quote, whatever it says, with the closing quote."""
    cdef const char* p = cursor[0]
    cdef unsigned char byte
    while p < end:
        byte = <unsigned char>p[0]
        if byte == c'"':
            cursor[0] = p + 1
            return True
        if byte < 0x20 or byte >= 0x80 or byte == c"\\":
            return False
        p += 1
    return False


cdef inline int scan_quoted_pairs(const char** cursor, const char* end, int px_exp, int sz_exp, int64_t* pairs,
                                  int room) noexcept nogil:
    """`["px","sz"],...]` behind the opening bracket, with the closing one: how many pairs, -1 if in doubt."""
    cdef const char* p = cursor[0]
    cdef int n = 0
    if p < end and p[0] == c"]":
        cursor[0] = p + 1
        return 0
    while n < room:
        if end - p < 8 or p[0] != c"[" or p[1] != c'"':
            return -1
        p += 2
        if not scan_decimal(&p, end, px_exp, pairs + 2 * n):
            return -1
        if end - p < 3 or p[0] != c'"' or p[1] != c"," or p[2] != c'"':
            return -1
        p += 3
        if not scan_decimal(&p, end, sz_exp, pairs + 2 * n + 1):
            return -1
        if end - p < 3 or p[0] != c'"' or p[1] != c"]":
            return -1
        n += 1
        if p[2] == c",":
            p += 3
            continue
        if p[2] == c"]":
            cursor[0] = p + 3
            return n
        return -1
    return -1


cdef inline int cursor_price(Cursor* c, int exponent, int64_t* out) noexcept nogil:
    """A number that may not be negative, in quotes or bare."""
    cdef int code = cursor_decimal(c, exponent, out)
    if code == OK and out[0] < 0:
        return RANGE
    return code


cdef inline int cursor_pairs(Cursor* c, int px_exp, int sz_exp, int64_t* pairs, int room, int* n) noexcept nogil:
    """`[[px, sz], ...]`, exactly two elements each; `pairs` has room for `room` of them."""
    cdef int code
    n[0] = 0
    if c.p < c.end and c.p[0] != c"[":
        return SHAPE
    code = cursor_expect(c, c"[")
    if code != OK:
        return code
    if cursor_accept(c, c"]"):
        return OK
    while True:
        if n[0] == room:
            return OVERSIZE
        if c.p < c.end and c.p[0] != c"[":
            return SHAPE
        code = cursor_expect(c, c"[")
        if code == OK:
            code = cursor_price(c, px_exp, pairs + 2 * n[0])
        if code == OK:
            code = cursor_expect(c, c",")
        if code == OK:
            code = cursor_price(c, sz_exp, pairs + 2 * n[0] + 1)
        if code != OK:
            return code
        cursor_space(c)
        if not cursor_accept(c, c"]"):
            return SHAPE if c.p < c.end and c.p[0] == c"," else cursor_fail(c)
        n[0] += 1
        cursor_space(c)
        if cursor_accept(c, c"]"):
            return OK
        code = cursor_expect(c, c",")
        if code != OK:
            return code


cdef inline int cursor_ms(int64_t ms, int64_t* ns) noexcept nogil:
    if ms < 0 or ms > MAX_MS:
        return RANGE
    ns[0] = ms * MS
    return OK
