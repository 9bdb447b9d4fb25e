from collections.abc import Mapping
from mmap import mmap
from typing import Any, Self

from typing_extensions import disjoint_base

from fastfeed_core.files import folder as folder
from fastfeed_core.files import path as path

KINDS: tuple[str, ...]
OPTION_TYPES: tuple[str | None, ...]

def process_start(pid: int) -> int: ...

@disjoint_base
class BusWriter:
    def __new__(
        cls,
        name: str | None = None,
        *,
        ring: int = ...,
        instruments: int = 4096,
        top: int = 25,
        levels: int = 8192,
        group: int | None = None,
        huge_pages: bool = False,
        where: str | None = None,
    ) -> Self: ...
    @property
    def name(self) -> str | None: ...
    @property
    def folder(self) -> str: ...
    @property
    def closed(self) -> bool: ...
    @property
    def generation(self) -> int: ...
    @property
    def position(self) -> int: ...
    @property
    def map(self) -> mmap: ...
    @property
    def image_size(self) -> int: ...
    @property
    def huge_bytes(self) -> int: ...
    @property
    def wakes(self) -> int: ...
    def add_instrument(self, row: Mapping[str, Any], book: bool = False) -> int: ...
    def add_connection(self, label: str) -> int: ...
    def status(
        self,
        instrument: int,
        connection: int,
        scope: int,
        state: int,
        reason: int,
        ts: int,
        instrument_status: int = 0,
    ) -> None: ...
    def instrument_status(self, instrument: int, status: int) -> None: ...
    def flush(self) -> None: ...
    def heartbeat(self) -> None: ...
    def close(self) -> None: ...
