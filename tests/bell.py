"""The bell of a bus, attached by hand: what a reader that means harm can write, and what a test can look at."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator

from fastfeed_core import bus, records

SIZE = 136


@contextlib.contextmanager
def attached(name: str) -> Iterator[ctypes.Array[ctypes.c_char]]:
    """Give the bytes of the bell of a bus; the flag of the sleepers is the first word."""
    at = next(offset for field, _, _, offset in records.FORMATS["BusHeader"] if field == "bell")
    with open(bus.path(name, "data"), "rb") as data:
        data.seek(at)
        key = int.from_bytes(data.read(8), "little", signed=True)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.shmat.restype = ctypes.c_void_p
    libc.shmdt.argtypes = [ctypes.c_void_p]
    address = libc.shmat(key, None, 0)
    if address in (None, 2**64 - 1):
        raise OSError(ctypes.get_errno(), f"shmat of {key}")
    try:
        yield (ctypes.c_char * SIZE).from_address(address)
    finally:
        libc.shmdt(address)


def sleepers(name: str) -> int:
    """The flag by which readers of a bus say that they sleep."""
    with attached(name) as memory:
        return int.from_bytes(memory[:4], "little")


def ask_to_be_woken(name: str) -> None:
    """Set that flag, as any reader may."""
    with attached(name) as memory:
        memory[:4] = b"\xff\xff\xff\xff"
