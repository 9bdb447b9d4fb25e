"""What OKX v5 is, and what we send to it: spot, swaps, futures and options, all in one place.

Facts carry the section of OKX's documentation (okx.com/docs-v5) that they come from.

An instrument has one symbol, whose parts mean nothing here: names, expiries and strikes come from the listing. Sizes of
derivatives are contracts of ctVal * ctMult.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal
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

ID = "okx"

# Changes to V5 API WebSocket subscription parameter and URL: each channel is served on one of these alone.
_PUBLIC = "/ws/v5/public"
_BUSINESS = "/ws/v5/business"

_LISTING = "/api/v5/public/instruments?instType="

# Get instruments and Get underlying: 20 calls of each type in 2 s, by address
_LISTING_WEIGHT = 1

_PERPETUAL = ("tickers:{symbol}", "mark-price:{symbol}", "index-tickers:{index}", "open-interest:{symbol}")

OKX = Product(
    name="okx",
    # Overview, Production Trading Services; port 8443 ended on 2026-10-31 (change log)
    ws="wss://ws.okx.com",
    rest="https://openapi.okx.com",
    # Demo Trading Services; REST is told apart by a header
    ws_sandbox="wss://wspap.okx.com",
    rest_sandbox="https://openapi.okx.com",
    rest_sandbox_headers={"x-simulated-trading": "1"},
    # Get instruments: options are listed by underlying, which Get underlying names
    listing=(
        Call(f"{_LISTING}SPOT", _LISTING_WEIGHT),
        Call(f"{_LISTING}SWAP", _LISTING_WEIGHT),
        Call(f"{_LISTING}FUTURES", _LISTING_WEIGHT),
        Call("/api/v5/public/underlying?instType=OPTION", _LISTING_WEIGHT),
    ),
    channels=(
        # WS / Order book channel
        Channel(
            name="book", form="books", topics=("books:{symbol}",), path=_PUBLIC, opens=True, note="400 levels, 100 ms"
        ),
        Channel(
            name="book", form="books5", topics=("books5:{symbol}",), path=_PUBLIC, opens=True, note="5 levels, 100 ms"
        ),
        Channel(
            name="book",
            form="books-l2-tbt",
            topics=("books-l2-tbt:{symbol}",),
            path=_PUBLIC,
            opens=True,
            login=True,
            note="400 levels, 10 ms, VIP",
        ),
        Channel(
            name="book",
            form="books50-l2-tbt",
            topics=("books50-l2-tbt:{symbol}",),
            path=_PUBLIC,
            opens=True,
            login=True,
            note="50 levels, 10 ms, VIP",
        ),
        Channel(name="bbo", topics=("bbo-tbt:{symbol}",), path=_PUBLIC, opens=True, note="10 ms"),
        # WS / Trades channel: fills of one taker order at one price together; WS / All trades channel: each
        Channel(name="trade", form="aggregate", topics=("trades:{symbol}",), path=_PUBLIC),
        Channel(name="trade", form="raw", topics=("trades-all:{symbol}",), path=_BUSINESS),
        # WS / Tickers, Mark price, Index tickers, Open interest, Funding rate channel
        Channel(name="ticker", topics=("tickers:{symbol}",), path=_PUBLIC, opens=True, kinds=("spot",)),
        Channel(
            name="ticker", topics=(*_PERPETUAL, "funding-rate:{symbol}"), path=_PUBLIC, opens=True, kinds=("swap",)
        ),
        Channel(
            name="ticker",
            topics=_PERPETUAL,
            path=_PUBLIC,
            opens=True,
            kinds=("future",),
            note="and funding of extended perpetuals",
        ),
        Channel(name="ticker", topics=_PERPETUAL, path=_PUBLIC, opens=True, kinds=("option",)),
        # WS / Candlesticks channel
        Channel(name="bar", topics=("candle{interval}:{symbol}",), path=_BUSINESS),
        # WS / Liquidation orders channel
        Channel(
            name="liquidation",
            topics=("liquidation-orders:{type}",),
            path=_PUBLIC,
            kinds=("swap", "future", "option"),
            note="not all of them",
        ),
    ),
    bars=("1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d"),
    # Connect; Subscribe
    limits=Limits(
        topics_per_connection=500,  # undocumented; what subscribes to all of them is below 64 KB
        books_per_connection=29,  # advised: fewer than 30 channels of 50 or more levels
        sends_per_second=3,  # undocumented
        sends_per_hour=450,  # the venue takes 480 of subscribe, unsubscribe and login
        frame_bytes=60_000,  # the venue takes 64 KB
        connects=3,
        connects_per_s=1,
        weight_per_minute=600,
    ),
    # Connect: silence of 30 s ends a connection; the text "ping" is answered by "pong"
    ping_every_s=20,
    ping_when_silent=True,
    mute_after_s=40,
    acks_topics=True,
)

PRODUCTS = (OKX,)

USED_WEIGHT_HEADER: str | None = None


def products_for(pattern: str) -> tuple[Product, ...]:
    return PRODUCTS


def product_of(instrument: Instrument) -> Product:
    return OKX


def check_options(options: Options) -> list[tuple[str, str]]:
    if options.depth_speed not in ("", "100ms"):
        return [("depth_speed", '"100ms", or the book "books-l2-tbt" for a faster one')]
    return []


# Listing. Rows are read one by one, so that a malformed row costs itself and not the listing.

_Name = Annotated[str, msgspec.Meta(min_length=1)]


class _Listing(msgspec.Struct):
    code: str
    data: list[msgspec.Raw] | None = None


class _Row(msgspec.Struct, rename="camel"):
    inst_type: Literal["SPOT", "SWAP", "FUTURES", "OPTION"]
    inst_id: _Name
    tick_sz: Decimal
    lot_sz: Decimal
    state: str = ""
    base_ccy: str = ""
    quote_ccy: str = ""
    # contracts only
    uly: str = ""
    settle_ccy: str = ""
    ct_val: str = ""
    ct_mult: str = ""
    ct_val_ccy: str = ""
    exp_time: str = ""
    stk: str = ""
    opt_type: str = ""


_KINDS: dict[str, Kind] = {"SPOT": "spot", "SWAP": "swap", "FUTURES": "future", "OPTION": "option"}
_TYPES = {kind: word for word, kind in _KINDS.items()}

# Get instruments, state; others have appeared unannounced (post_only, rebase, settling), and are unknown until listed.
_STATUS: dict[str, Status] = {
    "live": "trading",
    "suspend": "halted",
    "rebase": "halted",
    "post_only": "halted",  # orders may rest, and none is matched
    "preopen": "pending",
    "settling": "closed",
}

# ccxt's codes for currencies that OKX names differently
_CURRENCIES = {"AE": "AET", "XBT": "BTC", "BCHSV": "BSV"}

_MAX_MS = (2**63 - 1) // 10**6  # ns since the epoch fit an int64


def read_listing(body: bytes | str, product: Product | None) -> Page:
    # {"code":"0","msg":"","data":[{"instType":"SPOT",..},..]}   or, of Get underlying,   "data":[["BTC-USD","ETH-USD"]]
    try:
        listing = msgspec.json.decode(body, type=_Listing)
        rows = listing.data
        if listing.code == "0" and rows and bytes(rows[0]).lstrip()[:1] == b"[":
            names = msgspec.json.decode(rows[0], type=list[_Name])
            calls = (Call(f"{_LISTING}OPTION&uly={quote(name, safe='')}", _LISTING_WEIGHT) for name in names)
            return Page(OKX, [], tuple(calls))
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise MalformedReply(ID, None, "listing", str(error)) from None
    if listing.code != "0":
        # Some errors come with status 200: the system is busy, a call was one too many.
        raise read_rest_error(200, {}, body.encode() if isinstance(body, str) else body)
    if rows is None:
        raise MalformedReply(ID, None, "listing", "expected data, was none")
    return Page(OKX, rows)


def read_instrument(row: msgspec.Raw, product: Product) -> Instrument:
    try:
        return _instrument(msgspec.json.decode(row, type=_Row))
    except (ValueError, ArithmeticError, UnicodeError) as error:
        raise ValueError(f"{_symbol_of(row)}: {error}") from None


def _instrument(row: _Row) -> Instrument:
    kind = _KINDS[row.inst_type]
    base, quote_ = (row.base_ccy, row.quote_ccy) if kind == "spot" else _pair(row.uly)
    if not base or not quote_:
        raise ValueError("expected a base and a quote currency, was none")
    base, quote_ = _currency(base), _currency(quote_)
    name = f"{ID}:{base}/{quote_}"
    settle = expiry = strike = None
    option_type: Literal["call", "put"] | None = None
    size, unit = Decimal(1), base
    if kind != "spot":
        if not row.settle_ccy or not row.ct_val or not row.ct_val_ccy:
            raise ValueError("expected settleCcy, ctVal and ctValCcy of a contract, was none")
        settle, unit = _currency(row.settle_ccy), _currency(row.ct_val_ccy)
        # Get instruments: what one contract is worth is both together
        size = plain(Decimal(row.ct_val) * Decimal(row.ct_mult or "1"))
        if not size.is_finite() or size <= 0:
            raise ValueError(f"expected a positive contract value, was {size}")
        name += f":{settle}"
    if kind in ("future", "option"):
        if not row.exp_time.isdecimal() or int(row.exp_time) > _MAX_MS:
            raise ValueError(f"expected an expTime in ms, was {row.exp_time!r}")
        expiry = int(row.exp_time) * 10**6
        day = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=int(row.exp_time))
        name += f"-{day:%y%m%d}"
    if kind == "option":
        strike = Decimal(row.stk)
        if row.opt_type not in ("C", "P") or not strike.is_finite():
            raise ValueError(f"expected a strike and an optType of C or P, was {row.stk!r} and {row.opt_type!r}")
        option_type = "call" if row.opt_type == "C" else "put"
        name += f"-{row.stk}-{row.opt_type}"
    # The largest order (maxLmtSz) is left out: it is what 64 bits hold in lots, not what anybody trades.
    px_exp, sz_exp = derive_exponents(row.tick_sz, row.lot_sz)
    return Instrument(
        venue=ID,
        symbol=row.inst_id,
        name=name,
        kind=kind,
        base=base,
        quote=quote_,
        settle=settle,
        tick_size=plain(row.tick_sz),
        lot_size=plain(row.lot_sz),
        contract_size=size,
        contract_unit=unit,
        inverse=settle == base,
        expiry=expiry,
        strike=strike,
        option_type=option_type,
        status=_STATUS.get(row.state, "unknown"),
        px_exp=px_exp,
        sz_exp=sz_exp,
    )


def _pair(underlying: str) -> tuple[str, str]:
    base, _, quote_ = underlying.partition("-")
    return base, quote_


def _currency(asset: str) -> str:
    code = asset.upper()
    return _CURRENCIES.get(code, code)


def _symbol_of(row: msgspec.Raw) -> str:
    """The symbol of a row that may be malformed, or the row's beginning."""
    try:
        match msgspec.json.decode(row):
            case {"instId": str(symbol)}:
                return symbol
    except (ValueError, UnicodeError):
        pass
    return repr(bytes(row)[:40])


# Subscriptions: Subscribe. A topic's text is channel, colon, instId or instType, of which messages repeat both.

_BY_TYPE = ("liquidation-orders", "instruments")


def topics(instrument: Instrument, channel: Channel, options: Options) -> tuple[Topic, ...]:
    texts = channel.topics
    if channel.name == "ticker" and "_XPERP-" in instrument.symbol:
        texts += ("funding-rate:{symbol}",)  # extended perpetuals are futures by type
    # An index is called after its pair: BTC-USDT of BTC-USDT-SWAP, BTC-USD of BTC-USD_UM_XPERP-310404
    index = "-".join(instrument.symbol.split("-")[:2]).partition("_")[0]
    named = {"symbol": instrument.symbol, "index": index, "type": _TYPES[instrument.kind]}
    interval = _interval(options.bar_interval)
    found = (text.format(interval=interval, **named) for text in texts)
    return tuple(Topic(channel.path, text, group=channel.name == "liquidation") for text in found)


def _interval(text: str) -> str:
    """The venue's word for a length of bars; long ones are counted from midnight UTC only if asked so."""
    number, unit = text[:-1], text[-1]
    if unit in "hd":
        is_long = unit == "d" or int(number) >= 6
        return f"{number}{unit.upper()}{'utc' if is_long else ''}"
    return text


def status_topics(product: Product, instruments: Sequence[Instrument]) -> tuple[Topic, ...]:
    # WS / Instruments channel: changes of all instruments of a type
    types = sorted({_TYPES[instrument.kind] for instrument in instruments})
    return tuple(Topic(_PUBLIC, f"instruments:{name}") for name in types)


def greeting(product: Product, credentials: Credentials | None, request_id: int, ts: int) -> bytes | None:
    # Login: {"op":"login","args":[{"apiKey":"..","passphrase":"..","timestamp":"1704876947","sign":".."}]}
    if credentials is None:
        return None
    seconds = str(ts // 10**9)
    text = f"{seconds}GET/users/self/verify".encode()
    sign = base64.b64encode(hmac.new(credentials.secret.encode(), text, hashlib.sha256).digest()).decode()
    login = {"apiKey": credentials.key, "passphrase": credentials.passphrase, "timestamp": seconds, "sign": sign}
    return msgspec.json.encode({"op": "login", "args": [login]})


def encode_ping(product: Product) -> bytes | None:
    return b"ping"


def encode_subscribe(topics: Sequence[str], request_id: int) -> bytes:
    return _encode("subscribe", topics, request_id)


def encode_unsubscribe(topics: Sequence[str], request_id: int) -> bytes:
    return _encode("unsubscribe", topics, request_id)


def _encode(op: str, topics: Sequence[str], request_id: int) -> bytes:
    args = []
    for text in topics:
        channel, _, subject = text.partition(":")
        args.append({"channel": channel, "instType" if channel in _BY_TYPE else "instId": subject})
    return msgspec.json.encode({"id": str(request_id), "op": op, "args": args})


# Control frames


class _Arg(msgspec.Struct, rename="camel"):
    channel: str = ""
    inst_id: str = ""
    inst_type: str = ""

    @property
    def topic(self) -> str:
        return f"{self.channel}:{self.inst_id or self.inst_type}"


class _State(msgspec.Struct, rename="camel"):
    inst_id: str
    state: str = ""


class _Control(msgspec.Struct):
    event: str = ""
    id: str = ""
    code: str = ""
    msg: str = ""
    arg: _Arg | None = None
    data: list[msgspec.Raw] = []  # msgspec copies it


_UPGRADE = "64008"
_NO_SUCH_TOPIC = re.compile(r"channel:([^,]+),inst(?:Id|Type):(\S+) doesn't exist")


def read_control(payload: bytes) -> list[Control]:
    # pong
    # {"id":"1","event":"subscribe","arg":{"channel":"books","instId":"BTC-USDT"},"connId":"a4d3ae55"}
    # {"id":"1","event":"error","code":"60018","msg":"Wrong URL or channel:books,instId:X doesn't exist. ..",..}
    # {"event":"login","code":"0","msg":"","connId":".."}
    # {"event":"notice","code":"64008","msg":"The connection will soon be closed for a service upgrade. ..",..}
    # {"arg":{"channel":"instruments","instType":"SWAP"},"data":[{"instId":"BTC-USDT-SWAP",..,"state":"suspend",..}]}
    if payload == b"pong":
        return [Pong()]
    try:
        said = msgspec.json.decode(payload, type=_Control)
        if said.arg is not None and said.arg.channel == "instruments" and not said.event:
            rows = (msgspec.json.decode(row, type=_State) for row in said.data)
            return [InstrumentStatus(row.inst_id, _STATUS.get(row.state, "unknown")) for row in rows]
    except (ValueError, UnicodeError):
        said = _Control()
    request_id = int(said.id) if said.id.isascii() and said.id.isdecimal() and len(said.id) < 19 else None
    if said.event in ("subscribe", "unsubscribe") and said.arg is not None:
        return [Ack(request_id=request_id, topics=(said.arg.topic,), ended=said.event == "unsubscribe")]
    if said.event == "login" and said.code == "0":
        return [Ack(greets=True)]
    if said.event in ("login", "error"):
        named = _NO_SUCH_TOPIC.search(said.msg)
        refused = () if named is None else (f"{named[1]}:{named[2]}",)
        return [Refusal(request_id=request_id, code=said.code, reason=said.msg, topics=refused)]
    if said.event == "notice" and said.code == _UPGRADE:
        return [Shutdown()]
    return [Unknown(payload[:256].decode("utf-8", "replace"))]


# REST


def snapshot(instrument: Instrument, levels: int) -> Call:
    raise NotImplementedError("books come in the stream")


# Error Code, Public: service unavailable, timeout, system busy, system error
_DOWN = frozenset({"50001", "50004", "50013", "50026"})
_TOO_MANY_REQUESTS = "50011"

# Rate Limits: calls are counted over 2 s. 403 is undocumented: something in front of the venue answers.
_PAUSE_S = {429: 2.0, 403: 60.0}


class _Error(msgspec.Struct):
    code: str
    msg: str = ""


def read_rest_error(
    status: int, headers: Mapping[str, str], body: bytes, instrument: str | None = None, ts: int | None = None
) -> FastfeedError:
    # {"code":"50011","msg":"Too Many Requests","data":[]}
    try:
        error = msgspec.json.decode(body, type=_Error)
    except (ValueError, UnicodeError):
        error = _Error("", repr(body[:80]))
    if status in _PAUSE_S or error.code == _TOO_MANY_REQUESTS:
        return RateLimited(ID, instrument, _PAUSE_S.get(status, 2.0))
    # An error without a code is not the venue's own.
    if status >= 500 or status == 408 or not error.code or error.code in _DOWN:
        return VenueDown(ID, instrument, f"status {status}: {error.msg}")
    return RequestRefused(ID, instrument, status, error.code, error.msg)


def decoder(product: Product) -> type[Any]:
    from fastfeed_core.decoders.okx import OkxDecoder

    found: type[Any] = OkxDecoder
    return found
