from collections.abc import Iterable
from typing import Literal

import numpy as np
from typing_extensions import disjoint_base

from fastfeed_core.attach import BusMap
from fastfeed_core.follower import Follower
from fastfeed_core.message import KINDS as KINDS

def kind_numbers(kinds: Iterable[str], known: dict[str, int]) -> list[int]: ...

@disjoint_base
class Subscription(Follower):
    def __init__(
        self,
        map: BusMap,
        names: Iterable[str] | None = None,
        kinds: Iterable[str] | None = None,
        start: Literal["now", "oldest"] | int = "now",
    ) -> None: ...
    def batch(self, max: int = 65536) -> dict[str, np.ndarray]: ...
