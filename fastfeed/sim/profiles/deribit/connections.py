"""Who may connect: the path, how many connections an address may have, and the credits that they share.

Source: docs.deribit.com, "Connection Management" and "Rate Limits" (2026-07).
"""

from __future__ import annotations

from fastfeed.sim.interface import Knobs, Reply
from fastfeed.sim.profiles.deribit.rpc import Methods, Pools, envelope, too_many_requests
from fastfeed.sim.profiles.deribit.session import PATH, DeribitSession
from fastfeed.sim.profiles.deribit.streams import Source

MAX_CONNECTIONS = 32


class Connections:
    """The connections of one client address."""

    def __init__(self, source: Source, methods: Methods, knobs: Knobs) -> None:
        self._source = source
        self._methods = methods
        self._knobs = knobs
        self._sessions: list[DeribitSession] = []
        self._passed_at = 0
        self._pools = Pools()

    def open(self, path: str, now: int) -> DeribitSession | Reply:
        """Return a session, or refuse the upgrade."""
        if path.rstrip("/") != PATH:
            return Reply(404, b"Not Found")
        # Nobody says that a connection was closed, but then it sees no more time pass.
        self._sessions = [session for session in self._sessions if session.seen_at >= self._passed_at]
        if len(self._sessions) >= MAX_CONNECTIONS:
            return Reply(429, envelope(too_many_requests(), None, now), {"Content-Type": "application/json"})
        session = DeribitSession(self._source, self._methods, self._pools, self._knobs, now)
        self._sessions.append(session)
        return session

    def passed(self, now: int) -> None:
        """Take note that it is `now`, as every open connection does in its turn."""
        self._passed_at = now
