"""Which streams of one socket stand still: suspected when nothing came for long, asked anew, judged by what comes then.

A quiet market says nothing, and so does a subscription that the venue has lost. Where the venue answers a subscription
with a first message (`Channel.opens`), making it again tells one from the other, and loses nothing. Where it does not,
what comes meanwhile would be lost: there it is made again only while another connection has the same, and without a
judgement. Copies are asked for one after the other. Books by request are looked at by `verify` instead. Sans-I/O;
times are ns since the epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

from fastfeed.attempt import Attempt, Subscription
from fastfeed.instrument import Instrument
from fastfeed.pause import SECOND
from fastfeed.venues.spec import Channel, Stale, Topic

__all__ = ["FIRST_DATA_S", "Streams", "Verdict"]

FIRST_DATA_S = 15  # from a subscription to its first message, where the venue answers with one
_ASK_AFTER_S = 120  # a stream is not asked for anew before it was silent for so long ...
_ASK_CAP_S = 600  # ... and for twice as long each time that its market turned out to be quiet
_ROUND_S = 60  # what is asked for anew goes together, once in so long: venues count frames
_ROUND_TOPICS = 50  # at most, those first that wait longest


class Verdict(NamedTuple):
    """A subscription whose stream was found to stand still, or to move again."""

    subscription: Subscription
    stalled: bool


class _Stream:
    """One channel of one instrument."""

    __slots__ = ("asked", "due", "messages", "opens", "quiet", "stalled", "subscription", "threshold", "topics")

    def __init__(self, subscription: Subscription, threshold: int, opens: bool, ts: int) -> None:
        self.subscription = subscription
        self.topics: dict[str, Topic] = {}
        self.threshold = threshold
        self.opens = opens
        self.messages = 0
        self.quiet = 0  # times in a row that it was asked for and only answered
        self.stalled = False
        # A book's first message has a time of its own to come in, see resubscribe.
        self.asked: int | None = ts if opens and subscription.channel != "book" else None
        self.due = ts + threshold

    def wait(self) -> int:
        """Time of silence before it is asked for anew."""
        return max(self.threshold, min(_ASK_CAP_S, _ASK_AFTER_S << min(self.quiet, 10)) * SECOND)


class Streams:
    """The streams of one socket, from the moment that all was answered.

    Parameters
    ----------
    rows : of the channels, by instrument row and channel
    stale : after how much silence a channel is suspected
    copies : returns the other sockets of the venue that should have the same topics of a channel
    is_over : whether an instrument is traded no more: of such a one nothing need come
    """

    def __init__(
        self,
        attempt: Attempt,
        subscriptions: Iterable[Subscription],
        rows: Mapping[tuple[int, str], Channel],
        stale: Stale,
        copies: Callable[[Attempt, tuple[int, str]], Collection[Attempt]],
        is_over: Callable[[Instrument, int], bool],
        ts: int,
    ) -> None:
        self.attempt = attempt
        self._streams: dict[tuple[int, str], _Stream] = {}
        self._next_round = 0
        self._rows = rows
        self._stale = stale
        self._copies = copies
        self._is_over = is_over
        self._changed = False
        self._take(subscriptions, ts, True)

    def changed(self) -> None:
        """What is subscribed to on the socket is not what it was."""
        self._changed = True

    def renew(self, subscriptions: Iterable[Subscription], ts: int) -> None:
        """Go by these subscriptions if they have changed; those that are new wait until all was answered."""
        if self._changed:
            settled = self.attempt.requests.settled
            self._take(subscriptions, ts, settled)
            self._changed = not settled

    def _take(self, subscriptions: Iterable[Subscription], ts: int, settled: bool) -> None:
        before, self._streams = self._streams, {}
        for each in subscriptions:
            key = each.market.instrument, each.channel
            row, threshold = self._rows[key], int(self._stale.of(each.channel) * SECOND)
            if each.topic.group or row.by_request or not (threshold or row.opens):
                continue
            if each.channel == "book" and not row.opens:
                continue  # to ask anew for a book that may be well is no small thing
            stream = self._streams.get(key)
            if stream is None:
                if key not in before and not settled:
                    continue
                stream = before.get(key) or _Stream(each, threshold, row.opens, ts)
                stream.topics = {}
                self._streams[key] = stream
            stream.topics[each.topic.text] = each.topic

    def is_stalled(self, instrument: int, channel: str) -> bool:
        """Return whether a stream was found to stand still."""
        stream = self._streams.get((instrument, channel))
        return stream is not None and stream.stalled

    def advance(self, ts: int) -> list[Verdict]:
        """Look at all streams, ask for those that are suspected; return those that are judged otherwise than before."""
        path = self.attempt.path
        if path is None:
            return []
        verdicts: list[Verdict] = []
        due: list[_Stream] = []
        for stream in self._streams.values():
            messages = sum(map(path.messages, stream.topics))
            if messages != stream.messages:
                self._moved(stream, messages, ts, verdicts)
            elif self._is_over(stream.subscription.instrument, ts):
                stream.asked = None
                stream.due = ts + stream.wait()
            elif self.attempt.is_refused(stream.topics):
                stream.asked = ts  # it is asked for elsewhere, and has its time once it is taken
            elif stream.asked is None:
                if (stream.threshold or stream.stalled) and ts >= stream.due:
                    due.append(stream)
            elif ts - stream.asked >= FIRST_DATA_S * SECOND:
                stream.asked = None
                stream.quiet += 1
                # Without a word of its own: it is asked for again soon where there should have been an answer.
                stream.due = ts + (SECOND if stream.opens and stream.quiet < 3 else stream.wait())
                if stream.opens and not stream.stalled:
                    stream.stalled = True
                    verdicts.append(Verdict(stream.subscription, True))
        self._ask(due, ts)
        return verdicts

    def _moved(self, stream: _Stream, messages: int, ts: int, verdicts: list[Verdict]) -> None:
        # What comes while an answer is due may be the answer alone: the market can be as quiet as before.
        stream.quiet = 0 if stream.asked is None else stream.quiet + 1
        stream.messages = messages
        stream.asked = None
        stream.due = ts + stream.wait()
        if stream.stalled:
            stream.stalled = False
            verdicts.append(Verdict(stream.subscription, False))

    def _ask(self, due: list[_Stream], ts: int) -> None:
        if not due or ts < self._next_round or not self.attempt.requests.settled or self.attempt.is_short:
            return
        chosen: list[_Stream] = []
        for stream in sorted(due, key=lambda each: each.due):
            if self._may_ask(stream):
                chosen.append(stream)
            elif not stream.opens:
                stream.due = ts + stream.wait()
        if not chosen:
            return
        chosen = chosen[:_ROUND_TOPICS]
        self._next_round = ts + _ROUND_S * SECOND
        for stream in chosen:
            stream.asked = ts
        self.attempt.resubscribe({text: topic for stream in chosen for text, topic in stream.topics.items()})

    def _may_ask(self, stream: _Stream) -> bool:
        """Return whether nothing is lost while a stream is ended and made again."""
        each = stream.subscription
        copies = self._copies(self.attempt, (each.market.instrument, each.channel))
        if any(copy.has(stream.topics) for copy in copies):
            return True
        # The first message has what was missed, and a copy that is being made again is waited for.
        return stream.opens and not any(copy.is_asking(stream.topics) for copy in copies)
