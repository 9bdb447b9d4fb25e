"""Instructions a message, counted by valgrind: the one figure of speed that another run gives again.

`python -m benchmarks.instructions [--check | --update]`

A child process runs under callgrind and does each case twice, with N and with 3 N messages made from a fixed seed, each
on a fresh receive path; a call of a function that nothing else calls closes every part of the profile. The difference
of the two parts over 2 N is what one message costs: setting up, cold paths and Python's part cancel out. Flushes (one
every 64 messages) are in it. `budget.toml` holds the figures; more than 2 % above fails, more than 2 % below is said.
Another compiler or another Python gives other figures: then nothing is compared, and it says so.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from benchmarks.bus.native import Drivers

BUDGET = Path(__file__).with_name("budget.toml")
ALLOWED = 0.02
N = 320  # a multiple of the 64 frames between two flushes
MARK = "*counters*bucket_low"
#: rows that publish a record of one line, with so many readers: not one instruction may lie between them
PUBLISH = {"ring-publish-64": 0, "ring-publish-64-8-readers": 8}
PUBLISHED = 4096  # records, a flush every 16


# ---- the child, which runs under valgrind


def cases() -> Iterator[tuple[str, Callable[[ExitStack, int], Callable[[], object]]]]:
    """Yield (row, prepare); `prepare(stack, count)` returns the work on `count` messages."""
    from benchmarks import frames
    from benchmarks.stage import PRODUCTS, TS, open_stage, pack
    from fastfeed_core import drive
    from fastfeed_core.book import PyBook
    from fastfeed_core.ring import Ring

    for product in PRODUCTS:
        made = frames.make(product, 3 * N)
        for kind in ("bookTicker", "trade", "depth"):
            for name in ("decode", "pipeline"):

                def prepare(stack, count, made=made, kind=kind, name=name):
                    stage = stack.enter_context(open_stage(PRODUCTS[made.product], (), made.snapshot, ring=1 << 22))
                    packed = pack(made.kinds[kind][:count])
                    if name == "decode":
                        return lambda: drive.decode(stage.connection, packed)
                    return lambda: drive.run(stage.connection, packed, TS)

                yield f"{name}-{product}-{kind}", prepare

    def prepare_ring(stack, count):
        ring = Ring(1 << 22)
        records = [bytes(80)] * count
        return lambda: deque(map(ring.write, records), maxlen=0)

    yield "ring-write-80", prepare_ring

    def prepare_read(stack, count):
        ring = Ring(1 << 22)
        ring.write_same(bytes(48), count)
        return ring.skip

    yield "ring-read-64", prepare_read

    quotes = frames.make("spot", 3 * N)

    def prepare_batch(stack, count):
        from fastfeed_core.attach import BusMap
        from fastfeed_core.subscription import Subscription

        stage = stack.enter_context(open_stage(PRODUCTS["spot"], (), quotes.snapshot, ring=1 << 22))
        drive.run(stage.connection, pack(quotes.kinds["bookTicker"][:count]), TS)
        bus = BusMap(writer=stage.bus)
        subscription = Subscription(bus, kinds=["bbo"], start=stage.start)
        for _ in range(3):  # the first one imports numpy, and finds room for all rows; the second fills arrays again
            subscription.batch()
            subscription.attach(bus, stage.start)
        return subscription.batch

    yield "batch-read-bbo", prepare_batch

    bids, asks, updates = frames.book_updates(5000, 3 * N, 1)

    def prepare_book(stack, count):
        book = PyBook(100)
        book.apply(bids, asks)
        parts = [part for one, other in updates[:count] for part in (one, other)]
        return lambda: deque(map(book.apply, parts[::2], parts[1::2]), maxlen=0)

    yield "book-apply", prepare_book


def child() -> None:
    """Run all cases, a mark before and behind each."""
    from fastfeed_core.counters import bucket_low

    for row, prepare in cases():
        for count in (N, 3 * N):
            with ExitStack() as stack:
                work = prepare(stack, count)
                bucket_low(1)
                work()
                bucket_low(1)
        print(row, flush=True)


# ---- the parent


def count() -> dict[str, float]:
    """Return instructions a message by row."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        command = [
            "valgrind",
            "--tool=callgrind",
            "--quiet",
            f"--dump-before={MARK}",
            f"--callgrind-out-file={folder}/part",
            sys.executable,
            "-m",
            "benchmarks.instructions",
            "--child",
        ]
        # The same memory copies on every machine, whatever its processor can do.
        env = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(Path(__file__).parent.parent),
            "PYTHONHASHSEED": "0",
            "PYTHONDONTWRITEBYTECODE": "1",
            "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F,-AVX2,-AVX,-ERMS,-FSRM",
        }
        done = subprocess.run(command, env=env, check=False, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"the child failed under valgrind:\n{done.stderr}")
        rows = done.stdout.split()
        totals = [_total(folder / f"part.{i + 1}") for i in range(4 * len(rows))]
    # Parts: before the first mark (setup), the work, between, the work, ...; a part is dumped before its closing mark.
    works = totals[1::2]
    counts = {row: (works[2 * i + 1] - works[2 * i]) / (2 * N) for i, row in enumerate(rows)}
    return counts | count_publish()


def count_publish() -> dict[str, float]:
    """Return instructions a record by row of `PUBLISH`: those of the producer's loop alone, with real readers.

    A program in C, with the ring's own header: its loop is counted from its first instruction to its last.
    """
    rows = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        program = Drivers(folder, (0, 1)).build("count")
        for row, readers in PUBLISH.items():
            command = ["valgrind", "--tool=callgrind", "--quiet", "--toggle-collect=counted"]
            command += [f"--callgrind-out-file={folder}/{row}.%p", str(program), str(readers), str(PUBLISHED)]
            with subprocess.Popen(command) as child:
                if child.wait():
                    raise RuntimeError("the publishing loop failed under valgrind")
            rows[row] = _total(folder / f"{row}.{child.pid}") / PUBLISHED
    return rows


def _total(path: Path) -> int:
    found = re.search(r"^(?:summary|totals): (\d+)", path.read_text(), re.MULTILINE)
    if found is None:
        raise RuntimeError(f"no total in {path.name}")
    return int(found[1])


def tools() -> dict[str, str]:
    """Return what the figures depend on: the compiler that built the core, the Python that drives it."""
    from fastfeed_core import drive

    found = re.search(rb"GCC: \([^)]*\) ([0-9.]+)|clang version ([0-9.]+)", Path(drive.__file__).read_bytes())
    flags = Path("/proc/cpuinfo").read_text()  # levels of a book are read in another way with AVX2
    compiler = "unknown" if found is None else f"gcc {found[1].decode()}" if found[1] else f"clang {found[2].decode()}"
    return {
        "compiler": compiler,
        "python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "machine": os.uname().machine + (" avx2" if "avx2" in flags.split() else ""),
    }


def write(rows: dict[str, float], path: Path = BUDGET) -> None:
    """Write the budget."""
    lines = [
        "# Instructions a message; written by `python -m benchmarks.instructions --update`.",
        "",
        "[tools]",
        *(f'{key} = "{value}"' for key, value in tools().items()),
        "",
        "[instructions]",
        *(f"{row} = {round(value)}" for row, value in rows.items()),
    ]
    path.write_text("\n".join(lines) + "\n")


def compare(rows: dict[str, float], budget: dict[str, int]) -> list[str]:
    """Print every row beside its budget; return what is wrong."""
    wrong = [f"{row}: in the budget and not counted" for row in budget if row not in rows]
    for row, value in rows.items():
        allowed = budget.get(row)
        if allowed is None:
            wrong.append(f"{row}: counted and not in the budget; add it with --update")
            continue
        change = value / allowed - 1
        print(f"{row:28} {value:9.1f}  {allowed:7}  {change:+7.2%}")
        if change > ALLOWED:
            wrong.append(f"{row}: expected at most {allowed} instructions a message, was {value:.0f} ({change:+.1%})")
        elif change < -ALLOWED:
            print(f"{row}: {-change:.1%} fewer than the budget; lower it with --update")
    if len({rows.get(row) for row in PUBLISH}) != 1:
        wrong.append(f"readers cost the producer instructions: { ({row: rows.get(row) for row in PUBLISH}) }")
    return wrong


def main() -> int:
    """Count, then print, check or write."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.instructions", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--check", action="store_true", help="fail if a row is more than 2 %% above budget.toml")
    parser.add_argument("--update", action="store_true", help="write budget.toml")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child()
        return 0
    if shutil.which("valgrind") is None:
        print("skipped: valgrind is not installed")
        return 0
    if args.check:
        written = tomllib.loads(BUDGET.read_text())
        if written["tools"] != tools():
            print(f"cannot compare: the budget is of {written['tools']}, this is {tools()}")
            return 0
        wrong = compare(count(), written["instructions"])
        for line in wrong:
            print(f"over budget: {line}" if "expected" in line else line)
        return 1 if wrong else 0
    rows = count()
    for row, value in rows.items():
        print(f"{row:28} {value:9.1f}")
    if args.update:
        write(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
