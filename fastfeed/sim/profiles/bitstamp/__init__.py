"""Bitstamp, spot and perpetuals in one place, as the simulator speaks it.

sim = Simulator(["bitstamp"], now=1_785_000_000_000_000_000)
client = sim.connect("bitstamp", "bitstamp", "/")
client.receive('{"event":"bts:subscribe","data":{"channel":"order_book_btcusd"}}')
sim.advance(seconds=1)
messages = [output.payload for output in client.take()]
reply = sim.request("bitstamp", "bitstamp", "/api/v2/order_book/btcusd/?group=1")
book = sim.true_book("bitstamp:BTC/USD")
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fastfeed.sim.interface import Knobs, Profile
from fastfeed.sim.profiles.bitstamp.live import LiveProfile
from fastfeed.sim.profiles.bitstamp.recorded import RecordedProfile
from fastfeed.sim.replay import Timeline


def make_live(knobs: Knobs, now: int) -> Profile:
    """Return the profile over a random market."""
    return LiveProfile(knobs, now)


def make_replay(folder: Path, knobs: Knobs, speed: float | None, on_done: Callable[[Timeline], None]) -> Profile | None:
    """Return the profile over the recording in `folder`, None if it holds none of this venue."""
    return RecordedProfile.load(folder, knobs, speed, on_done)
