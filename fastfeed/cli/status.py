"""fastfeed status: what a bus, its instruments, connections and readers are doing; without a bus, which there are."""

from __future__ import annotations

import argparse
import time
from typing import Any

import msgspec

from fastfeed import bus as buses
from fastfeed.bus import Bus
from fastfeed.cli.table import align
from fastfeed.inventory import health, list_buses
from fastfeed_core.attach import BusMap
from fastfeed_core.counters import Histogram
from fastfeed_core.files import folder
from fastfeed_core.message import HEALTHS, REASONS
from fastfeed_core.records import Health
from fastfeed_core.room import in_units

__all__ = ["add_arguments", "describe", "main"]

_OWN_WORDS = (
    "latency", "venue_latency", "venue_ahead", "venue_min", "connected", "health", "venue_health",
    "round_trip", "round_trip_max",
)  # fmt: skip
_PERCENTILES = (50.0, 99.0, 99.9)
_LATENCIES = {"latency": "socket_to_ring_us", "venue_latency": "venue_to_socket_us"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bus", nargs="?", help="name of the bus; all buses are listed unless given")
    parser.add_argument("--json", action="store_true", help="print a JSON object, or a list of them without a bus")
    parser.add_argument(
        "--hdr", action="store_true", help="with --json: each histogram as HdrHistogram encodes it, too"
    )


def main(args: argparse.Namespace) -> int:
    """Print once and return 0, also if the bus is stale or dead."""
    if args.bus is None:
        found = list_buses()
        print(msgspec.json.encode(found).decode() if args.json else _bus_lines(found))
        return 0
    described = describe(buses.open(args.bus), args.hdr)
    print(msgspec.json.encode(described).decode() if args.json else _lines(described))
    return 0


def describe(bus: Bus, hdr: bool = False) -> dict[str, Any]:
    """Return the state of a bus as plain values; `_s` are seconds, `_us` microseconds, sizes are bytes."""
    instruments = bus.instruments
    bus_map = bus.map
    rows = []
    for index, instrument in enumerate(instruments[: bus_map.count]):
        has_book = bus_map.instrument(index)["has_book"]
        state = bus.book(instrument.name).state.name.lower() if has_book else None
        told = _health(bus_map.instrument_health(index))
        counters = bus_map.instrument_counters(index)
        latencies = _latencies(bus_map.instrument_latency(index), hdr)
        rows.append({"name": instrument.name, "state": state, **told, **counters, **latencies})
    return {
        **_head(bus.name, bus_map),
        "ring": {"size": bus_map.ring_capacity, "position": bus_map.tail, "records": bus_map.record_count},
        "memory": {"allocated": bus_map.allocated, "huge_pages": bus_map.huge_bytes},
        "wakes": bus_map.wakes,
        "instruments": rows,
        "venues": _venues(bus_map),
        "connections": [_connection(each, hdr) for each in bus_map.connections()],
        "readers": [_reader(each, hdr) for each in (bus_map.readers() if hasattr(bus_map, "readers") else [])],
    }


def _health(told: tuple[int, int]) -> dict[str, str | None]:
    """Health and its reason in words; None as long as nothing is known, or where there is no reason."""
    return {"health": HEALTHS[told[0]], "health_reason": REASONS[told[1]] or None}


def _venues(bus_map: BusMap) -> list[dict[str, Any]]:
    """What the feeds say of themselves: the worst of those of one venue."""
    worst: dict[str, tuple[int, int]] = {}
    for row in bus_map.connections():
        name = row["label"].partition(" ")[0]
        if row["venue_health"][0] == Health.HEALTH_NONE and not row["connected"]:
            continue  # its connection has ended, or has not begun
        worst[name] = max(worst.get(name, (0, 0)), row["venue_health"])
    return [{"name": name, **_health(told)} for name, told in worst.items()]


def _head(name: str, bus_map: BusMap) -> dict[str, Any]:
    return {
        "bus": name,
        "health": health(bus_map),
        "pid": bus_map.pid,
        "generation": bus_map.generation,
        "heartbeat_age_s": bus_map.heartbeat_age,
        "uptime_s": max(0.0, (time.time_ns() - bus_map.created) / 1e9),
    }


def _connection(row: dict[str, Any], hdr: bool) -> dict[str, Any]:
    found = {key: value for key, value in row.items() if key not in _OWN_WORDS}
    found["connected"] = bool(row["connected"])
    found |= _health(row["health"])
    found |= {f"{key}_ms": row[key] / 1e6 if row[key] else None for key in ("round_trip", "round_trip_max")}
    return {**found, **_latencies(row, hdr)}


def _reader(row: dict[str, Any], hdr: bool) -> dict[str, Any]:
    """What a reader says of itself; its histogram, if it keeps one, as those of the feed."""
    found = {key: value for key, value in row.items() if key != "latency"}
    return {**found, "publish_to_read_us": _percentiles(row["latency"], hdr)} if row.get("latency") else found


def _latencies(row: dict[str, Any], hdr: bool) -> dict[str, Any]:
    """Both latencies in microseconds, and what the venue's clock had to do with the second."""
    found = {name: _percentiles(row[key], hdr) for key, name in _LATENCIES.items()}
    least = row["venue_min"]
    found["venue_to_socket_us"] |= {"min": None if least is None else least / 1e3, "ahead": row["venue_ahead"]}
    return found


def _percentiles(counts: tuple[bytes, int], hdr: bool) -> dict[str, Any]:
    latency = Histogram(*counts)
    return {
        "count": latency.count,
        **{f"p{percent:g}": latency.percentile(percent) / 1e3 for percent in _PERCENTILES},
        "max": latency.max / 1e3,
        **({"hdr": latency.encode()} if hdr else {}),
    }


def _bus_lines(found: list[dict[str, Any]]) -> str:
    if not found:
        return f"no bus in {folder()}"
    heads = (
        "bus",
        "health",
        "process",
        "generation",
        "heartbeat s",
        "up s",
        "instruments",
        "readers",
        "ring",
        "memory",
    )
    rows = [heads]
    for each in found:
        rows.append(
            (
                each["bus"],
                each["health"],
                _text(each, "pid"),
                _text(each, "generation"),
                f"{each['heartbeat_age_s']:.1f}" if "pid" in each else "-",
                f"{each['uptime_s']:.0f}" if "pid" in each else "-",
                _text(each, "instruments"),
                _text(each, "readers"),
                in_units(each["ring"]) if "pid" in each else "-",
                in_units(each["bytes"]),
            )
        )
    return "\n".join(align(rows))


def _text(row: dict[str, Any], key: str) -> str:
    value = row.get(key)
    return "-" if value is None else str(value)


def _lines(found: dict[str, Any]) -> str:
    ring, memory = found["ring"], found["memory"]
    huge = f"{in_units(memory['huge_pages'])} in huge pages" if memory["huge_pages"] else "no huge pages"
    lines = [
        f"bus {found['bus']}: {found['health']}, process {found['pid']}, generation {found['generation']}, "
        f"up {found['uptime_s']:.0f} s, heartbeat {found['heartbeat_age_s']:.1f} s ago",
        f"ring: {ring['size']} bytes, position {ring['position']}, {ring['records']} records",
        f"memory: {in_units(memory['allocated'])}, {huge}; {found['wakes']} wake-ups of readers",
    ]
    for each in found["venues"]:
        reason = f" ({each['health_reason']})" if each["health_reason"] else ""
        lines.append(f"venue {each['name']}: {each['health'] or 'starting'}{reason}")
    for key, empty in (("instruments", "no instruments yet"), ("connections", "no connections yet")):
        lines += ["", *(_counter_table(found[key]) or [empty])]
    lines += ["", *_latency_table(found["connections"], found["instruments"])]
    lines += ["", *(_reader_table(found["readers"]) or ["no readers"])]
    return "\n".join(lines)


def _counter_table(rows: list[dict[str, Any]]) -> list[str]:
    """Names and states, then the counters that any of the rows has counted something in."""
    if not rows:
        return []
    told = [_flat(row) for row in rows]
    columns = [
        column
        for column in told[0]
        if column in ("name", "label", "state", "health", "connects", "gaps")
        or any(row[column] not in ("0", "-") for row in told)
    ]
    heads = tuple(column.replace("_", " ") for column in columns)
    return align([heads, *(tuple(row[column] for column in columns) for row in told)])


def _flat(row: dict[str, Any]) -> dict[str, str]:
    flat = {}
    if "label" in row:  # a connection
        flat = {"label": row["label"], "state": "connected" if row["connected"] else "closed"}
        row = {"health": row["health"], **row}
    for key, value in row.items():
        if key not in ("label", "id", "connected", "last_recv", *_LATENCIES.values()):
            flat[key] = "-" if value is None else f"{value:.1f}" if isinstance(value, float) else str(value)
    return flat


def _latency_table(*groups: list[dict[str, Any]]) -> list[str]:
    """Latencies of connections, then of instruments: socket to ring, then venue to socket and its clock's lead."""
    ranks = [*(f"p{percent:g}" for percent in _PERCENTILES), "max"]
    heads = ("latency in us", "messages", *(f"ring {rank}" for rank in ranks), *(f"venue {rank}" for rank in ranks))
    rows = [(*heads, "venue min", "ahead")]
    for row in (row for group in groups for row in group):
        ring, venue = (row[name] for name in _LATENCIES.values())
        if not ring["count"]:
            continue
        timed = [f"{venue[rank]:.1f}" if venue["count"] else "-" for rank in ranks]
        least = "-" if venue["min"] is None else f"{venue['min']:.1f}"
        numbers = (str(ring["count"]), *(f"{ring[rank]:.1f}" for rank in ranks), *timed, least, str(venue["ahead"]))
        rows.append((row.get("label") or row["name"], *numbers))
    return align(rows, left=1) if len(rows) > 1 else ["no messages yet"]


def _reader_table(rows: list[dict[str, Any]]) -> list[str]:
    """What readers say of themselves; the feed does not look at it."""
    columns = [key for row in rows[:1] for key, value in row.items() if not isinstance(value, (bytes, tuple, dict))]
    if not columns:
        return []
    cells = [tuple("-" if row[key] is None else str(row[key]) for key in columns) for row in rows]
    return align([tuple(key.replace("_", " ") for key in columns), *cells])
