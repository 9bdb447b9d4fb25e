"""What Deribit is, and what we send to it: perpetuals, futures, options and spot on one socket.

Facts carry the page and section of docs.deribit.com that they come from, as of July 2026.

Amounts are what sizes are: USD on inverse futures, the base coin on everything else. The `contract_size` of the listing
turns amounts into contracts and has nothing to do with books.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec

from fastfeed.errors import FastfeedError, MalformedReply, RateLimited, RequestRefused, VenueDown
from fastfeed.instrument import Instrument, Kind, Status, derive_exponents, plain
from fastfeed.venues.spec import (
    Ack,
    Answer,
    Call,
    Channel,
    Control,
    Credentials,
    InstrumentStatus,
    Limits,
    Options,
    Page,
    Pong,
    Product,
    Refusal,
    Shutdown,
    Topic,
    Unknown,
)

ID = "deribit"

# articles/json-rpc-overview, Websockets
_PATH = "/ws/api/v2"
_CONTRACTS: tuple[Kind, ...] = ("swap", "future", "option")

# subscriptions/market-data/charttradesinstrument_nameresolution, resolution
_RESOLUTIONS = {
    "1m": "1",
    "3m": "3",
    "5m": "5",
    "10m": "10",
    "15m": "15",
    "30m": "30",
    "1h": "60",
    "2h": "120",
    "3h": "180",
    "6h": "360",
    "12h": "720",
    "1d": "1D",
}


def _book(form: str, note: str = "", login: bool = False) -> Channel:
    topics = (f"book.{{symbol}}.{form}",)
    return Channel(name="book", form=form, topics=topics, path=_PATH, opens=True, login=login, note=note)


DERIBIT = Product(
    name="deribit",
    ws="wss://www.deribit.com",
    rest="https://www.deribit.com",
    ws_sandbox="wss://test.deribit.com",
    rest_sandbox="https://test.deribit.com",
    # api-reference/market-data/public-get_instruments
    listing=(Call("/api/v2/public/get_instruments?currency=any", 1),),
    channels=(
        # subscriptions/orderbook/bookinstrument_nameinterval
        _book("100ms"),
        _book("agg2", "about one message a second"),
        _book("raw", "every change", login=True),
        # subscriptions/orderbook/bookinstrument_namegroupdepthinterval: whole books of so many levels, without changes
        _book("none.20.100ms", "20 levels, every message whole"),
        _book("none.10.100ms", "10 levels, every message whole"),
        _book("none.1.100ms", "the touch, every message whole"),
        # subscriptions/market-data/quoteinstrument_name
        Channel(name="bbo", topics=("quote.{symbol}",), path=_PATH, opens=True),
        # subscriptions/trades/tradesinstrument_nameinterval
        Channel(name="trade", form="100ms", topics=("trades.{symbol}.100ms",), path=_PATH),
        Channel(name="trade", form="raw", topics=("trades.{symbol}.raw",), path=_PATH, login=True),
        # subscriptions/market-data/tickerinstrument_nameinterval
        Channel(name="ticker", topics=("ticker.{symbol}.100ms",), path=_PATH, opens=True),
        # subscriptions/market-data/charttradesinstrument_nameresolution
        Channel(
            name="bar",
            topics=("chart.trades.{symbol}.{resolution}",),
            path=_PATH,
            note="the venue does not say when one is closed",
        ),
        # subscriptions/trades/tradesinstrument_nameinterval, liquidation: trades say whose order was forced
        Channel(
            name="liquidation",
            topics=("trades.{symbol}.{trades}",),
            path=_PATH,
            kinds=_CONTRACTS,
            note="from trades; of two forced orders in one trade, the taker's",
        ),
    ),
    bars=tuple(_RESOLUTIONS),
    limits=Limits(
        # No limit is known, but of connections there are 32, and some 6,000 instruments are listed. Beyond thousands of
        # books the venue closes for slow reading.
        topics_per_connection=2000,
        topics_per_frame=500,  # articles/market-data-collection-best-practices
        sends_per_second=3,  # articles/rate-limits: 3.3 subscribe calls, after a burst of 10
        sends_shared=True,  # ... of a subaccount, or an address
        frame_bytes=30_000,  # undocumented: over 32 KiB it is "request entity too large" (users' reports, 2024-12)
        connects=30,  # articles/connection-management: 32 connections and calls at a time
        connects_per_s=60,
        weight_per_minute=50,  # articles/rate-limits, public/get_instruments: 1 a second, after a burst of 50
    ),
    # public/test is answered on every connection. A still book is silent, and a connection without a subscription is
    # closed after a minute.
    ping_every_s=15,
    ping_when_silent=True,
    mute_after_s=40,
)

PRODUCTS = (DERIBIT,)

USED_WEIGHT_HEADER: str | None = None


def products_for(pattern: str) -> tuple[Product, ...]:
    return PRODUCTS


def product_of(instrument: Instrument) -> Product:
    return DERIBIT


def check_options(options: Options) -> list[tuple[str, str]]:
    if options.depth_speed not in ("", Options().depth_speed):
        return [("depth_speed", 'no choice: the forms of the book, such as book = "agg2", have speeds')]
    return []


# Listing. Rows are read one by one, so that a malformed row costs itself and not the listing.

_Name = Annotated[str, msgspec.Meta(min_length=1)]


class _Listing(msgspec.Struct):
    result: list[msgspec.Raw]


class _Shape(msgspec.Struct):
    kind: str = ""


class _Step(msgspec.Struct):
    tick_size: Decimal


class _Row(msgspec.Struct):
    instrument_name: _Name
    kind: Literal["spot", "future", "option"]
    base_currency: _Name
    quote_currency: _Name
    tick_size: Decimal
    min_trade_amount: Decimal
    contract_size: Decimal
    # Missing before 2022, when everything settled in its base.
    counter_currency: str = ""
    settlement_currency: str | None = None
    settlement_period: str | None = None
    expiration_timestamp: int = 0  # of perpetuals: in the year 3000
    strike: Decimal | None = None
    option_type: Literal["call", "put"] | None = None
    tick_size_steps: list[_Step] = []
    block_trade_tick_size: Decimal | None = None
    state: str = ""
    is_active: bool = True


# articles/combo-books: combinations of instruments, whose prices may be negative. They have no unified name.
_COMBOS = ("future_combo", "option_combo")

_MAX_MS = (2**63 - 1) // 10**6  # ns since the epoch fit an int64

# ccxt's codes for assets
_CURRENCIES = {"XBT": "BTC", "BCHSV": "BSV"}

# api-reference/market-data/public-get_instruments, state (since 2026-01-13); cancels are taken while it is locked
_STATUS: dict[str, Status] = {
    "open": "trading",
    "settlement": "halted",
    "halted": "halted",
    "locked": "cancel_only",
    "inactive": "closed",
    "delivered": "closed",
    "archivized": "closed",
}


def read_listing(body: bytes | str, product: Product | None) -> Page:
    try:
        rows = msgspec.json.decode(body, type=_Listing).result
    except (msgspec.MsgspecError, UnicodeError) as error:
        code, reason = _read_error(body)
        said = str(error) if code is None else f"{reason} (code {code})"
        raise MalformedReply(ID, None, "listing", said) from None
    return Page(DERIBIT, [row for row in rows if _kind_of(row) not in _COMBOS])


def _kind_of(row: msgspec.Raw) -> str:
    try:
        return msgspec.json.decode(row, type=_Shape).kind
    except (ValueError, UnicodeError):
        return ""  # read_instrument says what is wrong with it


def read_instrument(row: msgspec.Raw, product: Product) -> Instrument:
    try:
        return _instrument(msgspec.json.decode(row, type=_Row))
    except (ValueError, UnicodeError) as error:
        raise ValueError(f"{_symbol_of(row)}: {error}") from None


def _instrument(row: _Row) -> Instrument:
    # Prices between steps have a coarser tick, those of blocks may have a finer one.
    tick = min([row.tick_size, *(step.tick_size for step in row.tick_size_steps)])
    lot = min(row.min_trade_amount, row.contract_size)
    px_exp, sz_exp = derive_exponents(min(tick, row.block_trade_tick_size or tick), lot)
    base = _currency(row.base_currency)
    quote = _currency(row.counter_currency or ("USD" if row.kind == "option" else row.quote_currency))
    kind: Kind = row.kind
    settle = expiry = None
    unified = f"{base}/{quote}"
    if kind != "spot":
        settle = base if row.settlement_currency is None else _currency(row.settlement_currency)
        if settle not in (base, quote):
            raise ValueError(f"expected a contract that settles in {base} or {quote}, was {settle or 'none'}")
        unified += f":{settle}"
        if kind == "future" and row.settlement_period == "perpetual":
            kind = "swap"
        else:
            expiry, day = _expiry(row)
            unified += f"-{day}"
    if kind == "option":
        if row.strike is None or row.option_type is None:
            raise ValueError("expected a strike and an option_type, was none")
        unified += f"-{plain(row.strike):f}-{row.option_type[0].upper()}"
    is_inverse = settle == base
    return Instrument(
        venue=ID,
        symbol=row.instrument_name,
        name=f"{ID}:{unified}",
        kind=kind,
        base=base,
        quote=quote,
        settle=settle,
        tick_size=plain(tick),
        lot_size=plain(lot),
        contract_size=Decimal(1),
        # Amounts of options are coins, also where they settle in the coin.
        contract_unit=quote if is_inverse and kind != "option" else base,
        inverse=is_inverse,
        expiry=expiry,
        strike=None if row.strike is None else plain(row.strike),
        option_type=row.option_type,
        status=_STATUS.get(row.state, "unknown") if row.state else "trading" if row.is_active else "closed",
        px_exp=px_exp,
        sz_exp=sz_exp,
    )


def _expiry(row: _Row) -> tuple[int, str]:
    if not 0 < row.expiration_timestamp <= _MAX_MS:
        raise ValueError(f"expected an expiration_timestamp that fits, was {row.expiration_timestamp}")
    day = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=row.expiration_timestamp)
    return row.expiration_timestamp * 10**6, f"{day:%y%m%d}"


def _currency(asset: str) -> str:
    code = asset.upper()
    return _CURRENCIES.get(code, code)


def _symbol_of(row: msgspec.Raw) -> str:
    """The symbol of a row that may be malformed, or the row's beginning."""
    try:
        match msgspec.json.decode(row):
            case {"instrument_name": str(symbol)}:
                return symbol
    except (ValueError, UnicodeError):
        pass
    return repr(bytes(row)[:40])


# Subscriptions: articles/notifications


def topics(instrument: Instrument, channel: Channel, options: Options) -> tuple[Topic, ...]:
    trades = options.trades or "100ms"
    resolution = _RESOLUTIONS.get(options.bar_interval, "1")
    carrier = "trade" if channel.name == "liquidation" else None
    return tuple(
        Topic(
            channel.path,
            text.format(symbol=instrument.symbol, trades=trades, resolution=resolution),
            carrier=carrier,
        )
        for text in channel.topics
    )


# api-reference/market-data/public-get_instruments, currency; others are listed with those that they settle in
_SETTLED_IN = ("BTC", "ETH", "USDC", "USDT", "EURR")
_PLATFORM = "platform_state"


def status_topics(product: Product, instruments: Sequence[Instrument]) -> tuple[Topic, ...]:
    # subscriptions/market-data/instrumentstatekindcurrency and subscriptions/platform/platform_state
    pairs = {
        ("spot" if each.kind == "spot" else "option" if each.kind == "option" else "future", each.settle or "any")
        for each in instruments
    }
    texts = {f"instrument.state.{kind}.{settle if settle in _SETTLED_IN else 'any'}" for kind, settle in pairs}
    return tuple(Topic(_PATH, text) for text in [*sorted(texts), _PLATFORM])


# Of requests that nobody waits for. Others have twice their number, and one more if they end subscriptions: the answers
# of both are lists.
_PING_ID = 0


def greeting(product: Product, credentials: Credentials | None, request_id: int, ts: int) -> bytes | None:
    # articles/authentication, Signature Credentials
    if credentials is None:
        return None
    timestamp = ts // 10**6
    nonce = f"fastfeed{request_id}"
    signed = f"{timestamp}\n{nonce}\n"
    signature = hmac.new(credentials.secret.encode(), signed.encode(), hashlib.sha256).hexdigest()
    params = {"grant_type": "client_signature", "client_id": credentials.key, "timestamp": timestamp}
    return _call("public/auth", {**params, "nonce": nonce, "data": "", "signature": signature}, 2 * request_id)


def encode_ping(product: Product) -> bytes | None:
    # api-reference/supporting/public-test
    return _call("public/test", {}, _PING_ID)


def encode_subscribe(topics: Sequence[str], request_id: int) -> bytes:
    return _call("public/subscribe", {"channels": topics}, 2 * request_id)


def encode_unsubscribe(topics: Sequence[str], request_id: int) -> bytes:
    # The answer lists what was subscribed; whatever it lists, nothing of the request is subscribed any more.
    return _call("public/unsubscribe", {"channels": topics}, 2 * request_id + 1)


def _call(method: str, params: Mapping[str, Any], id: int) -> bytes:
    # articles/json-rpc-overview
    return msgspec.json.encode({"jsonrpc": "2.0", "id": id, "method": method, "params": params})


class _Error(msgspec.Struct):
    code: int
    message: str = ""
    data: Any = None


class _Data(msgspec.Struct):
    instrument_name: str = ""
    state: str = ""
    maintenance: bool = False


class _Params(msgspec.Struct):
    channel: str = ""
    type: str = ""
    data: _Data = msgspec.field(default_factory=_Data)


class _Frame(msgspec.Struct):
    # of a reply
    id: int | None = None
    result: Any = None
    error: _Error | None = None
    # of a notice
    method: str = ""
    params: _Params = msgspec.field(default_factory=_Params)


def read_control(payload: bytes) -> list[Control]:
    # {"jsonrpc":"2.0","id":7,"result":["book.BTC-PERPETUAL.100ms"],"usIn":1,"usOut":2,"usDiff":1,"testnet":false}
    # {"jsonrpc":"2.0","id":7,"error":{"message":"..","code":13778},"usIn":1,"usOut":2,"usDiff":1,"testnet":false}
    # {"jsonrpc":"2.0","method":"heartbeat","params":{"type":"test_request"}}
    try:
        said = _read_frame(msgspec.json.decode(payload, type=_Frame))
    except (ValueError, UnicodeError):
        said = None
    return [said or Unknown(payload[:256].decode("utf-8", "replace"))]


def _read_frame(frame: _Frame) -> Control | None:
    if not frame.method:
        return _read_reply(frame)
    params = frame.params
    if frame.method == "heartbeat":
        # api-reference/session-management/public-set_heartbeat: a test_request must be answered
        return Answer(_call("public/test", {}, _PING_ID)) if params.type == "test_request" else Pong(False)
    if params.channel == _PLATFORM:
        return Shutdown() if params.data.maintenance else Pong(False)
    if params.channel.startswith("instrument.state.") and params.data.instrument_name:
        return InstrumentStatus(params.data.instrument_name, _STATUS.get(params.data.state, "unknown"))
    return None


def _read_reply(reply: _Frame) -> Control | None:
    if reply.error is not None:
        # articles/errors: what was wrong with it stands in `data`
        code = reply.error.code
        reason = f"{reply.error.message}: {reply.error.data}" if reply.error.data else reply.error.message
        # articles/rate-limits: over the limit the session is terminated. The others say nothing of the topics either,
        # which are all asked for again on a new connection.
        if code == _TOO_MANY or (code in _BUSY | _DOWN and reply.id != _PING_ID):
            return Shutdown(f"{reason} (code {code})")
        return Refusal(request_id=None if reply.id is None else reply.id // 2, code=code, reason=reason)
    if reply.id is None or reply.result is None:
        return None
    if reply.id == _PING_ID:
        return Pong()
    request_id = reply.id // 2
    if reply.id % 2:
        return Ack(request_id=request_id, ended=True)
    if isinstance(reply.result, list):
        # articles/notifications: a channel that does not exist is left out, without an error
        taken = tuple(text for text in reply.result if isinstance(text, str))
        return Ack(request_id=request_id, topics=taken, complete=True)
    return Ack(request_id=request_id)


# REST


def snapshot(instrument: Instrument, levels: int) -> Call:
    raise NotImplementedError("books come in the stream")


# articles/errors: too_many_requests, matching_engine_queue_full, too_many_concurrent_requests
_TOO_MANY = 10028
_BUSY = frozenset({_TOO_MANY, 10047, 10066})
# retry, settlement_in_progress, system_maintenance, unauthenticated_public_requests_temporarily_disabled,
# temporarily_unavailable
_DOWN = frozenset({10040, 10041, 11051, 11056, 13028})

# A pool of credits for one listing a second is empty for a while: time for some of it to come back.
_PAUSE_S = 10.0


def read_rest_error(
    status: int, headers: Mapping[str, str], body: bytes, instrument: str | None = None, ts: int | None = None
) -> FastfeedError:
    # articles/connection-management: 429 beyond the connections of an address
    code, reason = _read_error(body)
    if status == 429 or code in _BUSY:
        return RateLimited(ID, instrument, _PAUSE_S)
    # An error without a code is not the venue's own: something in front of it answered.
    if status >= 500 or status == 408 or code is None or code in _DOWN:
        return VenueDown(ID, instrument, f"status {status}: {reason}")
    return RequestRefused(ID, instrument, status, code, reason)


def _read_error(body: bytes | str) -> tuple[int | None, str]:
    # {"jsonrpc":"2.0","error":{"message":"Invalid params","data":{"reason":"..","param":".."},"code":-32602}}
    try:
        error = msgspec.json.decode(body, type=_Frame).error
    except (ValueError, UnicodeError):
        error = None
    return (None, repr(body[:80])) if error is None else (error.code, error.message)


def decoder(product: Product) -> type[Any]:
    from fastfeed_core.decoders.deribit import DeribitDecoder

    found: type[Any] = DeribitDecoder
    return found
