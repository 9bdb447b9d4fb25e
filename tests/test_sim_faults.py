"""Every fault by its name, the syntax of a plan, and that a plan is deterministic."""

import pytest

from fastfeed.sim import Abort, Fault, FaultPlan, Frame
from fastfeed.sim.faults import GAP_FRAMES, GARBAGE, REST_FAULTS, STREAM_FAULTS, FaultLink

FRAMES = [Frame(b'{"n":%d}' % number, "btcusdt@depth", "BTC/USDT") for number in range(12)]


def outcome(text: str, frames=FRAMES) -> list:
    link = FaultLink(FaultPlan.parse(text))
    return [output for frame in frames for output in link.apply(frame)]


def test_without_faults_all_passes():
    assert outcome("") == FRAMES


def test_drop_loses_one():
    assert outcome("drop:@3") == FRAMES[:2] + FRAMES[3:]


def test_drop_loses_as_many_as_it_says():
    assert outcome("drop:@3x4") == FRAMES[:2] + FRAMES[6:]


def test_gap_loses_several_in_a_row():
    assert outcome("gap:@3") == FRAMES[:2] + FRAMES[2 + GAP_FRAMES :]


def test_gap_loses_frames_of_one_stream_only():
    other = [Frame(b"other", "ethusdt@depth", "ETH/USDT") for _ in FRAMES]
    mixed = [frame for pair in zip(FRAMES, other, strict=True) for frame in pair]
    got = outcome("gap:@3:btcusdt", mixed)
    assert [frame for frame in got if frame.topic == "ethusdt@depth"] == other
    assert [frame for frame in got if frame.topic == "btcusdt@depth"] == FRAMES[:2] + FRAMES[2 + GAP_FRAMES :]


def test_duplicate_sends_twice():
    assert outcome("duplicate:@3") == [*FRAMES[:3], *FRAMES[2:]]


def test_reorder_swaps_with_the_next_of_the_stream():
    assert outcome("reorder:@3") == [*FRAMES[:2], FRAMES[3], FRAMES[2], *FRAMES[4:]]


def test_garbage_comes_in_between():
    got = outcome("garbage:@3")
    assert got[2].payload == GARBAGE
    assert got[:2] + got[3:] == FRAMES


def test_truncate_cuts_a_frame():
    got = outcome("truncate:@3")
    assert got[2].payload == b'{"n'
    assert got[:2] + got[3:] == FRAMES[:2] + FRAMES[3:]


def test_stall_mutes_the_connection():
    assert outcome("stall:@3") == FRAMES[:2]


def test_disconnect_cuts_the_connection():
    assert outcome("disconnect:@3") == [*FRAMES[:2], Abort()]


def test_a_message_is_counted_over_all_connections():
    plan = FaultPlan.parse("drop:@4")
    links = FaultLink(plan), FaultLink(plan)
    sent = [len(link.apply(frame)) for frame in FRAMES[:3] for link in links]
    assert sent == [1, 1, 1, 0, 1, 1]
    assert plan.counts == {"drop": 1}


@pytest.mark.parametrize("match", ["btcusdt@depth", "depth", "BTC/USDT"])
def test_a_match_is_on_stream_or_name(match):
    assert outcome(f"drop:1:{match}") == []
    assert outcome("drop:1:DOGE") == FRAMES


def test_a_name_with_colons_matches():
    frame = Frame(b"", "btcusdt@depth", "BTC/USDT:USDT")
    assert outcome("drop:1:BTC/USDT:USDT", [frame]) == []


def test_chance_is_deterministic_and_as_frequent_as_asked():
    frames = FRAMES * 1000
    assert outcome("drop:0.25", frames) == outcome("drop:0.25", frames)
    assert len(outcome("drop:0.25", frames)) == pytest.approx(0.75 * len(frames), rel=0.03)


@pytest.mark.parametrize("name", REST_FAULTS)
def test_faults_of_rest_strike_calls_not_frames(name):
    plan = FaultPlan.parse(f"{name}:@2x2:BTC")
    assert FaultLink(plan).apply(FRAMES[0]) == [FRAMES[0]]
    targets = ["/depth?symbol=BTC", "/depth?symbol=ETH", "/depth?symbol=BTC", "/depth?symbol=BTC", "/depth?symbol=BTC"]
    assert [plan.rest_fault(target) for target in targets] == ["", "", name, name, ""]


def test_faults_of_streams_do_not_strike_calls():
    assert FaultPlan([Fault(name, 1.0) for name in STREAM_FAULTS]).rest_fault("/depth") == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("drip:0.1", "unknown fault 'drip': expected one of drop, gap"),
        ("drop", "expected NAME:WHEN"),
        ("drop:often", "expected a probability, @N or @NxCOUNT, was 'often'"),
        ("drop:@x", "was '@x'"),
        ("drop:1.5", "probability of fault drop: expected 0 to 1, was 1.5"),
        ("drop:@0", "message of fault drop: expected 1 or more, was 0"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        FaultPlan.parse(text)
