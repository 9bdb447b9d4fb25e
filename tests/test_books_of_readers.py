"""Books as readers get them, against a feed that writes flat out in another process: never torn, never mixed, exact."""

from __future__ import annotations

import contextlib
import struct
import subprocess
import sys
from decimal import Decimal, localcontext
from typing import Any

import pytest
from flood import Flood, check_depth, check_together, check_top, flooding, name, rule, script, shake
from hypothesis import given
from hypothesis import strategies as st
from pipeline import BOOK, instrument
from processes import wait_for
from sortedcontainers import SortedDict
from wire import Wire

import fastfeed
from fastfeed import BookState, BookUnstable
from fastfeed.bus import Bus
from fastfeed.protocol import open_market
from fastfeed.rows import write_instrument
from fastfeed_core.attach import BusMap
from fastfeed_core.records import FORMATS

READS = 3000
LIVE, STALE, SYNCING = BookState.LIVE, BookState.STALE, BookState.SYNCING
# Words of the ring's control block behind its first, in bytes.
TAIL, CELLS_NEXT = 128, 144


def private(feed: Flood) -> Bus:
    return Bus(BusMap(writer=feed.writer))


def field(struct_name: str, name: str) -> int:
    """Where a field lies in its struct."""
    return next(at for field, _, _, at in FORMATS[struct_name] if field == name)


def header(feed: Flood, name: str) -> int:
    return struct.unpack_from("<Q", feed.writer.map, field("BusHeader", name))[0]


def poke(feed: Flood, at: int, value: int) -> int:
    """Write a word into a bus as a feed that died there would have left it; returns what stood there."""
    (before,) = struct.unpack_from("<Q", feed.writer.map, at)
    struct.pack_into("<Q", feed.writer.map, at, value)
    return before


# ---- while a feed writes


def test_a_top_is_of_one_message(shm):
    with flooding("flood", levels=25):
        book = fastfeed.open("flood").book(name(0))
        last = 0
        for _ in range(READS):
            top = book.top(25)
            check_top(top, 25)
            assert top.sequence >= last
            last = top.sequence
        assert last > READS  # it moved all the time


def test_tops_of_several_books_are_of_one_moment(shm):
    with flooding("flood", books=4):
        books = fastfeed.open("flood").books([name(number) for number in range(4)])
        for _ in range(READS):
            tops = books.top(5)
            check_together(tops)
            for top in tops:
                check_top(top, 5)

        def apart() -> bool:
            """Without being asked for it they are not: else this test would show nothing."""
            tops = books.top(5, together=False)
            for top in tops:
                check_top(top, 5)
            return len({top.sequence for top in tops}) > 1

        assert any(apart() for _ in range(10**6))


@pytest.mark.parametrize(
    ("what", "reads", "books", "levels", "ring"),
    [("top", 60_000, 1, 25, 1 << 20), ("together", 60_000, 4, 5, 1 << 20), ("image", 1500, 1, 2000, 1 << 22),
     ("depth", 20_000, 1, 5, 1 << 16)],
    ids=["top", "together", "image", "depth"],
)  # fmt: skip
def test_a_reader_that_is_stopped_at_any_instant_gets_nothing_mixed(shm, what, reads, books, levels, ring):
    with flooding("flood", books=books, levels=levels, ring=ring):
        reader = script("flood", "read", what, str(reads), str(levels), stderr=subprocess.PIPE)
        assert reader.stderr is not None
        with reader.stderr:
            code = shake(reader)
            assert code == 0, reader.stderr.read().decode()


@pytest.mark.parametrize(
    ("levels", "ring"), [(5, 1 << 16), (5, 1 << 20), (2500, 1 << 22)], ids=["tiny-ring", "small", "fragments"]
)
def test_a_whole_book_is_of_one_message_however_it_is_followed(shm, levels, ring):
    with flooding("flood", levels=levels, ring=ring, books=2, chunk=50):
        bus = fastfeed.open("flood")
        follower = bus.book(name(1))
        pair = bus.books([name(0), name(1)])
        reads = READS // levels + 20
        last = 0
        for _ in range(reads):
            with contextlib.suppress(BookUnstable):  # a ring that small may overtake us, and then says so
                check_depth(bus.book(name(0)).depth(), levels)
                depth = follower.depth()
                check_depth(depth, levels)
                assert depth.sequence >= last
                last = depth.sequence
                one, other = pair.depth()
                check_depth(one, levels)
                check_depth(other, levels)
                assert one.position == other.position
                # Topic by topic, so the second is as new as the first or one behind it.
                assert one.sequence - other.sequence in (0, 1)
        assert last > 1


def follow(reader: fastfeed.Reader, levels: int, found: Any, wanted: int) -> int:
    """Apply what comes behind a book as a consumer would, and compare it with the rule at every step; events read."""
    sides = SortedDict(found.bids), SortedDict(found.asks)
    sequence = found.sequence
    read = 0
    while read < wanted:
        events = reader.poll(wanted - read)
        if reader.lost:
            break  # overtaken: what comes now need not go on from it
        for event in events:
            assert (event.kind, event.prev_sequence, event.sequence) == ("delta", sequence, sequence + 1)
            sequence += 1
            read += 1
            for side, pairs in zip(sides, (event.bid_mantissas, event.ask_mantissas), strict=True):
                for px, sz in pairs:
                    if sz:
                        side[px] = sz
                    else:
                        side.pop(px, None)
            assert (list(reversed(sides[0].items())), list(sides[1].items())) == rule(sequence, levels)
    return read


@pytest.mark.parametrize("ring", [1 << 18, 1 << 22], ids=["laps", "room"])
@pytest.mark.parametrize("form", ["top", "depth"])
def test_a_late_joiner_goes_on_with_the_very_next_record(shm, form, ring):
    with flooding("flood", books=3, ring=ring, chunk=20, flush_every=3):
        bus = fastfeed.open("flood")
        joined = events = 0

        def join() -> bool:
            nonlocal joined, events
            book = bus.book(name(1))
            found = book.depth() if form == "depth" else book.top(25)
            if form == "top":
                found = found._replace(
                    bids=[(round(price * 1e4), round(size * 1e7)) for price, size in found.bids],
                    asks=[(round(price * 1e4), round(size * 1e7)) for price, size in found.asks],
                )
            else:
                found = found._replace(bids=found.bids.tolist(), asks=found.asks.tolist())
            try:
                reader = bus.reader(instruments=[name(1)], kinds=["delta", "snapshot"], start=found.position)
            except LookupError:
                return False  # overtaken in between
            joined += 1
            events += follow(reader, 5, found, 50)
            return joined >= 20 and events >= 300

        wait_for(lambda: any(join() for _ in range(20)))


def test_books_of_one_moment_are_all_gone_on_from_at_one_place(shm):
    with flooding("flood", books=3, ring=1 << 22, chunk=20, flush_every=2):
        bus = fastfeed.open("flood")
        names = [name(number) for number in range(3)]
        books = bus.books(names)

        def join(found: list[Any]) -> bool:
            try:
                reader = bus.reader(instruments=names, kinds=["delta"], start=found[0].position)
            except LookupError:
                return False  # overtaken in between
            first: dict[str, int] = {}
            while len(first) < 3:
                for event in reader.poll(30):
                    first.setdefault(event.name, event.sequence)
                if reader.lost:
                    return False
            assert [first[each] for each in names] == [one.sequence + 1 for one in found]
            return True

        for read in (books.top, books.depth):
            for _ in range(20):
                wait_for(lambda read=read: join(read(5)))


# ---- the state of things


def test_a_depth_can_be_cut_and_says_so(shm):
    feed = Flood(None, levels=50)
    book = private(feed).book(name(0))
    bids, asks = rule(1, 50)
    cut = book.depth(10)
    assert (cut.bids.tolist(), cut.asks.tolist()) == (bids[:10], asks[:10])
    assert cut.complete_to == (bids[9][0], asks[9][0])
    assert book.depth(50).complete_to == (None, None)
    assert book.depth(0).bids.tolist() == []
    with pytest.raises(ValueError, match="expected 0 or more, was -1"):
        book.depth(-1)
    cut.bids["sz"] = 0  # the caller's own
    assert book.depth(10).bids.tolist() == bids[:10]


def test_only_what_was_flushed_is_in_a_book_and_a_reader_can_start_there():
    feed = Flood(None, ring=1 << 16)
    bus = private(feed)
    book = bus.book(name(0))
    for count in range(1, 400):  # several times around the ring, images taken in the middle of it
        feed.write(count % 7, flush_every=1 << 30)
        for one in (book, bus.book(name(0))):
            try:
                depth = one.depth()
            except BookUnstable:
                pytest.fail("there is a book at any time")
            check_depth(depth, 5)
            bus.reader(start=depth.position)
            bus.reader(start=one.top(5).position)
        if count % 5 == 0:
            feed.beat()
            assert book.depth().sequence == book.top().sequence == feed.sequence


def test_a_quiet_books_top_is_of_now_all_the_same():
    feed = Flood(None, books=2, ring=1 << 16)
    bus = private(feed)
    quiet = bus.book(name(1))
    topics = feed.topics
    before = quiet.top(5)
    feed.topics = topics[:1]
    feed.write(1000)  # laps
    with pytest.raises(LookupError):
        bus.reader(start=before.position)
    top = quiet.top(5)
    assert top[:6] == before[:6]
    reader = bus.reader(start=top.position, kinds=["delta"])
    assert reader.poll() == []
    feed.topics, feed.sequence = topics[1:], 1
    feed.write(1)
    assert [(event.name, event.sequence) for event in reader.poll()] == [(name(1), 2)]


def test_of_a_message_whose_end_was_never_written_there_is_nothing():
    feed = Flood(None, levels=2500, ring=1 << 22)
    bus = private(feed)
    follower = bus.book(name(0))
    follower.depth()
    reader = bus.reader()
    feed.write(1)
    whole = reader.poll()
    assert [len(event.bid_mantissas) for event in whole] == [5000]
    # The feed died before the last of its three fragments was committed, behind a flush in the middle of the message.
    ring, control = header(feed, "ring_offset"), header(feed, "control_offset")
    assert feed.writer.position - whole[0].position.offset > 128_000
    at, sizes = whole[0].position.offset, []
    while at < feed.writer.position:
        (length,) = struct.unpack_from("<H", feed.writer.map, ring + at + 12)
        sizes.append(-(-length // 64) * 64)
        at += sizes[-1] if length else 65536 - at % 65536
    last = feed.writer.position - sizes[-1]
    poke(feed, ring + last, 0)
    end = poke(feed, control + TAIL, last)
    for book in (follower, bus.book(name(0))):
        depth = book.depth()
        check_depth(depth, 2500)
        assert (depth.sequence, depth.position.offset) == (1, whole[0].position.offset)
    # It was only slow: the last fragment is there after all.
    feed = Flood(None, levels=2500, ring=1 << 22)
    bus = private(feed)
    follower = bus.book(name(0))
    follower.depth()
    control = header(feed, "control_offset")
    feed.write(1)
    end = poke(feed, control + TAIL, last)
    assert follower.depth().sequence == 1
    poke(feed, control + TAIL, end)
    depth = follower.depth()
    check_depth(depth, 2500)
    assert (depth.sequence, depth.position.offset) == (2, end)


def test_a_feed_that_stopped_in_the_middle_of_a_flush_has_no_books_of_one_moment():
    feed = Flood(None, books=2)
    bus = private(feed)
    books = bus.books([name(0), name(1)])
    assert "LIVE" in repr(books)
    at = header(feed, "control_offset") + CELLS_NEXT
    before = poke(feed, at, feed.writer.position + 64)
    with pytest.raises(BookUnstable, match=r"C0/USDT, binance:C1/USDT on bus .*: no moment between two flushes"):
        books.top(5)
    for top in books.top(5, together=False):
        check_top(top, 5)
    check_top(bus.book(name(0)).top(5), 5)
    poke(feed, at, before)
    assert [top.sequence for top in books.top(5)] == [1, 1]


def test_a_reader_that_the_ring_overtakes_each_time_is_told_so():
    feed = Flood(None, ring=1 << 16)
    bus = private(feed)
    image = header(feed, "images_offset")
    for slot in range(2):  # an image that says that it was taken where the ring has not come yet
        at = image + 128 + slot * ((header(feed, "images_stride") - 128) // 2) + field("ImageHead", "as_of")
        poke(feed, at, 1 << 40)
    book = bus.book(name(0))
    with pytest.raises(BookUnstable, match="the ring overtook 100 images") as caught:
        book.depth()
    assert (caught.value.instrument, caught.value.recovery) == (name(0), fastfeed.Recovery.BACKOFF)
    check_top(book.top(5), 5)


def test_books_are_as_of_the_newest_image_even_if_that_is_newer_than_the_flush_that_was_looked_at():
    feed = Flood(None, books=2, ring=1 << 22)
    topics = feed.topics
    feed.topics = topics[1:]
    feed.write(400)  # some more, and the second book's image is taken again, and not the first one's
    feed.topics, feed.sequence = topics[:1], 1
    feed.write(300)
    before = feed.writer.position
    for more in range(20):
        for topic, sequence in (topics[0], 301 + more), (topics[1], 401 + more):
            feed.topics, feed.sequence = [topic], sequence
            feed.write(1)
    # A reader looked at the tail, and lost its processor before it copied the images.
    poke(feed, header(feed, "control_offset") + TAIL, before)
    one, other = private(feed).books([name(0), name(1)]).depth()
    check_depth(one, 5)
    check_depth(other, 5)
    assert other.sequence > 401
    assert other.sequence - one.sequence == 100


def test_a_starved_reader_is_told_so():
    """The bound on copies of a cell; that it is checked at all is shown in `test_cells`."""

    class Starved:
        map = instrument = None

        def read(self, *_: Any) -> None:
            raise Unstable("1000 copies of its top were overwritten")

        state = read

    from fastfeed_core.top import Unstable

    feed = Flood(None)
    book = private(feed).book(name(0))
    book._top = Starved()  # type: ignore[assignment]
    with pytest.raises(BookUnstable, match="1000 copies"):
        book.top()
    with pytest.raises(BookUnstable, match="1000 copies"):
        _ = book.state
    assert "unstable" in repr(book)


def test_a_row_whose_cell_is_still_to_come_is_syncing():
    feed = Flood(None)
    bus = private(feed)
    feed.write(10)
    row = feed.writer.add_instrument(write_instrument(instrument("binance:NEW/USDT")), book=True)
    book = bus.book("binance:NEW/USDT")
    top, depth = book.top(5), book.depth()
    assert (top.state, top.bids, top.asks, top.sequence, top.ts_event, top.ts_recv) == (
        SYNCING,
        [],
        [],
        None,
        None,
        None,
    )
    assert (depth.state, depth.bids.tolist(), depth.sequence) == (SYNCING, [], None)
    assert top.position == depth.position == (bus.generation, feed.writer.position)
    new, old = bus.books(["binance:NEW/USDT", name(0)]).top(5)
    assert (new.state, old.sequence) == (SYNCING, 11)
    assert row == 1


def test_what_is_made_in_c_is_what_its_class_makes():
    top = private(Flood(None)).book(name(0)).top(2)
    twin = fastfeed.Top(*top)
    assert type(top) is fastfeed.Top
    assert (top, repr(top), top._replace(state=LIVE)) == (twin, repr(twin), twin)
    place = fastfeed.Position(*top.position)
    assert type(top.position) is fastfeed.Position
    assert (top.position, repr(top.position), {place: 1}[top.position]) == (place, repr(place), 1)
    book = private(Flood(None)).book(name(0))
    for what in (fastfeed.Top, fastfeed.Position, LIVE):
        before = sys.getrefcount(what)
        for _ in range(100):
            book.top(5)
        assert sys.getrefcount(what) == before


def test_a_name_is_followed_to_its_newest_row(shm, monkeypatch):
    feed = Flood("renewed", books=1)
    bus = fastfeed.open("renewed")
    book, books = bus.book(name(0)), bus.books([name(0)])
    assert book.state is LIVE
    renewed = open_market(feed.hub, instrument(name(0), tick="0.1"), BOOK)
    monkeypatch.setattr(bus, "_looked", 0.0)
    wait_for(lambda: book.state is SYNCING)
    assert book.depth().state is SYNCING
    wait_for(lambda: books.top()[0].state is SYNCING)
    assert renewed.instrument == 1
    feed.writer.close()


def test_views_of_several_books_follow_the_feed_to_its_next_generation(shm):
    first = Flood("again", books=2)
    bus = fastfeed.open("again")
    books = bus.books([name(0), name(1)])
    assert [top.sequence for top in books.top()] == [1, 1]
    first.writer.close()
    assert [top.state for top in books.top()] == [STALE, STALE]
    assert [depth.state for depth in books.depth()] == [STALE, STALE]
    second = Flood("again", books=1)  # and not the second book
    wait_for(lambda: books.top()[0].state is LIVE)
    tops, depths = books.top(5), books.depth()
    assert [top.state for top in tops] == [depth.state for depth in depths] == [LIVE, SYNCING]
    assert tops[1][1:6] == ([], [], None, None, None)
    assert tops[0].position == tops[1].position
    second.writer.close()


def test_views_of_several_books_are_of_what_there_is(shm):
    bus = private(Flood(None))
    with pytest.raises(LookupError, match="expected an instrument"):
        bus.books([name(0), name(7)])
    with pytest.raises(ValueError, match="at least one"):
        bus.books([])
    with pytest.raises(ValueError, match="each name once"):
        bus.books([name(0), name(0)])
    with pytest.raises(ValueError, match="expected 1 to 25, was 26"):
        bus.books([name(0)]).top(26)


def test_a_book_says_at_a_glance_what_is_the_matter_with_it():
    wire = Wire()
    book = wire.bus.book(wire.instrument.name)
    assert repr(book) == "<Book binance:BTC/USDT SYNCING bid=none ask=none sequence=None chained>"
    wire.book("snapshot", last=5, bids=[(100, 1), (90, 2)], asks=[(200, 1)], limit=2)
    text = repr(book)
    assert text.startswith("<Book binance:BTC/USDT LIVE bid=0.01 x 1e-07 ask=0.02 x 1e-07 sequence=5 received ")
    assert text.endswith(" s ago complete_to=(0.009, None) chained>")
    assert repr(book.depth()).startswith("<Depth LIVE bids=2 best=(100, 1) complete_to=90 asks=1 ")


mantissas = st.integers(1, 2**62) | st.integers(2**53 - 3, 2**53 + 3) | st.integers(1, 10**6)


@given(
    st.lists(st.tuples(mantissas, mantissas), min_size=1, max_size=25, unique_by=lambda level: level[0]),
    st.integers(0, 18), st.integers(0, 18),
)  # fmt: skip
def test_prices_are_exact_whatever_the_callers_context(levels, px_digits, sz_digits):
    what = instrument()
    wire = Wire(what=what.__class__(**{f: getattr(what, f) for f in what.__struct_fields__}
                                    | {"px_exp": -px_digits, "sz_exp": -sz_digits,
                                       "tick_size": Decimal(1).scaleb(-px_digits)}))  # fmt: skip
    wire.book("snapshot", last=1, bids=levels)
    book = wire.bus.book(what.name)
    wanted = [(Decimal(f"{px}E-{px_digits}"), Decimal(f"{sz}E-{sz_digits}")) for px, sz in sorted(levels, reverse=True)]
    with localcontext(prec=5):
        assert book.top(25, exact=True).bids == wanted
        assert book.top(25).bids == [(float(px), float(sz)) for px, sz in wanted]
