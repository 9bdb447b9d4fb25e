"""Sleeping and waking of wake.h, compiled alone, between processes."""

from __future__ import annotations

import pytest
from toolchain import compile_program, run_program


@pytest.mark.parametrize("readers", [1, 3])
def test_a_sleeper_is_woken_every_time_and_by_one_call_a_flush(tmp_path, wakes, seed, readers):
    found = run_program(compile_program(tmp_path, "wake_stress"), "sleep", wakes, readers, seed)
    assert (found["tries"], found["taken"], found["missed"]) == (wakes, wakes, 0)
    assert 0 < found["wakes"] <= wakes
    assert found["sleeps"] > 0


def test_in_the_instant_of_falling_asleep_nothing_is_missed(tmp_path, wakes, seed, two_cores):
    tries = max(40_000, wakes)
    found = run_program(compile_program(tmp_path, "wake_stress"), "decide", tries, 1, seed)
    assert (found["tries"], found["taken"], found["missed"]) == (tries, tries, 0)


def test_without_the_fences_a_wake_up_is_missed(tmp_path, seed, two_cores):
    # It ends at the first one, which comes within some thousand tries on two cores.
    found = run_program(compile_program(tmp_path, "wake_stress", ["NO_FENCES"]), "decide", 20_000_000, 1, seed)
    assert found["missed"] == 1
