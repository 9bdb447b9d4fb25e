"""The C header on another machine: compiled for AArch64, run under an emulator against a bus of this one.

This shows that layout, arithmetic and system calls are right there; the order of memory is still this machine's.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from bell import sleepers
from cprogram import ROOT, build, compiler, probe, seen_by_c, seen_by_python
from livebus import LiveBus
from processes import wait_for

import fastfeed


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    compiler("qemu-aarch64")
    target = tmp_path_factory.mktemp("arm") / "probe"
    return build(target, ROOT / "tests" / "c" / "probe.c", cc="aarch64-linux-gnu-gcc", flags=("-static",))


def test_a_reader_for_aarch64_reads_what_python_reads(shm, program):
    feed = LiveBus("arm")
    reader = fastfeed.open("arm").reader()
    with probe(program, "arm", "qemu-aarch64") as c:
        c.ask("start now")
        for burst in (1, 30, 20_000, 5):
            for number in range(burst):
                feed.delta(f"{90 + number % 700 / 100:.2f}", f"{number % 3}.0", flush=False)
            feed.trade()
            feed.bbo()
            feed.writer.heartbeat()
            found, end = seen_by_c(c.ask("read 1000000"))
            assert found == [seen_by_python(event) for event in reader.poll(1_000_000)]
            assert (end["lost"], end["position"]) == (reader.lost, reader.position.offset)
            (line,) = c.ask("top 0 25")
            bids, asks = feed.market.levels()
            levels = [f"{px}:{sz}" for px, sz in bids[:25]], [f"{px}:{sz}" for px, sz in asks[:25]]
            assert line.split()[4:] == ["bids", *levels[0], "asks", *levels[1]]
        assert reader.lost > 5_000
        for _ in range(5):
            c.send("wait block 600000")
            wait_for(lambda: sleepers("arm") == 1)
            feed.trade()
            assert c.receive() == ["1"]
            assert len(seen_by_c(c.ask("read 10"))[0]) == 1
    feed.writer.close()
