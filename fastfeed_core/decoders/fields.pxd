"""What decoders of all venues share: literals, numbers, level arrays, ids.

A scanner is the fast path of a decoder. It accepts a message only if it matches to the last byte; on any doubt it
answers False and the order-free cursor reads the message again from its start, so nothing here reports errors.
"""

from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcpy, memset

from fastfeed_core.cursor cimport (
    Cursor,
    Span,
    cursor_accept,
    cursor_decimal,
    cursor_expect,
    cursor_fail,
    cursor_int,
    cursor_skip,
    cursor_space,
    cursor_string,
    hex_digit,
    span_is,
)
from fastfeed_core.decimal cimport decimal_read, decimal_read_any
from fastfeed_core.event cimport ID_INTEGER, ID_TEXT, ID_UUID, Deal, Event, Number
from fastfeed_core.status cimport OK, OVERSIZE, RANGE, SHAPE, SYNTAX, TRUNCATED

cdef extern from "scan.h" nogil:
    #: step over `text` if it is what comes next
    bint scan_text "ff_scan_text"(const char** cursor, const char* end, const char* text, int64_t size)
    #: a JSON integer of 1 to 18 digits that is not negative
    bint scan_int "ff_scan_int"(const char** cursor, const char* end, int64_t* out)
    #: the first quote or backslash, `end` if there is none
    const char* find_quote "ff_find_quote"(const char* p, const char* end)

cdef extern from "shapes.h" nogil:
    ctypedef struct Shape "ff_shape":
        pass
    #: take levels of known shapes: how many; behind the last one's comma, or at the array's closing bracket
    int shapes_take "ff_shapes_take"(const char** cursor, const char* end, const Shape* shapes, int px_keep,
                                     int sz_keep, int64_t* pairs, int room, bint* more)
    #: learn the shape of a level that was accepted, `close` is at its closing bracket
    void shape_learn "ff_shape_learn"(Shape* shapes, const char* level, const char* close, int px_keep, int sz_keep)

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
                                  int room, void* shapes) noexcept nogil:
    """`["px","sz"],...]` behind the opening bracket, with the closing one: how many pairs, -1 if in doubt."""
    cdef const char* p = cursor[0]
    cdef const char* start
    cdef bint more = True
    cdef int n = 0
    if p < end and p[0] == c"]":
        cursor[0] = p + 1
        return 0
    while True:
        n += shapes_take(&p, end, <const Shape*>shapes, -px_exp, -sz_exp, pairs + 2 * n, room - n, &more)
        if not more:
            cursor[0] = p + 1
            return n
        if n == room or end - p < 8 or p[0] != c"[" or p[1] != c'"':
            return -1
        start = p
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
        if shapes != NULL:
            shape_learn(<Shape*>shapes, start, p + 1, -px_exp, -sz_exp)
        n += 1
        if p[2] == c",":
            p += 3
            continue
        if p[2] == c"]":
            cursor[0] = p + 3
            return n
        return -1


cdef inline int cursor_price(Cursor* c, int exponent, int64_t* out) noexcept nogil:
    """A number that may not be negative, in quotes or bare."""
    cdef int code = cursor_decimal(c, exponent, out)
    if code == OK and out[0] < 0:
        return RANGE
    return code


cdef inline int cursor_pairs(Cursor* c, int px_exp, int sz_exp, int64_t* pairs, int room, int* n, void* shapes,
                             bint longer=False) noexcept nogil:
    """`[[px, sz], ...]`, two elements each, or two and more if `longer`; `pairs` has room for `room` of them."""
    cdef const char* start
    cdef bint more = True
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
        n[0] += shapes_take(&c.p, c.end, <const Shape*>shapes, -px_exp, -sz_exp, pairs + 2 * n[0], room - n[0], &more)
        cursor_space(c)
        if not more:
            return OK if cursor_accept(c, c"]") else cursor_fail(c)
        if n[0] == room:
            return OVERSIZE
        if c.p < c.end and c.p[0] != c"[":
            return SHAPE
        start = c.p
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
        while longer and cursor_accept(c, c","):
            code = cursor_skip(c)
            if code != OK:
                return code
            cursor_space(c)
        if c.p >= c.end or c.p[0] != c"]":
            return SHAPE if c.p < c.end and c.p[0] == c"," else cursor_fail(c)
        if shapes != NULL:
            shape_learn(<Shape*>shapes, start, c.p, -px_exp, -sz_exp)
        cursor_accept(c, c"]")
        n[0] += 1
        if cursor_accept(c, c"]"):
            return OK
        code = cursor_expect(c, c",")
        if code != OK:
            return code


cdef inline int cursor_number(Cursor* c, Number* out) noexcept nogil:
    """A number that keeps the exponent of its text, in quotes or bare."""
    cdef bint quoted
    cdef int code
    if c.p >= c.end:
        return TRUNCATED
    quoted = c.p[0] == c'"'
    c.p += quoted
    code = decimal_read_any(&c.p, c.end, &out.mantissa, &out.exponent)
    if code != OK:
        return SHAPE if code == SYNTAX else code
    if quoted:
        if c.p >= c.end:
            return TRUNCATED
        if c.p[0] != c'"':
            return SHAPE
        c.p += 1
    return OK


cdef inline int cursor_field(Cursor* c, Event* event, int field) noexcept nogil:
    """A number of a ticker; null and "" say that the venue has none, and what was known stays."""
    cdef int code
    if c.end - c.p >= 2 and c.p[0] == c'"' and c.p[1] == c'"':
        c.p += 2
        return OK
    if c.p < c.end and c.p[0] == c"n":
        return cursor_skip(c)
    code = cursor_number(c, &event.ticker[field])
    if code == OK:
        event.ticker_has |= 1U << field
    return code


cdef inline int deal_id(Deal* deal, const Span* text) noexcept nogil:
    """The id of a trade: an integer, a UUID, or up to 16 bytes of text."""
    cdef uint64_t number = 0
    cdef Py_ssize_t i
    cdef int high, low
    cdef int n = 0
    memset(deal.trade_id, 0, 16)
    if text.escaped or text.size == 0:
        return SHAPE
    if text.size <= 19 and (text.p[0] != c"0" or text.size == 1):
        for i in range(text.size):
            if not c"0" <= text.p[i] <= c"9":
                break
            number = number * 10 + <uint64_t>(text.p[i] - c"0")
        else:
            memcpy(deal.trade_id, &number, 8)
            deal.id_kind = ID_INTEGER
            return OK
    if text.size == 36 and text.p[8] == c"-" and text.p[13] == c"-" and text.p[18] == c"-" and text.p[23] == c"-":
        i = 0
        while i < 36:
            if text.p[i] == c"-":
                i += 1
                continue
            high = hex_digit(text.p[i])
            low = hex_digit(text.p[i + 1])
            if high < 0 or low < 0 or n == 16:
                return SHAPE
            deal.trade_id[n] = <uint8_t>(high << 4 | low)
            n += 1
            i += 2
        if n != 16:
            return SHAPE
        deal.id_kind = ID_UUID
        return OK
    if text.size > 16:
        return RANGE
    memcpy(deal.trade_id, text.p, text.size)
    deal.id_kind = ID_TEXT
    return OK


cdef inline int cursor_ms(int64_t ms, int64_t* ns) noexcept nogil:
    if ms < 0 or ms > MAX_MS:
        return RANGE
    ns[0] = ms * MS
    return OK


cdef inline int cursor_time(Cursor* c, int64_t* ns) noexcept nogil:
    """Milliseconds as a JSON integer."""
    cdef int64_t ms = 0
    cdef int code = cursor_int(c, &ms)
    return cursor_ms(ms, ns) if code == OK else code


cdef inline int cursor_named(Cursor* c, const char* wanted, Py_ssize_t size) noexcept nogil:
    """A string that must be this one."""
    cdef Span text
    cdef int code = cursor_string(c, &text)
    if code == OK and not span_is(&text, wanted, size):
        return SHAPE
    return code
