"""What Bybit is, and what we send to it: spot, linear and inverse contracts, options, all of its v5 interface.

Facts carry the page of Bybit's documentation that they come from: bybit-exchange.github.io/docs/v5 (2026-07).

The same symbol can exist in several products (BTCUSDT), so a symbol means something on its own product's connections
only. Books come in the stream.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any
from urllib.parse import quote

import msgspec

from fastfeed.errors import FastfeedError, MalformedReply, RateLimited, RequestRefused, VenueDown
from fastfeed.instrument import Instrument, Kind, Status, derive_exponents, plain
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

ID = "bybit"

_LISTING = "/v5/market/instruments-info"

# websocket/public/orderbook, Depths: the levels that a book's topic shows. Each counts its messages by itself.
_DEPTHS = ("200", "1000", "50", "1")
_OPTION_DEPTHS = ("100", "25")

# websocket/public/kline, Available intervals; months have no fixed length and are left out
_BARS = {
    "1m": "1",
    "3m": "3",
    "5m": "5",
    "15m": "15",
    "30m": "30",
    "1h": "60",
    "2h": "120",
    "4h": "240",
    "6h": "360",
    "12h": "720",
    "1d": "D",
    "7d": "W",
}


def _channels(category: str) -> tuple[Channel, ...]:
    path = f"/v5/public/{category}"
    book = tuple(
        Channel(name="book", form=depth, topics=(f"orderbook.{depth}.{{symbol}}",), path=path, opens=True)
        for depth in (_OPTION_DEPTHS if category == "option" else _DEPTHS)
    )
    # websocket/public/ticker: openInterest of futures counts both sides
    note = "open interest of one side, half of openInterest" if category in ("linear", "inverse") else ""
    ticker = Channel(name="ticker", topics=("tickers.{symbol}",), path=path, opens=True, note=note)
    if category == "option":
        # websocket/public/trade: options are grouped by coin. Their level 1 is accepted and silent (seen in 2026).
        trade = Channel(name="trade", topics=("publicTrade.{base}",), path=path)
        return (*book, Channel(name="bbo", derived=True), trade, ticker)
    # Level 1 has a whole quote in every message, which is what a bbo is.
    quotes = Channel(name="bbo", topics=("orderbook.1.{symbol}",), path=path, opens=True)
    trade = Channel(name="trade", topics=("publicTrade.{symbol}",), path=path)
    bar = Channel(name="bar", topics=("kline.{interval}.{symbol}",), path=path)
    rows = (*book, quotes, trade, ticker, bar)
    if category == "spot":
        return rows
    # websocket/public/all-liquidation: at most every 500 ms, all of them
    return (*rows, Channel(name="liquidation", topics=("allLiquidation.{symbol}",), path=path))


def _product(category: str, kinds: tuple[Kind, ...], listing: tuple[Call, ...], topics_per_frame: int = 100) -> Product:
    return Product(
        name=category,
        kinds=kinds,
        # ws/connect, WebSocket public stream; guide, REST API Base Endpoint
        ws="wss://stream.bybit.com",
        rest="https://api.bybit.com",
        ws_sandbox="wss://stream-testnet.bybit.com",
        rest_sandbox="https://api-testnet.bybit.com",
        listing=listing,
        channels=_channels(category),
        bars=() if category == "option" else tuple(_BARS),
        limits=Limits(
            # ws/connect, Args limits: all topics of a connection together have at most 21000 characters. The longest
            # that there are have about 45; options take 2000 topics besides.
            topics_per_connection=400,
            topics_per_frame=topics_per_frame,
            sends_per_second=10,  # undocumented
            frame_bytes=20_000,  # undocumented; no more than the topics of a whole connection
            # ws/connect, IP Limits: 500 in 5 minutes to all products together, of which there are four
            connects=120,
            connects_per_s=300,
            # rate-limit, HTTP IP limit: 600 in 5 seconds to all products together
            weight_per_minute=600,
        ),
        # ws/connect, How to Send the Heartbeat Packet: the client pings, every 20 s; cut off after 10 minutes without
        ping_every_s=20,
        mute_after_s=50,
    )


# market/instrument: pages have 500 rows unless asked for more, and 1000 at most; spot has one page; options are listed
# by coin, and of BTC unless one is named. Which coins have options is undocumented; these had in 2026.
_OPTION_COINS = ("BTC", "ETH", "SOL", "XRP", "MNT", "DOGE")

# ws/connect, Args limits: spot takes 10 topics in a request; for the others there is no such limit
SPOT = _product("spot", ("spot",), (Call(f"{_LISTING}?category=spot", 1),), 10)
LINEAR = _product("linear", ("swap", "future"), (Call(f"{_LISTING}?category=linear&limit=1000", 1),))
INVERSE = _product("inverse", ("swap", "future"), (Call(f"{_LISTING}?category=inverse&limit=1000", 1),))
OPTION = _product(
    "option",
    ("option",),
    tuple(Call(f"{_LISTING}?category=option&limit=1000&baseCoin={coin}", 1) for coin in _OPTION_COINS),
)

PRODUCTS = (SPOT, LINEAR, INVERSE, OPTION)
_BY_NAME = {product.name: product for product in PRODUCTS}

# rate-limit, API Rate Limit: the headers tell of an endpoint's own limit, not of the address's
USED_WEIGHT_HEADER: str | None = None

# What stands behind the colon of an option's unified symbol: USDC-261225-70000-C
_OPTION_SETTLE = re.compile(r"[^-]+-[^-]+-[^-]+-[^-]+")


def products_for(pattern: str) -> tuple[Product, ...]:
    pair, colon, settle = pattern.partition(":")
    if "*" in pattern or "?" in pattern:
        if colon:
            return (LINEAR, INVERSE, OPTION)
        # "BTC/*" can mean BTC/USDT:USDT too; a wildcard before a slash cannot reach the colon.
        _, slash, rest = pair.partition("/")
        return (SPOT,) if slash and "*" not in rest and "?" not in rest else PRODUCTS
    if not colon:
        return (SPOT,)
    if _OPTION_SETTLE.fullmatch(settle):
        return (OPTION,)
    return (INVERSE,) if pair.partition("/")[0] == settle.partition("-")[0] else (LINEAR,)


def product_of(instrument: Instrument) -> Product:
    if instrument.kind == "spot":
        return SPOT
    if instrument.kind == "option":
        return OPTION
    return INVERSE if instrument.inverse else LINEAR


def check_options(options: Options) -> list[tuple[str, str]]:
    return [] if options.depth_speed == Options().depth_speed else [("depth_speed", "no choice on this venue")]


# Listing. Rows are read one by one, so that a malformed row costs itself and not the listing.

_Name = Annotated[str, msgspec.Meta(min_length=1)]


class _Reply(msgspec.Struct, rename="camel"):
    ret_code: int
    ret_msg: str = ""
    result: msgspec.Raw = msgspec.Raw(b"{}")


class _Listing(msgspec.Struct, rename="camel"):
    category: str
    rows: list[msgspec.Raw] = msgspec.field(name="list")
    next_page_cursor: str = ""


class _Coin(msgspec.Struct, rename="camel"):
    base_coin: _Name


class _Prices(msgspec.Struct, rename="camel"):
    tick_size: Decimal
    max_price: Decimal | None = None


class _Lots(msgspec.Struct, rename="camel"):
    qty_step: Decimal | None = None
    base_precision: Decimal | None = None  # spot's word for the step
    max_order_qty: Decimal | None = None
    max_limit_order_qty: Decimal | None = None


class _Row(msgspec.Struct, rename="camel"):
    symbol: _Name
    base_coin: _Name
    quote_coin: _Name
    price_filter: _Prices
    lot_size_filter: _Lots
    status: str = ""
    # not spot
    contract_type: str = ""
    settle_coin: str = ""
    delivery_time: str = "0"
    options_type: str = ""


# enum, status; others are unknown
_STATUS: dict[str, Status] = {
    "Trading": "trading",
    "PreLaunch": "pending",
    "Delivering": "closed",
    "Closed": "closed",
}

_LAST_MS = (2**63 - 1) // 10**6  # ns since the epoch fit an int64


def read_listing(body: bytes | str, product: Product | None) -> Page:
    try:
        reply = msgspec.json.decode(body, type=_Reply)
        listing = msgspec.json.decode(reply.result, type=_Listing) if reply.ret_code == 0 else None
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise MalformedReply(ID, None, "listing", str(error)) from None
    if listing is None:
        # Errors come with status 200.
        raise _error_of(200, reply.ret_code, reply.ret_msg, None)
    actual = _BY_NAME.get(listing.category)
    if actual is None or product not in (None, actual):
        wanted = ", ".join(_BY_NAME) if product is None else product.name
        raise MalformedReply(ID, None, "listing", f"expected rows of {wanted}, was {listing.category!r}")
    more = (_next_page(actual, listing),) if listing.next_page_cursor and listing.rows else ()
    return Page(actual, listing.rows, more)


def _next_page(product: Product, listing: _Listing) -> Call:
    """The call for what lies behind a cursor, which comes percent-encoded."""
    call = product.listing[0]
    path = call.path
    if product is OPTION:
        try:
            coin = msgspec.json.decode(listing.rows[0], type=_Coin).base_coin
        except (msgspec.MsgspecError, UnicodeError) as error:
            raise MalformedReply(ID, None, "listing", f"a page of which coin? {error}") from None
        path = f"{path.rpartition('=')[0]}={quote(coin, safe='')}"
    return Call(f"{path}&cursor={listing.next_page_cursor}", call.weight)


def read_instrument(row: msgspec.Raw, product: Product) -> Instrument:
    try:
        return _instrument(msgspec.json.decode(row, type=_Row), product)
    except (ValueError, UnicodeError) as error:
        raise ValueError(f"{_symbol_of(row)}: {error}") from None


def _instrument(row: _Row, product: Product) -> Instrument:
    lots = row.lot_size_filter
    lot = lots.base_precision if product is SPOT else lots.qty_step
    if lot is None:
        raise ValueError(f"expected a step of sizes ({'basePrecision' if product is SPOT else 'qtyStep'}), was none")
    most = max((each for each in (lots.max_order_qty, lots.max_limit_order_qty) if each is not None), default=None)
    tick = row.price_filter.tick_size
    px_exp, sz_exp = derive_exponents(tick, lot, row.price_filter.max_price or None, most or None)
    base, quote_ = _currency(row.base_coin), _currency(row.quote_coin)
    kind = _kind(row, product)
    unified, settle, expiry, strike = f"{base}/{quote_}", None, None, None
    if kind != "spot":
        if not row.settle_coin:
            raise ValueError("expected a settleCoin, was none")
        settle = _currency(row.settle_coin)
        unified += f":{settle}"
    # A deliveryTime of a perpetual is when it will be delisted.
    if kind in ("future", "option"):
        expiry = _expiry(row)
        unified += f"-{datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=expiry // 1000):%y%m%d}"
    if kind == "option":
        strike, letter = _strike(row)
        unified += f"-{strike}-{letter}"
    inverse = settle == base
    return Instrument(
        venue=ID,
        symbol=row.symbol,
        name=f"{ID}:{unified}",
        kind=kind,
        base=base,
        quote=quote_,
        settle=settle,
        tick_size=plain(tick),
        lot_size=plain(lot),
        # enum, category: sizes of inverse contracts are in the quote currency, all others in the base
        contract_size=Decimal(1),
        contract_unit=quote_ if inverse else base,
        inverse=inverse,
        expiry=expiry,
        strike=None if strike is None else plain(strike),
        option_type=None if kind != "option" else "call" if row.options_type == "Call" else "put",
        status=_STATUS.get(row.status, "unknown"),
        px_exp=px_exp,
        sz_exp=sz_exp,
    )


def _kind(row: _Row, product: Product) -> Kind:
    if product is SPOT:
        return "spot"
    if product is OPTION:
        return "option"
    # enum, contractType
    kinds: dict[str, Kind] = {
        "LinearPerpetual": "swap",
        "LinearFutures": "future",
        "InversePerpetual": "swap",
        "InverseFutures": "future",
    }
    if row.contract_type not in kinds:
        raise ValueError(f"expected a contractType ({', '.join(kinds)}), was {row.contract_type!r}")
    return kinds[row.contract_type]


def _expiry(row: _Row) -> int:
    """When it is delivered, ns."""
    text = row.delivery_time
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= _LAST_MS):
        raise ValueError(f"expected a deliveryTime in ms, was {text!r}")
    return int(text) * 10**6


def _strike(row: _Row) -> tuple[Decimal, str]:
    """The strike, which stands in the symbol alone (BTC-25DEC26-70000-C-USDT), and the letter of the kind."""
    letter = {"Call": "C", "Put": "P"}.get(row.options_type)
    parts = row.symbol.split("-")
    if letter is None or len(parts) not in (4, 5) or parts[3] != letter:
        raise ValueError(f"expected a symbol with a strike and the letter of a {row.options_type!r}, was {row.symbol}")
    if not re.fullmatch(r"\d+(\.\d+)?", parts[2], re.ASCII):
        raise ValueError(f"expected a strike, was {parts[2]!r}")
    return Decimal(parts[2]), letter


# ccxt's codes for currencies that Bybit could name differently
_CURRENCIES = {"XBT": "BTC", "BCHSV": "BSV"}


def _currency(coin: str) -> str:
    code = coin.upper()
    return _CURRENCIES.get(code, code)


def _symbol_of(row: msgspec.Raw) -> str:
    """The symbol of a row that may be malformed, or the row's beginning."""
    try:
        match msgspec.json.decode(row):
            case {"symbol": str(symbol)}:
                return symbol
    except (ValueError, UnicodeError):
        pass
    return repr(bytes(row)[:40])


# Subscriptions: ws/connect, How to Subscribe to Topics and Understanding the Subscription Response


def topics(instrument: Instrument, channel: Channel, options: Options) -> tuple[Topic, ...]:
    symbol = instrument.symbol
    base, interval = symbol.partition("-")[0], _BARS.get(options.bar_interval, "")
    texts = [text.format(symbol=symbol, base=base, interval=interval) for text in channel.topics]
    # One coin's options share their trades. A book of level 1 is the quotes' topic: it brings them too.
    is_group = channel.name == "trade" and instrument.kind == "option"
    carrier = "book" if channel.name == "bbo" and options.book == "1" else None
    return tuple(Topic(channel.path, text, carrier=carrier, group=is_group) for text in texts)


def status_topics(product: Product, instruments: Sequence[Instrument]) -> tuple[Topic, ...]:
    return ()  # changes of status are in the listing alone


def greeting(product: Product, credentials: Credentials | None, request_id: int, ts: int) -> bytes | None:
    return None


def encode_ping(product: Product) -> bytes | None:
    # ws/connect, How to Send the Heartbeat Packet: a message, not a frame of the WebSocket protocol
    return b'{"op":"ping"}'


def encode_subscribe(topics: Sequence[str], request_id: int) -> bytes:
    return msgspec.json.encode({"req_id": str(request_id), "op": "subscribe", "args": topics})


def encode_unsubscribe(topics: Sequence[str], request_id: int) -> bytes:
    return msgspec.json.encode({"req_id": str(request_id), "op": "unsubscribe", "args": topics})


class _Topics(msgspec.Struct, rename="camel"):
    success_topics: tuple[str, ...] | None = None
    fail_topics: tuple[str, ...] | None = None


class _Control(msgspec.Struct):
    success: bool | None = None
    ret_msg: str = ""
    op: str = ""
    req_id: str | None = None
    type: str = ""
    data: _Topics | None = None


_ALREADY = re.compile(r"already subscribed,topic:(\S+)")


def read_control(payload: bytes) -> list[Control]:
    # {"success":true,"ret_msg":"","conn_id":"..","req_id":"1","op":"subscribe"}    spot: "ret_msg":"subscribe"
    # {"success":false,"ret_msg":"error:handler not found,topic:x","conn_id":"..","req_id":"1","op":"subscribe"}
    # {"success":false,"ret_msg":"error:already subscribed,topic:x","conn_id":"..","req_id":"1","op":"subscribe"}
    # {"success":true,"ret_msg":"pong","conn_id":"..","op":"ping"}    options: {"args":["1672916271846"],"op":"pong"}
    # options: {"success":true,"conn_id":"..","data":{"failTopics":[],"successTopics":["x"]},"type":"COMMAND_RESP"}
    try:
        said = msgspec.json.decode(payload, type=_Control)
    except (ValueError, UnicodeError):
        said = _Control()
    if said.op == "pong" or said.ret_msg == "pong":
        return [Pong()]
    if said.type == "COMMAND_RESP" and said.data is not None:
        return _read_topics(said.data)
    # The page shows answers with and without the request's id.
    text = said.req_id or ""
    request_id = int(text) if text.isascii() and text.isdigit() else None
    if said.success is False:
        # A bad topic refuses all of its request, though the text names only that one (undocumented, seen in 2026).
        refusal = Refusal(request_id=request_id, reason=said.ret_msg)
        # So does one that is in force: it is taken, and the others of its request are asked for again.
        named = _ALREADY.search(said.ret_msg)
        return [refusal] if named is None else [Ack(request_id=request_id, topics=(named[1],)), refusal]
    if said.success and said.op in ("subscribe", "unsubscribe"):
        return [Ack(request_id=request_id, ended=said.op == "unsubscribe")]
    return [Unknown(payload[:256].decode("utf-8", "replace"))]


def _read_topics(said: _Topics) -> list[Control]:
    """What the sockets of options answer: by topic, to a subscription as to its end."""
    taken = said.success_topics or ()
    # A topic is in one request at a time: of these two, one finds it.
    found: list[Control] = [Ack(topics=taken), Ack(topics=taken, ended=True)] if taken else []
    if said.fail_topics:
        found.append(Refusal(topics=said.fail_topics, reason="one of the failTopics"))
    return found


# REST


def snapshot(instrument: Instrument, levels: int) -> Call:
    raise NotImplementedError("books come in the stream")


# error, UTA; rate-limit: 10006 is an endpoint's own limit, of a second
_TOO_MANY = frozenset({429, 10006, 10018})
_DOWN = frozenset({10000, 10016})

# rate-limit, HTTP IP limit: whoever gets a 403 shall wait for 10 minutes. error, HTTP Code: 429 is the system's own.
_PAUSE_S = {403: 600.0, 429: 5.0, 200: 1.0}


def read_rest_error(
    status: int, headers: Mapping[str, str], body: bytes, instrument: str | None = None, ts: int | None = None
) -> FastfeedError:
    try:
        reply = msgspec.json.decode(body, type=_Reply)
    except (ValueError, UnicodeError):
        return _error_of(status, None, repr(body[:80]), instrument)
    return _error_of(status, reply.ret_code, reply.ret_msg, instrument)


def _error_of(status: int, code: int | None, reason: str, instrument: str | None) -> FastfeedError:
    # guide, error: addresses of some countries get a 403, too, and no pause helps them.
    if status == 403 and "too frequent" not in reason:
        return RequestRefused(ID, instrument, status, code, f"this address is not served: {reason}")
    if status in (403, 429) or code in _TOO_MANY:
        return RateLimited(ID, instrument, _PAUSE_S.get(status, 1.0))
    # An error without a code is not the venue's own: something in front of it answered.
    if status >= 500 or status == 408 or code is None or code in _DOWN:
        return VenueDown(ID, instrument, f"status {status}: {reason}")
    return RequestRefused(ID, instrument, status, code, reason)


def decoder(product: Product) -> type[Any]:
    from fastfeed_core.decoders.bybit import BybitDecoder

    found: type[Any] = BybitDecoder
    return found
