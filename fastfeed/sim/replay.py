"""Recordings of real venues, and when each of their frames is sent again.

A `Recording` is one product's frames in the order of their arrival. Its `Timeline` starts when clients have subscribed
to all of its streams, or one second after the last change of what they subscribe to; it holds while nobody subscribes
to any. Then it follows the recorded times, divided by the speed, or goes as fast as every subscribed client reads.

A recorded REST reply is part of the timeline: it waits there until a client has asked the same, or has had the time to.
So a client gets the recorded book, whole, whatever the speed; one that asks later gets the book as of then.

What a recorded text means is the profile's business; only the line formats are read here.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

from fastfeed.sim.frames import TEXT, encode_frame
from fastfeed.sim.interface import Publication

SETTLE_NS = 1_000_000_000
CHUNK_BYTES = 256 * 1024

_RECEIVED = re.compile(rb"(\d+\.\d+): ")
_REPLIED = re.compile(rb"(\S+) -> (\d+\.\d+): ")


class Line(NamedTuple):
    """A recorded message: when it arrived (ns), its text, and the URL whose REST reply it is, if it is one."""

    ts: int
    text: bytes
    url: str = ""


def read_jsonl_gz(path: Path) -> Iterator[Line]:
    """Read gzipped lines of `recv_ns SPACE json`."""
    with gzip.open(path) as file:
        for line in file:
            ts, _, text = line.rstrip(b"\n").partition(b" ")
            yield Line(int(ts), text)


def read_capture(path: Path) -> Iterator[Line]:
    """Read lines of `T: TEXT` and `URL -> T: BODY`, T in Unix seconds; other lines are skipped."""
    for line in path.read_bytes().split(b"\n"):
        if match := _RECEIVED.match(line):
            yield Line(_ns(match[1]), line[match.end() :])
        elif match := _REPLIED.match(line):
            yield Line(_ns(match[2]), line[match.end() :], match[1].decode())


def _ns(seconds: bytes) -> int:
    whole, _, fraction = seconds.partition(b".")
    return int(whole) * 1_000_000_000 + int(fraction[:9].ljust(9, b"0"))


@dataclass(slots=True)
class RecordedFrame:
    """One recorded message: `text` as it came, `publication` what it says without its envelope."""

    ts: int
    text: bytes
    publication: Publication


@dataclass(slots=True)
class Hold:
    """Where a REST reply was recorded: before the frame `index`, for clients of the stream `topic`."""

    index: int
    topic: str


@dataclass
class Recording:
    """The frames that one product sent, in order, and where it was asked for something in between."""

    endpoint: str
    frames: list[RecordedFrame] = field(default_factory=list)
    holds: list[Hold] = field(default_factory=list)

    @cached_property
    def topics(self) -> frozenset[str]:
        """Return the streams that occur in it."""
        return frozenset(frame.publication.topic for frame in self.frames)

    @cached_property
    def ends(self) -> list[int]:
        """Return how many bytes of text there are up to and with each frame."""
        return list(accumulate(len(frame.text) for frame in self.frames))


class Timeline:
    """How far a recording was sent.

    Parameters
    ----------
    speed : times as fast as recorded; None as fast as clients read.
    on_done : called with the timeline when its last frame was sent.
    hold_ns : how long it waits where a REST reply was recorded.
    """

    def __init__(
        self, recording: Recording, speed: float | None, on_done: Callable[[Timeline], None], hold_ns: int = 0
    ) -> None:
        self.recording = recording
        self.cursor = 0
        self._speed = speed
        self._on_done = on_done
        self._subscribed: frozenset[str] = frozenset()
        self._changed_at = 0
        self._origin: int | None = None
        self._hold_ns = hold_ns
        self._holds = sorted(recording.holds, key=lambda hold: hold.index) if hold_ns else []
        self._held_at: int | None = None
        # Framed now, not when the first client waits for it.
        self._framed = [encode_frame(TEXT, frame.text) for frame in recording.frames]

    @property
    def is_done(self) -> bool:
        """Say whether all frames were sent."""
        return self.cursor == len(self.recording.frames)

    def next_due(self) -> int | None:
        """Return when the next frame is due; None while nobody listens, or after the last."""
        if self.is_done or not self._subscribed:
            return None
        if self._origin is None:
            return self._changed_at + SETTLE_NS
        if self._held_at is not None:
            return self._held_at + self._hold_ns
        return self._origin + self._offset(self.cursor)

    def asked(self, topic: str) -> None:
        """Go on, where it waits for somebody who asks for the book of `topic`."""
        self._holds = [hold for hold in self._holds if hold.topic != topic]

    def _stop(self, now: int) -> int:
        """Return the index of the first frame that may not be sent yet."""
        while self._holds:
            first = self._holds[0]
            waits = first.topic in self._subscribed
            if waits and self.cursor < first.index:
                return first.index
            if waits and (self._held_at is None or now < self._held_at + self._hold_ns):
                if self._held_at is None:
                    self._held_at = now
                return first.index
            del self._holds[0]
            self._release(now)
        self._release(now)
        return len(self.recording.frames)

    def _release(self, now: int) -> None:
        """The recording's clock stood still while it waited."""
        if self._held_at is not None and self._origin is not None:
            self._origin += now - self._held_at
        self._held_at = None

    def take(self, subscribed: frozenset[str], now: int) -> range:
        """Return the indices of the frames to send now, given what all clients together subscribe to.

        At full speed that is about `CHUNK_BYTES` of text at a time.
        """
        if subscribed != self._subscribed:
            self._subscribed, self._changed_at = subscribed, now
        if not self._subscribed or self.is_done:
            self._origin = None
            return range(0)
        if self._origin is None:
            if self._subscribed < self.recording.topics and now < self._changed_at + SETTLE_NS:
                return range(0)
            self._origin = now - self._offset(self.cursor)
        start = stop = self.cursor
        last = self._stop(now)
        if self._speed is None:
            ends = self.recording.ends
            limit = ends[start] + CHUNK_BYTES
            while stop < last and ends[stop] <= limit:
                stop += 1
        else:
            while stop < last and self._origin + self._offset(stop) <= now:
                stop += 1
        return range(start, stop)

    def framed(self, span: range) -> bytes:
        """Return the frames of `span` as they go over a socket."""
        return b"".join(self._framed[span.start : span.stop])

    def sent(self, span: range) -> None:
        """Move past the frames of `span`, which were given to all clients."""
        if span:
            self.cursor = span.stop
            if self.is_done:
                self._on_done(self)

    def _offset(self, index: int) -> int:
        if self._speed is None:
            return 0
        frames = self.recording.frames
        return int((frames[index].ts - frames[0].ts) / self._speed)
