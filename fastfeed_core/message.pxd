"""Events as a consumer sees them: Python objects made from ring records, their values converted when asked for."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from fastfeed_core.records cimport (
    BarRecord,
    BboRecord,
    Head,
    LevelsRecord,
    LiquidationRecord,
    StatusRecord,
    TickerRecord,
    TradeRecord,
)


cdef class InstrumentRef:
    cdef readonly str name
    cdef readonly int px_exp
    cdef readonly int sz_exp

cdef object to_price(int64_t mantissa, int exponent)


cdef class Event:
    cdef Head head
    cdef uint64_t offset
    cdef uint64_t generation
    cdef InstrumentRef ref


cdef class Bbo(Event):
    cdef int64_t _bid_px
    cdef int64_t _bid_sz
    cdef int64_t _ask_px
    cdef int64_t _ask_sz


cdef class Trade(Event):
    cdef int64_t _px
    cdef int64_t _sz
    cdef unsigned char[16] _id
    cdef int _id_kind
    cdef int _side


cdef class Ticker(Event):
    cdef TickerRecord record


cdef class Bar(Event):
    cdef BarRecord record


cdef class Liquidation(Event):
    cdef LiquidationRecord record


cdef class Levels(Event):
    cdef int64_t _prev_sequence
    cdef int64_t _complete_bid_px
    cdef int64_t _complete_ask_px
    cdef bytes _pairs               # n_bids pairs of bids, then those of the asks
    cdef Py_ssize_t _n_bids


cdef class BookTop(Event):
    cdef readonly str state
    cdef int64_t _complete_bid_px
    cdef int64_t _complete_ask_px
    cdef bytes _pairs               # n_bids pairs of bids, then those of the asks
    cdef Py_ssize_t _n_bids


cdef class Status(Event):
    cdef readonly str scope
    cdef readonly str state
    cdef readonly str reason
    cdef readonly object expected
    cdef readonly object received
    cdef readonly object instrument_status
    cdef readonly str health

cdef Event make_event(const Head* head)
cdef Status make_status_event(const StatusRecord* record)
cdef Levels make_levels(const LevelsRecord* record, bytes pairs, Py_ssize_t n_bids)
