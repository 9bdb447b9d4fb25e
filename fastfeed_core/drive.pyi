import builtins
from collections.abc import Iterable
from typing import Self

from typing_extensions import disjoint_base

from fastfeed_core.connection import Connection

@disjoint_base
class Frames:
    def __new__(cls, frames: Iterable[builtins.bytes]) -> Self: ...
    @property
    def count(self) -> int: ...
    @property
    def bytes(self) -> int: ...

def run(connection: Connection, frames: Frames, ts_recv: int, flush_every: int = 64) -> tuple[int, int]: ...
def decode(connection: Connection, frames: Frames) -> tuple[int, int]: ...
def count_allocations(
    connection: Connection, frames: Frames, rounds: int, ts_recv: int, provoke: bool = False
) -> int: ...
