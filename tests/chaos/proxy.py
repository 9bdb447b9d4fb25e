"""A TCP proxy that passes connections on to a target, and mistreats them as it is told.

Nothing happens by itself: methods of a `Line`, one connection, strike that one; those of the `Proxy` hold for
connections that are made from then on, or strike all that are open. All randomness comes of the seed.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from random import Random
from types import TracebackType

_PIECE = 65536
_TURN_S = 0.01  # how often a line that is limited is given its share


class Line:
    """One connection through the proxy: what comes from either end goes to the other, treated.

    `treatment` is (delay in s, bytes a piece, pause after each in s), None for none.
    """

    def __init__(self, number: int, near: asyncio.StreamWriter, far: asyncio.StreamWriter, random: Random) -> None:
        self.number = number
        self.is_open = True
        self.is_swallowing = False
        self.passed = 0  # bytes
        self.treatment: tuple[float, int, float] | None = None
        self._ends = (near, far)
        self._random = random
        self._cut_next = False

    def delay(self, seconds: float) -> None:
        """Pass each piece on later."""
        self.treatment = (seconds, _PIECE, 0.0)

    def trickle(self, size: int, pause_s: float = 0.0) -> None:
        """Pass on `size` bytes a time, so that the other end reads no more at once."""
        self.treatment = (0.0, size, pause_s)

    def limit(self, bytes_per_s: int) -> None:
        """Pass on no more bytes a second."""
        self.treatment = (0.0, max(1, int(bytes_per_s * _TURN_S)), _TURN_S)

    def swallow(self) -> None:
        """Leave the connection half-open: nothing is passed on any more, also not its end, and nobody is told."""
        self.is_swallowing = True

    def close_mid_frame(self) -> None:
        """Pass on a part of the next piece that comes for the client, then close in good order."""
        self._cut_next = True

    def close(self) -> None:
        """Close both ends in good order."""
        self.is_open = False
        for end in self._ends:
            end.close()

    def reset(self) -> None:
        """Cut both ends off: they are told by a reset."""
        self.is_open = False
        for end in self._ends:
            reset(end)

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, for_client: bool) -> None:
        """Pass on what comes from one end until it ends."""
        with contextlib.suppress(OSError):
            while piece := await reader.read(_PIECE):
                if self.is_swallowing:
                    continue
                if for_client and self._cut_next:
                    writer.write(piece[: self._random.randrange(len(piece))])
                    self.close()
                    return
                await self._pass(piece, writer)
        if not self.is_swallowing:
            self.close()

    async def _pass(self, piece: bytes, writer: asyncio.StreamWriter) -> None:
        at = 0
        while at < len(piece) and self.is_open and not self.is_swallowing:
            treatment = self.treatment
            if treatment is None:
                part, pause = piece[at:], None
            else:
                delay, size, pause = treatment
                if delay:
                    await asyncio.sleep(delay)
                part = piece[at : at + size]
            writer.write(part)
            await writer.drain()
            at += len(part)
            self.passed += len(part)
            if pause is not None:
                await asyncio.sleep(pause)  # also for 0: the other end reads before more is there


class Proxy:
    """Listens on loopback in front of a target; used inside of `async with`."""

    def __init__(self, port: int, host: str = "127.0.0.1", seed: int = 7) -> None:
        self.accepted = 0
        self.refuses = False  # connections are accepted and dropped at once
        self.treatment: tuple[float, int, float] | None = None  # of connections to come
        self._target = (host, port)
        self._random = Random(seed)
        self._lines: dict[int, Line] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def lines(self) -> list[Line]:
        """The open connections, oldest first."""
        return list(self._lines.values())

    def pick(self) -> Line | None:
        """Return one of the open connections by chance; None if there is none."""
        return self._random.choice(self.lines) if self._lines else None

    def reset(self) -> None:
        """Cut all connections off."""
        for line in self.lines:
            line.reset()

    def heal(self) -> None:
        """Treat nothing any more; connections that swallowed something cannot go on, and are cut off."""
        self.refuses = False
        self.treatment = None
        for line in self.lines:
            line.treatment = None
            if line.is_swallowing:
                line.reset()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        number = self.accepted
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        far: asyncio.StreamWriter | None = None
        try:
            if self.refuses:
                reset(writer)
                return
            back, far = await asyncio.open_connection(*self._target)
            for end in (writer, far):
                end.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            line = self._lines[number] = Line(number, writer, far, self._random)
            line.treatment = self.treatment
            await asyncio.gather(line.pump(reader, far, False), line.pump(back, writer, True))
        except (OSError, asyncio.CancelledError):
            pass  # the target is gone, or the test is over; the task's end is nobody's news
        finally:
            self._tasks.discard(task)
            self._lines.pop(number, None)
            for end in (writer, far):
                if end is not None:
                    end.close()


def reset(writer: asyncio.StreamWriter) -> None:
    """Close a connection so that the other end gets a reset."""
    with contextlib.suppress(OSError, ValueError):  # closed before; uvloop knows its descriptor as -1 then
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()
