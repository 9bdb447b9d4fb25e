"""The simulator without sockets: venues, their clients' connections, faults, one clock.

    sim = Simulator([venue], knobs=Knobs(seed=7), faults="drop:0.01", now=1_785_000_000_000_000_000)
    client = sim.connect(venue, endpoint, "/path?query")    # client.receive(text) is what the client sends
    sim.advance(seconds=1)
    outputs = client.take()                                 # Frame, Ping, Pong, Close, Abort, in order
    reply = sim.request(venue, endpoint, "/path?query")     # status, body, headers
    book = sim.true_book("venue:BASE/QUOTE")

`async with Simulator(...) as sim` serves the same on loopback, until the block is left, at `sim.endpoints`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from fastfeed.sim.faults import FaultLink, FaultPlan
from fastfeed.sim.frames import Abort, Close, Frame, Framed, Output
from fastfeed.sim.interface import Knobs, Profile, Publication, Reply, Request, Session
from fastfeed.sim.market import TrueBook
from fastfeed.sim.profiles import VENUES, make_profiles
from fastfeed.sim.replay import Timeline

if TYPE_CHECKING:
    from fastfeed.sim.server import Server

Tap = Callable[["Connection", Frame], None]
OnReplayed = Callable[[str, Timeline], None]


class Connection:
    """One client of a simulated venue. It takes inputs at the simulator's own time; outputs wait to be taken."""

    def __init__(self, sim: Simulator, session: Session, link: FaultLink) -> None:
        self.session = session
        self.is_closed = False
        self.is_writable = True
        self.takes_framed = False
        self._sim = sim
        self._link = link
        self._outputs: list[Output] = []

    def receive(self, text: str | bytes) -> None:
        """Take a text message from the client."""
        self._emit(self.session.receive(text.encode() if isinstance(text, str) else text, self._sim.now))

    def ping(self, payload: bytes = b"") -> None:
        """Take a ping frame from the client."""
        self._emit(self.session.ping(payload, self._sim.now))

    def pong(self, payload: bytes = b"") -> None:
        """Take a pong frame from the client."""
        self._emit(self.session.pong(payload, self._sim.now))

    def close(self) -> None:
        """Forget the connection: the client left."""
        self.is_closed = True
        self._sim.detach(self)

    def take(self) -> list[Output]:
        """Return what was sent to the client since the last call."""
        outputs, self._outputs = self._outputs, []
        return outputs

    def tick(self) -> None:
        """Let time pass for the session, unless a fault muted the connection."""
        if not self._link.is_mute:
            self._emit(self.session.tick(self._sim.now))

    def announce_shutdown(self) -> None:
        """Send the venue's notice of a shutdown."""
        self._emit(self.session.announce_shutdown(self._sim.now))

    def deliver(self, publication: Publication) -> None:
        """Send what the session makes of a publication, through the tap and the faults."""
        if self.is_closed:
            return
        for frame in self.session.frames(publication):
            if self._sim.tap is not None:
                self._sim.tap(self, frame)
            self._append(self._link.apply(frame))

    def deliver_recorded(self, timeline: Timeline, span: range) -> None:
        """Send recorded frames, in one piece where nothing has to look at them."""
        frames = timeline.recording.frames
        is_plain = self.takes_framed and self._sim.tap is None and not self._sim.faults.stream_faults
        if span and is_plain and self.session.is_verbatim(timeline.recording.topics):
            self._append([Framed(timeline.framed(span))])
        else:
            for index in span:
                self.deliver(frames[index].publication)

    def take_resets(self) -> list[str]:
        """Return the instruments whose sequence a fault restarts, since the last call."""
        resets, self._link.resets = self._link.resets, []
        return resets

    def _emit(self, outputs: list[Output]) -> None:
        if self._link.is_mute:
            return
        for output in outputs:
            # A snapshot in the stream is market data, though a subscription caused it.
            if isinstance(output, Frame) and output.topic:
                if self._sim.tap is not None:
                    self._sim.tap(self, output)
                self._append(self._link.apply(output))
            else:
                self._append([output])

    def _append(self, outputs: list[Output]) -> None:
        if self.is_closed:
            return
        for output in outputs:
            self._outputs.append(output)
            if isinstance(output, Close | Abort):
                self.close()
                break


class Simulator:
    """Simulated venues under one clock.

    Parameters
    ----------
    venues : ids of the venues to simulate; all that there are unless given, in a replay those of its recordings.
    faults : what goes wrong, a plan or its text.
    replay : a folder of recordings to serve instead of a random market.
    speed : of the replay, times as fast as recorded; None as fast as clients read.
    knobs : rates, sizes and timings.
    now : when it begins, ns; the wall clock's time unless given.
    tap : called with the connection and each market data frame as intended, before faults, when the true book is
        exactly the one that the frame speaks of.
    on_replayed : called with the venue and the timeline when a recording was sent to its end.
    """

    def __init__(
        self,
        venues: Sequence[str] | None = None,
        *,
        faults: FaultPlan | str = "",
        replay: str | Path | None = None,
        speed: float | None = 1.0,
        knobs: Knobs | None = None,
        now: int | None = None,
        tap: Tap | None = None,
        on_replayed: OnReplayed | None = None,
    ) -> None:
        knobs = Knobs() if knobs is None else knobs
        for venue in venues or ():
            if venue not in VENUES:
                raise ValueError(f"unknown venue {venue!r}: expected one of {', '.join(VENUES)}")
        self.now = time.time_ns() if now is None else now
        self.tap = tap
        self.faults = FaultPlan.parse(faults, knobs.seed) if isinstance(faults, str) else faults
        self.profiles: dict[str, Profile] = {
            profile.venue: profile
            for profile in make_profiles(venues, replay, speed, knobs, self.now, on_replayed or _ignore)
        }
        self._slow = dict(knobs.slow)
        self._connections: dict[str, list[Connection]] = {venue: [] for venue in self.profiles}
        self._server: Server | None = None

    @property
    def connections(self) -> list[Connection]:
        """Return the open connections, oldest first within a venue."""
        return [connection for connections in self._connections.values() for connection in connections]

    def connect(self, venue: str, endpoint: str, target: str) -> Connection:
        """Open a client's connection; ValueError with the reply's body if the venue refuses the upgrade."""
        session = self.open_session(venue, endpoint, target)
        if isinstance(session, Reply):
            raise ValueError(f"upgrade to {target} was refused with {session.status}: {session.body.decode()}")
        return self.attach(venue, session)

    def open_session(self, venue: str, endpoint: str, target: str) -> Session | Reply:
        """Return a session that is not attached yet, or the reply that refuses the upgrade."""
        path, query = split_target(target)
        return self.profiles[venue].connect(endpoint, path, query, self.now)

    def attach(self, venue: str, session: Session) -> Connection:
        """Make the connection of a session."""
        connection = Connection(self, session, FaultLink(self.faults))
        self._connections[venue].append(connection)
        return connection

    def detach(self, connection: Connection) -> None:
        """Forget a connection."""
        for connections in self._connections.values():
            if connection in connections:
                connections.remove(connection)

    def request(self, venue: str, endpoint: str, target: str, method: str = "GET", body: bytes = b"") -> Reply:
        """Answer a REST call; `target` is path and query."""
        path, query = split_target(target)
        fault = self.faults.rest_fault(target)
        return self.profiles[venue].rest(endpoint, Request(method, path, query, body, fault), self.now)

    def lateness(self, target: str) -> float:
        """Return by how many seconds the answer to a REST call is to be late; it speaks of when it was asked for."""
        return max((seconds for text, seconds in self._slow.items() if text in target), default=0.0)

    def advance(self, now: int | None = None, *, seconds: float = 0.0) -> None:
        """Move the clock to `now`, ns, or on by `seconds`, and let all happen that is due; never backwards.

        Timers of connections are looked at once, at the end. A replay at full speed sends one chunk a call, and none
        while a client does not read.
        """
        target = self.now + round(seconds * 1e9) if now is None else max(now, self.now)
        for venue, profile in self.profiles.items():
            for publication in profile.advance(target):
                for connection in tuple(self._connections[venue]):
                    if connection.session.endpoint == publication.endpoint:
                        connection.deliver(publication)
            for connection in self._connections[venue]:
                for name in connection.take_resets():
                    profile.reset(name)
        self.now = target
        for venue, profile in self.profiles.items():
            for timeline in profile.timelines:
                self._play(venue, timeline)
        for connection in self.connections:
            connection.tick()

    def next_due(self) -> int | None:
        """Return when market or replay have something to do next, ns; timers of connections are not in it."""
        dues = [profile.next_due() for profile in self.profiles.values()]
        for venue, profile in self.profiles.items():
            for timeline in profile.timelines:
                if self._listeners(venue, timeline) is not None:
                    dues.append(timeline.next_due())
        return min((due for due in dues if due is not None), default=None)

    def true_book(self, name: str) -> TrueBook:
        """Return the true book of now, by full name such as `venue:BASE/QUOTE`; read it, do not change it."""
        venue, _, instrument = name.partition(":")
        return self.profiles[venue].true_book(instrument)

    def book_at(self, name: str, sequence: int) -> TrueBook:
        """Return the true book as of a sequence of the venue; needs `Knobs(journal=True)`."""
        venue, _, instrument = name.partition(":")
        return self.profiles[venue].book_at(instrument, sequence)

    def announce_shutdown(self, venue: str) -> None:
        """Have the venue tell all clients that it will close their connections soon."""
        for connection in tuple(self._connections[venue]):
            connection.announce_shutdown()

    def _play(self, venue: str, timeline: Timeline) -> None:
        listeners = self._listeners(venue, timeline)
        if listeners is None:
            return
        topics = timeline.recording.topics
        span = timeline.take(topics & frozenset().union(*(one.session.topics() for one in listeners)), self.now)
        for connection in listeners:
            connection.deliver_recorded(timeline, span)
        timeline.sent(span)

    def _listeners(self, venue: str, timeline: Timeline) -> list[Connection] | None:
        """Return who takes streams of a recording; None while one of them does not read."""
        recording = timeline.recording
        listeners = [
            connection
            for connection in self._connections[venue]
            if connection.session.endpoint == recording.endpoint and connection.session.topics() & recording.topics
        ]
        return listeners if all(connection.is_writable for connection in listeners) else None

    @property
    def endpoints(self) -> dict[str, dict[str, object]]:
        """Return the URLs by venue, kind (`ws`, `rest`) and endpoint, while it is served."""
        if self._server is None:
            raise RuntimeError("the simulator has endpoints only inside `async with`")
        return self._server.endpoints

    async def __aenter__(self) -> Simulator:
        from fastfeed.sim.server import Server  # sockets only where they are asked for

        self._server = await Server(self).__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        server, self._server = self._server, None
        assert server is not None
        await server.__aexit__(kind, error, trace)


def split_target(target: str) -> tuple[str, Mapping[str, str]]:
    """Split a request's target into its path, still percent-encoded, and its query."""
    parts = urlsplit(target)
    return parts.path, dict(parse_qsl(parts.query, keep_blank_values=True))


def _ignore(venue: str, timeline: Timeline) -> None:
    pass
