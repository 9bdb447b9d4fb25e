from collections.abc import Iterable
from typing import Self, TypeAlias

from typing_extensions import disjoint_base

from fastfeed_core.attach import BusMap

_Absent: TypeAlias = int | None
_Book: TypeAlias = tuple[int, bytearray, bytearray, tuple[_Absent, _Absent], _Absent, _Absent, _Absent]

@disjoint_base
class Replicas:
    def __new__(cls, map: BusMap, instruments: Iterable[int]) -> Self: ...
    @property
    def map(self) -> BusMap: ...
    @property
    def loads(self) -> int: ...
    def depth(self, limit: int = -1) -> tuple[list[_Book], int]: ...
