"""decoders/binance: every shape of the venue's messages, and nothing else."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from oracles import Refused, StrictBinance
from pipeline import Pipeline, frame, instrument, rest_book, spot_depth

USDM = instrument("binance:BTC/USDT:USDT", "0.10", "0.001")

# One payload of each shape, composed after the venue's documentation; the third column is what must come out.
SAMPLES = {
    "spot-depth": (None, "btcusdt@depth@100ms", '{"e":"depthUpdate","E":1772506983582,"s":"BTCUSDT","U":157,"u":160,"b":[["67123.45000000","1.50000000"],["67123.00000000","0.00000000"]],"a":[["67124.00000000","0.25000000"]]}'),
    "spot-bbo": (None, "btcusdt@bookTicker", '{"u":400900217,"s":"BTCUSDT","b":"67123.45000000","B":"1.50000000","a":"67124.00000000","A":"0.25000000"}'),
    "spot-trade": (None, "btcusdt@trade", '{"e":"trade","E":1772506983583,"s":"BTCUSDT","t":987654321,"p":"67123.45000000","q":"0.01234000","T":1772506983582,"m":true,"M":true}'),
    "spot-agg": (None, "btcusdt@aggTrade", '{"e":"aggTrade","E":1772506983583,"s":"BTCUSDT","a":5933014,"p":"67123.45000000","q":"0.01234000","f":100,"l":105,"T":1772506983582,"m":false,"M":true}'),
    "usdm-depth": (USDM, "btcusdt@depth@100ms", '{"e":"depthUpdate","E":1785000000120,"T":1785000000113,"s":"BTCUSDT","ps":"BTCUSDT","st":1,"U":9000001050,"u":9000001100,"pu":9000001031,"b":[["67123.40","1.500"],["67120.00","0.000"]],"a":[["67123.50","0.250"]]}'),
    "usdm-depth-2024": (USDM, "btcusdt@depth@100ms", '{"e":"depthUpdate","E":1723161256299,"T":1723161256298,"s":"BTCUSDT","U":5123107832006,"u":5123107837557,"pu":5123107831937,"b":[["58710.20","0.014"]],"a":[]}'),
    "usdm-bbo": (USDM, "btcusdt@bookTicker", '{"e":"bookTicker","u":9000001101,"E":1785000000121,"T":1785000000120,"s":"BTCUSDT","ps":"BTCUSDT","b":"67123.40","B":"1.500","a":"67123.50","A":"0.250","st":1}'),
    "usdm-bbo-2024": (USDM, "btcusdt@bookTicker", '{"e":"bookTicker","u":5123107839020,"s":"BTCUSDT","b":"61800.20","B":"2.507","a":"61800.30","A":"2.510","T":1723161256313,"E":1723161256313}'),
    "usdm-trade": (USDM, "btcusdt@trade", '{"e":"trade","E":1723161256322,"T":1723161256322,"s":"BTCUSDT","t":5266583935,"p":"61800.30","q":"0.006","X":"MARKET","m":false}'),
    "usdm-agg": (USDM, "btcusdt@aggTrade", '{"e":"aggTrade","E":1785000000130,"a":5933014,"s":"BTCUSDT","p":"67123.50","q":"0.100","nq":"0.100","f":7100,"l":7105,"T":1785000000125,"m":false,"st":1}'),
}  # fmt: skip
samples = pytest.mark.parametrize("name", SAMPLES)


def whole(name: str) -> bytes:
    _, topic, payload = SAMPLES[name]
    return f'{{"stream":"{topic}","data":{payload}}}'.encode()


def live(name: str) -> Pipeline:
    """A pipeline whose book stands right before the sample."""
    what, _, payload = SAMPLES[name]
    pipeline = Pipeline(what)
    data = json.loads(payload)
    before = data.get("pu", data.get("U", 1) - 1)
    assert pipeline.snapshot(rest_book(before, [["60000.00", "1.000"]], [["70000.00", "2.000"]]))
    pipeline.events()
    return pipeline


def read(payload: dict[str, Any], what: Any) -> dict[str, Any] | None:
    """What a strict reader makes of a payload, in exact numbers; None if it must be refused."""

    def number(text: Any, exponent: int) -> Decimal:
        # In quotes or bare: both are numbers of the venue's kind.
        value = Decimal(text) if isinstance(text, str) else Decimal(str(text))
        if isinstance(text, bool) or value < 0 or value.scaleb(-exponent) % 1 or value.scaleb(-exponent) >= 2**63:
            raise ValueError(text)
        return value

    def integer(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
            raise ValueError(value)
        return value

    px, sz = what.px_exp, what.sz_exp
    if payload["s"] != "BTCUSDT":
        raise ValueError("symbol")
    return {
        "bids": [(number(p, px), number(q, sz)) for p, q in payload["b"]],
        "asks": [(number(p, px), number(q, sz)) for p, q in payload["a"]],
        "sequence": integer(payload["u"]),
    }


@samples
def test_every_shape_is_read_by_its_scanner(name):
    _what, _, payload = SAMPLES[name]
    pipeline = live(name)
    (event,) = pipeline.receive(whole(name))
    data = json.loads(payload)
    assert pipeline.row()["fallbacks"] == 0
    assert pipeline.row()["malformed"] == 0
    assert event.name == pipeline.instrument.name
    happened = data.get("T", data.get("E"))
    assert event.ts_event == (None if happened is None else happened * 1_000_000)
    assert event.ts_send == (None if "E" not in data else data["E"] * 1_000_000)
    if name.endswith(("trade", "agg")):
        assert (event.kind, event.price, event.size) == ("trade", float(data["p"]), float(data["q"]))
        assert event.side == ("sell" if data["m"] else "buy")
        assert event.trade_id == data.get("t", data.get("a"))
    elif "bbo" in name:
        found = (event.bid, event.bid_size, event.ask, event.ask_size)
        assert found == tuple(float(data[key]) for key in "bBaA")
        assert (event.kind, event.sequence, event.derived) == ("bbo", data["u"], False)
    else:
        assert event.kind == "delta"
        assert event.bids == [(float(p), float(q)) for p, q in data["b"]]
        assert event.asks == [(float(p), float(q)) for p, q in data["a"]]
        assert (event.prev_sequence, event.sequence) == (data.get("pu", data["U"] - 1), data["u"])


def plain(event: Any) -> dict[str, Any]:
    fields = event.as_dict()
    del fields["position"], fields["ts_recv"], fields["ts_publish"]
    return fields


@samples
@given(data=st.data())
def test_order_space_and_unknown_fields_do_not_matter(name, data):
    _, topic, payload = SAMPLES[name]
    fields = [*json.loads(payload).items(), ("new", {"deep": [1, "\u20ac\n", None, {"a": -1.5e3}]}), ("zz", "x")]
    shuffled = dict(data.draw(st.permutations(fields)))
    outer = data.draw(st.permutations([("stream", topic), ("data", shuffled), ("other", [True])]))
    text = json.dumps(dict(outer), indent=data.draw(st.sampled_from([None, 1]))).encode()
    pipeline, reference = live(name), live(name)
    (event,) = pipeline.receive(text)
    (wanted,) = reference.receive(whole(name))
    assert plain(event) == plain(wanted)
    assert pipeline.row()["fallbacks"] == 1


@samples
def test_every_truncation_is_refused_and_costs_no_other_message(name):
    text = whole(name)
    pipeline = live(name)
    connection = pipeline.connections[0]
    for size in range(len(text)):
        pipeline.receive(text[:size])
    assert pipeline.row()["malformed"] == len(text)
    for _, offset, sample in connection.take_malformed():
        assert 0 <= offset <= len(sample)
    other = whole("spot-trade" if name.startswith("spot") else "usdm-trade")
    events = [event for event in pipeline.receive(other) if event.kind == "trade"]
    assert len(events) == 1


@given(st.sampled_from(["spot-depth", "usdm-depth", "usdm-depth-2024"]), st.data())
def test_a_mutated_depth_message_is_never_read_wrongly(name, data):
    text = bytearray(whole(name))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(len('{"stream":"btcusdt@depth@100ms","data":'), len(text) - 1))
        how = data.draw(st.sampled_from(["flip", "digit", "drop", "double"]))
        if how == "flip":
            text[at] ^= 1 << data.draw(st.integers(0, 7))
        elif how == "digit":
            text[at] = data.draw(st.sampled_from(b'0123456789."-,e[]'))
        elif how == "drop":
            del text[at]
        else:
            text.insert(at, text[at])
    pipeline = live(name)
    deltas = [event for event in pipeline.receive(bytes(text)) if event.kind == "delta"]
    if not deltas:
        return
    # It was read: then it is JSON, and says just this.
    message = json.loads(bytes(text))
    wanted = read(message["data"], pipeline.instrument)
    (event,) = deltas
    price, size = pipeline.instrument.price, pipeline.instrument.size
    assert [(price(px), size(sz)) for px, sz in event.bid_mantissas] == wanted["bids"]
    assert [(price(px), size(sz)) for px, sz in event.ask_mantissas] == wanted["asks"]
    assert event.sequence == wanted["sequence"]


@pytest.mark.parametrize(
    ("change", "value"),
    [("s", "ETHUSDT"), ("u", "160"), ("U", 1.5), ("E", -1), ("E", 2**62), ("e", "trade"), ("b", None), ("b", [["1"]]),
     ("b", [["1", "2", "3"]]), ("b", [["-1", "2"]]), ("b", [["1", "-2"]]), ("a", [["1e30", "1"]]),
     ("a", [["0.00000001", "1"]]), ("u", 2**63), ("U", 500)],
)  # fmt: skip
def test_what_is_not_of_the_venues_shape_is_refused(change, value):
    pipeline = live("spot-depth")
    message = {**json.loads(SAMPLES["spot-depth"][2]), change: value}
    events = pipeline.receive(frame(message))
    assert pipeline.row()["malformed"] == 1
    # It could have been a delta: the book is not trusted any more.
    assert [(event.kind, event.state, event.reason) for event in events] == [("status", "syncing", "malformed")]
    assert not pipeline.market.live


@pytest.mark.parametrize("field", ["e", "E", "s", "U", "u", "b", "a"])
def test_a_missing_or_repeated_field_is_refused(field):
    data = json.loads(SAMPLES["spot-depth"][2])
    text = frame({key: value for key, value in data.items() if key != field})
    assert live("spot-depth").receive(text)[0].reason == "malformed"
    repeated = frame(data)[:-2] + f',"{field}":{json.dumps(data[field])}}}}}'.encode()
    assert live("spot-depth").receive(repeated)[0].reason == "malformed"


@pytest.mark.parametrize(
    "text",
    [b'{"result":null,"id":1}', b'{"code":2,"msg":"Invalid request"}', b'{"error":{"code":2,"msg":"x"},"id":4}',
     b'{"e":"serverShutdown","E":1770123456789}',
     b'{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1770123456789}}'],
)  # fmt: skip
def test_control_frames_are_handed_to_the_protocol(text):
    pipeline = Pipeline()
    assert pipeline.receive(text) == []
    assert pipeline.connections[0].take_controls() == [text]
    assert pipeline.row()["controls"] == 1


def test_a_topic_that_nobody_asked_for_is_counted():
    pipeline = Pipeline()
    pipeline.receive(frame(spot_depth(1, 2), "ethusdt@depth@100ms"))
    pipeline.receive(b'{"hello":"world"}')
    assert pipeline.row()["unrouted"] == 2


def test_an_empty_side_of_a_quote_has_no_price():
    pipeline = Pipeline()
    quote = {"u": 5, "s": "BTCUSDT", "b": "0.00000000", "B": "0.00000000", "a": "1.00000000", "A": "2.00000000"}
    (event,) = pipeline.receive(frame(quote, "btcusdt@bookTicker"))
    assert (event.bid, event.bid_size, event.ask, event.ask_size) == (None, 0.0, 1.0, 2.0)


@pytest.mark.parametrize(
    "payload",
    ['{"e":"trade","E":1785780046072,"T":1785780046071,"s":"BTCUSDT","t":7950493454,"p":"0","q":"0","X":"NA","m":true,"st":1}',
     '{"e":"trade","E":1785780046072,"T":1785780046071,"s":"BTCUSDT","t":7950493454,"p":"61000.10","q":"0.5","X":"INSURANCE_FUND","m":true}',
     '{"e":"trade","E":1785780046072,"T":1785780046071,"s":"BTCUSDT","t":7950493454,"p":"61000.10","q":"0.5","X":"ADL","m":true}'],
    ids=["none", "insurance", "deleveraging"],
)  # fmt: skip
def test_what_is_no_trade_of_the_market_is_left_out(payload):
    pipeline = Pipeline(USDM)
    assert pipeline.receive(frame(json.loads(payload), "btcusdt@trade")) == []
    assert pipeline.receive(json.dumps({"data": json.loads(payload), "stream": "btcusdt@trade"}).encode()) == []
    assert (pipeline.row()["malformed"], pipeline.row()["fallbacks"]) == (0, 1)
    # Nor does it stand for one that has its id.
    assert len(pipeline.receive(frame(json.loads(payload) | {"X": "MARKET", "p": "1"}, "btcusdt@trade"))) == 1


def test_a_broken_frame_costs_the_book_that_it_names():
    text = whole("spot-depth")
    for broken in (text[:-1], text.replace(b'"U":157', b'"U":15\x007'), text.replace(b"]}}", b"]]}")):
        pipeline = live("spot-depth")
        assert [event.reason for event in pipeline.receive(broken)] == ["malformed"]
    pipeline = live("spot-depth")
    assert pipeline.receive(whole("spot-trade")[:-1]) == []
    assert pipeline.market.live


@pytest.mark.parametrize("name", ["spot-depth", "usdm-depth"])
def test_an_interval_that_ends_before_it_begins_is_refused_in_any_order_of_fields(name):
    data = json.loads(SAMPLES[name][2])
    data["U"] = data["u"] + 1
    for fields in (data, dict(reversed(data.items()))):
        pipeline = live(name)
        assert [event.reason for event in pipeline.receive(frame(fields))] == ["malformed"]


@pytest.mark.parametrize("field", ["lastUpdateId", "bids", "asks"])
def test_a_snapshot_that_repeats_a_field_is_refused(field):
    body = json.loads(rest_book(10, [["1.00", "1.0"]], [["2.00", "1.0"]]))
    text = json.dumps(body)[:-1] + f',"{field}":{json.dumps(body[field])}}}'
    with pytest.raises(ValueError, match="repeated"):
        Pipeline().snapshot(text.encode())


TOPICS = {"btcusdt@depth@100ms": "book", "btcusdt@bookTicker": "bbo", "btcusdt@trade": "trade",
          "btcusdt@aggTrade": "trade"}  # fmt: skip
MANY = settings(max_examples=settings.default.max_examples * 5 // 2)
JUNK = [None, True, False, 0, -1, 1.5, "", "x", "-1", "1e2", "0.1e1", "01", "1.", "+1", " 1", "1 ", "0", "-0", "0.0",
        [], {}, [1], 2**53, 2**62, 2**63 - 1, 2**63, 2**64, 10**30, "9223372036854775807", "1e400", "1e-400", "NaN",
        "0.000000001", "12345678.12345678", "123456789012345678901", "ETHUSDT", "BTCUSDT", [["1", "2"]],
        [["1", "2"], ["1"]], [["1", "2", "3"]], [[1, 2.50]], [["1", None]], ["12"], [[["1"], "2"]], "bookTicker", "trade", "aggTrade",
        "depthUpdate"]  # fmt: skip


def outcome(name: str, text: bytes, before: int | None) -> tuple[int, dict[str, Any] | None]:
    """How many frames were refused (0 or 1), and the event that came out, as the strict reader says it."""
    pipeline = Pipeline(SAMPLES[name][0])
    if before is not None:
        assert pipeline.snapshot(rest_book(before, [["60000.00", "1.000"]], [["70000.00", "2.000"]]))
        pipeline.events()
    events = [event for event in pipeline.receive(text) if event.kind != "status"]
    assert len(events) <= 1
    if not events:
        return pipeline.row()["malformed"], None
    (event,) = events
    found = {"kind": event.kind, "ts_event": event.ts_event, "ts_send": event.ts_send}
    if event.kind == "delta":
        found |= {"prev_sequence": event.prev_sequence, "sequence": event.sequence,
                  "bids": [*map(tuple, event.bid_mantissas)], "asks": [*map(tuple, event.ask_mantissas)]}  # fmt: skip
    elif event.kind == "bbo":
        found |= {key: getattr(event, key) for key in ("sequence", "bid_px", "bid_sz", "ask_px", "ask_sz")}
    else:
        found |= {key: getattr(event, key) for key in ("trade_id", "px", "sz", "side")}
    return pipeline.row()["malformed"], found


def hold_against_the_strict_reader(name: str, text: bytes) -> None:
    what = SAMPLES[name][0] or instrument()
    why = None
    try:
        wanted = StrictBinance(what.px_exp, what.sz_exp, TOPICS).read(text)
    except Refused as refusal:
        why = refusal
    if why is not None:
        assert outcome(name, text, before_of(name)) == (1, None), f"must be refused: {why}"
        return
    before = None
    if wanted is not None and wanted["kind"] == "delta":
        before = max(wanted["prev_sequence"], 0)
        if before >= wanted["sequence"]:
            wanted = None  # 0 to 0: nothing can stand before it
    assert outcome(name, text, before) == (0, wanted)


def before_of(name: str) -> int:
    data = json.loads(SAMPLES[name][2])
    return data.get("pu", data.get("U", 1) - 1)


@samples
@MANY
@given(data=st.data())
def test_any_values_in_any_order_are_read_as_a_strict_reader_reads_them(name, data):
    _, topic, payload = SAMPLES[name]
    fields = json.loads(payload)
    for key in data.draw(st.lists(st.sampled_from(sorted(fields)), max_size=2)):
        # Values of other fields are the likeliest to be taken for something that they are not.
        fields[key] = data.draw(st.sampled_from([*JUNK, *fields.values()]))
    order = list(fields.items())
    if data.draw(st.booleans()):
        order = data.draw(st.permutations(order))
    if data.draw(st.booleans()):
        order.insert(
            data.draw(st.integers(0, len(order))), (data.draw(st.sampled_from([*"eETsUubBaAtpqmXM", "pu"])), 1)
        )
    if data.draw(st.booleans()):
        del order[data.draw(st.integers(0, len(order) - 1))]
    inner = ",".join(f"{json.dumps(key)}:{json.dumps(value, separators=(',', ':'))}" for key, value in order)
    space = data.draw(st.sampled_from(["", "", " ", "\n\t"]))
    text = f'{{"stream":{space}"{topic}","data":{{{inner}}}{space}}}'.encode()
    hold_against_the_strict_reader(name, text)


@samples
@MANY
@given(data=st.data())
def test_flipped_lost_and_doubled_bytes_are_read_as_a_strict_reader_reads_them(name, data):
    text = bytearray(whole(name))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text) - 1))
        how = data.draw(st.sampled_from(["flip", "set", "drop", "double", "swap"]))
        if how == "flip":
            text[at] ^= 1 << data.draw(st.integers(0, 7))
        elif how == "set":
            text[at] = data.draw(st.sampled_from(b'0123456789."-,:eE+[]{} \\\x00\x80\xff'))
        elif how == "drop":
            del text[at]
        elif how == "double":
            text.insert(at, text[at])
        else:
            other = data.draw(st.integers(0, len(text) - 1))
            text[at], text[other] = text[other], text[at]
    assume(b"\\" not in text)  # spellings by escape are another test's
    hold_against_the_strict_reader(name, bytes(text))


@samples
def test_every_single_byte_of_a_message_matters_or_is_ignored_on_purpose(name):
    text = whole(name)
    for at in range(len(text)):
        for other in (b"0", b'"', b"}", b"."):
            hold_against_the_strict_reader(name, text[:at] + other + text[at + 1 :])


def test_a_field_that_is_repeated_by_an_escaped_spelling_is_refused():
    text = frame(json.loads(SAMPLES["spot-depth"][2]))[:-2] + b',"\\u0075":170}}'
    assert [event.kind for event in live("spot-depth").receive(text)] == ["status"]


@pytest.mark.parametrize("name", [name for name in SAMPLES if "depth" in name])
def test_truncations_leave_the_book_as_it_was_or_drop_it(name):
    pipeline = live(name)
    before = pipeline.levels()
    text = whole(name)
    for size in range(len(text)):
        pipeline.receive(text[:size])
        assert pipeline.levels() == (before if pipeline.market.live else ([], []))
    if pipeline.market.live:
        assert pipeline.receive(text)[0].kind == "delta"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"lastUpdateId":1,"bids":[]}', id="asks-missing"),
        pytest.param(b'{"bids":[],"asks":[]}', id="id-missing"),
        pytest.param(b'{"lastUpdateId":-1,"bids":[],"asks":[]}', id="id-negative"),
        pytest.param(b'{"lastUpdateId":1,"bids":[["1","1","1"]],"asks":[]}', id="three-in-a-pair"),
        pytest.param(b'{"lastUpdateId":1,"bids":[["1","-1"]],"asks":[]}', id="size-negative"),
        pytest.param(b'{"lastUpdateId":1,"bids":[["1","0.00000001"]],"asks":[]}', id="size-inexact"),
        pytest.param(b'{"lastUpdateId":1,"bids":[],"asks":[]} x', id="text-behind-it"),
        pytest.param(b'{"code":-1121,"msg":"Invalid symbol."}', id="an-error"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_a_snapshot_that_is_not_of_the_venues_shape_is_refused(body):
    pipeline = Pipeline()
    with pytest.raises(ValueError, match=r"field|number|JSON|ended") as refusal:
        pipeline.snapshot(body)
    assert 0 <= refusal.value.args[2] <= len(body)
    assert not pipeline.market.live


@given(st.data())
def test_every_truncation_of_a_snapshot_is_refused(data):
    body = rest_book(10, [["100.00", "1.0"]], [["101.00", "1.0"]])
    pipeline = Pipeline()
    with pytest.raises(ValueError, match=r"ended|not JSON|field"):
        pipeline.snapshot(body[: data.draw(st.integers(0, len(body) - 1))])
    assert pipeline.levels() == ([], [])
