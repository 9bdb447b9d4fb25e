"""fastfeed check: validate a configuration file without connecting, and print what it would subscribe to."""

from __future__ import annotations

import argparse

from fastfeed.config import Config, Feed, load_config

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
    for product in feed.products:
        lines.append(f"  {product.name}: {feed.ws(product)} {feed.rest(product)}")
        for name in feed.channels:
            row = product.channel(name, feed.options)
            lines.append(f"    {name:<12}{row.path} {row.topic_text('<symbol>', feed.options)}")
    return lines
