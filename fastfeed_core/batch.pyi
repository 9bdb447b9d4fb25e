from typing_extensions import disjoint_base

from fastfeed_core.message import KINDS as KINDS

@disjoint_base
class Batch: ...
