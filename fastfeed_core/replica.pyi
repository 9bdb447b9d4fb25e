from decimal import Decimal
from typing import Literal, Self, TypeAlias, overload

from typing_extensions import disjoint_base

from fastfeed_core.attach import BusMap

_Floats: TypeAlias = list[tuple[float, float]]
_Decimals: TypeAlias = list[tuple[Decimal, Decimal]]

class Unstable(Exception): ...

@disjoint_base
class TopReader:
    def __new__(cls, map: BusMap, instrument: int) -> Self: ...
    @property
    def map(self) -> BusMap: ...
    def state(self) -> int: ...
    @overload
    def read(
        self, n: int, exact: Literal[False] = False
    ) -> tuple[int, _Floats, _Floats, int | None, int | None, int | None, int]: ...
    @overload
    def read(
        self, n: int, exact: Literal[True]
    ) -> tuple[int, _Decimals, _Decimals, int | None, int | None, int | None, int]: ...
    @overload
    def read(
        self, n: int, exact: bool
    ) -> tuple[int, _Floats | _Decimals, _Floats | _Decimals, int | None, int | None, int | None, int]: ...

@disjoint_base
class Replica:
    def __new__(cls, map: BusMap, instrument: int) -> Self: ...
    @property
    def map(self) -> BusMap: ...
    @property
    def loads(self) -> int: ...
    def depth(
        self,
    ) -> tuple[int, bytes, bytes, tuple[int | None, int | None], int | None, int | None, int | None, int]: ...
