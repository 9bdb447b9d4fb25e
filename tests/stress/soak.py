"""A bus under fire for as long as wanted: everything is checked, everything is killed, memory stays flat.

`python -m tests.stress.soak [--seconds N] [--every S] [--seed N]`

A feed writes flat out into a small ring; three readers, one of each temper (block, yield, spin), stay for the whole run
and check every event, every book and every count. Every so often the feed or a fourth reader is killed and started
again. Beside it a second feed is left alone for the whole run, with a reader, so that its memory can be seen.
Prints a line a minute and the figures at the end as JSON; exit code 1 if anything was wrong or grew.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
sys.path.append(str(HERE.parent.parent))

GROWTH = 0.02
GROWTH_MIB = 1.0
ENDLESS = 1_000_000_000
TEMPERS = ("block", "yield", "spin")


def resident(pid: int) -> float:
    """MiB of a process's memory that are its own."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no RssAnon")


def read(name: str, how: str) -> None:
    """The reader's process: check until the bus is closed, a line of figures a second."""
    from checked import Checked

    import fastfeed

    bus = fastfeed.open(name, timeout=60)
    seen = Checked(bus, bus.reader(start="oldest", wait=how))
    told = time.monotonic()
    figures: dict[str, int] = {}
    while True:
        if not seen.poll():
            if bus.map.closed and not seen.poll():
                break
            if how != "spin":
                seen.reader.await_record(how, 50_000_000)
        if time.monotonic() - told > 1:
            told = time.monotonic()
            seen.look()
            figures = {"events": seen.events, "books": seen.depths, "lost": seen.reader.lost, "gone": seen.gone,
                       "restarts": seen.restarts}  # fmt: skip
            print(json.dumps(figures), flush=True)
    print(json.dumps(figures | {"lost": seen.reader.lost, "events": seen.events}), flush=True)


class Consumer:
    """A reader in a process of its own."""

    def __init__(self, name: str, how: str) -> None:
        self.out = tempfile.TemporaryFile("w+b", prefix="soak-")  # noqa: SIM115
        self.process = subprocess.Popen([sys.executable, __file__, "--read", name, how], stdout=self.out)
        self.figures: dict[str, int] = {}
        self.memory: list[float] = []

    def look(self) -> None:
        size = os.fstat(self.out.fileno()).st_size
        lines = os.pread(self.out.fileno(), 1000, max(0, size - 1000)).split(b"\n")
        if len(lines) > 1 and lines[-2].startswith(b"{"):
            self.figures = json.loads(lines[-2])
        if self.process.poll() is None:
            self.memory.append(resident(self.process.pid))

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.out.close()


def tenths(memory: list[float]) -> list[float]:
    """The greatest of each tenth of a run, MiB."""
    step = max(1, len(memory) // 10)
    return [round(max(memory[start : start + step]), 2) for start in range(0, len(memory), step)]


def is_flat(memory: list[float]) -> bool:
    """No growth in the second half: the first is for buffers to find their size."""
    parts = tenths(memory)
    return bool(parts) and parts[-1] - parts[len(parts) // 2] <= max(GROWTH_MIB, GROWTH * parts[len(parts) // 2])


def followed(stay: list[Consumer], kills: int) -> bool:
    """Whether those who stay have come to the last feed: it is not killed before.

    Not all need have been told that the one before was gone: it may have been followed before they looked.
    """
    return all(each.figures.get("restarts") == kills for each in stay[:-1])


def run(seconds: float, every: float, seed: int) -> dict[str, Any]:
    from feeder import Feeder

    rng = random.Random(seed)
    feed_kills = reader_kills = 0
    steady_memory: list[float] = []
    wrong: list[str] = []
    feeds, calm = Feeder("soak"), Feeder("calm", 1 << 22)
    try:
        pid = feeds.fork(ENDLESS)
        steady = calm.fork(ENDLESS, 0.01)
        stay = [Consumer("soak", how) for how in TEMPERS] + [Consumer("calm", "block")]
        victim = Consumer("soak", "block")
        started = time.monotonic()
        kill_at, told = started + every, started
        while (now := time.monotonic()) < started + seconds:
            time.sleep(0.5)
            for each in stay:
                each.look()
                if each.process.poll() is not None:
                    wrong.append(f"a reader ended with {each.process.returncode}")
            if wrong:
                break
            steady_memory.append(resident(steady))
            if now > kill_at:
                kill_at = now + rng.uniform(0, 2 * every)
                if rng.random() < 0.5 and followed(stay, feed_kills):
                    feeds.reap(pid)
                    feed_kills += 1
                    time.sleep(rng.choice((0, 0, 0.3, 1.5)))
                    pid = feeds.fork(ENDLESS)
                else:
                    if victim.process.poll() is not None:
                        wrong.append(f"the fourth reader ended with {victim.process.returncode}")
                    victim.end()
                    victim = Consumer("soak", rng.choice(TEMPERS[:2]))
                    reader_kills += 1
            if now - told > 60:
                told = now
                print(f"{now - started:.0f} s: {sum(each.figures.get('events', 0) for each in stay)} events, "
                      f"{feed_kills} feeds and {reader_kills} readers killed", flush=True)  # fmt: skip
        until = time.monotonic() + 60
        while not wrong and not followed(stay, feed_kills):
            if time.monotonic() > until:
                wrong.append("a reader did not follow the last feed")
            time.sleep(0.5)
            for each in stay:
                each.look()
        feeds.reap(pid, signal.SIGTERM)
        calm.reap(steady, signal.SIGTERM)
        if victim.process.poll():
            wrong.append(f"the fourth reader ended with {victim.process.returncode}")
        for each in stay:
            if each.process.wait(60) != 0:
                wrong.append(f"a reader ended with {each.process.returncode}")
            each.look()
    finally:
        feeds.close()
        calm.close()
        for each in [*stay, victim]:
            each.end()
    return {
        "seconds": round(time.monotonic() - started, 1),
        "seed": seed,
        "feeds_killed": feed_kills,
        "readers_killed": reader_kills,
        "readers": {how: each.figures for how, each in zip((*TEMPERS, "calm"), stay, strict=True)},
        "memory_mib": {
            "feed": tenths(steady_memory),
            **{how: tenths(each.memory) for how, each in zip((*TEMPERS, "calm"), stay, strict=True)},
        },
        "flat": is_flat(steady_memory) and all(is_flat(each.memory) for each in stay),
        "wrong": wrong,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--every", type=float, default=5, help="seconds between two kills, on average")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "little"))
    parser.add_argument("--read", nargs=2, metavar=("BUS", "HOW"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.read:
        read(*args.read)
        return 0
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        os.environ["FASTFEED_SHM"] = folder
        found = run(args.seconds, args.every, args.seed)
        found["left"] = os.listdir(folder)
    print("{" + ",\n ".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in found.items()) + "}")
    return 0 if found["flat"] and not found["wrong"] and not found["left"] else 1


if __name__ == "__main__":
    sys.exit(main())
