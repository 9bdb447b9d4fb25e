from collections.abc import Iterable, Mapping
from typing import Any

from fastfeed_core.connection import Connection

def inject(
    connection: Connection,
    topic: str,
    kind: str,
    ts_recv: int,
    *,
    prev: int | None = None,
    last: int | None = None,
    bids: Iterable[tuple[int, int]] = (),
    asks: Iterable[tuple[int, int]] = (),
    limit: int = 0,
    ts_event: int | None = None,
    ts_send: int | None = None,
    quote: tuple[int | None, int, int | None, int] | None = None,
    deals: Iterable[Mapping[str, Any]] = (),
    history: bool = False,
    fields: Mapping[str, bytes] | None = None,
    bars: Iterable[Mapping[str, Any]] = (),
) -> bool: ...
def flood(
    connection: Connection, topics: Iterable[str], first: int, count: int, levels: int, flush_every: int = 1
) -> None: ...
def read_id(text: bytes) -> tuple[int, bytes]: ...
def read_number(text: bytes) -> tuple[int, int] | None: ...
def read_pairs(
    text: bytes, px_exp: int, sz_exp: int, more: bool = False, room: int = 16, shapes: bool = False
) -> list[tuple[int, int]]: ...
