"""fastfeed tail: the events of a bus, one line each, as they come."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec

from fastfeed import bus as buses
from fastfeed.bus import Bus
from fastfeed.cli.arguments import count, not_negative
from fastfeed.errors import ConfigError, PublisherGone, did_you_mean
from fastfeed.instrument import plain
from fastfeed_core.message import KINDS

__all__ = ["add_arguments", "human_line", "json_line", "main"]

_LOOK_EVERY_S = 0.02  # for instruments that the feed has not named yet


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Print the events of a bus as they come; times are UTC, of the socket's read. A clean stop of the feed ends it "
        "with code 0. After a feed that died, it waits for the next one."
    )
    parser.add_argument("bus", help="name of the bus")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--count", type=count, metavar="N", help="end after so many events; without end unless given")
    parser.add_argument("--instrument", action="append", metavar="NAME", help="only this one; may be given again")
    parser.add_argument(
        "--kind", action="append", metavar="K", help=f"only this kind, of {', '.join(KINDS)}; may be given again"
    )
    parser.add_argument("--start", choices=("now", "oldest"), default="now", help="where to begin; now unless given")
    parser.add_argument(
        "--timeout",
        type=not_negative,
        default=0.0,
        metavar="S",
        help="seconds to wait for the bus and the instruments; 0",
    )


def main(args: argparse.Namespace) -> int:
    """Print events until the count, a clean stop of the feed, or an interrupt."""
    for kind in args.kind or ():
        if kind not in KINDS:
            raise ConfigError("--kind", f"one of {', '.join(KINDS)}", f"{kind!r}{did_you_mean(kind, KINDS)}")
    until = time.monotonic() + args.timeout
    bus = buses.open(args.bus, timeout=args.timeout)
    for name in args.instrument or ():
        _await_instrument(bus, name, until)
    events = bus.reader(args.instrument, args.kind, start=args.start)
    line = json_line if args.json else human_line
    wanted = set(args.kind or KINDS)
    left = sys.maxsize if args.count is None else args.count
    while left > 0:
        try:
            for event in events:
                left -= _print([event], left, line, wanted)
                # What has come meanwhile goes out with one flush.
                if left > 0:
                    left -= _print(events.poll(), left, line, wanted)
                if left <= 0:
                    break
            else:
                print(f"fastfeed: bus {args.bus} was stopped", file=sys.stderr)
                return 0
        except PublisherGone as error:
            print(f"fastfeed: {error}; waiting for the next", file=sys.stderr)
    return 0


def json_line(event: Any) -> str:
    """Return an event as a JSON object; prices and sizes are the floats nearest to the exact values."""
    return msgspec.json.encode(event.as_dict()).decode()


def human_line(event: Any) -> str:
    """Return an event as one short line."""
    moment = datetime.fromtimestamp(event.ts_recv // 1_000_000_000, UTC)
    words = [f"{moment:%H:%M:%S}.{event.ts_recv // 1000 % 1_000_000:06}", event.kind]
    words.append(event.name or _subject(event))
    words += _WORDS[event.kind](event)
    if event.sequence is not None:
        words.append(f"seq={event.sequence}")
    return " ".join(words)


def _print(events: list[Any], most: int, line: Callable[[Any], str], wanted: set[str]) -> int:
    """Write up to `most` events; how many were written."""
    # A reader tells of a restart whatever the filter: nobody asked for that here.
    lines = [line(event) for event in events if event.kind in wanted][:most]
    if lines:
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()
    return len(lines)


def _await_instrument(bus: Bus, name: str, until: float) -> None:
    """Wait for the feed to name an instrument: it fetches listings after it has opened the bus."""
    while True:
        known = [instrument.name for instrument in bus.instruments]
        if name in known:
            return
        if time.monotonic() >= until:
            break
        time.sleep(_LOOK_EVERY_S)
    without_venue = [each for each in known if each.partition(":")[2] == name]
    hint = f" (did you mean {' or '.join(without_venue)}?)" if without_venue else did_you_mean(name, known)
    raise ConfigError("--instrument", f"an instrument of bus {bus.name}", f"{name!r}{hint}")


def _subject(event: Any) -> str:
    return f"connection {event.connection}" if event.scope == "connection" else str(event.scope)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{plain(Decimal(repr(value))):f}"


def _bbo_words(event: Any) -> list[str]:
    bid = f"{_number(event.bid_size)} @ {_number(event.bid)}"
    ask = f"{_number(event.ask_size)} @ {_number(event.ask)}"
    return [bid, "|", ask, *(["derived"] if event.derived else [])]


def _trade_words(event: Any) -> list[str]:
    return [event.side, _number(event.size), "@", _number(event.price), f"id={event.trade_id}"]


def _levels_words(event: Any) -> list[str]:
    words = [f"bids={len(event.bids)}", f"asks={len(event.asks)}"]
    if event.kind == "delta" and event.prev_sequence is not None:
        words.append(f"prev={event.prev_sequence}")
    return words


def _ticker_words(event: Any) -> list[str]:
    fields = ("last", "mark_price", "index_price", "open_interest", "funding_rate", "volume")
    return [f"{field}={_number(getattr(event, field))}" for field in fields if getattr(event, field) is not None]


def _bar_words(event: Any) -> list[str]:
    prices = " ".join(_number(price) for price in (event.open, event.high, event.low, event.close))
    return [f"{event.interval}s", prices, f"volume={_number(event.volume)}", *(["closed"] if event.closed else [])]


def _liquidation_words(event: Any) -> list[str]:
    return [event.side, _number(event.size), "@", _number(event.price)]


def _status_words(event: Any) -> list[str]:
    words = [event.state, *([f"({event.reason})"] if event.reason else [])]
    if event.instrument_status is not None:
        words.append(event.instrument_status)
    for what, value in (("expected", event.expected), ("received", event.received)):
        if value is not None:
            words.append(f"{what}={value}")
    return words


_WORDS: dict[str, Callable[[Any], list[str]]] = {
    "bbo": _bbo_words,
    "trade": _trade_words,
    "delta": _levels_words,
    "snapshot": _levels_words,
    "status": _status_words,
    "ticker": _ticker_words,
    "bar": _bar_words,
    "liquidation": _liquidation_words,
}
