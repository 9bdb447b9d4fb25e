"""Opening the bus that a configuration describes, and what to say when the machine has no place for it."""

from __future__ import annotations

import contextlib
import errno
import grp
import logging
from collections.abc import Iterator

from fastfeed.config import Bus
from fastfeed.errors import BusBusy, ConfigError
from fastfeed.inventory import producer
from fastfeed_core.bus import BusWriter
from fastfeed_core.files import folder
from fastfeed_core.plan import needs
from fastfeed_core.room import NoRoom, in_units, limits

__all__ = ["open_bus", "told_if_full"]

_log = logging.getLogger(__name__)

# Besides a full file system: a limit of this process's files or address space, and a quota.
_FULL = (errno.ENOSPC, errno.EFBIG, errno.ENOMEM, errno.EDQUOT)


def open_bus(bus: Bus) -> BusWriter:
    """Create the files of the bus.

    Raises
    ------
    BusBusy : another feed writes it
    ConfigError : its sizes do not fit the memory, or its files are not for this user to write
    """
    group = None if bus.group is None else grp.getgrnam(bus.group).gr_gid
    try:
        writer = BusWriter(
            bus.name,
            ring=bus.ring,
            instruments=bus.instruments,
            top=bus.top,
            levels=bus.levels,
            group=group,
            huge_pages=bus.huge_pages,
        )
    except BlockingIOError:
        raise BusBusy(bus.name, producer(bus.name)) from None
    except OSError as error:
        if error.errno in _FULL:
            raise _too_large(bus, error) from None
        raise ConfigError("bus", f"files that this user may write in {folder()}", str(error)) from None
    if bus.huge_pages and writer.huge_bytes < bus.ring:
        _log.warning(
            "huge pages not in effect bus=%s wanted=%d got=%d: mount %s with huge=advise or huge=always to have them",
            bus.name,
            bus.ring,
            writer.huge_bytes,
            folder(),
        )
    return writer


@contextlib.contextmanager
def told_if_full() -> Iterator[None]:
    """Have memory that is not there for what the feeds need later be an error of the configuration, too."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise ConfigError("bus", "memory for the connections of all feeds", error.strerror) from None


def _too_large(bus: Bus, error: OSError) -> ConfigError:
    """Name what is needed, what is free and where, and the setting that takes most."""
    sizes = needs(ring=bus.ring, instruments=bus.instruments, top=bus.top, levels=bus.levels, huge_pages=bus.huge_pages)
    free, place = (error.free, error.place) if isinstance(error, NoRoom) else min(limits(folder()))
    said = "" if isinstance(error, NoRoom) else f" ({error.strerror})"
    rows = sizes["tops"] + sizes["rows"]
    largest = "ring" if sizes["ring"] >= rows else "instruments"
    told = f"ring {in_units(sizes['ring'])}, {bus.instruments} instruments {in_units(rows)}"
    expected = (
        f"what fits {place}: {in_units(sizes['start'])} needed at start ({told}) and {in_units(sizes['book'])} for "
        f"each book, {in_units(free)} free{said}; make it less, make room (fastfeed clean, a larger file system or "
        "limit), or choose another folder by FASTFEED_SHM"
    )
    return ConfigError(f"bus.{largest}", expected, str(getattr(bus, largest)))
