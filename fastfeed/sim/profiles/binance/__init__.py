"""Binance spot and USD-M futures, as the simulator speaks them.

sim = Simulator(["binance"], now=1_785_000_000_000_000_000)
client = sim.connect("binance", "usdm", "/public/stream?streams=btcusdt@depth@100ms/btcusdt@bookTicker")
sim.advance(seconds=1)
messages = [output.payload for output in client.take()]
reply = sim.request("binance", "usdm", "/fapi/v1/depth?symbol=BTCUSDT&limit=1000")
book = sim.true_book("binance:BTC/USDT:USDT")
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fastfeed.sim.interface import Knobs, Profile
from fastfeed.sim.profiles.binance.live import LiveProfile
from fastfeed.sim.profiles.binance.recorded import RecordedProfile
from fastfeed.sim.replay import Timeline


def make_live(knobs: Knobs, now: int) -> Profile:
    """Return the profile over a random market."""
    return LiveProfile(knobs, now)


def make_replay(folder: Path, knobs: Knobs, speed: float | None, on_done: Callable[[Timeline], None]) -> Profile | None:
    """Return the profile over the recordings in `folder`, None if it holds none of this venue."""
    return RecordedProfile.load(folder, knobs, speed, on_done)
