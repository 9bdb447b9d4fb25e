"""fastfeed.h: what a reader in C sees is what a reader in Python sees."""

from __future__ import annotations

import os
import random
import re
import signal
import struct
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from bell import sleepers
from cprogram import ROOT, STRICT, build, compiler, probe, seen_by_c, seen_by_python
from livebus import LiveBus, remote_bus
from processes import fastfeed as run_fastfeed
from processes import wait_for

import fastfeed
from fastfeed_core import bus as core_bus
from fastfeed_core import records
from fastfeed_core.message import Event

HEADER = Path(fastfeed.get_include()) / "fastfeed.h"
BTC = "binance:BTC/USDT"


@pytest.fixture(scope="session")
def reader_program(tmp_path_factory) -> Path:
    return build(tmp_path_factory.mktemp("c") / "reader", ROOT / "examples" / "c" / "reader.c")


@pytest.fixture(scope="session")
def probe_program(tmp_path_factory) -> Path:
    return build(tmp_path_factory.mktemp("c") / "probe", ROOT / "tests" / "c" / "probe.c")


@pytest.fixture
def feed(shm):
    made = LiveBus("cbus")
    yield made
    made.writer.close()


# ---- the header itself


def test_the_command_says_where_the_header_is():
    done = subprocess.run(
        [sys.executable, "-m", "fastfeed.include"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert Path(done.stdout.strip()) == HEADER.parent
    assert HEADER.exists()


@pytest.mark.parametrize(
    ("cc", "standard"),
    [("gcc", "c11"), ("gcc", "gnu17"), ("clang", "c11"), ("g++", "c++17"), ("g++", "c++20"), ("clang++", "c++17")],
)
def test_the_header_compiles_without_a_warning_and_twice_in_a_program(tmp_path, cc, standard):
    suffix = "cc" if standard.startswith("c++") else "c"
    for name, body in (
        ("one", 'int main(void) { ff_bus bus; return ff_open(&bus, "x") || other(); }'),
        ("two", "int other(void) { return FF_KIND_BBO - 1; }"),
    ):
        text = f'#include "fastfeed.h"\n#include "fastfeed.h"\nint other(void);\n{body}\n'
        (tmp_path / f"{name}.{suffix}").write_text(text)
    build(tmp_path / "both", tmp_path / f"one.{suffix}", tmp_path / f"two.{suffix}", cc=cc, standard=standard)


@pytest.mark.parametrize("cc", ["gcc", "clang"])
def test_every_function_compiles_with_conversions_watched(tmp_path, cc):
    """A static inline function that nobody calls is checked all the same, but not made into code: call them all."""
    names = sorted(set(re.findall(r"^static inline [^(]*?(\w+)\(", HEADER.read_text(), re.MULTILINE)))
    assert {"ff_open", "ff_next", "ff_wait", "ff_read_top", "ff_ring_seek"} <= set(names)
    uses = "\n".join(f"    (void (*)(void)){name}," for name in names)
    source = tmp_path / "all.c"
    source.write_text(
        f'#include "fastfeed.h"\nvoid (*all[])(void) = {{\n{uses}\n}};\n'
        "extern void (*all[])(void);\nint main(void) { return all[0] == 0; }\n"
    )
    build(tmp_path / "all", source, cc=cc, flags=("-Wconversion", "-Wstrict-prototypes", "-Wno-cast-function-type"))


def test_a_compiler_that_lays_the_records_out_in_another_way_is_refused(tmp_path):
    text = HEADER.read_text()
    swapped = text.replace("int64_t px;           /* price */\n    int64_t sz; ", "int64_t sz;\n    int64_t px; ", 1)
    assert swapped != text
    (tmp_path / "fastfeed.h").write_text(swapped)
    (tmp_path / "it.c").write_text('#include "fastfeed.h"\n')
    command = [compiler("cc"), "-std=c11", *STRICT, f"-I{tmp_path}", "-c", str(tmp_path / "it.c")]
    done = subprocess.run(
        [*command, "-o", str(tmp_path / "it.o")], capture_output=True, text=True, env=os.environ | {"LC_ALL": "C"}
    )
    assert done.returncode != 0
    assert "ff_trade_record.px" in done.stderr


# ---- the same as Python


def side(levels: list[tuple[int, int]]) -> list[str]:
    return [f"{px}:{sz}" for px, sz in levels]


def test_records_are_the_same_as_pythons(feed, probe_program):
    bus = fastfeed.open("cbus")
    with probe(probe_program, "cbus") as c:
        assert c.greeting == [f"2 instruments generation {bus.generation}"]
        assert c.ask("start oldest") == ["0"]
        reader = bus.reader(start="oldest")
        rng = random.Random(5)
        total = 0
        for step in range(40):
            for number in range(rng.randrange(30)):
                feed.delta(f"{90 + rng.randrange(900) / 100:.2f}", f"{rng.randrange(5)}.0")
                feed.trade()
                feed.bbo(f"{95 + step / 100:.2f}", f"{101 + number / 100:.2f}")
            events = reader.poll(100_000)
            found, end = seen_by_c(c.ask("read 100000"))
            assert found == [seen_by_python(event) for event in events]
            total += len(events)
            assert (end["lost"], end["position"]) == (reader.lost, reader.position.offset)
            assert end["count"] == total == bus.map.record_count
            assert feed.market.levels()[0], "the book was lost on the way"
        assert total > 1_000


def test_a_lap_costs_a_c_reader_exactly_what_it_costs_python(feed, probe_program):
    bus = fastfeed.open("cbus")
    reader = bus.reader()
    before = bus.map.record_count
    read = 0
    with probe(probe_program, "cbus") as c:
        assert c.ask("start now") == ["0"]
        for burst in (1, 3, 20_000, 5, 30_000):
            for _ in range(burst):
                feed.delta(flush=False)
            feed.writer.flush()
            events = reader.poll(1_000_000)
            found, end = seen_by_c(c.ask("read 1000000"))
            read += len(found)
            assert found == [seen_by_python(event) for event in events]
            assert end["lost"] == reader.lost
            assert end["lost"] + read == bus.map.record_count - before == end["count"] - before
        assert reader.lost > 20_000


def test_positions_kinds_and_names(feed, probe_program):
    bus = fastfeed.open("cbus")
    for _ in range(5):
        feed.trade()
        feed.delta()
    events = bus.reader(start="oldest").poll()
    with probe(probe_program, "cbus") as c:
        for event in events:
            assert c.ask(f"start {event.position.offset}") == ["0"]
            assert seen_by_c(c.ask("read 1"))[0] == [seen_by_python(event)]
        assert c.ask(f"start {events[-1].position.offset + 64}") == ["-1005"]
        assert c.ask("start 10000000") == ["-1004"]
        assert c.ask("start oldest") == ["0"]
        assert c.ask(f"kinds {1 << records.Kind.KIND_TRADE}") == []
        wanted = [seen_by_python(event) for event in events if event.kind == "trade"]
        found, end = seen_by_c(c.ask("read 100"))
        assert (found, end["count"]) == (wanted, len(events))
        assert c.ask("find binance:ETH/USDT") == ["1"]
        assert c.ask("find binance:ETH/USD") == ["-1"]
        for _ in range(20_000):
            feed.delta(flush=False)
        feed.writer.flush()
        assert c.ask(f"start {events[0].position.offset}") == ["-1004"]


def test_tops_and_images_are_the_same_as_pythons(feed, probe_program):
    bus = fastfeed.open("cbus")
    book = bus.book(BTC)
    rng = random.Random(6)
    with probe(probe_program, "cbus") as c:
        for _ in range(60):
            feed.delta(f"{90 + rng.randrange(1100) / 100:.2f}", f"{rng.randrange(4)}.0")
            feed.writer.heartbeat()
            n = rng.randrange(1, 26)
            (line,) = c.ask(f"top 0 {n}")
            state, sequence, ts_recv, as_of, *levels = line.split()
            top = book.top(n, exact=True)
            assert (int(state), int(sequence), int(ts_recv)) == (top.state, top.sequence, top.ts_recv)
            assert int(as_of) == top.position.offset
            bids, asks = feed.market.levels()
            assert levels == ["bids", *side(bids[:n]), "asks", *side(asks[:n])]
            # The image is the book of its position: with the deltas since, the one of now.
            (line,) = c.ask("image 0")
            _, _, as_of, *levels = line.split()
            at = levels.index("asks")
            known = [dict(map(int, each.split(":")) for each in half) for half in (levels[1:at], levels[at + 1 :])]
            place = fastfeed.Position(bus.generation, int(as_of))
            for event in bus.reader(start=place, kinds=["delta", "snapshot"], instruments=[BTC]).poll():
                if event.kind == "snapshot":
                    known = [{}, {}]
                for half, pairs in zip(known, (event.bid_mantissas, event.ask_mantissas), strict=True):
                    half.update(pairs)
            now = [sorted((px, sz) for px, sz in half.items() if sz) for half in known]
            assert (now[0][::-1], now[1]) == (bids, asks)
        now = bus.map.tail  # of a book that has never changed, too
        assert c.ask("top 1 5") == [f"0 {-(2**63)} {-(2**63)} {now} bids asks"]
        assert c.ask("top 2 5") == c.ask("image 77") == ["error -1002"]


def test_the_top_of_a_book_that_does_not_change_has_the_position_of_now(feed, probe_program):
    bus = fastfeed.open("cbus")
    book = bus.book(BTC)
    with probe(probe_program, "cbus") as c:
        positions = []
        for number in range(5):
            feed.trade()  # of the instrument itself, or of another one: its cell stays as it is
            positions.append(int(c.ask("top 0 5")[0].split()[3]))
            assert positions[-1] == book.top(5).position.offset == bus.map.tail
            feed.trade()
            assert c.ask(f"start {positions[-1]}") == ["0"]
            found, _ = seen_by_c(c.ask("read 10"))
            assert len(found) == 1, number
        assert positions == sorted(set(positions))


def test_a_book_whose_first_cell_is_still_to_come_has_no_position_beyond_the_last_flush(feed, probe_program):
    places = {(name, field): at for name in ("BusHeader", "TopHead") for field, _, _, at in records.FORMATS[name]}
    with open(core_bus.path("cbus", "data"), "r+b") as data:
        (cells,) = struct.unpack("<Q", os.pread(data.fileno(), 8, places["BusHeader", "cells_offset"]))
        os.pwrite(data.fileno(), struct.pack("<Q", 0), cells)
        os.pwrite(data.fileno(), struct.pack("<Q", 1 << 40), cells + 128 + places["TopHead", "as_of"])
    bus = fastfeed.open("cbus")
    with probe(probe_program, "cbus") as c:
        assert int(c.ask("top 0 1")[0].split()[3]) == bus.book(BTC).top(1).position.offset == bus.map.tail


def test_a_book_is_stale_when_the_heart_does_not_beat(feed, probe_program):
    with probe(probe_program, "cbus") as c:
        wait_for(lambda: c.ask("top 0 1")[0].startswith("2 "))
        assert c.ask("state") == ["closed 0 alive 1 current 1"]  # stopped, perhaps; not dead
        feed.writer.heartbeat()
        assert c.ask("top 0 1")[0].startswith("1 ")


def test_a_dead_feed_and_a_new_generation_are_seen(shm, probe_program):
    with remote_bus("cdies") as first, probe(probe_program, "cdies") as c:
        c.ask("start oldest")
        before = seen_by_c(c.ask("read 100"))[0]
        assert len(before) == 2
        assert c.ask("state") == ["closed 0 alive 1 current 1"]
        first.kill()
        assert c.ask("state") == ["closed 0 alive 0 current 1"]
        wait_for(lambda: c.ask("top 0 1")[0].startswith("2 "))
        c.ask("start oldest")
        assert seen_by_c(c.ask("read 100"))[0] == before  # what was committed stays
        again = LiveBus("cdies")
        assert c.ask("state") == ["closed 0 alive 0 current 0"]
        with probe(probe_program, "cdies") as d:
            assert d.ask("state") == ["closed 0 alive 1 current 1"]
            again.writer.close()
            assert d.ask("state") == ["closed 1 alive 0 current 1"]
            assert d.ask("top 0 1")[0].startswith("2 ")


@pytest.mark.parametrize("how", ["spin", "yield", "block"])
def test_a_waiting_reader_is_told(feed, probe_program, how):
    with probe(probe_program, "cbus") as c:
        c.ask("start now")
        assert c.ask(f"wait {how} 0") == ["0"]
        for _ in range(29):
            c.send(f"wait {how} 600000")  # far beyond the test's own time
            if how == "block":
                wait_for(lambda: sleepers("cbus") == 1)
            feed.trade()
            assert c.receive() == ["1"]
            assert len(seen_by_c(c.ask("read 10"))[0]) == 1
        if how == "block":
            assert feed.writer.wakes == 29


def test_a_reader_that_may_not_ask_to_be_woken_looks_by_itself(feed, probe_program):
    places = {field: at for field, _, _, at in records.FORMATS["BusHeader"]}
    for field, value in (("bell", 2**31 - 1), ("bell", -1), ("generation", None)):
        with open(core_bus.path("cbus", "data"), "r+b") as data:
            data.seek(places[field])
            kept = data.read(8)
            # Nobody's segment, as in another IPC namespace; none; another generation's (with stamps like ours).
            bad = int.from_bytes(kept, "little") + (1 << 16) if value is None else value
            data.seek(places[field])
            data.write(bad.to_bytes(8, "little", signed=True))
            data.flush()
            with probe(probe_program, "cbus") as c:
                c.ask("start now")
                assert c.ask("wait block 600000") == ["0"]  # a millisecond, and not ten minutes
                feed.trade()
                assert c.ask("wait block 600000") == ["1"]
            data.seek(places[field])
            data.write(kept)
    assert feed.writer.wakes == 0


# ---- what is no bus


def refusal(program: Path, name: str) -> str:
    # Who waits for the other end of a pipe waits for ever: the timeout ends the test, and decides nothing.
    done = subprocess.run([str(program), name], input="", capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1, done
    return done.stdout.strip()


def test_another_layout_is_refused_with_the_field_that_python_names(feed, probe_program):
    assert refusal(probe_program, "nobody") == "-2 data file of the bus: No such file or directory"
    with open(core_bus.path("cbus", "data"), "r+b") as data:
        text = data.read(65536)
        for old, new in ((b"bid_sz:i8@72", b"bid_sz:i8@80"), (b"head:", b"neck:"), (b"Head 64 ", b"Head 65 "),
                         (b"ReaderRow ", b"ReaderCow "), (b"px:i8@64 ", b"pxx:i8@64")):  # fmt: skip
            if old not in text:
                continue
            at = text.index(old)
            data.seek(at)
            data.write(new)
            data.flush()
            with pytest.raises(fastfeed.LayoutMismatch) as caught:
                fastfeed.open("cbus")
            said = refusal(probe_program, "cbus")
            assert said.startswith("-1001 ")
            assert said.split()[1].split(":")[0].split(".")[0] == caught.value.field.split(".")[0]
            if b"bid_sz" in old:
                assert said == "-1001 BboRecord: expected bid_sz:i8@72, was bid_sz:i8@80"
            data.seek(at)
            data.write(old)
        data.seek(8)
        data.write(struct.pack("<I", 99))
        data.flush()
        version = struct.unpack_from("<I", text, 8)[0]
        assert refusal(probe_program, "cbus") == f"-1001 layout_version: expected {version}, was 99"
        data.seek(8)
        data.write(struct.pack("<I", version))
    with probe(probe_program, "cbus") as c:
        assert c.greeting


def test_what_is_no_plain_file_is_refused_as_python_does(feed, probe_program):
    os.symlink(core_bus.path("cbus", "data"), core_bus.path("alias", "data"))
    os.symlink("nowhere", core_bus.path("broken", "data"))
    os.mkfifo(core_bus.path("pipe", "data"))
    os.mkdir(core_bus.path("folder", "data"))
    for name, found in (
        ("alias", "a symbolic link"),
        ("broken", "a symbolic link"),
        ("pipe", "a pipe"),
        ("folder", "a folder"),
    ):
        with pytest.raises(fastfeed.LayoutMismatch) as caught:
            fastfeed.open(name)
        assert (caught.value.field, caught.value.expected) == ("file", "a plain file")
        assert refusal(probe_program, name) == f"-1001 file: expected a plain file, was {found}"


def test_a_truncated_file_is_refused(shm, probe_program):
    for size in (0, 1, 4095, 4096, 5000):
        Path(core_bus.path("short", "data")).write_bytes(b"\0" * size)
        assert refusal(probe_program, "short").startswith("-1001 ")
    os.unlink(core_bus.path("short", "data"))


def test_garbage_in_the_header_is_refused_or_harmless(shm, probe_program):
    """The header is believed only as far as it fits the file: no crash, whatever it says."""
    feed = LiveBus("garbage", ring=1 << 16)
    whole = Path(core_bus.path("garbage", "data")).read_bytes()
    feed.writer.close()
    rng = random.Random(11)
    target = Path(core_bus.path("garbage", "data"))
    opened = 0
    header = records.SIZES["BusHeader"]
    for number in range(80):
        text = bytearray(whole)
        at = 8 * rng.randrange(header // 8)
        value = rng.choice([0, 1, 63, 2**16, 2**31, 2**32 - 1, 2**63, 2**64 - 1, rng.getrandbits(64), len(whole)])
        text[at : at + 8] = value.to_bytes(8, "little")
        target.write_bytes(text)
        commands = "top 0 25\nimage 0\nstart oldest\nread 10\nfind x\n"
        done = subprocess.run(
            [str(probe_program), "garbage"], input=commands, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode in (0, 1), (number, at, value, done.stderr)
        opened += done.returncode == 0
    assert opened < 80
    target.unlink()


# ---- the example


TRADE = re.compile(r"trade (\d+) (\S+) (buy|sell) (\S+) (\S+)")
BBO = re.compile(r"bbo (\d+) (\S+) (\S+) (\S+) (\S+) (\S+)")


@pytest.mark.parametrize("how", ["block", "yield", "spin"])
def test_the_example_prints_what_python_reads_from_a_live_feed(shm, tmp_path, reader_program, how):
    name = f"cdemo{how}"
    with run_fastfeed("demo", "--seconds", "120", "--bus", name, out=tmp_path / "demo.out"):
        wait_for(lambda: b"live" in (tmp_path / "demo.out").read_bytes())
        bus = fastfeed.open(name, timeout=30)
        start = bus.reader().position
        done = subprocess.run(
            [str(reader_program), "-w", how, "-s", str(start.offset), "-n", "60", "-t", "3", name],
            capture_output=True, text=True, check=True, timeout=120,
        )  # fmt: skip
        lines = done.stdout.splitlines()
        reader = bus.reader(start=start, kinds=["bbo", "trade"])
        events: list[Event] = []
        while len(events) < 60:
            events += reader.poll(60 - len(events))
        assert lines[0].startswith(f"top {bus.instruments[0].name} live position ")
        assert lines[1].startswith("  bid ")
        mine = [line for line in lines if line.startswith(("bbo", "trade"))]
        assert len(mine) == len(events) == 60
        exponents = {each.name: (each.px_exp, each.sz_exp) for each in bus.instruments}
        for line, event in zip(mine, events, strict=True):
            px_exp, sz_exp = exponents[event.name]

            def mantissa(text: str, exponent: int) -> int | None:
                return None if text == "-" else int(Decimal(text).scaleb(-exponent))

            if event.kind == "trade":
                position, instrument, taker, px, sz = TRADE.fullmatch(line).groups()
                assert taker == event.side
                assert (mantissa(px, px_exp), mantissa(sz, sz_exp)) == (event.px, event.sz)
            else:
                position, instrument, *quote = BBO.fullmatch(line).groups()
                wanted = (event.bid_px, event.bid_sz, event.ask_px, event.ask_sz)
                assert tuple(map(mantissa, quote, [px_exp, sz_exp] * 2)) == wanted
            assert (int(position), instrument) == (event.position.offset, event.name)
        assert lines[-1].startswith("end read 60 lost 0 position ")


def test_a_stopped_example_learns_its_exact_loss_and_ends_with_the_feed(feed, tmp_path, reader_program):
    out = tmp_path / "reader.out"
    with out.open("wb") as sink, subprocess.Popen([str(reader_program), "-t", "0", "cbus"], stdout=sink) as process:
        try:
            wait_for(lambda: sleepers("cbus") == 1)
            feed.trade()
            wait_for(lambda: out.read_text().count("trade") == 1)
            os.kill(process.pid, signal.SIGSTOP)
            trades = 15_000  # more than the ring holds
            for _ in range(trades):
                feed.trade()
            os.kill(process.pid, signal.SIGCONT)
            feed.writer.close()
            assert process.wait() == 0
        finally:
            process.kill()
    text = out.read_text()
    end = re.search(r"^end read (\d+) lost (\d+) position (\d+)$", text, re.MULTILINE)
    read, lost = int(end[1]), int(end[2])
    assert read == text.count("trade")
    assert lost == int(re.search(r"^lost (\d+)$", text, re.MULTILINE)[1])
    assert lost > 5_000
    assert read + lost == trades + 1


def test_the_example_goes_over_to_a_new_generation(shm, tmp_path, reader_program):
    out = tmp_path / "reader.out"
    command = [str(reader_program), "-t", "0", "-s", "oldest", "cagain"]
    with remote_bus("cagain") as first, out.open("wb") as sink, subprocess.Popen(command, stdout=sink) as process:
        try:
            first.do("trade")
            wait_for(lambda: out.read_text().count("trade") == 1)
            first.kill()
            wait_for(lambda: "gone" in out.read_text())
            with remote_bus("cagain") as second:
                second.do("trade")
                second.do("bbo")
                wait_for(lambda: out.read_text().count("bbo") == 1)
                second.close()
            assert process.wait() == 0
        finally:
            process.kill()
    words = [line.split()[0] for line in out.read_text().splitlines()]
    assert words == ["trade", "gone", "end", "restarted", "trade", "bbo", "end"]


def test_wrong_usage_and_a_bus_that_is_not_there_are_said(shm, reader_program):
    for arguments, code, said in (
        (["-w", "doze", "x"], 2, "usage: "),
        ([], 2, "usage: "),
        (["x"], 1, "reader: bus x: data file of the bus: "),
    ):
        done = subprocess.run([str(reader_program), *arguments], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (code, "")
        assert done.stderr.startswith(said)
