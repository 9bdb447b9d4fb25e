"""A running feed that is asked for something: over its control socket, by its file and a signal; as real processes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from processes import fastfeed as run
from processes import simulator, wait_for, write_config

import fastfeed
from fastfeed import BookState, BusNotFound, RequestFailed, control
from fastfeed.engine.control import Control, listen

NAMES = ["BTC/USDT", "BTC/USDT:USDT"]


def live(bus: fastfeed.Bus, *symbols: str) -> bool:
    names = {f"binance:{each}" for each in symbols}
    return names <= {each.name for each in bus.instruments} and all(
        bus.book(each).state is BookState.LIVE for each in names
    )


def state(bus: fastfeed.Bus, symbol: str) -> BookState:
    return bus.book(f"binance:{symbol}").state


def ctl(name: str, *words: str, code: int = 0) -> str:
    """What the command prints: its output, or if it is to fail its error."""
    done = subprocess.run(
        [sys.executable, "-m", "fastfeed", "ctl", name, *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stderr if code else done.stdout


def begun(name: str) -> bool:
    """Whether the feed listens."""
    try:
        control.ask(name, {"verb": "status"})
    except BusNotFound:
        return False
    return True


def statuses(reader: fastfeed.Reader) -> list[tuple[str, str]]:
    return [(event.name, event.reason) for event in reader.poll(100_000) if event.kind == "status"]


def test_every_verb_from_the_prompt(shm, tmp_path):
    with simulator(tmp_path, "--rate", "100") as venue:
        with run("run", str(write_config(tmp_path, "words", venue, NAMES))) as feed:
            bus = fastfeed.open("words", timeout=30)
            wait_for(lambda: live(bus, *NAMES) and begun("words"))
            assert {stat.S_IMODE(path.stat().st_mode) for path in shm.iterdir()} == {0o600}
            reader = bus.reader(kinds=["status"])

            assert ctl("words", "subscribe", "binance", "ETH/USDT") == "subscribed: binance:ETH/USDT\n"
            wait_for(lambda: live(bus, "ETH/USDT"))
            assert ctl("words", "subscribe", "binance", "ETH/USDT") == "already: binance:ETH/USDT\n"
            assert json.loads(ctl("words", "--json", "unsubscribe", "binance", "ETH/USDT", "BTC/USDT:USDT")) == {
                "unsubscribed": ["binance:ETH/USDT", "binance:BTC/USDT:USDT"]
            }
            assert state(bus, "ETH/USDT") is BookState.SYNCING
            assert live(bus, "BTC/USDT")
            told = statuses(reader)
            assert {name for name, reason in told if reason == "unsubscribed" and name} == {
                "binance:ETH/USDT", "binance:BTC/USDT:USDT",
            }  # fmt: skip
            assert "binance:BTC/USDT" not in {name for name, _ in told}

            assert ctl("words", "resync", "binance:BTC/USDT") == "resynced: binance:BTC/USDT\n"
            wait_for(lambda: live(bus, "BTC/USDT"))
            assert ("binance:BTC/USDT", "requested") in statuses(reader)

            assert ctl("words", "roll", "binance") == "connections: 1\n"
            wait_for(lambda: " 1 " in next(line for line in ctl("words", "status").splitlines() if "spot" in line))
            assert live(bus, "BTC/USDT")
            assert "gap" not in {reason for _, reason in statuses(reader)}

            lines = ctl("words", "status").splitlines()
            assert lines[0] == "binance: 1 instruments, book bbo trade"
            assert "streaming" in lines[2]

            assert ctl("words", "stop") == "stop: done\n"
            assert feed.wait(20) == 0
            assert list(shm.iterdir()) == []
        assert "not found" in ctl("words", "status", code=1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("subscribe", "binanse", "ETH/USDT"), "did you mean binance"),
        (("subscribe", "binance", "ETHH/USDT"), "did you mean ETH/USDT"),
        (("subscribe", "binance", "ETH"), "expected a unified symbol"),
        (("subscribe", "binance", "ETH/USDT", "--channels", "books"), "did you mean book"),
        (("unsubscribe", "binance", "ETH/USDT"), "expected an instrument that is subscribed to"),
        (("resync", "binance:ETH/USDT"), "expected an instrument whose book is kept"),
        (("roll", "okx"), "expected one of this feed"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_done_is_answered_and_changes_nothing(asked, words, said):
    before = control.ask("asked", {"verb": "status"})["feeds"][0]["instruments"]
    assert said in ctl("asked", *words, code=1)
    assert control.ask("asked", {"verb": "status"})["feeds"][0]["instruments"] == before


class Shared(NamedTuple):
    """A feed that tests share, of whose words none may change anything."""

    feed: subprocess.Popen[bytes]
    shm: Path
    config: Path
    out: Path


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("asked")
    shm, out = folder / "shm", folder / "feed.out"
    shm.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FASTFEED_SHM", str(shm))
        with simulator(folder) as venue:
            config = write_config(folder, "asked", venue, NAMES)
            with run("run", str(config), out=out) as feed:
                bus = fastfeed.open("asked", timeout=30)
                wait_for(lambda: live(bus, *NAMES) and begun("asked"))
                patch.undo()
                yield Shared(feed, shm, config, out)
                assert feed.poll() is None
            assert list(shm.iterdir()) == []
            assert "Traceback" not in out.read_text()


@pytest.fixture
def asked(shared, monkeypatch):
    """The shared feed, found by its name."""
    monkeypatch.setenv("FASTFEED_SHM", str(shared.shm))
    return shared


def connect() -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(60)
    with control.reachable(control.socket_path("asked")) as address:
        client.connect(address)
    return client


def line_of(client: socket.socket) -> dict[str, Any]:
    with client.makefile("rb") as file:
        return json.loads(file.readline())


@pytest.mark.parametrize(
    "line",
    [b"", b"{}", b"[]", b"nonsense", b"\xff\xfe", b'{"verb":"dance"}', b'{"verb":"status","more":1}',
     b'{"verb":"subscribe","venue":7}', b'{"verb":"subscribe"}', b'{"verb":"resync"}', b"[" * 50_000],
    ids=range(11),
)  # fmt: skip
def test_nonsense_is_answered(asked, line):
    with connect() as client:
        client.sendall(line + b'\n{"verb":"status"}\n')
        with client.makefile("rb") as file:
            answer = json.loads(file.readline())
            assert not answer["ok"]
            assert answer["error"]
            assert json.loads(file.readline())["ok"]  # the same client can go on


def test_a_line_without_an_end_is_cut_off(asked):
    with connect() as client:
        client.sendall(b"x" * (control.LINE_BYTES + 2))
        assert "at most" in line_of(client)["error"]
        assert client.recv(1) == b""


def test_a_client_that_says_nothing_reads_nothing_or_goes_away_costs_nobody_anything(asked):
    silent = connect()
    deaf = connect()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
    deaf.setblocking(False)
    try:
        while True:  # asks and asks, until the feed has stopped reading
            deaf.send(b'{"verb":"status"}\n' * 200)
    except BlockingIOError:
        pass
    gone = connect()
    gone.sendall(b'{"verb":"status"}\n')
    gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    gone.close()
    for _ in range(20):
        assert control.ask("asked", {"verb": "status"})["bus"] == "asked"
    assert silent.recv(1) == b""  # sent away
    wait_for(lambda: is_cut(deaf))
    silent.close()
    deaf.close()


def is_cut(client: socket.socket) -> bool:
    try:
        client.send(b"\n")
    except BlockingIOError:
        return False
    except OSError:
        return True
    return False


def test_there_are_few_places_and_they_become_free(asked):
    crowd = [connect() for _ in range(20)]
    answers = []
    for client in crowd:
        client.settimeout(0.5)
        try:
            answers.append(json.loads(client.recv(4096)))
        except TimeoutError:
            answers.append(None)
    assert answers.count(None) == 8
    assert all("busy" in each["error"] for each in answers if each)
    for client in crowd:
        client.close()
    wait_for(lambda: not failed(lambda: control.ask("asked", {"verb": "status"})))


def failed(what: Any) -> bool:
    try:
        what()
    except RequestFailed:
        return True
    return False


def test_requests_of_many_at_once_are_carried_out_one_after_the_other(asked):
    failures: list[str] = []

    def ask(number: int) -> None:
        for _ in range(5):
            try:
                control.ask("asked", {"verb": "resync", "name": f"binance:{NAMES[number % 2]}"})
            except RequestFailed as error:
                failures.append(str(error))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert failures == []
    bus = fastfeed.open("asked")
    wait_for(lambda: live(bus, *NAMES))


# The socket itself


def test_what_a_dead_feed_left_is_replaced_and_a_living_one_is_not(shm):
    first = listen("left")
    with pytest.raises(OSError, match="in use"):
        listen("left")
    first.close()  # dead: the file stays
    assert (shm / "fastfeed.left.ctl").exists()
    second = listen("left")
    assert stat.S_IMODE((shm / "fastfeed.left.ctl").stat().st_mode) == 0o600
    second.close()


def test_what_is_no_socket_is_left_alone(shm):
    path = shm / "fastfeed.left.ctl"
    path.write_text("mine")
    with pytest.raises(OSError, match="in use"):
        listen("left")
    assert path.read_text() == "mine"


@pytest.mark.parametrize("mask", [0, 0o22, 0o77])
def test_the_socket_is_its_users_alone_whatever_the_mask_and_no_link_is_followed(shm, tmp_path, monkeypatch, mask):
    victim = tmp_path / "victim"
    victim.write_text("")
    victim.chmod(0o644)

    class Watched(socket.socket):
        def bind(self, address: Any) -> None:
            super().bind(address)
            found.append(stat.S_IMODE(path.stat().st_mode))
            path.unlink()  # as somebody may who writes the folder
            path.symlink_to(victim)

    found: list[int] = []
    path = shm / "fastfeed.masked.ctl"
    monkeypatch.setattr("fastfeed.engine.control.socket.socket", Watched)
    before = os.umask(mask)
    try:
        listen("masked").close()
    finally:
        os.umask(before)
    assert found == [0o600]
    assert stat.S_IMODE(victim.stat().st_mode) == 0o644


def test_a_folder_however_deep_has_room_for_the_socket(tmp_path, monkeypatch):
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    monkeypatch.setenv("FASTFEED_SHM", str(folder))
    found = listen("deep")
    with socket.socket(socket.AF_UNIX) as client, control.reachable(control.socket_path("deep")) as address:
        client.connect(address)
        assert control.peer_uid(client) == os.geteuid()
    found.close()


def test_a_feed_that_was_killed_leaves_nothing_in_the_way_of_the_next(shm, tmp_path):
    with simulator(tmp_path) as venue:
        config = str(write_config(tmp_path, "next", venue, NAMES))
        with run("run", config) as feed:
            wait_for(lambda: begun("next"))
            feed.kill()
            feed.wait()
            with pytest.raises(BusNotFound):
                control.ask("next", {"verb": "status"})
        with run("run", config):
            wait_for(lambda: begun("next"))
    assert list(shm.iterdir()) == []


def test_a_feed_that_ends_in_the_middle_is_told(shm):
    found = listen("mute")

    def end() -> None:
        found.setblocking(True)
        client, _ = found.accept()
        client.recv(100)
        client.close()

    thread = threading.Thread(target=end)
    thread.start()
    with pytest.raises(RequestFailed, match="ended before"):
        control.ask("mute", {"verb": "status"})
    thread.join()
    with pytest.raises(RequestFailed, match=r"no answer within 0\.1 s"):
        control.ask("mute", {"verb": "status"}, timeout=0.1)
    found.close()


def test_the_socket_of_another_user_is_not_believed(shm, monkeypatch):
    found = listen("theirs")
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    with pytest.raises(RequestFailed, match="another user"):
        control.ask("theirs", {"verb": "status"}, timeout=1)
    found.close()


# The file


def rewrite(path: Path, *changes: tuple[str, str]) -> None:
    text = path.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)


def test_a_reload_applies_what_differs_and_nothing_else(shm, tmp_path):
    with simulator(tmp_path, "--rate", "200", "--venues", "binance,okx") as venue:
        okx = json.loads((tmp_path / "sim.out").read_text().splitlines()[0])["okx"]
        path = write_config(tmp_path, "files", venue, ["BTC/USDT", "ETH/USDT"])
        out = tmp_path / "feed.out"
        with run("run", str(path), out=out) as feed:
            bus = fastfeed.open("files", timeout=30)
            wait_for(lambda: live(bus, "BTC/USDT", "ETH/USDT") and begun("files"))
            reader = bus.reader()
            # One comes, one goes; by a signal.
            rewrite(path, ('"ETH/USDT"]', '"BTC/USDT:USDT"]'))
            feed.send_signal(signal.SIGHUP)
            wait_for(lambda: live(bus, "BTC/USDT:USDT") and state(bus, "ETH/USDT") is BookState.SYNCING)
            assert live(bus, "BTC/USDT")
            # Once more, and nothing is left to do.
            assert ctl("files", "reload") == "feeds added: 0\nfeeds ended: 0\n"
            # Another venue comes, and channels go.
            whole = path.read_text()
            rewrite(path, ('"book", "bbo", "trade"', '"book"'))
            other = write_config(tmp_path, "other", okx, ["BTC/USDT"], venue="okx").read_text()
            path.write_text(path.read_text() + other[other.index("[[feed]]") :])
            answer = json.loads(ctl("files", "--json", "reload"))
            assert (answer["feeds_added"], answer["subscribed"]) == (1, ["okx:BTC/USDT"])
            wait_for(lambda: bus.book("okx:BTC/USDT").state is BookState.LIVE)
            assert [each["channels"] for each in control.ask("files", {"verb": "status"})["feeds"]] == [
                ["book"], ["book", "bbo", "trade"],
            ]  # fmt: skip
            # And both go back.
            path.write_text(whole)
            answer = json.loads(ctl("files", "--json", "reload"))
            assert (answer["feeds_ended"], answer["unsubscribed"]) == (1, ["okx:BTC/USDT"])
            assert bus.book("okx:BTC/USDT").state is BookState.SYNCING
            assert live(bus, "BTC/USDT")
            seen = reader.poll(1_000_000)
            mine = [event for event in seen if event.name == "binance:BTC/USDT"]
            assert {event.kind for event in mine} >= {"delta", "trade"}
            assert [event for event in mine if event.kind == "status"] == []
        assert "ERROR" not in out.read_text()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("BTC/USDT:USDT", "BTCC/USDT:USDT", "did you mean BTC/USDT:USDT"),
        ('"trade"', '"trades"', "did you mean trade"),
        ("[bus]", "[bus", "expected TOML"),
        ('"64MiB"', '"32MiB"', "bus.ring: expected 64MiB, because it cannot change while the feed runs"),
        ('"asked"', '"other"', "bus.name: expected 'asked', because it cannot change"),
        ("connections = 1", "connections = 2", "feed[0].connections: expected 1, because it cannot change"),
        ("cap_s = 0.5", "cap_s = 0.6", "reconnect.cap_s: expected 0.5, because it cannot change"),
        ("ws://127.0.0.1", "ws://127.0.0.2", "feed[0].endpoints: expected {"),
        (
            "connections = 1",
            'connections = 1\nlocal_addresses = ["127.0.0.1"]',
            "feed[0].local_addresses: expected [], because it cannot change while the feed runs, was ['127.0.0.1']",
        ),
    ],
    ids=["instrument", "channel", "toml", "ring", "name", "connections", "reconnect", "endpoints", "addresses"],
)
def test_a_file_that_cannot_work_changes_nothing_and_says_why(asked, old, new, said):
    feed, path, out, bus = asked.feed, asked.config, asked.out, fastfeed.open("asked")
    good = path.read_text()
    reader = bus.reader(kinds=["status"])
    rewrite(path, (old, new))
    try:
        assert said in ctl("asked", "reload", code=1)
        before = out.read_text().count("nothing has changed")
        feed.send_signal(signal.SIGHUP)
        wait_for(lambda: out.read_text().count("nothing has changed") > before)
        assert said in out.read_text()
    finally:
        path.write_text(good)
    assert live(bus, *NAMES)
    assert [event for event in reader.poll() if event.scope == "instrument"] == []


def test_a_feed_that_is_still_starting_does_not_mind_the_signal(shm, tmp_path):
    served = {kind: {"spot": f"{scheme}://127.0.0.1:9"} for kind, scheme in (("ws", "ws"), ("rest", "http"))}
    out = tmp_path / "feed.out"
    with run("run", str(write_config(tmp_path, "early", served, ["BTC/USDT"])), out=out) as feed:
        wait_for(lambda: "listing failed" in out.read_text())
        feed.send_signal(signal.SIGHUP)
        wait_for(lambda: "still starting" in out.read_text())
        assert feed.poll() is None


def test_a_stop_is_carried_out_whether_or_not_its_client_waits_for_the_answer(shm):
    class Slow:
        async def do(self, verb):
            await gone.wait()
            return {}

    async def go() -> None:
        stop = asyncio.Event()
        server = Control(listen("stops"), Slow(), stop)
        serving = asyncio.create_task(server.serve())
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(control.socket_path("stops"))
            client.sendall(b'{"verb":"stop"}\n')
            while not server._clients:
                await asyncio.sleep(0)
        gone.set()
        await asyncio.wait(server._clients)
        assert stop.is_set()
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        await server.close()

    gone = asyncio.Event()
    asyncio.run(asyncio.wait_for(go(), 60))


def test_a_client_of_another_user_is_sent_away_unheard(shm, monkeypatch):
    async def go() -> bytes:
        stop = asyncio.Event()
        server = Control(listen("uid"), None, stop)
        serving = asyncio.create_task(server.serve())
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(control.socket_path("uid"))
            client.setblocking(False)
            answer = await asyncio.get_running_loop().sock_recv(client, 100)
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        await server.close()
        return answer

    monkeypatch.setattr("fastfeed.engine.control.peer_uid", lambda client: os.geteuid() + 1)
    assert asyncio.run(go()) == b""
