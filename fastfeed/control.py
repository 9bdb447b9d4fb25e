"""Ask a running feed for something, over its control socket: one JSON object a line there, one back.

The socket lies beside the files of the bus, so that whoever finds the bus finds it; it is the feed's user's
alone. Imports nothing of the networking packages.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import time
from collections.abc import Iterator
from typing import Any

import msgspec

from fastfeed.errors import BusNotFound, RequestFailed
from fastfeed_core.bus import path

__all__ = ["LINE_BYTES", "ask", "peer_uid", "reachable", "socket_path"]

LINE_BYTES = 1 << 16  # longest request
_ANSWER_BYTES = 1 << 26
_RETRY_S = 0.02
_PEER = struct.Struct("3i")  # struct ucred: pid, uid, gid


def socket_path(name: str) -> str:
    """Return the path of the control socket of a bus."""
    return str(path(name, "ctl"))


@contextlib.contextmanager
def reachable(where: str) -> Iterator[str]:
    """Yield an address of the socket at `where` that fits, however deep its folder lies: addresses have 108 bytes."""
    if len(os.fsencode(where)) < 100 or not hasattr(os, "O_PATH"):
        yield where
        return
    folder = os.open(os.path.dirname(where), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{os.path.basename(where)}"
    finally:
        os.close(folder)


def peer_uid(connection: socket.socket) -> int:
    """Return the user id of the process at the other end."""
    _, uid, _ = _PEER.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    return int(uid)


def ask(name: str, request: dict[str, Any], timeout: float = 120.0) -> dict[str, Any]:
    """Return what the feed of a bus answers.

    Parameters
    ----------
    request : with the key "verb"; see `fastfeed.engine.changes` for the verbs and their keys
    timeout : seconds for each step

    Raises
    ------
    BusNotFound : no feed listens for that bus
    RequestFailed : the feed refused, or did not answer
    """
    where = socket_path(name)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        try:
            with reachable(where) as address:
                _connect(connection, address, timeout)
        except (FileNotFoundError, ConnectionRefusedError):
            raise BusNotFound(name) from None
        except OSError as error:
            raise RequestFailed(name, f"{where}: {error.strerror or error}") from None
        if peer_uid(connection) != os.geteuid():
            # In a folder that everybody writes, anybody could have put a socket there.
            raise RequestFailed(name, f"{where} belongs to another user")
        try:
            connection.sendall(msgspec.json.encode(request) + b"\n")
            line = _read_line(connection)
        except TimeoutError:
            raise RequestFailed(name, f"no answer within {timeout:g} s") from None
        except OSError as error:
            raise RequestFailed(name, error.strerror or str(error)) from None
    try:
        answer = msgspec.json.decode(line)
        ok, result, reason = answer["ok"], answer.get("result", {}), answer.get("error", "")
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
        raise RequestFailed(name, "the feed ended before it had answered") from None
    if not ok:
        raise RequestFailed(name, str(reason))
    return dict(result)


def _connect(connection: socket.socket, address: str, timeout: float) -> None:
    """Connect, and wait while too many others do: with a timeout, the system does not."""
    until = time.monotonic() + timeout
    while True:
        try:
            connection.connect(address)
        except BlockingIOError:
            if time.monotonic() >= until:
                raise
            time.sleep(_RETRY_S)
        else:
            return


def _read_line(connection: socket.socket) -> bytes:
    parts: list[bytes] = []
    size = 0
    while size < _ANSWER_BYTES:
        part = connection.recv(1 << 16)
        parts.append(part)
        size += len(part)
        if not part or part.endswith(b"\n"):
            break
    return b"".join(parts)
