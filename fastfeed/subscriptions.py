"""What a venue's machine subscribes to, and how that changes while all else goes on.

The plan says which connection has which topic; this sees to the rest of a change: sockets that are open, who looks
after a book, and what readers are told. Sans-I/O; all times are ns since the epoch.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Iterable, Mapping
from random import Random

from fastfeed.attempt import Attempt
from fastfeed.books import Books
from fastfeed.calls import Calls
from fastfeed.instrument import Instrument, Status
from fastfeed.link import Link
from fastfeed.links import Endpoint, Links
from fastfeed.places import Door
from fastfeed.plan import Plan, Wish
from fastfeed.reports import Reports
from fastfeed.venues.spec import Channel, Options, Product, Venue, rows_for
from fastfeed_core.market import Hub, Market
from fastfeed_core.message import INSTRUMENT_STATUSES
from fastfeed_core.records import Reason, ScopeCode, State

__all__ = ["Subscriptions"]

_log = logging.getLogger(__name__)

_NONE = -1


class Subscriptions:
    """The subscriptions of one venue's machine.

    Parameters
    ----------
    channels : what is subscribed to unless others are named
    copies : redundant connections for each topic
    """

    def __init__(
        self,
        venue: Venue,
        hub: Hub,
        channels: Iterable[str],
        options: Options,
        endpoints: Mapping[str, Endpoint],
        links: Links,
        copies: int,
        random: Random,
        next_id: Callable[[], int],
    ) -> None:
        self.books: dict[str, Books] = {}  # by product
        #: of all calls
        self.doors: list[Door] = []
        #: all that were ever wanted, by instrument row and channel
        self.rows: dict[tuple[int, str], Channel] = {}
        self._venue = venue
        self._hub = hub
        #: what is subscribed to unless others are named
        self.channels = tuple(channels)
        self._options = options
        self._endpoints = endpoints
        self._links = links
        self._reports = Reports(_log)
        self._random = random
        self._next_id = next_id
        self._by_row: dict[int, Instrument] = {}  # of those whose book is kept here
        self._by_symbol: dict[tuple[str, str], tuple[Instrument, Market]] = {}
        self._statuses: dict[str, str] = {}
        self._plan = Plan(venue, options, links.open, links.release, copies)

    @property
    def links(self) -> list[Link]:
        """All wanted connections; the list is one and the same for ever."""
        return self._plan.links

    @property
    def wanted(self) -> dict[str, tuple[str, ...]]:
        """The channels that are wanted of each instrument, by its name."""
        return {name: wish.channels for name, wish in self._plan.wishes.items()}

    @property
    def instruments(self) -> dict[str, Instrument]:
        """The instruments that are wanted, by name."""
        return {name: wish.instrument for name, wish in self._plan.wishes.items()}

    def known(self, name: str) -> Instrument | None:
        """Return an instrument that is wanted, as its market describes it; None if it is not wanted."""
        wish = self._plan.wishes.get(name)
        return None if wish is None else wish.instrument

    def owner(self, row: int) -> Instrument | None:
        """Return the instrument of a row of the bus's table, if its book is kept here."""
        return self._by_row.get(row)

    def say(self, attempt: Attempt, state: State, reason: Reason, ts: int) -> None:
        """Tell readers what became of a connection."""
        self._hub.bus.status(_NONE, attempt.row, ScopeCode.SCOPE_CONNECTION, state, reason, ts)

    def rows_with(
        self, instrument: Instrument, channels: Iterable[str] | None = None
    ) -> tuple[tuple[Channel, ...], Instrument]:
        """Return what the venue has for an instrument when `channels` (None: the feed's) are wanted too.

        The instrument is returned as it is known here: while it is wanted, its description stays that of its market.

        Raises
        ------
        ValueError : the venue does not offer a channel
        """
        had = self._plan.wishes.get(instrument.name)
        more = self.channels if channels is None else tuple(channels)
        if had is not None:
            instrument, more = had.instrument, (*had.channels, *more)
        return rows_for(self._venue, instrument, dict.fromkeys(more), self._options), instrument

    def subscribe(
        self,
        instruments: Iterable[Instrument],
        markets: Mapping[str, Market],
        ts: int,
        channels: Iterable[str] | None = None,
    ) -> None:
        """Subscribe to more, while all else goes on.

        Parameters
        ----------
        markets : by name, fit for what `rows_with` says
        channels : None: those of the feed

        Raises
        ------
        ValueError : the venue does not offer a channel; nothing has changed
        OSError : the bus has no room for another connection (ENOSPC); nothing has changed
        """
        more = self.channels if channels is None else tuple(channels)
        wishes = []
        for instrument in {each.name: each for each in instruments}.values():
            had = self._plan.wishes.get(instrument.name)
            if had is None:
                wishes.append(self._plan.wish(instrument, markets[instrument.name], more))
            else:  # its description is that of its market
                wishes.append(self._plan.wish(had.instrument, had.market, [*had.channels, *more]))
        self._change(wishes, ts)
        for wish in wishes:
            for missing in set(wish.channels) - {row.name for row in wish.rows}:
                product = self._venue.product_of(wish.instrument).name
                self._reports.tell(product, "channel", f"{wish.instrument.name} has no channel {missing}")

    def unsubscribe(self, names: Iterable[str], ts: int, channels: Iterable[str] | None = None) -> None:
        """End subscriptions, while all else goes on: a book that nobody wants any more is not live, and says why.

        Parameters
        ----------
        names : of instruments; those that are not wanted are ignored
        channels : None: all
        """
        less = None if channels is None else set(channels)
        wishes = []
        for name in dict.fromkeys(names):
            had = self._plan.wishes.get(name)
            if had is not None:
                left = [] if less is None else [each for each in had.channels if each not in less]
                wishes.append(self._plan.wish(had.instrument, had.market, left))
        self._change(wishes, ts)

    def _change(self, wishes: list[Wish], ts: int) -> None:
        before = dict(self._plan.wishes)
        changes, closed = self._plan.change(wishes)
        for wish in wishes:
            self._register(before.get(wish.instrument.name), wish, ts)
        for link, added, ended, notices in changes:
            link.change(added, ended, notices, ts)
        for link in closed:
            for attempt in link.attempts:
                if attempt.is_open:
                    self.say(attempt, State.STATE_SYNCING, Reason.REASON_UNSUBSCRIBED, ts)
            link.stop(ts)
            self._links.release(link)

    def _register(self, before: Wish | None, wish: Wish, ts: int) -> None:
        """See to what hangs on a wish: who looks after the book, and what readers are told of one that ends."""
        instrument, market = wish.instrument, wish.market
        product = self._venue.product_of(instrument)
        key = product.name, instrument.symbol
        if wish.channels:
            self._by_symbol[key] = instrument, market
            if before is None:
                self._statuses[instrument.name] = instrument.status
                self._hub.bus.instrument_status(market.instrument, INSTRUMENT_STATUSES.index(instrument.status))
        else:
            self._by_symbol.pop(key, None)
            self._statuses.pop(instrument.name, None)
        if product.name not in self.books:
            door = self._links.door(product)
            if door not in self.doors:
                self.doors.append(door)
            calls = Calls(self._venue, self._endpoints[product.name].rest, door, self._next_id)
            self.books[product.name] = Books(
                self._venue, product, calls, self._options, self.links, self.is_over, self._random
            )
        for row in wish.rows:
            self.rows[market.instrument, row.name] = row
        derived = before is not None and before.derives_bbo
        if wish.derives_bbo != derived:
            market.derives_bbo = wish.derives_bbo
        had_book = before is not None and before.has_book
        if wish.has_book:
            self._by_row[market.instrument] = instrument
        elif had_book:
            self._by_row.pop(market.instrument, None)
            self.books[product.name].forget(instrument)
            market.drop(Reason.REASON_UNSUBSCRIBED, ts)
        elif before is not None and not wish.channels:
            self._hub.bus.status(
                market.instrument,
                _NONE,
                ScopeCode.SCOPE_INSTRUMENT,
                State.STATE_LIVE if market.live else State.STATE_SYNCING,  # others can have its book
                Reason.REASON_UNSUBSCRIBED,
                ts,
            )

    def resync(self, name: str, ts: int) -> bool:
        """Drop the book of an instrument and ask for it anew; False if none is kept here."""
        wish = self._plan.wishes.get(name)
        if wish is None or not wish.has_book:
            return False
        if wish.market.live:  # else it is being asked for already
            wish.market.drop(Reason.REASON_REQUESTED, ts)
        books = self.books[self._venue.product_of(wish.instrument).name]
        # A snapshot would make it live without a subscription; once the venue takes that, it is wanted anyway.
        if wish.market.source_count and not books.is_refused(wish.instrument):
            books.want(wish.market, wish.instrument, ts)
        return True

    def relist(self, listed: Iterable[Instrument], products: Container[str], ts: int) -> None:
        """Take over the states of trading from a new listing of `products`; what is not in it any more is closed."""
        status = {each.name: each.status for each in listed}
        for name, wish in self._plan.wishes.items():
            product = self._venue.product_of(wish.instrument)
            if product.name in products:
                self.change_status(product, wish.instrument.symbol, status.get(name, "closed"), _NONE, ts)

    def is_over(self, instrument: Instrument, ts: int) -> bool:
        """Return whether an instrument is traded no more: it is closed, or has expired. Nothing need come of it."""
        is_expired = instrument.expiry is not None and ts >= instrument.expiry
        return is_expired or self._statuses.get(instrument.name) == "closed"

    def change_status(self, product: Product, symbol: str, status: Status, row: int, ts: int) -> None:
        """Tell readers of a change in the state of trading; `row` is that of the connection that told us, or -1."""
        instrument, market = self._by_symbol.get((product.name, symbol), (None, None))
        if instrument is None or market is None or self._statuses[instrument.name] == status:
            return
        if self._statuses[instrument.name] == "closed" and market.source_count and market.instrument in self._by_row:
            self.books[product.name].want(market, instrument, ts)  # nobody has asked for it since
        self._statuses[instrument.name] = status
        word = INSTRUMENT_STATUSES.index(status)
        self._hub.bus.instrument_status(market.instrument, word)
        state = State.STATE_LIVE if market.live else State.STATE_SYNCING
        self._hub.bus.status(
            market.instrument, row, ScopeCode.SCOPE_INSTRUMENT, state, Reason.REASON_INSTRUMENT, ts, word
        )
        _log.info("instrument status instrument=%s status=%s", instrument.name, status)
