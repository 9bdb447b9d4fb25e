"""What a venue's machine subscribes to, and which connection has which topic; both can change while it runs.

A *lane* is a set of topics of one product and path that share a connection, and the links that each carry all of them:
one, or more for redundancy. Whatever changes, a topic stays in its lane: only what is new or gone is told to links.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from fastfeed.attempt import Subscription
from fastfeed.instrument import Instrument
from fastfeed.link import Link
from fastfeed.venues.spec import Channel, Options, Product, Topic, Venue, product_named, rows_for
from fastfeed_core.market import Market

__all__ = ["LinkChange", "Plan", "Wish"]

_Place = tuple[str, str]  # a product's name and a path


class Wish(NamedTuple):
    """All that is wanted of an instrument: the channels that were asked for, the venue's rows and topics for them."""

    instrument: Instrument
    market: Market
    channels: tuple[str, ...]
    rows: tuple[Channel, ...]
    subscriptions: tuple[Subscription, ...]

    @property
    def has_book(self) -> bool:
        """Whether a book is kept: one that brings the quotes is, as long as they are wanted."""
        quotes = self.market.has_book and any(each.topic.carrier == "book" for each in self.subscriptions)
        return quotes or any(each.channel == "book" for each in self.subscriptions)

    @property
    def derives_bbo(self) -> bool:
        """Whether quotes are the book's top."""
        carried = any((each.channel, each.topic.carrier) == ("bbo", "book") for each in self.subscriptions)
        return carried or any(row.derived for row in self.rows)


class LinkChange(NamedTuple):
    """What changes on a link that stays."""

    link: Link
    added: list[Subscription]
    ended: list[Subscription]
    notices: list[Topic]  # all from now on


class _Lane:
    """Topics that share a connection."""

    def __init__(self, product: Product, path: str, number: int) -> None:
        self.product = product
        self.path = path
        self.number = number
        self.links: list[Link] = []
        self.topics: dict[str, list[Subscription]] = {}
        self.notices: dict[str, Topic] = {}
        self._books: set[str] = set()  # of these topics

    @property
    def place(self) -> _Place:
        return self.product.name, self.path

    def has_room(self, is_book: bool) -> bool:
        limits = self.product.limits
        if len(self.topics) >= max(limits.topics_per_connection - len(self.notices), 1):
            return False
        return not is_book or len(self._books) < limits.books_per_connection

    def add(self, text: str, feeds: Sequence[Subscription]) -> None:
        self.topics.setdefault(text, []).extend(feeds)
        if _is_book(feeds):
            self._books.add(text)

    def remove(self, subscription: Subscription) -> None:
        text = subscription.topic.text
        feeds = self.topics[text]
        feeds.remove(subscription)
        if not feeds:
            del self.topics[text]
        if not _is_book(feeds):
            self._books.discard(text)


class Plan:
    """The subscriptions of one venue's machine.

    Parameters
    ----------
    open_link : makes the link of a lane: called with product, path, number of the lane, number of the copy,
        subscriptions and notices; OSError if there is no room for it
    release_link : takes back a link that never began
    copies : links of each lane
    """

    def __init__(
        self,
        venue: Venue,
        options: Options,
        open_link: Callable[[Product, str, int, int, list[Subscription], list[Topic]], Link],
        release_link: Callable[[Link], None],
        copies: int,
    ) -> None:
        self.links: list[Link] = []
        self.wishes: dict[str, Wish] = {}  # by name of the instrument
        self._venue = venue
        self._options = options
        self._open_link = open_link
        self._release_link = release_link
        self._copies = copies
        self._lanes: dict[_Place, list[_Lane]] = {}
        self._begun = False

    def wish(self, instrument: Instrument, market: Market, channels: Iterable[str]) -> Wish:
        """Return what the venue has for `channels` of an instrument.

        Raises
        ------
        ValueError : the product does not offer a channel, or not in the form that is asked for
        """
        channels = tuple(dict.fromkeys(channels))
        rows = rows_for(self._venue, instrument, channels, self._options)
        subscriptions = tuple(
            Subscription(topic, row.name, instrument, market)
            for row in rows
            if not row.derived
            for topic in self._venue.topics(instrument, row, self._options)
        )
        return Wish(instrument, market, channels, rows, subscriptions)

    def change(self, wishes: Iterable[Wish]) -> tuple[list[LinkChange], list[Link]]:
        """Want this of these instruments from now on; one without channels is not wanted at all.

        Returns
        -------
        (what changes on links that stay, links that are not needed any more); new links are in `links` already

        Raises
        ------
        OSError : no room for another connection; nothing has changed
        """
        wishes = list(wishes)
        added: dict[_Place, dict[str, list[Subscription]]] = {}
        ended: list[tuple[_Place, Subscription]] = []
        for wish in wishes:
            before = self.wishes.get(wish.instrument.name)
            old = () if before is None else before.subscriptions
            name = self._venue.product_of(wish.instrument).name
            for each in _without(wish.subscriptions, old):
                added.setdefault((name, each.topic.path), {}).setdefault(each.topic.text, []).append(each)
            ended += [((name, each.topic.path), each) for each in _without(old, wish.subscriptions)]
        after = self.wishes | {wish.instrument.name: wish for wish in wishes}
        after = {name: wish for name, wish in after.items() if wish.channels}
        notices = self._notices(after.values())

        changes: dict[int, LinkChange] = {}  # by id of the link
        fresh: list[_Lane] = []
        self._place(added, notices, fresh, changes)
        try:
            opened = [self._open(lane, copy) for lane in fresh for copy in range(self._copies)]
        except OSError:
            self._take_back(added, fresh)
            raise
        self.links += opened
        self._end(ended, changes)
        self._tell_notices(notices, changes)
        self.wishes = after
        self._begun = True
        return list(changes.values()), self._close()

    def _notices(self, wishes: Iterable[Wish]) -> dict[_Place, dict[str, Topic]]:
        """The topics that tell of changes in the state of trading, by product and path."""
        listed: dict[str, list[Instrument]] = {}
        for wish in wishes:
            listed.setdefault(self._venue.product_of(wish.instrument).name, []).append(wish.instrument)
        found: dict[_Place, dict[str, Topic]] = {}
        for product in self._venue.PRODUCTS:
            for topic in self._venue.status_topics(product, listed.get(product.name, [])):
                if product.name in listed:
                    found.setdefault((product.name, topic.path), {})[topic.text] = topic
        return found

    def _place(
        self,
        added: Mapping[_Place, Mapping[str, list[Subscription]]],
        notices: Mapping[_Place, Mapping[str, Topic]],
        fresh: list[_Lane],
        changes: dict[int, LinkChange],
    ) -> None:
        """Find a lane for each topic: its own, one with room, or a new one.

        What ends at the same time makes no room yet: the venue counts it until it has heard of it.
        """
        for place in dict.fromkeys([*added, *notices]):
            lanes = self._lanes.setdefault(place, [])
            if not lanes and place in notices:
                self._new_lane(place, fresh).notices.update(notices[place])
            for text, feeds in added.get(place, {}).items():
                lane = self._lane_for(place, text, _is_book(feeds), fresh)
                lane.add(text, feeds)
                for link in lane.links:
                    _change_of(changes, link, lane).added.extend(feeds)

    def _lane_for(self, place: _Place, text: str, is_book: bool, fresh: list[_Lane]) -> _Lane:
        lanes: list[_Lane] = self._lanes[place]
        for lane in lanes:
            if text in lane.topics:
                return lane
        # Neighbours stay together: the lane in use is filled first, and at the beginning no other one is looked at.
        for lane in lanes[-1:] + (lanes if self._begun else []):
            if lane.has_room(is_book):
                return lane
        return self._new_lane(place, fresh)

    def _new_lane(self, place: _Place, fresh: list[_Lane]) -> _Lane:
        lanes = self._lanes[place]
        used = {lane.number for lane in lanes}
        number = next(number for number in range(len(lanes) + 1) if number not in used)
        lane = _Lane(product_named(self._venue, place[0]), place[1], number)
        lanes.append(lane)
        fresh.append(lane)
        return lane

    def _open(self, lane: _Lane, copy: int) -> Link:
        subscriptions = [each for feeds in lane.topics.values() for each in feeds]
        notices = list(lane.notices.values())
        link = self._open_link(lane.product, lane.path, lane.number, copy, subscriptions, notices)
        lane.links.append(link)
        return link

    def _take_back(self, added: Mapping[_Place, Mapping[str, list[Subscription]]], fresh: list[_Lane]) -> None:
        for lane in fresh:
            self._lanes[lane.place].remove(lane)
            for link in lane.links:
                self._release_link(link)
        for place, topics in added.items():
            for lane in self._lanes[place]:
                for text, feeds in topics.items():
                    for each in feeds:
                        if each in lane.topics.get(text, ()):
                            lane.remove(each)

    def _end(self, ended: Iterable[tuple[_Place, Subscription]], changes: dict[int, LinkChange]) -> None:
        for place, each in ended:
            lane = next(lane for lane in self._lanes[place] if each in lane.topics.get(each.topic.text, ()))
            lane.remove(each)
            for link in lane.links:
                _change_of(changes, link, lane).ended.append(each)

    def _tell_notices(self, notices: Mapping[_Place, Mapping[str, Topic]], changes: dict[int, LinkChange]) -> None:
        for place, lanes in self._lanes.items():
            wanted = notices.get(place, {})
            had = {text for lane in lanes for text in lane.notices}
            roomy = next((lane for lane in lanes if lane.has_room(False)), lanes[0] if lanes else None)
            for lane in lanes:
                now = {text: topic for text, topic in lane.notices.items() if text in wanted}
                if lane is roomy:
                    now |= {text: topic for text, topic in wanted.items() if text not in had}
                if now != lane.notices:
                    lane.notices = now
                    for link in lane.links:
                        _change_of(changes, link, lane).notices[:] = now.values()

    def _close(self) -> list[Link]:
        """Take out the lanes that have nothing left, and return their links."""
        closed = []
        for lanes in self._lanes.values():
            for lane in [lane for lane in lanes if not lane.topics and not lane.notices]:
                lanes.remove(lane)
                closed += lane.links
        for link in closed:
            self.links.remove(link)
        return closed


def _change_of(changes: dict[int, LinkChange], link: Link, lane: _Lane) -> LinkChange:
    return changes.setdefault(id(link), LinkChange(link, [], [], list(lane.notices.values())))


def _is_book(feeds: Sequence[Subscription]) -> bool:
    return any(each.channel == "book" for each in feeds)


def _without(some: Iterable[Subscription], others: Iterable[Subscription]) -> list[Subscription]:
    others = list(others)
    return [each for each in some if each not in others]
