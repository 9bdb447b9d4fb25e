"""Proxies, as a configuration names them: read and checked before anything is connected.

A user and a password never stand in a file: their places are taken by references to the environment.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit

from fastfeed.errors import ConfigError

__all__ = ["DIRECT", "Proxy", "problem_of", "read_proxy"]

DIRECT = "direct"  # what a feed says that uses none although the file names one for all

_SCHEMES = {"http": 3128, "socks5": 1080}  # and the port that they use if none is given
_SHAPE = "http:// or socks5:// with a host, or direct"
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class Proxy(NamedTuple):
    """A proxy with what it asks for; neither of the two secrets shows itself."""

    scheme: str
    host: str
    port: int
    user: str | None = None
    password: str | None = None

    def __repr__(self) -> str:
        return f"Proxy({str(self)!r})"

    def __str__(self) -> str:
        """Return what names the proxy in messages: its URL without user and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def url(self) -> str:
        """The URL with user and password, for the library that connects and for nobody else."""
        if self.user is None:
            return str(self)
        login = f"{quote(self.user, safe='')}:{quote(self.password or '', safe='')}"
        scheme, _, place = str(self).partition("://")
        return f"{scheme}://{login}@{place}"


def problem_of(text: str) -> tuple[str, str] | None:
    """Return what is wrong with a proxy's text as (expected, was), None if nothing is; the environment is not asked."""
    if text == DIRECT or _REFERENCE.fullmatch(text):
        return None
    # References are stood in for, so that what is around them can be judged.
    try:
        parts = urlsplit(_REFERENCE.sub("x", text))
        port = parts.port
    except ValueError:
        return _SHAPE, repr(_masked(text))
    whole = parts.path in ("", "/") and not parts.query and not parts.fragment
    if parts.scheme not in _SCHEMES or not parts.hostname or port == 0 or not whole:
        return _SHAPE, repr(_masked(text))
    login, at, _ = text.partition("://")[2].rpartition("@")
    user, _, password = login.partition(":")
    if at and not (_REFERENCE.fullmatch(user) and _REFERENCE.fullmatch(password)):
        return "user and password as references to the environment, ${USER}:${PASSWORD}@", repr(_masked(text))
    return None


def read_proxy(text: str, path: str, environ: Mapping[str, str]) -> Proxy | None:
    """Return the proxy that `text` names with what the environment holds; None for a direct way.

    Parameters
    ----------
    path : where the text stands in its file, for messages

    Raises
    ------
    ConfigError : a variable is missing, or does not make a proxy of the text
    """
    if text == DIRECT:
        return None
    names = _REFERENCE.findall(text)
    missing = [name for name in names if not environ.get(name)]
    if missing:
        raise ConfigError(path, f"{' and '.join(missing)} in the environment", "nothing")
    if _REFERENCE.fullmatch(text):
        # All of it is secret, so what is wrong with it is said without showing it.
        parts, named = _split(environ[names[0]]), f"{names[0]} in the environment"
    else:
        # A value is a part of the URL whatever its characters are.
        parts, named = _split(_REFERENCE.sub(lambda found: quote(environ[found[1]], safe=""), text)), "the environment"
    if parts is None:
        raise ConfigError(path, f"{_SHAPE} ({named})", "something else")
    if parts.scheme == "http" and ":" in (parts.user or ""):
        raise ConfigError(path, f"a user without a colon, which http cannot send ({named})", "one with it")
    return parts


def _split(url: str) -> Proxy | None:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme not in _SCHEMES or not host or port == 0 or parts.path not in ("", "/"):
        return None
    place = (parts.scheme, unquote(host), port or _SCHEMES[parts.scheme])
    if parts.username is None:
        return Proxy(*place)
    return Proxy(*place, unquote(parts.username), unquote(parts.password or ""))


def _masked(text: str) -> str:
    """What may be shown of a proxy's text: nothing before its last @."""
    scheme, mark, rest = text.partition("://")
    if not mark:
        return text if "@" not in text else "***@" + text.rpartition("@")[2]
    _, at, place = rest.rpartition("@")
    return f"{scheme}://{'***@' if at else ''}{place}"
