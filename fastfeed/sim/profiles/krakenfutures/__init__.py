"""Kraken Futures, as the simulator speaks it: one WebSocket, one REST, single-level deltas after a whole snapshot.

sim = Simulator(["krakenfutures"], now=1_785_000_000_000_000_000)
client = sim.connect("krakenfutures", "krakenfutures", "/ws/v1")
client.receive('{"event":"subscribe","feed":"book","product_ids":["PI_XBTUSD"]}')
sim.advance(seconds=1)
messages = [output.payload for output in client.take()]
reply = sim.request("krakenfutures", "krakenfutures", "/derivatives/api/v3/instruments")
book = sim.true_book("krakenfutures:BTC/USD:BTC")
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fastfeed.sim.interface import Knobs, Profile
from fastfeed.sim.profiles.krakenfutures.live import LiveProfile
from fastfeed.sim.profiles.krakenfutures.recorded import RecordedProfile
from fastfeed.sim.replay import Timeline


def make_live(knobs: Knobs, now: int) -> Profile:
    """Return the profile over a random market."""
    return LiveProfile(knobs, now)


def make_replay(folder: Path, knobs: Knobs, speed: float | None, on_done: Callable[[Timeline], None]) -> Profile | None:
    """Return the profile over the recording in `folder`, None if it holds none of this venue."""
    return RecordedProfile.load(folder, knobs, speed, on_done)
