"""Where logins come from: the environment, or a file that nobody else can read. Never from a configuration.

What is read here is shown nowhere: errors name places, not contents.
"""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path

from fastfeed.errors import ConfigError
from fastfeed.venues.spec import Credentials

__all__ = ["problem_of_file", "read_environment", "read_file"]

_PARTS = ("key", "secret", "passphrase")
_MOST_BYTES = 65536


def read_environment(name: str, path: str, environ: Mapping[str, str]) -> Credentials:
    """Return what `environ` holds as NAME_KEY, NAME_SECRET and, where a venue has one, NAME_PASSPHRASE.

    Parameters
    ----------
    path : where the name stands in its file, for messages

    Raises
    ------
    ConfigError : it lacks them
    """
    key, secret, passphrase = (environ.get(f"{name}_{part.upper()}", "") for part in _PARTS)
    missing = [f"{name}_{part}" for part, value in (("KEY", key), ("SECRET", secret)) if not value]
    if missing:
        raise ConfigError(path, f"{' and '.join(missing)} in the environment", "nothing")
    return Credentials(key=key, secret=secret, passphrase=passphrase)


def read_file(file: str, path: str) -> Credentials:
    """Return what a TOML file holds as key, secret and, where a venue has one, passphrase.

    Raises
    ------
    ConfigError : it cannot be read, others could read it, or it holds something else
    """
    content, problem = _read_private(file)
    if problem is not None:
        raise ConfigError(path, *problem)
    expected = f"key and secret, and passphrase where the venue has one, in {file}"
    try:
        values = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        raise ConfigError(path, expected, "no TOML") from None  # whose error quotes the file
    if not {"key", "secret"} <= values.keys() <= set(_PARTS):
        known = [name for name in _PARTS if name in values]
        others = len(values) - len(known)
        was = ", ".join([*known, *([f"{others} other keys"] if others else [])]) or "none of them"
        raise ConfigError(path, expected, was)
    if not all(isinstance(value, str) for value in values.values()) or not (values["key"] and values["secret"]):
        raise ConfigError(path, expected, "one that is no text, or empty")
    return Credentials(**values)


def problem_of_file(file: str) -> tuple[str, str] | None:
    """Return why a file of credentials would be refused as (expected, was), None if it would be read."""
    return _read_private(file)[1]


def _read_private(file: str) -> tuple[bytes, tuple[str, str] | None]:
    """The content of a file, or why it is not trusted."""
    place = Path(file).expanduser()
    try:
        for part in (place, *place.parents):
            found = part.lstat()
            # Whoever owns a link decides, also later, what is read through it.
            if stat.S_ISLNK(found.st_mode) and not _is_ours(found):
                return b"", ("a path without links of other users", f"{part}, a link of user {found.st_uid}")
        # What is judged is what was opened: a path can change in between. Not blocking: it could be a pipe.
        handle = os.open(place, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        return b"", ("a readable file", f"{file}: {error.strerror}")
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            return b"", ("a regular file", file)
        if not _is_ours(found):
            return b"", (f"a file of user {os.geteuid()} (chown {os.geteuid()} {file})", f"one of user {found.st_uid}")
        if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            mode = stat.S_IMODE(found.st_mode)
            return b"", (f"a file that its owner alone can read (chmod 600 {file})", f"mode {mode:04o}")
        return os.read(handle, _MOST_BYTES), None
    finally:
        os.close(handle)


def _is_ours(found: os.stat_result) -> bool:
    return found.st_uid in (os.geteuid(), 0)
