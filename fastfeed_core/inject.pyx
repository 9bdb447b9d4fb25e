"""Messages without a decoder, for tests: fed into a receive path as if one had read them."""

from libc.stdint cimport int64_t, uint8_t

from fastfeed_core.connection cimport Connection, dispatch_event
from fastfeed_core.cursor cimport Cursor, Span, cursor_string
from fastfeed_core.decoders.fields cimport cursor_field, cursor_number, cursor_pairs, deal_id
from fastfeed_core.event cimport (
    ABSENT,
    EVENT_BAR,
    EVENT_BBO,
    EVENT_DELTA,
    EVENT_HEARTBEAT,
    EVENT_IDLE,
    EVENT_LIQUIDATION,
    EVENT_REFRESH,
    EVENT_RESET,
    EVENT_SNAPSHOT,
    EVENT_TICKER,
    EVENT_TRADE,
    MAX_LEVELS,
    Bar,
    Deal,
    Event,
    EventKind,
    Number,
    event_bar,
    event_begin,
    event_deal,
)
from fastfeed_core.keeper cimport keep_refuse
from fastfeed_core.publish cimport publisher_flush
from fastfeed_core.routes cimport Route, routes_find
from fastfeed_core.state cimport Source
from fastfeed_core.status cimport OK

from fastfeed_core.status import describe

_EVENTS = {
    "delta": EVENT_DELTA, "snapshot": EVENT_SNAPSHOT, "heartbeat": EVENT_HEARTBEAT, "reset": EVENT_RESET,
    "refresh": EVENT_REFRESH, "bbo": EVENT_BBO, "trade": EVENT_TRADE, "liquidation": EVENT_LIQUIDATION,
    "ticker": EVENT_TICKER, "bar": EVENT_BAR, "idle": EVENT_IDLE,
}
_FIELDS = ("last", "mark_price", "index_price", "open_interest", "funding_rate", "volume", "next_funding_time")
_SIDES = (None, "buy", "sell")


cdef inline int64_t _number(value):
    return ABSENT if value is None else value


cdef int _raise(int code) except -1:
    """Refuse what a decoder would have refused."""
    if code != OK:
        raise ValueError(describe(code))
    return 0


cdef int _put_levels(Event* event, bids, asks) except -1:
    cdef int64_t* pair = event.levels
    event.n_bids = len(bids)
    event.n_asks = len(asks)
    if event.n_bids + event.n_asks > MAX_LEVELS:
        raise ValueError("too many levels")
    for px, sz in (*bids, *asks):
        pair[0] = px
        pair[1] = sz
        pair += 2
    return 0


cdef int _put_deals(Connection connection, Event* event, deals) except -1:
    cdef Deal* deal
    cdef bytes text
    cdef Span span
    for given in deals:
        deal = event_deal(event)
        if deal == NULL:
            raise ValueError("too many deals")
        deal.px = given["px"]
        deal.sz = given["sz"]
        deal.side = <uint8_t>_SIDES.index(given.get("side", "buy"))
        deal.liquidated = <uint8_t>_SIDES.index(given.get("liquidated"))
        deal.sequence = _number(given.get("sequence"))
        deal.ts_event = _number(given.get("ts"))
        text = given.get("id", b"0")
        span.p = text
        span.size = len(text)
        span.escaped = False
        _raise(deal_id(deal, &span))
        if "topic" in given:
            deal.route = _route(connection, given["topic"])
    return 0


cdef int _put_bars(Event* event, bars) except -1:
    cdef Bar* bar
    cdef Cursor c
    cdef bytes text
    for given in bars:
        bar = event_bar(event)
        if bar == NULL:
            raise ValueError("too many bars")
        bar.start = given["start"]
        bar.interval_s = given.get("interval", 60)
        bar.open, bar.high, bar.low, bar.close = given["prices"]
        text = given.get("volume", b"0")
        c.p = text
        c.end = c.p + len(text)
        _raise(cursor_number(&c, &bar.volume))
        bar.closed = given.get("closed", False)
    return 0


cdef int _put_fields(Event* event, fields) except -1:
    cdef Cursor c
    cdef bytes text
    for name, text in fields.items():
        c.p = text
        c.end = c.p + len(text)
        _raise(cursor_field(&c, event, _FIELDS.index(name)))
    return 0


cdef Route* _route(Connection connection, str topic) except NULL:
    cdef bytes text = topic.encode()
    cdef Route* route = routes_find(&connection.receiver.routes, text, len(text))
    if route == NULL:
        raise LookupError(f"no such topic: {topic!r}")
    return route


def inject(Connection connection not None, str topic not None, str kind not None, int64_t ts_recv, *, prev=None,
           last=None, bids=(), asks=(), int limit=0, ts_event=None, ts_send=None, quote=None, deals=(),
           bint history=False, fields=None, bars=()):
    """Feed a message into a receive path as if the decoder had read it, without flushing.

    Parameters
    ----------
    kind : delta, snapshot, heartbeat, reset, refresh, bbo, trade, liquidation, ticker, bar, idle, or "refused": a
        message that could not be read
    prev, last : the venue's sequences that it covers; None: there are none
    bids, asks, limit : levels as (px, sz) mantissas
    quote : (bid px, bid sz, ask px, ask sz) of a bbo
    deals : of px, sz, side, id (bytes), sequence, ts, liquidated, topic (where the message is of several instruments)
    fields : of a ticker, as text
    bars : of start, interval, prices (open, high, low, close), volume (text), closed

    Returns
    -------
    True if the protocol has to look at something

    Raises
    ------
    LookupError : no such topic
    ValueError : a number or an id that a decoder would refuse, or the connection is closed
    """
    cdef Event* event = &connection.receiver.event
    cdef Route* route = _route(connection, topic)
    if connection.closed:
        raise ValueError(f"connection {connection.id} is closed")
    connection.receiver.row.last_recv = ts_recv
    if kind == "refused":
        keep_refuse(<Source*>route.source, ts_recv)
        return connection.hub.state.attention != NULL
    event_begin(event)
    event.kind = <EventKind><int>_EVENTS[kind]
    event.route = route
    event.prev_seq = _number(prev)
    event.last_seq = _number(last)
    event.ts_event = _number(ts_event)
    event.ts_send = _number(ts_send)
    event.limit = limit
    event.history = history
    _put_levels(event, bids, asks)
    if quote is not None:
        event.bid_px, event.bid_sz, event.ask_px, event.ask_sz = (_number(each) for each in quote)
    _put_deals(connection, event, deals)
    _put_fields(event, fields or {})
    _put_bars(event, bars)
    route.messages += 1
    dispatch_event(route, event, ts_recv, ts_recv)
    return connection.hub.state.attention != NULL


def flood(Connection connection not None, topics, int64_t first, int64_t count, int levels, int flush_every=1):
    """Feed deltas of sequences from `first` on into live books, flat out, each of the topics in turn.

    A reader can tell whether a book is of one message: at sequence s it has `levels` levels a side, the i-th bid at
    1,000,000 - 2 i - s % 2 and the i-th ask at 1,000,002 + 2 i + s % 2, both of size 4096 s + i + 1.

    Parameters
    ----------
    first : sequence of the first delta: one more than the books have
    levels : a side, at most 4095
    flush_every : sequences between two flushes; a flush comes behind the last topic of a sequence
    """
    cdef Event* event = &connection.receiver.event
    cdef Route* routes[64]
    cdef int n = 0
    cdef int k
    cdef int64_t s
    if not 0 < levels < 4096:
        raise ValueError(f"levels out of range: expected 1 to 4095, was {levels}")
    for topic in topics:
        routes[n] = _route(connection, topic)
        n += 1
    with nogil:
        for s in range(first, first + count):
            for k in range(n):
                event_begin(event)
                event.kind = EVENT_DELTA
                event.route = routes[k]
                event.prev_seq = s - 1
                event.last_seq = s
                event.n_bids = 2 * levels
                event.n_asks = 2 * levels
                _put_rule(event.levels, s, levels)
                dispatch_event(routes[k], event, s, s)
            if s % flush_every == 0:
                publisher_flush(connection.receiver.bus)


cdef void _put_rule(int64_t* pair, int64_t s, int levels) noexcept nogil:
    cdef int side, old, i
    cdef int64_t px
    for side in range(2):
        for old in range(2):                # what this sequence has, then what goes with the one before
            for i in range(levels):
                px = 2 * i + ((s + old) & 1)
                pair[0] = 1000002 + px if side else 1000000 - px
                pair[1] = 0 if old else 4096 * s + i + 1
                pair += 2


def read_id(bytes text not None):
    """Return (kind, 16 bytes) of a trade's id: 1 integer, 2 UUID, 3 text; ValueError if it is none.

    Parameters
    ----------
    text : JSON string with its quotes
    """
    cdef Deal deal
    cdef Span span
    cdef Cursor c
    c.p = text
    c.end = c.p + len(text)
    _raise(cursor_string(&c, &span))
    _raise(deal_id(&deal, &span))
    return deal.id_kind, deal.trade_id[:16]


def read_number(bytes text not None):
    """Return (mantissa, exponent) of a JSON number in quotes or bare; None where it says that there is none."""
    cdef Event event
    cdef Cursor c
    cdef Number* number = &event.ticker[0]
    event.ticker_has = 0
    c.p = text
    c.end = c.p + len(text)
    _raise(cursor_field(&c, &event, 0))
    if c.p != c.end:
        raise ValueError("text behind the number")
    return (number.mantissa, number.exponent) if event.ticker_has else None


cdef extern from "shapes.h" nogil:
    void* ff_shapes_new()

#: of `read_pairs`: what it has read, with two elements a level and with more; as old as the process
cdef void* _shapes_of_two = ff_shapes_new()
cdef void* _shapes_of_more = ff_shapes_new()


def read_pairs(bytes text not None, int px_exp, int sz_exp, bint more=False, int room=16, bint shapes=False):
    """Return the levels of a JSON array as mantissas; with `more` a level may have further elements.

    With `shapes` the shapes of all levels that were read so are known, and this text's are learnt.
    """
    cdef int64_t[2 * 64] pairs
    cdef void* known = NULL
    cdef Cursor c
    cdef int n = 0
    if shapes:
        known = _shapes_of_more if more else _shapes_of_two
    if not 0 <= room <= 64:
        raise ValueError(f"room out of range: expected 0 to 64, was {room}")
    c.p = text
    c.end = c.p + len(text)
    _raise(cursor_pairs(&c, px_exp, sz_exp, pairs, room, &n, known, more))
    if c.p != c.end:
        raise ValueError("text behind the levels")
    return [(pairs[2 * i], pairs[2 * i + 1]) for i in range(n)]
