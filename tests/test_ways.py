"""Redundant connections by ways of their own: several URLs of one product, several addresses of this machine."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop
from chaos.proxy import Line, Proxy
from picows import WSListener
from processes import write_config

import fastfeed
from fastfeed import BookState, control
from fastfeed.cli.status import describe
from fastfeed.config import load_config, read_config
from fastfeed.engine.feed import serve
from fastfeed.engine.network import Network, Unreachable
from fastfeed.engine.way import find_way
from fastfeed.errors import ConfigError
from fastfeed.sim import Knobs, Simulator

SYMBOL = "BTC/USDT"
BOOK = f"binance:{SYMBOL}"
FOREIGN = "192.0.2.1"  # for documentation alone (RFC 5737): no machine has it
ADDRESSES = ["127.0.0.1", "127.0.0.2"]


class Gate(Proxy):
    """A way to the venue that knows from which addresses it was taken."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.taken: list[str] = []

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.taken.append(writer.get_extra_info("peername")[0])
        await super()._serve(reader, writer)

    def line_from(self, address: str) -> Line:
        """The open connection that came from an address."""
        return next(line for line in lines_of(self) if self.taken[line.number - 1] == address)

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"


def run(main: Coroutine[Any, Any, None]) -> None:
    uvloop.run(asyncio.wait_for(main, 120))


async def until(condition: Callable[[], Any]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


async def links(name: str) -> list[dict[str, Any]]:
    """What the feed says of its connections, in the order of the copies."""
    answer = await asyncio.to_thread(control.ask, name, {"verb": "status"})
    return answer["feeds"][0]["connections"]


def is_streaming(link: dict[str, Any]) -> bool:
    return [each["phase"] for each in link["sockets"]] == ["streaming"]


async def until_streaming(name: str, age_s: float = 0) -> None:
    while True:
        each = await links(name)
        if all(map(is_streaming, each)) and min(one["sockets"][0]["age_s"] for one in each) >= age_s:
            return
        await asyncio.sleep(0.01)


async def until_settled(name: str) -> None:
    """Each side has streamed so long that its books are in step."""
    await until_streaming(name, 3)


@contextlib.asynccontextmanager
async def feed(
    name: str, folder: Path, gates: int, **options: Any
) -> AsyncIterator[tuple[fastfeed.Bus, list[Gate], fastfeed.Reader]]:
    """A feed of two connections to one simulated venue behind gates, when both stream and the book is live."""
    async with contextlib.AsyncExitStack() as stack:
        knobs = Knobs(levels=20, rate=100, symbols=1, late_ack=0.0)
        sim = await stack.enter_async_context(Simulator(["binance"], knobs=knobs))
        served = sim.endpoints["binance"]
        port = int(served["ws"]["spot"].rpartition(":")[2])
        made = [await stack.enter_async_context(Gate(port)) for _ in range(gates)]
        urls = [gate.url for gate in made]
        ws = {**served["ws"], "spot": urls if gates > 1 else urls[0]}
        path = write_config(folder, name, {**served, "ws": ws}, [SYMBOL], connections=2, options=options)
        stop = asyncio.Event()
        running = asyncio.create_task(serve(load_config(path), stop))
        await until(lambda: running.done() or (folder / "shm" / f"fastfeed.{name}.data").exists())
        bus = fastfeed.open(name)
        reader = bus.reader(start="oldest")
        await until(lambda: running.done() or bus.instruments)
        await until(lambda: running.done() or bus.book(BOOK).state is BookState.LIVE)
        await until_streaming(name)
        yield bus, made, reader
        stop.set()
        await running


def lines_of(gate: Gate) -> list[Line]:
    return [line for line in gate.lines if line.is_open]


def lost_nothing(events: list[Any]) -> None:
    """The book was live from its first moment to the last, and no trade is missing or there twice."""
    told = [each.reason for each in events if each.kind == "status" and each.name == BOOK and each.health is None]
    assert told == ["snapshot"]
    trades = [each.trade_id for each in events if each.kind == "trade"]
    assert trades == list(range(trades[0], trades[0] + len(trades)))


def test_each_copy_has_its_url_and_one_that_is_gone_does_not_shut_the_other(shm, tmp_path):
    async def main() -> None:
        async with feed("urls", tmp_path, 2) as (_, (one, two), reader):
            assert [len(lines_of(gate)) for gate in (one, two)] == [1, 1]
            assert [each["url"] for each in await links("urls")] == [f"{each.url}/stream" for each in (one, two)]
            await until_settled("urls")
            stays = two.lines[0]
            one.refuses = True
            one.reset()
            while (await links("urls"))[0]["endpoint"] == "closed":
                await asyncio.sleep(0.01)
            gone, there = await links("urls")
            assert (gone["sockets"] == [] or not is_streaming(gone), there["endpoint"]) == (True, "closed")
            assert is_streaming(there)
            passed = stays.passed
            await until(lambda: stays.passed > passed + 10_000)
            one.heal()
            await until_streaming("urls")
            assert (two.lines, two.accepted) == ([stays], 1)
            lost_nothing(reader.poll(1_000_000))

    run(main())


@pytest.mark.parametrize("gates", [1, 2], ids=["one-url", "two-urls"])
def test_each_copy_leaves_from_its_address_and_comes_back_from_it(gates, shm, tmp_path):
    async def main() -> None:
        async with feed("local", tmp_path, gates, local_addresses=ADDRESSES) as (_, made, reader):
            assert [each["local"] for each in await links("local")] == ADDRESSES
            first = [gate.taken[:] for gate in made]
            assert sorted(each for taken in first for each in taken) == ADDRESSES
            if gates == 2:
                assert first == [[each] for each in ADDRESSES]
            for number, address in enumerate(ADDRESSES):
                gate = made[number % gates]
                await until_settled("local")  # a side is in step all the time
                gate.line_from(address).reset()
                await until(lambda gate=gate, address=address: gate.taken.count(address) == 2)
                await until_streaming("local")
            assert sorted(each for gate in made for each in gate.taken) == sorted(2 * ADDRESSES)
            lost_nothing(reader.poll(1_000_000))

    run(main())


def test_who_was_first_and_by_how_much_is_in_the_status_of_each_connection(shm, tmp_path):
    async def main() -> None:
        async with feed("race", tmp_path, 2) as (bus, (slow, _), _reader):
            slow.lines[0].delay(0.05)

            def rows() -> list[dict[str, Any]]:
                return sorted(describe(bus)["connections"], key=lambda row: row["label"])

            before = rows()
            await until(lambda: rows()[1]["leads"] > before[1]["leads"] + 20)
            late, early = rows()
            assert late["losses"] > before[0]["losses"]
            assert early["wins"] >= early["leads"] > 0
            assert early["lead_sum"] >= early["lead_max"] >= 50_000_000 > 0

    run(main())


def test_an_address_that_is_not_of_this_machine_is_refused_before_anything_is_connected():
    text = f"""
[bus]
name = "b"
[[feed]]
venue = "binance"
instruments = ["{SYMBOL}"]
channels = ["book"]
connections = 2
local_addresses = ["127.0.0.1", "{FOREIGN}"]
"""
    with pytest.raises(ConfigError) as caught:
        find_way(read_config(text), 0)
    assert caught.value.path == "feed[0].local_addresses[1]"
    assert caught.value.expected == "an IP address of this machine"
    assert caught.value.was is not None
    assert caught.value.was.startswith(f"'{FOREIGN}': ")


@pytest.mark.parametrize("address", [FOREIGN, "::1"], ids=["foreign", "family"])
def test_an_attempt_that_cannot_leave_from_its_address_says_from_where(address):
    async def main() -> None:
        server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        async with Network() as network:
            with pytest.raises(Unreachable) as caught:
                await network.open(WSListener, url, {}, address)
        assert str(caught.value).endswith(f" (from {address})")
        server.close()

    run(main())
