"""The capability table is what the venues' files say."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastfeed.venues import VENUES, load
from fastfeed.venues.spec import CHANNELS, Options
from fastfeed.venues.table import capability_table

PAGE = Path(__file__).parent.parent / "docs" / "capabilities.md"


def test_the_page_is_up_to_date():
    assert PAGE.read_text() == capability_table(), "run python -m fastfeed.venues.table > docs/capabilities.md"


@pytest.mark.parametrize("venue", VENUES)
def test_every_row_can_be_asked_for(venue):
    for product in load(venue).PRODUCTS:
        for row in product.channels:
            assert row.name in CHANNELS
            field = {"book": "book", "trade": "trades"}.get(row.name)
            options = Options(**{field: row.form}) if field and row.form else Options()
            for kind in set(row.kinds) & set(product.kinds):
                assert product.channel(row.name, options, kind) is row


@pytest.mark.parametrize("venue", VENUES)
def test_every_kind_has_a_book_trades_and_quotes(venue):
    for product in load(venue).PRODUCTS:
        for kind in product.kinds:
            for name in ("book", "trade", "bbo"):
                assert product.channel(name, Options(), kind) is not None


@pytest.mark.parametrize("venue", VENUES)
def test_limits_are_limits(venue):
    for product in load(venue).PRODUCTS:
        limits = product.limits
        assert limits.topics_per_connection > 0
        assert 0 < limits.sends_per_second <= limits.sends_per_hour
        assert limits.frame_bytes > 100
        assert product.mute_after_s > product.ping_every_s
        assert [size.levels for size in product.snapshots] == sorted(size.levels for size in product.snapshots)
        assert bool(product.snapshots) == any(row.by_request for row in product.channels)
