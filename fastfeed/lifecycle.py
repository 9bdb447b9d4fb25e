"""The life of one socket as a table: what it is in, what can happen to it, and what it is in then.

Sans-I/O and without a clock: `Attempt` says what happened, the table says what that means. Every pair has a cell; a
happening that cannot be is an error of this code, one that comes too late is none.
"""

from __future__ import annotations

from enum import Enum

__all__ = ["TABLE", "Happening", "Phase", "after"]


class Phase(Enum):
    """What a socket is in."""

    OPENING = "opening"  # asked for; the handshake is on its way, or waits for its turn
    JOINING = "joining"  # open; the venue has not answered all that was asked for
    STREAMING = "streaming"  # open, and of use
    RETIRING = "retiring"  # of use until its successor is in step
    ENDED = "ended"  # over, for whatever reason


class Happening(Enum):
    """What can happen to a socket."""

    OPENED = "opened"  # the handshake is done
    JOINED = "joined"  # all that was asked for is answered
    RELIEVED = "relieved"  # the venue will end it, or the user wants another one
    KEPT = "kept"  # no successor came: it goes on for as long as it lives
    DIED = "died"  # closed by the venue, not opened, mute, or without answers
    RELEASED = "released"  # not needed any more


def _cells(
    opened: Phase | None,
    joined: Phase | None,
    relieved: Phase | None,
    kept: Phase | None,
    died: Phase | None,
    released: Phase | None,
) -> dict[Happening, Phase | None]:
    return dict(zip(Happening, (opened, joined, relieved, kept, died, released), strict=True))


_O, _J, _S, _R, _E = Phase

#: the phase that follows; None: cannot happen
TABLE: dict[Phase, dict[Happening, Phase | None]] = {
    # One that is new needs no relief; one that the venue ends before it was of use has failed.
    _O: _cells(opened=_J, joined=None, relieved=_O, kept=_O, died=_E, released=_E),
    _J: _cells(opened=None, joined=_S, relieved=_E, kept=_J, died=_E, released=_E),
    _S: _cells(opened=None, joined=_S, relieved=_R, kept=_S, died=_E, released=_E),
    _R: _cells(opened=None, joined=_R, relieved=_R, kept=_S, died=_E, released=_E),
    # What comes late: a handshake that was done too late, a second close.
    _E: _cells(opened=_E, joined=_E, relieved=_E, kept=_E, died=_E, released=_E),
}


def after(phase: Phase, happening: Happening) -> Phase:
    """Return the phase that follows `happening`.

    Raises
    ------
    RuntimeError : it cannot happen in `phase`
    """
    found = TABLE[phase][happening]
    if found is None:
        raise RuntimeError(f"a connection that is {phase.value} cannot be {happening.value}")
    return found
