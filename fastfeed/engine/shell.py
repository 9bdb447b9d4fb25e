"""Carry out what one venue's protocol asks for: open and close sockets, send, request; tell it what happened.

The protocol decides, this obeys: nothing here knows a rule of a venue.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from ssl import SSLContext
from typing import Any

import aiohttp
import picows

from fastfeed.attempt import Connection
from fastfeed.calls import Request
from fastfeed.protocol import Protocol
from fastfeed_core.session import Session

__all__ = ["Shell"]

_log = logging.getLogger(__name__)

_HANDSHAKE_S = 10.0
_OPEN_S = 20.0  # for all of it: the system alone would wait minutes for an address that does not answer
_REQUEST_S = 15.0
_MAX_FRAME = 16 << 20


class Shell:
    """One protocol's sockets and requests.

    Parameters
    ----------
    attend : called when a receive path has something for a protocol: the engine asks all of them
    flush : publishes what was written to the bus: whatever happened, readers learn of it now
    http : session for REST calls
    ssl : for wss; None: the system's authorities
    """

    def __init__(
        self,
        protocol: Protocol,
        attend: Callable[[], None],
        flush: Callable[[], None],
        http: aiohttp.ClientSession,
        ssl: SSLContext | None,
    ) -> None:
        self.protocol = protocol
        self._attend = attend
        self._flush = flush
        self._http = http
        self._ssl = ssl
        self._sessions: dict[int, Session] = {}
        self._opening: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False

    def carry_out(self) -> None:
        """Do what the protocol wants done now."""
        self._flush()
        if self._stopping:
            return
        wanted = {each.id: each for each in self.protocol.connections}
        for key, session in list(self._sessions.items()):
            if key not in wanted:
                del self._sessions[key]
                session.disconnect(False)
        for key, connection in wanted.items():
            if key not in self._sessions and key not in self._opening:
                self._opening.add(key)
                self._spawn(self._open(connection))
        sends = self.protocol.sends
        while sends:
            key, payload = sends.popleft()
            if key in self._sessions:
                self._sessions[key].send(payload)
        pings = self.protocol.pings
        while pings:
            key = pings.popleft()
            if key in self._sessions:
                self._sessions[key].ping()
        requests = self.protocol.requests
        while requests:
            self._spawn(self._request(requests.popleft()))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _open(self, connection: Connection) -> None:
        try:
            async with asyncio.timeout(_OPEN_S):
                await picows.ws_connect(
                    lambda: Session(self, connection.id),
                    connection.url,
                    ssl_context=self._ssl if connection.url.startswith("wss:") else None,
                    websocket_handshake_timeout=_HANDSHAKE_S,
                    # Pings are answered by the session, which counts them as signs of life.
                    enable_auto_pong=False,
                    max_frame_size=_MAX_FRAME,
                    extra_headers=connection.headers,
                )
        except Exception as error:  # whatever went wrong, it was an attempt, and the next one is due
            self._opening.discard(connection.id)
            self.protocol.disconnected(connection.id, time.time_ns(), f"{type(error).__name__}: {error}")
            self.carry_out()
        finally:
            self._opening.discard(connection.id)

    # ---- called by sessions

    def opened(self, session: Session) -> None:
        """A socket is open."""
        self._sessions[session.key] = session
        self._opening.discard(session.key)
        self.protocol.connected(session.key, time.time_ns())
        attempt = self.protocol.attempt(session.key)
        session.connection = None if attempt is None else attempt.path
        self.carry_out()

    def attend(self) -> None:
        """A receive path has something for a protocol."""
        self._attend()

    def closed(self, session: Session) -> None:
        """A socket is gone."""
        if self._sessions.pop(session.key, None) is None or self._stopping:
            return
        self.protocol.disconnected(session.key, time.time_ns(), _reason(session))
        self.carry_out()

    async def _request(self, request: Request) -> None:
        status, body, headers = 0, b"", {}
        try:
            async with self._http.request(
                request.method,
                request.url,
                headers=request.headers,
                data=request.body,
                ssl=self._ssl if self._ssl is not None else True,
                timeout=aiohttp.ClientTimeout(total=_REQUEST_S),
            ) as reply:
                body = await reply.read()
                status, headers = reply.status, dict(reply.headers)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            body = f"{type(error).__name__}: {error}".encode()
        self.protocol.reply(request, body, status, headers, time.time_ns())
        self.carry_out()

    async def stop(self) -> None:
        """Close all sockets and end all work."""
        self._stopping = True
        self.protocol.stop(time.time_ns())
        for session in self._sessions.values():
            session.disconnect(True)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _reason(session: Session) -> str:
    handshake = session.transport.close_handshake
    if handshake is None or handshake.recv is None:
        return "connection lost"
    code: Any = handshake.recv.code  # an IntEnum, which its stub does not say
    return f"closed by the venue: {int(code)} {handshake.recv.reason or ''}".strip()
