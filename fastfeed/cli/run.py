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
    # What the libraries tell of connections and retries, the feed tells better.
    for library in ("picows", "stamina"):
        logging.getLogger(library).setLevel(logging.ERROR if args.log != "DEBUG" else logging.DEBUG)
    run(config, args.file)
    return 0
