"""Where the books of one product come from, and who looks after them: by request or in the stream, verified or not."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random

from fastfeed.attempt import Attempt, Subscription
from fastfeed.calls import Calls, Request
from fastfeed.instrument import Instrument
from fastfeed.link import Link
from fastfeed.resubscribe import Resubscribes
from fastfeed.snapshots import Snapshots
from fastfeed.venues.spec import Channel, Options, Product, Venue
from fastfeed.verify import Silence, Verifications
from fastfeed_core.market import Market
from fastfeed_core.records import Reason

__all__ = ["Books"]


class Books:
    """The books of one product.

    Parameters
    ----------
    calls : of the product
    links : of the venue, also those to come
    is_over : whether an instrument is traded no more
    """

    def __init__(
        self,
        venue: Venue,
        product: Product,
        calls: Calls,
        options: Options,
        links: Sequence[Link],
        is_over: Callable[[Instrument, int], bool],
        random: Random,
    ) -> None:
        self._product = product
        self._calls = calls
        self._options = options
        self._links = links
        self._resubscribes = Resubscribes(self._subscribe_again, is_over, random)
        self._snapshots: Snapshots | None = None
        self._verifications: Verifications | None = None
        if product.snapshots:
            self._snapshots = Snapshots(venue, product, calls, options.snapshot_levels, random)
            self._verifications = Verifications(self._snapshots, calls, options.verify_s, options.stale.book, random)

    def _row(self, instrument: Instrument) -> Channel:
        row = self._product.channel("book", self._options, instrument.kind)
        assert row is not None  # it has a book
        return row

    def subscribed(self, attempt: Attempt, subscription: Subscription, ts: int) -> None:
        """The venue took the subscription to a book."""
        _, _, instrument, market = subscription
        row = self._row(instrument)
        if not row.by_request:
            if not market.live:
                self._resubscribes.expect(market, instrument, ts)
            return
        assert attempt.path is not None
        attempt.path.taken(subscription.topic.text)
        self.want(market, instrument, ts)
        assert self._verifications is not None
        if not row.chained:
            self._verifications.watch_unchained(market, instrument, ts)
            return
        path, text = attempt.path, subscription.topic.text
        silence = Silence(
            lambda: path.messages(text) if attempt.path is path else None,
            lambda now, behind: self._dead(attempt, subscription, now, behind),
        )
        self._verifications.watch_silent(market, instrument, attempt.row, ts, silence)

    def doubt(self, ts: int) -> None:
        """A frame that could not be read could have been of any book."""
        if self._verifications is not None:
            self._verifications.doubt(ts)

    def want(self, market: Market, instrument: Instrument, ts: int) -> None:
        """A market needs its book."""
        if market.live:
            return
        row = self._row(instrument)
        if row.by_request and self._snapshots is not None:
            self._snapshots.want(market, instrument, ts, row.chained)
        else:
            self._resubscribes.want(market, instrument, ts)

    def is_refused(self, instrument: Instrument) -> bool:
        """Return whether the venue refuses the subscription to a book on all connections that are open."""
        return all(
            attempt.is_refused([each.topic.text])
            for link in self._links
            for each in link.subscriptions
            if _is_book(each, {instrument.name})
            for attempt in link.attempts
            if attempt.is_open
        )

    def forget(self, instrument: Instrument) -> None:
        """No connection has the book."""
        self._resubscribes.forget(instrument)
        if self._snapshots is not None and self._verifications is not None:
            self._snapshots.forget(instrument)
            self._verifications.forget(instrument)

    def _subscribe_again(self, instruments: Iterable[Instrument], sparing: bool) -> None:
        names = {each.name for each in instruments}
        for link in self._links:
            topics = [each.topic.text for each in link.subscriptions if _is_book(each, names)]
            if topics and link.is_open:
                link.resubscribe(topics, sparing)

    def _dead(self, attempt: Attempt, subscription: Subscription, ts: int, behind: bool) -> None:
        """A subscription that the venue took brings nothing: its book is not to be trusted, unless another has it."""
        self.distrust(attempt, subscription, Reason.REASON_NO_DATA, ts, behind)
        attempt.resubscribe({subscription.topic.text: subscription.topic})

    def distrust(
        self, attempt: Attempt, subscription: Subscription, reason: Reason, ts: int, behind: bool = False
    ) -> bool:
        """A subscription is not to be relied on; return whether its book is dropped, since no other keeps it in step.

        `behind` drops it in any case: the venue's book is known to be another one.
        """
        market = subscription.market
        if attempt.path is not None:
            attempt.path.doubt(subscription.topic.text)
        if not market.live or (market.is_fed and not behind):
            return False
        market.drop(reason, ts)
        return True

    def reply(self, request_id: int, body: bytes, status: int, headers: Mapping[str, str], ts: int) -> bool:
        """Take the reply to a request; False if it is none of this product's."""
        is_ours, error = self._calls.heed(request_id, status, headers, body, ts)
        if not is_ours or self._snapshots is None or self._verifications is None:
            return is_ours
        # Neither takes it if nobody waits for it any more.
        if not self._snapshots.reply(request_id, body, error, ts):
            self._verifications.reply(request_id, body, error, ts)
        return True

    def advance(self, ts: int, requests: deque[Request]) -> None:
        """Time has passed: append the requests that are due to `requests`."""
        self._resubscribes.advance(ts)
        self._calls.advance(ts)
        if self._snapshots is not None and self._verifications is not None:
            self._snapshots.advance(ts, requests)
            self._verifications.advance(ts, requests)


def _is_book(subscription: Subscription, names: set[str]) -> bool:
    return subscription.channel == "book" and subscription.instrument.name in names
