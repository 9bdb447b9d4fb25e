"""What the parts of OKX's decoder share: a frame's envelope, and values and arrays as this venue writes them."""

from libc.stdint cimport int64_t

from fastfeed_core.cursor cimport (
    Cursor,
    Span,
    cursor_accept,
    cursor_expect,
    cursor_space,
    cursor_string,
    span_is,
)
from fastfeed_core.decoders.fields cimport cursor_ms
from fastfeed_core.event cimport SIDE_BUY, SIDE_SELL
from fastfeed_core.status cimport OK, SHAPE

# Bits of the fields that an object has shown, to refuse repeated and missing ones.
cdef enum:
    HAS_ID = 1
    HAS_TS = 2
    HAS_PX = 4
    HAS_SZ = 8
    HAS_SIDE = 16
    HAS_TRADE_ID = 32
    HAS_SEQ = 64
    HAS_PREV = 128
    HAS_ASKS = 256
    HAS_BIDS = 512
    HAS_VALUE = 1024
    HAS_VOLUME = 2048
    HAS_NEXT = 4096
    HAS_DETAILS = 8192

#: what a frame says besides its data
cdef struct Envelope:
    Span channel
    #: instId
    Span subject
    #: instType
    Span kind
    Span action
    const char* data


cdef inline int parts_text_ms(Cursor* c, int64_t* ns) noexcept nogil:
    """A time in ms, as text."""
    cdef Span text
    cdef int64_t ms = 0
    cdef Py_ssize_t i
    cdef int code = cursor_string(c, &text)
    if code != OK:
        return code
    if text.escaped or not 0 < text.size <= 18:
        return SHAPE
    for i in range(text.size):
        if not c"0" <= text.p[i] <= c"9":
            return SHAPE
        ms = ms * 10 + (text.p[i] - c"0")
    return cursor_ms(ms, ns)


cdef inline int parts_side(Cursor* c, unsigned char* side) noexcept nogil:
    cdef Span text
    cdef int code = cursor_string(c, &text)
    if code != OK:
        return code
    if span_is(&text, b"buy", 3):
        side[0] = SIDE_BUY
    elif span_is(&text, b"sell", 4):
        side[0] = SIDE_SELL
    else:
        return SHAPE
    return OK


cdef inline int parts_enter(Cursor* c) noexcept nogil:
    """Step into an array that must not be empty."""
    cdef int code
    if c.p < c.end and c.p[0] != c"[":
        return SHAPE
    code = cursor_expect(c, c"[")
    if code == OK and c.p < c.end and c.p[0] == c"]":
        return SHAPE
    return code


cdef inline int parts_next(Cursor* c) noexcept nogil:
    """Behind an element: 1 at the next one, 0 at the end of the array, else a failure."""
    cdef int code
    cursor_space(c)
    if cursor_accept(c, c"]"):
        return 0
    code = cursor_expect(c, c",")
    return 1 if code == OK else code


cdef inline int parts_only(Cursor* c) noexcept nogil:
    """Behind an element that must be the only one."""
    cdef int code = parts_next(c)
    return SHAPE if code == 1 else code


cdef inline int parts_comma(Cursor* c) noexcept nogil:
    """Behind an element that must not be the last one."""
    cdef int code = parts_next(c)
    if code == 1:
        return OK
    return SHAPE if code == 0 else code
