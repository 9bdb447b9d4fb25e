from typing import Self, final

import numpy as np
from typing_extensions import disjoint_base

from fastfeed_core.message import KINDS as KINDS

@disjoint_base
class Batch: ...

@final
class Buffer:
    def __new__(cls, array: np.ndarray) -> Self: ...
