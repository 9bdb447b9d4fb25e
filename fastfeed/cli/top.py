"""fastfeed top: the best prices of a bus as a live table, until the feed stops or the user does."""

from __future__ import annotations

import argparse
import sys
import time

from fastfeed import bus as buses
from fastfeed.cli.arguments import count, not_negative, positive
from fastfeed.cli.table import PriceTable, Screen
from fastfeed.inventory import health

__all__ = ["add_arguments", "main"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bus", help="name of the bus")
    parser.add_argument("--count", type=count, metavar="N", help="end after so many tables; without end unless given")
    parser.add_argument("--interval", type=positive, default=0.5, metavar="S", help="seconds between tables; 0.5")
    parser.add_argument("--levels", type=count, default=1, metavar="N", help="levels a side; 1 unless given")
    parser.add_argument("--timeout", type=not_negative, default=0.0, metavar="S", help="seconds to wait for the bus; 0")


def main(args: argparse.Namespace) -> int:
    """Show tables. A feed that dies is shown as dead, and followed when it returns; a clean stop ends the table."""
    bus = buses.open(args.bus, timeout=args.timeout)
    table = PriceTable(bus, args.levels)
    shown = 0
    due = time.monotonic()
    with Screen(sys.stdout) as screen:
        while True:
            stopped = health(bus.map) == "stopped"
            screen.show(table.lines())
            shown += 1
            if shown == args.count or stopped:
                return 0
            # In step with the clock, however long a table takes; one that is late is not made up for.
            due = max(due + args.interval, time.monotonic())
            time.sleep(max(0.0, due - time.monotonic()))
