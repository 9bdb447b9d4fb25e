"""Binance's WebSocket connections as the simulator speaks them: commands, routes, payloads, keep-alive, limits."""

import json
from itertools import pairwise

import pytest

from fastfeed.sim import Close, Frame, Knobs, Ping, Pong, Simulator

NOW = 1_785_000_000_000_000_000
SECOND = 1_000_000_000
STREAMS = "btcusdt@depth@100ms/btcusdt@bookTicker/btcusdt@trade/btcusdt@aggTrade"


def make(faults: str = "", **knobs) -> Simulator:
    return Simulator(["binance"], faults=faults, knobs=Knobs(**{"levels": 50, "late_ack": 0.0, **knobs}), now=NOW)


def connect(sim: Simulator, target: str, endpoint: str = "spot"):
    return sim.connect("binance", endpoint, target)


def answers(client, *commands: str) -> list[bytes]:
    for command in commands:
        client.receive(command)
    return [output.payload for output in client.take()]


def data(client) -> list[Frame]:
    return [output for output in client.take() if isinstance(output, Frame) and output.topic]


# Commands


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ('{"method":"SUBSCRIBE","params":["btcusdt@depth"],"id":1}', '{"result":null,"id":1}'),
        ('{"method":"SUBSCRIBE","params":["nosuch@thing"],"id":"a1"}', '{"result":null,"id":"a1"}'),
        ('{"method":"UNSUBSCRIBE","params":["btcusdt@depth"],"id":-3}', '{"result":null,"id":-3}'),
        ('{"method":"LIST_SUBSCRIPTIONS","id":3}', '{"result":["btcusdt@trade"],"id":3}'),
        ('{"method":"LIST_SUBSCRIPTIONS"}', '{"result":["btcusdt@trade"],"id":null}'),
        ('{"method":"SET_PROPERTY","params":["combined",true],"id":5}', '{"result":null,"id":5}'),
        ('{"method":"GET_PROPERTY","params":["combined"],"id":2}', '{"result":true,"id":2}'),
        ('{"method":"GET_PROPERTY","params":["color"],"id":2}', '{"code":0,"msg":"Unknown property"}'),
        (
            '{"method":"SET_PROPERTY","params":["combined",1],"id":5}',
            '{"code":1,"msg":"Invalid value type: expected Boolean"}',
        ),
        ('{"id":1}', '{"code":2,"msg":"Invalid request: missing field `method` at line 1 column 8"}'),
        ("nojson", '{"code":3,"msg":"Invalid JSON: expected value at line 1 column 1"}'),
    ],
)
def test_a_command_is_answered(command, answer):
    client = connect(make(), "/stream?streams=btcusdt@trade")
    assert answers(client, command) == [answer.encode()]


@pytest.mark.parametrize(
    "command",
    [
        "[]",
        '{"method":"BUY","id":1}',
        '{"method":"SUBSCRIBE","params":"btcusdt@depth","id":1}',
        '{"method":"SUBSCRIBE","params":[1],"id":1}',
        '{"method":"SUBSCRIBE","params":["btcusdt@depth"],"id":1.5}',
        '{"method":"SUBSCRIBE","params":["btcusdt@depth"],"id":"not alphanumeric"}',
        '{"method":"SET_PROPERTY","params":["combined",true,1],"id":5}',
        '{"method":"SET_PROPERTY","params":["combined"],"id":5}',
        '{"method":"GET_PROPERTY","params":[],"id":5}',
    ],
)
def test_an_invalid_request_has_code_2(command):
    (answer,) = answers(connect(make(), "/ws"), command)
    assert json.loads(answer)["code"] == 2


def test_more_than_1024_streams_are_refused():
    client = connect(make(), "/ws")
    many = json.dumps({"method": "SUBSCRIBE", "params": [f"x{n}@trade" for n in range(1025)], "id": 1})
    fewer = json.dumps({"method": "SUBSCRIBE", "params": [f"x{n}@trade" for n in range(1024)], "id": 2})
    refused, accepted = answers(client, many, fewer)
    assert json.loads(refused)["code"] == 2
    assert accepted == b'{"result":null,"id":2}'
    with pytest.raises(ValueError, match="refused with 400"):
        connect(make(), "/stream?streams=" + "/".join(f"x{n}@trade" for n in range(1025)))


def test_the_first_data_may_come_before_the_acknowledgement():
    sim = make(late_ack=1.0)
    client = connect(sim, "/stream")
    client.receive('{"method":"SUBSCRIBE","params":["btcusdt@depth@0ms"],"id":1}')
    sim.advance(seconds=1)
    outputs = client.take()
    ack = outputs.index(Frame(b'{"result":null,"id":1}'))
    assert ack == 1
    assert outputs[0].topic == "btcusdt@depth@0ms"


def test_a_late_acknowledgement_comes_without_data_too():
    sim = make(late_ack=1.0)
    client = connect(sim, "/stream")
    client.receive('{"method":"SUBSCRIBE","params":["nosuch@trade"],"id":1}')
    assert client.take() == []
    sim.advance(seconds=1)
    assert client.take() == [Frame(b'{"result":null,"id":1}')]


# Paths, routes, wrapper


@pytest.mark.parametrize(
    ("endpoint", "target"),
    [
        ("spot", "/"),
        ("spot", "/foo"),
        ("spot", "/public/ws"),
        ("spot", "/stream/btcusdt@trade"),
        ("usdm", "/other/ws"),
        ("usdm", "/public"),
    ],
)
def test_an_unknown_path_is_refused(endpoint, target):
    with pytest.raises(ValueError, match="refused with 404"):
        connect(make(), target, endpoint)


def test_raw_and_combined_differ_by_the_wrapper_only():
    sim = make()
    raw = connect(sim, "/ws/btcusdt@bookTicker/btcusdt@depth@100ms")
    combined = connect(sim, "/stream?streams=btcusdt@bookTicker/btcusdt@depth@100ms")
    sim.advance(seconds=3)
    raws, wrapped = data(raw), data(combined)
    assert len(raws) > 20
    assert [b'{"stream":"%s","data":%s}' % (frame.topic.encode(), frame.payload) for frame in raws] == [
        frame.payload for frame in wrapped
    ]


def test_the_wrapper_can_be_switched_on():
    sim = make()
    client = connect(sim, "/ws/btcusdt@trade")
    answers(client, '{"method":"SET_PROPERTY","params":["combined",true],"id":5}')
    sim.advance(seconds=3)
    assert all(frame.payload.startswith(b'{"stream":"btcusdt@trade","data":') for frame in data(client))


@pytest.mark.parametrize(
    ("path", "served"),
    [
        ("/public/stream", {"btcusdt@depth@100ms", "btcusdt@bookTicker", "btcusdt@trade"}),
        ("/market/stream", {"btcusdt@aggTrade"}),
        ("/stream", {"btcusdt@depth@100ms", "btcusdt@bookTicker", "btcusdt@trade"}),
        ("/private/stream", set()),
    ],
)
def test_a_stream_on_the_wrong_route_is_acknowledged_and_silent(path, served):
    sim = make()
    client = connect(sim, path, "usdm")
    command = json.dumps({"method": "SUBSCRIBE", "params": STREAMS.split("/"), "id": 1})
    assert answers(client, command) == [b'{"result":null,"id":1}']
    sim.advance(seconds=5)
    assert {frame.topic for frame in data(client)} == served


def test_spot_and_futures_of_one_symbol_are_apart():
    sim = make()
    spot, usdm = connect(sim, "/ws/btcusdt@trade"), connect(sim, "/public/ws/btcusdt@trade", "usdm")
    sim.advance(seconds=5)
    assert all("M" in json.loads(frame.payload) for frame in data(spot))
    assert all("X" in json.loads(frame.payload) for frame in data(usdm))


def test_an_unsubscribed_stream_ends():
    sim = make()
    client = connect(sim, "/ws/btcusdt@trade/btcusdt@bookTicker")
    answers(client, '{"method":"UNSUBSCRIBE","params":["btcusdt@trade"],"id":1}')
    sim.advance(seconds=3)
    assert {frame.topic for frame in data(client)} == {"btcusdt@bookTicker"}


def test_a_path_may_be_percent_encoded():
    sim = make()
    client = connect(sim, "/ws/btcusdt%40trade")
    sim.advance(seconds=3)
    assert {frame.topic for frame in data(client)} == {"btcusdt@trade"}


# Payloads


def keys(payload: bytes) -> list[str]:
    return list(json.loads(payload))


@pytest.mark.parametrize(
    ("endpoint", "path", "stream", "fields"),
    [
        ("spot", "", "btcusdt@depth@100ms", "e E s U u b a"),
        ("spot", "", "btcusdt@bookTicker", "u s b B a A"),
        ("spot", "", "btcusdt@trade", "e E s t p q T m M"),
        ("spot", "", "btcusdt@aggTrade", "e E s a p q f l T m M"),
        ("usdm", "/public", "btcusdt@depth@100ms", "e E T s ps st U u pu b a"),
        ("usdm", "/public", "btcusdt@bookTicker", "e u E T s ps b B a A st"),
        ("usdm", "/public", "btcusdt@trade", "e E T s t p q X m"),
        ("usdm", "/market", "btcusdt@aggTrade", "e E a s p q nq f l T m st"),
    ],
)
def test_a_payload_has_the_venues_fields_in_order(endpoint, path, stream, fields):
    sim = make()
    client = connect(sim, f"{path}/ws/{stream}", endpoint)
    sim.advance(seconds=5)
    frames = data(client)
    assert frames
    assert all(keys(frame.payload) == fields.split() for frame in frames)


def test_numbers_have_the_venues_decimals():
    sim = make()
    spot = connect(sim, "/ws/btcusdt@bookTicker/dogeusdt@bookTicker/bttcusdt@bookTicker")
    usdm = connect(sim, "/public/ws/btcusdt@bookTicker", "usdm")
    sim.advance(seconds=2)
    for client, decimals in ((spot, (8, 8)), (usdm, (2, 3))):
        for frame in data(client):
            quote = json.loads(frame.payload)
            assert tuple(len(quote[key].partition(".")[2]) for key in "bB") == decimals


def test_microseconds_are_given_on_request_on_spot_alone():
    sim = make()
    micro = connect(sim, "/stream?streams=btcusdt@trade&timeUnit=MICROSECOND")
    milli = connect(sim, "/stream?streams=btcusdt@trade")
    usdm = connect(sim, "/public/stream?streams=btcusdt@trade&timeUnit=MICROSECOND", "usdm")
    sim.advance(seconds=5)

    def times(client) -> list[int]:
        return [json.loads(frame.payload)["data"]["T"] for frame in data(client)]

    in_micros = times(micro)
    assert [time // 1000 for time in in_micros] == times(milli)
    assert in_micros[0] > 10**15
    assert times(usdm)[0] < 10**14


def test_the_dated_future_names_its_pair():
    sim = make()
    (dated,) = (row for row in sim.profiles["binance"].instruments if row.expiry)
    assert dated.name == f"BTC/USDT:USDT-{dated.symbol[-6:]}"
    client = connect(sim, f"/public/ws/{dated.symbol.lower()}@bookTicker", "usdm")
    sim.advance(seconds=2)
    quote = json.loads(data(client)[0].payload)
    assert (quote["s"], quote["ps"]) == (dated.symbol, "BTCUSDT")


@pytest.mark.parametrize(("endpoint", "path", "default_ms"), [("spot", "", 1000), ("usdm", "/public", 250)])
@pytest.mark.parametrize("speed_ms", [None, 100, 500, 40])
def test_depth_comes_on_the_grid_of_its_speed(endpoint, path, default_ms, speed_ms):
    sim = make(rate=100)
    stream = "btcusdt@depth" if speed_ms is None else f"btcusdt@depth@{speed_ms}ms"
    client = connect(sim, f"{path}/ws/{stream}", endpoint)
    sim.advance(seconds=4)
    times = [json.loads(frame.payload)["E"] for frame in data(client)]
    step = speed_ms or default_ms
    assert len(times) > 3
    assert all(time % step == 0 for time in times)
    assert min(later - earlier for earlier, later in pairwise(times)) == step


def test_aggregate_trades_add_up_to_the_trades():
    sim = make()
    trades = connect(sim, "/public/ws/btcusdt@trade", "usdm")
    aggregates = connect(sim, "/market/ws/btcusdt@aggTrade", "usdm")
    sim.advance(seconds=20)
    total = sum(round(float(json.loads(frame.payload)["q"]) * 1000) for frame in data(trades))
    sums = [json.loads(frame.payload) for frame in data(aggregates)]
    assert sum(round(float(entry["q"]) * 1000) for entry in sums) == total
    ids = [entry["a"] for entry in sums]
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    assert all(entry["f"] <= entry["l"] for entry in sums)


# Keep-alive and limits


@pytest.mark.parametrize(("endpoint", "allowed"), [("spot", 5), ("usdm", 10)])
@pytest.mark.parametrize("kind", ["receive", "ping", "pong"])
def test_too_many_messages_in_a_second_close_the_connection(endpoint, allowed, kind):
    sim = make()
    client = connect(sim, "/ws", endpoint)
    for _ in range(allowed):
        getattr(client, kind)(b"{}")
    sim.advance(seconds=1)
    client.take()
    for _ in range(allowed):
        getattr(client, kind)(b"{}")
    assert not client.is_closed
    getattr(client, kind)(b"{}")
    assert client.is_closed
    assert client.take()[-1] == Close(1008, "Too many requests")


def test_a_ping_is_answered_with_its_payload():
    client = connect(make(), "/ws")
    client.ping(b"abc")
    assert client.take() == [Pong(b"abc")]


@pytest.mark.parametrize(("endpoint", "every_s", "timeout_s"), [("spot", 20, 60), ("usdm", 180, 600)])
def test_the_venue_pings_and_closes_without_a_pong(endpoint, every_s, timeout_s):
    sim = make(rate=0.01)
    client = connect(sim, "/ws", endpoint)
    sim.advance(seconds=every_s)
    (ping,) = client.take()
    assert isinstance(ping, Ping)
    assert ping.payload
    client.pong(b"unsolicited")
    sim.advance(seconds=timeout_s - 1)
    assert not client.is_closed
    sim.advance(seconds=1)
    assert client.take()[-1] == Close(1008, "Pong timeout")


def test_an_answered_ping_keeps_the_connection():
    sim = make(rate=0.01, ping_interval_s=2, pong_timeout_s=3)
    client = connect(sim, "/ws")
    for _ in range(20):
        sim.advance(seconds=1)
        for ping in client.take():
            client.pong(ping.payload)
    assert not client.is_closed


def test_a_connection_has_a_lifetime():
    sim = make(lifetime_s=30)
    client = connect(sim, "/ws")
    sim.advance(seconds=29)
    assert not client.is_closed
    sim.advance(seconds=1)
    assert client.take()[-1] == Close(1001, "Connection lifetime exceeded")
    assert client not in sim.connections


def test_a_shutdown_is_announced_on_spot():
    sim = make()
    raw, combined, usdm = connect(sim, "/ws"), connect(sim, "/stream"), connect(sim, "/ws", "usdm")
    sim.announce_shutdown("binance")
    assert raw.take() == [Frame(b'{"e":"serverShutdown","E":1785000000000}')]
    assert combined.take() == [Frame(b'{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1785000000000}}')]
    assert usdm.take() == []


# Faults reach the right connections


def test_a_stalled_connection_is_mute_and_open():
    sim = make("stall:@5:btcusdt", ping_interval_s=1, pong_timeout_s=2)
    mute, other = connect(sim, "/ws/btcusdt@trade"), connect(sim, "/ws/ethusdt@trade")
    for _ in range(30):
        sim.advance(seconds=1)
    assert len(mute.take()) == 4
    assert not mute.is_closed
    mute.ping(b"anyone?")
    assert mute.take() == []
    assert other.is_closed


def test_a_disconnect_closes_one_connection():
    sim = make("disconnect:@5:btcusdt")
    cut, other = connect(sim, "/ws/btcusdt@trade"), connect(sim, "/ws/ethusdt@trade")
    sim.advance(seconds=10)
    assert (cut.is_closed, other.is_closed) == (True, False)
    assert len(data(cut)) == 4


def test_acknowledgements_pass_all_faults():
    sim = make("drop:1.0")
    client = connect(sim, "/ws")
    assert answers(client, '{"method":"SUBSCRIBE","params":["btcusdt@trade"],"id":1}') == [b'{"result":null,"id":1}']
    sim.advance(seconds=5)
    assert data(client) == []


def test_the_tap_sees_what_faults_take_away():
    intended = []
    sim = make("drop:0.5")
    sim.tap = lambda connection, frame: intended.append(frame)
    client = connect(sim, "/ws/btcusdt@bookTicker")
    sim.advance(seconds=10)
    got = data(client)
    assert len(got) < len(intended)
    assert set(got) < set(intended)
