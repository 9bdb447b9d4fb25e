"""The error tree: every class says what to do about it, and builds its text from its data."""

import copy
import pickle
import subprocess
import sys

import pytest

from fastfeed import errors
from fastfeed.errors import FastfeedError, Recovery, Scope, did_you_mean

EXAMPLES = [
    (
        errors.ConfigError("feed[0].channels[1]", "one of book, bbo", "'tick'", "feed.toml"),
        "feed.toml: feed[0].channels[1]: expected one of book, bbo, was 'tick'",
    ),
    (errors.ConfigError("", "a readable file"), "expected a readable file"),
    (
        errors.ConfigError("a", "1", also=(errors.ConfigError("b", "2", "3"),)),
        "a: expected 1\nb: expected 2, was 3",
    ),
    (errors.VenueError("kraken"), "fault of kraken"),
    (
        errors.MalformedFrame("okx", None, 7, b'{"a":'),
        "malformed frame of okx at offset 7: b'{\"a\":'",
    ),
    (
        errors.MalformedReply("okx", "okx:BTC/USDT", "snapshot", "no bids"),
        "malformed snapshot of okx:BTC/USDT: no bids",
    ),
    (
        errors.SequenceGap("okx", "okx:BTC/USDT:USDT", 1042, 1050),
        "sequence gap on okx:BTC/USDT:USDT: expected 1042, was 1050",
    ),
    (
        errors.ValueOutOfRange("okx", "okx:BTC/USDT", "size", "1e40"),
        "size out of range on okx:BTC/USDT: expected a number that fits its exponents, was 1e40",
    ),
    (
        errors.SubscriptionRefused("okx", "okx:BTC/USDT", "book", 60018, "no such channel"),
        "subscription of book refused by okx:BTC/USDT: no such channel (code 60018)",
    ),
    (
        errors.RequestRefused("okx", "okx:BTC/USDT", 400, 51001, "no such instrument"),
        "request refused by okx:BTC/USDT: no such instrument (status 400, code 51001)",
    ),
    (errors.RateLimited("okx", None, 17.0), "rate limited by okx: retry after 17 s"),
    (errors.VenueDown("okx", None, "status 503"), "okx is down: status 503"),
    (errors.BusError("demo"), "fault of bus demo"),
    (errors.RequestFailed("demo", "no such verb"), "request to the feed of bus demo failed: no such verb"),
    (errors.BusNotFound("demo"), "bus demo not found: is its feed running, under this user?"),
    (
        errors.LayoutMismatch("demo", "Trade.px", "int64 at 64", "int64 at 72"),
        "layout of bus demo differs at Trade.px: expected int64 at 64, was int64 at 72",
    ),
    (
        errors.BusBusy("demo", 4711),
        "bus demo is busy: another feed (process 4711) writes it; stop that one or choose another bus name",
    ),
    (
        errors.BusFull("demo", "okx:BTC/USDT", 4096),
        "bus demo is full: no room for the 4096 bytes of okx:BTC/USDT in shared memory",
    ),
    (
        errors.BookNotLive("demo", "okx:BTC/USDT", "stale"),
        "book of okx:BTC/USDT on bus demo: expected live, was stale",
    ),
    (
        errors.BookUnstable("demo", "okx:BTC/USDT", "1000 copies were overwritten"),
        "no consistent copy of the book of okx:BTC/USDT on bus demo: 1000 copies were overwritten",
    ),
    (
        errors.PositionLost("demo", "17:4096", "an offset from 65536 to 99968"),
        "position 17:4096 is not on bus demo: expected an offset from 65536 to 99968; "
        'start="oldest" goes on with what is there, and what lay between is lost',
    ),
    (errors.PublisherGone("demo", 17), "publisher of bus demo is gone: its last heartbeat was at 17"),
]


def subclasses(cls: type) -> list[type]:
    return [cls, *(each for child in cls.__subclasses__() for each in subclasses(child))]


@pytest.mark.parametrize("cls", subclasses(FastfeedError), ids=lambda cls: cls.__name__)
def test_every_class_says_what_to_do_and_what_it_costs(cls):
    assert isinstance(cls.recovery, Recovery)
    assert isinstance(cls.scope, Scope)


def test_every_class_is_public_and_in_the_printed_tree():
    for cls in subclasses(FastfeedError):
        assert cls.__name__ in errors.__all__
        assert cls.__name__ in errors.__doc__


def test_printed_tree_states_the_recovery_and_scope_of_each_class():
    for line in errors.__doc__.splitlines():
        words = line.replace("|", " ").replace("`", " ").replace("--", " ").replace("(ValueError)", " ").split()
        cls = getattr(errors, words[0], None) if words else None
        if isinstance(cls, type) and len(words) > 2 and words[1].isupper():
            assert (words[1].lower(), words[2].lower()) == (cls.recovery.value, cls.scope.value), line


def test_every_class_has_an_example_here():
    assert {type(error) for error, _ in EXAMPLES} == set(subclasses(FastfeedError)) - {FastfeedError}


@pytest.mark.parametrize(("error", "text"), EXAMPLES, ids=lambda value: type(value).__name__)
def test_text_is_built_from_the_data(error, text):
    assert str(error) == text


@pytest.mark.parametrize("error", [error for error, _ in EXAMPLES], ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("again", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))], ids=["copy", "pickle"])
def test_error_survives_the_way_to_another_process(error, again):
    twin = again(error)
    assert type(twin) is type(error)
    assert str(twin) == str(error)


def test_malformed_frame_keeps_only_the_beginning():
    assert errors.MalformedFrame("okx", None, 0, b"x" * 1000).frame == b"x" * 256


def test_config_error_is_a_value_error():
    assert issubclass(errors.ConfigError, ValueError)


def test_hint_names_close_words_only():
    assert did_you_mean("boook", ["book", "bbo", "trade"]) == " (did you mean book?)"
    assert did_you_mean("zzz", ["book", "bbo", "trade"]) == ""


def test_module_loads_only_the_standard_library():
    code = (
        "import sys; import fastfeed.errors; "
        "print([m for m in sys.modules if m.split('.')[0] not in sys.stdlib_module_names | {'fastfeed', '__main__'}])"
    )
    # -I would hide the checkout; site packages may preload their own modules, so only what the import added counts.
    base = f"import sys; before = set(sys.modules); {code.replace('sys.modules if', 'set(sys.modules) - before if')}"
    out = subprocess.run([sys.executable, "-c", base], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"
