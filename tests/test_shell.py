"""shell: attempts to connect, as often as a venue allows and no oftener."""

from __future__ import annotations

import asyncio

import pytest

from fastfeed import venues
from fastfeed.engine.shell import connect_pace


class QuickLoop(asyncio.SelectorEventLoop):
    """A loop whose clock jumps to what is due next."""

    now = 0.0

    def time(self) -> float:
        return self.now

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:
            self.now = max(self.now, self._scheduled[0].when())
        super()._run_once()


@pytest.mark.parametrize(
    "product", [product for name in venues.VENUES for product in venues.load(name).PRODUCTS], ids=lambda each: each.name
)
def test_no_more_attempts_in_any_time_than_the_venue_allows(product):
    limits = product.limits
    began: list[float] = []

    async def main() -> None:
        pace = connect_pace(limits)

        async def attempt() -> None:
            await pace.acquire()
            began.append(asyncio.get_running_loop().time())

        await asyncio.gather(*(attempt() for _ in range(3 * limits.connects)))

    loop = QuickLoop()
    try:
        loop.run_until_complete(main())
    finally:
        loop.close()
    within = [sum(start <= each < start + limits.connects_per_s for each in began) for start in began]
    assert max(within) <= limits.connects
    # Nor does it wait for nothing.
    assert began[-1] <= 6 * limits.connects_per_s
    assert sum(each == 0 for each in began) == max(1, limits.connects // 2)
