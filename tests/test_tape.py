"""tape: trades, liquidations, tickers, bars and quotes of several sources come once, and outlive a venue's faults."""

from __future__ import annotations

import random
import uuid
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pipeline import BOOK, instrument
from wire import Wire

from fastfeed.protocol import open_market
from fastfeed_core.inject import inject


def deal(number: int | bytes, **more: Any) -> dict[str, Any]:
    text = number if isinstance(number, bytes) else str(number).encode()
    return {"px": 100, "sz": 5, "id": text, **more}


def ids(events) -> list[Any]:
    return [event.trade_id for event in events if event.kind == "trade"]


# Trades


def test_the_trades_of_one_message_come_one_by_one_in_its_order():
    wire = Wire()
    deals = [deal(3, px=7, sz=8, side="sell", ts=50, sequence=9), deal(2), deal(1, sequence=8)]
    first, second, third = wire.send("trade", "trade", deals=deals, ts_event=40, ts_send=45)
    assert (first.px, first.sz, first.side, first.trade_id, first.sequence) == (7, 8, "sell", 3, 9)
    assert (first.ts_event, first.ts_send) == (50, 45)
    assert (second.ts_event, second.sequence, second.side) == (40, None, "buy")
    assert third.sequence == 8
    assert wire.counters()["trades"] == 3


def test_a_trade_without_a_price_or_a_size_of_its_own_cannot_be_that_of_the_message_before():
    wire = Wire()
    wire.send("trade", "trade", deals=[deal(1, ts=5, sequence=6, liquidated="buy")])
    (event,) = wire.send("trade", "trade", deals=[deal(2)])
    assert (event.ts_event, event.sequence) == (None, None)


@given(st.sampled_from(["integer", "apart", "uuid", "text"]), st.integers(0, 150), st.integers(0, 2**32))
def test_trades_of_two_connections_come_once_however_far_one_lags(kind, lag, seed):
    rng = random.Random(seed)
    names = {
        "integer": lambda n: b"%d" % (10**9 + n),
        "apart": lambda n: b"%d" % (10**9 + 7 * n + rng.randrange(7)),
        "uuid": lambda n: str(uuid.UUID(int=rng.getrandbits(128))).encode(),
        "text": lambda n: b"BTC-%010d" % n,
    }
    wire = Wire(2)
    wanted = [names[kind](number) for number in range(600)]
    events = []
    for number in range(600 + lag):
        if number < 600:
            events += wire.send("trade", "trade", 0, deals=[deal(wanted[number])])
        if number >= lag:
            events += wire.send("trade", "trade", 1, deals=[deal(wanted[number - lag])])
    found = [str(each).encode() for each in ids(events)]
    assert found == wanted


def test_texts_that_share_their_beginning_do_not_push_each_other_out():
    wire = Wire(2)
    names = [b"ETH-%08d" % (34_000_000 + number) for number in range(100)]
    for name in names:
        wire.feed("trade", "trade", 0, deals=[deal(name)])
    assert len(ids(wire.events())) == 100
    for name in names:
        wire.feed("trade", "trade", 1, deals=[deal(name)])
    assert ids(wire.events()) == []


def test_a_group_has_trades_of_several_instruments():
    wire = Wire(channels=())
    other = open_market(wire.hub, instrument("binance:ETH/USDT"), BOOK)
    connection = wire.connections[0]
    connection.route("trades", "BTCUSDT", "trade", wire.market, group=True)
    connection.route("trades", "ETHUSDT", "trade", other, group=True)
    deals = [deal(1, topic="trades:ETHUSDT"), deal(1, topic="trades:BTCUSDT"), deal(2, topic="trades:ETHUSDT")]
    events = wire.send("trades", "trade", deals=deals)
    assert [(each.name, each.trade_id) for each in events] == [
        ("binance:ETH/USDT", 1), ("binance:BTC/USDT", 1), ("binance:ETH/USDT", 2),
    ]  # fmt: skip
    assert connection.messages("trades") == 1
    # What nobody in the group wants, or has no place in it, costs nothing.
    for kind in ("trade", "liquidation", "ticker", "bbo", "bar", "delta"):
        assert wire.send("trades", kind, deals=[deal(3)], last=1, quote=(1, 1, 2, 2)) == []
    assert wire.send("trades", "trade", deals=[deal(3)], history=True) == []


# History


def test_history_brings_what_was_missed_and_nothing_else():
    wire = Wire(2)
    past = [deal(number, sequence=number) for number in range(1, 6)]
    assert wire.send("trade", "trade", 0, deals=past, history=True) == []
    assert ids(wire.send("trade", "trade", 0, deals=[deal(6, sequence=6)])) == [6]
    wire.close(0)
    # The other one lives, and was subscribed later than what follows happened.
    later = [deal(number, sequence=number) for number in range(4, 10)]
    assert ids(wire.send("trade", "trade", 1, deals=later, history=True)) == [7, 8, 9]
    assert ids(wire.send("trade", "trade", 1, deals=later, history=True)) == []
    assert ids(wire.send("trade", "trade", 1, deals=[deal(10, sequence=10)])) == [10]


def test_history_without_numbers_is_only_remembered():
    wire = Wire()
    assert wire.send("trade", "trade", deals=[deal(1)], history=True) == []
    assert wire.send("trade", "trade", deals=[deal(1)]) == []
    assert ids(wire.send("trade", "trade", deals=[deal(2)])) == [2]


def test_what_was_known_is_forgotten_with_the_last_connection():
    wire = Wire()
    wire.send("trade", "trade", deals=[deal(5, sequence=5)])
    wire.send("bbo", "bbo", quote=(1, 1, 2, 2), last=50)
    wire.send("ticker", "ticker", fields={"last": b"1"}, ts_event=50)
    wire.send("bar", "bar", bars=[{"start": 60, "prices": (1, 1, 1, 1), "closed": True}])
    wire.close(0)
    wire.connections.append(wire.connect())
    # Trades that came while there was no connection are told by the history of the next one.
    missed = wire.send("trade", "trade", 1, deals=[deal(5, sequence=5), deal(7, sequence=7)], history=True)
    assert ids(missed) == [7]
    (quote,) = wire.send("bbo", "bbo", 1, quote=(1, 1, 2, 2), last=3)
    assert quote.sequence == 3
    (ticker,) = wire.send("ticker", "ticker", 1, fields={"mark_price": b"2"}, ts_event=40)
    assert (ticker.last, ticker.mark_price) == (None, 2)
    assert len(wire.send("bar", "bar", 1, bars=[{"start": 0, "prices": (1, 1, 1, 1)}])) == 1


# Liquidations


def test_liquidations_of_a_channel_of_their_own():
    wire = Wire()
    (event,) = wire.send("liquidation", "liquidation", deals=[deal(0, side="sell", ts=9, px=3, sz=4)])
    assert (event.kind, event.side, event.px, event.sz, event.ts_event) == ("liquidation", "sell", 3, 4, 9)
    assert wire.counters()["liquidations"] == 1


def test_liquidations_hidden_in_trades_come_to_who_wants_them():
    both = Wire(channels=(("t", "trade", None), ("t", "liquidation", "trade")))
    trade, liquidation = both.send("t", "trade", deals=[deal(1, side="buy", liquidated="sell")])
    assert (trade.kind, trade.side) == ("trade", "buy")
    assert (liquidation.kind, liquidation.side, liquidation.px) == ("liquidation", "sell", 100)
    assert says_kinds(both.send("t", "trade", deals=[deal(2)])) == ["trade"]
    assert both.send("t", "trade", deals=[deal(1, side="buy", liquidated="sell")]) == []
    one = Wire(channels=(("t", "liquidation", "trade"),))
    assert says_kinds(one.send("t", "trade", deals=[deal(1, liquidated="buy"), deal(2)])) == ["liquidation"]
    none = Wire(channels=(("t", "trade", None),))
    assert says_kinds(none.send("t", "trade", deals=[deal(1, liquidated="buy")])) == ["trade"]


def says_kinds(events) -> list[str]:
    return [event.kind for event in events]


@given(st.integers(1, 3), st.integers(0, 2**32))
def test_liquidations_that_say_the_same_are_as_many_as_one_source_brings(count, seed):
    rng = random.Random(seed)
    wire = Wire(count)
    queues = []
    sent = [(rng.randrange(3), rng.randrange(2), rng.choice(["buy", "sell"])) for _ in range(40)]
    queues = [list(sent) for _ in range(count)]
    found: list[tuple[int, int, str]] = []
    while any(queues):
        number = rng.randrange(count)
        if queues[number]:
            ts, px, side = queues[number].pop(0)
            events = wire.send("liquidation", "liquidation", number, deals=[deal(0, ts=ts, px=px, side=side)])
            found += [(each.ts_event, each.px, each.side) for each in events]
    assert sorted(found) == sorted(sent)


def test_a_liquidation_of_a_connection_that_is_gone_is_not_told_again_by_its_successor():
    wire = Wire(2)
    wire.send("liquidation", "liquidation", 0, deals=[deal(0, ts=1)])
    for _ in range(5):
        wire.close(0)
        wire.connections[0] = wire.connect()
        assert wire.send("liquidation", "liquidation", 0, deals=[deal(0, ts=1)]) == []
    # It is a second one when the same connection tells of it again.
    assert len(wire.send("liquidation", "liquidation", 0, deals=[deal(0, ts=1)])) == 1


# Tickers


def test_a_ticker_merges_what_messages_have():
    wire = Wire()
    (first,) = wire.send("ticker", "ticker", fields={"last": b'"1.50"', "volume": b"1e3"}, ts_event=10)
    assert (first.last, first.volume, first.mark_price, first.ts_event) == (1.5, 1000, None, 10)
    (second,) = wire.send("ticker", "ticker", fields={"mark_price": b"1.51", "last": b"null"}, ts_event=11)
    assert (second.last, second.mark_price) == (1.5, 1.51)
    assert wire.send("ticker", "ticker", fields={"mark_price": b"1.51"}, ts_event=12) == []
    assert wire.send("ticker", "ticker", fields={"mark_price": b'""'}, ts_event=13) == []
    assert wire.counters()["tickers"] == 2


def test_a_copy_that_lags_does_not_bring_back_an_old_value():
    wire = Wire(2)
    for ts in (10, 20):
        wire.send("ticker", "ticker", 0, fields={"mark_price": b"%d" % ts}, ts_event=ts)
    assert wire.send("ticker", "ticker", 1, fields={"mark_price": b"10"}, ts_event=10) == []
    # Of what nobody else brought the copy is the first.
    (event,) = wire.send("ticker", "ticker", 1, fields={"mark_price": b"10", "last": b"9"}, ts_event=15)
    assert (event.mark_price, event.last) == (20, 9)


def test_a_time_in_the_future_does_not_freeze_a_ticker():
    wire = Wire()
    wire.send("ticker", "ticker", fields={"mark_price": b"1"}, ts_event=10**18)
    found = [wire.send("ticker", "ticker", fields={"mark_price": b"%d" % ts}, ts_event=ts) for ts in range(10, 15)]
    assert [[each.mark_price for each in events] for events in found] == [[], [11], [12], [13], [14]]


def test_one_topic_can_be_the_ticker_of_several_instruments():
    wire = Wire(channels=())
    other = open_market(wire.hub, instrument("binance:BTC/USDC"), BOOK)
    for market in (wire.market, other, wire.market):
        wire.connections[0].route("index.btc", "BTC", "ticker", market)
    events = wire.send("index.btc", "ticker", fields={"index_price": b"7.5"})
    assert [(each.name, each.index_price) for each in events] == [
        ("binance:BTC/USDT", 7.5), ("binance:BTC/USDC", 7.5),
    ]  # fmt: skip
    wire.close(0)


# Bars


def bar(start: int, close: int, closed: bool = False) -> dict[str, Any]:
    return {"start": start, "prices": (1, 9, 1, close), "volume": b"2.5", "closed": closed}


def test_bars_come_as_they_change_and_not_behind_their_end():
    wire = Wire(2)
    (first,) = wire.send("bar", "bar", 0, bars=[bar(60, 5)], ts_event=70)
    assert (first.start, first.interval, first.closed) == (60, 60, False)
    assert (first.volume, first.sequence) == (2.5, None)
    assert wire.send("bar", "bar", 1, bars=[bar(60, 5)], ts_event=70) == []
    assert len(wire.send("bar", "bar", 0, bars=[bar(60, 6)], ts_event=80)) == 1
    assert wire.send("bar", "bar", 1, bars=[bar(60, 4)], ts_event=75) == []  # a copy that lags
    last, following = wire.send("bar", "bar", 0, bars=[bar(60, 7, True), bar(120, 1)], ts_event=120)
    assert (last.closed, following.start) == (True, 120)
    assert wire.send("bar", "bar", 1, bars=[bar(60, 7, True)], ts_event=120) == []
    wire.send("bar", "bar", 0, bars=[bar(120, 2, True)])
    assert wire.send("bar", "bar", 0, bars=[bar(120, 3)]) == []
    assert wire.counters()["bars"] == 5


# Quotes


def quotes(events) -> list[Any]:
    return [event.sequence if event.sequence is not None else event.ts_event for event in events]


def test_quotes_by_sequence():
    wire = Wire(2)

    def send(connection, number):
        return quotes(wire.send("bbo", "bbo", connection, quote=(1, 1, 2, 2), last=number))

    assert [send(0, 10), send(1, 10), send(1, 12), send(0, 11), send(0, 12), send(0, 13)] == [[10], [], [12], [], [],
                                                                                             [13]]  # fmt: skip


def test_quotes_by_time():
    wire = Wire(2)

    def send(connection, ts, px):
        return quotes(wire.send("bbo", "bbo", connection, quote=(px, 1, None, 0), ts_event=ts))

    assert [send(0, 10, 1), send(1, 10, 1), send(0, 10, 2), send(1, 10, 2)] == [[10], [], [10], []]
    assert [send(0, 12, 3), send(1, 11, 4), send(1, 12, 3)] == [[12], [], []]


def test_quotes_by_what_they_say():
    wire = Wire(2)

    def send(connection, px):
        return len(wire.send("bbo", "bbo", connection, quote=(px, 1, 9, 1)))

    assert [send(0, 1), send(1, 1), send(0, 2), send(1, 2), send(1, 1)] == [1, 0, 1, 0, 1]


def test_quotes_whose_numbers_start_again_go_on_and_what_lags_does_not_bring_the_old_back():
    wire = Wire(2)

    def send(connection, number):
        return quotes(wire.send("bbo", "bbo", connection, quote=(number, 1, 9**9, 1), last=number))

    assert [send(0, 1000), send(1, 999), send(0, 5), send(0, 6)] == [[1000], [], [], [6]]
    assert [send(1, 1001), send(1, 1002), send(0, 7)] == [[], [], [7]]
    assert [send(1, 6), send(1, 7), send(1, 8), send(0, 9)] == [[], [], [8], [9]]


def test_quotes_recover_when_who_told_of_a_restart_is_gone():
    wire = Wire(2)

    def send(connection, number):
        return quotes(wire.send("bbo", "bbo", connection, quote=(number, 1, 9**9, 1), last=number))

    assert [send(1, 1000), send(0, 1000), send(0, 5), send(0, 6), send(1, 1001)] == [[1000], [], [], [6], []]
    wire.close(0)
    assert [send(1, 1002), send(1, 1003)] == [[1002], [1003]]
    # ... and where the one that lags goes, nothing of it stays.
    wire.connections[0] = wire.connect()
    assert [send(0, 1004), send(0, 8), send(0, 9), send(1, 1005)] == [[1004], [], [9], []]
    wire.close(1)
    assert send(0, 10) == [10]


def test_a_time_in_the_future_does_not_silence_quotes():
    wire = Wire(2)
    found = []
    for connection in (0, 1):
        wire.send("bbo", "bbo", connection, quote=(1, 1, 2, 1), ts_event=10**18)
    for ts in range(10, 20):
        for connection in (0, 1):
            found += quotes(wire.send("bbo", "bbo", connection, quote=(ts, 1, 99, 1), ts_event=ts))
    assert found == list(range(11, 20))


def test_an_idle_message_says_nothing():
    wire = Wire()
    assert wire.send("ticker", "idle") == []
    assert not inject(wire.connections[0], "bbo", "idle", 5)
