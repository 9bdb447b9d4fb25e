"""fastfeed ctl: ask a running feed for something, over its control socket."""

from __future__ import annotations

import argparse
from typing import Any

import msgspec

from fastfeed.cli.arguments import positive
from fastfeed.cli.table import align
from fastfeed.control import ask

__all__ = ["add_arguments", "main"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Ask a running feed for something. Only the user that the feed runs as may. What is subscribed to here lasts "
        "until the feed reloads its file or ends."
    )
    parser.add_argument("bus", help="name of the bus")
    parser.add_argument("--json", action="store_true", help="print the answer as a JSON object")
    parser.add_argument(
        "--timeout", type=positive, default=120.0, metavar="S", help="seconds to wait for the answer; 120"
    )
    verbs = parser.add_subparsers(dest="request", metavar="VERB", required=True)
    verbs.add_parser("status", help="what the feed subscribes to, and what its connections do")
    subscribe = verbs.add_parser("subscribe", help="subscribe to more instruments, or to more channels of them")
    unsubscribe = verbs.add_parser("unsubscribe", help="end subscriptions")
    for each, unless in ((subscribe, "those of the feed"), (unsubscribe, "all")):
        each.add_argument("venue", help="of a feed that runs")
        each.add_argument("symbols", nargs="+", metavar="SYMBOL", help="unified symbol, or a pattern with * and ?")
        each.add_argument("--channels", nargs="+", metavar="CHANNEL", help=f"{unless} unless given")
    verbs.add_parser("reload", help="read the configuration file again, and apply what differs")
    roll = verbs.add_parser("roll", help="replace the connections by new ones, without a gap")
    roll.add_argument("venue", nargs="?", help="all unless given")
    resync = verbs.add_parser("resync", help="drop a book and ask for it anew")
    resync.add_argument("name", help="of the instrument, as venue:symbol")
    verbs.add_parser("stop", help="end the feed")


def main(args: argparse.Namespace) -> int:
    """Ask, and print the answer."""
    keys = ("venue", "symbols", "channels", "name")
    request = {key: getattr(args, key) for key in keys if getattr(args, key, None) is not None}
    answer = ask(args.bus, {"verb": args.request, **request}, args.timeout)
    if args.json:
        print(msgspec.json.encode(answer).decode())
    else:
        print("\n".join(_status(answer) if args.request == "status" else _lines(args.request, answer)))
    return 0


def _lines(verb: str, answer: dict[str, Any]) -> list[str]:
    """One line for each thing that was done; lists with their members."""
    lines = []
    for key, value in answer.items():
        words = key.replace("_", " ")
        if not isinstance(value, list):
            lines.append(f"{words}: {value}")
        elif value:
            lines.append(f"{words}: {' '.join(map(str, value))}")
    return lines or [f"{verb}: done" if verb == "stop" else "nothing to do"]


def _status(answer: dict[str, Any]) -> list[str]:
    lines = []
    for feed in answer["feeds"]:
        lines.append(f"{feed['venue']}: {len(feed['instruments'])} instruments, {' '.join(feed['channels'])}")
        rows = [("connection", "topics", "state", "age s", "failures", "rollovers", "endpoint")]
        for each in feed["connections"]:
            ages = [socket["age_s"] for socket in each["sockets"] if socket["age_s"] is not None]
            retry = "-" if each["retry_s"] is None else f"retry in {each['retry_s']:.1f} s"
            rows.append(
                (
                    each["label"],
                    str(each["topics"]),
                    " ".join(socket["phase"] for socket in each["sockets"]) or retry,
                    " ".join(f"{age:.0f}" for age in ages) or "-",
                    str(each["failures"]),
                    str(each["rolls"]),
                    each["endpoint"],
                )
            )
        lines += [f"  {line}" for line in align(rows)]
    return lines
