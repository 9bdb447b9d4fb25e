"""The recorded messages of BTCUSDT on Binance, spot and USD-M futures, 2024-08-08, by kind.

The folder of the recordings is named by the environment variable FASTFEED_RECORDINGS.
"""

from __future__ import annotations

import functools
import gzip
import os
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.stage import PRODUCTS, Product, Stage, open_stage, pack
from fastfeed_core.drive import Frames

__all__ = ["KINDS", "Corpus", "is_available", "load"]

#: names as the venue has them
KINDS = ("bookTicker", "trade", "depth")


def folder() -> Path | None:
    """Return the folder of the recordings, None if there is none."""
    root = os.environ.get("FASTFEED_RECORDINGS")
    path = Path(root, "binance_2024") if root else None
    return path if path is not None and path.is_dir() else None


def is_available() -> bool:
    """True if the recordings are there."""
    return folder() is not None


@dataclass(frozen=True)
class Corpus:
    """One product's recording, split at the snapshot.

    `held` are the deltas before the snapshot; `frames` all messages behind it, of all kinds, in the order they came.
    """

    product: Product
    held: list[bytes]
    snapshot: bytes
    frames: list[bytes]

    @functools.cached_property
    def kinds(self) -> dict[str, list[bytes]]:
        """Frames by kind, and all of them as `mix`."""
        out: dict[str, list[bytes]] = {kind: [] for kind in KINDS}
        for frame in self.frames:
            out[kind_of(frame)].append(frame)
        return out | {"mix": self.frames}

    @functools.cached_property
    def packed(self) -> dict[str, Frames]:
        """The same, packed for a compiled loop."""
        return {kind: pack(frames) for kind, frames in self.kinds.items()}

    def stage(self, *, clock: bool = False) -> AbstractContextManager[Stage]:
        """Open a fresh receive path whose book is live as of the snapshot."""
        return open_stage(self.product, self.held, self.snapshot, clock=clock)


def kind_of(frame: bytes) -> str:
    """Return the kind of a frame."""
    topic = frame[:64].split(b'"', 4)[3]
    return topic.split(b"@")[1].decode()


@functools.cache
def load(product: str) -> Corpus:
    """Read the recording of `spot` or `usdm`.

    Raises
    ------
    FileNotFoundError : FASTFEED_RECORDINGS does not name a folder with recordings
    """
    root = folder()
    if root is None:
        raise FileNotFoundError("no recordings: set FASTFEED_RECORDINGS to the folder that holds binance_2024")
    held: list[bytes] = []
    frames: list[bytes] = []
    snapshot = b""
    with gzip.open(root / f"{product}_btcusdt.jsonl.gz") as lines:
        for line in lines:
            body = line.split(b" ", 1)[1].strip()
            if not body.startswith(b'{"stream"'):
                snapshot = body
            elif snapshot:
                frames.append(body)
            elif kind_of(body) == "depth":
                held.append(body)
    return Corpus(PRODUCTS[product], held, snapshot, frames)
