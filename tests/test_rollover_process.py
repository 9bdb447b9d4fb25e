"""Make before break between processes: connections are replaced under load, and not a message is missed.

`pytest tests/test_rollover_process.py --rolls 20` goes on for longer. The feed is rolled at a word, over real sockets;
what its bus brings is held against a witness beside the venue that was never rolled (`witness.py`).
"""

from __future__ import annotations

from typing import Any

import pytest
from processes import fastfeed as run
from processes import wait_for, write_config
from witness import Seen, note, witnessed

import fastfeed
from fastfeed import BookState, BusNotFound, control
from fastfeed.venues import VENUES

CHANNELS = ("book", "trade")
RATE = 400.0  # events a second and instrument


def links(name: str) -> list[dict[str, Any]]:
    """What the feed says of its connections; none before it listens."""
    try:
        return control.ask(name, {"verb": "status"})["feeds"][0]["connections"]
    except BusNotFound:
        return []


def missed(seen: list[Any], truth: list[Any]) -> list[Any]:
    """What the witness saw between the first and the last that came, and that did not come."""
    came = {tuple(each) for each in seen}
    places = [at for at, each in enumerate(truth) if tuple(each) in came]
    return [each for each in truth[places[0] : places[-1] + 1] if tuple(each) not in came]


@pytest.mark.parametrize("venue", VENUES)
def test_no_sequence_and_no_trade_is_missed_while_connections_are_replaced_under_load(
    venue, shm, tmp_path, rolls, capsys
):
    events: list[Any] = []
    with witnessed(tmp_path, venue, None, CHANNELS, symbols=1, rate=RATE, levels=60) as it:
        names = it.served["instruments"]
        config = write_config(tmp_path, "rolled", it.served, names, venue=venue, channels=CHANNELS)
        with run("run", str(config), out=tmp_path / "feed.out"):
            bus = fastfeed.open("rolled", timeout=60)
            reader = bus.reader(start="oldest")

            def until(done: Any) -> None:
                wait_for(lambda: events.extend(reader.poll(100_000)) or done())

            until(lambda: len(bus.instruments) == len(names))
            until(lambda: all(bus.book(each.name).state is BookState.LIVE for each in bus.instruments))
            until(lambda: links("rolled"))
            for number in range(1, rolls + 1):
                control.ask("rolled", {"verb": "roll", "venue": venue})
                until(lambda number=number: min(each["rolls"] for each in links("rolled")) == number)
            last = {name: bus.book(name).top(1).sequence for name in [each.name for each in bus.instruments]}
            until(lambda: all(bus.book(name).top(1).sequence > sequence for name, sequence in last.items()))
            events.extend(reader.poll(100_000))
            assert reader.lost == 0
            connects = sum(row["connects"] for row in bus.map.connections())
        truth = it.end()
    seen: Seen = {}
    note(seen, events)
    lost = {
        (name, kind): gone
        for name in seen
        for kind in seen[name]
        if (gone := missed(seen[name][kind][kind == "book" :], truth[name][kind]))
    }
    counts = {kind: sum(len(each.get(kind, ())) for each in seen.values()) for kind in CHANNELS}
    twice = {
        name for name in seen for each in (seen[name].get("trade", []),) if len({key for key, _ in each}) < len(each)
    }
    with capsys.disabled():
        print(
            f"\n{venue}: {len(names)} books, {rolls} rolls, {connects} sockets, {counts['book']} book messages, "
            f"{counts['trade']} trades, {sum(map(len, lost.values()))} missed"
        )
    assert set(seen) == {f"{venue}:{name}" for name in names}
    told = {
        (event.name, event.reason)
        for event in events
        if event.kind == "status" and event.scope == "instrument" and event.health is None
    }
    assert told == {(name, "snapshot") for name in seen}
    assert lost == {}
    assert twice == set()
