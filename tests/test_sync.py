"""sync: every cell of the one sequence rule."""

from __future__ import annotations

import pytest

from fastfeed_core.sync import judge


@pytest.mark.parametrize(
    ("book", "prev", "last", "others", "wanted"),
    [
        pytest.param(10, 5, 9, False, ("old", True, 0), id="behind"),
        pytest.param(10, 5, 10, False, ("old", True, 0), id="up-to-the-book"),
        pytest.param(10, 10, 12, False, ("apply", True, 0), id="next"),
        pytest.param(10, 4, 12, False, ("apply", True, 0), id="overlapping"),
        pytest.param(10, 11, 12, False, ("gap", False, 1), id="gap"),
        pytest.param(10, 11, 12, True, ("wait", False, 1), id="another-source-may-have-it"),
    ],
)
def test_a_message_is_judged_by_its_interval(book, prev, last, others, wanted):
    assert judge(book, prev, last, True, 0, others) == wanted


def test_a_source_ahead_for_too_long_makes_a_gap_though_another_is_in_step():
    verdict, in_step, ahead = judge(10, 20, 21, False, 63, True)
    assert (verdict, in_step, ahead) == ("wait", False, 64)
    assert judge(10, 20, 21, False, 64, True)[0] == "gap"


def test_a_source_that_connects_again_is_in_step_again():
    assert judge(10, 10, 11, False, 5, True) == ("apply", True, 0)
    assert judge(10, 3, 4, False, 5, True) == ("old", True, 0)
