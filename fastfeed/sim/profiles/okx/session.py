"""One client's WebSocket connection to OKX: commands, keep-alive and limits.

Source: okx.com/docs-v5, "WebSocket / Overview", "Connect", "Subscribe", "Notification" and the error codes of
WebSocket (2026-07). The keep-alive is the text `ping`, answered by `pong`; the venue itself never pings.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections import deque
from collections.abc import Mapping, Set
from typing import Any, Protocol

from fastfeed.sim.frames import Close, Frame, Output, Pong
from fastfeed.sim.interface import Knobs, Publication
from fastfeed.sim.market import SECOND
from fastfeed.sim.profiles.okx.channels import BOOKS, BY_TYPE, EXCLUSIVE, path_of, subject_of, topic_of

REQUESTS_PER_HOUR = 480
MAX_REQUEST_BYTES = 64 * 1024
IDLE_S = 30.0
LOGIN_VALID_S = 30
NOTICE_NS = 60 * SECOND
HOUR = 3600 * SECOND

_ID = re.compile(r"[A-Za-z0-9]{1,32}")


class Source(Protocol):
    """Where a session finds streams: a random market, or a recording."""

    def keys(self, arg: Mapping[str, Any]) -> list[str] | None:
        """Return the keys of all streams that an argument asks for; None if it names what does not exist."""

    def first(self, key: str) -> Frame | None:
        """Return what a new subscriber of a stream gets at once, if there is anything."""


class CommandError(Exception):
    """A request, or one argument of it, that is answered with `code` and the message."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class OkxSession:
    """State of one connection.

    Parameters
    ----------
    path : last part of the URL, `public` or `business`; each serves channels of its own.
    connection_id : as the venue's messages name it.
    """

    def __init__(self, endpoint: str, path: str, source: Source, knobs: Knobs, connection_id: str, now: int) -> None:
        self.endpoint = endpoint
        self._path = path
        self._source = source
        self._connection_id = connection_id
        self._idle_ns = round((IDLE_S if knobs.pong_timeout_s is None else knobs.pong_timeout_s) * SECOND)
        self._active_at = now
        self._has_sent = False
        self._notice_at = self._ends_at = None if knobs.lifetime_s is None else now + round(knobs.lifetime_s * SECOND)
        if self._notice_at is not None:
            self._notice_at = max(now, self._notice_at - NOTICE_NS)
        self._requests: deque[int] = deque()
        self._is_vip = False
        # The streams of each subscription, by channel and subject.
        self._subscriptions: dict[tuple[str, str], list[str]] = {}
        self._topics: frozenset[str] = frozenset()

    def topics(self) -> Set[str]:
        """Return the keys of the streams that it subscribed to."""
        return self._topics

    def receive(self, text: bytes, now: int) -> list[Output]:
        """Answer `ping`, or {"id":"1","op":"subscribe","args":[{"channel":"books","instId":"BTC-USDT"}]}."""
        self._active_at = now
        if text == b"ping":
            return [Frame(b"pong")]
        if len(text) > MAX_REQUEST_BYTES:
            return [Close(1009, "Request message exceeds the maximum frame length")]
        identity: dict[str, Any] = {}
        try:
            command = _parse(text)
            identity = {"id": command["id"]} if "id" in command else {}
            self._count(now)
            if command["op"] == "login":
                self._login(command["args"], now)
                return [self._event(identity, "login", code="0", msg="")]
        except CommandError as error:
            return [self._refusal(identity, error)]
        outputs: list[Output] = []
        answer = self._subscribe if command["op"] == "subscribe" else self._unsubscribe
        for arg in command["args"]:
            try:
                outputs += [self._event(identity, command["op"], arg=arg), *answer(arg)]
            except CommandError as error:
                outputs.append(self._refusal(identity, error))
        self._topics = frozenset(key for keys in self._subscriptions.values() for key in keys)
        return outputs

    def ping(self, payload: bytes, now: int) -> list[Output]:
        """Answer a ping frame."""
        self._active_at = now
        return [Pong(payload)]

    def pong(self, payload: bytes, now: int) -> list[Output]:
        """Take a pong frame."""
        return []

    def tick(self, now: int) -> list[Output]:
        """Close a connection on which nothing went for 30 s, or whose announced end has come."""
        if self._has_sent:
            self._active_at, self._has_sent = now, False
        if self._ends_at is not None and now >= self._ends_at:
            return [Close(1001, "Service upgrade")]
        if now - self._active_at >= self._idle_ns:
            return [Close(4004, "No data received in 30s")]
        if self._notice_at is not None and now >= self._notice_at:
            return self.announce_shutdown(now)
        return []

    def frames(self, publication: Publication) -> list[Frame]:
        """Return the payload, which is the same for all clients, to whom subscribed."""
        if publication.topic not in self._topics:
            return []
        self._has_sent = True
        return [Frame(publication.data, topic_of(publication.topic), publication.name)]

    def is_verbatim(self, topics: Set[str]) -> bool:
        """Return False: what is sent has to be seen here, since silence closes the connection."""
        return False

    def announce_shutdown(self, now: int) -> list[Output]:
        """Return the notice of a service upgrade, which closes the connection 60 s later."""
        self._active_at, self._notice_at = now, None
        self._ends_at = min(self._ends_at or now + NOTICE_NS, now + NOTICE_NS)
        message = "The connection will soon be closed for a service upgrade. Please reconnect."
        return [self._event({}, "notice", code="64008", msg=message)]

    def _subscribe(self, arg: Mapping[str, Any]) -> list[Frame]:
        channel, subject = arg["channel"], subject_of(arg)
        keys = self._source.keys(arg) if path_of(channel) == self._path else None
        if keys is None:
            what = f"channel:{channel},{'instType' if channel in BY_TYPE else 'instId'}:{subject}"
            raise CommandError(
                60018,
                f"Wrong URL or {what} doesn't exist. Please use the correct URL, channel and parameters referring to "
                "API document.",
            )
        if channel in BOOKS and BOOKS[channel].needs_vip and not self._is_vip:
            raise CommandError(64003, "Your trading fee tier doesn't meet the requirement to access this channel")
        self._check_exclusive(channel, subject)
        if (channel, subject) in self._subscriptions:
            return []
        self._subscriptions[channel, subject] = keys
        return [frame for frame in map(self._source.first, keys) if frame is not None]

    def _unsubscribe(self, arg: Mapping[str, Any]) -> list[Frame]:
        self._subscriptions.pop((arg["channel"], subject_of(arg)), None)
        return []

    def _check_exclusive(self, channel: str, subject: str) -> None:
        one, others = EXCLUSIVE
        rivals = others if channel == one else (one,) if channel in others else ()
        for rival in rivals:
            if (rival, subject) in self._subscriptions:
                other = channel if rival == one else rival
                raise CommandError(
                    64004,
                    f"Subscribe to both {other} and {one} for {subject} is not allowed. Unsubscribe {rival} first.",
                )

    def _login(self, args: list[dict[str, Any]], now: int) -> None:
        """Let in whoever knows the form: {"apiKey":"..","passphrase":"..","timestamp":"1704876947","sign":".."}."""
        for arg in args:
            key, passphrase, timestamp, sign = (
                str(arg.get(name, "")) for name in ("apiKey", "passphrase", "timestamp", "sign")
            )
            if not (key and passphrase and timestamp.isdecimal()):
                raise CommandError(60009, "Login failed.")
            if abs(int(timestamp) - now // SECOND) > LOGIN_VALID_S:
                raise CommandError(60006, "Timestamp request expired")
            try:
                is_signed = len(base64.b64decode(sign, validate=True)) == 32
            except binascii.Error:
                is_signed = False
            if not is_signed:
                raise CommandError(60007, "Invalid sign")
        self._is_vip = True

    def _count(self, now: int) -> None:
        requests = self._requests
        while requests and requests[0] <= now - HOUR:
            requests.popleft()
        if len(requests) >= REQUESTS_PER_HOUR:
            raise CommandError(60014, "Requests too frequent")
        requests.append(now)

    def _refusal(self, identity: Mapping[str, Any], error: CommandError) -> Frame:
        return self._event(identity, "error", code=str(error.code), msg=str(error))

    def _event(self, identity: Mapping[str, Any], event: str, **fields: Any) -> Frame:
        body = {**identity, "event": event, **fields, "connId": self._connection_id}
        return Frame(json.dumps(body, separators=(",", ":")).encode())


def _parse(text: bytes) -> dict[str, Any]:
    try:
        command = json.loads(text)
    except ValueError:
        command = None
    if not isinstance(command, dict) or not _is_id(command.get("id", "0")):
        raise CommandError(60012, f"Invalid request: {text.decode(errors='replace')}")
    if command.get("op") not in ("subscribe", "unsubscribe", "login"):
        raise CommandError(60012, f"Invalid request: {text.decode()}")
    args = command.get("args")
    if not isinstance(args, list) or not args or not all(isinstance(arg, dict) for arg in args):
        raise CommandError(60013, "Invalid args")
    if command["op"] != "login" and not all(isinstance(arg.get("channel"), str) for arg in args):
        raise CommandError(60013, "Invalid args")
    return command


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and _ID.fullmatch(value) is not None
