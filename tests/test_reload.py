"""The difference between two configurations."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

import msgspec
import pytest
from fakevenue import coin

from fastfeed.config import Bus, Config, Feed, Network, Reconnect
from fastfeed.engine.reload import choose, pair_feeds, steps
from fastfeed.errors import ConfigError
from fastfeed.instrument import Instrument


def feed(instruments: str = "BTC/USDT", channels: str = "book", **fields: Any) -> Feed:
    known: dict[str, Any] = {"venue": "binance"} | fields
    return Feed(instruments=tuple(instruments.split()), channels=tuple(channels.split()), **known)


def config(*feeds: Feed, ring: int = 1 << 20, cap_s: float = 30.0, proxy: str | None = None) -> Config:
    bus, reconnect = Bus(name="a", ring=ring), Reconnect(cap_s=cap_s)
    return Config(bus=bus, feeds=feeds, reconnect=reconnect, network=Network(proxy=proxy))


def pairs(old: Config, new: Config) -> tuple[list[int | None], list[int]]:
    found, gone = pair_feeds(old, old.feeds, new)
    assert [each.new for each in found] == list(new.feeds)
    return [each.place for each in found], gone


PROXY = "http://127.0.0.1:3128"
OKX = feed(venue="okx")
DEPTH, TRADES = feed(channels="book"), feed(channels="trade")
SLOW = feed("ETH/USDT", depth_speed="1000ms")


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ((DEPTH,), (DEPTH,), ([0], [])),
        ((DEPTH,), (feed("ETH/USDT", "trade bbo"),), ([0], [])),
        ((DEPTH,), (DEPTH, OKX), ([0, None], [])),
        ((DEPTH, OKX), (OKX,), ([1], [0])),
        ((DEPTH, OKX), (OKX, DEPTH), ([1, 0], [])),
        ((DEPTH, TRADES), (TRADES, feed("ETH/USDT")), ([1, 0], [])),
        ((DEPTH,), (TRADES, DEPTH), ([None, 0], [])),
        ((DEPTH,), (DEPTH, SLOW), ([0, None], [])),
        ((DEPTH, SLOW), (SLOW,), ([1], [0])),
    ],
    ids=["same", "other instruments", "one more", "one gone", "moved", "told apart", "split", "other options", "last"],
)
def test_feeds_go_on_as_what_they_were(old, new, found):
    assert pairs(config(*old), config(*new)) == found


@pytest.mark.parametrize(
    ("new", "paths"),
    [
        (config(DEPTH, ring=1 << 21), ["bus.ring"]),
        (config(DEPTH, cap_s=2.0), ["reconnect.cap_s"]),
        (config(feed(connections=2)), ["feed[0].connections"]),
        (config(feed(connections=2, depth_speed="1000ms"), ring=1 << 21),
         ["bus.ring", "feed[0].connections", "feed[0].depth_speed"]),
        (config(OKX, feed(verify_s=5)), ["feed[1].verify_s"]),
        (config(DEPTH, proxy=PROXY), ["feed[0].proxy"]),
        (config(feed(proxy=PROXY)), ["feed[0].proxy"]),
        (config(feed(credentials_file="login.toml")), ["feed[0].credentials_file"]),
    ],
    ids=["bus", "reconnect", "feed", "all", "second", "proxy of all", "proxy", "credentials"],
)  # fmt: skip
def test_what_cannot_change_is_named_all_of_it(new, paths):
    with pytest.raises(ConfigError) as caught:
        pairs(config(DEPTH), new)
    assert [each.path for each in (caught.value, *caught.value.also)] == paths


def test_a_proxy_is_the_same_wherever_it_stands():
    for old, new in (
        (config(DEPTH, proxy=PROXY), config(feed(proxy=PROXY))),
        (config(feed(proxy="direct"), proxy=PROXY), config(DEPTH)),
    ):
        assert pairs(old, new) == ([0], [])
        assert pairs(new, old) == ([0], [])


def test_steps_are_the_difference_and_no_more():
    one, two, three = (coin(number) for number in range(3))
    has = {one.name: ("book", "trade"), two.name: ("book",)}
    assert steps(has, [one, two], ("book",)) == ({("trade",): [one.name]}, {})
    assert steps(has, [one, three], ("book", "trade")) == ({("book",): [two.name]}, {("book", "trade"): [three]})
    assert steps(has, [two], ("trade",)) == (
        {("book", "trade"): [one.name], ("book",): [two.name]}, {("trade",): [two]},
    )  # fmt: skip
    assert steps({}, [], ("book",)) == ({}, {})


def listing(count: int, closed: tuple[int, ...] = ()) -> list[Instrument]:
    coins = [coin(number) for number in range(count)]
    return [
        msgspec.structs.replace(each, status="closed") if number in closed else each
        for number, each in enumerate(coins)
    ]


def test_a_pattern_keeps_what_does_not_trade_any_more_and_takes_nothing_such():
    listed = listing(4, closed=(1, 2))
    symbols = [each.name.partition(":")[2] for each in listed]
    chosen = choose(listed, ["*"], {listed[1].name}, "x")
    assert chosen == [listed[0], listed[3], listed[1]]
    assert choose(listed, [symbols[2]], {listed[1].name}, "x") == [listed[2]]
    with pytest.raises(ConfigError):
        choose(listed, ["NONE/USDT"], {listed[1].name}, "x")


def test_symbols_are_looked_up_and_not_compared_with_all_that_is_listed(monkeypatch):
    compared = []

    def counting(name: str, pattern: str) -> bool:
        compared.append(pattern)
        return fnmatchcase(name, pattern)

    for module in ("engine.reload", "config"):
        monkeypatch.setattr(f"fastfeed.{module}.fnmatchcase", counting)
    listed = listing(300, closed=(7,))
    has = {each.name for each in listed}
    chosen = choose(listed, [each.name.partition(":")[2] for each in listed[100:]], has, "x")
    assert chosen == listed[100:]
    assert compared == []
    assert len(choose(listed, ["C1*"], has, "x")) == sum(each.symbol.startswith("C1") for each in listed)
    assert len(compared) < 2 * len(listed)
