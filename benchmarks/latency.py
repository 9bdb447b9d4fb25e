"""Latency over loopback, in percentiles: simulator, feed and consumer, a process each.

`python -m benchmarks.latency [--seconds N] [--warm-up N] [--rate N] [--wait block|spin|yield] [--json]`

Two intervals of every event are counted: from the socket read that brought it to its commit in the ring (`ts_publish -
ts_recv`, both taken by the feed) and from there to this process having it as an object (`now - ts_publish`). The
simulator sends at its own pace whatever we do, and `ts_recv` is taken once a socket read: an event that waited behind
others of its read has that in its figure. Nothing is left out but the warm-up; the collector is off here. All three
share this machine's cores: with two of them, the tails are mostly the scheduler's.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fastfeed
from fastfeed_core.counters import Histogram

PERCENTS = (50.0, 99.0, 99.9)
PARTS = ("socket read to ring", "ring to consumer")


@contextmanager
def process(*arguments: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Run `python -m fastfeed ...` and end it afterwards."""
    child = subprocess.Popen([sys.executable, "-m", "fastfeed", *arguments], text=True, **options)
    try:
        yield child
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        if child.stdout is not None:
            child.stdout.close()


def configuration(bus: str, served: dict[str, Any]) -> str:
    """Return a feed.toml that takes everything from the simulated venue."""
    lines = [
        "[bus]",
        f'name = "{bus}"',
        'ring = "64MiB"',
        "[[feed]]",
        'venue = "binance"',
        f"instruments = {json.dumps(served['instruments'])}",
        'channels = ["book", "bbo", "trade"]',
    ]
    for protocol in ("ws", "rest"):
        lines.append(f"[feed.endpoints.{protocol}]")
        lines += [f'{product} = "{url}"' for product, url in served[protocol].items()]
    return "\n".join(lines) + "\n"


def listen(bus: fastfeed.Bus, warm_up: float, seconds: float, wait: str) -> tuple[list[Histogram], int]:
    """Count both intervals of all events; returns the histograms and how many events were lost."""
    counts = [Histogram() for _ in PARTS]
    to_ring, to_consumer = (one.record for one in counts)
    reader = bus.reader(kinds=("bbo", "trade", "delta"), wait=wait)
    now = time.time_ns
    start = now() + int(warm_up * 1e9)
    end = start + int(seconds * 1e9)
    for event in reader:
        at = now()
        if at < start:
            continue
        if at > end:
            break
        to_ring(event.ts_publish - event.ts_recv)
        to_consumer(at - event.ts_publish)
    return counts, reader.lost


def main() -> int:
    """Run the three and print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.latency", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="of measuring; 10 unless given")
    parser.add_argument("--warm-up", type=float, default=3.0, metavar="S", help="before that; 3 unless given")
    parser.add_argument(
        "--rate", type=float, default=200.0, help="order flow events a second and instrument; 200 unless given"
    )
    parser.add_argument("--symbols", type=int, default=2, help="instruments a product; 2 unless given")
    parser.add_argument("--wait", choices=("block", "spin", "yield"), default="block", help="how the consumer waits")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    args = parser.parse_args()
    name = f"bench-latency-{os.getpid()}"
    sim = ("sim", "--venues", "binance", "--rate", str(args.rate), "--symbols", str(args.symbols))
    with tempfile.TemporaryDirectory() as folder, process(*sim, stdout=subprocess.PIPE) as simulator:
        assert simulator.stdout is not None
        line = simulator.stdout.readline()
        if not line:
            print("the simulator did not start", file=sys.stderr)
            return 1
        served = json.loads(line)["binance"]
        file = Path(folder, "feed.toml")
        file.write_text(configuration(name, served))
        with process("run", str(file)):
            bus = fastfeed.open(name, timeout=30)
            gc.disable()
            counts, lost = listen(bus, args.warm_up, args.seconds, args.wait)
            gc.enable()
    rows = {
        part: {**{f"p{percent:g}": one.percentile(percent) for percent in PERCENTS}, "max": one.max}
        for part, one in zip(PARTS, counts, strict=True)
    }
    if args.json:
        print(json.dumps({"events": counts[0].count, "lost": lost, "seconds": args.seconds, "ns": rows}))
        return 0
    print(f"{counts[0].count} events in {args.seconds:g} s, {lost} lost, consumer waits: {args.wait}")
    print(f"{'microseconds':22}" + "".join(f"{column:>10}" for column in rows[PARTS[0]]))
    for part, row in rows.items():
        print(f"{part:22}" + "".join(f"{value / 1000:10.1f}" for value in row.values()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
