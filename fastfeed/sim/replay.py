"""Recordings of real venues, and when each of their frames is sent again.

A `Recording` is one product's frames in the order of their arrival. Its `Timeline` starts when clients have subscribed
to all of its streams, or one second after the last change of what they subscribe to; it holds while nobody subscribes
to any. Then it follows the recorded times, divided by the speed, or goes as fast as every subscribed client reads.

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


@dataclass
class Recording:
    """The frames that one product sent, in order."""

    endpoint: str
    frames: list[RecordedFrame] = field(default_factory=list)

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
    """

    def __init__(self, recording: Recording, speed: float | None, on_done: Callable[[Timeline], None]) -> None:
        self.recording = recording
        self.cursor = 0
        self._speed = speed
        self._on_done = on_done
        self._subscribed: frozenset[str] = frozenset()
        self._changed_at = 0
        self._origin: int | None = None
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
        return self._origin + self._offset(self.cursor)

    def take(self, subscribed: frozenset[str], now: int) -> range:
        """Return the indices of the frames to send now, given what all clients together subscribe to.

        At full speed that is about `CHUNK_BYTES` of text at a time.
        """
        frames = self.recording.frames
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
        if self._speed is None:
            ends = self.recording.ends
            limit = ends[start] + CHUNK_BYTES
            while stop < len(frames) and ends[stop] <= limit:
                stop += 1
        else:
            while stop < len(frames) and self._origin + self._offset(stop) <= now:
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
