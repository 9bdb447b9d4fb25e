"""The list of the venues that the simulator speaks: the only generic place that names them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from fastfeed.sim.interface import Knobs, Profile
from fastfeed.sim.profiles import binance, bitstamp, bybit, deribit, krakenfutures, okx
from fastfeed.sim.replay import Timeline


class ProfileModule(Protocol):
    """What a venue's package offers to this list."""

    def make_live(self, knobs: Knobs, now: int) -> Profile:
        """Return the profile over a random market."""

    def make_replay(
        self, folder: Path, knobs: Knobs, speed: float | None, on_done: Callable[[Timeline], None]
    ) -> Profile | None:
        """Return the profile over the recordings in `folder`, None if it holds none of this venue."""


VENUES: dict[str, ProfileModule] = {
    "binance": binance,
    "bitstamp": bitstamp,
    "bybit": bybit,
    "deribit": deribit,
    "krakenfutures": krakenfutures,
    "okx": okx,
}


def make_profiles(
    venues: Sequence[str] | None,
    replay: str | Path | None,
    speed: float | None,
    knobs: Knobs,
    now: int,
    on_replayed: Callable[[str, Timeline], None],
) -> list[Profile]:
    """Return the profiles of `venues`, live or over a folder of recordings.

    Raises
    ------
    FileNotFoundError : the folder does not exist.
    ValueError : it holds no recording of any of the venues.
    """
    wanted = {venue: VENUES[venue] for venue in (VENUES if venues is None else venues)}
    if replay is None:
        return [module.make_live(knobs, now) for module in wanted.values()]
    folder = Path(replay)
    if not folder.is_dir():
        raise FileNotFoundError(f"no such folder of recordings: {folder}")
    profiles = []
    for venue, module in wanted.items():

        def on_done(timeline: Timeline, venue: str = venue) -> None:
            on_replayed(venue, timeline)

        profile = module.make_replay(folder, knobs, speed, on_done)
        if profile is not None:
            profiles.append(profile)
    if not profiles:
        raise ValueError(f"no recording of {', '.join(wanted)} in {folder}")
    return profiles
