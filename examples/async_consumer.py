"""Two consumers in one event loop: trades into bars of a second, and a watch over the states of books.

    python examples/async_consumer.py BUS [--bars N]

`async for` leaves the loop idle while nothing comes: a thread of the reader's own sleeps in the kernel.
"""

from __future__ import annotations

import argparse
import asyncio
from dataclasses import dataclass

import fastfeed


@dataclass
class Bar:
    """Trades of one instrument in one second of the venue's time."""

    second: int
    open: float
    high: float
    low: float
    close: float
    volume: float


async def make_bars(bus: fastfeed.Bus, wanted: int | None) -> int:
    """Print a line when a bar ends; returns how many did."""
    bars: dict[str, Bar] = {}
    done = 0
    async for trade in bus.reader(kinds=["trade"]):
        assert isinstance(trade, fastfeed.Trade)
        second = (trade.ts_event or trade.ts_recv) // 1_000_000_000
        bar = bars.get(trade.name)
        if bar is None or second > bar.second:
            if bar is not None:
                print(f"bar {trade.name} {bar.open} {bar.high} {bar.low} {bar.close} {bar.volume:.10g}", flush=True)
                done += 1
                if done == wanted:
                    break
            bars[trade.name] = Bar(second, trade.price, trade.price, trade.price, trade.price, trade.size)
        else:
            bar.high = max(bar.high, trade.price)
            bar.low = min(bar.low, trade.price)
            bar.close = trade.price
            bar.volume += trade.size
    return done


async def watch_states(bus: fastfeed.Bus) -> None:
    """Print what happens to books and connections."""
    async for status in bus.reader(kinds=["status"]):
        assert isinstance(status, fastfeed.Status)
        print(f"status {status.name or status.scope} {status.state} {status.reason}", flush=True)


async def main(name: str, bars: int | None) -> None:
    bus = fastfeed.open(name, timeout=10)
    watch = asyncio.create_task(watch_states(bus))
    try:
        done = await make_bars(bus, bars)
    finally:
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
    print(f"end bars {done}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("bus")
    parser.add_argument("--bars", type=int)
    args = parser.parse_args()
    asyncio.run(main(args.bus, args.bars))
