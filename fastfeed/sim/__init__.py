"""A simulator of the venues, on loopback or without any socket.

It is a stranger to the feed: it has its own books and encoders and shares no code with what reads its messages, so that
a round trip proves something. `Simulator` says how it is used.
"""

from fastfeed.sim.faults import Fault, FaultPlan
from fastfeed.sim.frames import Abort, Close, Frame, Output, Ping, Pong
from fastfeed.sim.interface import Knobs, Reply
from fastfeed.sim.market import Instrument, TrueBook
from fastfeed.sim.simulator import Connection, Simulator

__all__ = [
    "Abort",
    "Close",
    "Connection",
    "Fault",
    "FaultPlan",
    "Frame",
    "Instrument",
    "Knobs",
    "Output",
    "Ping",
    "Pong",
    "Reply",
    "Simulator",
    "TrueBook",
]
