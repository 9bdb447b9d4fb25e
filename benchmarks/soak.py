"""All simulated venues at once for minutes: messages a second, gaps, losses, memory.

`python -m benchmarks.soak [--seconds N] [--instruments N] [--rate N] [--venues a,b] [--json]`

One simulator process a venue, one feed of all, one consumer that reads every event and keeps nothing. Memory of the
feed is its resident set without the shared memory that it writes (`RssAnon`). The load is what the simulators can make
on this machine: `--rate` is order flow events a second and instrument. Exit code 1 if there was a gap or a loss, or
memory grew by more than 2 % and 1 MiB in the second half of the run.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import fastfeed
from benchmarks.latency import process
from fastfeed.venues import VENUES

GROWTH = 0.02
GROWTH_MIB = 1.0


def configuration(bus: str, served: dict[str, Any], instruments: int) -> str:
    """Return a feed.toml that takes an equal number of instruments from each venue."""
    lines = ["[bus]", f'name = "{bus}"', 'ring = "256MiB"', "levels = 1024"]
    share = instruments // len(served)
    for number, (venue, places) in enumerate(served.items()):
        wanted = share + (number < instruments % len(served))
        names = places["instruments"][:wanted]
        if len(names) < wanted:
            raise SystemExit(f"{venue} serves {len(names)} instruments, wanted {wanted}")
        lines += ["[[feed]]", f'venue = "{venue}"', f"instruments = {json.dumps(names)}"]
        lines += ['channels = ["book", "bbo", "trade"]', "[feed.endpoints]"]
        for kind in ("ws", "rest"):
            urls = ", ".join(f'{product} = "{url}"' for product, url in places[kind].items())
            lines.append(f"{kind} = {{ {urls} }}")
    return "\n".join([*lines, ""])


def resident(pid: int) -> int:
    """Bytes of a process's memory that are its own."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no RssAnon")


def run(seconds: float, instruments: int, rate: float, venues: list[str]) -> dict[str, Any]:
    """Run everything, and return what was counted after all books were live."""
    bus_name = f"soak-{os.getpid()}"
    with contextlib.ExitStack() as stack:
        served: dict[str, Any] = {}
        for venue in venues:
            # More than the share: products have instruments in equal numbers.
            arguments = [
                "sim",
                "--venues",
                venue,
                "--symbols",
                str(instruments // len(venues) + 2),
                "--rate",
                str(rate),
            ]
            sim = stack.enter_context(process(*arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL))
            assert sim.stdout is not None
            served |= json.loads(sim.stdout.readline())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "feed.toml").write_text(configuration(bus_name, served, instruments))
        feed = stack.enter_context(process("run", str(folder / "feed.toml"), "--log", "WARNING", stderr=sys.stderr))
        bus = fastfeed.open(bus_name, timeout=60)
        reader = bus.reader(start="oldest")
        until = time.monotonic() + 120
        while len(bus.instruments) < instruments or any(
            bus.book(each.name).state is not fastfeed.BookState.LIVE for each in bus.instruments
        ):
            assert time.monotonic() < until, "books not live"
            reader.poll(100_000)
            time.sleep(0.05)
        return measure(seconds, feed.pid, bus, reader)


def measure(seconds: float, pid: int, bus: fastfeed.Bus, reader: fastfeed.Reader) -> dict[str, Any]:
    """Read all events for a while."""
    events = 0
    frames = sum(row["frames"] for row in bus.map.connections())
    before = [bus.map.instrument_counters(index) for index in range(len(bus.instruments))]
    memory = []
    started = time.monotonic()
    while (now := time.monotonic()) < started + seconds:
        events += sum(len(rows) for kind, rows in reader.batch(1_000_000).items() if kind != "levels")
        if not memory or now - memory[-1][0] > seconds / 200:
            memory.append((now, resident(pid)))
        time.sleep(0.01)
    took = time.monotonic() - started
    frames = sum(row["frames"] for row in bus.map.connections()) - frames
    after = [bus.map.instrument_counters(index) for index in range(len(bus.instruments))]
    tenth = max(1, len(memory) // 10)
    tenths = [max(size for _, size in memory[start : start + tenth]) for start in range(0, len(memory), tenth)]
    grown = {
        key: sum(one[key] - other[key] for one, other in zip(after, before, strict=True))
        for key in ("gaps", "resyncs", "refused", "held_lost", "no_data", "repairs")
    }
    return {
        "seconds": round(took, 1),
        "instruments": len(after),
        "messages": frames,
        "messages_per_s": round(frames / took),
        "events": events,
        **grown,
        "lost": reader.lost,
        "malformed": sum(row["malformed"] for row in bus.map.connections()),
        "unrouted": sum(row["unrouted"] for row in bus.map.connections()),
        "disconnects": sum(row["disconnects"] for row in bus.map.connections()),
        "memory_mib": [round(size / 2**20, 2) for size in tenths],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--instruments", type=int, default=200)
    parser.add_argument("--rate", type=float, default=25)
    parser.add_argument("--venues", default=",".join(VENUES))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    found = run(args.seconds, args.instruments, args.rate, args.venues.split(","))
    print(json.dumps(found) if args.json else "\n".join(f"{key:<16}{value!s:>14}" for key, value in found.items()))
    # The first half is for buffers and windows of books to find their size.
    middle, last = found["memory_mib"][len(found["memory_mib"]) // 2], found["memory_mib"][-1]
    flat = last - middle <= max(GROWTH_MIB, GROWTH * middle)
    return 0 if flat and not (found["gaps"] or found["lost"] or found["malformed"]) else 1


if __name__ == "__main__":
    sys.exit(main())
