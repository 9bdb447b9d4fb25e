"""Declare what a venue file must hold: a complete list of what varies between venues.

A venue is a module of this folder with the constants and functions of `Venue`: what the venue *is* and what we *send*,
as data and pure functions, without state, sockets or clock. What the venue sends back is read by the compiled decoder
of the same name, except the few control frames, listings and REST errors that are read here.

Units: `_s` seconds, `ts` ns since the epoch. A topic is the venue's own text for one stream of one instrument.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Protocol

import msgspec

from fastfeed.errors import FastfeedError
from fastfeed.instrument import Instrument, Kind, Status

__all__ = [
    "CHANNELS",
    "Ack",
    "Answer",
    "Call",
    "Channel",
    "Control",
    "Credentials",
    "InstrumentStatus",
    "Limits",
    "Options",
    "Page",
    "Pong",
    "Product",
    "Refusal",
    "Shutdown",
    "SnapshotSize",
    "Stale",
    "Topic",
    "Unknown",
    "Venue",
    "product_named",
    "rows_for",
]

# Every channel there is; a venue offers some of them.
CHANNELS = ("book", "bbo", "trade", "ticker", "bar", "liquidation", "orders")


class Stale(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table [feed.stale]: seconds without a message after which a channel is suspected; 0 for never.

    Suspected is not dead: the venue is asked first. That trades are not made for long is quite usual.
    """

    book: Annotated[float, msgspec.Meta(ge=0, le=86400)] = 30
    bbo: Annotated[float, msgspec.Meta(ge=0, le=86400)] = 30
    trade: Annotated[float, msgspec.Meta(ge=0, le=86400)] = 0
    ticker: Annotated[float, msgspec.Meta(ge=0, le=86400)] = 60
    bar: Annotated[float, msgspec.Meta(ge=0, le=86400)] = 0
    liquidation: Annotated[float, msgspec.Meta(ge=0, le=86400)] = 0

    def of(self, channel: str) -> float:
        """Return the threshold of a channel."""
        return float(getattr(self, channel, 0))


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the user may choose about a feed's channels; a venue refuses what it cannot do (`Venue.check_options`)."""

    book: str = ""  # which of the venue's forms of the book, by the venue's own word; "" for its default
    trades: str = ""  # which of the venue's forms of trades ("raw", "aggregate"); "" for its default
    depth_speed: str = "100ms"  # how often the venue sends book deltas, as it writes it; "" for the venue's own default
    snapshot_levels: int = 1000  # levels a side wanted of a book's snapshot; a product that has fewer gives what it has
    bar_interval: str = "1m"  # length of bars: a number and one of s, m, h, d
    crossed: str = "flag"  # what to do with a book whose best bid is above its best ask: "flag" it, or "resync" as well
    verify_s: int = 60  # an unchained book is held against a fresh snapshot this often, seconds

    stale: Stale = Stale()  # when a channel is suspected to have gone silent

    def form(self, channel: str) -> str:
        """Return the form of a channel that is asked for; "" for the venue's default."""
        return {"book": self.book, "trade": self.trades}.get(channel, "")


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """What a login needs; none of it shows itself."""

    key: str
    secret: str
    passphrase: str = ""

    def __repr__(self) -> str:
        return "Credentials(***)"


class Call(msgspec.Struct, frozen=True):
    """One REST call: a GET of `path` (with its query), below the product's REST base; `weight` of its rate budget."""

    path: str
    weight: int


class Page(msgspec.Struct, frozen=True):
    """One page of a listing: its rows, unread, and the calls for what it does not hold."""

    product: Product
    rows: list[msgspec.Raw]
    more: tuple[Call, ...] = ()


class Topic(msgspec.Struct, frozen=True):
    """What one subscription asks for; topics of one product and one `path` can share a connection.

    `path` follows the product's WebSocket base. `text` names the stream, in requests and in what the decoder makes of
    messages; where the venue has no such text, the venue's file and its decoder agree on one (channel, colon, symbol).
    Topics can share a request if they have the same `frame`. `carrier` is the channel whose messages bring this one
    too, None if it has its own. A `group` is one stream of many instruments; its messages name each.
    """

    path: str
    text: str
    frame: str = ""
    carrier: str | None = None
    group: bool = False


class Channel(msgspec.Struct, frozen=True, kw_only=True):
    """One row of what a product offers.

    Several rows of one `name` are its forms; the first is the venue's default. A row applies to instruments of `kinds`.
    `topics` are for reading by people: the venue's names, with `{symbol}` and other holes that `Venue.topics` fills.
    """

    name: str
    topics: tuple[str, ...] = ()
    path: str = ""
    form: str = ""
    kinds: tuple[Kind, ...] = ("spot", "swap", "future", "option")
    derived: bool = False  # not from the venue: computed from the book
    by_request: bool = False  # a book whose snapshot comes by REST, not in the stream
    chained: bool = True  # a lost delta is seen at the next one
    opens: bool = False  # the venue answers a subscription with a first message, however quiet the market is
    login: bool = False  # needs credentials
    note: str = ""  # what a reader of the capability table should know


class SnapshotSize(msgspec.Struct, frozen=True):
    """A size of book snapshot that the venue gives: up to `levels` a side for `weight` of the rate budget."""

    levels: int
    weight: int


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a client may do; our own limits, at or below the venue's."""

    topics_per_connection: int
    books_per_connection: int = 1_000_000  # of these topics, those that bring books
    topics_per_frame: int = 1_000_000
    sends_per_second: int  # frames per connection and second that we send on our own; room for pongs is left
    sends_per_hour: int = 1_000_000  # ... and hour
    sends_shared: bool = False  # ... of all connections together: the venue counts by address or account
    frame_bytes: int  # longest frame that we send
    connects: int  # connection attempts per `connects_per_s` and address
    connects_per_s: int
    weight_per_minute: int  # of REST calls, per address


class Product(msgspec.Struct, frozen=True, kw_only=True):
    """One product line of a venue, such as spot or linear derivatives: where it is and what it offers.

    A product is a place: a WebSocket and a REST base with rate budgets of their own. Bases have no trailing slash.
    """

    name: str
    kinds: tuple[Kind, ...] = ("spot", "swap", "future", "option")
    ws: str
    rest: str
    ws_sandbox: str | None = None  # None: the venue has none
    rest_sandbox: str | None = None
    rest_sandbox_headers: Mapping[str, str] = {}  # of REST calls, where one base serves both
    listing: tuple[Call, ...]
    channels: tuple[Channel, ...]
    snapshots: tuple[SnapshotSize, ...] = ()  # rising; of books by request
    bars: tuple[str, ...] = ()  # intervals, as `Options.bar_interval`
    depth_speeds: tuple[str, ...] = ()  # as `Options.depth_speed`, the default first; (): there is no choice
    limits: Limits
    lifetime_s: int = 0  # the venue closes a connection of this age, for people to know; 0: it does not say
    ping_every_s: float = 0  # we send a ping this often; 0: never
    ping_when_silent: bool = False  # ... only if no frame came for so long
    mute_after_s: int  # a connection without any frame, pings and pongs included, for so long is dead
    acks_topics: bool = False  # acks name topics one by one, and errors need not say which topic they mean

    def channel(self, name: str, options: Options, kind: Kind) -> Channel | None:
        """Return the row that serves the channel `name` under `options`; None if instruments of `kind` have none.

        Raises
        ------
        ValueError : the product does not offer it, or not in that form.
        """
        rows = [row for row in self.channels if row.name == name]
        if not rows:
            known = ", ".join(dict.fromkeys(row.name for row in self.channels))
            raise ValueError(f"expected a channel of {self.name} ({known}), was {name!r}")
        wanted = options.form(name)
        forms = [row for row in rows if wanted in ("", row.form)]
        if not forms:
            known = ", ".join(dict.fromkeys(row.form for row in rows))
            raise ValueError(f"expected a form of {name} ({known}), was {wanted!r}")
        return next((row for row in forms if kind in row.kinds), None)

    def snapshot_size(self, levels: int) -> SnapshotSize:
        """Return the smallest snapshot with `levels` a side, or the largest that there is."""
        return next((size for size in self.snapshots if size.levels >= levels), self.snapshots[-1])


class Ack(msgspec.Struct, frozen=True, kw_only=True):
    """The venue took a request. Data need not follow: a venue may accept a topic that it does not have.

    `request_id` is None where the venue does not repeat it. `topics` are those taken, None for all of the request;
    `complete` says that what the request had besides is refused. `ended` marks the end of subscriptions, `greets` the
    answer to the greeting where that has no id.
    """

    request_id: int | None = None
    topics: tuple[str, ...] | None = None
    complete: bool = False
    ended: bool = False
    greets: bool = False


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """The venue refuses a request; `request_id` is None and `topics` empty where it does not say which."""

    request_id: int | None = None
    code: int | str = ""
    reason: str
    topics: tuple[str, ...] = ()


class Answer(msgspec.Struct, frozen=True):
    """The venue asks for a sign of life: send this text frame now."""

    payload: bytes


class Pong(msgspec.Struct, frozen=True):
    """The venue lives; nothing to do. `answers`: it answers our ping, and did not speak by itself."""

    answers: bool = True


class InstrumentStatus(msgspec.Struct, frozen=True):
    """The state of trading of the instrument that the venue calls `symbol` has changed."""

    symbol: str
    status: Status


class Shutdown(msgspec.Struct, frozen=True):
    """The venue will close this connection soon, or cannot serve it now: another one is opened."""

    reason: str = ""  # in the venue's words, for the log


class Unknown(msgspec.Struct, frozen=True):
    """A control frame that is none of the above; `text` is its beginning, for the log."""

    text: str


Control = Ack | Refusal | Answer | Pong | InstrumentStatus | Shutdown | Unknown


class Venue(Protocol):
    """What a module of this folder holds."""

    ID: str  # ccxt's
    PRODUCTS: tuple[Product, ...]
    USED_WEIGHT_HEADER: str | None  # REST header with the weight used in the current minute

    def products_for(self, pattern: str) -> tuple[Product, ...]:
        """Return the products that may list what `pattern` (a unified symbol, or one with wildcards) names."""
        ...

    def product_of(self, instrument: Instrument) -> Product:
        """Return the product that lists `instrument`."""
        ...

    def check_options(self, options: Options) -> list[tuple[str, str]]:
        """Return the options that this venue cannot do, as pairs of key and what is expected there."""
        ...

    def read_listing(self, body: bytes | str, product: Product | None) -> Page:
        """Return one page of a listing; the product is told from the body if None.

        Raises
        ------
        MalformedReply : the body is not a listing.
        VenueError : it is a refusal; some venues send those with status 200.
        """
        ...

    def read_instrument(self, row: msgspec.Raw, product: Product) -> Instrument:
        """Return the instrument of a row.

        Raises
        ------
        ValueError : the row is malformed, or its numbers do not fit.
        """
        ...

    def topics(self, instrument: Instrument, channel: Channel, options: Options) -> tuple[Topic, ...]:
        """Return what to subscribe to for a row of the product's channels that applies to `instrument`."""
        ...

    def status_topics(self, product: Product, instruments: Sequence[Instrument]) -> tuple[Topic, ...]:
        """Return the topics that tell of changes in the state of trading; they come as control frames."""
        ...

    def greeting(self, product: Product, credentials: Credentials | None, request_id: int, ts: int) -> bytes | None:
        """Return the text frame to send first, if any: subscriptions wait until `request_id` is acknowledged."""
        ...

    def encode_ping(self, product: Product) -> bytes | None:
        """Return the text frame that keeps a connection alive; None for a ping of the WebSocket protocol."""
        ...

    def encode_subscribe(self, topics: Sequence[str], request_id: int) -> bytes:
        """Return the text frame that subscribes to `topics`, which agree in their `frame`."""
        ...

    def encode_unsubscribe(self, topics: Sequence[str], request_id: int) -> bytes:
        """Return the text frame that ends the subscriptions to `topics`, which agree in their `frame`."""
        ...

    def read_control(self, payload: bytes) -> list[Control]:
        """Return what a frame without market data says; never raises."""
        ...

    def snapshot(self, instrument: Instrument, levels: int) -> Call:
        """Return the call for a book snapshot of at least `levels` a side, or of as many as the product gives."""
        ...

    def read_rest_error(
        self,
        status: int,
        headers: Mapping[str, str],
        body: bytes,
        instrument: str | None = None,
        ts: int | None = None,
    ) -> FastfeedError:
        """Return what a REST reply with a status other than 200 means.

        Parameters
        ----------
        headers : of the reply, in any case.
        instrument : name of the instrument that the request was for.
        ts : time of the reply; needed where a venue names the end of a ban as a time.
        """
        ...

    def decoder(self, product: Product) -> type[Any]:
        """Return the compiled decoder class, which is imported here and not before."""
        ...


def product_named(venue: Venue, name: str) -> Product:
    """Return the product of `venue` called `name`.

    Raises
    ------
    ValueError : it has none of that name.
    """
    for product in venue.PRODUCTS:
        if product.name == name:
            return product
    known = ", ".join(product.name for product in venue.PRODUCTS)
    raise ValueError(f"expected a product of {venue.ID} ({known}), was {name!r}")


def rows_for(venue: Venue, instrument: Instrument, channels: Iterable[str], options: Options) -> tuple[Channel, ...]:
    """Return the rows that serve `channels` of an instrument: those that it has, and the book that a derived one needs.

    Raises
    ------
    ValueError : the product does not offer a channel, or not in the form that is asked for.
    """
    product = venue.product_of(instrument)
    rows = [product.channel(name, options, instrument.kind) for name in channels]
    found = [row for row in rows if row is not None]
    if any(row.derived for row in found) and not any(row.name == "book" for row in found):
        book = product.channel("book", options, instrument.kind)
        found += [] if book is None else [book]
    return tuple(found)
