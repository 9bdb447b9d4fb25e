"""fastfeed check: validate a configuration file without connecting, and print what it would subscribe to."""

from __future__ import annotations

import argparse
from decimal import Decimal
from typing import get_args

from fastfeed import venues
from fastfeed.config import Config, Feed, load_config
from fastfeed.instrument import Instrument, Kind
from fastfeed.venues.spec import Product

__all__ = ["add_arguments", "main", "summary"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", help="the configuration, a TOML file")


def main(args: argparse.Namespace) -> int:
    config = load_config(args.file)
    print(f"{args.file}: valid")
    print(summary(config))
    return 0


def summary(config: Config) -> str:
    """Return what a feed with this configuration would publish and connect to, in a few lines."""
    bus = config.bus
    lines = [f"bus {bus.name}: ring {bus.ring}, top {bus.top} and up to {bus.levels} levels a side"]
    for feed in config.feeds:
        lines += _feed_lines(feed)
    return "\n".join(lines)


def _feed_lines(feed: Feed) -> list[str]:
    many = f", {feed.connections} connections each" if feed.connections > 1 else ""
    sandbox = " (sandbox)" if feed.sandbox else ""
    lines = [f"{feed.venue}{sandbox}: {', '.join(feed.instruments)}{many}"]
    if feed.local_addresses:
        lines.append(f"  from {', '.join(dict.fromkeys(feed.local_addresses))}")
    for product in feed.products:
        bases = dict.fromkeys(feed.ws(product, copy) for copy in range(feed.connections))
        lines.append(f"  {product.name}: {' '.join(bases)} {feed.rest(product)}")
        for name in feed.channels:
            lines += _channel_lines(product, name, feed)
    return lines


def _channel_lines(product: Product, name: str, feed: Feed) -> list[str]:
    lines: dict[str, None] = {}
    for kind in get_args(Kind):
        row = product.channel(name, feed.options, kind)
        if row is None:
            continue
        topics = venues.load(feed.venue).topics(_sample(feed.venue, kind), row, feed.options)
        for what in [f"{each.path} {each.text}".strip() for each in topics] or ["(derived from the book)"]:
            lines[f"    {name:<12}{what}"] = None
    return list(lines)


def _sample(venue: str, kind: Kind) -> Instrument:
    """An instrument that stands for those of its kind."""
    return Instrument(
        venue=venue, symbol="<symbol>", name="<symbol>", kind=kind, base="<base>", quote="<quote>", settle="<settle>",
        tick_size=Decimal(1), lot_size=Decimal(1), contract_size=Decimal(1), contract_unit="<unit>", inverse=False,
        expiry=None, strike=None, option_type=None, status="trading", px_exp=0, sz_exp=0,
    )  # fmt: skip
