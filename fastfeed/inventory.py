"""Which buses there are in the folder of shared memory, how they are, and removing those that nobody writes.

Whether a feed lives is asked of its lock, never of a process id: the kernel drops a lock however its holder ends.
"""

from __future__ import annotations

import os
import time
from typing import Any

from fastfeed.errors import BusBusy, BusNotFound
from fastfeed_core.attach import BusMap, Mismatch
from fastfeed_core.files import folder, is_locked, names, path, remove, take_lock

__all__ = ["REMOVABLE", "health", "list_buses", "producer", "remove_bus"]

_STALE_AFTER_S = 1.0  # as books say it: a feed's heart beats every 100 ms

REMOVABLE = ("dead", "stopped", "unfinished", "another layout")  # what nobody writes, if its lock is free


def health(bus_map: BusMap) -> str:
    """Return live, stale (its process hangs), stopped (cleanly) or dead (its process is gone) for a bus."""
    if bus_map.closed:
        return "stopped"
    if not bus_map.is_alive():
        return "stopped" if bus_map.closed else "dead"  # closed: between the two looks
    return "stale" if bus_map.heartbeat_age > _STALE_AFTER_S else "live"


def list_buses() -> list[dict[str, Any]]:
    """Return what there is in the folder, by name.

    Each has `bus`, `health`, `alive` (None if that cannot be told) and `bytes` of memory; one that can be read also has
    `pid`, `generation`, `heartbeat_age_s`, `uptime_s`, `ring` (bytes), `instruments`, `connections` and `readers`
    (None where they are not known). Health is, beyond that of `health`: starting, unfinished (a start that crashed),
    another layout, not readable.
    """
    where = folder()
    found = []
    for name, entries in names(where).items():
        size = _size(where, entries)
        if size is not None:
            found.append({"bus": name, **_look(name, where), "bytes": size})
    return found


def producer(name: str) -> int | None:
    """Return the process id of the feed that writes a bus, if it can be told; for messages."""
    try:
        return int(BusMap(name).pid)
    except (OSError, Mismatch):
        return None


def remove_bus(name: str) -> list[tuple[str, int]]:
    """Remove all files of a bus that nobody writes; return [(file name, bytes of memory that it held)].

    Readers that have it mapped keep what they see, and find the feed's next start as they would otherwise.

    Raises
    ------
    BusBusy : its feed lives, or is starting
    BusNotFound : there is none of that name
    PermissionError : its files are another user's
    """
    where = folder()
    if name not in names(where):
        raise BusNotFound(name)
    try:
        lock = take_lock(name, where, any_owner=os.geteuid() == 0)
    except BlockingIOError:
        raise BusBusy(name, producer(name)) from None
    try:
        # Somebody may have removed the lock by hand while its feed lived: that one holds the data, too.
        if _is_held(path(name, "data", where)):
            raise BusBusy(name, producer(name))
        return remove(name, where)
    finally:
        os.close(lock)


def _look(name: str, where: str) -> dict[str, Any]:
    try:
        bus_map = BusMap(name)
    except FileNotFoundError:
        return _look_at_lock(path(name, "lock", where))
    except PermissionError:
        return {"health": "not readable", "alive": None}
    except (Mismatch, ValueError, OSError):
        return {"health": "another layout", "alive": _is_held(path(name, "data", where))}
    said = health(bus_map)
    return {
        "health": said,
        "alive": said in ("live", "stale"),
        "pid": bus_map.pid,
        "generation": bus_map.generation,
        "heartbeat_age_s": bus_map.heartbeat_age,
        "uptime_s": max(0.0, (time.time_ns() - bus_map.created) / 1e9),
        "ring": bus_map.ring_capacity,
        "instruments": bus_map.count,
        "connections": len(bus_map.connections()),
        "readers": len(bus_map.readers()) if hasattr(bus_map, "readers") else None,
    }


def _look_at_lock(lock: str) -> dict[str, Any]:
    """Without data a feed is about to make them, or died when it was."""
    try:
        held = is_locked(lock)
    except FileNotFoundError:
        held = False
    except OSError:
        return {"health": "not readable", "alive": None}
    return {"health": "starting" if held else "unfinished", "alive": held}


def _is_held(data: str) -> bool:
    """Whether a feed holds the data file; what is no file of ours is held by nobody."""
    try:
        return is_locked(data)
    except OSError:
        return False


def _size(where: str, entries: list[str]) -> int | None:
    """Bytes of memory of the files, None if they have gone since the folder was read."""
    sizes = []
    for entry in entries:
        try:
            sizes.append(os.stat(os.path.join(where, entry), follow_symlinks=False).st_blocks * 512)
        except FileNotFoundError:
            continue
    return sum(sizes) if sizes else None
