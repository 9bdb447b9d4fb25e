"""What Kraken Futures is, and what we send to it: inverse and linear perpetuals and dated futures.

Facts carry the page and section of the venue's documentation that they come from: pages of docs.kraken.com, "Futures
WebSocket" (WS) and "Futures REST" (REST), as of 2026, and articles of support.kraken.com.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec

from fastfeed.errors import FastfeedError, MalformedReply, RateLimited, RequestRefused, VenueDown
from fastfeed.instrument import Instrument, Status, derive_exponents, plain
from fastfeed.pause import retry_after
from fastfeed.venues.spec import (
    Ack,
    Call,
    Channel,
    Control,
    Credentials,
    Limits,
    Options,
    Page,
    Pong,
    Product,
    Refusal,
    Topic,
    Unknown,
)

ID = "krakenfutures"

_PATH = "/ws/v1"

PRODUCT = Product(
    name=ID,
    kinds=("swap", "future"),
    # WS, Introduction, WebSocket URL; REST, Introduction, API URLs: there is one place for all kinds of contracts
    ws="wss://futures.kraken.com",
    rest="https://futures.kraken.com",
    ws_sandbox="wss://demo-futures.kraken.com",
    rest_sandbox="https://demo-futures.kraken.com",
    # REST, Get instruments; "Futures rate limits": public calls cost nothing
    listing=(Call("/derivatives/api/v3/instruments", 1),),
    # WS, Book, Trade, Ticker: no channel of quotes, and none of liquidations, which are trades of their own type
    channels=(
        Channel(name="book", topics=("book:{symbol}",), path=_PATH, opens=True),
        Channel(name="bbo", derived=True),
        Channel(name="trade", topics=("trade:{symbol}",), path=_PATH),
        Channel(
            name="ticker",
            topics=("ticker:{symbol}",),
            path=_PATH,
            opens=True,
            note="once a second; funding is relative",
        ),
        Channel(name="liquidation", topics=("trade:{symbol}",), path=_PATH, note="trades of the type liquidation"),
    ),
    # "Futures rate limits", WebSocket limits: 100 connections, 100 requests a second on each. What is sent faster is
    # lost without an answer.
    limits=Limits(
        topics_per_connection=600,  # undocumented; half of the listing, book and trades
        sends_per_second=90,
        frame_bytes=8000,  # undocumented
        connects=60,  # undocumented; connections are counted, not attempts
        connects_per_s=60,
        weight_per_minute=60,
    ),
    # support.kraken.com, "Subscriptions - Websockets API - Derivatives": a ping at least every 60 seconds
    ping_every_s=25,
    mute_after_s=60,
    acks_topics=True,
)

PRODUCTS = (PRODUCT,)

USED_WEIGHT_HEADER: str | None = None


def products_for(pattern: str) -> tuple[Product, ...]:
    return PRODUCTS


def product_of(instrument: Instrument) -> Product:
    return PRODUCT


def check_options(options: Options) -> list[tuple[str, str]]:
    if options.depth_speed not in ("", Options().depth_speed):
        return [("depth_speed", "nothing: every change is sent at once")]
    return []


# Listing. Rows are read one by one, so that a malformed row costs itself and not the listing.

_Name = Annotated[str, msgspec.Meta(min_length=1)]


class _Listing(msgspec.Struct):
    result: str
    instruments: list[msgspec.Raw] | None = None
    error: str = ""
    errors: list[Any] = []


class _Type(msgspec.Struct):
    type: str = ""


class _Row(msgspec.Struct, rename="camel"):
    symbol: _Name
    type: str
    tick_size: Decimal
    contract_size: Decimal
    contract_value_trade_precision: Annotated[int, msgspec.Meta(ge=-18, le=18)] = 0  # whole contracts had none in 2021
    max_position_size: Decimal | None = None
    last_trading_time: str | None = None
    tradeable: bool = False
    is_expired: bool = False


# REST, Get instruments, type: whether a contract is of one USD and settles in the coin, or is of the coin.
_INVERSE = {"futures_inverse": True, "flexible_futures": False, "futures_vanilla": False}

# Listed beside them, and nothing that has a book here: options, and (until 2021 at least) indexes.
_OTHER_TYPES = ("options", "spot index", "real-time index", "reference rate")

_SYMBOL = re.compile(r"[A-Z]{2}_(?P<base>[A-Z0-9]+)USD(_\d{6})?", re.ASCII | re.IGNORECASE)

# ccxt's codes for assets that Kraken names differently
_CURRENCIES = {"XBT": "BTC", "BCHSV": "BSV"}

_LIMITED, _PAUSE_S = "apiLimitExceeded", 10.0  # "Futures rate limits": budgets are per 10 seconds

# REST, Response codes
_DOWN = ("Unavailable", "Server Error", "marketUnavailable", "unknownError")


def read_listing(body: bytes | str, product: Product | None) -> Page:
    try:
        listing = msgspec.json.decode(body, type=_Listing)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise MalformedReply(ID, None, "listing", str(error)) from None
    if listing.instruments is None:
        # Errors come with status 200, too.
        raise _error(200, listing.error or str(listing.errors), None)
    rows = [row for row in listing.instruments if _type_of(row) not in _OTHER_TYPES]
    return Page(PRODUCT, rows)


def _type_of(row: msgspec.Raw) -> str:
    try:
        return msgspec.json.decode(row, type=_Type).type
    except (ValueError, UnicodeError):
        return ""


def read_instrument(row: msgspec.Raw, product: Product) -> Instrument:
    try:
        return _instrument(msgspec.json.decode(row, type=_Row))
    except (ValueError, UnicodeError) as error:
        raise ValueError(f"{_symbol_of(row)}: {error}") from None


def _instrument(row: _Row) -> Instrument:
    if row.type not in _INVERSE:
        raise ValueError(f"expected a type of {', '.join(_INVERSE)}, was {row.type}")
    named = _SYMBOL.fullmatch(row.symbol)
    if named is None:
        raise ValueError("expected a symbol such as PF_XBTUSD")
    if not row.contract_size > 0:
        raise ValueError(f"expected a positive contractSize, was {row.contract_size}")
    inverse = _INVERSE[row.type]
    lot = Decimal(1).scaleb(-row.contract_value_trade_precision)
    px_exp, sz_exp = derive_exponents(row.tick_size, lot, None, row.max_position_size or None)
    base = named["base"].upper()
    base = _CURRENCIES.get(base, base)
    settle = base if inverse else "USD"
    unified = f"{base}/USD:{settle}"
    kind: Literal["swap", "future"] = "swap"
    expiry = None
    if row.last_trading_time is not None:
        kind = "future"
        ends = datetime.fromisoformat(row.last_trading_time).astimezone(UTC)
        expiry = round(ends.timestamp() * 1000) * 10**6
        unified = f"{unified}-{ends:%y%m%d}"
    status: Status = "closed" if row.is_expired else "trading" if row.tradeable else "halted"
    return Instrument(
        venue=ID,
        symbol=row.symbol,
        name=f"{ID}:{unified}",
        kind=kind,
        base=base,
        quote="USD",
        settle=settle,
        tick_size=plain(row.tick_size),
        lot_size=plain(lot),
        contract_size=plain(row.contract_size),
        contract_unit="USD" if inverse else base,
        inverse=inverse,
        expiry=expiry,
        strike=None,
        option_type=None,
        status=status,
        px_exp=px_exp,
        sz_exp=sz_exp,
    )


def _symbol_of(row: msgspec.Raw) -> str:
    """The symbol of a row that may be malformed, or the row's beginning."""
    try:
        match msgspec.json.decode(row):
            case {"symbol": str(symbol)}:
                return symbol
    except (ValueError, UnicodeError):
        pass
    return repr(bytes(row)[:40])


# Subscriptions: WS, Subscriptions. A topic is our own text, feed and product; one request has one feed.


def topics(instrument: Instrument, channel: Channel, options: Options) -> tuple[Topic, ...]:
    # Symbols are the same in any case, and in capitals in messages (REST, Introduction, Symbols).
    symbol = instrument.symbol.upper()
    carrier = "trade" if channel.name == "liquidation" else None
    return tuple(
        Topic(channel.path, text.format(symbol=symbol), frame=text.partition(":")[0], carrier=carrier)
        for text in channel.topics
    )


def status_topics(product: Product, instruments: Sequence[Instrument]) -> tuple[Topic, ...]:
    return ()  # changes of status are in the listing alone


def greeting(product: Product, credentials: Credentials | None, request_id: int, ts: int) -> bytes | None:
    return None


def encode_ping(product: Product) -> bytes | None:
    return None  # a ping of the WebSocket protocol


def encode_subscribe(topics: Sequence[str], request_id: int) -> bytes:
    return _encode("subscribe", topics)


def encode_unsubscribe(topics: Sequence[str], request_id: int) -> bytes:
    return _encode("unsubscribe", topics)


def _encode(event: str, topics: Sequence[str]) -> bytes:
    # {"event":"subscribe","feed":"book","product_ids":["PI_XBTUSD","PF_ETHUSD"]}: no id, and no reply repeats one
    feed = topics[0].partition(":")[0]
    return msgspec.json.encode(
        {"event": event, "feed": feed, "product_ids": [topic.partition(":")[2] for topic in topics]}
    )


class _Control(msgspec.Struct):
    event: str
    feed: str = ""
    product_ids: list[str] = []
    message: str = ""


def read_control(payload: bytes) -> list[Control]:
    # {"event":"info","version":1}
    # {"event":"subscribed","feed":"book","product_ids":["PI_XBTUSD"]}   one for each product, or one for all
    # {"event":"alert","message":"Already subscribed to feed, re-requesting"}
    # {"event":"error","message":"Invalid product id"}
    try:
        said = msgspec.json.decode(payload, type=_Control)
    except (ValueError, UnicodeError):
        return [_unknown(payload)]
    named = tuple(f"{said.feed}:{product.upper()}" for product in said.product_ids)
    match said.event:
        case "info":
            return [Pong(False)]
        case "subscribed" | "unsubscribed" if named:
            return [Ack(topics=named, ended=said.event == "unsubscribed")]
        case "subscribed_failed" | "unsubscribed_failed" if named:
            return [Refusal(reason=said.message or said.event, topics=named)]
        case "alert" if said.message.startswith("Already subscribed"):
            return [Pong(False)]  # the acknowledgement and the snapshot follow
        case "alert" if said.message.startswith("Not subscribed"):
            return [Refusal(reason=said.message)]
        case "error":
            return [Refusal(reason=said.message)]
    return [_unknown(payload)]


def _unknown(payload: bytes) -> Unknown:
    return Unknown(payload[:256].decode("utf-8", "replace"))


# REST


def snapshot(instrument: Instrument, levels: int) -> Call:
    raise NotImplementedError("books come in the stream")


class _Error(msgspec.Struct):
    error: str


def read_rest_error(
    status: int, headers: Mapping[str, str], body: bytes, instrument: str | None = None, ts: int | None = None
) -> FastfeedError:
    # {"result":"error","serverTime":"2026-07-24T08:00:00.000Z","error":"apiLimitExceeded"}
    try:
        reason = msgspec.json.decode(body, type=_Error).error
    except (ValueError, UnicodeError):
        reason = ""
    for key, value in headers.items():
        if status == 429 and key.lower() == "retry-after" and (seconds := retry_after(value.strip(), ts)) is not None:
            return RateLimited(ID, instrument, seconds)
    return _error(status, reason or repr(body[:80]), instrument, known=bool(reason))


def _error(status: int, reason: str, instrument: str | None, known: bool = True) -> FastfeedError:
    if reason == _LIMITED or status == 429:
        return RateLimited(ID, instrument, _PAUSE_S)
    # An error that is not in the venue's words: something in front of it answered.
    if status >= 500 or status == 408 or not known or reason in _DOWN:
        return VenueDown(ID, instrument, f"status {status}: {reason}")
    return RequestRefused(ID, instrument, status, None, reason)


def decoder(product: Product) -> type[Any]:
    from fastfeed_core.decoders.krakenfutures import KrakenFuturesDecoder

    found: type[Any] = KrakenFuturesDecoder
    return found
