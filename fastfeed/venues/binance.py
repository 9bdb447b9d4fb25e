"""What Binance is, and what we send to it: spot and USD-M futures.

Facts carry the page and section of Binance's documentation that they come from: files of the repository
binance/binance-spot-api-docs (spot) and pages of developers.binance.com/docs/derivatives/usds-margined-futures (USD-M).

The same symbol can exist in both products (BTCUSDT), so a symbol means something on its own product's connections only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from fastfeed.errors import FastfeedError, MalformedReply, RateLimited, RequestRefused, VenueDown
from fastfeed.instrument import Instrument
from fastfeed.pause import LONGEST_S, retry_after
from fastfeed.venues.binance_listing import STATUSES, read_row
from fastfeed.venues.spec import (
    Ack,
    Call,
    Channel,
    Control,
    Credentials,
    InstrumentStatus,
    Limits,
    Options,
    Page,
    Product,
    Refusal,
    Shutdown,
    SnapshotSize,
    Topic,
    Unknown,
)

ID = "binance"

# Of both products; a week is the venue's 1w.
_BARS = ("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "3d", "7d")
_INTERVALS = {"7d": "1w"}

SPOT = Product(
    name="spot",
    kinds=("spot",),
    # web-socket-streams.md, General WSS information
    ws="wss://stream.binance.com:9443",
    # rest-api.md, General API Information
    rest="https://api.binance.com",
    # testnet/general-info.md, How can I use the Spot Test Network
    ws_sandbox="wss://stream.testnet.binance.vision",
    rest_sandbox="https://testnet.binance.vision",
    # rest-api.md, General endpoints, Exchange information
    listing=(Call("/api/v3/exchangeInfo", 20),),
    # web-socket-streams.md, Detailed Stream information. Combined streams only: bookTicker does not say what it is.
    channels=(
        Channel(name="book", topics=("{symbol}@depth{speed}",), path="/stream", by_request=True),
        Channel(name="bbo", topics=("{symbol}@bookTicker",), path="/stream"),
        Channel(name="trade", form="raw", topics=("{symbol}@trade",), path="/stream"),
        Channel(name="trade", form="aggregate", topics=("{symbol}@aggTrade",), path="/stream"),
        # Individual Symbol Ticker Streams
        Channel(name="ticker", topics=("{symbol}@ticker",), path="/stream", note="last and volume of 24 hours"),
        # Kline/Candlestick Streams for UTC
        Channel(name="bar", topics=("{symbol}@kline_{interval}",), path="/stream"),
    ),
    # rest-api.md, Market Data endpoints, Order book
    snapshots=(SnapshotSize(100, 5), SnapshotSize(500, 25), SnapshotSize(1000, 50), SnapshotSize(5000, 250)),
    # web-socket-streams.md, Kline/Candlestick Streams for UTC; months have no fixed length
    bars=("1s", *_BARS),
    # web-socket-streams.md, Diff. Depth Stream
    depth_speeds=("1000ms", "100ms"),
    # web-socket-streams.md, General WSS information and WebSocket Limits; rest-api.md, LIMITS
    limits=Limits(
        topics_per_connection=1024,
        sends_per_second=2,  # the venue takes 5, pongs counted; what was sent in two seconds can arrive within one
        frame_bytes=4000,  # undocumented: a SUBSCRIBE of over 4088 bytes is never answered (users' reports, 2024-12)
        connects=300,
        connects_per_s=300,
        weight_per_minute=6000,
    ),
    lifetime_s=24 * 3600,
    mute_after_s=60,  # the venue pings every 20 s
)

# Since 2026-04-23 USD-M serves book data and everything else under two paths. A topic on the wrong one is acknowledged
# and then silent for ever. (Important WebSocket Change Notice.)
_PUBLIC = "/public/stream"
_MARKET = "/market/stream"
_CONTRACTS = "!contractInfo"

USDM = Product(
    name="usdm",
    kinds=("swap", "future"),
    # websocket-market-streams, Connect; general-info, Testnet
    ws="wss://fstream.binance.com",
    rest="https://fapi.binance.com",
    ws_sandbox="wss://fstream.binancefuture.com",
    rest_sandbox="https://demo-fapi.binance.com",
    # market-data/rest-api/Exchange-Information, Request Weight
    listing=(Call("/fapi/v1/exchangeInfo", 1),),
    channels=(
        # websocket-market-streams/Diff-Book-Depth-Streams, Update Speed
        Channel(name="book", topics=("{symbol}@depth{speed}",), path=_PUBLIC, by_request=True),
        # websocket-market-streams/Individual-Symbol-Book-Ticker-Streams, Stream Name
        Channel(name="bbo", topics=("{symbol}@bookTicker",), path=_PUBLIC),
        # Single trades are undocumented on USD-M, and served on the public path (seen in 2026).
        Channel(name="trade", form="raw", topics=("{symbol}@trade",), path=_PUBLIC),
        # websocket-market-streams/Aggregate-Trade-Streams, Stream Name
        Channel(name="trade", form="aggregate", topics=("{symbol}@aggTrade",), path=_MARKET),
        # websocket-market-streams/Individual-Symbol-Ticker-Streams and Mark-Price-Stream, Stream Name
        Channel(
            name="ticker",
            topics=("{symbol}@ticker", "{symbol}@markPrice@1s"),
            path=_MARKET,
            note="last, volume of 24 hours, mark, index, funding; what is delivered has no funding",
        ),
        # websocket-market-streams/Kline-Candlestick-Streams, Stream Name
        Channel(name="bar", topics=("{symbol}@kline_{interval}",), path=_MARKET),
        # websocket-market-streams/Liquidation-Order-Streams, Stream Description
        Channel(
            name="liquidation",
            topics=("{symbol}@forceOrder",),
            path=_MARKET,
            note="the latest of each second, as its order was placed",
        ),
    ),
    # market-data/rest-api/Order-Book, Request Weight: these sizes only
    snapshots=(
        SnapshotSize(5, 2),
        SnapshotSize(10, 2),
        SnapshotSize(20, 2),
        SnapshotSize(50, 2),
        SnapshotSize(100, 5),
        SnapshotSize(500, 10),
        SnapshotSize(1000, 20),
    ),
    # common-definition, Kline/Candlestick chart intervals; no seconds
    bars=_BARS,
    # websocket-market-streams/Diff-Book-Depth-Streams, Update Speed; 0ms is undocumented (seen in 2024)
    depth_speeds=("250ms", "500ms", "100ms", "0ms"),
    # websocket-market-streams, Connect; general-info, IP Limits
    limits=Limits(
        topics_per_connection=1024,
        sends_per_second=4,  # the venue takes 10, pings and pongs counted; as on spot
        frame_bytes=4000,  # as on spot
        connects=300,  # no figure is published; that of spot
        connects_per_s=300,
        weight_per_minute=2400,
    ),
    lifetime_s=24 * 3600,
    ping_every_s=20,  # the venue pings every 3 minutes only: a dead connection would show its books for that long
    ping_when_silent=True,
    mute_after_s=60,
)

PRODUCTS = (SPOT, USDM)

# rest-api.md, LIMITS, IP Limits: calendar minutes
USED_WEIGHT_HEADER: str | None = "X-MBX-USED-WEIGHT-1M"

_DEPTH_PATH = {"spot": "/api/v3/depth", "usdm": "/fapi/v1/depth"}


def products_for(pattern: str) -> tuple[Product, ...]:
    if ":" in pattern:
        return (USDM,)
    if "*" in pattern or "?" in pattern:
        # "BTC/*" can mean BTC/USDT:USDT too; a wildcard before a slash cannot reach the colon.
        _, slash, rest = pattern.partition("/")
        return (SPOT,) if slash and "*" not in rest and "?" not in rest else PRODUCTS
    return (SPOT,)


def product_of(instrument: Instrument) -> Product:
    return SPOT if instrument.kind == "spot" else USDM


def check_options(options: Options) -> list[tuple[str, str]]:
    most = max(product.snapshots[-1].levels for product in PRODUCTS)
    return [] if 1 <= options.snapshot_levels <= most else [("snapshot_levels", f"1 to {most}")]


# Listing; its rows are read one by one, in binance_listing


class _Listing(msgspec.Struct, rename="camel"):
    symbols: list[msgspec.Raw]
    futures_type: str | None = None


class _Shape(msgspec.Struct, rename="camel"):
    contract_type: str | None = None


def read_listing(body: bytes | str, product: Product | None) -> Page:
    try:
        listing = msgspec.json.decode(body, type=_Listing)
        first = msgspec.json.decode(listing.symbols[0], type=_Shape) if listing.symbols else _Shape()
    except (msgspec.MsgspecError, UnicodeError) as error:
        code, reason = _read_error(body)
        said = str(error) if code is None else f"{reason} (code {code})"
        raise MalformedReply(ID, None, "listing", said) from None
    is_usdm = listing.futures_type is not None or first.contract_type is not None
    actual = USDM if is_usdm else SPOT
    # An empty list has no rows that could be taken for the other product's.
    if product is not None and listing.symbols and product is not actual:
        raise MalformedReply(ID, None, "listing", f"expected rows of {product.name}, was {actual.name}")
    return Page(product or actual, listing.symbols)


def read_instrument(row: msgspec.Raw, product: Product) -> Instrument:
    return read_row(row, ID, is_contract=product is USDM)


# Subscriptions: web-socket-streams.md, Live Subscribing/Unsubscribing to streams


def topics(instrument: Instrument, channel: Channel, options: Options) -> tuple[Topic, ...]:
    # The default speed has no name in topics: one with it would be acknowledged, and silent.
    default = product_of(instrument).depth_speeds[0]
    speed = "" if options.depth_speed in ("", default) else f"@{options.depth_speed}"
    interval = _INTERVALS.get(options.bar_interval, options.bar_interval)
    symbol = instrument.symbol.lower()
    return tuple(
        Topic(channel.path, text.format(symbol=symbol, speed=speed, interval=interval)) for text in channel.topics
    )


def status_topics(product: Product, instruments: Sequence[Instrument]) -> tuple[Topic, ...]:
    # websocket-market-streams/Contract-Info-Stream: of all contracts. On spot, changes are in the listing alone.
    return (Topic(_MARKET, _CONTRACTS),) if product is USDM else ()


def greeting(product: Product, credentials: Credentials | None, request_id: int, ts: int) -> bytes | None:
    return None


def encode_ping(product: Product) -> bytes | None:
    return None  # a ping of the WebSocket protocol


def encode_subscribe(topics: Sequence[str], request_id: int) -> bytes:
    return msgspec.json.encode({"method": "SUBSCRIBE", "params": topics, "id": request_id})


def encode_unsubscribe(topics: Sequence[str], request_id: int) -> bytes:
    return msgspec.json.encode({"method": "UNSUBSCRIBE", "params": topics, "id": request_id})


class _Error(msgspec.Struct):
    code: int
    msg: str


class _Contract(msgspec.Struct):
    s: str
    cs: str


class _Control(msgspec.Struct):
    id: int | None = None
    result: msgspec.UnsetType | None = msgspec.UNSET
    error: _Error | None = None
    code: int | None = None
    msg: str = ""
    e: str = ""
    stream: str = ""
    data: msgspec.Raw = msgspec.Raw()


def read_control(payload: bytes) -> list[Control]:
    # {"result":null,"id":1}
    # {"error":{"code":2,"msg":"Invalid request: ..."},"id":1}   or bare   {"code":2,"msg":"Invalid request: ..."}
    # {"e":"serverShutdown","E":1770123456789}   or wrapped   {"stream":"!serverShutdown","data":{...}}
    # {"stream":"!contractInfo","data":{"e":"contractInfo","E":1785000000000,"s":"IOTAUSDT",..,"cs":"TRADING","st":1}}
    try:
        said = msgspec.json.decode(payload, type=_Control)
        if said.stream == _CONTRACTS:
            contract = msgspec.json.decode(said.data, type=_Contract)
            return [InstrumentStatus(contract.s, STATUSES.get(contract.cs, "unknown"))]
    except (ValueError, UnicodeError):
        said = _Control()
    if said.result is None and said.id is not None:
        return [Ack(request_id=said.id)]
    if said.error is not None:
        return [Refusal(request_id=said.id, code=said.error.code, reason=said.error.msg)]
    if said.code is not None:
        return [Refusal(request_id=said.id, code=said.code, reason=said.msg)]
    if said.e == "serverShutdown" or said.stream == "!serverShutdown":
        return [Shutdown()]
    return [Unknown(payload[:256].decode("utf-8", "replace"))]


# REST


def snapshot(instrument: Instrument, levels: int) -> Call:
    product = product_of(instrument)
    # The next size up costs the same as the size in between, and USD-M knows no sizes in between.
    size = product.snapshot_size(levels)
    path = f"{_DEPTH_PATH[product.name]}?symbol={quote(instrument.symbol, safe='')}&limit={size.levels}"
    return Call(path, size.weight)


# errors.md, -1000 UNKNOWN, -1001 DISCONNECTED, -1007 TIMEOUT, -1008 SERVER_BUSY, -1016 SERVICE_SHUTTING_DOWN
_DOWN = frozenset({-1000, -1001, -1007, -1008, -1016})
_TOO_MANY_REQUESTS = -1003

# rest-api.md, IP Limits: bans last 2 minutes at least; budgets are per calendar minute
_PAUSE_S = {418: 120.0, 429: 60.0, 403: 300.0}
_BANNED = frozenset({418, 403})  # of the address


def read_rest_error(
    status: int, headers: Mapping[str, str], body: bytes, instrument: str | None = None, ts: int | None = None
) -> FastfeedError:
    # rest-api.md, HTTP Return Codes: 403 firewall, 418 banned, 429 over the limit, 5xx the venue's fault
    code, reason = _read_error(body)
    if status in _PAUSE_S or code == _TOO_MANY_REQUESTS:
        return RateLimited(ID, instrument, _pause(status, headers, reason, ts), status in _BANNED)
    # An error without a code is not the venue's own: something in front of it answered.
    if status >= 500 or status == 408 or code is None or code in _DOWN:
        return VenueDown(ID, instrument, f"status {status}: {reason}")
    return RequestRefused(ID, instrument, status, code, reason)


def _read_error(body: bytes | str) -> tuple[int | None, str]:
    # {"code":-1121,"msg":"Invalid symbol."}
    try:
        error = msgspec.json.decode(body, type=_Error)
    except (ValueError, UnicodeError):
        return None, repr(body[:80])
    return error.code, error.msg


def _pause(status: int, headers: Mapping[str, str], reason: str, ts: int | None) -> float:
    """Seconds to wait, from the best source there is; at least one, since asking again at once makes a ban longer."""
    for key, value in headers.items():
        if key.lower() == "retry-after" and (seconds := retry_after(value.strip(), ts)) is not None:
            return seconds
    # Retry-After is documented for spot only; the text of a ban names its end: "IP banned until 1785000120000."
    until = re.search(r"banned until (\d{13})\b", reason)
    if until and ts is not None:
        return min(max(int(until[1]) / 1e3 - ts / 1e9, 1.0), LONGEST_S)
    return _PAUSE_S.get(status, 60.0)


def decoder(product: Product) -> type[Any]:
    from fastfeed_core.decoders.binance import BinanceDecoder

    found: type[Any] = BinanceDecoder
    return found
