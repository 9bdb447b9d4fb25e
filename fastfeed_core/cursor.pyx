"""A strict on-demand JSON cursor: the parts that are too rare or too long to be inlined."""

from fastfeed_core.status cimport OK, SYNTAX, TRUNCATED

from fastfeed_core.status import describe


cdef int _utf8(const unsigned char* p, const unsigned char* end) noexcept nogil:
    """Length of the well-formed UTF-8 sequence at `p`, 0 if it is cut off, -1 if it is none (RFC 3629)."""
    cdef int size, i
    cdef unsigned char first = p[0]
    cdef unsigned char low = 0x80
    cdef unsigned char high = 0xBF
    if 0xC2 <= first <= 0xDF:
        size = 2
    elif 0xE0 <= first <= 0xEF:
        size = 3
        if first == 0xE0:
            low = 0xA0
        elif first == 0xED:
            high = 0x9F                     # surrogates have no UTF-8
    elif 0xF0 <= first <= 0xF4:
        size = 4
        if first == 0xF0:
            low = 0x90
        elif first == 0xF4:
            high = 0x8F
    else:
        return -1
    for i in range(1, size):
        if p + i >= end:
            return 0
        if not low <= p[i] <= high:
            return -1
        low = 0x80
        high = 0xBF
    return size


cdef int cursor_string_slow(Cursor* c, Span* out) noexcept nogil:
    cdef const char* p = c.p + 1
    cdef const char* start = p
    cdef unsigned char byte
    cdef int i, size
    out.escaped = False
    while p < c.end:
        byte = <unsigned char>p[0]
        if byte == c'"':
            out.p = start
            out.size = p - start
            c.p = p + 1
            return OK
        if byte < 0x20:
            c.p = p
            return SYNTAX
        if byte == c"\\":
            out.escaped = True
            p += 1
            if p >= c.end:
                break
            if p[0] == c"u":
                for i in range(1, 5):
                    if p + i >= c.end:
                        c.p = c.end
                        return TRUNCATED
                    if hex_digit(p[i]) < 0:
                        c.p = p + i
                        return SYNTAX
                p += 4
            elif not (p[0] == c'"' or p[0] == c"\\" or p[0] == c"/" or p[0] == c"b" or p[0] == c"f"
                      or p[0] == c"n" or p[0] == c"r" or p[0] == c"t"):
                c.p = p
                return SYNTAX
            p += 1
        elif byte < 0x80:
            p += 1
        else:
            size = _utf8(<const unsigned char*>p, <const unsigned char*>c.end)
            if size <= 0:
                c.p = c.end if size == 0 else p
                return TRUNCATED if size == 0 else SYNTAX
            p += size
    c.p = c.end
    return TRUNCATED


cdef int _literal(Cursor* c, const char* text, Py_ssize_t size) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(size):
        if c.p >= c.end:
            return TRUNCATED
        if c.p[0] != text[i]:
            return SYNTAX
        c.p += 1
    return OK


cdef int _digits(Cursor* c) noexcept nogil:
    cdef const char* first = c.p
    while c.p < c.end and c"0" <= c.p[0] <= c"9":
        c.p += 1
    return OK if c.p != first else cursor_fail(c)


cdef int _number(Cursor* c) noexcept nogil:
    cdef int code
    cdef const char* first
    if c.p[0] == c"-":
        c.p += 1
    first = c.p
    code = _digits(c)
    if code == OK and first[0] == c"0" and c.p - first > 1:
        c.p = first + 1
        return SYNTAX
    if code == OK and c.p < c.end and c.p[0] == c".":
        c.p += 1
        code = _digits(c)
    if code == OK and c.p < c.end and (c.p[0] | 0x20) == c"e":
        c.p += 1
        if c.p < c.end and (c.p[0] == c"+" or c.p[0] == c"-"):
            c.p += 1
        code = _digits(c)
    return code


cdef int cursor_skip_nested(Cursor* c, int depth) noexcept nogil:
    cdef int code
    cdef Span span
    if c.p >= c.end:
        return TRUNCATED
    if depth >= MAX_DEPTH:
        return SYNTAX
    if c.p[0] == c'"':
        return cursor_string(c, &span)
    if c.p[0] == c"[":
        cursor_expect(c, c"[")
        if cursor_accept(c, c"]"):
            return OK
        while True:
            code = cursor_skip_nested(c, depth + 1)
            if code != OK:
                return code
            cursor_space(c)
            if cursor_accept(c, c"]"):
                return OK
            code = cursor_expect(c, c",")
            if code != OK:
                return code
    if c.p[0] == c"{":
        code = cursor_first_key(c, &span)
        while code == 1:
            code = cursor_skip_nested(c, depth + 1)
            if code != OK:
                return code
            code = cursor_next_key(c, &span)
        return code
    if c.p[0] == c"t":
        return _literal(c, b"true", 4)
    if c.p[0] == c"f":
        return _literal(c, b"false", 5)
    if c.p[0] == c"n":
        return _literal(c, b"null", 4)
    if c.p[0] == c"-" or c"0" <= c.p[0] <= c"9":
        return _number(c)
    return SYNTAX


def check(bytes text not None):
    """Return None if `text` is one JSON value, else (offset, reason): what the decoders accept as JSON at all."""
    cdef Cursor c
    cdef int code
    c.p = text
    c.end = c.p + len(text)
    cursor_space(&c)
    code = cursor_skip(&c)
    if code == OK:
        code = cursor_finish(&c)
    if code == OK:
        return None
    return c.p - <const char*>text, describe(code)
