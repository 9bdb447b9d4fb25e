"""The best venue of a running feed, while venues are killed and come back."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from processes import fastfeed as run
from processes import wait_for, write_config

import fastfeed
from fastfeed import BookState

PAIR = "BTC/USDT"
ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "examples" / "best_venue.py"


def free_ports(count: int) -> int:
    """The first of as many consecutive ports that are free now, below those that the system hands out itself."""
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        first = random.SystemRandom().randrange(lowest // 2, lowest - count)
        with contextlib.ExitStack() as stack:
            try:
                for number in range(count):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", first + number))
            except OSError:
                continue
            return first


class Venue:
    """A simulated venue in a process of its own, that can be killed and started again where it was."""

    def __init__(self, folder: Path, venue: str, stack) -> None:
        self._folder = folder
        self._venue = venue
        self._stack = stack
        self._port = free_ports(8)
        self.start()

    def start(self) -> None:
        out = self._folder / f"{self._venue}.out"
        words = ("sim", "--venues", self._venue, "--rate", "100", "--port", str(self._port))
        self.process = self._stack.enter_context(run(*words, out=out))
        line = wait_for(lambda: self.process.poll() is not None or (b"\n" in out.read_bytes() and out.read_text()))
        assert self.process.poll() is None, out.read_text()
        self.served = json.loads(line.splitlines()[0])[self._venue]


def write_both(folder: Path, venues: dict[str, Venue]) -> Path:
    """One configuration of a feed of both."""
    texts = [
        write_config(folder, "best", each.served, [PAIR], venue=venue, channels=["book"]).read_text()
        for venue, each in venues.items()
    ]
    path = folder / "both.toml"
    path.write_text(texts[0] + texts[1][texts[1].index("[[feed]]") :])
    return path


def test_the_book_of_a_venue_that_is_killed_is_left_and_returned_to(shm, tmp_path, stack):
    venues = {name: Venue(tmp_path, name, stack) for name in ("binance", "okx")}
    with run("run", str(write_both(tmp_path, venues)), out=tmp_path / "feed.out") as feed:
        bus = fastfeed.open("best", timeout=30)
        best = fastfeed.BestVenue(bus, PAIR, prefer=["okx", "binance"], hold_s=0.5)
        wait_for(lambda: best.book() and best.venue == "okx")
        wait_for(lambda: bus.book("binance:BTC/USDT").state is BookState.LIVE)
        example = stack.enter_context(
            subprocess.Popen(
                [sys.executable, str(EXAMPLE), "best", PAIR, "okx", "--hold", "0.5", "--count", "3"],
                stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)},
            )
        )  # fmt: skip
        stack.callback(example.kill)
        lines = [example.stdout.readline()]

        before = best.switches
        looks = []
        venues["okx"].process.kill()
        wait_for(lambda: looks.append(best.top()) or best.venue == "binance")
        # A machine that stands still for a second makes all books stale: then there is none.
        assert {top.state for top in looks if top is not None} == {BookState.LIVE}
        assert best.switches == before + 1
        assert best.reason == "okx:BTC/USDT is syncing"
        lines.append(example.stdout.readline())

        venues["okx"].start()
        wait_for(lambda: best.book() and best.venue == "okx")
        assert best.switches == before + 2
        lines.append(example.stdout.readline())
        assert [line.split()[0] for line in lines] == ["okx", "binance", "okx"]
        assert example.wait(30) == 0

        # A stopped feed says nothing of its end; its books are not live any more after a second.
        feed.send_signal(signal.SIGSTOP)
        wait_for(lambda: best.book() is None)
        assert best.reason == "no book is live: okx:BTC/USDT is stale; binance:BTC/USDT is stale"
        feed.send_signal(signal.SIGCONT)
        wait_for(best.book)


def test_a_feed_that_is_killed_is_left_for_another_within_a_heartbeat_or_two(shm, tmp_path, stack, capsys):
    venue = Venue(tmp_path, "binance", stack)
    feeds = [
        stack.enter_context(run("run", str(write_config(tmp_path, name, venue.served, [PAIR])), out=tmp_path / name))
        for name in ("first", "second")
    ]
    best = fastfeed.BestVenue(["first", "second"], PAIR, hold_s=0.5)
    wait_for(lambda: best.book() and best.names == ("binance:BTC/USDT on first", "binance:BTC/USDT on second"))
    wait_for(lambda: best.book() and "on first" in repr(best))
    wait_for(lambda: fastfeed.open("second").book("binance:BTC/USDT").state is BookState.LIVE)
    before = best.switches
    feeds[0].kill()
    killed = time.monotonic()
    wait_for(lambda: best.book() and "on second" in repr(best))
    with capsys.disabled():
        print(f"\nleft after {(time.monotonic() - killed) * 1000:.0f} ms")
    assert best.switches == before + 1
    assert "its feed is gone" in best.reason
