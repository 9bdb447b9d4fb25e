"""Writing events into a bus: ring records at once; top cells, images, tail and wake-up at each flush."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from fastfeed_core.book cimport Book
from fastfeed_core.event cimport Bar, Deal, Event, Number
from fastfeed_core.records cimport BusLive, InstrumentRow, LatencyHead, Reason, ScopeCode, State
from fastfeed_core.ring cimport ff_ring_writer

cdef enum:
    #: bytes in front of the two slots of a cell or an image: the version word, alone
    CELL_HEAD = 128


#: what the writer keeps for an instrument that it publishes
cdef struct Publication:
    uint32_t instrument
    InstrumentRow* row
    LatencyHead* latency
    char* cell                      # NULL: no book is published
    char* image
    Book* book
    State state
    int64_t sequence
    int64_t ts_event
    int64_t ts_recv
    int64_t ts_publish
    uint16_t flags                  # crossed or locked: of what is published from the book
    bint dirty                      # in the list of the next flush
    Publication* next_dirty
    Publication* next_image         # all that have an image
    uint64_t top_version            # of the levels of the top; a slot that has it already is not written again
    uint64_t[2] cell_version
    uint64_t book_version
    uint64_t[2] image_version
    int64_t image_as_of
    int64_t pairs_since_image

#: the writer's view of a bus: everything that the hot path touches
cdef struct Publisher:
    ff_ring_writer ring
    BusLive* live
    uint32_t* sleepers              # of the bell, which readers may write: never trusted
    InstrumentRow* rows
    char* cells
    uint64_t cells_stride
    int32_t cells_depth
    char* images
    uint64_t images_stride
    int32_t images_depth
    uint32_t pairs_per_record
    Publication* dirty
    Publication* with_image
    uint64_t next_sweep
    bint given_clock                # ts_publish is ts_recv: nothing reads a clock

cdef int64_t publisher_now(const Publisher* bus, int64_t ts_recv) noexcept nogil
cdef void publish_bbo(Publisher* bus, Publication* pub, uint16_t connection, const Event* event,
                      int64_t ts_recv, int64_t ts_publish, uint8_t flags) noexcept nogil
cdef void publish_trade(Publisher* bus, Publication* pub, uint16_t connection, const Event* event, const Deal* deal,
                        int64_t ts_recv, int64_t ts_publish) noexcept nogil
cdef void publish_liquidation(Publisher* bus, Publication* pub, uint16_t connection, const Event* event,
                              const Deal* deal, uint8_t side, int64_t ts_recv, int64_t ts_publish) noexcept nogil
cdef void publish_ticker(Publisher* bus, Publication* pub, uint16_t connection, const Event* event,
                         const Number* values, unsigned int has, int64_t ts_recv, int64_t ts_publish) noexcept nogil
cdef void publish_bar(Publisher* bus, Publication* pub, uint16_t connection, const Event* event, const Bar* bar,
                      int64_t ts_recv, int64_t ts_publish) noexcept nogil
cdef void publish_levels(Publisher* bus, Publication* pub, uint16_t connection, const Event* event, uint8_t kind,
                         int64_t ts_recv, int64_t ts_publish) noexcept nogil
cdef void publish_status(Publisher* bus, uint32_t instrument, uint16_t connection, ScopeCode scope, State state,
                         Reason reason, int64_t expected, int64_t received, uint8_t instrument_status,
                         int64_t ts, uint8_t health=*) noexcept nogil
cdef void publisher_prepare(Publisher* bus, Publication* pub) noexcept nogil
cdef void publisher_forget(Publisher* bus, Publication* pub) noexcept nogil
cdef void publisher_touch(Publisher* bus, Publication* pub) noexcept nogil
cdef void publisher_flush(Publisher* bus) noexcept nogil
