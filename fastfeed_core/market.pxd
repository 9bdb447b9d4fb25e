"""What an instrument owns in the feed: a book, a tape, the sources that bring them, and what Python sees of it."""

from libc.stdint cimport int64_t, uint16_t

from fastfeed_core.book cimport Book
from fastfeed_core.bus cimport BusWriter
from fastfeed_core.decoder cimport Decoder
from fastfeed_core.event cimport Channel, Event
from fastfeed_core.state cimport HubState, MarketState, Source


cdef class Hub:
    cdef HubState state
    cdef readonly BusWriter bus
    cdef Event event
    cdef Book shadow                    # what a verification builds; no window, as its instruments differ
    cdef bint _has_shadow
    cdef set _taken
    cdef Book* shadow_book(self) except NULL


cdef class Market:
    cdef MarketState* state
    cdef readonly Hub hub
    cdef readonly int instrument
    cdef readonly int px_exp
    cdef readonly int sz_exp
    cdef Source* attach(self, int connection, Channel channel) except NULL
    cdef int _decode(self, Decoder decoder, bytes body) except -1
    cdef void detach(self, Source* source, Channel channel, int64_t ts) noexcept
