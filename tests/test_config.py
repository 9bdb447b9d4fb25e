"""Configuration files: what is read, what is refused and where, and which instruments a pattern names."""

import string

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastfeed.config import Reconnect, Size, load_config, read_config, refuse_overlap, select
from fastfeed.errors import ConfigError
from fastfeed.instrument import instruments
from fastfeed.venues import VENUES, binance, load
from fastfeed.venues.binance import SPOT, USDM
from fastfeed.venues.spec import Options

GOOD = """
[bus]
name = "main"
ring = "64MiB"
huge_pages = true

[[feed]]
venue = "binance"
instruments = ["BTC/USDT", "*/USDT:USDT"]
channels = ["book", "bbo", "trade"]
connections = 2
depth_speed = ""
snapshot_levels = 5000
trades = "aggregate"

[feed.endpoints]
ws = {spot = "ws://127.0.0.1:8080/", usdm = "ws://127.0.0.1:8081"}
rest = {spot = "http://127.0.0.1:8082"}

[reconnect]
initial_s = 1
"""

LEAST = '[bus]\nname = "b"\n[[feed]]\nvenue = "binance"\ninstruments = ["BTC/USDT"]\nchannels = ["book"]\n'


def feed(line):
    """The least configuration with a key of its feed set, or set otherwise."""
    key = line.partition(" = ")[0]
    kept = [each for each in LEAST.splitlines() if not each.startswith(f"{key} = ")]
    return "\n".join([*kept, line])


def bus(line):
    return LEAST.replace("[[feed]]", f"{line}\n[[feed]]")


def refusals(text):
    """The errors of a text, as pairs of path and what was expected and found there."""
    try:
        read_config(text)
    except ConfigError as error:
        return [(each.path, f"{each.expected} / {each.was}") for each in (error, *error.also)]
    return []


def refusal(text):
    (only,) = refusals(text)
    return only


def test_whole_file_is_read():
    config = read_config(GOOD)
    (only,) = config.feeds
    assert (config.bus.name, config.bus.ring, config.bus.levels, config.bus.top) == ("main", 64 << 20, 8192, 25)
    assert config.bus.huge_pages is True
    assert only.instruments == ("BTC/USDT", "*/USDT:USDT")
    assert only.channels == ("book", "bbo", "trade")
    assert only.connections == 2
    assert only.options == Options(depth_speed="", snapshot_levels=5000, trades="aggregate")
    assert only.products == (SPOT, USDM)
    assert only.ws(SPOT) == "ws://127.0.0.1:8080"
    assert only.rest(SPOT) == "http://127.0.0.1:8082"
    assert only.rest(USDM) == USDM.rest
    assert config.reconnect == Reconnect(initial_s=1.0)


def test_least_file_has_the_documented_defaults():
    config = read_config(LEAST)
    (only,) = config.feeds
    assert (config.bus.ring, config.bus.instruments, config.bus.group) == (256 << 20, 4096, None)
    assert config.bus.huge_pages is False
    assert (only.connections, only.sandbox, only.options) == (1, False, Options())
    assert (only.ws(SPOT), only.rest(SPOT)) == (SPOT.ws, SPOT.rest)


def test_copies_of_a_connection_take_bases_and_local_addresses_in_turn():
    ways = """connections = 3
local_addresses = ["127.0.0.1", "::1"]
endpoints = {ws = {spot = ["ws://a/", "ws://b"], usdm = "ws://c"}}"""
    (only,) = read_config(feed(ways)).feeds
    assert [only.ws(SPOT, copy) for copy in range(3)] == ["ws://a", "ws://b", "ws://a"]
    assert [only.ws(USDM, copy) for copy in range(3)] == ["ws://c"] * 3
    assert [only.local_address(copy) for copy in range(3)] == ["127.0.0.1", "::1", "127.0.0.1"]


def test_a_feed_that_says_direct_may_leave_from_its_own_addresses():
    (only,) = read_config(feed('local_addresses = ["::1"]\nproxy = "direct"\n[network]\nproxy = "http://h"')).feeds
    assert (only.local_address(0), only.local_address(7)) == ("::1", "::1")
    assert read_config(LEAST).feeds[0].local_address(0) is None


def test_sandbox_replaces_what_endpoints_leave():
    (only,) = read_config(feed('sandbox = true\nendpoints = {rest = {spot = "http://localhost"}}')).feeds
    assert (only.ws(SPOT), only.rest(SPOT)) == (SPOT.ws_sandbox, "http://localhost")


@pytest.mark.parametrize(
    ("text", "path", "says"),
    [
        ("[buss]\n" + LEAST, "buss", "one of bus, feed, reconnect, network / 'buss' (did you mean bus?)"),
        (feed("conections = 2"), "feed[0].conections", "(did you mean connections?)"),
        (feed("endpoints = {wss = 1}"), "feed[0].endpoints.wss", "(did you mean ws?)"),
        (feed('venue = "binanse"'), "feed[0].venue", "'binanse' (did you mean binance?)"),
        (feed('channels = ["book", "trad"]'), "feed[0].channels[1]", "'trad' (did you mean trade?)"),
        (feed('channels = ["orders"]'), "feed[0].channels[0]", "a channel of binance spot (book, bbo, "),
        (feed('channels = ["liquidation"]'), "feed[0].channels[0]", "trade, ticker, bar) / 'liquidation'"),
        (feed('channels = ["book", "book"]'), "feed[0].channels[1]", "each channel once / 'book' again"),
        (feed("channels = []"), "feed[0].channels", "one channel or more"),
        (feed('channels = "book"'), "feed[0].channels", "a list / 'book'"),
        (feed('channels = ["book", 1]'), "feed[0].channels[1]", "a string / 1"),
        (feed("instruments = []"), "feed[0].instruments", "one instrument or more"),
        (feed('instruments = ["A/B", "A/B"]'), "feed[0].instruments[1]", "each instrument once / 'A/B' again"),
        (feed('instruments = ["BTCUSDT"]'), "feed[0].instruments[0]", "a unified symbol (BTC/USDT"),
        (feed('instruments = ["binance:BTC/USDT"]'), "feed[0].instruments[0]", "without the venue"),
        (feed('instruments = ["[ab]*"]'), "feed[0].instruments[0]", "a unified symbol"),
        (feed("connections = 0"), "feed[0].connections", "an integer >= 1 / 0"),
        (feed('connections = "2"'), "feed[0].connections", "an integer / '2'"),
        (feed('depth_speed = "fast"'), "feed[0].depth_speed", "a speed of binance spot (1000ms, 100ms) / 'fast'"),
        (feed('depth_speed = "500ms"'), "feed[0].depth_speed", "a speed of binance spot (1000ms, 100ms)"),
        (feed("snapshot_levels = 5001"), "feed[0].snapshot_levels", "1 to 5000 / 5001"),
        (feed('bar_interval = "2m"'), "feed[0].bar_interval", "a length of bars of binance spot (1s, 1m, "),
        (feed('trades = "all"'), "feed[0].trades", "one of raw, aggregate / 'all'"),
        (feed("sandbox = 1"), "feed[0].sandbox", "true or false / 1"),
        (feed("endpoints = 1"), "feed[0].endpoints", "a table / 1"),
        (feed("endpoints = {ws = 1}"), "feed[0].endpoints.ws", "a table / 1"),
        (feed("endpoints = {ws = {spot = 1}}"), "feed[0].endpoints.ws.spot", "a string or a list of strings / 1"),
        (feed("endpoints = {rest = {spot = 1}}"), "feed[0].endpoints.rest.spot", "a string / 1"),
        (feed('endpoints = {rest = {spot = ["http://h"]}}'), "feed[0].endpoints.rest.spot", "a string / ['http://h']"),
        (feed("endpoints = {ws = {spot = []}}"), "feed[0].endpoints.ws.spot", "one URL or more / none"),
        (feed('endpoints = {ws = {spot = ""}}'), "feed[0].endpoints.ws.spot", "ws:// or wss:// with a host"),
        (feed('endpoints = {ws = {spot = ["ws://h", 1]}}'), "feed[0].endpoints.ws.spot[1]", "a string / 1"),
        (feed('endpoints = {ws = {spot = ["h"]}}'), "feed[0].endpoints.ws.spot[0]", "ws:// or wss:// with a host"),
        (
            feed('endpoints = {ws = {spot = ["ws://h", "ws://i"]}}'),
            "feed[0].endpoints.ws.spot",
            "at most as many as connections (1) / 2",
        ),
        (feed('local_addresses = "::1"'), "feed[0].local_addresses", "a list / '::1'"),
        (feed("local_addresses = [1]"), "feed[0].local_addresses[0]", "a string / 1"),
        (feed('local_addresses = ["eth0"]'), "feed[0].local_addresses[0]", "an IP address of this machine / 'eth0'"),
        (feed('local_addresses = ["0.0.0.0"]'), "feed[0].local_addresses[0]", "an IP address of this machine"),
        (
            feed('local_addresses = ["127.0.0.1", "127.0.0.2"]'),
            "feed[0].local_addresses",
            "at most as many as connections (1) / 2",
        ),
        (
            feed('local_addresses = ["127.0.0.1"]\nproxy = "http://h"'),
            "feed[0].local_addresses",
            'nothing, or proxy = "direct" / addresses, and feed[0].proxy',
        ),
        (
            feed('local_addresses = ["127.0.0.1"]\n[network]\nproxy = "${P}"'),
            "feed[0].local_addresses",
            'nothing, or proxy = "direct" / addresses, and network.proxy',
        ),
        (feed('endpoints = {ws = {x = "ws://h"}}'), "feed[0].endpoints.ws.x", "a product of binance (spot, usdm)"),
        (feed('endpoints = {ws = {spot = "http://h"}}'), "feed[0].endpoints.ws.spot", "ws:// or wss:// with a host"),
        (feed('endpoints = {rest = {spot = "http://"}}'), "feed[0].endpoints.rest.spot", "http:// or https://"),
        (feed('endpoints = {rest = {spot = "http://h:x"}}'), "feed[0].endpoints.rest.spot", "http:// or https://"),
        (feed('endpoints = {ca = "/no/such/file"}'), "feed[0].endpoints.ca", "a file / '/no/such/file'"),
        (bus('huge_pages = "yes"'), "bus.huge_pages", "true or false / 'yes'"),
        (bus('ring = "3MiB"'), "bus.ring", "a power of two from 1MiB to 64GiB / 3MiB"),
        (bus('ring = "512KiB"'), "bus.ring", "a power of two from 1MiB"),
        (bus('ring = "256MB"'), "bus.ring", "a size such as \"256MiB\" / '256MB'"),
        (bus("ring = 268435456"), "bus.ring", 'a size such as "256MiB"'),
        (bus("levels = 63"), "bus.levels", "an integer >= 64 / 63"),
        (bus("top = 101"), "bus.top", "an integer <= 100 / 101"),
        (bus("top = 100\nlevels = 64"), "bus.top", "at most bus.levels (64) / 100"),
        (bus('group = "no such group"'), "bus.group", "a group of this system"),
        (LEAST.replace('"b"', '"Main"'), "bus.name", "1 to 64 of a-z"),
        (LEAST.replace('"b"', '".."'), "bus.name", "1 to 64 of a-z"),
        (LEAST.replace('name = "b"', ""), "bus.name", "a value / nothing"),
        (LEAST.replace('venue = "binance"', ""), "feed[0].venue", "a value / nothing"),
        (LEAST.replace("[[feed]]", "[feed]"), "feed", "one table [[feed]] or more / a table [feed]"),
        ('[bus]\nname = "b"', "feed", "one table [[feed]] or more"),
        (LEAST + "[reconnect]\ninitial_s = 9\ncap_s = 3", "reconnect.initial_s", "at most cap_s (3) / 9"),
        (LEAST + "[reconnect]\ninitial_s = 0", "reconnect.initial_s", "a number > 0.0 / 0"),
        (LEAST + LEAST.partition("\n[[")[2].join(["[[", ""]), "feed[1].instruments[0]", "also in feed[0]"),
        ("x", "", "TOML / "),
    ],
)
def test_what_cannot_work_is_refused_with_its_place(text, path, says):
    found_path, found = refusal(text)
    assert found_path == path
    assert says in found


def test_a_length_of_bars_must_be_one_of_each_product():
    seconds = feed('bar_interval = "1s"')
    (only,) = read_config(seconds).feeds
    assert only.options.bar_interval == "1s"
    path, says = refusal(seconds.replace('"BTC/USDT"', '"BTC/USDT", "BTC/USDT:USDT"'))
    assert path == "feed[0].bar_interval"
    assert says.startswith("a length of bars of binance usdm (1m, ")
    assert says.endswith(" / '1s'")


def test_all_problems_are_found_at_once():
    text = """
    [bus]
    name = "MAIN"
    ring = "1GB"
    [[feed]]
    venue = "binance"
    instruments = ["BTC/USDT"]
    channels = ["book", "liquidation"]
    color = "red"
    [[feed]]
    venue = "binance"
    instruments = [7]
    channels = ["bbo"]
    connections = -1
    """
    assert [path for path, _ in refusals(text)] == [
        "bus.ring",
        "feed[0].color",
        "feed[1].instruments[0]",
        "feed[1].connections",
        "feed[0].channels[1]",
    ]


def test_error_of_a_file_names_it_in_every_line(tmp_path):
    path = tmp_path / "feed.toml"
    path.write_text("[[feed]]\n")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    lines = str(caught.value).splitlines()
    assert len(lines) == 4
    assert all(line.startswith(f"{path}: ") for line in lines)


@pytest.mark.parametrize("content", [None, b"\xff"], ids=["missing", "no-utf-8"])
def test_unreadable_file_is_a_config_error(tmp_path, content):
    path = tmp_path / "feed.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match="expected a readable file"):
        load_config(path)


@given(st.text(alphabet=string.printable), st.integers(0, len(GOOD)), st.integers(0, 20))
def test_any_damage_gives_a_configuration_or_a_config_error(insert, at, cut):
    refusals(GOOD[:at] + insert + GOOD[at + cut :])  # anything but a ConfigError would pass through


# Values as TOML texts, so that no encoder is needed.
SCALARS = st.sampled_from(["true", "-1", "0", "7", "1.5", "inf", "1979-05-27", '""', '"book"', '"*"', '"ws://h"'])
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda each: f"[{', '.join(each)}]")
        | st.dictionaries(st.sampled_from(["ws", "rest", "spot", "x"]), inner, max_size=3).map(
            lambda each: f"{{{', '.join(f'{key} = {value}' for key, value in each.items())}}}"
        )
    ),
    max_leaves=5,
)
KEYS = [
    "venue", "instruments", "channels", "connections", "local_addresses", "depth_speed", "trades", "sandbox",
    "endpoints", "new",
]  # fmt: skip


@given(st.sampled_from(KEYS), VALUES)
def test_any_value_gives_a_configuration_or_an_error_at_its_key(key, value):
    assert all(path.startswith(f"feed[0].{key}") for path, _ in refusals(feed(f"{key} = {value}")))


@pytest.mark.parametrize(("size", "text"), [(1 << 20, "1MiB"), (256 << 20, "256MiB"), (1 << 30, "1GiB"), (7, "7B")])
def test_size_prints_as_it_is_written(size, text):
    assert str(Size(size)) == text


# Which instruments


LISTED = [
    ("BTCUSDT", "BTC", "USDT", "TRADING"),
    ("ETHUSDT", "ETH", "USDT", "TRADING"),
    ("ETHBTC", "ETH", "BTC", "TRADING"),
    ("OLDUSDT", "OLD", "USDT", "BREAK"),
]


@pytest.fixture(scope="module")
def listed():
    steps = [
        {"filterType": "PRICE_FILTER", "maxPrice": "1000", "tickSize": "0.01"},
        {"filterType": "LOT_SIZE", "maxQty": "1000", "stepSize": "0.01"},
    ]
    spot = [
        {"symbol": symbol, "baseAsset": base, "quoteAsset": quote, "status": status, "filters": steps}
        for symbol, base, quote, status in LISTED
    ]
    usdm = [{**row, "contractType": "PERPETUAL", "marginAsset": row["quoteAsset"]} for row in spot[:2]]
    return instruments(binance.ID, [msgspec.json.encode({"symbols": rows}) for rows in (spot, usdm)])


@pytest.mark.parametrize(
    ("patterns", "symbols"),
    [
        (["ETH/USDT"], ["ETH/USDT"]),
        (["*/USDT"], ["BTC/USDT", "ETH/USDT"]),
        (["*/USDT:USDT"], ["BTC/USDT:USDT", "ETH/USDT:USDT"]),
        (["ETH/*"], ["ETH/USDT", "ETH/BTC", "ETH/USDT:USDT"]),
        (["ETH/BTC", "BTC/*", "BTC/USDT"], ["BTC/USDT", "ETH/BTC", "BTC/USDT:USDT"]),
        (["OLD/USDT"], ["OLD/USDT"]),
    ],
    ids=str,
)
def test_pattern_takes_what_trades_and_a_symbol_what_it_says(listed, patterns, symbols):
    assert [each.name for each in select(listed, patterns)] == [f"binance:{symbol}" for symbol in symbols]


def test_name_that_matches_nothing_is_refused_with_close_ones(listed):
    with pytest.raises(ConfigError) as caught:
        select(listed, ["BTC/USDT", "ETH/USDC", "OLD/*"], "feed[3].instruments")
    first, second = caught.value, caught.value.also[0]
    assert first.path == "feed[3].instruments[1]"
    assert "did you mean ETH/USDT" in str(first).splitlines()[0]
    assert second.path == "feed[3].instruments[2]"


def test_a_form_that_needs_a_login_needs_credentials():
    def text(*lines: str) -> str:
        head = ['[bus]\nname = "main"\n[[feed]]\nvenue = "deribit"\ninstruments = ["BTC/USD:BTC"]\nchannels = ["book"]']
        return "\n".join([*head, 'book = "raw"', *lines])

    with pytest.raises(ConfigError, match=r"feed\[0\].credentials: expected a name, because book 'raw' needs a login"):
        read_config(text())
    assert read_config(text('credentials = "DERIBIT"')).feeds[0].credentials == "DERIBIT"


def test_credentials_come_from_the_environment(monkeypatch):
    feed = read_config(
        '[bus]\nname = "main"\n[[feed]]\nvenue = "deribit"\ninstruments = ["BTC/USD:BTC"]\nchannels = ["book"]\n'
        'credentials = "MINE"'
    ).feeds[0]
    monkeypatch.delenv("MINE_KEY", raising=False)
    with pytest.raises(ConfigError, match="MINE_KEY and MINE_SECRET in the environment"):
        feed.login()
    monkeypatch.setenv("MINE_KEY", "k")
    monkeypatch.setenv("MINE_SECRET", "s3cret")
    found = feed.login()
    assert (found.key, found.secret, found.passphrase) == ("k", "s3cret", "")
    assert "s3cret" not in repr(found)
    monkeypatch.delenv("MINE_SECRET")
    with pytest.raises(ConfigError, match=r"^feed\[3\].credentials: expected MINE_SECRET in the environment"):
        feed.login("feed[3]")


def test_patterns_that_overlap_are_refused_once_it_is_known_what_they_name(listed):
    two = LEAST.replace('"BTC/USDT"', '"BTC/*"') + LEAST[LEAST.index("[[") :].replace('"BTC/USDT"', '"*/USDT"')
    feeds = read_config(two).feeds
    chosen = [select(listed, each.instruments) for each in feeds]
    assert {each.name for each in chosen[0]} & {each.name for each in chosen[1]}
    with pytest.raises(ConfigError, match=r"feed\[1\]\.instruments.*each channel.*'BTC/USDT', also in feed\[0\]"):
        refuse_overlap(feeds, chosen)
    refuse_overlap(read_config(two.replace('["book"]', '["trade"]', 1)).feeds, chosen)


@pytest.mark.parametrize(
    ("proxy", "says"),
    [
        ("http://me:s3cret@h", "references to the environment, ${USER}:${PASSWORD}@ / 'http://***@h'"),
        ("socks5://${A}:s3cret@h:1", "references to the environment, ${USER}:${PASSWORD}@ / 'socks5://***@h:1'"),
        ("socks5://s3cret@h", "references to the environment"),
        ("https://h", "http:// or socks5:// with a host, or direct / 'https://h'"),
        ("http://", "http:// or socks5://"),
        ("http://h:x", "http:// or socks5://"),
        ("http://h/p", "http:// or socks5://"),
        ("me:s3cret@h", "http:// or socks5:// with a host, or direct / '***@h'"),
        ("", "http:// or socks5://"),
    ],
)
def test_a_proxy_that_cannot_work_is_refused_and_a_secret_in_it_not_shown(proxy, says):
    for text, place in (
        (feed(f'proxy = "{proxy}"'), "feed[0].proxy"),
        (f'{LEAST}[network]\nproxy = "{proxy}"', "network.proxy"),
    ):
        path, found = refusal(text)
        assert path == place
        assert says in found
        assert "s3cret" not in found


def test_a_feed_takes_its_own_proxy_before_that_of_the_file(monkeypatch):
    monkeypatch.setenv("USER_OF_IT", "u")
    monkeypatch.setenv("PASSWORD_OF_IT", "p")
    other = LEAST[LEAST.index("[[") :]
    text = (
        f'{LEAST}{other.replace("BTC", "ETH")}proxy = "direct"\n{other.replace("BTC", "XRP")}'
        'proxy = "socks5://${USER_OF_IT}:${PASSWORD_OF_IT}@own:9"\n[network]\nproxy = "http://all:8080"\n'
    )
    config = read_config(text)
    assert [str(config.proxy(index)) for index in range(3)] == ["http://all:8080", "None", "socks5://own:9"]
    assert config.proxy(2).url == "socks5://u:p@own:9"
    assert read_config(LEAST).proxy(0) is None


# ---- sandboxes, as the venues' pages name them

SANDBOXES = {
    "binance spot": ("wss://stream.testnet.binance.vision", "https://testnet.binance.vision"),
    "binance usdm": ("wss://fstream.binancefuture.com", "https://demo-fapi.binance.com"),
    **dict.fromkeys(
        ("bybit spot", "bybit linear", "bybit inverse", "bybit option"),
        ("wss://stream-testnet.bybit.com", "https://api-testnet.bybit.com"),
    ),
    "okx okx": ("wss://wspap.okx.com", "https://openapi.okx.com"),
    "deribit deribit": ("wss://test.deribit.com", "https://test.deribit.com"),
    "bitstamp bitstamp": ("wss://ws.sandbox.bitstamp.net", "https://sandbox.bitstamp.net"),
    "krakenfutures krakenfutures": ("wss://demo-futures.kraken.com", "https://demo-futures.kraken.com"),
}
TESTED = {f"{venue} {product.name}": (venue, product) for venue in VENUES for product in load(venue).PRODUCTS}


def sandboxed(venue, lines=""):
    text = LEAST.replace('"binance"', f'"{venue}"').replace('"BTC/USDT"', '"*"')
    return f"{text}sandbox = true\n{lines}"


@pytest.mark.parametrize("place", TESTED)
def test_one_word_takes_a_feed_to_the_sandbox(place):
    venue, product = TESTED[place]
    (only,) = read_config(sandboxed(venue)).feeds
    assert product in only.products
    assert (only.ws(product), only.rest(product)) == SANDBOXES[place]
    (real,) = read_config(sandboxed(venue).replace("true", "false")).feeds
    # Nothing that is said to the one reaches the other: by its address, or by a header.
    assert real.ws(product) != only.ws(product)
    assert real.rest(product) != only.rest(product) or only.rest_headers
    assert real.rest_headers == {}


def test_a_venue_that_has_one_base_for_both_is_told_by_a_header():
    assert read_config(sandboxed("okx")).feeds[0].rest_headers == {"x-simulated-trading": "1"}


@pytest.mark.parametrize(
    ("lacks", "says"),
    [
        ({"ws_sandbox": None}, "binance spot has no sandbox for WebSocket / true"),
        ({"rest_sandbox": None}, "binance spot has no sandbox for REST / true"),
        ({"ws_sandbox": None, "rest_sandbox": None}, "binance spot has no sandbox for WebSocket and REST / true"),
    ],
)
def test_a_venue_without_a_sandbox_says_so(lacks, says, monkeypatch):
    bare = msgspec.structs.replace(SPOT, **lacks)
    monkeypatch.setattr(binance, "PRODUCTS", (bare,))
    monkeypatch.setattr(binance, "products_for", lambda pattern: (bare,))
    path, found = refusal(feed("sandbox = true"))
    assert path == "feed[0].sandbox"
    assert found.startswith("false, or bases in [feed.endpoints]: ")
    assert found.endswith(says)
    own = 'endpoints = {ws = {spot = "ws://h"}, rest = {spot = "http://h"}}'
    assert refusals(feed(f"sandbox = true\n{own}")) == []
