"""The proxy does to connections what it says, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest
import uvloop
from chaos.proxy import Line, Proxy

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def run(main: Coroutine[Any, Any, None]) -> None:
    uvloop.run(asyncio.wait_for(main, 60))


class Target:
    """A server that notes what comes, and whose end of each connection the test holds."""

    def __init__(self) -> None:
        self.ends: list[Ends] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.ends.append((reader, writer))


@contextlib.asynccontextmanager
async def connected() -> AsyncIterator[tuple[Proxy, Line, Ends, Ends]]:
    """A proxy, its one line, the client's end and the server's."""
    target = Target()
    server = await asyncio.start_server(target.serve, "127.0.0.1", 0)
    async with Proxy(server.sockets[0].getsockname()[1]) as proxy:
        client = await asyncio.open_connection("127.0.0.1", proxy.port)
        while not target.ends or not proxy.lines:
            await asyncio.sleep(0.001)
        try:
            yield proxy, proxy.lines[0], client, target.ends[0]
        finally:
            for _, writer in (client, *target.ends):
                writer.transport.abort()
            server.close()
            await asyncio.sleep(0)


async def is_silent(reader: asyncio.StreamReader) -> bool:
    """True if nothing comes, and no end, for a moment."""
    try:
        async with asyncio.timeout(0.1):
            await reader.read(1)
    except TimeoutError:
        return True
    return False


def test_what_comes_is_passed_on_both_ways_and_the_end_too():
    async def main() -> None:
        async with connected() as (proxy, line, client, server):
            client[1].write(b"to the server")
            server[1].write(b"x" * 300_000)
            assert await server[0].readexactly(13) == b"to the server"
            assert await client[0].readexactly(300_000) == b"x" * 300_000
            assert line.passed == 300_013
            server[1].close()
            assert await client[0].read() == b""
            while proxy.lines:
                await asyncio.sleep(0.001)

    run(main())


def test_a_half_open_connection_says_nothing_any_more():
    async def main() -> None:
        async with connected() as (proxy, line, client, server):
            line.swallow()
            server[1].write(b"lost")
            client[1].write(b"lost")
            assert await is_silent(client[0])
            assert await is_silent(server[0])
            server[1].close()  # a venue that is gone: the client is not told
            assert await is_silent(client[0])
            proxy.heal()
            with pytest.raises(ConnectionResetError):
                await client[0].read()

    run(main())


def test_a_reset_is_told_as_one():
    async def main() -> None:
        async with connected() as (_, line, client, server):
            line.reset()
            for reader, _ in (client, server):
                with pytest.raises(ConnectionResetError):
                    await reader.read()

    run(main())


def test_a_frame_is_cut_in_its_middle():
    async def main() -> None:
        async with connected() as (_, line, client, server):
            line.close_mid_frame()
            client[1].write(b"whole")
            assert await server[0].readexactly(5) == b"whole"  # only what the client gets is cut
            server[1].write(b"abcdefgh")
            got = await client[0].read()
            assert len(got) < 8
            assert b"abcdefgh".startswith(got)

    run(main())


@pytest.mark.parametrize("size", [1, 3])
def test_bytes_trickle(size):
    async def main() -> None:
        async with connected() as (_, line, client, server):
            line.trickle(size)
            server[1].write(bytes(range(100)))
            pieces = []
            while sum(map(len, pieces)) < 100:
                pieces.append(await client[0].read(100))
            assert b"".join(pieces) == bytes(range(100))
            assert max(map(len, pieces)) == size

    run(main())


def test_a_delay_and_a_limit_take_their_time():
    async def main() -> None:
        async with connected() as (_, line, client, server):
            line.delay(0.05)
            begun = time.monotonic()
            server[1].write(b"late")
            assert await client[0].readexactly(4) == b"late"
            assert time.monotonic() - begun >= 0.045  # uvloop counts whole milliseconds
            line.limit(10_000)
            begun = time.monotonic()
            server[1].write(bytes(1000))
            await client[0].readexactly(1000)
            assert time.monotonic() - begun >= 0.07
            line.treatment = None
            server[1].write(b"soon")
            assert await client[0].readexactly(4) == b"soon"

    run(main())


def test_connections_are_accepted_and_dropped():
    async def main() -> None:
        async with connected() as (proxy, *_):
            proxy.refuses = True
            reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            with pytest.raises(ConnectionResetError):
                await reader.read()
            assert (proxy.accepted, len(proxy.lines)) == (2, 1)
            writer.close()
            proxy.heal()
            _, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            while len(proxy.lines) < 2:
                await asyncio.sleep(0.001)
            writer.close()

    run(main())


def test_those_to_come_are_treated_and_the_seed_picks():
    async def main() -> None:
        async with connected() as (proxy, line, *_):
            proxy.treatment = (0.0, 1, 0.0)
            _, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
            while len(proxy.lines) < 2:
                await asyncio.sleep(0.001)
            assert (line.treatment, proxy.lines[1].treatment) == (None, (0.0, 1, 0.0))
            assert {proxy.pick().number for _ in range(50)} == {1, 2}
            proxy.heal()
            assert proxy.lines[1].treatment is None
            writer.close()

    run(main())
