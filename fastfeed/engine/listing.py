"""Fetch a venue's listings at start, with retries: without them nothing can be subscribed."""

from __future__ import annotations

import asyncio
import logging
import time

import stamina

from fastfeed.calls import heed
from fastfeed.config import Feed, select
from fastfeed.engine.network import Network, Unreachable
from fastfeed.errors import FastfeedError, MalformedReply, RateLimited, Recovery, VenueDown
from fastfeed.instrument import Instrument, read_instruments
from fastfeed.places import Door, Places
from fastfeed.venues import load
from fastfeed.venues.spec import Call, Page, Product

__all__ = ["fetch_listing", "list_instruments"]

_log = logging.getLogger(__name__)

_TRIES_S = 300.0  # a feed that cannot list for so long gives up, and says why
_REQUEST_S = 30.0
_ROOM_S = 0.05  # how often a call that may not be made yet asks again
_MOST_PAGES = 1000  # a cursor that never ends is the venue's fault, not ours to follow


def _again(error: Exception) -> bool | float:
    """Whether to try again, and after how many seconds if the venue says so."""
    if isinstance(error, MalformedReply):
        return False
    if isinstance(error, RateLimited):
        return error.retry_after_s
    if isinstance(error, FastfeedError):
        return error.recovery is Recovery.BACKOFF
    return False


async def list_instruments(feed: Feed, path: str, network: Network, places: Places) -> list[Instrument]:
    """Return the instruments that a feed's patterns name.

    Parameters
    ----------
    path : where the feed stands in its file, for messages
    places : what feeds of a venue share, its budget of calls among it

    Raises
    ------
    ConfigError : a pattern names nothing that the venue lists
    VenueError : the listing could not be fetched
    """
    return select(await fetch_listing(feed, network, places), feed.instruments, f"{path}.instruments")


async def fetch_listing(feed: Feed, network: Network, places: Places) -> list[Instrument]:
    """Return all that the venue lists of the products that a feed's patterns can name.

    Raises
    ------
    VenueError : the listing could not be fetched
    """
    listed: list[Instrument] = []
    for product in feed.products:
        door = places.door(feed.venue, feed.rest(product), product.limits)
        found: dict[str, Instrument] = {}
        for _ in read_instruments(found, feed.venue, await _fetch_pages(feed, product, network, door), product.name):
            await asyncio.sleep(0)  # other feeds of the process are running: their sockets are read in between
        listed += found.values()
    return listed


async def _fetch_pages(feed: Feed, product: Product, network: Network, door: Door) -> list[bytes]:
    """All pages of a listing: a page can name the calls for what it does not hold."""
    calls = list(product.listing)
    bodies: list[bytes] = []
    for call in calls:
        body, page = await _fetch(feed, product, call, network, door)
        bodies.append(body)
        calls += page.more
        if len(bodies) == _MOST_PAGES:
            _log.warning("listing cut short venue=%s product=%s pages=%d", feed.venue, product.name, len(bodies))
            break
    return bodies


@stamina.retry(on=_again, attempts=None, timeout=_TRIES_S, wait_initial=0.2, wait_max=30.0)
async def _fetch(feed: Feed, product: Product, call: Call, network: Network, door: Door) -> tuple[bytes, Page]:
    """One page; it is read here because some venues say with status 200 that they have none now."""
    url = feed.rest(product) + call.path
    venue = load(feed.venue)
    while not door.may_call(call.weight, time.time_ns()):
        await asyncio.sleep(_ROOM_S)
    try:
        status, headers, body = await network.request("GET", url, {}, None, _REQUEST_S)
    except Unreachable as error:
        door.answered(0, time.time_ns())
        _log.warning("listing failed url=%s error=%s", url, error)
        raise VenueDown(feed.venue, None, f"{url}: {error}") from error
    except asyncio.CancelledError:
        door.breaker.abandoned()  # if this was its probe, nobody would say how it ended
        raise
    refusal = heed(venue, door, None, status, headers, body, time.time_ns())
    if refusal is not None:
        raise refusal
    try:
        return body, venue.read_listing(body, product)
    except RateLimited as error:
        door.block(error.retry_after_s, time.time_ns(), error.banned)
        raise
