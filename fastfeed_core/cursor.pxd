"""A strict on-demand JSON cursor: a struct and inline functions, no tree and no allocation.

Every function takes the cursor behind what it read and returns a `Status`; after a failure `p` stands at the offending
byte. Strict means RFC 8259: control bytes, bad escapes, bad UTF-8, leading zeros, trailing commas and trailing text are
errors. Nothing is read at or behind `end`.
"""

from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcmp

from fastfeed_core.decimal cimport decimal_read
from fastfeed_core.status cimport OK, RANGE, SHAPE, SYNTAX, TRUNCATED

cdef struct Cursor:
    const char* p
    const char* end

#: a piece of the text, without the quotes; `escaped` if its bytes are not its characters
cdef struct Span:
    const char* p
    Py_ssize_t size
    bint escaped

#: nesting that `cursor_skip` follows; no venue nests deeper than 6
cdef enum:
    MAX_DEPTH = 32

cdef int cursor_string_slow(Cursor* c, Span* out) noexcept nogil
cdef int cursor_skip_nested(Cursor* c, int depth) noexcept nogil


cdef inline int hex_digit(char c) noexcept nogil:
    """The value of a hexadecimal digit, -1 if it is none."""
    if c"0" <= c <= c"9":
        return c - c"0"
    if c"a" <= (c | 0x20) <= c"f":
        return (c | 0x20) - c"a" + 10
    return -1


cdef inline void cursor_space(Cursor* c) noexcept nogil:
    while c.p < c.end and (c.p[0] == c" " or c.p[0] == c"\n" or c.p[0] == c"\t" or c.p[0] == c"\r"):
        c.p += 1


cdef inline int cursor_fail(Cursor* c) noexcept nogil:
    """Tell what it means that the byte at the cursor is not the expected one."""
    return TRUNCATED if c.p >= c.end else SYNTAX


cdef inline int cursor_expect(Cursor* c, char wanted) noexcept nogil:
    """Step over one structural character and the space around it."""
    cursor_space(c)
    if c.p >= c.end or c.p[0] != wanted:
        return cursor_fail(c)
    c.p += 1
    cursor_space(c)
    return OK


cdef inline bint cursor_accept(Cursor* c, char wanted) noexcept nogil:
    """Step over `wanted` and the space behind it if it is what comes next."""
    if c.p < c.end and c.p[0] == wanted:
        c.p += 1
        cursor_space(c)
        return True
    return False


cdef inline int cursor_string(Cursor* c, Span* out) noexcept nogil:
    """Read a string; plain ASCII without escapes is handled here."""
    cdef const char* p
    cdef unsigned char byte
    if c.p >= c.end:
        return TRUNCATED
    if c.p[0] != c'"':
        return SHAPE
    p = c.p + 1
    while p < c.end:
        byte = <unsigned char>p[0]
        if byte == c'"':
            out.p = c.p + 1
            out.size = p - out.p
            out.escaped = False
            c.p = p + 1
            return OK
        if byte < 0x20 or byte == c"\\" or byte >= 0x80:
            return cursor_string_slow(c, out)
        p += 1
    c.p = p
    return TRUNCATED


cdef inline int cursor_first_key(Cursor* c, Span* key) noexcept nogil:
    """Enter an object: 1 with its first key and the cursor at the value, 0 if it is empty, else a failure."""
    cdef int code
    if c.p < c.end and c.p[0] != c"{":
        return SHAPE
    code = cursor_expect(c, c"{")
    if code != OK:
        return code
    if cursor_accept(c, c"}"):
        return 0
    return cursor_key(c, key)


cdef inline int cursor_next_key(Cursor* c, Span* key) noexcept nogil:
    """Behind a value: 1 with the next key and the cursor at its value, 0 at the end of the object, else a failure."""
    cursor_space(c)
    if cursor_accept(c, c"}"):
        return 0
    if c.p >= c.end or c.p[0] != c",":
        return cursor_fail(c)
    c.p += 1
    cursor_space(c)
    return cursor_key(c, key)


cdef inline int cursor_key(Cursor* c, Span* key) noexcept nogil:
    cdef int code
    if c.p < c.end and c.p[0] != c'"':
        return SYNTAX
    code = cursor_string(c, key)
    if code != OK:
        return code
    code = cursor_expect(c, c":")
    return 1 if code == OK else code


cdef inline bint span_is(const Span* span, const char* text, Py_ssize_t size) noexcept nogil:
    return span.size == size and not span.escaped and memcmp(span.p, text, size) == 0


cdef inline uint64_t span_word(const Span* span) noexcept nogil:
    """The bytes of a key of at most 8 characters as one number, else 0: a `switch` over keys."""
    cdef uint64_t word = 0
    cdef Py_ssize_t i
    if span.size > 8 or span.escaped:
        return 0
    for i in range(span.size):
        word = (word << 8) | <unsigned char>span.p[i]
    return word


cdef inline int cursor_int(Cursor* c, int64_t* out) noexcept nogil:
    """Read a JSON integer: no fraction, no exponent."""
    cdef const char* p = c.p
    cdef const char* digits
    cdef bint negative = False
    cdef uint64_t value = 0
    cdef unsigned int digit
    if p >= c.end:
        return TRUNCATED
    if p[0] == c"-":
        negative = True
        p += 1
    digits = p
    while p < c.end:
        digit = <unsigned int>(<unsigned char>p[0]) - 48
        if digit > 9:
            break
        value = value * 10 + digit
        p += 1
    if p == digits:
        if p >= c.end:
            c.p = p
            return TRUNCATED
        return SYNTAX if negative else SHAPE
    if digits[0] == c"0" and p - digits > 1:
        return SYNTAX
    if p - digits > 19 or value > 9223372036854775807ULL:
        return RANGE
    if p < c.end and (p[0] == c"." or (p[0] | 0x20) == c"e"):
        return SHAPE
    out[0] = -<int64_t>value if negative else <int64_t>value
    c.p = p
    return OK


cdef inline int cursor_bool(Cursor* c, bint* out) noexcept nogil:
    cdef Py_ssize_t left = c.end - c.p
    if left >= 4 and memcmp(c.p, b"true", 4) == 0:
        out[0] = True
        c.p += 4
        return OK
    if left >= 5 and memcmp(c.p, b"false", 5) == 0:
        out[0] = False
        c.p += 5
        return OK
    if left < 5 and (memcmp(c.p, b"true", left if left < 4 else 4) == 0 or memcmp(c.p, b"false", left) == 0):
        c.p = c.end
        return TRUNCATED
    return SHAPE


cdef inline int cursor_decimal(Cursor* c, int exponent, int64_t* out) noexcept nogil:
    """Read a number that stands in quotes (`"0.10"`) or bare (`0.10`)."""
    cdef bint quoted
    cdef int code
    if c.p >= c.end:
        return TRUNCATED
    quoted = c.p[0] == c'"'
    if quoted:
        c.p += 1
    code = decimal_read(&c.p, c.end, exponent, out)
    if code != OK:
        return SHAPE if code == SYNTAX else code
    if quoted:
        if c.p >= c.end:
            return TRUNCATED
        if c.p[0] != c'"':
            return SHAPE
        c.p += 1
    return OK


cdef inline int cursor_skip(Cursor* c) noexcept nogil:
    """Step over one value of any kind, checking its grammar."""
    return cursor_skip_nested(c, 0)


cdef inline int cursor_finish(Cursor* c) noexcept nogil:
    """Nothing but space may follow."""
    cursor_space(c)
    return OK if c.p == c.end else SYNTAX
