"""The simulator on sockets: real clients, TLS, and the command."""

import asyncio
import gzip
import json
import os
import signal
import ssl
import subprocess
import sys
from pathlib import Path

import aiohttp
import picows
import pytest

from fastfeed.sim import Knobs, Simulator
from fastfeed.sim.server import Server
from fastfeed.sim.tls import LoopbackCertificate

TIMEOUT_S = 60
FAST = Knobs(levels=50, rate=200, symbols=2, late_ack=0.0)


def run(main) -> None:
    asyncio.run(asyncio.wait_for(main, TIMEOUT_S))


async def until(condition) -> None:
    while not condition():
        await asyncio.sleep(0.005)


async def next_text(ws: aiohttp.ClientWebSocketResponse) -> dict:
    message = await ws.receive()
    assert message.type is aiohttp.WSMsgType.TEXT, message
    return json.loads(message.data)


def test_a_client_subscribes_and_gets_books_that_chain():
    async def main():
        async with Simulator(["binance"], knobs=FAST) as sim, aiohttp.ClientSession() as http:
            urls = sim.endpoints["binance"]
            async with http.ws_connect(urls["ws"]["spot"] + "/stream") as ws:
                await ws.send_json({"method": "SUBSCRIBE", "params": ["btcusdt@depth@100ms"], "id": 1})
                assert await next_text(ws) == {"result": None, "id": 1}
                first = (await next_text(ws))["data"]
                async with http.get(urls["rest"]["spot"] + "/api/v3/depth?symbol=BTCUSDT&limit=5000") as reply:
                    assert reply.status == 200
                    assert int(reply.headers["X-MBX-USED-WEIGHT-1M"]) == 250
                    assert reply.content_type == "application/json"
                    assert (await reply.json())["lastUpdateId"] >= first["u"]
                second = (await next_text(ws))["data"]
                assert second["U"] == first["u"] + 1

    run(main())


def test_the_endpoints_name_the_instruments():
    async def main():
        async with Simulator(["binance"], knobs=FAST) as sim:
            assert sim.endpoints["binance"]["instruments"][:2] == ["BTC/USDT", "ETH/USDT"]
            assert set(sim.endpoints["binance"]["ws"]) == set(sim.endpoints["binance"]["rest"]) == {"spot", "usdm"}

    run(main())


def test_a_slow_call_is_late_and_no_other_one_waits_for_it():
    knobs = Knobs(levels=50, symbols=2, slow={"symbol=BTCUSDT": 3600.0, "BTC": 0.0})

    async def main():
        async with Simulator(["binance"], knobs=knobs) as sim, aiohttp.ClientSession() as http:
            depth = sim.endpoints["binance"]["rest"]["spot"] + "/api/v3/depth?limit=100&symbol="
            asked, request = [], sim.request
            sim.request = lambda *call: asked.append(call[2]) or request(*call)
            late = asyncio.create_task(http.get(depth + "BTCUSDT"))
            await until(lambda: asked)
            async with http.get(depth + "ETHUSDT") as reply:
                assert reply.status == 200
            assert not late.done()
            late.cancel()

    run(main())


def test_a_refused_upgrade_has_its_status():
    async def main():
        async with Simulator(["binance"], knobs=FAST) as sim, aiohttp.ClientSession() as http:
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await http.ws_connect(sim.endpoints["binance"]["ws"]["spot"] + "/nowhere")
            assert caught.value.status == 404
            assert sim.connections == []

    run(main())


def test_the_venue_pings_and_closes_a_client_that_does_not_answer():
    knobs = Knobs(levels=20, symbols=1, ping_interval_s=0.05, pong_timeout_s=0.1)

    async def main():
        async with Simulator(["binance"], knobs=knobs) as sim, aiohttp.ClientSession() as http:
            url = sim.endpoints["binance"]["ws"]["spot"] + "/ws"
            async with http.ws_connect(url, autoping=False) as ws:
                message = await ws.receive()
                assert message.type is aiohttp.WSMsgType.PING
                assert message.data
                while message.type is aiohttp.WSMsgType.PING:
                    message = await ws.receive()
                assert (message.type, message.data, message.extra) == (aiohttp.WSMsgType.CLOSE, 1008, "Pong timeout")

    run(main())


def test_a_ping_of_the_client_is_answered():
    async def main():
        async with (
            Simulator(["binance"], knobs=FAST) as sim,
            aiohttp.ClientSession() as http,
            http.ws_connect(sim.endpoints["binance"]["ws"]["spot"] + "/ws", autoping=False) as ws,
        ):
            await ws.ping(b"hello")
            message = await ws.receive()
            assert (message.type, message.data) == (aiohttp.WSMsgType.PONG, b"hello")

    run(main())


def test_a_disconnect_has_no_close_frame():
    async def main():
        async with (
            Simulator(["binance"], knobs=FAST, faults="disconnect:@3") as sim,
            aiohttp.ClientSession() as http,
            http.ws_connect(sim.endpoints["binance"]["ws"]["spot"] + "/ws/btcusdt@depth@0ms") as ws,
        ):
            await next_text(ws)
            await next_text(ws)
            message = await ws.receive()
            assert message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
            assert ws.close_code == 1006
            assert sim.connections == []

    run(main())


def test_a_client_that_leaves_is_forgotten():
    async def main():
        async with Simulator(["binance"], knobs=FAST) as sim, aiohttp.ClientSession() as http:
            url = sim.endpoints["binance"]["ws"]["usdm"] + "/public/ws"
            async with http.ws_connect(url) as polite:
                assert len(sim.connections) == 1
                await polite.close()
            assert polite.close_code == 1000
            await until(lambda: not sim.connections)

    run(main())


def test_tls_serves_both_protocols():
    certificate = LoopbackCertificate()

    async def main():
        trusted = ssl.create_default_context(cafile=str(certificate.ca_path))
        sim = Simulator(["binance"], knobs=FAST)
        async with (
            Server(sim, tls=certificate.context) as server,
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusted)) as http,
        ):
            urls = server.endpoints["binance"]
            assert urls["ws"]["spot"].startswith("wss://127.0.0.1:")
            async with http.get(urls["rest"]["spot"] + "/api/v3/ping") as reply:
                assert await reply.json() == {}
            async with http.ws_connect(urls["ws"]["spot"] + "/ws/btcusdt@bookTicker") as ws:
                assert (await next_text(ws))["s"] == "BTCUSDT"

    try:
        run(main())
    finally:
        certificate.remove()
    assert not certificate.ca_path.exists()


# Replay


class Collector(picows.WSListener):
    """Keeps every text message of a connection."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[bytes] = []

    def on_ws_frame(self, transport, frame) -> None:
        if frame.msg_type == picows.WSMsgType.TEXT:
            self.messages.append(frame.get_payload_as_bytes())


@pytest.mark.parametrize(("product", "path"), [("spot", ""), ("usdm", "/public")])
def test_a_recording_reaches_a_client_whole_at_full_speed(product, path):
    if "FASTFEED_RECORDINGS" not in os.environ:
        pytest.skip("FASTFEED_RECORDINGS names no folder of recordings")
    folder = Path(os.environ["FASTFEED_RECORDINGS"]) / "binance_2024"
    with gzip.open(folder / f"{product}_btcusdt.jsonl.gz") as file:
        lines = [line.rstrip(b"\n").partition(b" ")[2] for line in file]
    expected = [line for line in lines if line.startswith(b'{"stream"')]
    streams = sorted({json.loads(line)["stream"] for line in expected})

    async def main():
        async with Simulator(["binance"], replay=folder, speed=None) as sim:
            url = f"{sim.endpoints['binance']['ws'][product]}{path}/stream?streams={'/'.join(streams)}"
            transport, collector = await picows.ws_connect(Collector, url)
            await until(lambda: len(collector.messages) >= len(expected))
            assert collector.messages == expected
            assert not transport.is_disconnected
            transport.disconnect()
            await transport.wait_disconnected()

    run(main())


def test_a_client_that_stops_reading_holds_a_replay(tmp_path):
    count = 40_000
    with gzip.open(tmp_path / "big.jsonl.gz", "wt", compresslevel=1) as file:
        for number in range(count):
            file.write(f'{number} {{"stream":"abcusdt@trade","data":{{"t":{number},"pad":"{"x" * 300}"}}}}\n')

    async def main():
        async with Simulator(["binance"], replay=tmp_path, speed=None) as sim:
            (timeline,) = sim.profiles["binance"].timelines
            url = f"{sim.endpoints['binance']['ws']['spot']}/stream?streams=abcusdt@trade"
            transport, collector = await picows.ws_connect(Collector, url)
            transport.underlying_transport.pause_reading()
            await until(lambda: sim.connections and not sim.connections[0].is_writable)
            assert 0 < timeline.cursor < count
            transport.underlying_transport.resume_reading()
            await until(lambda: len(collector.messages) == count)
            transport.disconnect()
            await transport.wait_disconnected()

    run(main())


# The command


def start(*arguments: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "fastfeed", "sim", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_the_command_prints_endpoints_serves_and_leaves_cleanly(stop):
    process = start("--venues", "binance", "--symbols", "2", "--levels", "20", "--tls")
    try:
        urls = json.loads(process.stdout.readline())["binance"]
        ca = Path(urls["ca"])
        assert "BEGIN CERTIFICATE" in ca.read_text()

        async def main():
            trusted = ssl.create_default_context(cafile=str(ca))
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusted)) as http:
                async with http.get(urls["rest"]["usdm"] + "/fapi/v1/time") as reply:
                    assert "serverTime" in await reply.json()
                async with http.ws_connect(urls["ws"]["usdm"] + "/public/ws/btcusdt@depth@0ms") as ws:
                    assert (await next_text(ws))["e"] == "depthUpdate"
                    process.send_signal(stop)
                    while (await ws.receive()).type is aiohttp.WSMsgType.TEXT:
                        pass

        run(main())
        _, errors = process.communicate(timeout=TIMEOUT_S)
    finally:
        process.kill()
        process.communicate()
    assert (process.returncode, errors) == (0, "")
    assert not ca.exists()


def test_the_command_reports_the_end_of_a_replay(tmp_path):
    with gzip.open(tmp_path / "tiny.jsonl.gz", "wt") as file:
        file.write('1 {"stream":"abcusdt@trade","data":{"t":1}}\n')
    process = start("--replay", str(tmp_path), "--speed", "max")
    try:
        url = json.loads(process.stdout.readline())["binance"]["ws"]["spot"]

        async def main():
            async with aiohttp.ClientSession() as http, http.ws_connect(f"{url}/ws/abcusdt@trade") as ws:
                assert await next_text(ws) == {"t": 1}

        run(main())
        line = json.loads(process.stdout.readline())
        process.terminate()
        process.communicate(timeout=TIMEOUT_S)
    finally:
        process.kill()
        process.communicate()
    assert line == {"replay": "done", "venue": "binance", "product": "spot", "frames": 1}
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--venues", "nowhere"], "unknown venue 'nowhere'"),
        (["--faults", "drip:0.1"], "unknown fault 'drip'"),
        (["--slow", "BTCUSDT"], "expected TEXT:SECONDS, as in symbol=BTCUSDT:2, was 'BTCUSDT'"),
        (["--slow", "a:1,b:x"], "as in symbol=BTCUSDT:2, was 'b:x'"),
        (["--slow", "a:-1"], "expected 0 or more, was -1"),
        (["--replay", "/no/such/folder"], "no such folder of recordings"),
        (["--speed", "0"], "expected more than 0"),
        (["--symbols", "0"], "expected 1 or more"),
    ],
)
def test_the_command_refuses_what_makes_no_sense(arguments, message):
    process = start(*arguments)
    _, errors = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 2
    assert message in errors


def test_the_simulator_shares_no_code_with_what_it_tests():
    script = (
        "import sys, fastfeed.sim, fastfeed.sim.server, fastfeed.sim.tls\n"
        "print([name for name in sys.modules if name.startswith(('fastfeed_core', 'fastfeed.venues', "
        "'fastfeed.protocol', 'fastfeed.engine'))])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
