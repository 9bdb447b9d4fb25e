"""The control socket of a feed: who may ask, how much, and how long it may take; what is asked for, `Changes` does.

Whoever connects can only cost himself: a line has a longest size and a time to come in, an answer a time to be read,
and there are few places. Requests are read on the feed's own loop, a line at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import stat
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from fastfeed.control import LINE_BYTES, peer_uid, reachable, socket_path
from fastfeed.engine.changes import Changes, Verb
from fastfeed.errors import FastfeedError

__all__ = ["Control", "listen", "open_control"]

_log = logging.getLogger(__name__)

_CLIENTS = 8
_BACKLOG = 64  # more that come at once wait for their turn
_LINE_S = 10.0  # for a line to come in
_SEND_S = 10.0  # for an answer to be taken
_PAUSE_S = 1.0  # after an error of accept: too many open files, most likely


def listen(name: str) -> socket.socket:
    """Return the listening socket of a bus; what a dead feed left in its place is replaced.

    Raises
    ------
    OSError : somebody listens there (EADDRINUSE), something else has that name, or the folder cannot be written
    """
    where = socket_path(name)
    found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        # Before bind, so that at no moment another user could connect; behind it, the name could be another one's link.
        os.fchmod(found.fileno(), 0o600)
        with reachable(where) as address:
            _remove_stale(where, address)
            found.bind(address)
        found.listen(_BACKLOG)
    except BaseException:
        found.close()
        raise
    return found


def _remove_stale(where: str, address: str) -> None:
    """Remove a socket that nobody listens on any more; bind refuses whatever else is there."""
    try:
        status = os.lstat(where)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode) or status.st_uid != os.geteuid():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        try:
            probe.connect(address)
        except ConnectionRefusedError:
            os.unlink(where)
        except BlockingIOError:
            pass  # so many wait to be let in that somebody must listen


@contextlib.asynccontextmanager
async def open_control(name: str, changes: Changes, stop: asyncio.Event) -> AsyncIterator[None]:
    """Serve the control socket of a bus; without one, a feed is as good as ever, and says what was in the way."""
    try:
        found = listen(name)
    except OSError as error:
        _log.error("no control socket path=%s error=%s", socket_path(name), error.strerror or error)
        yield
        return
    control = Control(found, changes, stop)
    serving = asyncio.create_task(control.serve())
    try:
        yield
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        await control.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(socket_path(name))


class Control:
    """The listening socket and its clients.

    Parameters
    ----------
    listening : non-blocking
    stop : set at the verb `stop`
    """

    def __init__(self, listening: socket.socket, changes: Changes, stop: asyncio.Event) -> None:
        self._listening = listening
        self._changes = changes
        self._stop = stop
        self._clients: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        """Let clients in until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                client, _ = await loop.sock_accept(self._listening)
            except OSError as error:
                _log.warning("control socket error=%s", error.strerror or error)
                await asyncio.sleep(_PAUSE_S)
                continue
            if peer_uid(client) != os.geteuid():
                _log.warning("control refused uid=%d", peer_uid(client))
                client.close()
            elif len(self._clients) >= _CLIENTS:
                with contextlib.suppress(OSError):
                    client.send(_failure(f"busy: {_CLIENTS} others are connected"))
                client.close()
            else:
                task = loop.create_task(self._talk(client))
                self._clients.add(task)
                task.add_done_callback(self._clients.discard)

    async def close(self) -> None:
        """Send every client away."""
        self._listening.close()
        tasks = list(self._clients)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _talk(self, client: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        buffer = bytearray()
        with client, contextlib.suppress(OSError):  # TimeoutError is one
            client.setblocking(False)
            while not self._stop.is_set():
                async with asyncio.timeout(_LINE_S):
                    while b"\n" not in buffer and len(buffer) <= LINE_BYTES:
                        part = await loop.sock_recv(client, 4096)
                        if not part:
                            return
                        buffer += part
                line, found, rest = buffer.partition(b"\n")
                if not found or len(line) > LINE_BYTES:
                    await self._send(client, _failure(f"a request has at most {LINE_BYTES} bytes"))
                    return
                buffer = rest
                verb, answer = await self._answer(bytes(line))
                try:
                    await self._send(client, answer)
                finally:  # also if the client does not wait for the answer
                    if verb is not None and verb.stops:
                        self._stop.set()

    async def _answer(self, line: bytes) -> tuple[Verb | None, bytes]:
        """Do what a line asks for; whatever goes wrong is the answer."""
        try:
            verb = msgspec.json.decode(line, type=Verb)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return None, _failure(f"not a request: {error}")
        try:
            result = await self._changes.do(verb)
        except FastfeedError as error:
            return None, _failure(str(error))
        except Exception as error:
            _log.exception("request failed verb=%s", verb.verb)
            return None, _failure(f"{type(error).__name__}: {error}")
        return verb, _line({"ok": True, "result": result})

    async def _send(self, client: socket.socket, answer: bytes) -> None:
        async with asyncio.timeout(_SEND_S):
            await asyncio.get_running_loop().sock_sendall(client, answer)


def _failure(reason: str) -> bytes:
    return _line({"ok": False, "error": reason})


def _line(answer: dict[str, Any]) -> bytes:
    return msgspec.json.encode(answer) + b"\n"
