"""Quote from the best venue: which book of a pair to trust now, and a line whenever that changes.

    fastfeed run feed.toml                        # two venues that have the pair, on the bus "main"
    python examples/best_venue.py main BTC/USDT   # until interrupted

Give venues after the pair to say which is preferred; `--count N` ends after N lines.
"""

from __future__ import annotations

import argparse
import time

import fastfeed


def main() -> None:
    parser = argparse.ArgumentParser(description="Say which venue's book of a pair to trust now.")
    parser.add_argument("bus")
    parser.add_argument("pair")
    parser.add_argument("prefer", nargs="*", help="venues, most preferred first")
    parser.add_argument("--hold", type=float, default=2.0, help="seconds that a book must be good to be returned to")
    parser.add_argument("--count", type=int, help="lines to print")
    args = parser.parse_args()

    best = fastfeed.BestVenue(fastfeed.open(args.bus, timeout=30), args.pair, prefer=args.prefer, hold_s=args.hold)
    shown: tuple[str | None, int] | None = None
    lines = 0
    while args.count is None or lines < args.count:
        # A strategy would look whenever it has something to decide; each look costs microseconds.
        top = best.top()
        if (best.venue, best.switches) != shown:
            shown = best.venue, best.switches
            lines += 1
            if top is None:
                print(f"none: {best.reason}", flush=True)
            else:
                bid, ask = top.bids[:1], top.asks[:1]
                print(f"{best.venue} {bid} {ask} switches={best.switches}: {best.reason}", flush=True)
        time.sleep(0.001)


if __name__ == "__main__":
    main()
