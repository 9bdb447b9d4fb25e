"""An OfflineFeed against the simulator, both without sockets, on one clock."""

from __future__ import annotations

from typing import Any

import fastfeed
from fastfeed import venues
from fastfeed.sim import Close, FaultPlan, Frame, Knobs, Ping, Simulator
from fastfeed.sim.frames import Abort, Pong
from fastfeed.venues.spec import Product

START = 1_785_000_000_000_000_000
MS = 1_000_000


class Rig:
    """Steps a simulated venue and a feed together, and looks at every book after every event.

    Parameters
    ----------
    faults : a plan in the simulator's syntax
    products : of the venue; None: all
    sim : a simulator whose clock somebody else moves; None: one of its own
    options : of the feed
    """

    def __init__(self, faults: str | FaultPlan = "", seed: int = 7, products: tuple[str, ...] | None = None,
                 symbols: int | None = 2, rate: float = 40, connections: int = 1, venue: str = "binance",
                 channels: tuple[str, ...] = ("book", "bbo", "trade"), sim: Simulator | None = None,
                 **options: Any) -> None:  # fmt: skip
        knobs = Knobs(seed=seed, rate=rate, levels=40, symbols=symbols, journal=True)
        self.venue = venue
        self.products = [each for each in venues.load(venue).PRODUCTS if products is None or each.name in products]
        self.sim = sim or Simulator([venue], knobs=knobs, faults=faults, now=START)
        self.instruments = [each for product in self.products for each in self._list(product)]
        self.feed = fastfeed.OfflineFeed(
            venue, self.instruments, channels, seed=seed, connections=connections, **options
        )
        self.clients: dict[int, Any] = {}
        self.events: list[Any] = []
        self.wrong: list[str] = []
        self.wrong_since: dict[str, int] = {}
        self.longest_wrong = 0.0  # seconds that a live book was wrong, as far as it was seen to be right again
        self.checked = 0
        self.states: dict[str, list[str]] = {each.name: [] for each in self.instruments}
        self._take(self.feed.start(self.sim.now, connect=False))

    def _list(self, product: Product) -> list[fastfeed.Instrument]:
        """All pages of a product's listing, as a feed asks for them; faults are not for these."""
        bodies = []
        calls = list(product.listing)
        for call in calls:
            reply = self.sim.request(self.venue, product.name, call.path)
            assert reply.status == 200, reply
            bodies.append(reply.body)
            calls += venues.load(self.venue).read_listing(reply.body, product).more
        return fastfeed.instruments(self.venue, bodies, product.name)

    def _place(self, url: str, base: str) -> tuple[str, str]:
        """(product, path) of a URL; `base` is ws or rest."""
        product = next(each for each in self.products if url.startswith(getattr(each, base) + "/"))
        return product.name, url[len(getattr(product, base)) :]

    def step(self, ms: int = 20) -> None:
        """Let time pass, and everything that it brings happen."""
        self.sim.advance(seconds=ms / 1000)
        self.pump()

    def pump(self) -> None:
        """Let everything happen that is due at the simulator's time."""
        now = self.sim.now
        self._take(self.feed.advance(now))
        self._connect(now)
        self._exchange(now)
        for key, client in list(self.clients.items()):
            for output in client.take():
                if all(key != each.id for each in self.feed.connections):
                    break  # given up: nothing more is read from it
                if isinstance(output, Ping):
                    client.pong(output.payload)  # as the session does
                    self._take(self.feed.heard(key, now))
                elif isinstance(output, Pong):
                    self._take(self.feed.heard(key, now, True))
                elif isinstance(output, Frame) and key in self.clients:
                    self._take(self.feed.receive(output.payload, now, key))
                    self._exchange(now)
                elif isinstance(output, (Close, Abort)) and self.clients.pop(key, None) is not None:
                    self._take(self.feed.disconnected(key, now))
        self._connect(now)

    def run(self, seconds: float) -> None:
        for _ in range(int(seconds * 1000 / 20)):
            self.step()

    def _connect(self, now: int) -> None:
        wanted = {each.id: each for each in self.feed.connections}
        for key in [key for key in self.clients if key not in wanted]:
            self.clients.pop(key).close()
        for key, each in wanted.items():
            if key not in self.clients:
                try:
                    self.clients[key] = self.sim.connect(self.venue, *self._place(each.url, "ws"))
                except ValueError:  # refused: too many at once
                    self._take(self.feed.disconnected(key, now))
                else:
                    self._take(self.feed.connected(key, now))

    def _exchange(self, now: int) -> None:
        while self.feed.sends:
            key, payload = self.feed.sends.popleft()
            if key in self.clients:
                self.clients[key].receive(payload)
        while self.feed.pings:
            key = self.feed.pings.popleft()
            if key in self.clients:
                self.clients[key].ping()
        while self.feed.requests:
            request = self.feed.requests.popleft()
            reply = self.sim.request(self.venue, *self._place(request.url, "rest"))
            self._take(self.feed.reply(request, reply.body, reply.status, dict(reply.headers), now))

    def _take(self, events: list[Any]) -> None:
        self.events += events
        for event in events:
            if event.kind == "status" and event.name is not None and event.health is None:
                self.states[event.name].append(event.state if event.state == "live" else event.reason)
        for name in {event.name for event in events if event.kind in ("delta", "snapshot", "status")} - {None}:
            self._check(name)

    def _check(self, name: str) -> None:
        """A live book is the venue's book at the same sequence, within its coverage."""
        book = self.feed.book(name)
        before = len(self.wrong)
        if book.state is fastfeed.BookState.LIVE:
            self._compare(name, book)
        if len(self.wrong) > before:
            self.wrong_since.setdefault(name, self.sim.now)
        elif name in self.wrong_since:
            self.longest_wrong = max(self.longest_wrong, (self.sim.now - self.wrong_since.pop(name)) / 1e9)

    def _compare(self, name: str, book: fastfeed.Book) -> None:
        depth = book.depth()
        instrument = next(each for each in self.instruments if each.name == name)
        truth = self.sim.book_at(name, depth.sequence).levels(10_000)  # in ticks and lots
        tick, lot = instrument.to_px(instrument.tick_size), instrument.to_sz(instrument.lot_size)
        for side, mine, worst, sign in (
            ("bids", depth.bids, depth.complete_to[0], 1),
            ("asks", depth.asks, depth.complete_to[1], -1),
        ):
            wanted = [(px * tick, sz * lot) for px, sz in truth[0 if side == "bids" else 1]]
            found = mine.tolist()
            self.checked += 1
            if worst is not None:
                wanted = [level for level in wanted if sign * level[0] >= sign * worst]
                found = [level for level in found if sign * level[0] >= sign * worst]
            if found != wanted:
                self.wrong.append(f"{name} {side} at {depth.sequence}")

    def all_live(self) -> bool:
        return all(self.feed.book(each.name).state is fastfeed.BookState.LIVE for each in self.instruments)

    def run_until_live(self, seconds: float = 60) -> None:
        for _ in range(int(seconds * 1000 / 20)):
            if self.all_live():
                return
            self.step()
        raise AssertionError("not live: " + ", ".join(
            each.name for each in self.instruments if self.feed.book(each.name).state is not fastfeed.BookState.LIVE
        ))  # fmt: skip
