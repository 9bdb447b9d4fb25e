"""What each feed of a configuration needs to reach its venue."""

from __future__ import annotations

from typing import NamedTuple

from fastfeed.config import Config
from fastfeed.engine.network import Network
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
    ConfigError : of its proxy, its authorities or its credentials
    """
    feed, path = config.feeds[index], f"feed[{index}]"
    network = Network(config.proxy(index), feed.endpoints.ca, feed.rest_headers, path)
    return Way(network, feed.login(path))
