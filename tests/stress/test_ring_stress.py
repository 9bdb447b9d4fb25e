"""Ring and cell of ring.h under load, compiled alone: sanitizers, then processes; with each safeguard out it shows."""

from __future__ import annotations

import pytest
from toolchain import compile_program, run_program

SMALL = 65536  # of which a record is at most 1/128
LINES = SMALL // 64
STARTS = LINES - 64  # a record starts in every line but the last of a block, which is always padding


def check_ring(found, readers):
    assert len(found["readers"]) == readers
    for reader in found["readers"]:
        assert (reader["torn"], reader["disordered"]) == (0, 0)
        # Exactly: what was read, what was lost, and what was skipped (less what was read twice) by seeking.
        assert reader["read"] + reader["lost"] + reader["skipped"] == found["written"] == reader["count"]
        assert min(reader["read"], reader["lost"], reader["laps"], reader["joins"]) > 0


def check_cells(found, readers):
    assert len(found["readers"]) == readers
    for reader in found["readers"]:
        assert (reader["torn"], reader["disordered"]) == (0, 0)
        assert reader["read"] > 0


CHECKS = {"ring": check_ring, "cells": check_cells}


@pytest.mark.parametrize("readers", [1, 3])
def test_readers_in_processes_see_whole_records_in_order_and_know_their_losses(tmp_path, seconds, seed, readers):
    program = compile_program(tmp_path, "ring_stress")
    found = run_program(program, "processes", "ring", seconds, readers, seed, SMALL)
    check_ring(found, readers)
    assert found["rounds"] > 10
    assert found["starts"] == STARTS  # the ring went around at every offset


def test_a_ring_of_larger_blocks_holds_as_well(tmp_path, seconds, seed):
    program = compile_program(tmp_path, "ring_stress")
    check_ring(run_program(program, "processes", "ring", seconds, 2, seed, 1 << 19), 2)


@pytest.mark.parametrize("readers", [1, 3])
def test_cells_in_processes_are_never_torn_and_never_go_back(tmp_path, seconds, seed, readers):
    program = compile_program(tmp_path, "ring_stress")
    found = run_program(program, "processes", "cells", seconds, readers, seed, SMALL)
    check_cells(found, readers)
    assert sum(reader["laps"] for reader in found["readers"]) > 0  # there was something to refuse


@pytest.mark.parametrize("what", ["ring", "cells"])
def test_without_the_look_behind_the_copy_torn_ones_are_accepted(tmp_path, seconds, seed, what):
    program = compile_program(tmp_path, "ring_stress", ["NO_VALIDATION"])
    found = run_program(program, "processes", what, seconds, 1, seed, SMALL)
    assert found["readers"][0]["torn"] > 0


@pytest.mark.parametrize("what", ["ring", "cells"])
def test_no_byte_beside_the_memory_is_touched_and_nothing_is_undefined(tmp_path, seconds, seed, what):
    program = compile_program(tmp_path, "ring_stress", sanitize="address,undefined")
    CHECKS[what](run_program(program, "threads", what, seconds, 2, seed, SMALL), 2)


@pytest.mark.parametrize("what", ["ring", "cells"])
def test_what_is_accepted_is_ordered_by_the_protocol_alone(tmp_path, seconds, seed, what):
    program = compile_program(tmp_path, "ring_stress", ["UNDER_TSAN"], "thread", ["unseen"])
    CHECKS[what](run_program(program, "threads", what, seconds, 2, seed, SMALL), 2)


@pytest.mark.parametrize("without", ["NO_FENCES", "WEAK_RELEASE"])
@pytest.mark.parametrize("what", ["ring", "cells"])
def test_without_an_order_a_race_is_reported(tmp_path, seconds, seed, what, without):
    program = compile_program(tmp_path, "ring_stress", ["UNDER_TSAN", without], "thread", ["unseen"])
    with pytest.raises(AssertionError, match="ThreadSanitizer: data race"):
        run_program(program, "threads", what, seconds, 2, seed, SMALL)
