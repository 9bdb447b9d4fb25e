"""What each feed of a configuration needs to reach its venue."""

from __future__ import annotations

import socket
from typing import NamedTuple

from fastfeed.config import Config
from fastfeed.engine.network import Network
from fastfeed.errors import ConfigError
from fastfeed.venues.spec import Credentials

__all__ = ["Way", "find_way"]


class Way(NamedTuple):
    """What leads a feed to its venue: the network, and the login there."""

    network: Network
    login: Credentials | None


def find_way(config: Config, index: int) -> Way:
    """Read what the feed at `index` needs to reach its venue; nothing is connected yet.

    Raises
    ------
    ConfigError : of its proxy, its local addresses, its authorities or its credentials
    """
    feed, path = config.feeds[index], f"feed[{index}]"
    for at, address in enumerate(feed.local_addresses):
        _check_local(address, f"{path}.local_addresses[{at}]")
    network = Network(config.proxy(index), feed.endpoints.ca, feed.rest_headers, path)
    return Way(network, feed.login(path))


def _check_local(address: str, path: str) -> None:
    """Refuse an address that is not this machine's: each attempt from it would fail, while the other copies hide that.

    Asked for here, where a feed starts, and not where a file is read: that may be on another machine.
    """
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(address, 0, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as found:
            found.bind(place)
    except OSError as error:
        raise ConfigError(path, "an IP address of this machine", f"{address!r}: {error.strerror}") from None
