"""The command `fastfeed`: one verb, one file of this folder.

A verb's file has `add_arguments(parser)` and `main(args) -> int`, which returns the exit code. Only the chosen verb's
file is imported, so that `fastfeed top` never pays for what `fastfeed run` needs.

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from collections.abc import Sequence

import fastfeed
from fastfeed.errors import ConfigError, FastfeedError

__all__ = ["VERBS", "main"]

VERBS = {
    "demo": "run a simulator, a feed and a live table in one command, offline",
    "sim": "serve simulated venues on this machine",
    "run": "run the feed that a configuration file describes",
    "ctl": "ask a running feed for something: subscriptions, a reload, a rollover, its state",
    "check": "validate a configuration file without connecting",
    "tail": "print the events of a bus as they come",
    "top": "show the best prices of a bus as a live table",
    "status": "print the state of a bus, its instruments, connections and readers; or list all buses",
    "clean": "remove the files of buses whose feed is dead",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return the process's exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s %(message)s", level=logging.WARNING)
    try:
        args = _parse(arguments)
        code = int(importlib.import_module(f"fastfeed.cli.{args.verb}").main(args))
        sys.stdout.flush()  # here, so that a closed pipe shows inside this block
    except BrokenPipeError:
        # The reader (head, less) has what it wanted. Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("fastfeed: interrupted", file=sys.stderr)
        return 130
    except FastfeedError as error:
        print(f"fastfeed: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    return code


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="fastfeed", description=(fastfeed.__doc__ or "").partition("\n")[0])
    parser.add_argument("--version", action="version", version=f"fastfeed {fastfeed.__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    # No option before the verb takes a value, so the first word is the verb.
    chosen = next((word for word in arguments if not word.startswith("-")), None)
    for verb, text in VERBS.items():
        its_parser = verbs.add_parser(verb, help=text, description=f"{text[0].upper()}{text[1:]}.")
        if verb == chosen:
            importlib.import_module(f"fastfeed.cli.{verb}").add_arguments(its_parser)
    return parser.parse_args(arguments)
