from collections.abc import Iterable
from typing import Literal, Self

import numpy as np
from typing_extensions import disjoint_base

from fastfeed_core.attach import BusMap
from fastfeed_core.message import KINDS as KINDS
from fastfeed_core.message import Event

@disjoint_base
class Subscription:
    def __new__(
        cls,
        map: BusMap,
        names: Iterable[str] | None = None,
        kinds: Iterable[str] | None = None,
        start: Literal["now", "oldest"] | int = "now",
    ) -> Self: ...
    @property
    def map(self) -> BusMap: ...
    @property
    def offset(self) -> int: ...
    @property
    def lost(self) -> int: ...
    @property
    def read(self) -> int: ...
    def poll(self, max: int = 1000) -> list[Event]: ...
    def next(self) -> Event | None: ...
    def batch(self, max: int = 65536) -> dict[str, np.ndarray]: ...
    def wait(self, how: Literal["block", "spin", "yield"], timeout_ns: int) -> bool: ...
