"""Bybit v5 spot, linear, inverse and options, as the simulator speaks them.

sim = Simulator(["bybit"], now=1_785_000_000_000_000_000)
client = sim.connect("bybit", "linear", "/v5/public/linear")
client.receive('{"op":"subscribe","args":["orderbook.200.BTCUSDT","publicTrade.BTCUSDT"]}')
sim.advance(seconds=1)
messages = [output.payload for output in client.take()]
reply = sim.request("bybit", "linear", "/v5/market/orderbook?category=linear&symbol=BTCUSDT&limit=1000")
book = sim.true_book("bybit:BTC/USDT:USDT")
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fastfeed.sim.interface import Knobs, Profile
from fastfeed.sim.profiles.bybit.live import LiveProfile
from fastfeed.sim.profiles.bybit.recorded import RecordedProfile
from fastfeed.sim.replay import Timeline


def make_live(knobs: Knobs, now: int) -> Profile:
    """Return the profile over a random market."""
    return LiveProfile(knobs, now)


def make_replay(folder: Path, knobs: Knobs, speed: float | None, on_done: Callable[[Timeline], None]) -> Profile | None:
    """Return the profile over the recordings in `folder`, None if it holds none of this venue."""
    return RecordedProfile.load(folder, knobs, speed, on_done)
