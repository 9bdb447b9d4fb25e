"""OKX v5 as the simulator speaks it: one place for spot, swaps, futures and options.

sim = Simulator(["okx"], now=1_785_000_000_000_000_000)
client = sim.connect("okx", "okx", "/ws/v5/public")
client.receive('{"op":"subscribe","args":[{"channel":"books","instId":"BTC-USDT"}]}')
sim.advance(seconds=1)
messages = [output.payload for output in client.take()]
reply = sim.request("okx", "okx", "/api/v5/public/instruments?instType=SWAP")
book = sim.true_book("okx:BTC/USDT")
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fastfeed.sim.interface import Knobs, Profile
from fastfeed.sim.profiles.okx.live import LiveProfile
from fastfeed.sim.profiles.okx.recorded import RecordedProfile
from fastfeed.sim.replay import Timeline


def make_live(knobs: Knobs, now: int) -> Profile:
    """Return the profile over a random market."""
    return LiveProfile(knobs, now)


def make_replay(folder: Path, knobs: Knobs, speed: float | None, on_done: Callable[[Timeline], None]) -> Profile | None:
    """Return the profile over the recording in `folder`, None if it holds none of this venue."""
    return RecordedProfile.load(folder, knobs, speed, on_done)
