"""What a venue's profile has to be for the simulator to serve it.

A profile is sans-I/O: connections, messages, REST calls and the passing of time go in, outputs come out. It reads no
clock and no random number that was not handed in. Times are integer nanoseconds since the Unix epoch. Everything that
names a venue stands below `profiles/`.

Market data flow in two steps. A profile's `advance` yields each `Publication` once, at the moment when the true book is
exactly the one that it speaks of. Each `Session` then says which frames it makes of it for its client: none, one, or
several. A venue that sends the book in the stream answers a subscription with the snapshot from `Session.receive`, as a
`Frame` with its topic and name; one whose clients ping does so there, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Set

    from fastfeed.sim.frames import Frame, Output
    from fastfeed.sim.market import Instrument, TrueBook
    from fastfeed.sim.replay import Timeline


@dataclass(frozen=True, slots=True)
class Knobs:
    """What a user may turn; None leaves the venue's own figure.

    Parameters
    ----------
    seed : of every random number.
    rate : order flow events per second and instrument.
    levels : price levels a side of the true books.
    symbols : instruments per product; beyond the profile's own list they are invented.
    ping_interval_s, pong_timeout_s, lifetime_s : of a connection.
    late_ack : share of subscriptions whose first data come before the acknowledgement, 0 to 1.
    journal : keep every change, so that the book at any sequence can be asked for.
    hold_s : how long a replay waits, where a REST reply was recorded, for a client that asks the same.
    slow : seconds by which the answer to a REST call is late, by text that its path or query holds.
    """

    seed: int = 7
    rate: float = 50.0
    levels: int = 500
    symbols: int | None = None
    ping_interval_s: float | None = None
    pong_timeout_s: float | None = None
    lifetime_s: float | None = None
    late_ack: float = 0.25
    journal: bool = False
    hold_s: float = 0.0
    slow: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Request:
    """A REST call; `fault` is the name of the fault to answer with, or empty."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a REST call, or to a WebSocket upgrade that is refused."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Publication:
    """One market data message, before it is addressed to anyone.

    `topic` is the source's own key of the stream; `data` is the payload without the envelope that a connection may add.
    """

    endpoint: str
    topic: str
    name: str
    data: bytes


class Session(Protocol):
    """One client's connection, as the venue sees it. It dies with the connection."""

    endpoint: str

    def topics(self) -> Set[str]:
        """Return the keys of all publications that it takes."""

    def receive(self, text: bytes, now: int) -> list[Output]:
        """Take a text message of the client."""

    def ping(self, payload: bytes, now: int) -> list[Output]:
        """Take a ping frame of the client."""

    def pong(self, payload: bytes, now: int) -> list[Output]:
        """Take a pong frame of the client."""

    def tick(self, now: int) -> list[Output]:
        """Let time pass: pings fall due, silence and age close the connection."""

    def frames(self, publication: Publication) -> list[Frame]:
        """Return what this client is sent for a publication, usually one frame or none."""

    def is_verbatim(self, topics: Set[str]) -> bool:
        """Say whether recorded messages of all `topics` go to this client byte by byte as they were recorded."""

    def announce_shutdown(self, now: int) -> list[Output]:
        """Return the venue's notice that it will close the connection soon, if it has one."""


class Profile(Protocol):
    """One venue: its endpoints, instruments, books, connections and REST."""

    venue: str
    ws_endpoints: Sequence[str]
    rest_endpoints: Sequence[str]
    instruments: Sequence[Instrument]
    timelines: Sequence[Timeline]

    def connect(self, endpoint: str, path: str, query: Mapping[str, str], now: int) -> Session | Reply:
        """Open a connection, or refuse its upgrade."""

    def rest(self, endpoint: str, request: Request, now: int) -> Reply:
        """Answer a REST call."""

    def advance(self, now: int) -> Iterator[Publication]:
        """Move the market to `now` and yield what the venue publishes meanwhile, in order."""

    def next_due(self) -> int | None:
        """Return when `advance` will next have something to do, ns; None if never."""

    def reset(self, name: str) -> None:
        """Let the venue restart the sequence of an instrument's book, as it does; nothing where it never does."""

    def true_book(self, name: str) -> TrueBook:
        """Return the book of now; KeyError without such an instrument or in a replay."""

    def book_at(self, name: str, sequence: int) -> TrueBook:
        """Return the book as it stood at a sequence of the wire, of the venue's default channel; needs the journal.

        Raises
        ------
        ValueError : nothing was published with that sequence.
        """
