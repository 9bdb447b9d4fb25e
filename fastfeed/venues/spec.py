"""Declare what a venue file must hold: a complete list of what varies between venues.

A venue is a module of this folder with the constants and functions of `Venue`: what the venue *is* and what we *send*,
as data and pure functions, without state, sockets or clock. What the venue sends back is read by the compiled decoder
of the same name, except the few control frames, listings and REST errors that are read here.

Units: `_s` seconds, `ts` ns since the epoch. A topic is the venue's own text for one stream of one instrument.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import msgspec

from fastfeed.errors import FastfeedError
from fastfeed.instrument import Instrument

__all__ = [
    "CHANNELS",
    "Ack",
    "Call",
    "Channel",
    "Control",
    "Limits",
    "Options",
    "Product",
    "Refusal",
    "Shutdown",
    "SnapshotSize",
    "Topic",
    "Unknown",
    "Venue",
    "product_named",
]

# Every channel there is; a venue offers some of them.
CHANNELS = ("book", "bbo", "trade", "ticker", "bar", "liquidation", "orders")


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the user may choose about a feed's channels; a venue refuses what it cannot do (`Venue.check_options`)."""

    depth_speed: str = "100ms"  # how often the venue sends book deltas, as it writes it; "" for the venue's own default
    snapshot_levels: int = 1000  # levels a side wanted of a book's snapshot; a product that has fewer gives what it has
    trades: Literal["raw", "aggregate"] = "raw"  # single trades, or the venue's own aggregation of them


class Call(msgspec.Struct, frozen=True):
    """One REST call: a GET of `path` (with its query), below the product's REST base; `weight` of its rate budget."""

    path: str
    weight: int


class Topic(msgspec.Struct, frozen=True, order=True):
    """What one subscription asks for; topics of one product and one `path` can share a connection.

    `path` follows the product's WebSocket base; `text` is the venue's name of the stream, in requests and in messages.
    """

    path: str
    text: str


class Channel(msgspec.Struct, frozen=True, kw_only=True):
    """One row of what a product offers: how a channel is asked for.

    `topic` may hold `{symbol}` (the venue's, in the spelling that topics use) and `{speed}` (the option's suffix, or
    nothing). A row with `trades` applies to that choice of the option only.
    """

    name: str
    topic: str
    path: str
    trades: Literal["raw", "aggregate"] | None = None

    def topic_text(self, symbol: str, options: Options) -> str:
        """Return the topic of `symbol`, in the spelling that topics use."""
        return self.topic.format(symbol=symbol, speed=f"@{options.depth_speed}" if options.depth_speed else "")


class SnapshotSize(msgspec.Struct, frozen=True):
    """A size of book snapshot that the venue gives: up to `levels` a side for `weight` of the rate budget."""

    levels: int
    weight: int


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a client may do; our own limits, at or below the venue's."""

    topics_per_connection: int
    sends_per_second: int  # frames per connection and second that we send on our own; room for pongs is left
    frame_bytes: int  # longest frame that we send
    connects: int  # connection attempts per `connects_per_s` and address
    connects_per_s: int
    weight_per_minute: int  # of REST calls, per address


class Product(msgspec.Struct, frozen=True, kw_only=True):
    """One product line of a venue, such as spot or linear derivatives: where it is and what it offers.

    WebSocket and REST bases have no trailing slash. A product has rate budgets of its own.
    """

    name: str
    ws: str
    rest: str
    ws_sandbox: str
    rest_sandbox: str
    listing: Call
    channels: tuple[Channel, ...]
    snapshots: tuple[SnapshotSize, ...]  # rising
    limits: Limits
    lifetime_s: int  # the venue closes a connection of this age
    ping_every_s: int  # the venue pings this often
    mute_after_s: int  # a connection without any frame, pings included, for so long is dead

    def channel(self, name: str, options: Options) -> Channel:
        """Return the row that serves the channel `name` under `options`.

        Raises
        ------
        ValueError : the product does not offer it.
        """
        for row in self.channels:
            if row.name == name and row.trades in (None, options.trades):
                return row
        known = ", ".join(dict.fromkeys(row.name for row in self.channels))
        raise ValueError(f"expected a channel of {self.name} ({known}), was {name!r}")

    def snapshot_size(self, levels: int) -> SnapshotSize:
        """Return the smallest snapshot with `levels` a side, or the largest that there is."""
        return next((size for size in self.snapshots if size.levels >= levels), self.snapshots[-1])


class Ack(msgspec.Struct, frozen=True):
    """The venue took the request. Data need not follow: a venue may accept a topic that it does not have."""

    request_id: int


class Refusal(msgspec.Struct, frozen=True):
    """The venue refuses a request; `request_id` is None where it does not say which."""

    request_id: int | None
    code: int | str
    reason: str


class Shutdown(msgspec.Struct, frozen=True):
    """The venue will close this connection soon: open another one first."""


class Unknown(msgspec.Struct, frozen=True):
    """A control frame that is none of the above; `text` is its beginning, for the log."""

    text: str


Control = Ack | Refusal | Shutdown | Unknown


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

    def read_listing(self, body: bytes | str, product: Product | None) -> tuple[Product, list[msgspec.Raw]]:
        """Return the product (told from the body if None) and the rows of one page of a listing, unread.

        Raises
        ------
        MalformedReply : the body is not a listing.
        """
        ...

    def read_instrument(self, row: msgspec.Raw, product: Product) -> Instrument:
        """Return the instrument of a row.

        Raises
        ------
        ValueError : the row is malformed, or its numbers do not fit.
        """
        ...

    def topic(self, instrument: Instrument, channel: str, options: Options) -> Topic:
        """Return what to subscribe to for `channel` of `instrument`.

        Raises
        ------
        ValueError : the venue does not offer that channel.
        """
        ...

    def encode_subscribe(self, topics: Sequence[str], request_id: int) -> bytes:
        """Return the text frame that subscribes to `topics`."""
        ...

    def encode_unsubscribe(self, topics: Sequence[str], request_id: int) -> bytes:
        """Return the text frame that ends the subscriptions to `topics`."""
        ...

    def read_control(self, payload: bytes) -> Control:
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
