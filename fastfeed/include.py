"""Where the C header is: `cc -I "$(python -m fastfeed.include)" strategy.c`."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

__all__ = ["get_include"]


def get_include() -> str:
    """Return the folder of `fastfeed.h`, the header that C and C++ programs read a bus with."""
    core = find_spec("fastfeed_core")
    assert core is not None  # it is installed with this package
    assert core.origin is not None
    return str(Path(core.origin).parent / "include")


if __name__ == "__main__":
    print(get_include())
