"""sync: every cell of the one sequence rule."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


class Source:
    def __init__(self) -> None:
        self.in_step = False
        self.ahead = 0


@given(
    st.integers(0, 20), st.integers(-1, 25), st.integers(1, 10), st.booleans(), st.integers(0, 100), st.booleans()
)  # fmt: skip
def test_only_a_message_that_connects_is_applied_and_only_what_is_known_is_old(
    book, prev, span, in_step, ahead, others
):
    last = prev + span
    verdict, after, count = judge(book, prev, last, in_step, ahead, others)
    assert (verdict == "old") == (last <= book)
    assert (verdict == "apply") == (prev <= book < last)
    if verdict in ("old", "apply"):
        assert (after, count) == (True, 0)
    else:
        assert (after, count) == (False, ahead + 1)
        assert (verdict == "wait") == (others and ahead < 64)


@given(st.integers(1, 3), st.floats(0, 0.5), st.integers(0, 2**32))
def test_sources_with_losses_never_apply_a_delta_out_of_chain(count, loss, seed):
    rng = Random(seed)
    sources = [Source() for _ in range(count)]
    queues: list[list[tuple[int, int]]] = [[] for _ in sources]
    book: int | None = 0
    had = {0}  # every sequence whose change the book has
    venue = 0
    for _ in range(300):
        before, venue = venue, venue + rng.randrange(1, 4)
        for queue in queues:
            if rng.random() >= loss:
                queue.append((before, venue))
        for source, queue in zip(sources, queues, strict=True):
            while queue and rng.random() < 0.6:
                prev, last = queue.pop(0)
                if book is None:
                    # A snapshot as of now: everything up to the venue's sequence is in it.
                    book, had = venue, set(range(venue + 1))
                    for each in sources:
                        each.in_step, each.ahead = True, 0
                others = any(each.in_step for each in sources if each is not source)
                verdict, source.in_step, source.ahead = judge(book, prev, last, source.in_step, source.ahead, others)
                if verdict == "apply":
                    had |= set(range(prev + 1, last + 1))
                    book = last
                    assert had == set(range(book + 1))
                elif verdict == "gap":
                    book = None
