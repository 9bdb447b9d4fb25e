"""Read a feed's configuration, and refuse what cannot work before anything is connected.

All that is wrong with a file is found at once: each field is read by itself, then each feed is held against its venue.
"""

from __future__ import annotations

import ipaddress
import os
import re
import tomllib
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin
from urllib.parse import urlsplit

import msgspec

from fastfeed import venues
from fastfeed.credentials import problem_of_file, read_environment, read_file
from fastfeed.errors import ConfigError, did_you_mean
from fastfeed.instrument import Instrument
from fastfeed.proxies import DIRECT, Proxy, problem_of, read_proxy
from fastfeed.venues.spec import CHANNELS, Credentials, Options, Product, Stale, Venue

__all__ = [
    "Bus",
    "Config",
    "Endpoints",
    "Feed",
    "Network",
    "Reconnect",
    "Size",
    "check_feed",
    "is_pattern",
    "load_config",
    "read_config",
    "refuse_overlap",
    "select",
]

_UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


class Size(int):
    """A number of bytes, written as "256MiB"."""

    @classmethod
    def read(cls, text: object) -> Size:
        found = re.fullmatch(r"([0-9]{1,9})(KiB|MiB|GiB)", text) if isinstance(text, str) else None
        if found is None:
            raise ValueError('Expected a size such as "256MiB"')
        return cls(int(found[1]) * _UNITS[found[2]])

    def __str__(self) -> str:
        for unit, factor in reversed(_UNITS.items()):
            if self >= factor and self % factor == 0:
                return f"{self // factor}{unit}"
        return f"{int(self)}B"


class Bus(msgspec.Struct, frozen=True, kw_only=True):
    """The table [bus]: what the feed publishes into, one folder of shared memory."""

    name: str
    ring: Size = Size(256 << 20)  # a power of two
    levels: Annotated[int, msgspec.Meta(ge=64, le=65536)] = 8192  # a side of a whole book's image
    top: Annotated[int, msgspec.Meta(ge=1, le=100)] = 25  # a side of what readers see without reconstructing
    instruments: Annotated[int, msgspec.Meta(ge=1, le=65536)] = 4096  # most in the life of the feed
    group: str | None = None  # group that may read; None for the feed's user alone
    huge_pages: bool = False  # ask for them; where the folder's file system has none, small ones do


class Endpoints(msgspec.Struct, frozen=True, kw_only=True):
    """The table [feed.endpoints]: bases by product, instead of the venue's own.

    For mocks and sandboxes, and for redundant connections that should not share one way to the venue.
    """

    ws: dict[str, str | tuple[str, ...]] = {}  # several: one after the other, for the copies of a connection
    rest: dict[str, str] = {}
    ca: str | None = None  # file of certificate authorities, instead of the system's


class Feed(msgspec.Struct, frozen=True, kw_only=True):
    """One table [[feed]]: channels of instruments of one venue."""

    venue: str
    instruments: tuple[str, ...]  # unified symbols, or patterns with * and ?
    channels: tuple[str, ...]
    connections: Annotated[int, msgspec.Meta(ge=1, le=16)] = 1  # redundant sources of each topic
    local_addresses: tuple[str, ...] = ()  # of this machine: one after the other, where those copies leave from
    book: str = Options().book
    trades: str = Options().trades
    depth_speed: str = Options().depth_speed
    snapshot_levels: int = Options().snapshot_levels
    bar_interval: str = Options().bar_interval
    verify_s: Annotated[int, msgspec.Meta(ge=1, le=86400)] = Options().verify_s
    stale: Stale = Stale()
    crossed: Literal["flag", "resync"] = "flag"  # of a book whose best bid comes to lie above its best ask
    sandbox: bool = False
    proxy: str | None = None  # instead of the file's; "direct" for none
    credentials: str | None = None  # NAME: the environment holds NAME_KEY, NAME_SECRET, NAME_PASSPHRASE
    credentials_file: str | None = None  # ... or a TOML file that its owner alone can read: key, secret, passphrase
    endpoints: Endpoints = Endpoints()

    @property
    def logs_in(self) -> bool:
        """True if the feed names credentials."""
        return self.credentials is not None or self.credentials_file is not None

    @property
    def options(self) -> Options:
        return Options(**{name: getattr(self, name) for name in Options.__struct_fields__})

    def login(self, path: str = "feed") -> Credentials | None:
        """Return the credentials that the environment or a file holds; None if the feed names none.

        Parameters
        ----------
        path : where the feed stands in its file, for messages

        Raises
        ------
        ConfigError : they are not there, or others could read them.
        """
        if self.credentials_file is not None:
            return read_file(self.credentials_file, f"{path}.credentials_file")
        if self.credentials is not None:
            return read_environment(self.credentials, f"{path}.credentials", os.environ)
        return None

    @property
    def products(self) -> tuple[Product, ...]:
        """The venue's products that the instruments can be in, in the venue's order."""
        venue = venues.load(self.venue)
        wanted = {product.name for pattern in self.instruments for product in venue.products_for(pattern)}
        return tuple(product for product in venue.PRODUCTS if product.name in wanted)

    def ws(self, product: Product, copy: int = 0) -> str:
        """Return the WebSocket base that a copy of a connection uses for `product`, without a trailing slash.

        Parameters
        ----------
        copy : number of the copy, 0 to `connections` - 1; the bases are taken in turn
        """
        bases = self._bases("ws", product)
        return bases[copy % len(bases)].rstrip("/")

    def rest(self, product: Product) -> str:
        """Return the REST base to use for `product`, without a trailing slash."""
        return self._bases("rest", product)[0].rstrip("/")

    def local_address(self, copy: int) -> str | None:
        """Return the address of this machine that a copy of a connection leaves from; None: the system chooses."""
        return self.local_addresses[copy % len(self.local_addresses)] if self.local_addresses else None

    @property
    def rest_headers(self) -> dict[str, str]:
        """Headers of all REST calls, which tell a venue that its sandbox is meant."""
        # Of all products: instruments of others can be wanted later.
        products = venues.load(self.venue).PRODUCTS if self.sandbox else ()
        return {name: value for product in products for name, value in product.rest_sandbox_headers.items()}

    def _bases(self, kind: Literal["ws", "rest"], product: Product) -> tuple[str, ...]:
        own: str | None = getattr(product, f"{kind}_sandbox" if self.sandbox else kind)
        return _several(getattr(self.endpoints, kind).get(product.name, own or ""))


class Reconnect(msgspec.Struct, frozen=True, kw_only=True):
    """The table [reconnect]: pauses between attempts, in seconds.

    The first retry comes at once; then they double from
    `initial_s` to `cap_s`, each taken at random between 0 and that."""

    initial_s: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 0.5
    cap_s: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 30.0
    healthy_s: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 60.0  # a connection that lived so long starts over
    connects_per_s: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 20  # attempts of the whole process, at most
    roll_s: Annotated[float, msgspec.Meta(gt=0)] | None = None  # age at which one is replaced; None: as the venue says


class Network(msgspec.Struct, frozen=True, kw_only=True):
    """The table [network]: how feeds that say nothing of it themselves reach their venues."""

    proxy: str | None = None  # http:// or socks5://, user and password as ${NAME}: references to the environment


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """A whole configuration file."""

    bus: Bus
    feeds: tuple[Feed, ...]
    reconnect: Reconnect = Reconnect()
    network: Network = Network()

    def proxy(self, index: int) -> Proxy | None:
        """Return the proxy of the feed at `index`, with what the environment holds; None for a direct way.

        Raises
        ------
        ConfigError : the environment lacks something, or it makes no proxy of the text.
        """
        own = self.feeds[index].proxy
        text, path = (self.network.proxy, "network.proxy") if own is None else (own, f"feed[{index}].proxy")
        return None if text is None else read_proxy(text, path, os.environ)


def load_config(path: str | Path) -> Config:
    """Read the configuration file at `path`.

    Raises
    ------
    ConfigError : the file cannot be read, or cannot work; `also` holds what else is wrong with it.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError("", "a readable file", reason, str(path)) from None
    return read_config(text, str(path))


def read_config(text: str, file: str | None = None) -> Config:
    """Read a configuration from its text; `file` is for messages.

    Raises
    ------
    ConfigError : it cannot work; `also` holds what else is wrong with it.
    """
    found = _Problems(file)
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found.add("", "TOML", str(error))
        raise found.error() from None
    found.check_keys(raw, ("bus", "feed", "reconnect", "network"), "")
    bus = found.read(raw.get("bus", {}), Bus, "bus")
    reconnect = found.read(raw.get("reconnect", {}), Reconnect, "reconnect")
    network = found.read(raw.get("network", {}), Network, "network")
    tables = raw.get("feed", [])
    if not isinstance(tables, list) or not tables:
        found.add("feed", "one table [[feed]] or more", None if not tables else "a table [feed]")
        tables = []
    feeds = [found.read(table, Feed, f"feed[{index}]") for index, table in enumerate(tables)]

    if bus is not None:
        _check_bus(bus, found)
    if reconnect is not None and reconnect.initial_s > reconnect.cap_s:
        found.add("reconnect.initial_s", f"at most cap_s ({reconnect.cap_s:g})", f"{reconnect.initial_s:g}")
    if network is not None:
        _check_proxy(network.proxy, "network.proxy", found)
    for index, feed in enumerate(feeds):
        if feed is not None:
            _check_feed(feed, f"feed[{index}]", found)
            _check_leaves(feed, network, f"feed[{index}]", found)
    _check_overlap(feeds, found)
    if found.errors or bus is None or reconnect is None or network is None:
        raise found.error()
    chosen = tuple(feed for feed in feeds if feed is not None)
    return Config(bus=bus, feeds=chosen, reconnect=reconnect, network=network)


def check_feed(feed: Feed, path: str = "feed") -> None:
    """Hold a feed against its venue, as `read_config` does; `path` says where it stands, for messages.

    Raises
    ------
    ConfigError : it cannot work; `also` holds what else is wrong with it.
    """
    found = _Problems(None)
    _check_feed(feed, path, found)
    if found.errors:
        raise found.error()


def select(listed: Sequence[Instrument], patterns: Iterable[str], path: str = "instruments") -> list[Instrument]:
    """Return the instruments that `patterns` name, in the listing's order.

    A unified symbol names an instrument whatever its status; a pattern takes those that trade.

    Raises
    ------
    ConfigError : a pattern names nothing; `path` says where the patterns stand.
    """
    by_symbol = {_unified(instrument): instrument for instrument in listed}
    chosen: set[str] = set()
    errors = []
    for index, pattern in enumerate(patterns):
        if is_pattern(pattern):
            names = {
                symbol
                for symbol, instrument in by_symbol.items()
                if instrument.status == "trading" and fnmatchcase(symbol, pattern)
            }
        else:
            names = {pattern} & by_symbol.keys()
        if not names:
            hint = did_you_mean(pattern, by_symbol)
            errors.append(ConfigError(f"{path}[{index}]", "an instrument that the venue lists", f"{pattern!r}{hint}"))
        chosen |= names
    if errors:
        raise _joined(errors)
    return [instrument for symbol, instrument in by_symbol.items() if symbol in chosen]


def refuse_overlap(feeds: Sequence[Feed], chosen: Sequence[Sequence[Instrument]]) -> None:
    """See that no channel of an instrument is in two feeds; `chosen` are the instruments of each.

    Raises
    ------
    ConfigError : one is: its forms could differ, and one book would be made of both.
    """
    owners: dict[tuple[str, str], int] = {}
    for index, (feed, listed) in enumerate(zip(feeds, chosen, strict=True)):
        for instrument in listed:
            taken = {owners.setdefault((instrument.name, channel), index) for channel in feed.channels} - {index}
            if taken:
                was = f"{_unified(instrument)!r}, also in feed[{min(taken)}]"
                raise ConfigError(f"feed[{index}].instruments", "each channel of an instrument in one feed", was)


def _unified(instrument: Instrument) -> str:
    return instrument.name.partition(":")[2]


def _several(texts: str | tuple[str, ...]) -> tuple[str, ...]:
    return (texts,) if isinstance(texts, str) else texts


def is_pattern(text: str) -> bool:
    """Return whether a text of `instruments` is a pattern, not a symbol."""
    return "*" in text or "?" in text


def _joined(errors: Sequence[ConfigError]) -> ConfigError:
    first, *others = errors
    return ConfigError(first.path, first.expected, first.was, first.file, tuple(others))


_T = TypeVar("_T", bound=msgspec.Struct)

# What TOML calls the types that msgspec names in its messages: Expected `int`, got `str`
_WORDS = {"`str`": "a string", "`int`": "an integer", "`float`": "a number", "`bool`": "true or false",
          "`str | array`": "a string or a list of strings"}  # fmt: skip


class _Problems:
    """What is wrong with a file, gathered."""

    def __init__(self, file: str | None) -> None:
        self.file = file
        self.errors: list[ConfigError] = []

    def add(self, path: str, expected: str, was: str | None = None) -> None:
        self.errors.append(ConfigError(path, expected, was, self.file))

    def error(self) -> ConfigError:
        return _joined(self.errors)

    def check_keys(self, table: dict[str, Any], known: Sequence[str], path: str) -> None:
        for key in table:
            if key not in known:
                place, hint = f"{path}.{key}".lstrip("."), did_you_mean(key, known)
                self.add(place, f"one of {', '.join(known)}", f"{key!r}{hint}")

    def read(self, table: object, kind: type[_T], path: str) -> _T | None:
        """Read a table field by field, so that each says what is wrong with it; None if any does."""
        if not isinstance(table, dict):
            self.add(path, "a table", f"{table!r}")
            return None
        fields = msgspec.structs.fields(kind)
        self.check_keys(table, [field.name for field in fields], path)
        before = len(self.errors)  # an unknown key does not keep the known ones from being read, and checked further
        values: dict[str, Any] = {}
        for field in fields:
            place = f"{path}.{field.name}"
            if field.name not in table:
                if field.required:
                    self.add(place, "a value", "nothing")
            else:
                values[field.name] = self._value(table[field.name], field.type, place)
        return kind(**values) if len(self.errors) == before else None

    def _value(self, value: object, kind: Any, path: str) -> Any:
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            return self.read(value, kind, path)
        if get_origin(kind) is UnionType and isinstance(value, list):
            kind = next((each for each in get_args(kind) if get_origin(each) is tuple), kind)
        # Members are read one by one, so that each is named if it is wrong.
        if get_origin(kind) is tuple:
            if isinstance(value, list):
                return tuple(self._value(each, get_args(kind)[0], f"{path}[{at}]") for at, each in enumerate(value))
            return self.add(path, "a list", f"{value!r}")
        if get_origin(kind) is dict:
            if isinstance(value, dict):
                return {key: self._value(each, get_args(kind)[1], f"{path}.{key}") for key, each in value.items()}
            return self.add(path, "a table", f"{value!r}")
        try:
            return msgspec.convert(value, kind, dec_hook=_read_size)
        except msgspec.ValidationError as error:
            expected = str(error).removeprefix("Expected ").partition(", got ")[0].replace(" | null", "")
            if get_origin(kind) is Literal:
                expected = f"one of {', '.join(get_args(kind))}"
            for word, ours in _WORDS.items():
                expected = expected.replace(word, ours)
            return self.add(path, expected, f"{value!r}")


def _read_size(kind: type, value: object) -> Size:
    assert kind is Size  # the only type here that msgspec does not know
    return Size.read(value)


def _check_bus(bus: Bus, found: _Problems) -> None:
    # The name becomes the name of a folder.
    if not re.fullmatch(r"[a-z0-9._-]{1,64}", bus.name) or bus.name in (".", ".."):
        found.add("bus.name", "1 to 64 of a-z, 0-9, dot, hyphen and underscore", f"{bus.name!r}")
    if not (1 << 20) <= bus.ring <= (64 << 30) or bus.ring & (bus.ring - 1):
        found.add("bus.ring", "a power of two from 1MiB to 64GiB", str(bus.ring))
    if bus.top > bus.levels:
        found.add("bus.top", f"at most bus.levels ({bus.levels})", str(bus.top))
    if bus.group is not None:
        import grp  # late: Unix only, and rarely needed

        try:
            grp.getgrnam(bus.group)
        except KeyError:
            found.add("bus.group", "a group of this system", f"{bus.group!r}")


def _check_feed(feed: Feed, path: str, found: _Problems) -> None:
    _check_instruments(feed.instruments, f"{path}.instruments", found)
    _check_proxy(feed.proxy, f"{path}.proxy", found)
    _check_addresses(feed, f"{path}.local_addresses", found)
    _check_credentials(feed, path, found)
    for index, channel in enumerate(feed.channels):
        if channel not in CHANNELS:
            hint = did_you_mean(channel, CHANNELS)
            found.add(f"{path}.channels[{index}]", f"one of {', '.join(CHANNELS)}", f"{channel!r}{hint}")
        elif channel in feed.channels[:index]:
            found.add(f"{path}.channels[{index}]", "each channel once", f"{channel!r} again")
    if not feed.channels:
        found.add(f"{path}.channels", "one channel or more", "none")
    try:
        venue = venues.load(feed.venue)
    except ConfigError as error:
        found.add(f"{path}.venue", error.expected, error.was)
        return
    for key, expected in venue.check_options(feed.options):
        found.add(f"{path}.{key}", expected, f"{getattr(feed, key)!r}")
    _check_forms(feed, path, found)
    for index, channel in enumerate(feed.channels):
        for product in feed.products:
            offered = dict.fromkeys(row.name for row in product.channels)
            if channel in CHANNELS and channel not in offered:
                place, known = f"{path}.channels[{index}]", ", ".join(offered)
                found.add(place, f"a channel of {feed.venue} {product.name} ({known})", f"{channel!r}")
    _check_endpoints(feed, venue, f"{path}.endpoints", found)
    for product in feed.products if feed.sandbox else ():
        lacks = " and ".join(
            {"ws": "WebSocket", "rest": "REST"}[kind] for kind in ("ws", "rest") if not all(feed._bases(kind, product))
        )
        if lacks:
            expected = f"false, or bases in [feed.endpoints]: {feed.venue} {product.name} has no sandbox for {lacks}"
            found.add(f"{path}.sandbox", expected, "true")


def _check_forms(feed: Feed, path: str, found: _Problems) -> None:
    """Refuse a form of a channel that none of the products has, and a length of bars or a speed that one of them lacks.

    A speed that does not exist can be a subscription that is acknowledged and silent.
    """
    for channel, key in (("book", "book"), ("trade", "trades")):
        rows = [row for product in feed.products for row in product.channels if row.name == channel]
        forms = dict.fromkeys(row.form for row in rows)
        wanted = getattr(feed, key)
        if wanted and wanted not in forms:
            found.add(f"{path}.{key}", f"one of {', '.join(filter(None, forms))}", f"{wanted!r}")
        elif wanted and not feed.logs_in and all(row.login for row in rows if row.form == wanted):
            found.add(f"{path}.credentials", f"a name, because {key} {wanted!r} needs a login", "nothing")
    for product in feed.products:
        if product.bars and feed.bar_interval not in product.bars:
            known = ", ".join(product.bars)
            expected = f"a length of bars of {feed.venue} {product.name} ({known})"
            found.add(f"{path}.bar_interval", expected, f"{feed.bar_interval!r}")
        if product.depth_speeds and feed.depth_speed not in ("", *product.depth_speeds):
            known = ", ".join(product.depth_speeds)
            expected = f"a speed of {feed.venue} {product.name} ({known})"
            found.add(f"{path}.depth_speed", expected, f"{feed.depth_speed!r}")


def _check_instruments(names: Sequence[str], path: str, found: _Problems) -> None:
    if not names:
        found.add(path, "one instrument or more", "none")
    for index, name in enumerate(names):
        if name in names[:index]:
            found.add(f"{path}[{index}]", "each instrument once", f"{name!r} again")
        # A pattern may stand for any part of a symbol, also for the slash.
        elif not re.fullmatch(r"[^\s/:]+/[^\s/:]+(:[^\s/:]+)?" if not is_pattern(name) else r"[^\s\[\]]+", name):
            expected = "a unified symbol (BTC/USDT, BTC/USDT:USDT) or a pattern (*/USDT:USDT), without the venue"
            found.add(f"{path}[{index}]", expected, f"{name!r}")


def _check_credentials(feed: Feed, path: str, found: _Problems) -> None:
    # The name becomes part of names in the environment; a secret that is put in its place is not repeated.
    if feed.credentials is not None and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", feed.credentials):
        found.add(f"{path}.credentials", "a name, with NAME_KEY and NAME_SECRET in the environment", "something else")
    if feed.credentials is not None and feed.credentials_file is not None:
        found.add(f"{path}.credentials_file", "credentials from one place", "credentials as well")
    problem = None if feed.credentials_file is None else problem_of_file(feed.credentials_file)
    if problem is not None:
        found.add(f"{path}.credentials_file", *problem)


def _check_proxy(text: str | None, path: str, found: _Problems) -> None:
    problem = None if text is None else problem_of(text)
    if problem is not None:
        found.add(path, *problem)


def _check_addresses(feed: Feed, path: str, found: _Problems) -> None:
    for index, text in enumerate(feed.local_addresses):
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            address = None
        if address is None or address.is_unspecified or address.is_multicast:
            found.add(f"{path}[{index}]", "an IP address of this machine", f"{text!r}")
    _check_count(feed.local_addresses, feed, path, found)


def _check_leaves(feed: Feed, network: Network | None, path: str, found: _Problems) -> None:
    """Refuse addresses to leave from where a proxy leaves instead: the venue would see one way, and not several."""
    proxy = feed.proxy if feed.proxy is not None or network is None else network.proxy
    if feed.local_addresses and proxy not in (None, DIRECT):
        where = f"{path}.proxy" if feed.proxy is not None else "network.proxy"
        found.add(f"{path}.local_addresses", f'nothing, or proxy = "{DIRECT}"', f"addresses, and {where}")


def _check_count(several: Sequence[str], feed: Feed, path: str, found: _Problems) -> None:
    """Refuse what no copy would use: who lists two ways and has one connection believes in what is not there."""
    if len(several) > feed.connections:
        found.add(path, f"at most as many as connections ({feed.connections})", str(len(several)))


def _check_endpoints(feed: Feed, venue: Venue, path: str, found: _Problems) -> None:
    products = [product.name for product in venue.PRODUCTS]
    endpoints = feed.endpoints
    for key, schemes in (("ws", ("ws", "wss")), ("rest", ("http", "https"))):
        for product, bases in getattr(endpoints, key).items():
            place = f"{path}.{key}.{product}"
            if product not in products:
                found.add(place, f"a product of {venue.ID} ({', '.join(products)})", f"{product!r}")
            if not _several(bases):
                found.add(place, "one URL or more", "none")
            for index, url in enumerate(_several(bases)):
                if not _is_base(url, schemes):
                    each = place if isinstance(bases, str) else f"{place}[{index}]"
                    found.add(each, f"{schemes[0]}:// or {schemes[1]}:// with a host, and no query", f"{url!r}")
            _check_count(_several(bases), feed, place, found)
    if endpoints.ca is not None and not Path(endpoints.ca).is_file():
        found.add(f"{path}.ca", "a file", f"{endpoints.ca!r}")


def _is_base(url: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  raises if it is no number
    except ValueError:
        return False
    return parts.scheme in schemes and bool(parts.hostname) and not parts.query and not parts.fragment


def _check_overlap(feeds: Sequence[Feed | None], found: _Problems) -> None:
    """Refuse what two feeds name alike; patterns that overlap are known only with the venue's listing."""
    owners: dict[tuple[str, str, str], int] = {}
    for index, feed in enumerate(feeds):
        if feed is None:
            continue
        for at, name in enumerate(feed.instruments):
            taken = {owners.setdefault((feed.venue, name, channel), index) for channel in feed.channels} - {index}
            if taken:
                place = f"feed[{index}].instruments[{at}]"
                found.add(place, "each channel of an instrument in one feed", f"{name!r}, also in feed[{min(taken)}]")
