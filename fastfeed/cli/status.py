"""fastfeed status: what a bus, its instruments and its connections are doing; without a bus, which buses there are."""

from __future__ import annotations

import argparse
import os
import re
import time
from typing import Any

import msgspec

from fastfeed import bus as buses
from fastfeed.bus import Bus
from fastfeed.cli.table import align, health
from fastfeed_core.attach import BusMap, Mismatch
from fastfeed_core.bus import folder
from fastfeed_core.counters import Histogram
from fastfeed_core.message import HEALTHS, REASONS

__all__ = ["add_arguments", "describe", "list_buses", "main"]

_OWN_WORDS = ("latency", "connected", "health", "venue_health", "round_trip", "round_trip_max")
_PERCENTILES = (50.0, 99.0, 99.9)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bus", nargs="?", help="name of the bus; all buses are listed unless given")
    parser.add_argument("--json", action="store_true", help="print a JSON object, or a list of them without a bus")


def main(args: argparse.Namespace) -> int:
    """Print once and return 0, also if the bus is stale or dead."""
    if args.bus is None:
        found = list_buses()
        print(msgspec.json.encode(found).decode() if args.json else _bus_lines(found))
    else:
        described = describe(buses.open(args.bus))
        print(msgspec.json.encode(described).decode() if args.json else _lines(described))
    return 0


def list_buses() -> list[dict[str, Any]]:
    """Return name, health, pid, generation and heartbeat age of every bus in the folder, by name."""
    found = []
    for entry in sorted(os.listdir(folder())):
        match = re.fullmatch(r"fastfeed\.(.+)\.data", entry)
        if match is None:
            continue
        try:
            bus_map = BusMap(match[1])
        except FileNotFoundError:
            continue  # stopped since the folder was read
        except PermissionError:
            found.append({"bus": match[1], "health": "not readable"})
        except Mismatch:
            found.append({"bus": match[1], "health": "another layout"})
        else:
            found.append(_head(match[1], bus_map))
    return found


def describe(bus: Bus) -> dict[str, Any]:
    """Return the state of a bus as plain values; `_s` are seconds, `_us` microseconds, sizes are bytes."""
    instruments = bus.instruments
    bus_map = bus.map
    rows = []
    for index, instrument in enumerate(instruments[: bus_map.count]):
        has_book = bus_map.instrument(index)["has_book"]
        state = bus.book(instrument.name).state.name.lower() if has_book else None
        told = _health(bus_map.instrument_health(index))
        rows.append({"name": instrument.name, "state": state, **told, **bus_map.instrument_counters(index)})
    return {
        **_head(bus.name, bus_map),
        "uptime_s": max(0.0, (time.time_ns() - bus_map.created) / 1e9),
        "ring": {"size": bus_map.ring_capacity, "position": bus_map.tail, "records": bus_map.record_count},
        "instruments": rows,
        "venues": _venues(bus_map),
        "connections": [_connection(each) for each in bus_map.connections()],
    }


def _health(told: tuple[int, int]) -> dict[str, str | None]:
    """Health and its reason in words; None as long as nothing is known, or where there is no reason."""
    return {"health": HEALTHS[told[0]], "health_reason": REASONS[told[1]] or None}


def _venues(bus_map: BusMap) -> list[dict[str, Any]]:
    """What the feeds say of themselves: the worst of those of one venue."""
    worst: dict[str, tuple[int, int]] = {}
    for row in bus_map.connections():
        name = row["label"].partition(" ")[0]
        worst[name] = max(worst.get(name, (0, 0)), row["venue_health"])
    return [{"name": name, **_health(told)} for name, told in worst.items()]


def _head(name: str, bus_map: BusMap) -> dict[str, Any]:
    return {
        "bus": name,
        "health": health(bus_map),
        "pid": bus_map.pid,
        "generation": bus_map.generation,
        "heartbeat_age_s": bus_map.heartbeat_age,
    }


def _connection(row: dict[str, Any]) -> dict[str, Any]:
    latency = Histogram(*row["latency"])
    found = {key: value for key, value in row.items() if key not in _OWN_WORDS}
    found["connected"] = bool(row["connected"])
    found |= _health(row["health"])
    found |= {f"{key}_ms": row[key] / 1e6 if row[key] else None for key in ("round_trip", "round_trip_max")}
    found["socket_to_ring_us"] = {
        "count": latency.count,
        **{f"p{percent:g}": latency.percentile(percent) / 1e3 for percent in _PERCENTILES},
        "max": latency.max / 1e3,
    }
    return found


def _bus_lines(found: list[dict[str, Any]]) -> str:
    if not found:
        return f"no bus in {folder()}"
    rows = [("bus", "health", "process", "generation", "heartbeat s")]
    for each in found:
        age = each.get("heartbeat_age_s")
        rows.append(
            (
                each["bus"],
                each["health"],
                str(each.get("pid", "-")),
                str(each.get("generation", "-")),
                "-" if age is None else f"{age:.1f}",
            )
        )
    return "\n".join(align(rows))


def _lines(found: dict[str, Any]) -> str:
    ring = found["ring"]
    lines = [
        f"bus {found['bus']}: {found['health']}, process {found['pid']}, generation {found['generation']}, "
        f"up {found['uptime_s']:.0f} s, heartbeat {found['heartbeat_age_s']:.1f} s ago",
        f"ring: {ring['size']} bytes, position {ring['position']}, {ring['records']} records",
    ]
    for each in found["venues"]:
        reason = f" ({each['health_reason']})" if each["health_reason"] else ""
        lines.append(f"venue {each['name']}: {each['health'] or 'starting'}{reason}")
    for key, empty in (("instruments", "no instruments yet"), ("connections", "no connections yet")):
        lines += ["", *(_counter_table(found[key]) or [empty])]
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
        if key == "socket_to_ring_us":
            flat.update({f"{which} us": f"{number:.1f}" for which, number in value.items() if which != "count"})
        elif key not in ("label", "id", "connected", "last_recv"):
            flat[key] = "-" if value is None else f"{value:.1f}" if isinstance(value, float) else str(value)
    return flat
