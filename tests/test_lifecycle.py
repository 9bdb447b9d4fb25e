"""lifecycle: every cell of the table, as written down here a second time."""

from __future__ import annotations

import pytest

from fastfeed.lifecycle import TABLE, Happening, Phase, after

# Columns in the order of `Happening`: opened, joined, relieved, kept, died, released; - cannot happen.
CELLS = {
    "opening": "joining - opening opening ended ended",
    "joining": "- streaming ended joining ended ended",
    "streaming": "- streaming retiring streaming ended ended",
    "retiring": "- retiring retiring streaming ended ended",
    "ended": "ended ended ended ended ended ended",
}
EVERY = [
    (phase, happening, word)
    for phase, row in CELLS.items()
    for happening, word in zip([each.value for each in Happening], row.split(), strict=True)
]


@pytest.mark.parametrize(("phase", "happening", "word"), EVERY)
def test_a_cell(phase, happening, word):
    if word == "-":
        with pytest.raises(RuntimeError, match=f"a connection that is {phase} cannot be {happening}"):
            after(Phase(phase), Happening(happening))
    else:
        assert after(Phase(phase), Happening(happening)) is Phase(word)


def test_the_table_has_every_cell():
    assert set(TABLE) == set(Phase)
    assert all(set(row) == set(Happening) for row in TABLE.values())
    assert len(EVERY) == len(Phase) * len(Happening)


def test_whatever_happens_a_socket_can_die_and_stays_dead():
    for phase in Phase:
        assert after(phase, Happening.DIED) is Phase.ENDED
        assert after(phase, Happening.RELEASED) is Phase.ENDED
