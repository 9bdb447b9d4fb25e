"""Random faults of all kinds at once, on all venues: no live book is ever wrong, and every book comes back.

`pytest tests/chaos --chaos-seconds 3600 --chaos-seed 1` goes on for an hour and prints its figures.
"""

from __future__ import annotations

import logging

import pytest
import uvloop
from chaos.world import World

from fastfeed.venues import VENUES

STRETCH_S = 20.0  # of faults in one go; then all must come back


@pytest.mark.timeout(0)
@pytest.mark.parametrize("connections", [1, 2], ids=["single", "redundant"])
def test_chaos(connections, request, shm, tmp_path, caplog, capsys):
    caplog.set_level(logging.CRITICAL)  # what is logged of so many faults would be kept
    seconds, seed = (request.config.getoption(f"--chaos-{name}") for name in ("seconds", "seed"))

    async def main() -> None:
        async with World(tmp_path, list(VENUES), seed, options=f"connections = {connections}") as world:
            await world.all_live()
            opened = world.opened
            left = seconds
            while left > 0:
                await world.rage(min(left, STRETCH_S))
                left -= STRETCH_S
                world.heal()
                await world.all_live()
                assert world.wrong == []
            assert world.checked > 100
            assert world.opened > opened  # some connections were lost, and made again
            with capsys.disabled():
                figures = f"{len(world.instruments)} books, {world.checked} comparisons, {len(world.wrong)} wrong"
                print(f"\n{seconds:g} s: {figures}")
                print(f"faults {dict(world.struck) | world.sim.faults.counts}")
                print(f"states {dict(world.states)}, connections opened {world.opened}")

    uvloop.run(main())
