"""A gap or a slow snapshot of one instrument is its own: the others on the same socket go on as if there were none.

`pytest tests/test_isolation.py --isolation-seconds 60` looks on for a minute a run. Latencies and pauses are printed
and not judged, since they are the machine's as much as the feed's.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from processes import fastfeed as run
from processes import wait_for, write_config
from witness import Seen, note, witnessed

import fastfeed
from fastfeed import BookState

SYMBOLS = 20
RATE = 50.0  # events a second and instrument
SICK, STREAM = "binance:BTC/USDT", "btcusdt@depth"
CHANNELS = ("book", "bbo", "trade")
LATE_S = 1.0
# A message to the witness and one to the feed, ten times a second: a gap of half a second every 2.4 s, for both.
GAP_EVERY = 48

CASES: dict[str, dict[str, Any]] = {
    "gaps": {},
    "gaps, snapshots late": {"slow": {"depth?symbol=BTCUSDT": LATE_S}},
}


class Run(NamedTuple):
    """What came of a feed."""

    seen: Seen
    truth: Seen
    told: dict[str, list[tuple[str, int]]]  # by instrument: reason, or health, and when, ns
    latency: list[int]  # from socket to ring of each message of the healthy, ns, rising
    pauses: list[int]  # between one publication of the healthy and the next, ns, rising


def observe(folder: Path, seconds: float, is_sick: bool = False, **knobs: Any) -> Run:
    """Run venue, feed and consumer, each a process; look on for so long from when all is live."""
    folder.mkdir()
    many = range(GAP_EVERY, int(seconds + 60) * 20, GAP_EVERY)
    faults = ",".join(f"gap:@{at + twin}:{STREAM}" for at in many for twin in (0, 1)) if is_sick else ""
    with witnessed(
        folder, "binance", ["spot"], CHANNELS, faults, symbols=SYMBOLS, rate=RATE, levels=100, **knobs
    ) as venue:
        names = venue.served["instruments"][:SYMBOLS]
        config = write_config(
            folder, folder.name, venue.served, names, channels=CHANNELS, options={"snapshot_levels": 100}
        )
        with run("run", str(config), out=folder / "feed.out"):
            bus = fastfeed.open(folder.name, timeout=60)
            reader = bus.reader(start="oldest")
            wait_for(lambda: len(bus.instruments) == SYMBOLS)
            others = [bus.book(each.name) for each in bus.instruments if each.name != SICK]
            wait_for(lambda: all(book.state is BookState.LIVE for book in others))
            since = bus.map.connections()[0]["last_recv"]
            events: list[Any] = []

            def is_over() -> bool:
                events.extend(reader.poll(100_000))
                return bool(bus.map.connections()[0]["last_recv"] > since + seconds * 1e9)

            wait_for(is_over, seconds + 60)
            assert reader.lost == 0
            (row,) = bus.map.connections()
            assert (row["connects"], row["disconnects"]) == (1, 0)
        truth = venue.end()
    seen: Seen = {}
    note(seen, events)
    told: dict[str, list[tuple[str, int]]] = {}
    for event in events:
        if event.kind == "status" and event.scope == "instrument":
            told.setdefault(event.name, []).append((event.health or event.reason, event.ts_recv))
    well = [each for each in events if each.kind != "status" and each.name != SICK and each.ts_recv > since]
    latency = sorted(each.ts_publish - each.ts_recv for each in well)
    pauses = sorted(after.ts_publish - each.ts_publish for each, after in pairwise(well))
    return Run(seen, truth, told, latency, pauses)


def came_whole(seen: list[Any], truth: list[Any]) -> None:
    """All that the witness saw, in its order, from the first one on."""
    assert seen
    first = truth.index(seen[0])
    assert seen == truth[first : first + len(seen)]


def others_are_undisturbed(it: Run) -> None:
    assert len(it.seen) == SYMBOLS
    for name in it.seen:
        for kind in CHANNELS:
            if (name, kind) == (SICK, "book"):
                continue
            # A book begins with the snapshot that this feed asked for, and the witness did not.
            came_whole(it.seen[name][kind][kind == "book" :], it.truth[name][kind])
        if name != SICK:
            assert [what for what, _ in it.told[name]] == ["snapshot"]


def resyncs(it: Run) -> list[int]:
    """From each gap of the sick book to the snapshot that ended it, ns; only of those that are over."""
    found, began = [], None
    for what, ts in it.told[SICK]:
        if what == "gap" and began is None:
            began = ts
        elif what == "snapshot" and began is not None:
            found.append(ts - began)
            began = None
    return found


def test_what_one_instrument_suffers_the_others_on_its_socket_do_not(shm, tmp_path, isolation_seconds, capsys):
    runs = {"undisturbed": observe(tmp_path / "undisturbed", isolation_seconds)}
    for number, (case, knobs) in enumerate(CASES.items()):
        runs[case] = observe(tmp_path / f"sick-{number}", isolation_seconds, True, **knobs)
    with capsys.disabled():
        print(f"\n{SYMBOLS} instruments on one socket, one of them sick, {isolation_seconds} s a run; us")
        print(
            f"{'':<24}{'messages':>9}{'socket to ring p50':>20}{'p99':>9}{'max':>9}"
            f"{'pause p50':>11}{'p99':>9}{'max':>9}"
        )
        for case, it in runs.items():
            row = f"{case:<24}{len(it.latency):>9}"
            for values, width in ((it.latency, 20), (it.pauses, 11)):
                p50, p99, worst = (values[int((len(values) - 1) * rank)] / 1000 for rank in (0.5, 0.99, 1))
                row += f"{p50:>{width}.1f}{p99:>9.1f}{worst:>9.1f}"
            print(row, f"{len(resyncs(it))} resyncs")
    for it in runs.values():
        others_are_undisturbed(it)
    quiet, gaps, late = runs.values()
    assert [what for what, _ in quiet.told[SICK]] == ["snapshot"]
    came_whole(quiet.seen[SICK]["book"][1:], quiet.truth[SICK]["book"])
    assert resyncs(gaps)
    assert resyncs(late)
    assert min(resyncs(late)) > 0.9 * LATE_S * 1e9
