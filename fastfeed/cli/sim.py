"""fastfeed sim: serve simulated venues on loopback, from a random market or from recordings, until interrupted."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Coroutine
from typing import Any

from fastfeed.cli.arguments import count, not_negative, positive
from fastfeed.sim.faults import SYNTAX, FaultPlan
from fastfeed.sim.interface import Knobs
from fastfeed.sim.profiles import VENUES
from fastfeed.sim.replay import Timeline
from fastfeed.sim.server import Server
from fastfeed.sim.simulator import Simulator
from fastfeed.sim.tls import LoopbackCertificate, TlsUnavailable

__all__ = ["add_arguments", "main"]

FULL_SPEED = "max"
DEFAULTS = Knobs()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; what they say of faults is `fastfeed.sim.faults.SYNTAX`."""
    parser.add_argument(
        "--venues", type=_venues, metavar="A,B", help=f"venues to serve, of {', '.join(VENUES)}; all unless given"
    )
    parser.add_argument("--replay", metavar="DIR", help="serve the recordings in this folder, as if it were the venue")
    parser.add_argument(
        "--speed",
        type=_speed,
        default=1.0,
        metavar="X|max",
        help="of the replay, times as fast as recorded; max: as fast as clients read",
    )
    parser.add_argument(
        "--hold",
        type=not_negative,
        default=5.0,
        metavar="S",
        help="of a replay: seconds to wait, where a book was recorded, for a client that asks for it; 5 unless given",
    )
    parser.add_argument("--faults", type=_faults, default="", metavar="LIST", help=SYNTAX.replace("%", "%%"))
    parser.add_argument(
        "--slow",
        type=_slow,
        default={},
        metavar="TEXT:S,..",
        help="answer REST calls late whose path or query holds the text, by so many seconds: symbol=BTCUSDT:2",
    )
    parser.add_argument("--tls", action="store_true", help="wss and https, with a certificate made at start")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on, loopback unless given")
    parser.add_argument("--port", type=int, default=0, help="first of consecutive ports; free ones unless given")
    parser.add_argument(
        "--seed", type=int, default=DEFAULTS.seed, help=f"of all randomness; {DEFAULTS.seed} unless given"
    )
    parser.add_argument(
        "--rate",
        type=positive,
        default=DEFAULTS.rate,
        metavar="N",
        help=f"order flow events per second and instrument; {DEFAULTS.rate:g} unless given",
    )
    parser.add_argument(
        "--levels",
        type=count,
        default=DEFAULTS.levels,
        metavar="N",
        help=f"price levels a side of the simulated books; {DEFAULTS.levels} unless given",
    )
    parser.add_argument("--symbols", type=count, metavar="N", help="instruments per product; more are invented")
    for name, what in (
        ("ping-interval", "between the venue's pings"),
        ("pong-timeout", "until a connection that does not answer them is closed"),
        ("lifetime", "until a connection is closed for its age"),
    ):
        parser.add_argument(
            f"--{name}", type=positive, metavar="S", help=f"seconds {what}; the venue's own unless given"
        )


def main(args: argparse.Namespace) -> int:
    """Print the endpoints as one JSON line, then serve until SIGINT or SIGTERM."""
    knobs = Knobs(
        seed=args.seed,
        rate=args.rate,
        levels=args.levels,
        symbols=args.symbols,
        ping_interval_s=args.ping_interval,
        pong_timeout_s=args.pong_timeout,
        lifetime_s=args.lifetime,
        hold_s=args.hold,
        slow=args.slow,
    )
    try:
        faults = FaultPlan.parse(args.faults, args.seed)
        sim = Simulator(
            args.venues, faults=faults, replay=args.replay, speed=args.speed, knobs=knobs, on_replayed=_print_replayed
        )
        certificate = LoopbackCertificate() if args.tls else None
    except (FileNotFoundError, ValueError, TlsUnavailable) as error:
        print(f"fastfeed sim: {error}", file=sys.stderr)
        return 2
    try:
        _run(_serve(sim, args.host, args.port, certificate))
    except OSError as error:
        print(f"fastfeed sim: cannot listen on {args.host}: {error}", file=sys.stderr)
        return 1
    finally:
        if certificate is not None:
            certificate.remove()
    return 0


async def _serve(sim: Simulator, host: str, port: int, certificate: LoopbackCertificate | None) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    tls = None if certificate is None else certificate.context
    async with Server(sim, host=host, port=port, tls=tls) as server:
        ca = {} if certificate is None else {"ca": str(certificate.ca_path)}
        _print({venue: {**urls, **ca} for venue, urls in server.endpoints.items()})
        await server.serve(until=stopped)


def _run(main: Coroutine[Any, Any, None]) -> None:
    loop_factory = None
    with contextlib.suppress(ImportError):
        import uvloop  # the plain loop does, only slower

        loop_factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(main)


def _print_replayed(venue: str, timeline: Timeline) -> None:
    recording = timeline.recording
    _print({"replay": "done", "venue": venue, "product": recording.endpoint, "frames": len(recording.frames)})


def _print(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)


def _venues(text: str) -> list[str]:
    venues = [venue.strip() for venue in text.split(",")]
    for venue in venues:
        if venue not in VENUES:
            raise argparse.ArgumentTypeError(f"unknown venue {venue!r}: expected one of {', '.join(VENUES)}")
    return venues


def _faults(text: str) -> str:
    try:
        FaultPlan.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _slow(text: str) -> dict[str, float]:
    found = {}
    for part in text.split(","):
        match, _, seconds = part.strip().rpartition(":")
        try:
            found[match] = not_negative(seconds)
        except ValueError:
            match = ""
        if not match:
            raise argparse.ArgumentTypeError(f"expected TEXT:SECONDS, as in symbol=BTCUSDT:2, was {part.strip()!r}")
    return found


def _speed(text: str) -> float | None:
    return None if text == FULL_SPEED else positive(text)
