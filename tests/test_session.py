"""When the protocol looks at what a socket read brought."""

from __future__ import annotations

import asyncio
from typing import Any

import picows
import uvloop
from pipeline import Pipeline

from fastfeed.sim.frames import Frame, encode_output
from fastfeed_core.session import Session

ACK = b'{"result":null,"id":1}'
BROKEN = b"\x00not json {"


def trade(number: int) -> bytes:
    data = b'{"e":"trade","E":2,"s":"BTCUSDT","t":%d,"p":"1.00","q":"1.00","T":1,"m":true,"M":true}' % number
    return b'{"stream":"btcusdt@trade","data":%s}' % data


class Shell:
    """Notes, at each look, which frames wait for it and which trades are published by then."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.looks: list[tuple[int, int, list[int]]] = []
        self.ended = asyncio.Event()
        self._pipeline = pipeline

    def opened(self, session: Session) -> None:
        (session.connection,) = self._pipeline.connections
        session.send(b"go")

    def attend(self) -> None:
        (path,) = self._pipeline.connections
        trades = [each.trade_id for each in self._pipeline._events.poll(100) if each.kind == "trade"]
        self.looks.append((len(path.take_controls()), len(path.take_malformed()), trades))

    def closed(self, session: Session) -> None:
        self.ended.set()


def looks(*reads: list[bytes]) -> list[tuple[int, int, list[int]]]:
    """Send what is to come in one read each, and return what the protocol was shown."""

    class Venue(picows.WSListener):
        def on_ws_frame(self, transport: Any, frame: Any) -> None:
            self.sending = asyncio.get_running_loop().create_task(self.send(transport))

        async def send(self, transport: Any) -> None:
            sent = 0
            for read in reads:
                sent += len(read)
                transport.underlying_transport.write(b"".join(encode_output(Frame(each)) for each in read))
                while pipeline.map.connections()[0]["frames"] < sent:
                    await asyncio.sleep(0.001)
            transport.disconnect(False)

    async def main() -> None:
        server = await picows.ws_create_server(lambda request: Venue(), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        await picows.ws_connect(lambda: Session(shell, 1), f"ws://127.0.0.1:{port}/", enable_auto_pong=False)
        await shell.ended.wait()
        server.close()

    pipeline = Pipeline()
    shell = Shell(pipeline)
    uvloop.run(asyncio.wait_for(main(), 60))
    return shell.looks


def test_the_protocol_looks_once_when_all_of_a_read_is_published():
    assert looks([trade(1), BROKEN, trade(2), BROKEN, trade(3)]) == [(0, 2, [1, 2, 3])]


def test_what_needs_a_look_does_not_wait_for_the_next_read():
    assert looks([trade(1)], [trade(2), BROKEN], [trade(3)], [BROKEN]) == [(0, 1, [1, 2]), (0, 1, [3])]


def test_an_answer_is_looked_at_before_what_is_behind_it():
    assert looks([trade(1), BROKEN, ACK, trade(2)], [trade(3)]) == [(1, 1, [1])]
