"""reader: awaited, with an event loop that stays idle, and nothing left behind by those who are cancelled."""

from __future__ import annotations

import asyncio
import selectors
import threading
import time

import pytest
from processes import wait_for
from test_reader import Feed

import fastfeed


@pytest.fixture
def feed(shm):
    wait_for(lambda: helpers() == [])  # of another test: a thread that nobody asks any more ends by itself
    made = Feed("awaited")
    yield made
    made.writer.close()
    assert list(shm.iterdir()) == []


def helpers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "fastfeed-reader"]


class Counting(selectors.DefaultSelector):
    """Counts how often the loop has turned."""

    turns = 0

    def select(self, timeout=None):
        self.turns += 1
        return super().select(timeout)


def run(main, selector: Counting | None = None):
    loop = asyncio.SelectorEventLoop(selector or Counting())
    try:
        return loop.run_until_complete(asyncio.wait_for(main, 120))
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def test_the_loop_does_not_turn_while_nothing_comes(feed):
    selector = Counting()
    reader = fastfeed.open("awaited").reader(kinds=["trade"])
    got: list[int] = []

    async def consume() -> None:
        async for event in reader:
            got.append(event.trade_id)

    async def main() -> tuple[int, int]:
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(consume())
        while not helpers():
            await asyncio.sleep(0.001)
        quiet = loop.create_future()
        before = selector.turns

        def others_are_busy() -> None:
            # For several looks at the feed's health, and with records that nobody here wants.
            for _ in range(60):
                time.sleep(0.01)
                feed.writer.heartbeat()
                feed.delta()
            loop.call_soon_threadsafe(quiet.set_result, None)

        thread = threading.Thread(target=others_are_busy)
        thread.start()
        await quiet
        turns = selector.turns - before
        thread.join()
        feed.trade(1)
        while not got:
            await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return turns, got[0]

    turns, first = run(main(), selector)
    assert first == 1
    # One to go to sleep, one to be told that it is over.
    assert turns <= 3


def test_who_is_cancelled_leaves_no_thread_and_loses_nothing(feed):
    reader = fastfeed.open("awaited").reader(kinds=["trade"])
    got: list[int] = []

    async def consume() -> None:
        async for event in reader:
            got.append(event.trade_id)

    async def main() -> None:
        number = 0
        for _ in range(60):
            task = asyncio.create_task(consume())
            for _ in range(number % 4):
                await asyncio.sleep(0.0005 * (number % 3))
                number += 1
                feed.writer.heartbeat()
                feed.trade(number)
            number += 1
            feed.trade(number)
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert helpers() == []
        got.extend(event.trade_id for event in reader.poll())
        assert got == list(range(1, number + 1))

    run(main())


def test_who_breaks_off_leaves_no_thread(feed):
    reader = fastfeed.open("awaited").reader(kinds=["trade"])

    async def main() -> int:
        asyncio.get_running_loop().call_later(0.05, feed.trade, 1)
        async for event in reader:
            found = event.trade_id
            break
        feed.trade(2)
        async for event in reader:
            return found + event.trade_id
        return 0

    assert run(main()) == 3
    wait_for(lambda: helpers() == [])


def test_another_task_may_look_meanwhile(feed):
    reader = fastfeed.open("awaited").reader(kinds=["trade"])
    got: list[int] = []

    async def consume() -> None:
        async for event in reader:
            got.append(event.trade_id)

    async def main() -> None:
        task = asyncio.create_task(consume())
        for number in range(1, 100):
            if number % 3 == 0:
                await asyncio.sleep(0.002)
            feed.writer.heartbeat()
            feed.trade(number)
            got.extend(event.trade_id for event in reader.poll())
            got.extend(reader.batch().get("trade", {"sequence": []})["sequence"])
        while len(got) < 99:
            await asyncio.sleep(0.001)
        with pytest.raises(RuntimeError, match="one task at a time"):
            await reader.ready()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(main())
    assert got == list(range(1, 100))


def test_batches_can_be_awaited_and_end_with_the_feed(feed):
    reader = fastfeed.open("awaited").reader(kinds=["trade"])

    async def main() -> list[int]:
        got: list[int] = []
        loop = asyncio.get_running_loop()
        for number in range(1, 21):
            loop.call_later(0.01 * number, feed.trade, number)
        loop.call_later(0.3, feed.writer.close)
        while await reader.ready():
            got += reader.batch()["trade"]["px"].tolist()
        return got

    assert len(run(main())) == 20
    assert not reader.wait(0)


def test_a_backlog_leaves_turns_to_others(feed):
    reader = fastfeed.open("awaited").reader(kinds=["trade"], start="oldest")
    for number in range(1, 2001):
        feed.trade(number)
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def main() -> None:
        task = asyncio.create_task(other())
        count = 0
        async for _ in reader:
            count += 1
            if count == 2000:
                break
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(main())
    assert turns >= 2000 // 128


def test_a_dead_feed_is_told_to_who_awaits_it(feed, monkeypatch):
    reader = fastfeed.open("awaited").reader()
    monkeypatch.setattr("fastfeed.reader.LOOK_EVERY_S", 0.01)

    async def main() -> None:
        with pytest.raises(fastfeed.PublisherGone):
            async for _ in reader:
                pass

    # As if it had died: its lock is gone, and its heart stands still.
    import fcntl

    monkeypatch.setattr(fcntl, "flock", lambda *_: None)
    run(main())
    assert helpers() == []


@pytest.mark.parametrize("how", ["block", "yield", "spin"])
def test_batches_can_be_waited_for(feed, how):
    reader = fastfeed.open("awaited").reader(kinds=["trade"], wait=how)
    assert not reader.wait(0)
    assert not reader.wait(0.001)
    feed.delta()
    assert not reader.wait(0.001)
    got: list[int] = []

    def consume() -> None:
        while reader.wait():
            got.extend(reader.batch()["trade"]["px"].tolist())

    thread = threading.Thread(target=consume)
    thread.start()
    for number in range(1, 30):
        feed.writer.heartbeat()
        feed.trade(number)
        wait_for(lambda number=number: len(got) == number)
    feed.writer.close()
    thread.join(60)
    assert not thread.is_alive()


def test_conflated_can_be_awaited(feed):
    reader = fastfeed.open("awaited").conflated(["binance:BTC/USDT"], kinds=["book"], levels=1)

    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        for number in range(5):
            loop.call_later(0.02 * (number + 1), feed.delta, f"{100.25 + number / 100:.2f}")
        bids: list[float] = []
        async for event in reader:
            bids.append(event.bids[0][0])
            if len(bids) == 6:
                break
        return bids

    assert run(main()) == [100.0, 100.25, 100.26, 100.27, 100.28, 100.29]
