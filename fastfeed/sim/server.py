"""The simulator on loopback sockets: a thin shell that moves bytes and the clock.

Each endpoint of a venue has a port for WebSocket (picows) and one for REST (aiohttp). Before each input the clock is
moved, so that a reply speaks of now. Outputs of one turn are written to a connection in one piece.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from types import TracebackType
from typing import Any

from aiohttp import web
from picows import (
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
    ws_create_server,
)

from fastfeed.sim.frames import Abort, Close, encode_output
from fastfeed.sim.interface import Reply, Session
from fastfeed.sim.simulator import Connection, Simulator

# Connections have timers that `next_due` does not know; this is how late they may be.
MAX_SLEEP_S = 0.02

# Above the high mark a client counts as not reading: a replay at full speed waits, a market goes on.
HIGH_WATER_BYTES = 1 << 20

# A client that a live market has overtaken by this much is cut off, as venues do.
MAX_BUFFERED_BYTES = 64 << 20


class Server:
    """Serves a simulator inside `async with`.

    Parameters
    ----------
    host : to listen on, loopback unless given.
    port : the first of consecutive ports; 0 takes free ones.
    tls : the server's side of TLS, None for plain sockets.
    """

    def __init__(
        self, sim: Simulator, *, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        self.endpoints: dict[str, dict[str, object]] = {}
        self._sim = sim
        self._host = host
        self._port = port
        self._tls = tls
        self._wake = asyncio.Event()
        self._clock: asyncio.Task[None] | None = None
        self._stack = contextlib.AsyncExitStack()
        self._peers: dict[Connection, _Peer] = {}

    async def __aenter__(self) -> Server:
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(self._abort_peers)
            for venue, profile in self._sim.profiles.items():
                ws = {name: await self._listen_ws(stack, venue, name) for name in profile.ws_endpoints}
                rest = {name: await self._listen_rest(stack, venue, name) for name in profile.rest_endpoints}
                names = [instrument.name for instrument in profile.instruments]
                self.endpoints[venue] = {"ws": ws, "rest": rest, "instruments": names}
            self._clock = asyncio.create_task(self._run_clock())
            stack.push_async_callback(_cancel, self._clock)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def serve(self, until: asyncio.Event) -> None:
        """Return when the event is set; raise what stopped the simulator if something did."""
        assert self._clock is not None
        waiting = asyncio.create_task(until.wait())
        await asyncio.wait((waiting, self._clock), return_when=asyncio.FIRST_COMPLETED)
        await _cancel(waiting)
        if self._clock.done():
            await self._clock

    def advance(self) -> None:
        """Move the simulator to the wall clock's time and send what came of it."""
        self._sim.advance(time.time_ns())
        self.flush()

    def flush(self) -> None:
        """Write the waiting outputs of all connections."""
        for connection, peer in tuple(self._peers.items()):
            peer.flush(connection)

    def wake(self) -> None:
        """Let the clock look again at what is due, because an input may have changed it."""
        self._wake.set()

    def add(self, connection: Connection, peer: _Peer) -> None:
        """Take up a connection whose handshake is done."""
        self._peers[connection] = peer

    def remove(self, connection: Connection) -> None:
        """Forget a connection that was lost."""
        self._peers.pop(connection, None)
        connection.close()

    async def _run_clock(self) -> None:
        while True:
            self._wake.clear()
            self.advance()
            due = self._sim.next_due()
            delay = MAX_SLEEP_S if due is None else min(MAX_SLEEP_S, (due - time.time_ns()) / 1e9)
            if delay > 0:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), delay)
            else:
                await asyncio.sleep(0)

    async def _listen_ws(self, stack: contextlib.AsyncExitStack, venue: str, endpoint: str) -> str:
        def accept(request: WSUpgradeRequest) -> WSListener | WSUpgradeResponseWithListener:
            self.advance()
            session = self._sim.open_session(venue, endpoint, request.path.decode("latin-1"))
            if not isinstance(session, Reply):
                return _Peer(self, self._sim, venue, session)
            refusal = WSUpgradeResponse.create_error_response(session.status, session.body, session.headers)
            return WSUpgradeResponseWithListener(refusal, None)

        server = await ws_create_server(
            accept, self._host, self._next_port(), enable_auto_pong=False, ssl=self._tls, disconnect_on_exception=True
        )
        stack.callback(server.close)
        port = server.sockets[0].getsockname()[1]
        return f"{'ws' if self._tls is None else 'wss'}://{self._host}:{port}"

    async def _listen_rest(self, stack: contextlib.AsyncExitStack, venue: str, endpoint: str) -> str:
        async def answer(request: web.Request) -> web.Response:
            body = await request.read()
            self.advance()
            reply = self._sim.request(venue, endpoint, request.raw_path, request.method, body)
            await asyncio.sleep(self._sim.lateness(request.raw_path))
            return web.Response(status=reply.status, body=reply.body, headers=reply.headers)

        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, self._host, self._next_port(), ssl_context=self._tls).start()
        port = runner.addresses[0][1]
        return f"{'http' if self._tls is None else 'https'}://{self._host}:{port}"

    def _next_port(self) -> int:
        port = self._port
        self._port += 1 if port else 0
        return port

    def _abort_peers(self) -> None:
        for peer in tuple(self._peers.values()):
            peer.abort()


class _Peer(WSListener):
    """One socket and the connection that it belongs to."""

    def __init__(self, server: Server, sim: Simulator, venue: str, session: Session) -> None:
        super().__init__()
        self._server = server
        self._sim = sim
        self._venue = venue
        self._session = session
        self._connection: Connection | None = None
        self._transport: WSTransport | None = None

    def on_ws_connected(self, transport: WSTransport) -> None:
        transport.underlying_transport.set_write_buffer_limits(high=HIGH_WATER_BYTES)
        self._transport = transport
        self._connection = self._sim.attach(self._venue, self._session)
        self._connection.takes_framed = True
        self._server.add(self._connection, self)
        self._server.wake()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        connection = self._connection
        assert connection is not None
        self._server.advance()
        match frame.msg_type:
            case WSMsgType.TEXT | WSMsgType.BINARY:
                connection.receive(frame.get_payload_as_bytes())
            case WSMsgType.PING:
                connection.ping(frame.get_payload_as_bytes())
            case WSMsgType.PONG:
                connection.pong(frame.get_payload_as_bytes())
            case WSMsgType.CLOSE:
                transport.send_close(frame.get_close_code())
                transport.disconnect()
                return
        self.flush(connection)
        self._server.wake()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        if self._connection is not None:
            self._server.remove(self._connection)

    def pause_writing(self) -> None:
        if self._connection is not None:
            self._connection.is_writable = False

    def resume_writing(self) -> None:
        if self._connection is not None:
            self._connection.is_writable = True
            self._server.wake()

    def flush(self, connection: Connection) -> None:
        """Write what waits for this client; close or cut the connection if that is what was sent."""
        outputs = connection.take()
        if not outputs or self._transport is None:
            return
        transport = self._transport.underlying_transport
        transport.write(b"".join(map(encode_output, outputs)))
        if isinstance(outputs[-1], Close):
            transport.close()
        elif isinstance(outputs[-1], Abort) or transport.get_write_buffer_size() > MAX_BUFFERED_BYTES:
            transport.abort()

    def abort(self) -> None:
        """Cut the connection."""
        if self._transport is not None:
            self._transport.underlying_transport.abort()


async def _cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
