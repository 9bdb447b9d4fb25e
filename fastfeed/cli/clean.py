"""fastfeed clean: remove the files that dead feeds left in shared memory."""

from __future__ import annotations

import argparse
from typing import Any

import msgspec

from fastfeed.errors import BusBusy, BusNotFound
from fastfeed.inventory import REMOVABLE, list_buses, remove_bus
from fastfeed_core.files import folder
from fastfeed_core.room import in_units

__all__ = ["add_arguments", "main"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bus", nargs="*", help="name of a bus; all whose feed is dead unless given")
    parser.add_argument(
        "--json", action="store_true", help="print a JSON list: bus, files and bytes, or why it was left"
    )


def main(args: argparse.Namespace) -> int:
    """Print what was removed and what was left; return 1 if a bus was left that was named, or that nobody writes."""
    chosen = args.bus or [each["bus"] for each in list_buses() if each["health"] in REMOVABLE and not each["alive"]]
    told = [_clean(name) for name in chosen]
    if args.json:
        print(msgspec.json.encode(told).decode())
    else:
        print("\n".join(map(_line, told)) or f"nothing to remove in {folder()}")
    return int(any("error" in each for each in told))


def _clean(name: str) -> dict[str, Any]:
    try:
        removed = remove_bus(name)
    except (BusBusy, BusNotFound, OSError) as error:
        return {"bus": name, "error": str(error)}
    return {"bus": name, "files": [entry for entry, _ in removed], "bytes": sum(size for _, size in removed)}


def _line(told: dict[str, Any]) -> str:
    if "error" in told:
        return f"left {told['bus']}: {told['error']}"
    return f"removed {told['bus']}: {', '.join(told['files'])} ({in_units(told['bytes'])})"
