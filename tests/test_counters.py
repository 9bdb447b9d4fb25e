"""counters: percentiles to three per cent, for each connection and instrument, as other tools read them."""

from __future__ import annotations

import base64
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pipeline import BOOK, Pipeline, frame, instrument, spot_depth
from wire import Wire

from fastfeed.protocol import open_market
from fastfeed_core.connection import Connection
from fastfeed_core.counters import Histogram, bucket_high, bucket_low
from fastfeed_core.decoders.binance import BinanceDecoder

HISTOGRAM_SIZE = 1216


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=300), st.sampled_from([0.1, 50, 90, 99, 99.9, 100]))
def test_a_percentile_is_within_three_per_cent_of_the_exact_one(values, percent):
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    rank = max(1, -(-len(values) * percent // 100))
    exact = sorted(values)[min(len(values), int(rank)) - 1]
    assert exact <= histogram.percentile(percent) <= exact * 1.032 + 1
    assert (histogram.count, histogram.max) == (len(values), max(values))


def test_buckets_touch_and_cover_all_values():
    for index in range(1215):
        assert bucket_high(index) + 1 == bucket_low(index + 1)


def test_values_of_clocks_that_disagree_count_as_nothing():
    histogram = Histogram()
    histogram.record(-5)
    assert (histogram.count, histogram.percentile(50)) == (1, 0)


def test_merged_histograms_count_both():
    one, other = Histogram(), Histogram()
    one.record(10)
    other.record(1000)
    one.merge(other)
    assert (one.count, one.max) == (2, 1000)


@given(st.lists(st.integers(0, 2**41), min_size=1, max_size=200))
def test_other_tools_read_the_same_percentiles(values):
    hdr = pytest.importorskip("hdrh.histogram", reason="hdrhistogram is not installed")
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    told = hdr.HdrHistogram.decode(histogram.encode())
    assert told.get_total_count() == len(values)
    for rank in range(1, len(values) + 1):
        percent = 100 * rank / len(values)  # of a whole rank: they round a broken one, we take the next
        ours = histogram.percentile(percent)
        # Its buckets lie inside of ours, and it tells the upper end of its own.
        assert ours <= told.get_value_at_percentile(percent) <= ours * 1.008 + 1


def decode(text):
    """HdrHistogram's V2 encoding by its description, with 2 significant digits: {index of a count: the count}."""
    packed = base64.b64decode(text)
    assert struct.unpack(">ii", packed[:8]) == (0x1C849314, len(packed) - 8)
    raw = zlib.decompress(packed[8:])
    cookie, length, offset, digits, lowest, _, ratio = struct.unpack(">iiiiqqd", raw[:40])
    assert (cookie, length, offset, digits, lowest, ratio) == (0x1C849313, len(raw) - 40, 0, 2, 1, 1.0)
    counts, index, at = {}, 0, 40
    while at < len(raw):
        word = shift = 0
        while True:
            byte = raw[at]
            at += 1
            word |= (byte if shift == 56 else byte & 127) << shift
            shift += 7
            if byte < 128 or shift == 63:
                break
        value = (word >> 1) ^ -(word & 1)
        if value < 0:
            index -= value
        else:
            counts[index] = value
            index += 1
    return counts


@given(st.dictionaries(st.integers(0, 2**41), st.integers(1, 2**40), max_size=30))
def test_the_encoded_form_is_as_described(values):
    counts = bytearray(8 * HISTOGRAM_SIZE)
    expected = {}
    for value, count in values.items():
        at = next(i for i in range(HISTOGRAM_SIZE) if bucket_low(i) <= value <= bucket_high(i))
        struct.pack_into("<q", counts, 8 * at, struct.unpack_from("<q", counts, 8 * at)[0] + count)
        high = bucket_high(at)
        shift = max(0, high.bit_length() - 8)
        index = 128 * shift + (high >> shift)
        expected[index] = expected.get(index, 0) + count
    assert decode(Histogram(bytes(counts)).encode()) == expected


def test_the_distribution_halves_what_is_left():
    histogram = Histogram()
    for value in range(1, 1001):
        histogram.record(value)
    told = histogram.percentiles(1)
    assert [percent for percent, _, _ in told[:4]] == [0.0, 50.0, 75.0, 87.5]
    assert told[-1] == (100.0, 1000, 1000)
    for percent, value, count in told:
        assert value == histogram.percentile(100.0 * count / 1000)
        assert count >= percent * 10
    assert Histogram().percentiles() == []
    with pytest.raises(ValueError, match="steps: expected at least 1, was 0"):
        histogram.percentiles(0)


def test_a_message_is_counted_for_its_connection_and_its_instrument():
    pipeline = Pipeline(connections=2)
    topic = "btcusdt@depth@100ms"
    sent = 1772506983582_000_000
    for connection, after in ((0, 5_000), (1, 70_000), (1, -30_000)):
        pipeline.ts = sent + after - 1
        pipeline.receive(frame(spot_depth(1, 2), topic), connection)
    first, second = pipeline.map.connections()
    both = pipeline.map.instrument_latency(0)
    assert [Histogram(*each["latency"]).count for each in (first, second, both)] == [1, 2, 3]
    venue = Histogram(*both["venue_latency"])
    assert (venue.count, venue.max) == (3, 70_000)
    assert venue.percentile(1) == 0  # the venue's clock is ahead: it counts as no time
    assert venue.percentile(60) == pytest.approx(5_000, rel=0.032)
    assert (both["venue_ahead"], both["venue_min"]) == (1, -30_000)
    assert (first["venue_ahead"], first["venue_min"]) == (0, 5_000)
    assert (second["venue_ahead"], second["venue_min"]) == (1, -30_000)


def test_nothing_is_said_of_a_venue_that_tells_no_time():
    pipeline = Pipeline()
    quote = {"u": 1, "s": "BTCUSDT", "b": "1.00", "B": "1", "a": "2.00", "A": "1"}
    pipeline.receive(frame(quote, "btcusdt@bookTicker"))
    row = pipeline.row()
    assert Histogram(*row["latency"]).count == 1
    assert Histogram(*row["venue_latency"]).count == 0
    assert (row["venue_ahead"], row["venue_min"]) == (0, None)


def test_latencies_of_instruments_stand_apart():
    wire = Wire()
    other = open_market(wire.hub, instrument("binance:ETH/USDT"), BOOK)
    connection = Connection(wire.hub, wire.writer.add_connection("test"), BinanceDecoder(), 8, 1)
    connection.route("ethusdt@bookTicker", "ETHUSDT", "bbo", other)
    quote = {"u": 1, "s": "ETHUSDT", "b": "1.00", "B": "1", "a": "2.00", "A": "1"}
    for _ in range(3):
        connection.receive(frame(quote, "ethusdt@bookTicker"), 7)
    counts = [Histogram(*wire.bus.map.instrument_latency(i)["latency"]).count for i in range(2)]
    assert counts == [0, 3]
    with pytest.raises(IndexError, match="no such instrument: 2 of 2"):
        wire.bus.map.instrument_latency(2)
