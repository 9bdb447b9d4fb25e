"""Deribit, as the simulator speaks it: one socket for perpetuals, futures, options and spot.

sim = Simulator(["deribit"], now=1_785_000_000_000_000_000)
client = sim.connect("deribit", "deribit", "/ws/api/v2")
client.receive('{"jsonrpc":"2.0","id":1,"method":"public/subscribe","params":{"channels":["book.BTC-PERPETUAL.100ms"]}}')
sim.advance(seconds=1)
messages = [output.payload for output in client.take()]
reply = sim.request("deribit", "deribit", "/api/v2/public/get_order_book?instrument_name=BTC-PERPETUAL")
book = sim.true_book("deribit:BTC/USD:BTC")
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fastfeed.sim.interface import Knobs, Profile
from fastfeed.sim.profiles.deribit.live import LiveProfile
from fastfeed.sim.profiles.deribit.recorded import RecordedProfile
from fastfeed.sim.replay import Timeline


def make_live(knobs: Knobs, now: int) -> Profile:
    """Return the profile over a random market."""
    return LiveProfile(knobs, now)


def make_replay(folder: Path, knobs: Knobs, speed: float | None, on_done: Callable[[Timeline], None]) -> Profile | None:
    """Return the profile over the recordings in `folder`, None if it holds none of this venue."""
    return RecordedProfile.load(folder, knobs, speed, on_done)
