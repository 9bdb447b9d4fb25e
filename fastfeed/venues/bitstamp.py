"""What Bitstamp is, and what we send to it: spot and linear perpetuals, in one place.

Facts carry the section of www.bitstamp.net/websocket/v2 ("WebSocket") or www.bitstamp.net/api ("API") that they come
from, as of 2026-09. What was seen on the wire and is documented nowhere says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any
from urllib.parse import quote

import msgspec

from fastfeed.errors import FastfeedError, MalformedReply, RateLimited, RequestRefused, VenueDown
from fastfeed.instrument import Instrument, Kind, Status, derive_exponents
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
    Shutdown,
    SnapshotSize,
    Topic,
    Unknown,
)

ID = "bitstamp"

PRODUCT = Product(
    name="bitstamp",
    kinds=("spot", "swap"),
    # WebSocket, Connecting: one address for all markets and for private channels
    ws="wss://ws.bitstamp.net",
    rest="https://www.bitstamp.net",
    # API, Sandbox; the address of its WebSocket is undocumented (that of a client in use)
    ws_sandbox="wss://ws.sandbox.bitstamp.net",
    rest_sandbox="https://sandbox.bitstamp.net",
    # API, Market info, Markets
    listing=(Call("/api/v2/markets/", 1),),
    # WebSocket, Public channels
    channels=(
        Channel(
            name="book",
            form="order_book",
            topics=("order_book_{symbol}",),
            path="/",
            by_request=True,
            note="100 levels, every message is the whole book; the first one by REST: quiet markets send none for long",
        ),
        Channel(
            name="book",
            form="diff",
            topics=("diff_order_book_{symbol}",),
            path="/",
            by_request=True,
            chained=False,
            note="all levels; a lost message shows only when the book is verified",
        ),
        Channel(name="bbo", derived=True),
        Channel(name="trade", topics=("live_trades_{symbol}",), path="/"),
        Channel(
            name="ticker",
            topics=("funding_rate_{symbol}",),
            path="/",
            kinds=("swap",),
            opens=True,
            note="mark price, index price and funding rate, every second",
        ),
    ),
    # API, Order book: always the whole book
    snapshots=(SnapshotSize(1 << 30, 1),),
    limits=Limits(
        topics_per_connection=1000,  # WebSocket, Limits: the 1025th closes the connection without a word
        topics_per_frame=1,
        sends_per_second=50,  # undocumented
        frame_bytes=500,  # WebSocket, Limits: frames under 512 bytes
        connects=60,  # undocumented
        connects_per_s=60,
        weight_per_minute=1000,  # API, Request limits: 10,000 in 10 minutes, and 400 a second
    ),
    lifetime_s=90 * 24 * 3600,  # WebSocket, Limits
    ping_every_s=20,  # WebSocket, Heartbeat; quiet markets are silent for a minute (seen in 2026)
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
    wrong = []
    if options.depth_speed != Options().depth_speed:
        wrong.append(("depth_speed", "nothing: this venue has no choice of speeds"))
    if options.snapshot_levels < 1:
        wrong.append(("snapshot_levels", "1 or more"))
    return wrong


# Listing. Rows are read one by one, so that a malformed row costs itself and not the listing.

_Name = Annotated[str, msgspec.Meta(min_length=1)]
_Decimals = Annotated[int, msgspec.Meta(ge=0, le=18)]


class _Row(msgspec.Struct):
    market_symbol: _Name
    base_currency: _Name
    base_decimals: _Decimals
    counter_currency: _Name
    counter_decimals: _Decimals
    market_type: str
    trading: str = ""
    # of perpetuals
    payoff_type: str | None = None
    contract_size: Decimal | None = None


# ccxt's codes for assets that Bitstamp names differently
_CURRENCIES = {"UST": "USTC"}

_KINDS: dict[str, Kind] = {"SPOT": "spot", "PERPETUAL": "swap"}
_STATUS: dict[str, Status] = {"Enabled": "trading", "Disabled": "halted"}

# Nothing in the listing bounds prices or sizes, and people leave orders at absurd ones: an ask of 9,999,999,999.00 for
# ETH, a bid for 112,716,000 XRP (seen in 2022). One level that does not fit would cost the book.
_LARGEST = 10


def read_listing(body: bytes | str, product: Product | None) -> Page:
    try:
        return Page(PRODUCT, msgspec.json.decode(body, type=list[msgspec.Raw]))
    except (msgspec.MsgspecError, UnicodeError) as error:
        code, reason = _read_error(body)
        raise MalformedReply(ID, None, "listing", str(error) if code is None else f"{reason} (code {code})") from None


def read_instrument(row: msgspec.Raw, product: Product) -> Instrument:
    try:
        return _instrument(msgspec.json.decode(row, type=_Row))
    except (ValueError, UnicodeError) as error:
        raise ValueError(f"{_symbol_of(row)}: {error}") from None


def _instrument(row: _Row) -> Instrument:
    kind = _KINDS.get(row.market_type)
    if kind is None:
        raise ValueError(f"expected a market_type of {', '.join(_KINDS)}, was {row.market_type!r}")
    if kind == "swap" and row.payoff_type != "Linear":
        raise ValueError(f"expected a Linear payoff_type, was {row.payoff_type!r}")
    size = Decimal(1) if row.contract_size is None else row.contract_size
    if not (size.is_finite() and size > 0):
        raise ValueError(f"expected a positive contract_size, was {size}")
    base, quote_ = _currency(row.base_currency), _currency(row.counter_currency)
    unified = f"{base}/{quote_}"
    # A tick_size is documented, and not sent (seen in 2026): prices have counter_decimals, sizes base_decimals.
    tick, lot = (Decimal(f"1E-{decimals}") for decimals in (row.counter_decimals, row.base_decimals))
    px_exp, sz_exp = derive_exponents(tick, lot, _largest(row.counter_decimals), _largest(row.base_decimals))
    return Instrument(
        venue=ID,
        symbol=row.market_symbol,
        name=f"{ID}:{unified}" if kind == "spot" else f"{ID}:{unified}:{quote_}",
        kind=kind,
        base=base,
        quote=quote_,
        settle=quote_ if kind == "swap" else None,
        tick_size=tick,
        lot_size=lot,
        contract_size=size.normalize(),
        contract_unit=base,
        inverse=False,
        expiry=None,
        strike=None,
        option_type=None,
        status=_STATUS.get(row.trading, "unknown"),
        px_exp=px_exp,
        sz_exp=sz_exp,
    )


def _largest(decimals: int) -> Decimal:
    """The largest value to expect: ten digits before the point, or as many as an int64 has beside the decimals."""
    return Decimal(10) ** min(_LARGEST, 18 - decimals)


def _currency(code: str) -> str:
    return _CURRENCIES.get(code.upper(), code.upper())


def _symbol_of(row: msgspec.Raw) -> str:
    """The symbol of a row that may be malformed, or the row's beginning."""
    try:
        match msgspec.json.decode(row):
            case {"market_symbol": str(symbol)}:
                return symbol
    except (ValueError, UnicodeError):
        pass
    return repr(bytes(row)[:40])


# Subscriptions: WebSocket, Subscriptions. Any well-formed channel is acknowledged; one that does not exist is silent
# (seen in 2026).


def topics(instrument: Instrument, channel: Channel, options: Options) -> tuple[Topic, ...]:
    return tuple(Topic(channel.path, text.format(symbol=instrument.symbol)) for text in channel.topics)


def status_topics(product: Product, instruments: Sequence[Instrument]) -> tuple[Topic, ...]:
    return ()  # `announcements` tells halts of tokenised securities: its payload is undocumented


def greeting(product: Product, credentials: Credentials | None, request_id: int, ts: int) -> bytes | None:
    return None


def encode_ping(product: Product) -> bytes | None:
    return b'{"event":"bts:heartbeat"}'


def encode_subscribe(topics: Sequence[str], request_id: int) -> bytes:
    return _encode("bts:subscribe", topics)


def encode_unsubscribe(topics: Sequence[str], request_id: int) -> bytes:
    return _encode("bts:unsubscribe", topics)


def _encode(event: str, topics: Sequence[str]) -> bytes:
    """A request has one channel; `topics` are more only where its size is estimated."""
    return msgspec.json.encode({"event": event, "data": {"channel": ",".join(topics)}})


class _Control(msgspec.Struct):
    event: str
    channel: str = ""
    data: Any = None


def read_control(payload: bytes) -> list[Control]:
    # {"event":"bts:subscription_succeeded","channel":"order_book_btcusd","data":{}}, or bts:unsubscription_succeeded
    # {"event":"bts:error","channel":"","data":{"code":null,"message":"Invalid channel provided."}}
    # {"event":"bts:heartbeat","channel":"","data":{"status":"success"}}
    # {"event":"bts:request_reconnect","channel":"","data":null}
    try:
        said = msgspec.json.decode(payload, type=_Control)
    except (ValueError, UnicodeError):
        return [_unknown(payload)]
    match said.event:
        case "bts:subscription_succeeded" | "bts:unsubscription_succeeded" as event:
            return [Ack(topics=(said.channel,), ended=event.startswith("bts:unsub"))]
        case "bts:error":
            # The channel was empty whenever one was seen: an error does not say of what.
            error = said.data if isinstance(said.data, dict) else {}
            topics = (said.channel,) if said.channel else ()
            return [Refusal(code=error.get("code") or "", reason=str(error.get("message", "")), topics=topics)]
        case "bts:heartbeat":
            return [Pong()]
        case "bts:request_reconnect":
            return [Shutdown()]
    return [_unknown(payload)]


def _unknown(payload: bytes) -> Unknown:
    return Unknown(payload[:256].decode("utf-8", "replace"))


# REST


def snapshot(instrument: Instrument, levels: int) -> Call:
    # API, Order book: group=1 adds up the orders of a price. Replies are cached for about a second (seen in 2026).
    return Call(f"/api/v2/order_book/{quote(instrument.symbol, safe='')}/?group=1", 1)


# API, Response codes: rate limit, client rate limit, market rate limit. With which status they come is undocumented.
_TOO_MANY_REQUESTS = frozenset({"400.002", "400.067", "400.068"})

# How long to wait is undocumented. 403 without a code is the firewall in front.
_PAUSE_S = 10.0
_PAUSE_FIREWALL_S = 60.0


def read_rest_error(
    status: int, headers: Mapping[str, str], body: bytes, instrument: str | None = None, ts: int | None = None
) -> FastfeedError:
    code, reason = _read_error(body)
    if status == 429 or code in _TOO_MANY_REQUESTS:
        return RateLimited(ID, instrument, _PAUSE_S)
    if status == 403 and code is None:
        return RateLimited(ID, instrument, _PAUSE_FIREWALL_S)
    # A market that does not exist is answered with 404 and a page or nothing (seen in 2026).
    if status == 404 or (code is not None and status < 500):
        return RequestRefused(ID, instrument, status, code, reason)
    return VenueDown(ID, instrument, f"status {status}: {reason}")


def _read_error(body: bytes | str) -> tuple[str | None, str]:
    # {"status":"error","reason":"...","code":"API0005","response_code":"400.002","response_explanation":"..."}
    # {"status":"error","reason":{"__all__":["..."]}}   {"error":"..."}   {"message":"Not found."}
    # {"code":"...","message":"...","field":"..."}, also in a list
    try:
        error = msgspec.json.decode(body)
    except (ValueError, UnicodeError):
        return None, repr(body[:80])
    if isinstance(error, list) and error:
        error = error[0]
    if not isinstance(error, dict):
        return None, repr(body[:80])
    reason = next((error[key] for key in ("response_explanation", "reason", "error", "message") if error.get(key)), "")
    code = error.get("response_code") or error.get("code") or ("" if reason else None)
    return None if code is None else str(code), reason if isinstance(reason, str) else str(reason)


def decoder(product: Product) -> type[Any]:
    from fastfeed_core.decoders.bitstamp import BitstampDecoder

    found: type[Any] = BitstampDecoder
    return found
