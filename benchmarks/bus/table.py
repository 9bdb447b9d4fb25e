"""Rows of the table: what was measured in which regime, beside what is asked for."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

NEAR = 250.0  # ns: a ping-pong below it is of two cores that share a cache
AGREE = (
    1.25  # the ping-pongs before and after a chunk; beyond that the cores were moved, and the chunk counts for nothing
)
ENOUGH = 5  # chunks; fewer are marked


@dataclass
class Row:
    """One line: values by regime ("near", "far", or "" where the distance of the cores plays no part)."""

    group: str
    what: str
    unit: str
    goals: dict[str, float] = field(default_factory=dict)  # at most
    values: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    note: str = ""

    def add(self, value: float, regime: str = "") -> None:
        """Add the figure of a chunk."""
        self.values[regime].append(value)

    def median(self, regime: str = "") -> float:
        """Return the median of the regime's chunks."""
        return statistics.median(self.values[regime])

    def missed(self) -> bool:
        """Return True if a median is above its goal."""
        return any(self.median(regime) > goal for regime, goal in self.goals.items() if self.values.get(regime))


class Rows:
    """Rows by name, in the order of their first chunk."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], Row] = {}
        self.moved = 0

    def row(self, group: str, what: str, unit: str, goals: dict[str, float] | None = None, note: str = "") -> Row:
        """Return the row of that name."""
        return self.rows.setdefault((group, what), Row(group, what, unit, goals or {}, note=note))

    def regime(self, before: float, after: float) -> str | None:
        """Return "near" or "far"; None if the cores were moved in between, and counts that."""
        if max(before, after) > AGREE * min(before, after):
            self.moved += 1
            return None
        return "near" if (before + after) / 2 < NEAR else "far"


def version(command: Iterable[str]) -> str:
    """Return the first line that a program says of its version."""
    try:
        done = subprocess.run(list(command), capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "none"
    return done.stdout.splitlines()[0]


def machine(cpus: tuple[int, int]) -> dict[str, Any]:
    """Return where and when this runs."""
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
    family = {
        key.strip(): value.strip()
        for key, _, value in (line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines())
        if key.strip() in ("cpu family", "model")
    }
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": f"{model} (family {family.get('cpu family')}, model {family.get('model')})",
        "cores": os.cpu_count(),
        "pinned to": list(cpus),
        "load before": round(os.getloadavg()[0], 2),
        "kernel": platform.release(),
        "python": sys.version.split()[0],
        "compiler": version(["gcc", "--version"]),
        "cython": _cython(),
        "command": " ".join(["python -m benchmarks.bus", *_options()]),
    }


def _options() -> list[str]:
    """The command line without the names of files, which are nobody else's."""
    given = iter(sys.argv[1:])
    out = []
    for option in given:
        if option in ("--json", "--peers-folder"):
            next(given, None)
        else:
            out.append(option)
    return out


def _cython() -> str:
    try:
        import Cython
    except ImportError:
        return "none"
    return str(Cython.__version__)


def _figure(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if value >= 0.1 or value == 0 else f"{value:.4f}"


def _cell(row: Row, regime: str) -> str:
    values = row.values.get(regime)
    if not values:
        return "-"
    goal = row.goals.get(regime)
    few = "" if len(values) >= ENOUGH else f" n={len(values)}"
    mark = "" if goal is None else f" (<= {goal:g}{'' if row.median(regime) <= goal else ' MISSED'})"
    return f"{_figure(row.median(regime))} [{_figure(min(values))}-{_figure(max(values))}]{few}{mark}"


def markdown(rows: Rows) -> str:
    """Return the table: median [least-greatest] of the chunks, and the goal where there is one."""
    lines = ["| | | unit | any | near | far |", "|---|---|---|---|---|---|"]
    for row in rows.rows.values():
        what = f"{row.what} ({row.note})" if row.note else row.what
        cells = " | ".join(_cell(row, regime) for regime in ("", "near", "far"))
        lines.append(f"| {row.group} | {what} | {row.unit} | {cells} |")
    return "\n".join(lines)


def report(rows: Rows, where: dict[str, Any]) -> str:
    """Return the table with where and when it was measured."""
    lines = [f"- {key}: {value}" for key, value in where.items()]
    lines.append(f"- chunks thrown away because the cores were moved: {rows.moved}")
    return "\n".join([*lines, "", markdown(rows)])


def write_page(page: Path, name: str, text: str) -> None:
    """Put the text between the page's marks of that name.

    Raises
    ------
    ValueError : the page has no such marks
    """
    old = page.read_text()
    start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    if start not in old or end not in old:
        raise ValueError(f"no marks of {name!r} in {page.name}")
    head, _, rest = old.partition(start)
    page.write_text(f"{head}{start}\n{text}\n\n{end}{rest.partition(end)[2]}")


def as_json(rows: Rows, where: dict[str, Any]) -> dict[str, Any]:
    """Return all of it, chunk by chunk."""
    return {
        "machine": where,
        "chunks in which the cores were moved": rows.moved,
        "rows": [
            {
                "group": row.group,
                "what": row.what,
                "unit": row.unit,
                "goals": row.goals,
                "note": row.note,
                "median": {regime: row.median(regime) for regime, values in row.values.items() if values},
                "chunks": dict(row.values),
            }
            for row in rows.rows.values()
        ],
    }
