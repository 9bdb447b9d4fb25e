from collections.abc import Iterable
from typing import Literal

from typing_extensions import disjoint_base

from fastfeed_core.attach import BusMap
from fastfeed_core.follower import Follower

STATES: tuple[str, ...]
STATE_KINDS: dict[str, int]

class Unstable(Exception): ...

@disjoint_base
class Conflation(Follower):
    def __init__(
        self,
        map: BusMap,
        names: Iterable[str] | None = None,
        kinds: Iterable[str] = ("book", "bbo", "ticker"),
        start: Literal["now", "oldest"] = "oldest",
        levels: int = 5,
    ) -> None: ...
    @property
    def merged(self) -> int: ...
