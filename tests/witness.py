"""A simulated venue in a process of its own, and beside it a feed that nothing happens to: what that saw is the truth.

The witness talks to the simulator without sockets, stays on one connection to the end, and is held against the
simulator's own books then. `witnessed` starts the process from a test; run as a program, this file is that process.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import uvloop
from processes import wait_for
from rig import Rig

from fastfeed.sim import Knobs, Simulator
from fastfeed.sim.server import Server

_PUMP_S = 0.005

# By instrument and sort of event (book, bbo, trade), in order: what identifies each and what it says.
Seen = dict[str, dict[str, list[list[Any]]]]


def note(seen: Seen, events: Iterable[Any]) -> None:
    """Enter events of books, quotes and trades as [sequence or id, checksum of the rest]."""
    for event in events:
        if event.kind in ("delta", "snapshot"):
            kind, key, rest = "book", event.sequence, (event.bid_mantissas, event.ask_mantissas)
        elif event.kind == "bbo":
            kind, key, rest = "bbo", event.sequence, (event.bid_px, event.bid_sz, event.ask_px, event.ask_sz)
        elif event.kind == "trade":
            kind, key, rest = "trade", event.trade_id, (event.px, event.sz, event.side)
        else:
            continue
        seen.setdefault(event.name, {}).setdefault(kind, []).append([key, zlib.crc32(repr(rest).encode())])


class Witnessed:
    """The process, as the test sees it."""

    def __init__(self, process: subprocess.Popen[bytes], served: dict[str, Any], path: Path) -> None:
        self.served = served
        self._process = process
        self._path = path

    def end(self) -> Seen:
        """Stop the venue and return what the witness saw; AssertionError if it saw what was not so."""
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(60) == 0
        told = json.loads(self._path.read_text())
        assert told["wrong"] == []
        return told["seen"]


@contextlib.contextmanager
def witnessed(
    folder: Path, venue: str, products: Sequence[str] | None = None, channels: Sequence[str] = ("book", "trade"),
    faults: str = "", **knobs: Any,
) -> Iterator[Witnessed]:  # fmt: skip
    """Run a venue with its witness until the block is left."""
    out, path = folder / "venue.out", folder / "witness.json"
    what = {"venue": venue, "products": products, "channels": channels, "faults": faults, "knobs": knobs}
    with out.open("wb") as sink, (folder / "venue.err").open("wb") as errors:
        process = subprocess.Popen([sys.executable, __file__, str(path), json.dumps(what)], stdout=sink, stderr=errors)
        try:
            wait_for(lambda: process.poll() is not None or b"\n" in out.read_bytes())
            assert process.poll() is None, (folder / "venue.err").read_text()
            yield Witnessed(process, json.loads(out.read_text().splitlines()[0]), path)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


class _Witness(Rig):
    def _check(self, name: str) -> None:
        """Looked at in the end, once: after each event is too dear in real time."""

    def judge(self) -> None:
        for instrument in self.instruments:
            super()._check(instrument.name)


async def _run(path: Path, what: dict[str, Any]) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    sim = Simulator([what["venue"]], knobs=Knobs(**what["knobs"], journal=True, late_ack=0.0), faults=what["faults"])
    async with Server(sim) as server:
        products = what["products"] and tuple(what["products"])
        rig = _Witness(venue=what["venue"], products=products, channels=tuple(what["channels"]), sim=sim)
        seen: Seen = {}
        has_begun = False
        while not stop.is_set():
            rig.pump()
            if not has_begun and rig.all_live():
                has_begun = True  # whoever comes now sees nothing that the witness has not
                print(json.dumps(server.endpoints[what["venue"]]), flush=True)
            note(seen, rig.events)
            rig.events.clear()
            await asyncio.sleep(_PUMP_S)
        rig.judge()
    path.write_text(json.dumps({"seen": seen, "wrong": rig.wrong}))


if __name__ == "__main__":
    uvloop.run(_run(Path(sys.argv[1]), json.loads(sys.argv[2])))
