"""Where connections to Bybit begin: paths, and how often one address may come.

Sources: bybit-exchange.github.io/docs/v5/ws/connect, "Connect", and "Rate Limit Rules" (2026-07).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import replace

from fastfeed.sim.interface import Knobs, Reply
from fastfeed.sim.market import SECOND
from fastfeed.sim.profiles.bybit.products import LINEAR, PRODUCTS
from fastfeed.sim.profiles.bybit.session import STATUS_TOPIC, BybitSession, Source, StatusSession

PUBLIC_PATH = "/v5/public/"
STATUS_PATH = "/v5/public/misc/status"
STATUS = replace(LINEAR, name="status")

# Of one address to all products together.
MAX_CONNECTIONS, CONNECTIONS_WINDOW_NS = 500, 300 * SECOND


class StatusSource:
    """The one topic of the system's status, which has no first message."""

    def resolve(self, topic: str) -> list[str]:
        """Return the topic itself, if it is that one."""
        return [topic] if topic == STATUS_TOPIC else []

    def first(self, key: str, topic: str, now: int) -> None:
        """Return None."""

    def lists(self, symbol: str) -> bool:
        """Return False: there are no instruments here."""
        return False


class Doors:
    """Opens connections by their path, and counts how often an address comes."""

    def __init__(self, sources: Mapping[str, Source], knobs: Knobs) -> None:
        self._sources = sources
        self._knobs = knobs
        self._count = 0
        self._recent: deque[int] = deque()

    def open(self, endpoint: str, path: str, now: int) -> BybitSession | Reply:
        """Return the session of a path such as /v5/public/linear: one host serves all products.

        Without a path it is that of the endpoint, for clients whose base has the path in it.
        """
        category = endpoint if path in ("", "/") else path.removeprefix(PUBLIC_PATH)
        if path != STATUS_PATH and (category == path or category not in self._sources):
            return Reply(404, b"Not Found")
        while self._recent and self._recent[0] <= now - CONNECTIONS_WINDOW_NS:
            self._recent.popleft()
        if len(self._recent) >= MAX_CONNECTIONS:
            return Reply(403, b"403, access too frequent")
        self._recent.append(now)
        self._count += 1
        if path == STATUS_PATH:
            return StatusSession(STATUS, StatusSource(), self._knobs, self._count, now)
        return BybitSession(PRODUCTS[category], self._sources[category], self._knobs, self._count, now)
