"""Every example does what it says, on a bus that another process writes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from livebus import LiveBus, RemoteBus, remote_bus
from processes import fastfeed as run_fastfeed
from processes import wait_for

import fastfeed

EXAMPLES = Path(__file__).parent.parent / "examples"
BTC = "binance:BTC/USDT"


def run(name: str, *arguments: str, seconds: float = 120) -> list[str]:
    """Run an example to its end and return the lines that it printed."""
    environment = os.environ | {"PYTHONPATH": str(EXAMPLES.parent)}
    done = subprocess.run([sys.executable, str(EXAMPLES / name), *arguments], capture_output=True, text=True,
                          timeout=seconds, env=environment, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture
def demo(shm, tmp_path):
    """A whole feed of simulated venues in other processes."""
    with run_fastfeed("demo", "--seconds", "200", "--bus", "examples", out=tmp_path / "demo.out"):
        wait_for(lambda: b"live" in (tmp_path / "demo.out").read_bytes())
        yield fastfeed.open("examples", timeout=30)


def test_the_strategy_signals_on_live_books(demo):
    lines = run("strategy.py", "examples", BTC, "binance:BTC/USDT:USDT", "--looks", "60")
    assert lines[-1] == "end looks 60 lost 0"
    signals = lines[:-1]
    assert signals
    for line in signals:
        name, side, value, bid, ask = re.fullmatch(
            r"(\S+) (buy|sell) ([+-]\d\.\d\d) bid (\S+) ask (\S+)", line
        ).groups()
        assert name in (BTC, "binance:BTC/USDT:USDT")
        assert (float(value) > 0) is (side == "buy")
        assert 0 < float(bid) < float(ask)


def test_the_strategy_leaves_books_alone_that_are_not_live(shm):
    sys.path.insert(0, str(EXAMPLES))
    try:
        import strategy
    finally:
        sys.path.pop(0)
    top = fastfeed.Top(fastfeed.BookState.LIVE, [(1.0, 3.0)], [(2.0, 1.0)], 1, None, None, fastfeed.Position(1, 0))
    assert strategy.imbalance(top) == 0.5
    assert strategy.imbalance(top._replace(asks=[])) is None


def test_the_async_consumer_makes_bars_of_trades(demo):
    lines = run("async_consumer.py", "examples", "--bars", "3")
    assert lines[-1] == "end bars 3"
    bars = [line.split() for line in lines if line.startswith("bar ")]
    assert len(bars) == 3
    for _, name, *numbers in bars:
        first, high, low, last, volume = map(float, numbers)
        assert low <= min(first, last) <= max(first, last) <= high
        assert volume > 0
        assert name in {each.name for each in demo.instruments}


def stored(folder: Path, kind: str) -> np.ndarray:
    parts = [np.load(path)["data"] for path in sorted(folder.glob(f"{kind}-*.npz"))]
    return np.concatenate(parts)


def test_the_recorder_keeps_every_record_and_goes_on_where_it_was(shm, tmp_path):
    bus = LiveBus("examples")
    for number in range(300):
        bus.trade()
        bus.delta(f"{90 + number % 50 / 10:.2f}")
    folder = tmp_path / "out"
    assert run("record.py", "examples", str(folder), "--records", "400") == ["end records 400 lost 0"]
    for _ in range(100):
        bus.trade()
    assert run("record.py", "examples", str(folder), "--records", "302") == ["end records 302 lost 0"]
    events = fastfeed.open("examples").reader(start="oldest").poll(10_000)
    assert len(events) == 702
    for kind in ("trade", "delta", "snapshot", "status"):
        wanted = [event for event in events if event.kind == kind]
        found = stored(folder, kind)
        assert found["position"].tolist() == [event.position.offset for event in wanted]
        assert found["ts_recv"].tolist() == [event.ts_recv for event in wanted]
    trades = [event for event in events if event.kind == "trade"]
    assert stored(folder, "trade")["px"].tolist() == [event.px for event in trades]
    (row, _) = json.loads((folder / "instruments.json").read_text())
    assert (row["name"], row["px_exp"]) == (BTC, -4)
    assert not list(folder.glob("*.part"))
    # A place that the ring has overwritten is a hole, and is said to be one.
    for _ in range(10_000):
        bus.trade()
    bus.writer.flush()
    lines = run("record.py", "examples", str(folder), "--records", "10")
    assert lines == [
        "the ring no longer holds the place that was kept: a hole of unknown size",
        "end records 10 lost 0",
    ]
    bus.writer.close()


def test_the_recorder_writes_parquet(shm, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    bus = LiveBus("examples")
    for _ in range(20):
        bus.trade()
    assert run("record.py", "examples", str(tmp_path / "p"), "--records", "22", "--format", "parquet")
    (file,) = (tmp_path / "p").glob("trade-*.parquet")
    assert parquet.read_table(file)["px"].to_pylist() == [1000100] * 20
    bus.writer.close()


def test_the_dashboard_paints_books_and_last_trades(demo):
    lines = run("dashboard.py", "examples", BTC, "binance:BTC/USDT:USDT", "--every", "0.3", "--paints", "5")
    assert lines[-1] == "end paints 5"
    assert sum(line.startswith("instrument ") for line in lines) == 5
    last = lines[-4:-1]
    assert re.fullmatch(r"merged [1-9]\d* lost 0", last.pop())
    rows = [line.split() for line in last]
    assert sorted(row[0] for row in rows) == [BTC, "binance:BTC/USDT:USDT"]
    for _, state, bid, ask, spread, price in rows:
        assert (state, 0 < float(bid) < float(ask), float(spread) > 0, float(price) > 0) == ("live", True, True, True)


def test_the_dashboard_shows_what_is_newest_and_what_became_of_the_feed(shm):
    sys.path.insert(0, str(EXAMPLES))
    try:
        import dashboard
    finally:
        sys.path.pop(0)
    with remote_bus("examples") as first:
        board = dashboard.Board(fastfeed.open("examples"))
        seen_dead = False

        def show(state: str, feed: RemoteBus | None) -> None:
            """Take what comes until the book has that state; a feed beats its heart with whatever it writes."""
            nonlocal seen_dead
            while board.rows.get(BTC, dashboard.Row()).state != state:
                if feed is not None:
                    feed.do("bbo")
                try:
                    assert board.reader.wait()
                    board.take()
                except fastfeed.PublisherGone:
                    seen_dead = True

        show("live", first)
        assert board.rows == {BTC: dashboard.Row("live", 100.0, 101.0), "binance:ETH/USDT": dashboard.Row()}
        merged = board.reader.merged
        for _ in range(50):
            first.do("trade")
        board.take()
        show("live", first)
        assert (board.rows[BTC].last, board.reader.merged - merged) == (100.01, 49)
        assert board.lines()[1].split() == [BTC, "live", "100", "101", "99.5", "100.01"]
        assert board.lines()[2].split() == ["binance:ETH/USDT", "syncing", "-", "-", "-", "-"]
        first.kill()
        show("stale", None)
        if not seen_dead:  # this process was held up for a second
            with pytest.raises(fastfeed.PublisherGone):
                board.reader.wait()
        assert board.rows[BTC] == dashboard.Row("stale", 100.0, 101.0, 100.01)
        with remote_bus("examples") as second:
            show("live", second)
            assert board.rows[BTC] == dashboard.Row("live", 100.0, 101.0)
            second.close()
        while board.reader.wait():
            board.take()


def test_the_plain_reader_prints_a_top_and_trades(demo):
    lines = run("plain_reader.py", "examples", "5")
    assert lines[0] == f"top {BTC} live"
    assert [line.split()[0] for line in lines[1:7]] == ["bid"] * 3 + ["ask"] * 3
    assert [line.split()[0] for line in lines[7:12]] == ["trade"] * 5
    assert lines[12:] == ["end lost 0"]


def test_the_plain_reader_sees_what_the_real_one_sees(shm):
    sys.path.insert(0, str(EXAMPLES))
    try:
        import plain_reader
    finally:
        sys.path.pop(0)
    bus = LiveBus("examples")
    real = fastfeed.open("examples")
    plain = plain_reader.PlainBus("examples")
    folder = Path(os.environ["FASTFEED_SHM"])
    (folder / "fastfeed.alias.data").symlink_to(folder / "fastfeed.examples.data")
    os.mkfifo(folder / "fastfeed.pipe.data")
    for name in ("alias", "pipe"):
        with pytest.raises((OSError, ValueError), match=r"symbolic links|no plain file"):
            plain_reader.PlainBus(name)
    reader = real.reader()
    assert plain.instruments() == [each.name for each in real.instruments]
    assert plain.exponents(0) == (-4, -7)
    assert plain.position == reader.position.offset
    for burst in (1, 40, 9_000, 3, 12_000, 1):
        for number in range(burst):
            bus.delta(f"{90 + number % 700 / 100:.2f}", f"{number % 3}.0", flush=False)
        bus.trade()
        bus.writer.heartbeat()
        wanted = reader.poll(100_000)
        found = list(plain.records())
        assert [record.position for record in found] == [event.position.offset for event in wanted]
        assert [record.instrument for record in found] == [0] * len(wanted)
        assert plain.lost == reader.lost
        assert plain.top(0) == tuple(side[:25] for side in bus.market.levels())
        assert plain.is_live()
    assert plain.lost > 5_000
    bus.writer.close()
    assert not plain.is_live()
    with pytest.raises(FileNotFoundError):
        plain_reader.PlainBus("examples")
