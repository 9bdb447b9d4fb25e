"""fastfeed demo: a simulator, a feed and a consumer with a live table, in three processes, without a network.

The consumer is this process: one thread reads every event and measures, the main thread draws, watches the two
children and receives the signals. However it ends, the children are stopped and the bus is removed.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from fastfeed import bus as buses
from fastfeed import venues
from fastfeed.bus import Bus
from fastfeed.cli.arguments import positive
from fastfeed.cli.table import PriceTable, Screen
from fastfeed.config import read_config
from fastfeed.errors import BusBusy, BusNotFound, PublisherGone
from fastfeed_core.attach import BusMap, Mismatch
from fastfeed_core.bus import BusWriter
from fastfeed_core.counters import Histogram

__all__ = ["add_arguments", "main"]

_CHANNELS = ("book", "bbo", "trade")
_WITHOUT_TERMINAL_S = 10.0  # how long it runs if nobody watches and nothing else is said
_FIRST_TABLE_S = 3.0  # after the first book is live; earlier if all are
_READY_S = 30.0  # for a child to come up on a slow machine
_GRACE_S = 3.0  # for a child to stop cleanly
_LOOK_EVERY_S = 0.02
_SWITCH_S = 1e-4  # the consumer waits so long at most for the thread that draws, not Python's 5 ms
_STDERR_LINES = 12  # of a child that failed
_ROWS = 24  # of the table, about


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Run a simulator, a feed and a live table in one command, offline; then print what was counted and measured."
    )
    parser.add_argument(
        "--seconds",
        type=positive,
        metavar="N",
        help=f"end so long after the first table; unless given: on Ctrl-C, or after {_WITHOUT_TERMINAL_S:g} without a "
        "terminal",
    )
    parser.add_argument(
        "--venues",
        default=",".join(venues.VENUES),
        metavar="A,B",
        help=f"venues to simulate, of {', '.join(venues.VENUES)}; all unless given",
    )
    parser.add_argument("--bus", default="demo", metavar="NAME", help="name of the bus; demo unless given")


def main(args: argparse.Namespace) -> int:
    """Run until the time is up or a signal comes; 0 also then, 1 if a child fails."""
    stop = _Stop()
    sys.setswitchinterval(_SWITCH_S)
    seconds = args.seconds
    for venue in args.venues.split(","):
        venues.load(venue)  # an unknown one is said here, where it was given
    if seconds is None and not sys.stdout.isatty():
        seconds = _WITHOUT_TERMINAL_S
    try:
        with stop.on_signals():
            _refuse_living(args.bus)
            _run(args.bus, args.venues, seconds, stop)
    except _Stopped:
        print("fastfeed demo: stopped before the feed was up", file=sys.stderr)
    except _ChildFailed as error:
        print(f"fastfeed demo: {error}", file=sys.stderr)
        return 1
    return 0


class _Stopped(Exception):
    """A signal came before there was anything to show."""


class _ChildFailed(Exception):
    """A child ended by itself, or did not come up."""


class _Stop:
    """Whether a signal has asked for the end. A flag, not an exception: no child must be lost between two lines."""

    def __init__(self) -> None:
        self.requested = False

    def _request(self, *_: object) -> None:
        self.requested = True

    @contextlib.contextmanager
    def on_signals(self) -> Iterator[None]:
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        for number, handler in before.items():
            if number is not signal.SIGHUP or handler is not signal.SIG_IGN:  # ignored: by nohup
                signal.signal(number, self._request)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class _Child:
    """A verb of this command in a process of its own, stopped when the context is left."""

    def __init__(self, what: str, *arguments: str) -> None:
        self._what = what
        self._arguments = arguments

    def __enter__(self) -> _Child:
        self._stderr: BinaryIO = tempfile.TemporaryFile()  # closed in __exit__
        self._process = subprocess.Popen(
            [sys.executable, "-m", "fastfeed", *self._arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            start_new_session=True,  # the terminal's Ctrl-C is for this process, which stops them in order
            preexec_fn=_die_with_parent(),
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._stderr.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def check(self) -> None:
        """Raise _ChildFailed if it has ended."""
        code = self._process.poll()
        if code is not None:
            self.fail(f"ended with code {code}")

    def fail(self, how: str) -> None:
        self._stderr.seek(0)
        said = self._stderr.read().decode(errors="replace").strip().splitlines()[-_STDERR_LINES:]
        raise _ChildFailed("\n".join([f"the {self._what} {how}", *(f"  {line}" for line in said)]))

    def read_line(self, stop: _Stop) -> bytes:
        """Return the first line of its output."""
        assert self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        line = bytearray()

        def has_line() -> bool:
            if select.select([pipe], [], [], 0)[0]:
                line.extend(os.read(pipe, 65536))
            return b"\n" in line

        _until(has_line, stop, self)
        return bytes(line).partition(b"\n")[0]

    def stop(self) -> None:
        """Ask it to stop, and see to it that it does."""
        process = self._process
        assert process.stdout is not None
        # SIGTERM, not SIGINT: that one is ignored by what a shell script has put into the background.
        process.terminate()
        try:
            process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def _die_with_parent() -> Callable[[], None] | None:
    """A function for the child to call: it is sent SIGTERM when this process is killed. Linux only."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl  # looked up here: between fork and exec little is safe
    return lambda: prctl(1, int(signal.SIGTERM), 0, 0, 0)  # 1: PR_SET_PDEATHSIG


class _Consumer(threading.Thread):
    """Reads every event as a consumer would, until the feed stops."""

    def __init__(self, bus: Bus) -> None:
        super().__init__(name="fastfeed-demo-consumer", daemon=True)
        self.reader = bus.reader(start="oldest", wait="block")
        self.events = 0
        self.latency = Histogram()

    def run(self) -> None:
        record, clock = self.latency.record, time.time_ns
        with contextlib.suppress(PublisherGone):
            for event in self.reader:
                record(clock() - event.ts_publish)
                self.events += 1


def _until(is_done: Callable[[], bool], stop: _Stop, *children: _Child) -> None:
    """Wait for a condition while the children live; _ChildFailed also after a long time."""
    until = time.monotonic() + _READY_S
    while not is_done():
        if stop.requested:
            raise _Stopped
        for child in children:
            child.check()
        if time.monotonic() > until:
            children[-1].fail(f"was not ready after {_READY_S:g} s")
        time.sleep(_LOOK_EVERY_S)


def _refuse_living(name: str) -> None:
    try:
        bus_map = BusMap(name)
    except (OSError, Mismatch):
        return  # none, or none that is ours: the feed says what is wrong with it
    if bus_map.is_alive():
        raise BusBusy(name, bus_map.pid)


def _run(name: str, wanted: str, seconds: float | None, stop: _Stop) -> None:
    started = time.monotonic()
    # From last to first: the feed stops while the simulator still serves, so that its end is not a disconnect.
    with contextlib.ExitStack() as stack:
        sim = stack.enter_context(_Child("simulator", "sim", "--venues", wanted))
        served = json.loads(sim.read_line(stop))
        endpoints = {venue: each | {"instruments": _some(each, len(served))} for venue, each in served.items()}
        file = stack.enter_context(tempfile.NamedTemporaryFile("w", prefix="fastfeed-demo-", suffix=".toml"))
        text = _configuration(name, endpoints)
        read_config(text)  # the name of the bus may be wrong: said here, where it was given
        file.write(text)
        file.flush()
        feed = _Child("feed", "run", file.name, "--log", "WARNING")
        stack.callback(_remove_leftovers, name, feed)  # after the feed's own end
        stack.enter_context(feed)
        bus = _await_bus(name, stop, sim, feed)
        file.close()  # read, and removed now: nothing is left if this process is killed
        bus_map = bus.map
        consumer = _Consumer(buses.open(name))
        consumer.start()
        count = sum(len(venue["instruments"]) for venue in endpoints.values())
        ran = _show(PriceTable(bus), count, started, seconds, stop, sim, feed)
        feed.stop()
        consumer.join(_GRACE_S)
        print(_summary(ran, bus_map, consumer), flush=True)


def _some(served: dict[str, Any], venues: int) -> list[str]:
    """Instruments to show, from all over the venue's list: the table of all venues should fit a terminal."""
    names: list[str] = served["instruments"]
    step = -(-len(names) // max(_ROWS // venues, 1))
    return names[::step]


def _configuration(name: str, endpoints: dict[str, Any]) -> str:
    """A feed of all that the simulator serves; small enough for a container's 64 MiB of shared memory."""
    quoted = json.dumps  # strings and lists of them are written alike in JSON and in TOML
    lines = ["[bus]", f"name = {quoted(name)}", 'ring = "16MiB"', "instruments = 256", "levels = 2048"]
    for venue, served in endpoints.items():
        offered = [{row.name for row in product.channels} for product in venues.load(venue).PRODUCTS]
        channels = [each for each in _CHANNELS if all(each in names for names in offered)]
        lines += ["[[feed]]", f"venue = {quoted(venue)}", f"instruments = {quoted(served['instruments'])}"]
        lines += [f"channels = {quoted(channels)}", "[feed.endpoints]"]
        for kind in ("ws", "rest"):
            urls = ", ".join(f"{product} = {quoted(url)}" for product, url in served[kind].items())
            lines.append(f"{kind} = {{ {urls} }}")
    return "\n".join([*lines, ""])


def _await_bus(name: str, stop: _Stop, sim: _Child, feed: _Child) -> Bus:
    """Open the bus when it is our feed's: the files of one that died may lie there until it has begun."""
    found: list[Bus] = []

    def is_open() -> bool:
        with contextlib.suppress(BusNotFound):
            bus = buses.open(name)
            if bus.map.pid == feed.pid:
                found.append(bus)
        return bool(found)

    _until(is_open, stop, sim, feed)
    return found[0]


def _show(
    table: PriceTable, wanted: int, started: float, seconds: float | None, stop: _Stop, *children: _Child
) -> float:
    """Show tables until the time is up or a signal comes; the seconds since the first one."""
    first: float | None = None
    some_live: float | None = None
    due = started
    with Screen(sys.stdout) as screen:
        interval = 0.25 if screen.is_terminal else 1.0
        while not stop.requested:
            for child in children:
                child.check()
            now = time.monotonic()
            if first is None:
                states = table.states()
                if 1 in states and some_live is None:
                    some_live = now
                is_whole = len(states) == wanted and all(state == 1 for state in states)
                is_late = some_live is not None and now - some_live >= _FIRST_TABLE_S
                if is_whole or is_late or now - started >= _READY_S:
                    first = due = now
            elif seconds is not None and now - first >= seconds:
                break
            if first is not None and now >= due:
                screen.show(table.lines())
                due += interval
            time.sleep(_LOOK_EVERY_S)
    return 0.0 if first is None else time.monotonic() - first


def _summary(ran: float, bus_map: BusMap, consumer: _Consumer) -> str:
    connections = bus_map.connections()
    counters = [bus_map.instrument_counters(index) for index in range(bus_map.count)]
    socket_to_ring = Histogram()
    for each in connections:
        socket_to_ring.merge(Histogram(*each["latency"]))
    messages = sum(each["frames"] for each in connections)
    gaps = sum(each["gaps"] for each in counters)
    resyncs = sum(max(0, each["resyncs"] - 1) for each in counters)  # the first is the book's beginning
    return "\n".join(
        [
            "",
            f"{ran:.1f} s of {len(counters)} instruments on {len(connections)} connections",
            f"messages {messages}, events read {consumer.events}, gaps {gaps}, resyncs {resyncs}, "
            f"lost {consumer.reader.lost}",
            f"{'latency in us':<18}{'p50':>9}{'p99':>9}{'p99.9':>9}{'max':>9}{'count':>10}",
            _latency_line("socket to ring", socket_to_ring),
            _latency_line("ring to consumer", consumer.latency),
        ]
    )


def _latency_line(what: str, latency: Histogram) -> str:
    values = [*(latency.percentile(percent) for percent in (50.0, 99.0, 99.9)), latency.max]
    return f"{what:<18}{''.join(f'{value / 1e3:>9.1f}' for value in values)}{latency.count:>10}"


def _remove_leftovers(name: str, feed: _Child) -> None:
    """Remove the bus of a feed that did not stop cleanly."""
    with contextlib.suppress(OSError, Mismatch):
        bus_map = BusMap(name)
        if bus_map.pid == feed.pid:
            # Whoever takes a dead feed's name over removes its files in the end. BlockingIOError: another did it.
            BusWriter(name, ring=65536, instruments=1, top=1, levels=64).close()
