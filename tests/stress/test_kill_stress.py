"""Producers of ring and cell killed in the middle of writing, compiled alone: the writes themselves are hit."""

from __future__ import annotations

from toolchain import compile_program, run_program


def test_what_a_killed_producer_leaves_is_whole_and_counted(tmp_path, kills, seed):
    found = run_program(compile_program(tmp_path, "kill_stress"), 10 * kills, seed)
    assert found["kills"] == found["cells"] == 10 * kills
    assert (found["torn"], found["uncounted"], found["torn_cells"]) == (0, 0, 0)
    assert found["mistaken"] == 0  # for records of this generation by those who still read the last one
    assert min(found["read"], found["unflushed"]) > 0  # there was what a flush had not announced


def test_without_the_generation_in_the_stamp_records_of_another_are_accepted(tmp_path, kills, seed):
    found = run_program(compile_program(tmp_path, "kill_stress", ["NO_GENERATION"]), 10 * kills, seed)
    assert found["mistaken"] > 0
