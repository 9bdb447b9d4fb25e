"""Faults by name, injected between what the venue intends and what the client gets.

    drop          the frame is not sent
    gap           five frames of that stream in a row are not sent
    duplicate     the frame is sent twice
    reorder       the frame is sent after the next one of its stream
    garbage       a frame that is not JSON is sent before it
    truncate      the frame is cut in the middle
    stall         the connection goes mute, and stays open
    disconnect    the connection is cut
    reset         the venue restarts the sequence of that instrument's book, where it ever does
    old_snapshot  a book is answered from the past, by REST or as the first message of a stream
    429, 418      a REST call is refused for its rate, or for a ban

The last two act on REST calls, old_snapshot on those and on snapshots in a stream, all others on market data frames.
Acknowledgements and pings pass.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

from fastfeed.sim.frames import Abort, Frame, Output

STREAM_FAULTS = ("drop", "gap", "duplicate", "reorder", "garbage", "truncate", "stall", "disconnect", "reset")
REST_FAULTS = ("old_snapshot", "429", "418")
SNAPSHOT_FAULTS = ("old_snapshot",)
GAP_FRAMES = 5
GARBAGE = b"\x00not json {"

SYNTAX = """\
comma-separated NAME:WHEN[:MATCH]. NAME is one of {names}. WHEN is a probability per message (0.001), or @N for the Nth
message, or @NxCOUNT for COUNT of them from the Nth on. Messages are market data frames or REST calls, as the fault has
it, counted over all connections. MATCH counts only those whose stream, instrument or REST path holds this text.
Example: drop:0.001,disconnect:@5000,gap:@40x8:depth,429:0.05""".format(names=", ".join(STREAM_FAULTS + REST_FAULTS))


@dataclass(slots=True)
class Fault:
    """One rule: which fault, when, and on what.

    Parameters
    ----------
    kind : a name of the list above.
    probability : per matching message, 0 to 1.
    at : the matching message, counted from 1, that it strikes; None for chance alone.
    count : consecutive matching messages of that stream and connection that it strikes; 5 for a gap unless given.
    match : text that the stream, the instrument's name or the REST target must hold; empty matches all.
    """

    kind: str
    probability: float = 0.0
    at: int | None = None
    count: int = 0
    match: str = ""
    seen: int = 0

    def __post_init__(self) -> None:
        if self.kind not in STREAM_FAULTS + REST_FAULTS:
            raise ValueError(f"unknown fault {self.kind!r}: expected one of {', '.join(STREAM_FAULTS + REST_FAULTS)}")
        if not 0 <= self.probability <= 1:
            raise ValueError(f"probability of fault {self.kind}: expected 0 to 1, was {self.probability}")
        if self.at is not None and self.at < 1:
            raise ValueError(f"message of fault {self.kind}: expected 1 or more, was {self.at}")
        if not self.count:
            self.count = GAP_FRAMES if self.kind == "gap" else 1

    def strikes(self, rng: Random, *texts: str) -> bool:
        """Count a message that has these texts, and say whether the fault begins with it."""
        if self.match and not any(self.match in text for text in texts):
            return False
        self.seen += 1
        if self.at is not None:
            # A stream's burst is counted where its connection is known; calls of REST have no such place.
            return self.at <= self.seen < self.at + (self.count if self.kind in REST_FAULTS else 1)
        return rng.random() < self.probability


class FaultPlan:
    """The rules of a run. The same seed and the same messages give the same faults."""

    def __init__(self, faults: Iterable[Fault] = (), seed: int = 7) -> None:
        self.faults = list(faults)
        self.stream_faults = [fault for fault in self.faults if fault.kind in STREAM_FAULTS]
        self.rng = Random(seed)
        self.counts: dict[str, int] = {}

    @classmethod
    def parse(cls, text: str, seed: int = 7) -> FaultPlan:
        """Read the syntax of the command line; ValueError says what was wrong."""
        return cls([_parse_fault(part) for part in text.split(",") if part.strip()], seed)

    def rest_fault(self, target: str, kinds: tuple[str, ...] = REST_FAULTS) -> str:
        """Return the fault of `kinds` that a REST call to `target` gets, or an empty string."""
        struck = ""
        for fault in self.faults:
            if fault.kind in kinds and fault.strikes(self.rng, target) and not struck:
                struck = fault.kind
                self.count(struck)
        return struck

    def add(self, fault: Fault) -> None:
        """Inject one more kind of fault from now on."""
        self.faults.append(fault)
        if fault.kind in STREAM_FAULTS:
            self.stream_faults.append(fault)

    def clear(self) -> None:
        """Inject nothing any more."""
        self.faults.clear()
        self.stream_faults.clear()

    def count(self, kind: str) -> None:
        """Count a frame or call that a fault struck, in `counts`."""
        self.counts[kind] = self.counts.get(kind, 0) + 1


class FaultLink:
    """The faults of one connection: what is held back, what is still to be dropped, whether it is mute."""

    def __init__(self, plan: FaultPlan) -> None:
        self.is_mute = False
        self.resets: list[str] = []
        self._plan = plan
        self._bursts: dict[str, tuple[Fault, int]] = {}
        self._held: dict[str, Frame] = {}

    def apply(self, frame: Frame) -> list[Output]:
        """Return what is sent in place of an intended frame."""
        if self.is_mute:
            return []
        if frame.stale and self._plan.rest_fault(frame.topic, SNAPSHOT_FAULTS):
            frame = Frame(frame.stale, frame.topic, frame.name)
        kind = self._strike(frame)
        if not kind:
            return self._release(frame)
        self._plan.count(kind)
        match kind:
            case "drop" | "gap":
                return []
            case "duplicate":
                return [*self._release(frame), frame]
            case "reorder" if frame.topic not in self._held:
                self._held[frame.topic] = frame
                return []
            case "garbage":
                return [Frame(GARBAGE, frame.topic, frame.name), *self._release(frame)]
            case "truncate":
                return [Frame(frame.payload[: len(frame.payload) // 2], frame.topic, frame.name)]
            case "stall":
                self.is_mute = True
                return []
            case "disconnect":
                self.is_mute = True
                return [Abort()]
            case "reset":
                self.resets.append(frame.name)
        return self._release(frame)

    def _strike(self, frame: Frame) -> str:
        burst = self._bursts.pop(frame.topic, None)
        begun = None
        for fault in self._plan.stream_faults:
            if fault.strikes(self._plan.rng, frame.topic, frame.name) and begun is None:
                begun = fault
        if burst is not None:
            fault, left = burst
        elif begun is not None:
            fault, left = begun, begun.count
        else:
            return ""
        if left > 1:
            self._bursts[frame.topic] = (fault, left - 1)
        return fault.kind

    def _release(self, frame: Frame) -> list[Output]:
        held = self._held.pop(frame.topic, None)
        return [frame] if held is None else [frame, held]


def _parse_fault(part: str) -> Fault:
    kind, _, rest = part.strip().partition(":")
    when, _, match = rest.partition(":")
    if not when:
        raise ValueError(f"fault {part.strip()!r}: expected NAME:WHEN[:MATCH], as in drop:0.001")
    probability, at, count = 0.0, None, 0
    try:
        if when.startswith("@"):
            first, _, several = when[1:].partition("x")
            at, count = int(first), int(several or 0)
        else:
            probability = float(when)
    except ValueError:
        raise ValueError(f"fault {part.strip()!r}: expected a probability, @N or @NxCOUNT, was {when!r}") from None
    return Fault(kind, probability, at, count, match)
