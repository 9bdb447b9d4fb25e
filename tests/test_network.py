"""The way to a venue: through proxies that let through or refuse, to certificates that are to be trusted or not."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import sys
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trustme
import uvloop
from chaos.proxy import Proxy, reset
from picows import WSListener
from processes import write_config
from tunnels import LOGIN, Tunnel

import fastfeed
from fastfeed import control
from fastfeed.config import load_config
from fastfeed.engine.feed import serve
from fastfeed.engine.network import Network, Reply, Unreachable
from fastfeed.errors import ConfigError
from fastfeed.proxies import Proxy as Upstream
from fastfeed.proxies import read_proxy
from fastfeed.sim import Knobs, Simulator
from fastfeed.sim.server import Server
from fastfeed.sim.tls import LoopbackCertificate

KNOBS = Knobs(levels=20, rate=50, symbols=1, late_ack=0.0)
KINDS = ["http", "socks5"]


def run(main: Coroutine[Any, Any, None]) -> None:
    uvloop.run(asyncio.wait_for(main, 60))


async def until(condition: Any) -> None:
    while not condition():
        await asyncio.sleep(0.005)


def close(writer: asyncio.StreamWriter) -> None:
    writer.close()


class Listener(WSListener):
    """Counts the frames of a socket that the test lets live for a moment."""

    def __init__(self) -> None:
        super().__init__()
        self.transport: Any = None

    def on_ws_connected(self, transport: Any) -> None:
        self.transport = transport


@contextlib.asynccontextmanager
async def venue(tls: bool = False):
    """Served endpoints of one simulated venue, and its certificate's authority."""
    certificate = LoopbackCertificate() if tls else None
    sim = Simulator(["binance"], knobs=KNOBS)
    try:
        async with Server(sim, tls=None if certificate is None else certificate.context) as server:
            yield server.endpoints["binance"], None if certificate is None else str(certificate.ca_path)
    finally:
        if certificate is not None:
            certificate.remove()


async def reach(network: Network, served: dict[str, Any]) -> Reply:
    """Open a WebSocket and make a REST request; both must work."""
    listener = Listener()
    await network.open(lambda: listener, served["ws"]["spot"] + "/stream", {})
    assert listener.transport is not None
    listener.transport.disconnect(False)
    return await network.request("GET", served["rest"]["spot"] + "/api/v3/exchangeInfo", {}, None, 30)


async def refusals(network: Network, served: dict[str, Any]) -> list[str]:
    """What is said of a WebSocket and of a REST request that must not work."""
    said = []
    for work in (
        network.open(Listener, served["ws"]["spot"] + "/stream", {}),
        network.request("GET", served["rest"]["spot"] + "/api/v3/exchangeInfo", {}, None, 30),
    ):
        with pytest.raises(Unreachable) as caught:
            await work
        said.append(str(caught.value))
    return said


@pytest.mark.parametrize("login", [None, LOGIN], ids=["open", "login"])
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("kind", KINDS)
def test_websockets_and_requests_go_through_the_proxy(kind, tls, login):
    async def main() -> None:
        async with venue(tls) as (served, ca), Tunnel(kind, login) as tunnel:
            async with Network(Upstream(kind, "127.0.0.1", tunnel.port, *(login or ())), ca) as network:
                assert (await reach(network, served)).status == 200
            ports = [int(served[base]["spot"].rpartition(":")[2]) for base in ("ws", "rest")]
            assert tunnel.targets == [("127.0.0.1", port) for port in ports]

    run(main())


@pytest.mark.parametrize(
    ("kind", "refuse", "says"),
    [("http", 407, "status 407"), ("http", 403, "status 403"), ("socks5", 2, "not allowed")],
    ids=["http-407", "http-403", "socks5-rules"],
)
def test_a_proxy_that_refuses_is_named(kind, refuse, says):
    async def main() -> None:
        async with venue(tls=True) as (served, ca), Tunnel(kind, refuse=refuse) as tunnel:
            async with Network(Upstream(kind, "127.0.0.1", tunnel.port), ca) as network:
                for said in await refusals(network, served):
                    assert said.startswith(f"proxy {kind}://127.0.0.1:{tunnel.port} refused: ")
                    assert says in said
            assert tunnel.targets == []

    run(main())


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("given", [(), (LOGIN[0], "wrong")], ids=["none", "wrong"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_login_that_is_wrong_or_missing_is_refused_and_not_shown(kind, given, tls):
    async def main() -> None:
        async with venue(tls) as (served, ca), Tunnel(kind, LOGIN) as tunnel:
            proxy = Upstream(kind, "127.0.0.1", tunnel.port, *given)
            async with Network(proxy, ca) as network:
                said = await refusals(network, served)
            assert [each.startswith(f"proxy {proxy} refused: ") for each in said] == [True, True]
            assert not any(secret in each for each in said for secret in ("wrong", LOGIN[0]))

    run(main())


@pytest.mark.parametrize("kind", KINDS)
def test_a_proxy_that_cuts_its_clients_off_or_is_not_there_is_named(kind):
    async def main() -> None:
        async with venue(tls=True) as (served, ca):
            async with Tunnel(kind, refuse="reset") as tunnel:
                proxy = Upstream(kind, "127.0.0.1", tunnel.port)
                async with Network(proxy, ca) as network:
                    for said in await refusals(network, served):
                        assert str(proxy) in said
                assert tunnel.asked >= 2
            async with Network(proxy, ca) as network:
                for said in await refusals(network, served):
                    assert str(proxy) in said

    run(main())


@pytest.mark.parametrize("kind", KINDS)
def test_a_feed_goes_through_its_proxy_and_tries_again_while_that_refuses(kind, shm, tmp_path, monkeypatch):
    monkeypatch.setenv("PROXY_USER", LOGIN[0])
    monkeypatch.setenv("PROXY_PASSWORD", LOGIN[1])

    async def main() -> None:
        async with venue() as (served, _), Tunnel(kind, LOGIN, refuse="reset") as tunnel:
            text = write_config(tmp_path, "tunnel", served, ["BTC/USDT"]).read_text()
            path = tmp_path / "tunnel.toml"
            url = f"{kind}://${{PROXY_USER}}:${{PROXY_PASSWORD}}@127.0.0.1:{tunnel.port}"
            path.write_text(f'{text}\n[network]\nproxy = "{url}"\n')
            stop = asyncio.Event()
            running = asyncio.create_task(serve(load_config(path), stop))
            await until(lambda: tunnel.asked >= 2)  # the listing is asked for again
            tunnel.refuse = None
            await until(lambda: tunnel.targets)
            bus = fastfeed.open("tunnel")
            await until(lambda: bus.instruments)
            book = bus.book("binance:BTC/USDT")
            await until(lambda: book.state is fastfeed.BookState.LIVE)
            tunnel.refuse = 403 if kind == "http" else 2
            tunnel.cut()
            await until(lambda: book.state is not fastfeed.BookState.LIVE)
            asked = tunnel.asked
            await until(lambda: tunnel.asked >= asked + 3)
            tunnel.refuse = None
            await until(lambda: book.state is fastfeed.BookState.LIVE)
            served_ports = {int(served[base]["spot"].rpartition(":")[2]) for base in ("ws", "rest")}
            assert {port for _, port in tunnel.targets} == served_ports
            stop.set()
            await running

    run(main())


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 101 Switching"], ids=["nothing", "a part"])
@pytest.mark.parametrize("how", [close, reset], ids=["closed", "reset"])
def test_a_socket_that_ends_before_the_handshake_is_an_attempt_that_failed(how, said):
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        await writer.drain()
        how(writer)

    async def main() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        async with Network() as network:
            with pytest.raises(Unreachable, match=r"closed before the handshake was over|reset"):
                await network.open(Listener, url, {})
        server.close()

    run(main())


def test_a_venue_that_accepts_and_drops_is_tried_again_with_pauses(shm, tmp_path):
    async def main() -> None:
        async with venue() as (served, _):
            port = int(served["ws"]["spot"].rpartition(":")[2])
            async with Proxy(port) as gate:
                gate.refuses = True
                ws = {**served["ws"], "spot": f"ws://127.0.0.1:{gate.port}"}
                path = write_config(tmp_path, "drops", {**served, "ws": ws}, ["BTC/USDT"])
                stop = asyncio.Event()
                running = asyncio.create_task(serve(load_config(path), stop))
                await until(lambda: gate.accepted >= 1)
                link = {"endpoint": "closed"}
                while link["endpoint"] == "closed":
                    await asyncio.sleep(0.01)
                    answer = await asyncio.to_thread(control.ask, "drops", {"verb": "status"})
                    (link,) = answer["feeds"][0]["connections"]
                # Each was counted, so that the pauses, the budget and the breaker know of it.
                assert 5 <= link["failures"] <= gate.accepted <= link["failures"] + 1
                gate.refuses = False
                bus = fastfeed.open("drops")
                await until(lambda: bus.book("binance:BTC/USDT").state is fastfeed.BookState.LIVE)
                stop.set()
                await running

    run(main())


def test_headers_of_the_feed_go_with_every_request():
    heads: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        async with Network(headers={"x-simulated-trading": "1"}) as network:
            reply = await network.request("GET", url, {"other": "2"}, None, 10)
        assert (reply.status, reply.body) == (200, b"{}")
        server.close()
        assert "x-simulated-trading: 1\r\n" in heads[0]
        assert "other: 2\r\n" in heads[0]

    run(main())


# ---- certificates


def context(authority: trustme.CA, *names: str, **options: Any) -> ssl.SSLContext:
    """A server's side of TLS with a certificate for `names`."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names, **options).configure_cert(made)
    return made


AUTHORITY = trustme.CA()
PAST = datetime.now(UTC) - timedelta(days=1)
WRONG = {
    # Its authority is nobody's: the server made it for itself.
    "self-signed": (lambda: context(trustme.CA(), "127.0.0.1"), "unable to get local issuer certificate"),
    "wrong-host": (lambda: context(AUTHORITY, "venue.example"), "IP address mismatch"),
    "expired": (lambda: context(AUTHORITY, "127.0.0.1", not_after=PAST), "certificate has expired"),
}


@contextlib.asynccontextmanager
async def certified(tls: ssl.SSLContext, authority: trustme.CA = AUTHORITY):
    """Endpoints with that side of TLS, and the file of an authority."""
    sim = Simulator(["binance"], knobs=KNOBS)
    with authority.cert_pem.tempfile() as ca:
        async with Server(sim, tls=tls) as server:
            yield server.endpoints["binance"], ca


@pytest.mark.parametrize("kind", [None, *KINDS], ids=["direct", *KINDS])
@pytest.mark.parametrize("wrong", WRONG)
def test_a_certificate_that_is_wrong_is_refused(wrong, kind):
    make, says = WRONG[wrong]

    async def main() -> None:
        async with certified(make()) as (served, ca), Tunnel(kind or "http") as tunnel:
            proxy = None if kind is None else Upstream(kind, "127.0.0.1", tunnel.port)
            async with Network(proxy, ca) as network:
                for said in await refusals(network, served):
                    assert said.startswith("certificate of 127.0.0.1 refused: ")
                    assert says in said
                    assert said.endswith("" if proxy is None else f" (through proxy {proxy})")
            assert (len(tunnel.targets) >= 2) == (kind is not None)

    run(main())


def test_without_a_file_of_authorities_those_of_the_system_are_asked():
    async def main() -> None:
        async with certified(context(AUTHORITY, "127.0.0.1")) as (served, ca):
            async with Network() as network:
                for said in await refusals(network, served):
                    assert said.startswith("certificate of 127.0.0.1 refused: ")
            async with Network(ca=ca) as network:
                assert (await reach(network, served)).status == 200

    run(main())


def test_a_file_of_authorities_that_holds_none_is_a_config_error(tmp_path):
    path = tmp_path / "ca.pem"
    path.write_text("nothing")
    with pytest.raises(ConfigError, match=r"feed\[2\]\.endpoints\.ca: expected a file of certificates, was .*ca\.pem"):
        Network(ca=str(path), path="feed[2]")


def test_a_venue_whose_certificate_is_wrong_is_tried_again_and_never_subscribed_to(shm, tmp_path):
    async def main() -> None:
        async with (
            certified(WRONG["expired"][0]()) as (bad, ca),
            certified(context(AUTHORITY, "127.0.0.1")) as (good, _),
        ):
            port = int(bad["ws"]["spot"].rpartition(":")[2])
            async with Proxy(port) as attempts:
                # The listing comes from where all is right.
                ws = {**bad["ws"], "spot": f"wss://127.0.0.1:{attempts.port}"}
                path = write_config(tmp_path, "wrong", {"ws": ws, "rest": good["rest"], "ca": ca}, ["BTC/USDT"])
                stop = asyncio.Event()
                running = asyncio.create_task(serve(load_config(path), stop))
                await until(lambda: attempts.accepted >= 4)
                bus = fastfeed.open("wrong")
                assert [(row["connects"], row["frames"]) for row in bus.map.connections()] == [(0, 0)]
                assert bus.book("binance:BTC/USDT").state is fastfeed.BookState.SYNCING
                stop.set()
                await running

    run(main())


def test_socks_needs_a_package_for_rest_and_says_which(monkeypatch):
    monkeypatch.setitem(sys.modules, "aiohttp_socks", None)
    with pytest.raises(ConfigError, match=r'feed\[1\]\.proxy: expected aiohttp-socks.*pip install "fastfeed\[socks\]"'):
        Network(Upstream("socks5", "h", 1), path="feed[1]")
    Network(Upstream("http", "h", 1))


# ---- what a configuration says of proxies

ENVIRON = {"U": LOGIN[0], "P": LOGIN[1], "ALL": "socks5://me:s3cret@proxy.example", "BAD": "ftp://me:s3cret@host",
           "C": "s3cret:x"}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "proxy", "url"),
    [
        ("http://h:8080", Upstream("http", "h", 8080), "http://h:8080"),
        ("http://h", Upstream("http", "h", 3128), "http://h:3128"),
        ("socks5://[::1]:1081/", Upstream("socks5", "::1", 1081), "socks5://[::1]:1081"),
        ("socks5://${U}:${P}@h", Upstream("socks5", "h", 1080, *LOGIN), "socks5://us%20er%40:p%3Ass%2Fw%25rd@h:1080"),
        ("${ALL}", Upstream("socks5", "proxy.example", 1080, "me", "s3cret"), "socks5://me:s3cret@proxy.example:1080"),
    ],
)
def test_a_proxy_is_read_with_what_the_environment_holds(text, proxy, url):
    found = read_proxy(text, "network.proxy", ENVIRON)
    assert found == proxy
    assert found.url == url
    assert "s3cret" not in f"{found} {found!r}"


def test_no_proxy_can_be_said():
    assert read_proxy("direct", "network.proxy", ENVIRON) is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("http://${NO}:${P}@h", "network.proxy: expected NO in the environment, was nothing"),
        ("${NO}", "expected NO in the environment"),
        ("http://${C}:${P}@h", r"a user without a colon, which http cannot send \(the environment\), was one with it"),
        ("${BAD}", r"expected http:// or socks5:// with a host, or direct \(BAD in the environment\)"),
    ],
)
def test_what_the_environment_lacks_is_named_and_what_it_holds_is_not_shown(text, says):
    with pytest.raises(ConfigError, match=says) as caught:
        read_proxy(text, "network.proxy", ENVIRON)
    assert "s3cret" not in str(caught.value)
