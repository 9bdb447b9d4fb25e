"""Everything that fastfeed raises on purpose, as one tree.

Each class says what to do about it (`recovery`) and what it costs (`scope`); the engine switches on these two and on
nothing else. Data are attributes, and the text is built from them. Standard library only: consumer processes import
this.

    FastfeedError                        recovery   scope        attributes
    |-- ConfigError (ValueError)         STOP       PROCESS      path expected was file also
    |-- VenueError                                               venue instrument
    |   |-- MalformedFrame               NONE       MESSAGE      offset frame
    |   |-- MalformedReply               BACKOFF    MESSAGE      what reason
    |   |-- SequenceGap                  RESYNC     INSTRUMENT   expected received
    |   |-- ValueOutOfRange              RESYNC     INSTRUMENT   field text
    |   |-- SubscriptionRefused          STOP       INSTRUMENT   channel code reason
    |   |-- RequestRefused               STOP       INSTRUMENT   status code reason
    |   |-- RateLimited                  BACKOFF    VENUE        retry_after_s banned
    |   `-- VenueDown                    BACKOFF    VENUE        reason
    `-- BusError                                                 bus
        |-- BusNotFound                  STOP       PROCESS
        |-- LayoutMismatch               STOP       PROCESS      field expected found
        |-- BusBusy                      STOP       PROCESS      pid
        |-- BusFull                      STOP       INSTRUMENT   instrument needed
        |-- BookNotLive                  NONE       INSTRUMENT   instrument state
        |-- BookUnstable                 BACKOFF    INSTRUMENT   instrument reason
        |-- PositionLost (LookupError)   NONE       PROCESS      position expected
        |-- PublisherGone                NONE       PROCESS      since
        `-- RequestFailed                STOP       MESSAGE      reason
"""

from collections.abc import Iterable
from enum import Enum
from typing import ClassVar

__all__ = [
    "BookNotLive",
    "BookUnstable",
    "BusBusy",
    "BusError",
    "BusFull",
    "BusNotFound",
    "ConfigError",
    "FastfeedError",
    "LayoutMismatch",
    "MalformedFrame",
    "MalformedReply",
    "PositionLost",
    "PublisherGone",
    "RateLimited",
    "Recovery",
    "RequestFailed",
    "RequestRefused",
    "Scope",
    "SequenceGap",
    "SubscriptionRefused",
    "ValueOutOfRange",
    "VenueDown",
    "VenueError",
    "did_you_mean",
]

_FRAME_KEPT = 256  # bytes of an offending frame that an error carries: enough to see its shape, small enough to log


class Recovery(Enum):
    """What to do about an error."""

    NONE = "none"  # count it and go on
    RESYNC = "resync"  # drop the book and rebuild it from a snapshot
    RECONNECT = "reconnect"  # open the connection anew
    BACKOFF = "backoff"  # wait, then try the same again
    STOP = "stop"  # trying again gives the same answer; a human must change something


class Scope(Enum):
    """How much an error costs: everything of that size, and nothing beside it."""

    MESSAGE = "message"
    INSTRUMENT = "instrument"
    CONNECTION = "connection"
    VENUE = "venue"
    PROCESS = "process"


class FastfeedError(Exception):
    """Base of all errors of this package.

    Subclasses hand their fields to `Exception` in the order of their own parameters, so that `pickle` and `copy` can
    make them again in another process, and build their text in `__str__`.
    """

    recovery: ClassVar[Recovery] = Recovery.STOP
    scope: ClassVar[Scope] = Scope.PROCESS


class ConfigError(FastfeedError, ValueError):
    """A configuration that cannot work; found before anything is connected.

    Attributes
    ----------
    path : where, as in `feed[0].channels[1]`; empty for the file as a whole.
    expected : what may stand there.
    was : what stands there, None if that says nothing.
    file : the file's name, None for options given by a program.
    also : further errors that were found in the same file.
    """

    def __init__(
        self,
        path: str,
        expected: str,
        was: str | None = None,
        file: str | None = None,
        also: tuple["ConfigError", ...] = (),
    ) -> None:
        super().__init__(path, expected, was, file, also)
        self.path = path
        self.expected = expected
        self.was = was
        self.file = file
        self.also = also

    def __str__(self) -> str:
        place = ": ".join(part for part in (self.file, self.path) if part)
        text = f"expected {self.expected}" if self.was is None else f"expected {self.expected}, was {self.was}"
        return "\n".join([f"{place}: {text}" if place else text, *map(str, self.also)])


class VenueError(FastfeedError):
    """A fault in what a venue sent or refused.

    Attributes
    ----------
    venue : the venue's id.
    instrument : the instrument's name (`venue:BASE/QUOTE`), None where the fault is not one instrument's.
    """

    recovery = Recovery.BACKOFF
    scope = Scope.VENUE

    # The further fields of a subclass pass through here on their way to Exception.args, which pickle needs.
    def __init__(self, venue: str, instrument: str | None = None, *fields: object) -> None:
        super().__init__(venue, instrument, *fields)
        self.venue = venue
        self.instrument = instrument

    def __str__(self) -> str:
        return f"fault of {self._where()}"

    def _where(self) -> str:
        return self.instrument or self.venue


class MalformedFrame(VenueError):
    """A message that is not what the venue documents: it is dropped, and costs itself."""

    recovery = Recovery.NONE
    scope = Scope.MESSAGE

    def __init__(self, venue: str, instrument: str | None, offset: int, frame: bytes) -> None:
        super().__init__(venue, instrument, offset, frame[:_FRAME_KEPT])
        self.offset = offset
        self.frame = frame[:_FRAME_KEPT]

    def __str__(self) -> str:
        return f"malformed frame of {self._where()} at offset {self.offset}: {self.frame!r}"


class MalformedReply(VenueError, ValueError):
    """A reply of the venue's REST interface that cannot be read."""

    recovery = Recovery.BACKOFF
    scope = Scope.MESSAGE

    def __init__(self, venue: str, instrument: str | None, what: str, reason: str) -> None:
        super().__init__(venue, instrument, what, reason)
        self.what = what
        self.reason = reason

    def __str__(self) -> str:
        return f"malformed {self.what} of {self._where()}: {self.reason}"


class SequenceGap(VenueError):
    """A delta does not follow the book: something in between was lost."""

    recovery = Recovery.RESYNC
    scope = Scope.INSTRUMENT

    def __init__(self, venue: str, instrument: str | None, expected: int, received: int) -> None:
        super().__init__(venue, instrument, expected, received)
        self.expected = expected
        self.received = received

    def __str__(self) -> str:
        return f"sequence gap on {self._where()}: expected {self.expected}, was {self.received}"


class ValueOutOfRange(VenueError):
    """A number that the instrument's exponents cannot hold exactly: refused, never rounded or wrapped."""

    recovery = Recovery.RESYNC
    scope = Scope.INSTRUMENT

    def __init__(self, venue: str, instrument: str | None, field: str, text: str) -> None:
        super().__init__(venue, instrument, field, text)
        self.field = field
        self.text = text

    def __str__(self) -> str:
        return (
            f"{self.field} out of range on {self._where()}: expected a number that fits its exponents, was {self.text}"
        )


class SubscriptionRefused(VenueError):
    """The venue refuses a channel of an instrument."""

    recovery = Recovery.STOP
    scope = Scope.INSTRUMENT

    def __init__(self, venue: str, instrument: str | None, channel: str, code: int | str, reason: str) -> None:
        super().__init__(venue, instrument, channel, code, reason)
        self.channel = channel
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        return f"subscription of {self.channel} refused by {self._where()}: {self.reason} (code {self.code})"


class RequestRefused(VenueError):
    """The venue understood a REST request and refuses it: the same request would be refused again."""

    recovery = Recovery.STOP
    scope = Scope.INSTRUMENT

    def __init__(self, venue: str, instrument: str | None, status: int, code: int | str | None, reason: str) -> None:
        super().__init__(venue, instrument, status, code, reason)
        self.status = status
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        return f"request refused by {self._where()}: {self.reason} (status {self.status}, code {self.code})"


class RateLimited(VenueError):
    """The venue asks for a pause, in seconds from now; a request before its end can make it longer.

    `banned`: it shuts out the address, so that the pause is for all that the venue serves and not for one host.
    """

    recovery = Recovery.BACKOFF
    scope = Scope.VENUE

    def __init__(self, venue: str, instrument: str | None, retry_after_s: float, banned: bool = False) -> None:
        super().__init__(venue, instrument, retry_after_s, banned)
        self.retry_after_s = retry_after_s
        self.banned = banned

    def __str__(self) -> str:
        return f"rate limited by {self._where()}: retry after {self.retry_after_s:g} s"


class VenueDown(VenueError):
    """The venue does not serve right now: maintenance, overload or a fault on its side."""

    recovery = Recovery.BACKOFF
    scope = Scope.VENUE

    def __init__(self, venue: str, instrument: str | None, reason: str) -> None:
        super().__init__(venue, instrument, reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"{self._where()} is down: {self.reason}"


class BusError(FastfeedError):
    """A fault of a bus, the files in shared memory between a feed and its readers; `bus` is its name."""

    recovery = Recovery.STOP
    scope = Scope.PROCESS

    def __init__(self, bus: str, *fields: object) -> None:
        super().__init__(bus, *fields)
        self.bus = bus

    def __str__(self) -> str:
        return f"fault of bus {self.bus}"


class BusNotFound(BusError):
    """No feed publishes a bus of that name."""

    def __str__(self) -> str:
        return f"bus {self.bus} not found: is its feed running, under this user?"


class LayoutMismatch(BusError):
    """The bus was written by another version of fastfeed; `field` is the first that differs."""

    def __init__(self, bus: str, field: str, expected: object, found: object) -> None:
        super().__init__(bus, field, expected, found)
        self.field = field
        self.expected = expected
        self.found = found

    def __str__(self) -> str:
        return f"layout of bus {self.bus} differs at {self.field}: expected {self.expected}, was {self.found}"


class BusBusy(BusError):
    """A living feed writes this bus already; `pid` is its process, None if unknown."""

    def __init__(self, bus: str, pid: int | None = None) -> None:
        super().__init__(bus, pid)
        self.pid = pid

    def __str__(self) -> str:
        by = "" if self.pid is None else f" (process {self.pid})"
        return f"bus {self.bus} is busy: another feed{by} writes it; stop that one or choose another bus name"


class BusFull(BusError):
    """Shared memory has no room for an instrument; `needed` is in bytes."""

    recovery = Recovery.STOP
    scope = Scope.INSTRUMENT

    def __init__(self, bus: str, instrument: str, needed: int) -> None:
        super().__init__(bus, instrument, needed)
        self.instrument = instrument
        self.needed = needed

    def __str__(self) -> str:
        return f"bus {self.bus} is full: no room for the {self.needed} bytes of {self.instrument} in shared memory"


class BookNotLive(BusError):
    """A consumer asked for a live book and the book is not; `state` is syncing or stale."""

    recovery = Recovery.NONE
    scope = Scope.INSTRUMENT

    def __init__(self, bus: str, instrument: str, state: str) -> None:
        super().__init__(bus, instrument, state)
        self.instrument = instrument
        self.state = state

    def __str__(self) -> str:
        return f"book of {self.instrument} on bus {self.bus}: expected live, was {self.state}"


class BookUnstable(BusError):
    """No consistent copy of a book could be made, and a mixed one is never returned; a later try may do.

    The reader was starved of its processor, or the ring overtook it, or several books were wanted as of one moment and
    there was none; `reason` says which.
    """

    recovery = Recovery.BACKOFF
    scope = Scope.INSTRUMENT

    def __init__(self, bus: str, instrument: str, reason: str) -> None:
        super().__init__(bus, instrument, reason)
        self.instrument = instrument
        self.reason = reason

    def __str__(self) -> str:
        return f"no consistent copy of the book of {self.instrument} on bus {self.bus}: {self.reason}"


class PositionLost(BusError, LookupError):
    """A reader cannot start where it was told to; `position` as text, `expected` what it could be."""

    recovery = Recovery.NONE
    scope = Scope.PROCESS

    def __init__(self, bus: str, position: str, expected: str) -> None:
        super().__init__(bus, position, expected)
        self.position = position
        self.expected = expected

    def __str__(self) -> str:
        return (
            f"position {self.position} is not on bus {self.bus}: expected {self.expected}; "
            'start="oldest" goes on with what is there, and what lay between is lost'
        )


class PublisherGone(BusError):
    """The feed behind a bus died; the reader stays usable and attaches again when a feed returns.

    `since` is the time of its last heartbeat, in ns since the epoch.
    """

    recovery = Recovery.NONE
    scope = Scope.PROCESS

    def __init__(self, bus: str, since: int) -> None:
        super().__init__(bus, since)
        self.since = since

    def __str__(self) -> str:
        return f"publisher of bus {self.bus} is gone: its last heartbeat was at {self.since}"


class RequestFailed(BusError):
    """The feed of a bus refused what it was asked for over its control socket, or did not answer."""

    recovery = Recovery.STOP
    scope = Scope.MESSAGE

    def __init__(self, bus: str, reason: str) -> None:
        super().__init__(bus, reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"request to the feed of bus {self.bus} failed: {self.reason}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a hint for the end of a message, or nothing if no known word is close."""
    import difflib  # late: a consumer process that is never wrong does not need it

    close = difflib.get_close_matches(word, list(known), n=3, cutoff=0.7)
    return f" (did you mean {' or '.join(close)}?)" if close else ""
