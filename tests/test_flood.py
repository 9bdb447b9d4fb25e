"""readers under a producer as fast as the ring: nothing torn, nothing twice, every loss counted, whatever the way."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from many import NAMES, Many

from fastfeed_core.flood import flood

A = NAMES[0]
COUNT = 3_000_000


@contextlib.contextmanager
def flooded(many: Many, count: int = COUNT) -> Iterator[threading.Event]:
    """A thread that publishes records 1 to `count` in portions; set is what says that it is done."""
    done = threading.Event()

    def run() -> None:
        for first in range(1, count + 1, 20_000):
            flood(many.writer, 0, first, min(20_000, count + 1 - first))
        done.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield done
    finally:
        thread.join()


@pytest.mark.parametrize("ring", [1 << 16, 1 << 18, 1 << 20])
def test_batches(ring):
    many = Many(ring=ring)
    reader = many.bus.reader([A])
    before = many.bus.map.record_count
    last = rows = 0
    with flooded(many) as done:
        while True:
            ended = done.is_set()
            batch = reader.batch(2000)
            if not batch and ended:
                break
            order = []
            if (trades := batch.get("trade")) is not None:
                n = trades["px"]
                assert (trades["sz"] == ~n).all()
                for field in ("ts_event", "ts_send", "ts_recv", "ts_publish", "sequence"):
                    assert (trades[field] == n).all()
                assert (trades["trade_id"][:, :8].copy().view("i8")[:, 0] == n).all()
                order.append(n)
            if (quotes := batch.get("bbo")) is not None:
                n = quotes["bid_px"]
                assert (quotes["bid_sz"] == ~n).all()
                assert (quotes["ask_px"] == n + 1).all()
                assert (quotes["ask_sz"] == n).all()
                assert (quotes["ts_publish"] == n).all()
                order.append(n)
            numbers = np.sort(np.concatenate(order)) if order else np.zeros(0, "i8")
            if len(numbers):
                assert numbers[0] > last
                assert (np.diff(numbers) > 0).all()
                last = int(numbers[-1])
                rows += len(numbers)
    assert (last, rows + reader.lost) == (COUNT, COUNT)
    assert reader.read - before == COUNT


@pytest.mark.parametrize("ring", [1 << 16, 1 << 18])
@pytest.mark.parametrize("kinds", [None, ["bbo"]], ids=["all", "some"])
def test_events(ring, kinds):
    many = Many(ring=ring)
    reader = many.bus.reader([A], kinds)
    last = delivered = 0
    with flooded(many) as done:
        while True:
            ended = done.is_set()
            events = reader.poll(500)
            if not events and ended:
                break
            for event in events:
                n = event.sequence
                assert n > last
                last = n
                if event.kind == "trade":
                    assert (event.px, event.sz, event.trade_id, event.ts_recv) == (n, ~n, n, n)
                else:
                    assert (event.bid_px, event.bid_sz, event.ask_px, event.ask_sz) == (n, ~n, n + 1, n)
            delivered += len(events)
    assert last == COUNT
    if kinds is None:
        assert delivered + reader.lost == COUNT
    else:
        assert COUNT // 2 - reader.lost <= delivered <= COUNT // 2
    assert reader.read == many.bus.map.record_count


@pytest.mark.parametrize("ring", [1 << 16, 1 << 20])
def test_the_newest(ring):
    many = Many(ring=ring)
    reader = many.bus.conflated([A], ["bbo", "trade"])
    last = {"bbo": 0, "trade": 0}
    polls = delivered = told = 0
    with flooded(many) as done:
        while True:
            ended = done.is_set()
            events = reader.poll()
            if not events and ended:
                break
            polls += 1
            for event in events:
                if event.kind == "status":
                    told += 1
                    continue
                n = event.sequence
                assert n > last[event.kind]
                last[event.kind] = n
                if event.kind == "trade":
                    assert (event.px, event.sz, event.trade_id, event.ts_recv) == (n, ~n, n, n)
                else:
                    assert (event.bid_px, event.bid_sz, event.ask_px, event.ask_sz) == (n, ~n, n + 1, n)
                delivered += 1
    assert last == {"bbo": COUNT, "trade": COUNT - 1}
    assert delivered + reader.merged + reader.lost == COUNT
    assert (reader.lost > 0) == (told > 0)


def test_arrays_stay_as_they_were_handed_over():
    many = Many(ring=1 << 22)
    reader = many.bus.reader([A])
    kept: list[tuple[np.ndarray, bytes]] = []
    first = 1
    for size in [1, 2, 300, 3, 5000, 7, 1000, 1, 400, 400, 400, 400, 2500]:
        flood(many.writer, 0, first, size)
        first += size
        for array in reader.batch().values():
            kept.append((array, array.tobytes()))
            array["ts_recv"][:] = array["ts_recv"]  # one's own to write to
    assert sum(len(array) for array, _ in kept) == first - 1
    assert all(array.tobytes() == copy for array, copy in kept)


def test_arrays_that_are_given_back_are_filled_again():
    many = Many(ring=1 << 22)
    reader = many.bus.reader([A], ["bbo"])
    memory = set()
    for number in range(100):
        flood(many.writer, 0, 1000 * number + 1, 1000)
        batch = reader.batch()
        assert len(batch["bbo"]) == 500
        memory.add(batch["bbo"].__array_interface__["data"][0])
    assert len(memory) <= 3
