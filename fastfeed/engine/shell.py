"""Carry out what one venue's protocol asks for: open and close sockets, send, request; tell it what happened.

The protocol decides, this obeys: nothing here knows a rule of a venue.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any

from fastfeed.attempt import Connection
from fastfeed.calls import Request
from fastfeed.engine.network import Network, Reply, Unreachable
from fastfeed.protocol import Protocol
from fastfeed_core.session import Session

__all__ = ["Shell"]

_log = logging.getLogger(__name__)

_OPEN_S = 20.0  # for all of it: the system alone would wait minutes for an address that does not answer
_REQUEST_S = 15.0


class Shell:
    """One protocol's sockets and requests.

    Parameters
    ----------
    attend : called when a receive path has something for a protocol: the engine asks all of them
    flush : publishes what was written to the bus: whatever happened, readers learn of it now
    network : the way to the venue
    """

    def __init__(
        self,
        protocol: Protocol,
        attend: Callable[[], None],
        flush: Callable[[], None],
        network: Network,
    ) -> None:
        self.protocol = protocol
        self._attend = attend
        self._flush = flush
        self._network = network
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
                await self._network.open(
                    lambda: Session(self, connection.id), connection.url, connection.headers, connection.local
                )
        except Exception as error:  # whatever went wrong, it was an attempt, and the next one is due
            self._opening.discard(connection.id)
            reason = str(error) if isinstance(error, Unreachable) else f"{type(error).__name__}: {error}"
            self.protocol.disconnected(connection.id, time.time_ns(), reason)
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
        try:
            reply = await self._network.request(request.method, request.url, request.headers, request.body, _REQUEST_S)
        except Unreachable as error:
            reply = Reply(0, {}, str(error).encode())
        self.protocol.reply(request, reply.body, reply.status, reply.headers, time.time_ns())
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
