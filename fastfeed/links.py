"""Make the links of one venue's machine, and keep the rows that they have in the connection table of the bus."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from random import Random
from typing import NamedTuple

from fastfeed.attempt import Subscription
from fastfeed.config import Reconnect
from fastfeed.link import Link
from fastfeed.places import Door, Places
from fastfeed.venues.spec import Credentials, Product, Topic, Venue
from fastfeed_core.bus import BusWriter

__all__ = ["Endpoint", "Links"]


class Endpoint(NamedTuple):
    """Where a product is, and where its connections leave from; copies of a connection take both in turn."""

    ws: tuple[str, ...]  # bases
    rest: str  # base
    local_addresses: tuple[str, ...] = ()  # of this machine; none: the system chooses


class Links:
    """The links of a venue's machine, and what they have in common.

    Parameters
    ----------
    endpoints : by product
    next_id : gives ids of attempts and requests
    """

    def __init__(
        self,
        venue: Venue,
        bus: BusWriter,
        endpoints: Mapping[str, Endpoint],
        reconnect: Reconnect,
        credentials: Credentials | None,
        random: Random,
        places: Places,
        next_id: Callable[[], int],
    ) -> None:
        self._venue = venue
        self._bus = bus
        self._endpoints = endpoints
        self._reconnect = reconnect
        self._credentials = credentials
        self._random = random
        self._places = places
        self._next_id = next_id
        self._sent: dict[str, deque[int]] = {}

    def open(
        self,
        product: Product,
        path: str,
        number: int,
        copy: int,
        subscriptions: list[Subscription],
        notices: list[Topic],
    ) -> Link:
        """Make a link; OSError if the bus has no row for it."""
        endpoint = self._endpoints[product.name]
        url = endpoint.ws[copy % len(endpoint.ws)] + path
        locals_ = endpoint.local_addresses or (None,)
        local = locals_[copy % len(locals_)]
        return Link(
            self._venue,
            product,
            f"{self._venue.ID} {product.name} {path} {number}.{copy}",
            self._new_row,
            url,
            subscriptions,
            notices,
            self._reconnect,
            self._credentials,
            self._random,
            self._places.of(url, product.limits, local),
            self._next_id,
            self._sent.setdefault(product.name, deque()) if product.limits.sends_shared else None,
            local,
        )

    def door(self, product: Product) -> Door:
        """Return what all who call the host of a product by REST share."""
        return self._places.door(self._venue.ID, self._endpoints[product.name].rest, product.limits)

    def release(self, link: Link) -> None:
        """Have the rows of a link that is gone for the next one of its label."""
        self._places.free_rows.setdefault(link.label, []).extend(link.rows)

    def _new_row(self, label: str) -> int:
        free = self._places.free_rows.get(label)
        return free.pop() if free else self._bus.add_connection(label)
