"""What the benchmarks share: the recordings, or a plain skip without them."""

from __future__ import annotations

import pytest

from benchmarks import corpus


@pytest.fixture
def recording():
    """Return the function that loads a product's recording."""
    if not corpus.is_available():
        pytest.skip("FASTFEED_RECORDINGS does not name a folder with recordings")
    return corpus.load
