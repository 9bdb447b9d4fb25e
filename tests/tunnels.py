"""Proxies on loopback, of two kinds, that note who came through them; and ones that refuse."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
import struct
from types import TracebackType
from urllib.parse import urlsplit

LOGIN = ("us er@", "p:ss/w%rd")  # all that a URL must quote


class Refusal(Exception):
    """What the proxy says instead of doing what it was asked."""


class Tunnel:
    """A proxy; used inside of `async with`.

    Parameters
    ----------
    kind : "http" or "socks5"
    login : user and password that it asks for
    refuse : "reset" cuts each client off, a number is the status (or SOCKS reply) that each gets
    """

    def __init__(self, kind: str, login: tuple[str, str] | None = None, refuse: str | int | None = None) -> None:
        self.kind = kind
        self.refuse = refuse
        self.targets: list[tuple[str, int]] = []
        self.asked = 0
        self._login = login
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Tunnel:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Cut off all that came through."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            if self.refuse == "reset":
                await reader.read(1)
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                writer.transport.abort()
                return
            await (self._http(reader, writer) if self.kind == "http" else self._socks(reader, writer))
        except (Refusal, OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            writer.close()

    async def _http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        status = self.refuse
        if self._login is not None:
            wanted = "Basic " + base64.b64encode(":".join(self._login).encode()).decode()
            status = status if headers.get("proxy-authorization") == wanted else 407
        if status is not None:
            writer.write(f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
            await writer.drain()
            raise Refusal(status)
        method, target, _ = first.split(" ")
        if method == "CONNECT":
            host, _, port = target.rpartition(":")
            peer = await self._reach(host, int(port))
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:  # a request of plain http is passed on
            url = urlsplit(target)
            assert url.hostname is not None
            peer = await self._reach(url.hostname, url.port or 80)
            path = url.path + (f"?{url.query}" if url.query else "")
            kept = [line for line in lines if not line.lower().startswith("proxy-")]
            peer[1].write("\r\n".join([f"{method} {path} HTTP/1.1", *kept]).encode("latin-1"))
        await self._join((reader, writer), peer)

    async def _socks(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        version, count = await reader.readexactly(2)
        methods = await reader.readexactly(count)
        wanted = 0 if self._login is None else 2
        if version != 5 or wanted not in methods:
            writer.write(b"\x05\xff")
            raise Refusal("method")
        writer.write(bytes([5, wanted]))
        if self._login is not None:
            await reader.readexactly(1)
            given = [(await reader.readexactly((await reader.readexactly(1))[0])).decode() for _ in range(2)]
            good = tuple(given) == self._login
            writer.write(bytes([1, 0 if good else 1]))
            if not good:
                raise Refusal("login")
        _, _, _, kind = await reader.readexactly(4)
        if kind == 1:
            host = socket.inet_ntoa(await reader.readexactly(4))
        else:
            host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        (port,) = struct.unpack("!H", await reader.readexactly(2))
        if self.refuse is not None:
            writer.write(bytes([5, int(self.refuse), 0, 1]) + bytes(6))
            raise Refusal(self.refuse)
        peer = await self._reach(host, port)
        writer.write(b"\x05\x00\x00\x01" + bytes(6))
        await self._join((reader, writer), peer)

    async def _reach(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        self.targets.append((host, port))
        return await asyncio.open_connection(host, port)

    async def _join(
        self,
        one: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        other: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        try:
            await asyncio.gather(pipe(one[0], other[1]), pipe(other[0], one[1]))
        finally:
            other[1].close()


async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on what comes until it ends."""
    with contextlib.suppress(OSError):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    with contextlib.suppress(OSError, RuntimeError):
        writer.write_eof() if writer.can_write_eof() else writer.close()
