"""The feed as a process: killed, stopped, started again, asked to end, started twice."""

from __future__ import annotations

import asyncio
import signal
import stat
import time

import pytest
from processes import fastfeed as run
from processes import simulator, wait_for, write_config

import fastfeed
from fastfeed import BookState, PublisherGone

NAMES = ["BTC/USDT", "BTC/USDT:USDT"]


def live(bus: fastfeed.Bus) -> bool:
    return len(bus.instruments) == 2 and all(bus.book(each.name).state is BookState.LIVE for each in bus.instruments)


def test_a_killed_feed_is_noticed_and_a_new_one_picked_up(shm, tmp_path, capsys):
    with simulator(tmp_path, "--rate", "100") as venue:
        config = str(write_config(tmp_path, "killed", venue, NAMES))
        with run("run", config) as feed:
            bus = fastfeed.open("killed", timeout=30)
            wait_for(lambda: live(bus))
            reader = bus.reader()
            books = [bus.book(each.name) for each in bus.instruments]
            wait_for(reader.poll)
            feed.kill()
            killed = time.monotonic()
            with pytest.raises(PublisherGone):
                for _ in reader:
                    pass
            noticed = time.monotonic() - killed
            assert noticed < 5  # only a reader that does not look at all would break this; the figure is printed
            with capsys.disabled():
                print(f"\nPublisherGone after {noticed * 1000:.0f} ms")
            # Once, and the reader stays usable; what is known to be dead is stale at once.
            assert reader.poll() == []
            assert all(book.state is BookState.STALE for book in books)
            assert all(book.top(1).bids for book in books)
            generation = bus.generation
        with run("run", config):
            events = wait_for(lambda: [event for event in reader.poll() if event.kind == "status"])
            assert (events[0].scope, events[0].reason) == ("bus", "restarted")
            assert (reader.restarts, bus.generation > generation) == (1, True)
            wait_for(lambda: all(book.state is BookState.LIVE for book in books))
            wait_for(lambda: [event for event in reader.poll() if event.kind == "delta"])
            # A late joiner has the whole book at once.
            late = fastfeed.open("killed").book("binance:BTC/USDT").depth()
            assert (late.state, len(late.bids) > 100) == (BookState.LIVE, True)
    assert list(shm.iterdir()) == []


def test_a_stopped_feed_is_stale_and_not_gone(shm, tmp_path):
    with simulator(tmp_path) as venue, run("run", str(write_config(tmp_path, "stopped", venue, NAMES))) as feed:
        bus = fastfeed.open("stopped", timeout=30)
        wait_for(lambda: live(bus))
        reader = bus.reader()
        book = bus.book("binance:BTC/USDT")
        feed.send_signal(signal.SIGSTOP)
        wait_for(lambda: book.state is BookState.STALE)
        with pytest.raises(fastfeed.BookNotLive, match="was stale"):
            book.top(1, require_live=True)
        for _ in range(50):
            reader.poll()  # no PublisherGone
        feed.send_signal(signal.SIGCONT)
        wait_for(lambda: book.state is BookState.LIVE)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_clean_stop_ends_iterations_and_leaves_nothing(shm, tmp_path, number):
    with simulator(tmp_path) as venue, run("run", str(write_config(tmp_path, "clean", venue, NAMES))) as feed:
        bus = fastfeed.open("clean", timeout=30)
        wait_for(lambda: live(bus))
        assert {stat.S_IMODE(path.stat().st_mode) for path in shm.iterdir()} == {0o600}
        waiting, blocking = bus.reader(kinds=["status"]), bus.reader(kinds=["status"])
        spinning = bus.reader(kinds=["status"], wait="yield")

        async def last() -> str:
            return [event async for event in waiting][-1].reason

        feed.send_signal(number)
        assert asyncio.run(last()) == "stopped"
        assert [event.reason for event in blocking][-1] == "stopped"
        assert [event.reason for event in spinning][-1] == "stopped"
        assert feed.wait(20) == 0
        assert list(shm.iterdir()) == []


def test_a_second_feed_on_a_living_bus_is_refused(shm, tmp_path):
    with simulator(tmp_path) as venue:
        config = str(write_config(tmp_path, "taken", venue, NAMES))
        with run("run", config):
            bus = fastfeed.open("taken", timeout=30)
            wait_for(lambda: live(bus))
            out = tmp_path / "second.out"
            with run("run", config, out=out) as second:
                assert second.wait(30) == 1
            assert "another feed (process" in out.read_text()
            assert live(bus)


def test_a_feed_connects_again_after_disconnects(shm, tmp_path):
    with simulator(tmp_path, "--faults", "disconnect:0.005", "--rate", "200") as venue:
        with run("run", str(write_config(tmp_path, "cut", venue, NAMES))):
            bus = fastfeed.open("cut", timeout=30)
            wait_for(lambda: len(bus.map.connections()) == 3)
            busy = [row["id"] for row in bus.map.connections() if "/market" not in row["label"]]  # that one has notices
            wait_for(lambda: all(bus.map.connections()[place]["connects"] > 1 for place in busy))
            wait_for(lambda: live(bus))


def test_two_connections_feed_one_book_and_nothing_comes_twice(shm, tmp_path):
    with simulator(tmp_path, "--rate", "200") as venue:
        with run("run", str(write_config(tmp_path, "twice", venue, NAMES, connections=2))):
            bus = fastfeed.open("twice", timeout=30)
            reader = bus.reader(start="oldest")
            wait_for(lambda: live(bus))
            seen: list = []
            wait_for(lambda: seen.extend(reader.poll()) or sum(event.kind == "trade" for event in seen) > 300)
            trades = [(event.name, event.trade_id) for event in seen if event.kind == "trade"]
            quotes = [(event.name, event.sequence) for event in seen if event.kind == "bbo"]
            assert len(set(trades)) == len(trades)
            assert len(set(quotes)) == len(quotes)
            assert len(bus.map.connections()) == 6  # of spot, of USD-M, of its notices
            assert live(bus)


def test_an_instrument_without_room_is_left_out_and_the_others_live(shm, tmp_path):
    with simulator(tmp_path) as venue:
        config = write_config(tmp_path, "narrow", venue, NAMES)
        config.write_text(config.read_text().replace("[reconnect]", "instruments = 1\n[reconnect]", 1))
        out = tmp_path / "feed.out"
        with run("run", str(config), out=out):
            bus = fastfeed.open("narrow", timeout=30)
            wait_for(lambda: bus.instruments and bus.book(bus.instruments[0].name).state is BookState.LIVE)
            assert len(bus.instruments) == 1
        said = out.read_text()
        assert "instrument left out error=bus narrow is full: no room for the " in said
        assert "(the bus has rows for 1 instruments)" in said
