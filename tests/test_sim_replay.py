"""Replay: every recorded frame in order and as it was, at the recorded pace or as fast as clients read."""

import gzip
import json
import os
from decimal import Decimal
from pathlib import Path

import pytest

from fastfeed.sim import Frame, Knobs, Simulator
from fastfeed.sim.frames import Framed
from fastfeed.sim.replay import CHUNK_BYTES, read_capture

NOW = 1_785_000_000_000_000_000
START = 1_723_161_253_000_000_000
SECOND = 1_000_000_000


# A recording of our own, small enough to reason about.


def spot_diff(first: int, last: int, bids: list, asks: list) -> dict:
    diff = {"e": "depthUpdate", "E": 1, "s": "ABCUSDT", "U": first, "u": last, "b": bids, "a": asks}
    return {"stream": "abcusdt@depth@100ms", "data": diff}


def usdm_diff(previous: int, first: int, last: int, bids: list, asks: list) -> dict:
    diff = {"e": "depthUpdate", "E": last, "T": last, "s": "ABCUSDT", "U": first, "u": last, "pu": previous}
    return {"stream": "abcusdt@depth@0ms", "data": {**diff, "b": bids, "a": asks}}


SPOT_LINES = [
    (0.0, spot_diff(1, 10, [["9.00000000", "1.00000000"]], [])),
    (0.1, spot_diff(11, 20, [["9.10000000", "1.00000000"]], [])),
    (0.15, {"stream": "abcusdt@trade", "data": {"e": "trade", "s": "ABCUSDT", "t": 1}}),
    (
        0.2,
        {
            "lastUpdateId": 15,
            "bids": [["9.10000000", "0.50000000"], ["9.00000000", "1.00000000"]],
            "asks": [["9.50000000", "2.00000000"]],
        },
    ),
    (0.3, spot_diff(21, 30, [["9.00000000", "0.00000000"]], [["9.45000000", "3.00000000"]])),
    (2.3, spot_diff(31, 40, [], [["9.50000000", "0.00000000"]])),
]
USDM_LINES = [
    (0.0, usdm_diff(5, 8, 20, [["9.10", "1"]], [])),
    (0.2, {"lastUpdateId": 20, "E": 20, "T": 20, "bids": [["9.11", "1"]], "asks": [["9.50", "2"]]}),
    (0.3, usdm_diff(20, 28, 30, [["9.10", "0"]], [["9.45", "3"]])),
]


def text_of(message: dict) -> str:
    return json.dumps(message, separators=(",", ":"))


def write(folder: Path, name: str, lines: list) -> None:
    with gzip.open(folder / f"{name}.jsonl.gz", "wt") as file:
        for offset, message in lines:
            file.write(f"{START + round(offset * SECOND)} {text_of(message)}\n")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, "one", SPOT_LINES)
    write(tmp_path, "two", USDM_LINES)
    return tmp_path


def streamed(lines: list) -> list[str]:
    return [text_of(message) for _, message in lines if "stream" in message]


def texts(client) -> list[str]:
    return [output.payload.decode() for output in client.take() if isinstance(output, Frame) and output.topic]


def replay(folder: Path, speed: float | None = 1.0, **options) -> Simulator:
    return Simulator(["binance"], replay=folder, speed=speed, now=NOW, **options)


def book(sim: Simulator, endpoint: str, symbol: str = "ABCUSDT", limit: int = 1000) -> dict:
    prefix = "/api/v3" if endpoint == "spot" else "/fapi/v1"
    reply = sim.request("binance", endpoint, f"{prefix}/depth?symbol={symbol}&limit={limit}")
    assert reply.status == 200
    return json.loads(reply.body)


ALL_SPOT = "/stream?streams=abcusdt@depth@100ms/abcusdt@trade"


def test_products_are_told_apart_by_content(folder):
    profile = replay(folder).profiles["binance"]
    assert tuple(profile.ws_endpoints) == ("spot", "usdm")
    assert [row.name for row in profile.instruments] == ["ABC/USDT", "ABC/USDT:USDT"]


def test_frames_come_at_the_recorded_pace_from_the_subscription_on(folder):
    sim = replay(folder)
    sim.advance(seconds=5)
    client = sim.connect("binance", "spot", ALL_SPOT)
    sim.advance()
    expected = streamed(SPOT_LINES)
    assert texts(client) == expected[:1]
    sim.advance(seconds=0.16)
    assert texts(client) == expected[1:3]
    sim.advance(seconds=2)
    assert texts(client) == expected[3:4]
    sim.advance(seconds=0.14)
    assert texts(client) == expected[4:]


def test_the_pace_is_divided_by_the_speed(folder):
    sim = replay(folder, speed=10)
    client = sim.connect("binance", "spot", ALL_SPOT)
    sim.advance()
    sim.advance(seconds=0.229)
    assert texts(client) == streamed(SPOT_LINES)[:4]
    sim.advance(seconds=0.001)
    assert texts(client) == streamed(SPOT_LINES)[4:]


def test_a_client_of_some_streams_waits_a_second(folder):
    sim = replay(folder, speed=None)
    client = sim.connect("binance", "spot", "/stream?streams=abcusdt@depth@100ms")
    sim.advance()
    sim.advance(seconds=0.9)
    assert texts(client) == []
    sim.advance(seconds=0.1)
    assert texts(client) == [text for text in streamed(SPOT_LINES) if "depth" in text]


def test_a_replay_holds_while_nobody_listens(folder):
    sim = replay(folder)
    first = sim.connect("binance", "spot", ALL_SPOT)
    sim.advance()
    sim.advance(seconds=0.12)
    first.close()
    sim.advance(seconds=100)
    second = sim.connect("binance", "spot", ALL_SPOT)
    sim.advance()
    assert texts(first) + texts(second) == streamed(SPOT_LINES)[:3]


def test_two_clients_get_the_same_frames(folder):
    sim = replay(folder, speed=None)
    clients = [sim.connect("binance", "spot", ALL_SPOT) for _ in range(2)]
    sim.advance()
    assert [texts(client) for client in clients] == [streamed(SPOT_LINES)] * 2


@pytest.mark.parametrize("asked", ["abcusdt@depth", "abcusdt@depth@100ms", "abcusdt@depth@500ms"])
def test_another_speed_of_depth_gets_the_recorded_one_under_its_own_name(folder, asked):
    sim = replay(folder, speed=None)
    client = sim.connect("binance", "usdm", f"/public/stream?streams={asked}")
    sim.advance()
    expected = [text.replace("abcusdt@depth@0ms", asked) for text in streamed(USDM_LINES)]
    assert texts(client) == expected


def test_a_raw_connection_gets_the_payload_alone(folder):
    sim = replay(folder, speed=None)
    client = sim.connect("binance", "usdm", "/public/ws/abcusdt@depth@0ms")
    sim.advance()
    assert texts(client) == [text_of(message["data"]) for _, message in USDM_LINES if "stream" in message]


def test_the_end_is_reported_once_and_the_connection_stays(folder):
    done = []
    sim = replay(folder, None, on_replayed=lambda venue, timeline: done.append((venue, timeline.recording.endpoint)))
    client = sim.connect("binance", "spot", ALL_SPOT)
    for _ in range(3):
        sim.advance(seconds=1)
    assert done == [("binance", "spot")]
    assert not client.is_closed


def test_faults_strike_recorded_frames(folder):
    sim = replay(folder, None, faults="drop:@2")
    client = sim.connect("binance", "spot", ALL_SPOT)
    client.takes_framed = True
    sim.advance()
    expected = streamed(SPOT_LINES)
    assert texts(client) == expected[:1] + expected[2:]


def test_a_socket_gets_frames_in_one_piece(folder):
    sim = replay(folder, None)
    client = sim.connect("binance", "spot", ALL_SPOT)
    client.takes_framed = True
    sim.advance()
    assert client.take() == [Framed(b"".join(frame_of(text) for text in streamed(SPOT_LINES)))]


def frame_of(text: str) -> bytes:
    size = len(text)
    return (bytes((0x81, size)) if size < 126 else b"\x81\x7e" + size.to_bytes(2, "big")) + text.encode()


def test_a_client_that_does_not_read_holds_the_replay(folder):
    sim = replay(folder, None)
    client, slow = (sim.connect("binance", "spot", ALL_SPOT) for _ in range(2))
    slow.is_writable = False
    sim.advance(seconds=1)
    assert texts(client) == []
    assert sim.next_due() is None
    slow.is_writable = True
    sim.advance()
    assert texts(client) == streamed(SPOT_LINES)


def test_rest_answers_with_the_recorded_book_up_to_its_place_and_then_as_of_the_last_frame(folder):
    sim = replay(folder)
    recorded = SPOT_LINES[3][1]
    assert book(sim, "spot") == recorded
    sim.connect("binance", "spot", ALL_SPOT)
    sim.advance()
    assert book(sim, "spot") == recorded
    sim.advance(seconds=0.1)
    assert book(sim, "spot") == recorded
    assert book(sim, "spot", limit=1) == {**recorded, "bids": recorded["bids"][:1]}
    sim.advance(seconds=0.2)
    bids, asks = [["9.10000000", "1.00000000"]], [["9.45000000", "3.00000000"], ["9.50000000", "2.00000000"]]
    assert book(sim, "spot") == {"lastUpdateId": 30, "bids": bids, "asks": asks}
    assert book(sim, "spot", limit=1) == {"lastUpdateId": 30, "bids": bids, "asks": asks[:1]}


def test_a_replay_waits_where_a_book_was_recorded_until_a_client_asks_for_it(folder):
    sim = replay(folder, None, knobs=Knobs(hold_s=2.0))
    client = sim.connect("binance", "spot", ALL_SPOT)
    sim.advance()
    assert texts(client) == streamed(SPOT_LINES[:3])
    sim.advance(seconds=1.9)
    assert texts(client) == []
    assert book(sim, "spot") == SPOT_LINES[3][1]
    sim.advance()
    assert texts(client) == streamed(SPOT_LINES[4:])


def test_a_replay_goes_on_by_itself_when_nobody_asks_for_a_book(folder):
    sim = replay(folder, None, knobs=Knobs(hold_s=2.0))
    client = sim.connect("binance", "spot", ALL_SPOT)
    sim.advance()
    assert texts(client) == streamed(SPOT_LINES[:3])
    sim.advance()
    sim.advance(seconds=1.9)
    assert texts(client) == []
    sim.advance(seconds=0.1)
    assert texts(client) == streamed(SPOT_LINES[4:])


def test_an_old_snapshot_is_the_recorded_one(folder):
    sim = replay(folder, None, faults="old_snapshot:@1")
    sim.connect("binance", "spot", ALL_SPOT)
    sim.advance()
    assert book(sim, "spot") == SPOT_LINES[3][1]
    assert book(sim, "spot")["lastUpdateId"] == 40


def test_a_listing_is_made_from_the_recorded_numbers(folder):
    reply = replay(folder).request("binance", "usdm", "/fapi/v1/exchangeInfo")
    (row,) = json.loads(reply.body)["symbols"]
    filters = {entry["filterType"]: entry for entry in row["filters"]}
    assert (row["symbol"], row["baseAsset"], row["marginAsset"]) == ("ABCUSDT", "ABC", "USDT")
    assert filters["PRICE_FILTER"]["tickSize"] == "0.01"
    assert filters["LOT_SIZE"]["stepSize"] == "1"


def test_a_folder_without_a_recording_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no recording of binance"):
        replay(tmp_path)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        replay(tmp_path / "nowhere")


# The recordings of real venues.


@pytest.fixture(scope="module")
def recordings() -> Path:
    if "FASTFEED_RECORDINGS" not in os.environ:
        pytest.skip("FASTFEED_RECORDINGS names no folder of recordings")
    return Path(os.environ["FASTFEED_RECORDINGS"])


def recorded_2024(recordings: Path, product: str) -> list[bytes]:
    with gzip.open(recordings / "binance_2024" / f"{product}_btcusdt.jsonl.gz") as file:
        return [line.rstrip(b"\n").partition(b" ")[2] for line in file]


class OracleBook:
    """The recorded REST book and the diffs since, in dicts of text."""

    def __init__(self, snapshot: bytes) -> None:
        body = json.loads(snapshot)
        self.sequence = body["lastUpdateId"]
        self.bids, self.asks = dict(body["bids"]), dict(body["asks"])

    def apply(self, diff: dict) -> None:
        if diff["u"] > self.sequence:
            self.sequence = diff["u"]
            for side, levels in ((self.bids, diff["b"]), (self.asks, diff["a"])):
                for price, size in levels:
                    side[price] = size
                    if Decimal(size) == 0:
                        del side[price]

    def levels(self, limit: int) -> tuple[list, list]:
        bids, asks = (sorted(side.items(), key=lambda level: Decimal(level[0])) for side in (self.bids, self.asks))
        return [list(level) for level in bids[::-1][:limit]], [list(level) for level in asks[:limit]]


@pytest.mark.parametrize(("product", "path"), [("spot", ""), ("usdm", "/public")])
def test_a_recording_of_2024_is_replayed_byte_by_byte_with_exact_books(recordings, product, path):
    lines = recorded_2024(recordings, product)
    oracle = OracleBook(next(line for line in lines if line.startswith(b'{"lastUpdateId"')))
    expected = [line for line in lines if line.startswith(b'{"stream"')]
    sim = replay(recordings / "binance_2024", speed=None)
    depth = "depth@100ms" if product == "spot" else "depth@0ms"
    streams = "/".join(f"btcusdt@{kind}" for kind in (depth, "bookTicker", "trade"))
    client = sim.connect("binance", product, f"{path}/stream?streams={streams}")
    position = chunks = 0
    while position < len(expected):
        sim.advance()
        frames = [output.payload for output in client.take()]
        assert frames == expected[position : position + len(frames)]
        assert sum(map(len, frames)) <= 2 * CHUNK_BYTES
        position += len(frames)
        for frame in frames:
            if b"depthUpdate" in frame:
                oracle.apply(json.loads(frame)["data"])
        chunks += 1
        if chunks % 10 == 1 or position == len(expected):
            body = book(sim, product, "BTCUSDT")
            assert (body["lastUpdateId"], (body["bids"], body["asks"])) == (oracle.sequence, oracle.levels(1000))
    assert chunks > 10


@pytest.mark.parametrize(("product", "tick", "lot"), [("spot", "0.01000000", "0.00001000"), ("usdm", "0.10", "0.001")])
def test_tick_and_lot_of_the_recordings_of_2024_are_found(recordings, product, tick, lot):
    prefix = "/api/v3" if product == "spot" else "/fapi/v1"
    sim = replay(recordings / "binance_2024")
    (row,) = json.loads(sim.request("binance", product, f"{prefix}/exchangeInfo").body)["symbols"]
    filters = {entry["filterType"]: entry for entry in row["filters"]}
    assert (filters["PRICE_FILTER"]["tickSize"], filters["LOT_SIZE"]["stepSize"]) == (tick, lot)


@pytest.mark.parametrize(
    ("folder", "product", "names"),
    [
        ("binance", "spot", ["BLZ/ETH", "LRC/BTC", "NKN/USDT", "RUNE/EUR"]),
        ("binance_usdm", "usdm", ["AKRO/USDT:USDT", "CTK/USDT:USDT", "KEEP/USDT:USDT", "SUSHI/USDT:USDT"]),
    ],
)
def test_a_capture_of_2021_is_replayed_with_its_listing(recordings, folder, product, names):
    sim = replay(recordings / folder, speed=None)
    assert [row.name for row in sim.profiles["binance"].instruments] == names
    assert list(sim.profiles["binance"].ws_endpoints) == [product]
    texts_of_2021 = [line.text for line in read_capture(recordings / folder / "ws.txt")]
    streams = {json.loads(text)["stream"] for text in texts_of_2021}
    public = sorted(stream for stream in streams if stream.partition("@")[2] not in ("aggTrade", "kline_1m"))
    routes = [("", sorted(streams))]
    if product == "usdm":
        routes = [("/public", public), ("/market", sorted(streams - set(public)))]
    clients = [
        sim.connect("binance", product, f"{route}/stream?streams={'/'.join(wanted)}") for route, wanted in routes
    ]
    sim.advance()
    for _ in range(8):
        sim.advance(seconds=0.1)
    got = [output.payload for client in clients for output in client.take()]
    assert sorted(got) == sorted(texts_of_2021)

    prefix = "/api/v3" if product == "spot" else "/fapi/v1"
    listed = json.loads(sim.request("binance", product, f"{prefix}/exchangeInfo").body)["symbols"]
    assert len(listed) > 100
    for line in read_capture(recordings / folder / "rest.txt"):
        symbol = line.url.partition("symbol=")[2].partition("&")[0]
        oracle = OracleBook(line.text)
        for text in texts_of_2021:
            message = json.loads(text)
            if message["stream"] == f"{symbol.lower()}@depth@100ms":
                oracle.apply(message["data"])
        body = book(sim, product, symbol)
        assert (body["lastUpdateId"], (body["bids"], body["asks"])) == (oracle.sequence, oracle.levels(1000))
