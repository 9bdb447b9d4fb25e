"""For tests and benchmarks: a compiled producer that is as fast as the ring, of records that can be checked."""

from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memcpy, memset

from fastfeed_core.bus cimport BusWriter
from fastfeed_core.event cimport ABSENT, ID_INTEGER, SIDE_BUY, SIDE_SELL, Deal, Event
from fastfeed_core.publish cimport Publication, Publisher, publish_bbo, publish_trade, publisher_flush


def flood(BusWriter writer not None, uint32_t instrument, int64_t first, int64_t count, int64_t flush_every=16):
    """Publish records `first` to `first + count - 1` of an instrument, without the GIL: trades and quotes in turn.

    All numbers of record n follow from n: times and sequence are n, px n, sz ~n, trade_id n; bid_px n, bid_sz ~n,
    ask_px n + 1, ask_sz n.
    """
    cdef Publication pub
    cdef Publisher* bus = &writer.publisher
    cdef Event event
    cdef Deal deal
    cdef int64_t n
    memset(&event, 0, sizeof(Event))
    memset(&deal, 0, sizeof(Deal))
    writer.publish(&pub, instrument, NULL)
    deal.ts_event = ABSENT
    deal.id_kind = ID_INTEGER
    with nogil:
        for n in range(first, first + count):
            event.ts_event = event.ts_send = event.last_seq = deal.sequence = n
            if n & 1:
                deal.px = n
                deal.sz = ~n
                memcpy(deal.trade_id, &n, 8)
                deal.side = SIDE_BUY if n & 2 else SIDE_SELL
                publish_trade(bus, &pub, 0, &event, &deal, n, n)
            else:
                event.bid_px = n
                event.bid_sz = ~n
                event.ask_px = n + 1
                event.ask_sz = n
                publish_bbo(bus, &pub, 0, &event, n, n, 0)
            if n % flush_every == 0:
                publisher_flush(bus)
        publisher_flush(bus)
