"""OKX's books and quotes, one element of `data`."""

from fastfeed_core.cursor cimport Cursor
from fastfeed_core.decoders.okx_parts cimport Envelope
from fastfeed_core.event cimport Event
from fastfeed_core.routes cimport Route

cdef int read_book(Cursor* c, const Envelope* envelope, const Route* route, Event* event) noexcept nogil
#: tell what a book message is by its action and its numbers
cdef int judge_book(Event* event, bint snapshot, bint update, bint has_prev, int limit) noexcept nogil
#: what is said of a quote's one level a side
cdef int finish_quote(Event* event) noexcept nogil
