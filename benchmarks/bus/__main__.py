"""The bus against what the machine can do, in one table.

`python -m benchmarks.bus [--only GROUP,...] [--peers] [--variants] [--rounds N] [--cpus A,B] [--write]
[--json FILE]`

Both processes of a pair are pinned. Where a cache line travels between two cores, each chunk lies between two chunks of
bare ping-pong of the same pair of processes, because a virtual machine's cores are moved: the distance is "near" below
250 ns a round trip and "far" above, a chunk whose two ping-pongs differ by a quarter is thrown away, and latencies are
ratios to them. Rounds alternate between the cases. A cell is the median of its chunks, with the least and the greatest.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.bus import api, peers, table
from benchmarks.bus.native import Drivers
from benchmarks.bus.table import Rows

#: size of a record with its head: the ratio to the ping-pong that is asked for
TRIPS: dict[int, dict[str, float]] = {
    48: {"near": 1.4, "far": 1.2},
    64: {"near": 1.4, "far": 1.2},
    128: {},
    256: {"near": 2.4, "far": 1.6},
    512: {},
    1024: {},
}
#: another build of the ring, or another reader, each without one of the things that the ring does
VARIANTS: dict[str, dict[str, str]] = {
    "is as it is": {},
    "zeroes only the next head": {"FF_ZERO_LEAST": "0", "FF_ZERO_MOST": "0"},
    "zeroes 2 lines ahead at least": {"FF_ZERO_LEAST": "1"},
    "zeroes 9 lines ahead at least": {"FF_ZERO_LEAST": "8"},
    "zeroes 5 lines ahead, whatever the last record": {"FF_ZERO_MOST": "4"},
    "asks for nothing ahead": {"FF_FETCH_AHEAD": "0"},
    "asks for lines 16 ahead": {"FF_FETCH_AHEAD": "16"},
    "asks for no second line as a reader": {"FF_LINES_ASKED": "0"},
    "asks for three more lines as a reader": {"FF_LINES_ASKED": "3"},
    "is read without a pause between looks": {"EMPTY": "(void)0"},
}
SHM = Path("/dev/shm")
PAGE = Path(__file__).parent.parent.parent / "docs" / "performance.md"
SIZES = (48, 64)  # payload bytes from Python to Python: with our head, one line and two
PEERS = ("pyaeron", "iceoryx2", "pyzmq", "multiprocessing.Queue")
SLOW = {"iceoryx2": 2000, "pyzmq": 1000, "multiprocessing.Queue": 1000}  # trips a chunk; 10,000 of the others


def roundtrip(drivers: Drivers, rows: Rows, group: str = "round trip", only: tuple[int, ...] = ()) -> None:
    """One process to another and back, spinning, in compiled loops."""
    for size, goals in TRIPS.items():
        if only and size not in only:
            continue
        for chunk in drivers.run("roundtrip", size, 3, 20_000):
            regime = rows.regime(chunk["before"][0], chunk["after"][0])
            if regime is None:
                continue
            bare = [(one + other) / 2 for one, other in zip(chunk["before"], chunk["after"], strict=True)]
            if group == "round trip":
                rows.row(group, "bare ping-pong", "ns, p50").add(bare[0], regime)
                rows.row(group, f"{size} bytes", "ns, p50").add(chunk["trip"][0], regime)
                row = rows.row(group, f"{size} bytes / ping-pong, p99", "ratio")
                row.add(chunk["trip"][2] / bare[2], regime)
            row = rows.row(group, f"{size} bytes / ping-pong, p50", "ratio", goals if group == "round trip" else {})
            row.add(chunk["trip"][0] / bare[0], regime)


def publish(drivers: Drivers, rows: Rows) -> None:
    """What a record costs the producer, with readers in each state."""
    for size, mib in ((64, 1), (64, 64), (128, 1), (128, 64)):
        for chunk in drivers.run("throughput", "publish", size, mib, 1):
            goals = {"": 15.0} if size == 64 else {}
            name = f"{size} bytes, ring of {mib} MiB"
            rows.row("publish", f"{name}, no reader", "ns a record", goals).add(chunk["none"])
            for state in ("stopped", "sleeping", "backlogged"):
                row = rows.row("publish", f"{name}, 8 readers {state} / none", "ratio", {"": 1.1})
                row.add(chunk[state] / chunk["none"])


def backlog(drivers: Drivers, rows: Rows) -> None:
    """What a record that is there costs a reader in compiled code."""
    for size in (64, 128, 256):
        for chunk in drivers.run("throughput", "backlog", size, 1):
            for where in ("same core", "other core"):
                goals = {"": 12.0} if size == 64 else {}
                row = rows.row("backlog", f"{size} bytes, written by the {where}", "ns a record", goals)
                row.add(chunk[where])


def lossless(drivers: Drivers, rows: Rows) -> None:
    """Producer and reader at once."""
    for size, batch in ((64, 1), (64, 16), (128, 16)):
        goals = {"near": 40.0, "far": 130.0} if (size, batch) == (64, 16) else {}
        for chunk in drivers.run("throughput", "lossless", size, batch, 3):
            regime = rows.regime(chunk["before"], chunk["after"])
            if regime is not None:
                row = rows.row("lossless", f"{size} bytes, a flush every {batch}", "ns a record", goals)
                row.add(chunk["ns"], regime)


def wake(drivers: Drivers, rows: Rows) -> None:
    """Readers that sleep."""
    for readers in (0, 1, 8):
        for chunk in drivers.run("wake", readers, 400):
            name = f"{readers} readers"
            if chunk["missed"]:
                raise AssertionError(f"{chunk['missed']} wake-ups were missed")
            if readers:
                for what, value in zip(("p50", "p90"), chunk["latency"], strict=False):
                    rows.row("wake-up", f"{name}, commit to reader, {what}", "us").add(value / 1000)
            rows.row("wake-up", f"{name}, wakes a flush, all asleep", "wakes", {"": 1.0}).add(chunk["wakes per flush"])
            rows.row("wake-up", f"{name}, one record and its flush", "us").add(chunk["flush"] / 1000)
            if readers:
                row = rows.row("wake-up", f"{name}, wakes a flush, 16 records a flush flat out", "wakes", {"": 1.0})
                row.add(chunk["busy wakes per flush"])


def pairs(drivers: Drivers, rows: Rows, python: str, path: str, transports: tuple[str, ...]) -> None:
    """Bytes from Python to Python and back, ours and the peers' in turn."""
    script = Path(__file__).with_name("pair.py")
    before = set(SHM.glob("iox2_*"))
    ours: dict[tuple[int, str], list[float]] = {}
    for name, size in itertools.product(transports, SIZES):
        if size != SIZES[-1] and name in SLOW:
            continue
        trips = SLOW.get(name, 10_000)
        command = [python, str(script), name, str(size), str(drivers.calibration()), "3", str(trips)]
        done = subprocess.run(
            [*command, *map(str, drivers.cpus)],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=180,
            env=os.environ | {"PYTHONPATH": path},
        )
        for line in done.stdout.splitlines():
            chunk: dict[str, float] = json.loads(line)
            regime = rows.regime(chunk["before"], chunk["after"])
            if regime is None:
                continue
            rows.row("python to python", f"{name}, {size} bytes and back", "ns").add(chunk["trip"], regime)
            if name == "fastfeed":
                ours.setdefault((size, regime), []).append(chunk["trip"])
            elif (size, regime) in ours:
                goals = {"near": 0.6, "far": 0.6} if name == "pyaeron" else {}
                ratio = statistics.median(ours[size, regime]) / chunk["trip"]
                rows.row("python to python", f"fastfeed / {name}, {size} bytes", "ratio", goals).add(ratio, regime)
    for left in set(SHM.glob("iox2_*")) - before:  # iceoryx2 leaves its housekeeping to its next node
        left.unlink(missing_ok=True)


def variants(folder: Path, cpus: tuple[int, int], rows: Rows, rounds: int) -> None:
    """The round trip of other builds of the ring."""
    built = {name: Drivers(folder / f"variant{i}", cpus, defines) for i, (name, defines) in enumerate(VARIANTS.items())}
    for _ in range(rounds):
        for name, drivers in built.items():
            roundtrip(drivers, rows, "a ring that " + name, (64, 128, 256, 512))


def groups(args: argparse.Namespace, folder: Path, rows: Rows, where: dict[str, Any]) -> dict[str, Callable[[], None]]:
    """Return what one round of each group is; adds to `where` what the peers run on."""
    drivers = Drivers(folder / "drivers", args.cpus)
    root = str(Path(__file__).parent.parent.parent)
    found: dict[str, Callable[[], None]] = {
        "roundtrip": lambda: roundtrip(drivers, rows),
        "publish": lambda: publish(drivers, rows),
        "backlog": lambda: backlog(drivers, rows),
        "lossless": lambda: lossless(drivers, rows),
        "wake": lambda: wake(drivers, rows),
        "pairs": lambda: pairs(drivers, rows, sys.executable, root, ("fastfeed",)),
        "python": lambda: api.run(rows, 1, args.cpus[0]),
    }
    if args.peers:
        print("making the environment of the peers", file=sys.stderr)
        made = peers.make(Path(args.peers_folder) if args.peers_folder else folder / "peers")
        if isinstance(made, str):
            print(f"no peers: {made}", file=sys.stderr)
        else:
            python, core = made
            where["python of the pairs"] = table.version([python, "--version"])
            where["peers"] = ", ".join(peers.PACKAGES[:3])
            found["pairs"] = lambda: pairs(drivers, rows, python, str(core), ("fastfeed", *PEERS))
    return found


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.bus",
        description=(__doc__ or "").partition("\n")[0],
    )
    names = ("roundtrip", "publish", "backlog", "lossless", "wake", "pairs", "python")
    parser.add_argument("--only", default=",".join(names), metavar="GROUP,...", help=f"some of {', '.join(names)}")
    parser.add_argument("--rounds", type=int, default=5, help="of all groups; 5 unless given")
    parser.add_argument(
        "--cpus",
        type=lambda text: tuple(map(int, text.split(","))),
        default=(0, 1),
        metavar="A,B",
        help="the two cores; 0,1 unless given",
    )
    parser.add_argument("--peers", action="store_true", help="also the peers, in an environment made for them by pip")
    parser.add_argument("--peers-folder", metavar="FOLDER", help="keep that environment there, and use it again")
    parser.add_argument("--variants", action="store_true", help="only other builds of the ring, round trips")
    parser.add_argument("--write", action="store_true", help="put the table into docs/performance.md")
    parser.add_argument("--json", metavar="FILE", help="write all chunks there")
    args = parser.parse_args()
    if len(args.cpus) != 2 or args.cpus[0] == args.cpus[1]:
        parser.error("two different cores are needed")
    if unknown := set(args.only.split(",")) - set(names):
        parser.error(f"unknown group {', '.join(sorted(unknown))}")
    return args


def main() -> int:
    """Run, print the table, and write it."""
    args = parse()
    where: dict[str, Any] = table.machine(args.cpus)
    rows = Rows()
    with tempfile.TemporaryDirectory(prefix="fastfeed-bus-") as scratch:
        folder = Path(scratch)
        if args.variants:
            variants(folder, args.cpus, rows, args.rounds)
        else:
            works = groups(args, folder, rows, where)
            for number in range(args.rounds):
                for name in args.only.split(","):
                    print(f"round {number + 1} of {args.rounds}: {name}", file=sys.stderr)
                    works[name]()
    print(table.report(rows, where))
    if args.write:
        table.write_page(PAGE, "variants" if args.variants else "bus", table.report(rows, where))
    if args.json:
        Path(args.json).write_text(json.dumps(table.as_json(rows, where), indent=1) + "\n")
    missed = [f"{row.group}: {row.what}" for row in rows.rows.values() if row.missed()]
    for line in missed:
        print(f"missed: {line}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
