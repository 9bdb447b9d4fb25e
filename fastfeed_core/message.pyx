"""Events as a consumer sees them: Python objects made from ring records, their values converted when asked for.

`price`, `size` and their like are floats, the nearest to the exact value; the mantissas beside them (`px`, `sz`) are
exact, and `Instrument.price` and `.size` turn them into decimals. What a venue does not give is None.
"""

from collections import namedtuple
from decimal import Decimal
from uuid import UUID

cimport cython
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy

from fastfeed_core.decimal cimport POW10
from fastfeed_core.event cimport ABSENT, ID_INTEGER, ID_UUID, SIDE_BUY
from fastfeed_core.records cimport (
    FLAG_CROSSED,
    FLAG_DERIVED,
    FLAG_LOCKED,
    KIND_BAR,
    KIND_BBO,
    KIND_DELTA,
    KIND_LIQUIDATION,
    KIND_SNAPSHOT,
    KIND_STATUS,
    KIND_TICKER,
    KIND_TRADE,
    REASON_INSTRUMENT,
    LevelPair,
)

KINDS = {
    "bbo": KIND_BBO, "trade": KIND_TRADE, "delta": KIND_DELTA, "snapshot": KIND_SNAPSHOT, "status": KIND_STATUS,
    "ticker": KIND_TICKER, "bar": KIND_BAR, "liquidation": KIND_LIQUIDATION,
}
STATES = ("syncing", "live", "stale")
SCOPES = ("instrument", "connection", "bus", "venue")
REASONS = ("", "subscribed", "snapshot", "gap", "disconnected", "malformed", "buffer full", "stopped", "connected",
           "refused", "instrument", "venue reset", "restarted", "no data", "repaired", "crossed", "lapped",
           "unsubscribed", "requested", "quiet", "stalled", "syncing", "unreachable", "limited")
#: None: an event does not speak of health, or nothing is known yet
HEALTHS = (None, "ok", "degraded", "down")
#: words for the state of trading; rows and records hold the index: append only
INSTRUMENT_STATUSES = ("unknown", "trading", "cancel_only", "halted", "pending", "closed")

cdef tuple _NAMES = (None, "bbo", "trade", "delta", "snapshot", "status", "ticker", "bar", "liquidation")


class Position(namedtuple("Position", ["generation", "offset"])):
    """A place in the ring of one generation of a bus; greater is later.

    `str(position)` is a short text to keep, and `Position.parse(text)` makes it a position again.
    """

    __slots__ = ()

    def __str__(self):
        return f"{self.generation}:{self.offset}"

    @classmethod
    def parse(cls, text):
        """Return the position that `str` made `text` of; ValueError if it is none."""
        generation, colon, offset = text.partition(":")
        if not (colon and generation.isascii() and generation.isdigit() and offset.isascii() and offset.isdigit()):
            raise ValueError(f"expected a position as in 1767225600000:4096, was {text!r}")
        return cls(int(generation), int(offset))


Lag = namedtuple("Lag", ["records", "bytes", "ns"], module="fastfeed_core.message")
Lag.__doc__ = """How far a reader is behind: records and bytes up to the tail, and the age of its next record in ns."""


cdef class InstrumentRef:
    """What events need to know of their instrument."""

    def __init__(self, str name not None, int px_exp, int sz_exp):
        self.name = name
        self.px_exp = px_exp
        self.sz_exp = sz_exp


cdef object to_price(int64_t mantissa, int exponent):
    """The float nearest to mantissa * 10**exponent; None if absent.

    Up to 2**53 both operands are exact, and division rounds once; multiplying by a negative power of ten would round
    twice. Above, Decimal rounds once.
    """
    if mantissa == ABSENT:
        return None
    if -9007199254740992 <= mantissa <= 9007199254740992 and -18 <= exponent <= 0:
        return <double>mantissa / <double>POW10[-exponent]
    return float(Decimal(mantissa).scaleb(exponent))


cdef inline object _optional(int64_t value):
    return None if value == ABSENT else value


# Events refer to strings, numbers and their instrument: no cycle can go through them, and untracked ones are cheaper.
@cython.no_gc
cdef class Event:
    """What all events have; times are ns since the epoch."""

    @property
    def kind(self):
        """bbo, trade, delta, snapshot, ticker, bar, liquidation or status."""
        return _NAMES[self.head.kind]

    @property
    def name(self):
        """The instrument's name; None on the status of a connection or of the bus."""
        return None if self.ref is None else self.ref.name

    @property
    def connection(self):
        """Number of the connection that brought it; None if none did."""
        return None if self.head.connection == 0xFFFF else self.head.connection

    @property
    def ts_event(self):
        """When it happened, by the venue's clock; None if the venue does not say."""
        return _optional(self.head.ts_event)

    @property
    def ts_send(self):
        """When the venue sent it, by the venue's clock; None if the venue does not say."""
        return _optional(self.head.ts_send)

    @property
    def ts_recv(self):
        """When the socket was read."""
        return self.head.ts_recv

    @property
    def ts_publish(self):
        """When it was committed to the ring."""
        return self.head.ts_publish

    @property
    def sequence(self):
        """The venue's last sequence that it covers; None where there is none."""
        return _optional(self.head.sequence)

    @property
    def position(self):
        """Where it stands in the ring."""
        return Position(self.generation, self.offset)

    def __repr__(self):
        fields = " ".join(f"{key}={value!r}" for key, value in self.as_dict().items() if value is not None)
        return f"<{type(self).__name__} {fields}>"

    def as_dict(self):
        """Return the fields of its kind, and the common ones, as a dict of plain values."""
        out = {"kind": self.kind, "name": self.name}
        out.update(self._fields())
        out.update({"sequence": self.sequence, "ts_event": self.ts_event, "ts_send": self.ts_send,
                    "ts_recv": self.ts_recv, "ts_publish": self.ts_publish, "position": list(self.position)})
        return out

    def _fields(self):
        return {}


@cython.no_gc
cdef class Bbo(Event):
    """The best bid and ask; a side without a quote has None as price and 0 as size."""

    @property
    def bid(self):
        """Best bid price."""
        return to_price(self._bid_px, self.ref.px_exp)

    @property
    def bid_size(self):
        """Size at the best bid."""
        return to_price(self._bid_sz, self.ref.sz_exp)

    @property
    def ask(self):
        """Best ask price."""
        return to_price(self._ask_px, self.ref.px_exp)

    @property
    def ask_size(self):
        """Size at the best ask."""
        return to_price(self._ask_sz, self.ref.sz_exp)

    @property
    def bid_px(self):
        """Best bid price mantissa."""
        return _optional(self._bid_px)

    @property
    def bid_sz(self):
        """Mantissa of the size at the best bid."""
        return self._bid_sz

    @property
    def ask_px(self):
        """Best ask price mantissa."""
        return _optional(self._ask_px)

    @property
    def ask_sz(self):
        """Mantissa of the size at the best ask."""
        return self._ask_sz

    @property
    def derived(self):
        """True if it was computed from the book, not sent by the venue."""
        return bool(self.head.flags & FLAG_DERIVED)

    @property
    def crossed(self):
        """True if the best bid is above the best ask."""
        return bool(self.head.flags & FLAG_CROSSED)

    @property
    def locked(self):
        """True if the best bid is equal to the best ask."""
        return bool(self.head.flags & FLAG_LOCKED)

    def _fields(self):
        return {"bid": self.bid, "bid_size": self.bid_size, "ask": self.ask, "ask_size": self.ask_size,
                "derived": self.derived}


@cython.no_gc
cdef class Trade(Event):
    """A trade, or the venue's aggregate of several at one price."""

    @property
    def price(self):
        """Price."""
        return to_price(self._px, self.ref.px_exp)

    @property
    def size(self):
        """Size in the venue's unit."""
        return to_price(self._sz, self.ref.sz_exp)

    @property
    def px(self):
        """Price mantissa."""
        return self._px

    @property
    def sz(self):
        """Size mantissa."""
        return self._sz

    @property
    def side(self):
        """The taker's side: "buy" or "sell"."""
        return "buy" if self._side == SIDE_BUY else "sell"

    @property
    def trade_id(self):
        """The venue's id: int, or str where it is no integer."""
        cdef uint64_t number
        cdef bytes raw
        if self._id_kind == ID_INTEGER:
            memcpy(&number, self._id, 8)
            return number
        raw = self._id[:16]
        if self._id_kind == ID_UUID:
            return str(UUID(bytes=raw))
        return raw.rstrip(b"\0").decode()

    def _fields(self):
        return {"price": self.price, "size": self.size, "side": self.side, "trade_id": self.trade_id}


@cython.no_gc
cdef class Ticker(Event):
    """The venue's statistics as last known; what it never gave is None."""

    @property
    def last(self):
        """Price of the last trade."""
        return to_price(self.record.last, self.record.last_exp)

    @property
    def mark_price(self):
        """The venue's mark price."""
        return to_price(self.record.mark_price, self.record.mark_price_exp)

    @property
    def index_price(self):
        """The venue's index price."""
        return to_price(self.record.index_price, self.record.index_price_exp)

    @property
    def open_interest(self):
        """Open interest in the unit of sizes."""
        return to_price(self.record.open_interest, self.record.open_interest_exp)

    @property
    def funding_rate(self):
        """Current funding rate, for one interval of the venue; 0.0001 is 1 basis point."""
        return to_price(self.record.funding_rate, self.record.funding_rate_exp)

    @property
    def next_funding_time(self):
        """When funding is paid next, ns since the epoch."""
        return _optional(self.record.next_funding_time)

    @property
    def volume(self):
        """Volume of 24 hours in the unit of sizes."""
        return to_price(self.record.volume, self.record.volume_exp)

    def decimals(self):
        """Return the values that are known as {field: Decimal}, exactly."""
        cdef const TickerRecord* r = &self.record
        pairs = {"last": (r.last, r.last_exp), "mark_price": (r.mark_price, r.mark_price_exp),
                 "index_price": (r.index_price, r.index_price_exp),
                 "open_interest": (r.open_interest, r.open_interest_exp),
                 "funding_rate": (r.funding_rate, r.funding_rate_exp), "volume": (r.volume, r.volume_exp)}
        return {field: Decimal(f"{mantissa}E{exponent}") for field, (mantissa, exponent) in pairs.items()
                if mantissa != ABSENT}

    def _fields(self):
        return {"last": self.last, "mark_price": self.mark_price, "index_price": self.index_price,
                "open_interest": self.open_interest, "funding_rate": self.funding_rate,
                "next_funding_time": self.next_funding_time, "volume": self.volume}


@cython.no_gc
cdef class Bar(Event):
    """Open, high, low, close and volume of an interval, so far or for good."""

    @property
    def start(self):
        """When the interval begins, ns since the epoch."""
        return self.record.start

    @property
    def interval(self):
        """Length of the interval in seconds."""
        return self.record.interval

    @property
    def open(self):
        """Price of the first trade."""
        return to_price(self.record.open, self.ref.px_exp)

    @property
    def high(self):
        """Highest price."""
        return to_price(self.record.high, self.ref.px_exp)

    @property
    def low(self):
        """Lowest price."""
        return to_price(self.record.low, self.ref.px_exp)

    @property
    def close(self):
        """Price of the last trade so far."""
        return to_price(self.record.close, self.ref.px_exp)

    @property
    def volume(self):
        """Volume in the unit of sizes."""
        return to_price(self.record.volume, self.record.volume_exp)

    @property
    def closed(self):
        """True if nothing will change any more."""
        return bool(self.record.closed)

    def _fields(self):
        return {"start": self.start, "interval": self.interval, "open": self.open, "high": self.high,
                "low": self.low, "close": self.close, "volume": self.volume, "closed": self.closed}


@cython.no_gc
cdef class Liquidation(Event):
    """A forced order of the venue, as far as the venue tells of them."""

    @property
    def price(self):
        """Price."""
        return to_price(self.record.px, self.ref.px_exp)

    @property
    def size(self):
        """Size in the venue's unit."""
        return to_price(self.record.sz, self.ref.sz_exp)

    @property
    def px(self):
        """Price mantissa."""
        return self.record.px

    @property
    def sz(self):
        """Size mantissa."""
        return self.record.sz

    @property
    def side(self):
        """The forced order's side: "sell" where a long position was liquidated, "buy" where a short one was."""
        return "buy" if self.record.side == SIDE_BUY else "sell"

    def _fields(self):
        return {"price": self.price, "size": self.size, "side": self.side}


cdef list _levels(bytes pairs, Py_ssize_t first, Py_ssize_t last, InstrumentRef ref):
    cdef const LevelPair* pair = <const LevelPair*><const char*>pairs
    cdef Py_ssize_t i
    cdef list out = []
    for i in range(first, last):
        out.append((to_price(pair[i].px, ref.px_exp), to_price(pair[i].sz, ref.sz_exp)))
    return out


cdef list _mantissas(bytes pairs, Py_ssize_t first, Py_ssize_t last):
    cdef const LevelPair* pair = <const LevelPair*><const char*>pairs
    cdef Py_ssize_t i
    return [(pair[i].px, pair[i].sz) for i in range(first, last)]


cdef inline Py_ssize_t _count(bytes pairs):
    return len(pairs) // <Py_ssize_t>sizeof(LevelPair)


@cython.no_gc
cdef class Levels(Event):
    """A delta (size 0 removes the level) or a snapshot (replaces the book)."""

    @property
    def bids(self):
        """[(price, size)] in the venue's order."""
        return _levels(self._pairs, 0, self._n_bids, self.ref)

    @property
    def asks(self):
        """[(price, size)] in the venue's order."""
        return _levels(self._pairs, self._n_bids, _count(self._pairs), self.ref)

    @property
    def bid_mantissas(self):
        """[(px, sz)] of the bids."""
        return _mantissas(self._pairs, 0, self._n_bids)

    @property
    def ask_mantissas(self):
        """[(px, sz)] of the asks."""
        return _mantissas(self._pairs, self._n_bids, _count(self._pairs))

    @property
    def prev_sequence(self):
        """The sequence that the book must have reached for this delta to apply."""
        return _optional(self._prev_sequence)

    @property
    def complete_to(self):
        """Worst (bid, ask) price down to which the book is known whole; None: the whole side."""
        return to_price(self._complete_bid_px, self.ref.px_exp), to_price(self._complete_ask_px, self.ref.px_exp)

    @property
    def crossed(self):
        """True if the best bid is above the best ask."""
        return bool(self.head.flags & FLAG_CROSSED)

    @property
    def locked(self):
        """True if the best bid is equal to the best ask."""
        return bool(self.head.flags & FLAG_LOCKED)

    def _fields(self):
        return {"bids": self.bids, "asks": self.asks, "prev_sequence": self.prev_sequence}


@cython.no_gc
cdef class BookTop(Event):
    """The best levels of a book as they are now, from a reader that yields the newest only.

    Its times are those of the book's last change, its position the place in the ring up to which the levels have
    everything.
    """

    @property
    def kind(self):
        """book."""
        return "book"

    @property
    def bids(self):
        """[(price, size)], best first."""
        return _levels(self._pairs, 0, self._n_bids, self.ref)

    @property
    def asks(self):
        """[(price, size)], best first."""
        return _levels(self._pairs, self._n_bids, _count(self._pairs), self.ref)

    @property
    def bid_mantissas(self):
        """[(px, sz)] of the bids."""
        return _mantissas(self._pairs, 0, self._n_bids)

    @property
    def ask_mantissas(self):
        """[(px, sz)] of the asks."""
        return _mantissas(self._pairs, self._n_bids, _count(self._pairs))

    @property
    def ts_recv(self):
        """When the socket was read that brought the last change; None before the first."""
        return _optional(self.head.ts_recv)

    @property
    def ts_publish(self):
        """When the last change was committed to the ring; None before the first."""
        return _optional(self.head.ts_publish)

    @property
    def complete_to(self):
        """Worst (bid, ask) price down to which the book is known whole; None: the whole side."""
        return to_price(self._complete_bid_px, self.ref.px_exp), to_price(self._complete_ask_px, self.ref.px_exp)

    def _fields(self):
        return {"state": self.state, "bids": self.bids, "asks": self.asks}


@cython.no_gc
cdef class Status(Event):
    """A change of state of an instrument's book, of a connection or of the bus, and its reason.

    `health` is None, or the event is about that: ok, degraded or down, of an instrument, a connection or a venue.
    """

    def _fields(self):
        return {"scope": self.scope, "state": self.state, "reason": self.reason, "expected": self.expected,
                "received": self.received, "instrument_status": self.instrument_status, "health": self.health}


cdef Event make_event(const Head* head):
    """An event of a record of one of the kinds whose records have one size; None for another kind.

    The record may be overwritten meanwhile: whatever its bytes are, they are copied and not looked at. Where it stands,
    and what it is about, is for the caller to add when it has found the copy good.
    """
    cdef const BboRecord* bbo
    cdef const TradeRecord* trade
    cdef Bbo quote
    cdef Trade deal
    cdef Ticker ticker
    cdef Bar bar
    cdef Liquidation liquidation
    cdef int kind = head.kind
    if kind == KIND_BBO:
        bbo = <const BboRecord*>head
        quote = Bbo.__new__(Bbo)
        quote.head = head[0]
        quote._bid_px = bbo.bid_px
        quote._bid_sz = bbo.bid_sz
        quote._ask_px = bbo.ask_px
        quote._ask_sz = bbo.ask_sz
        return quote
    if kind == KIND_TRADE:
        trade = <const TradeRecord*>head
        deal = Trade.__new__(Trade)
        deal.head = head[0]
        deal._px = trade.px
        deal._sz = trade.sz
        memcpy(deal._id, trade.trade_id, 16)
        deal._id_kind = trade.id_kind
        deal._side = trade.side
        return deal
    if kind == KIND_TICKER:
        ticker = Ticker.__new__(Ticker)
        ticker.head = head[0]
        ticker.record = (<const TickerRecord*>head)[0]
        return ticker
    if kind == KIND_BAR:
        bar = Bar.__new__(Bar)
        bar.head = head[0]
        bar.record = (<const BarRecord*>head)[0]
        return bar
    if kind == KIND_LIQUIDATION:
        liquidation = Liquidation.__new__(Liquidation)
        liquidation.head = head[0]
        liquidation.record = (<const LiquidationRecord*>head)[0]
        return liquidation
    return None


cdef Status make_status_event(const StatusRecord* record):
    """An event of a status record that was found good; a word that this code does not know is empty."""
    cdef Status event = Status.__new__(Status)
    event.head = record.head
    event.scope = _word(SCOPES, record.scope)
    event.state = _word(STATES, record.state)
    event.reason = _word(REASONS, record.reason)
    event.expected = _optional(record.expected)
    event.received = _optional(record.received)
    event.health = _word(HEALTHS, record.health)
    if record.reason == REASON_INSTRUMENT:
        event.instrument_status = _word(INSTRUMENT_STATUSES, record.instrument_status)
    return event


cdef str _word(tuple words, int index):
    return words[index] if index < len(words) else ""


cdef Levels make_levels(const LevelsRecord* record, bytes pairs, Py_ssize_t n_bids):
    cdef Levels event = Levels.__new__(Levels)
    event.head = record.head
    event._prev_sequence = record.prev_sequence
    event._complete_bid_px = record.complete_bid_px
    event._complete_ask_px = record.complete_ask_px
    event._pairs = pairs
    event._n_bids = n_bids
    return event


def make_status(*, str name=None, str scope not None, str state not None, str reason not None, int64_t ts,
                uint64_t generation=0, uint64_t offset=0):
    """Return a status event that a reader makes itself: of the bus, when its feed goes or comes back."""
    cdef Status event = Status.__new__(Status)
    event.head.kind = KIND_STATUS
    event.head.connection = 0xFFFF
    event.head.ts_event = ABSENT
    event.head.ts_send = ABSENT
    event.head.ts_recv = ts
    event.head.ts_publish = ts
    event.head.sequence = ABSENT
    event.offset = offset
    event.generation = generation
    event.scope = scope
    event.state = state
    event.reason = reason
    return event
