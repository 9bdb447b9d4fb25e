"""The verbs that look at a bus: `tail`, `top`, `status`, on a bus of the demo and after it."""

import base64
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COMMON = {"kind", "name", "sequence", "ts_event", "ts_send", "ts_recv", "ts_publish", "position"}
HEADS = ["instrument", "state", "bid size", "bid", "ask", "ask size", "spread", "updates/s", "age s"]
OF_KIND = {
    "bbo": {"bid", "bid_size", "ask", "ask_size", "derived"},
    "trade": {"price", "size", "side", "trade_id"},
    "delta": {"bids", "asks", "prev_sequence"},
    "snapshot": {"bids", "asks", "prev_sequence"},
    "status": {"scope", "state", "reason", "expected", "received", "instrument_status", "health"},
}


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shm")
    return os.environ | {"FASTFEED_SHM": str(folder), "PYTHONPATH": str(ROOT)}


def start(environment, *arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "fastfeed", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def start_demo(environment, name):
    """A bus to look at: the demo without its output, once all of its books are live."""
    demo = subprocess.Popen(
        [sys.executable, "-m", "fastfeed", "demo", "--venues", "binance", "--seconds", "120", "--bus", name],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    end = time.monotonic() + 30
    while run(environment, "status", name)[1].count(" live ") < 9:
        assert time.monotonic() < end, "timed out"
        assert demo.poll() is None
    return demo


def stop(demo):
    demo.terminate()
    assert demo.wait(30) == 0


@pytest.fixture(scope="module")
def bus(environment):
    demo = start_demo(environment, "looked-at")
    yield "looked-at"
    stop(demo)


def run(environment, *arguments):
    """Run a command to its end; exit code, output, errors."""
    process = start(environment, *arguments)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_tail_json_is_an_object_a_line(environment, bus):
    code, out, err = run(environment, "tail", bus, "--json", "--count", "40", "--start", "oldest")
    assert (code, err) == (0, "")
    events = [json.loads(line) for line in out.splitlines()]
    assert len(events) == 40
    for event in events:
        assert set(event) == COMMON | OF_KIND[event["kind"]]
        assert event["ts_recv"] <= event["ts_publish"]
    positions = [event["position"] for event in events]
    assert positions == sorted(positions)


def test_tail_filters_by_instrument_and_kind(environment, bus):
    wanted = [
        "--instrument",
        "binance:BTC/USDT",
        "--instrument",
        "binance:ETH/USDT",
        "--kind",
        "bbo",
        "--kind",
        "trade",
    ]
    _, out, _ = run(environment, "tail", bus, "--json", "--count", "30", *wanted)
    events = [json.loads(line) for line in out.splitlines()]
    assert {event["name"] for event in events} <= {"binance:BTC/USDT", "binance:ETH/USDT"}
    assert {event["kind"] for event in events} <= {"bbo", "trade"}


@pytest.mark.parametrize(
    ("kind", "form"),
    [
        ("trade", r"(buy|sell) [0-9.]+ @ [0-9.]+ id=[0-9]+"),
        ("bbo", r"[0-9.]+ @ [0-9.]+ \| [0-9.]+ @ [0-9.]+ seq=[0-9]+"),
        ("delta", r"bids=[0-9]+ asks=[0-9]+ prev=[0-9]+ seq=[0-9]+"),
        ("snapshot", r"bids=[0-9]+ asks=[0-9]+ seq=[0-9]+"),
        ("status", r"live \(snapshot\)( seq=[0-9]+)?"),
    ],
)
def test_tail_prints_a_short_line_of_each_kind(environment, bus, kind, form):
    wanted = ["--kind", kind, "--instrument", "binance:PEPE/USDT", "--start", "oldest"]
    tail = start(environment, "tail", bus, *wanted)
    line = rf"[0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}}\.[0-9]{{6}} {kind} binance:PEPE/USDT {form}"
    # Status events of connections and of the bus pass the filter: they concern every instrument.
    assert any(re.fullmatch(line, each.rstrip()) for each in tail.stdout)
    tail.terminate()
    tail.communicate(timeout=30)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["--instrument", "BTC/USDT"],
            "--instrument: expected an instrument of bus looked-at, was 'BTC/USDT' (did you mean binance:BTC/USDT?)",
        ),
        (
            ["--kind", "trades"],
            "--kind: expected one of bbo, trade, delta, snapshot, status, ticker, bar, liquidation, was 'trades' "
            "(did you mean trade?)",
        ),
    ],
    ids=["instrument", "kind"],
)
def test_tail_names_what_it_does_not_know(environment, bus, arguments, says):
    assert run(environment, "tail", bus, *arguments) == (2, "", f"fastfeed: {says}\n")


def test_tail_into_a_closed_pipe_is_quiet(environment, bus):
    tail = start(environment, "tail", bus)
    tail.stdout.readline()
    tail.stdout.close()
    assert tail.stderr.read() == ""
    assert tail.wait(30) == 0
    tail.stderr.close()


def test_tail_waits_for_the_bus_and_ends_with_it(environment):
    tail = start(environment, "tail", "later", "--timeout", "30", "--kind", "status", "--start", "oldest")
    demo = start_demo(environment, "later")
    stop(demo)
    out, err = tail.communicate(timeout=30)
    assert (tail.returncode, err) == (0, "fastfeed: bus later was stopped\n")
    assert re.search(r"status bus stale \(stopped\)$", out.splitlines()[-1])


def test_tail_outlives_a_feed_that_dies(environment):
    demo = start_demo(environment, "mortal")
    tail = start(environment, "tail", "mortal", "--json", "--count", "1000000", "--kind", "trade")
    tail.stdout.readline()
    pid = json.loads(run(environment, "status", "mortal", "--json")[1])["pid"]
    os.kill(pid, signal.SIGKILL)
    assert demo.wait(30) == 1
    assert re.fullmatch(
        r"fastfeed: publisher of bus mortal is gone: .*; waiting for the next\n", tail.stderr.readline()
    )
    again = start_demo(environment, "mortal")
    kinds = set()
    generations = set()
    while len(generations) < 2:
        event = json.loads(tail.stdout.readline())
        kinds.add(event["kind"])
        generations.add(event["position"][0])
    stop(again)
    tail.communicate(timeout=30)
    assert tail.returncode == 0
    assert kinds == {"trade"}


def test_top_prints_tables_that_move(environment, bus):
    code, out, err = run(environment, "top", bus, "--count", "2", "--interval", "0.3", "--levels", "2")
    assert (code, err) == (0, "")
    tables = out.split("\n\n")
    assert len(tables) == 2
    rows = []
    for table in tables:
        title, head, *lines = table.splitlines()
        assert title.startswith(f"bus {bus}: live, ")
        assert re.split(" {2,}", head) == HEADS
        assert len(lines) == 18  # two levels of nine instruments
        rows.append([line.split() for line in lines])
    assert rows[0] != rows[1]
    name, state, bid_size, bid, ask, ask_size, spread, rate, age = rows[1][0]
    assert (name, state) == ("binance:BTC/USDT", "live")
    assert float(ask) - float(bid) == pytest.approx(float(spread))
    assert min(map(float, (bid_size, ask_size))) > 0
    assert float(rate) > 0
    assert float(age) < 5
    assert float(rows[1][1][1]) < float(bid)


def test_top_refuses_more_levels_than_there_are(environment, bus):
    code, _, err = run(environment, "top", bus, "--count", "1", "--levels", "1000")
    assert (code, err) == (2, "fastfeed: --levels: expected at most what the bus publishes, was 1000\n")


def test_status_of_a_live_bus(environment, bus):
    code, out, err = run(environment, "status", bus, "--json")
    assert (code, err) == (0, "")
    status = json.loads(out)
    assert (status["bus"], status["health"]) == (bus, "live")
    assert 0 <= status["heartbeat_age_s"] < 1
    assert status["ring"]["size"] == 16 << 20
    assert status["ring"]["position"] > 0
    assert status["ring"]["records"] > 0
    assert len(status["instruments"]) == 9
    for instrument in status["instruments"]:
        assert (instrument["state"], instrument["gaps"], instrument["snapshots"]) == ("live", 0, 1)
        for latency in (instrument["socket_to_ring_us"], instrument["venue_to_socket_us"]):
            assert 0 < latency["p50"] <= latency["p99"] <= latency["p99.9"] <= latency["max"]
    assert status["memory"]["allocated"] > status["ring"]["size"]
    assert status["memory"]["huge_pages"] == 0
    assert status["wakes"] >= 0
    assert status["connections"]
    for connection in status["connections"]:
        latency = connection["socket_to_ring_us"]
        assert connection["connected"] is True
        assert connection["frames"] >= latency["count"]
        if "/market" not in connection["label"]:  # that one has notices, of which there were none
            assert 0 < latency["p50"] <= latency["p99"] <= latency["max"]


def test_status_for_people_names_all_instruments(environment, bus):
    code, out, _ = run(environment, "status", bus)
    assert code == 0
    assert out.startswith(f"bus {bus}: live, process ")
    counters, connections, latencies = out.split("\n\n")[1:4]
    assert (counters.count("binance:"), latencies.count("binance:")) == (9, 9)
    assert connections.startswith("label ")
    assert re.search(r"^memory: [0-9.]+ MiB, no huge pages; [0-9]+ wake-ups of readers$", out, re.MULTILINE)
    assert re.search(r"^venue binance: (starting|ok)$", out, re.MULTILINE)
    assert re.search(r"^binance spot .* connected .*$", out, re.MULTILINE)


def test_status_without_a_bus_lists_them(environment, bus):
    listed = json.loads(run(environment, "status", "--json")[1])
    found = next(each for each in listed if each["bus"] == bus)
    assert (found["health"], found["alive"], found["instruments"], found["ring"]) == ("live", True, 9, 16 << 20)
    assert found["bytes"] > found["ring"]
    assert found["uptime_s"] > 0
    assert re.search(rf"^{bus} +live +[0-9]+ ", run(environment, "status")[1], re.MULTILINE)


def test_status_tells_stale_from_dead(environment):
    def health():
        return [each["health"] for each in json.loads(run(environment, "status", "--json")[1]) if each["bus"] == "ill"]

    demo = start_demo(environment, "ill")
    pid = json.loads(run(environment, "status", "ill", "--json")[1])["pid"]
    end = time.monotonic() + 30
    os.kill(demo.pid, signal.SIGSTOP)  # else it would tidy up
    os.kill(pid, signal.SIGSTOP)
    while health() != ["stale"]:
        assert time.monotonic() < end, "timed out"
    os.kill(pid, signal.SIGKILL)
    while health() != ["dead"]:
        assert time.monotonic() < end, "timed out"
    code, out, _ = run(environment, "status", "ill", "--json")
    assert code == 0
    assert {each["state"] for each in json.loads(out)["instruments"]} == {"stale"}
    os.kill(demo.pid, signal.SIGCONT)
    assert demo.wait(30) == 1
    assert health() == []


def test_histograms_are_told_as_other_tools_read_them(environment, bus):
    status = json.loads(run(environment, "status", bus, "--json", "--hdr")[1])
    for row in status["instruments"] + status["connections"]:
        assert base64.b64decode(row["socket_to_ring_us"]["hdr"])[:4] == b"\x1c\x84\x93\x14"


def test_clean_removes_what_a_killed_feed_left_and_nothing_that_lives(environment, bus):
    demo = start_demo(environment, "left")
    pid = json.loads(run(environment, "status", "left", "--json")[1])["pid"]
    os.kill(demo.pid, signal.SIGSTOP)  # else it would tidy up
    code, out, err = run(environment, "clean", "left", bus)
    assert (code, err) == (1, "")
    assert re.fullmatch(
        rf"left left: bus left is busy: another feed \(process {pid}\) .*\nleft {bus}: .* busy.*\n", out
    )
    os.kill(pid, signal.SIGKILL)
    folder = Path(environment["FASTFEED_SHM"])
    (folder / "fastfeed.left.data.0123456789abcdef.tmp").write_bytes(bytes(4096))
    code, out, err = run(environment, "clean")
    assert (code, err) == (0, "")
    parts = [rf"fastfeed\.left\.{part}" for part in ("ctl", "data", r"data\.0123456789abcdef\.tmp", "readers", "lock")]
    assert re.fullmatch(rf"removed left: {', '.join(parts)} \([0-9.]+ MiB\)\n", out)
    assert {entry.split(".")[1] for entry in os.listdir(folder)} == {bus}
    assert run(environment, "clean", "--json") == (0, "[]\n", "")
    code, out, err = run(environment, "clean", "left")
    assert (code, err) == (1, "")
    assert out.startswith("left left: bus left not found")
    os.kill(demo.pid, signal.SIGCONT)
    assert demo.wait(30) == 1


@pytest.mark.parametrize("verb", ["status", "tail", "top"])
def test_a_bus_that_is_not_there_is_one_line(environment, verb):
    says = "fastfeed: bus nowhere not found: is its feed running, under this user?\n"
    assert run(environment, verb, "nowhere") == (1, "", says)
