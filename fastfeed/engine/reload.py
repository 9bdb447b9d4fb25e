"""The difference between two configurations, as far as a feed can go from one to the other while it runs."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

import msgspec

from fastfeed.config import Config, Feed, is_pattern, select
from fastfeed.errors import ConfigError
from fastfeed.instrument import Instrument
from fastfeed.proxies import DIRECT

__all__ = ["Pair", "choose", "keep", "needs_listing", "pair_feeds", "steps"]

_MOVING = ("instruments", "channels")  # what may change of a feed that lives


class Pair(NamedTuple):
    """A feed of the new configuration, and the place of the one that it goes on with; None: it begins."""

    new: Feed
    place: int | None


def pair_feeds(old: Config, running: Sequence[Feed], new: Config) -> tuple[list[Pair], list[int]]:
    """Find for each new feed the running one that it goes on with.

    Returns
    -------
    (one pair for each new feed, in their order; places of those that end)

    Raises
    ------
    ConfigError : something differs that cannot change while the feed runs; `also` holds what else does
    """
    before = [_resolved(feed, old) for feed in running]
    after = [_resolved(feed, new) for feed in new.feeds]
    problems = [*_differences(old.bus, new.bus, "bus"), *_differences(old.reconnect, new.reconnect, "reconnect")]
    left = dict(enumerate(before))
    pairs: dict[int, int] = {}
    # One that is wholly the same goes first, so that two feeds of one venue are not taken for each other.
    for fits in (Feed.__eq__, _goes_on_as):
        for at, feed in enumerate(after):
            index = next((index for index, each in left.items() if at not in pairs and fits(each, feed)), None)
            if index is not None:
                pairs[at] = index
                del left[index]
    for at, feed in enumerate(after):
        same = next((each for each in left.values() if at not in pairs and each.venue == feed.venue), None)
        if same is not None:
            problems += _differences(_fixed(same), _fixed(feed), f"feed[{at}]")
    if problems:
        first, *others = problems
        raise ConfigError(first.path, first.expected, first.was, first.file, tuple(others))
    return [Pair(feed, pairs.get(at)) for at, feed in enumerate(new.feeds)], list(left)


def _resolved(feed: Feed, config: Config) -> Feed:
    """The feed with the proxy that it uses, be it said of it or of all."""
    proxy = config.network.proxy if feed.proxy is None else feed.proxy
    return msgspec.structs.replace(feed, proxy=DIRECT if proxy is None else proxy)


def _fixed(feed: Feed) -> Feed:
    return msgspec.structs.replace(feed, instruments=(), channels=())


def _goes_on_as(one: Feed, other: Feed) -> bool:
    return _fixed(one) == _fixed(other)


def _differences(old: msgspec.Struct, new: msgspec.Struct, path: str) -> list[ConfigError]:
    return [
        ConfigError(f"{path}.{name}", f"{_shown(was)}, because it cannot change while the feed runs", _shown(now))
        for name in old.__struct_fields__
        if (was := getattr(old, name)) != (now := getattr(new, name)) and name not in _MOVING
    ]


def _shown(value: object) -> str:
    if isinstance(value, msgspec.Struct):
        return repr({name: each for name, each in msgspec.structs.asdict(value).items() if each})
    if isinstance(value, tuple):
        return repr(list(value))
    return str(value) if isinstance(value, int) else repr(value)


def choose(listed: Sequence[Instrument], named: Iterable[str], has: Container[str], path: str) -> list[Instrument]:
    """Return what a feed names of a listing; a pattern keeps what the feed has, also while that does not trade.

    Parameters
    ----------
    named : symbols and patterns
    has : names of instruments
    path : where `named` stands in its file, for messages

    Raises
    ------
    ConfigError : one of `named` names nothing
    """
    named = list(named)
    chosen = select(listed, named, path)
    names = {each.name for each in chosen}
    return chosen + keep([each for each in listed if each.name in has and each.name not in names], named)


def keep(known: Iterable[Instrument], named: Iterable[str]) -> list[Instrument]:
    """Return those of a feed's instruments that it names, whatever the venue lists now."""
    symbols = set(named)
    # Only real patterns are compared with everything: a feed can name thousands, and its sockets wait meanwhile.
    patterns = [each for each in symbols if is_pattern(each)]
    return [
        each
        for each in known
        if (symbol := each.name.partition(":")[2]) in symbols or any(fnmatchcase(symbol, one) for one in patterns)
    ]


def needs_listing(old: Iterable[str], new: Iterable[str], has: Iterable[str]) -> bool:
    """Return whether a living feed that named `old` and has `has` cannot go on to `new` without a listing."""
    known = {name.partition(":")[2] for name in has}
    before = set(old)
    return any(each not in (before if is_pattern(each) else known) for each in new)


def steps(
    has: Mapping[str, tuple[str, ...]], wanted: Iterable[Instrument], channels: Sequence[str]
) -> tuple[dict[tuple[str, ...], list[str]], dict[tuple[str, ...], list[Instrument]]]:
    """Return what to end and what to begin, so that `channels` of the instruments `wanted` are subscribed to.

    Returns
    -------
    (names by the channels of them that end, instruments by the channels of them that begin)
    """
    less: dict[tuple[str, ...], list[str]] = {}
    more: dict[tuple[str, ...], list[Instrument]] = {}
    wanted = list(wanted)
    for name in has.keys() - {each.name for each in wanted}:
        less.setdefault(has[name], []).append(name)
    for each in wanted:
        before = has.get(each.name, ())
        ending = tuple(channel for channel in before if channel not in channels)
        beginning = tuple(channel for channel in channels if channel not in before)
        if ending:
            less.setdefault(ending, []).append(each.name)
        if beginning:
            more.setdefault(beginning, []).append(each)
    return less, more
