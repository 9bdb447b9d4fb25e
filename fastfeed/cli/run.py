"""fastfeed run: the feed process."""

from __future__ import annotations

import argparse
import logging

from fastfeed.config import load_config

__all__ = ["add_arguments", "main"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", help="the configuration, a TOML file")
    parser.add_argument("--log", default="INFO", choices=("DEBUG", "INFO", "WARNING", "ERROR"), help="what to log")


def main(args: argparse.Namespace) -> int:
    config = load_config(args.file)
    from fastfeed.engine.feed import run  # after the configuration was found good: it takes the networking packages

    logging.getLogger().setLevel(args.log)
    # The WebSocket library tells of each connection what the feed tells better.
    logging.getLogger("picows").setLevel(logging.WARNING if args.log != "DEBUG" else logging.DEBUG)
    run(config)
    return 0
