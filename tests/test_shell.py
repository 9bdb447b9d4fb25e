"""The live shell: what it lets through, and when."""

from __future__ import annotations

import asyncio

import pytest

from fastfeed.engine.shell import _limiter


@pytest.mark.parametrize(("most", "seconds"), [(1, 1.0), (3, 1.0), (32, 60.0), (300, 300.0)])
def test_connections_are_no_more_than_the_venue_takes_in_any_window(most, seconds, monkeypatch):
    async def attempts() -> list[float]:
        loop = asyncio.get_running_loop()
        now = [loop.time()]
        monkeypatch.setattr(loop, "time", lambda: now[0])
        limiter = _limiter(most, seconds)
        times = []
        for _ in range(3 * most):
            while not limiter.has_capacity():
                now[0] += seconds / (20 * most)
            await limiter.acquire()
            times.append(now[0])
        return times

    times = asyncio.run(attempts())
    for first in times:
        assert sum(first <= each < first + seconds for each in times) <= most
    assert times[-1] - times[0] < 8 * seconds  # and not needlessly slow
