"""What all readers of the ring are made of: a place in it, filters, ways to wait, and a row for others to see.

A follower is used by one thread at a time. A helper thread may stand in `await_record` for it; `interrupt` fetches it
back from there.
"""

from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memset

from fastfeed_core.attach cimport BusMap
from fastfeed_core.counters cimport histogram_add
from fastfeed_core.message cimport Event, InstrumentRef
from fastfeed_core.readers cimport ReaderSlot
from fastfeed_core.records cimport Head, InstrumentRow
from fastfeed_core.ring cimport (
    FF_EMPTY,
    FF_LAPPED,
    ff_head,
    ff_ring_advance,
    ff_ring_peek,
    ff_ring_seek,
    ff_ring_seek_oldest,
    ff_ring_seek_tail,
    ff_ring_valid,
)
from fastfeed_core.wake cimport (
    ff_interrupt,
    ff_monotonic,
    ff_monotonic_coarse,
    ff_prepare_sleep,
    ff_realtime,
    ff_sleep_as,
)

from fastfeed_core import records
from fastfeed_core.message import Lag
from fastfeed_core.readers import WAITS

cdef enum:
    #: ns between two looks at whether the feed lives
    LOOK_EVERY = 100000000
    #: ns between two writings of the row
    TELL_EVERY = 10000000
    #: events of an iteration between two looks at the clock
    PULSE_EVENTS = 64
    #: a blocking reader looks this long before it sleeps: in busy times it never costs the feed a system call
    SPIN_BEFORE_SLEEP = 20000
    #: without a bell nobody wakes us
    SLEEP_WITHOUT_BELL = 1000000
    #: and a row that nobody writes is a reader that seems to hang
    SLEEP_AT_MOST = 100000000

cdef extern from *:
    """
    #if defined(__x86_64__) || defined(__i386__)
    #define ff_relax() __builtin_ia32_pause()
    #elif defined(__aarch64__)
    #define ff_relax() __asm__ __volatile__("yield")
    #else
    #define ff_relax() ((void)0)
    #endif
    #include <sched.h>

    /* Relaxed: a flag between two threads of this process that announces nothing else. */
    static inline uint32_t ff_flag(const uint32_t *at) { return __atomic_load_n(at, __ATOMIC_RELAXED); }
    static inline void ff_set_flag(uint32_t *at, uint32_t v) { __atomic_store_n(at, v, __ATOMIC_SEQ_CST); }
    static inline uint64_t ff_word(const uint64_t *at) { return __atomic_load_n(at, __ATOMIC_ACQUIRE); }
    """
    void ff_relax() noexcept nogil
    int sched_yield() noexcept nogil
    uint32_t ff_flag(const uint32_t* at) noexcept nogil
    void ff_set_flag(uint32_t* at, uint32_t value) noexcept nogil
    uint64_t ff_word(const uint64_t* at) noexcept nogil


class Overwritten(LookupError):
    """The ring does not hold a position; its text says what it holds."""


cdef class Follower:
    """A place in the ring of a bus, and what is wanted of it."""

    def __cinit__(self, *_args, **_kwargs):
        self.refs = []

    def __dealloc__(self):
        free(self.wanted)

    cdef int stand(self, BusMap map, start) except -1:
        """Stand at `start` ("now", "oldest" or an offset) in the ring of this bus, which may be a later generation."""
        cdef uint64_t lost = self.ring.lost + self.torn
        if map is None:
            raise TypeError("expected a BusMap, was None")
        map.ring_reader(&self.ring)
        self._seek(map, start)
        self.lost_before += lost
        self.torn = 0
        self.map = map
        self.known = 0
        self.refs = []
        return 0

    def want(self, names, kinds):
        """Take the filter: names of instruments (None: all) and numbers of kinds."""
        self.names = None if names is None else frozenset(names)
        self.all_instruments = names is None
        memset(self.wanted_kinds, 0, sizeof(self.wanted_kinds))
        for kind in kinds:
            self.wanted_kinds[<int>kind] = 1

    def attach(self, BusMap map not None, start="oldest"):
        """Go on with a later generation of the bus, with a row there if there was one here."""
        cdef ReaderSlot slot = self.slot
        self.stand(map, start)
        if slot is not None:
            slot.close()
            self.enrol(slot.label, WAITS[self.how], slot.counts != NULL)

    def _seek(self, BusMap map, start):
        cdef uint64_t offset
        cdef int found
        if start == "now":
            ff_ring_seek_tail(&self.ring)
            return
        ff_ring_seek_oldest(&self.ring)
        if start == "oldest":
            return
        offset = start
        oldest = self.ring.position
        if offset > <uint64_t>map.tail:
            # Of a reader that was ahead of the last flush: the records are there, the tail does not say so yet.
            ff_ring_seek_tail(&self.ring)
            found = self._walk(offset)
        else:
            found = ff_ring_seek(&self.ring, offset)
        if found == 0:
            raise Overwritten(f"expected an offset from {oldest} to {map.tail}, was {offset}")
        if found < 0:
            raise ValueError(f"no record starts at offset {offset}")

    cdef int _walk(self, uint64_t offset) noexcept nogil:
        cdef const ff_head* head = NULL
        cdef int64_t length
        while self.ring.position < offset:
            length = ff_ring_peek(&self.ring, &head)
            if length == FF_EMPTY or length == FF_LAPPED or not ff_ring_valid(&self.ring, self.ring.position):
                return 0
            if self.ring.position < offset:
                ff_ring_advance(&self.ring, length)
        return 1 if self.ring.position == offset else -1

    def enrol(self, str label not None, str wait not None, bint latency=False):
        """Take a row in the readers' file; needs no room there to work."""
        self.how = WAITS.index(wait)
        self.slot = ReaderSlot(self.map.readers_path, self.map.generation, label, self.how, latency)
        self.latency = self.slot.counts
        self.told = 0
        self.tell()

    def close(self):
        """Give the row back; nothing else is held."""
        if self.slot is not None:
            self.tell()
            self.slot.close()

    # ---- what is wanted

    cdef int verdict(self, uint8_t kind, uint32_t instrument) noexcept nogil:
        if not self.wanted_kinds[kind]:
            return UNWANTED
        if self.all_instruments or instrument == NO_INSTRUMENT:
            return WANTED
        if instrument < self.known:
            return self.wanted[instrument]
        return UNKNOWN

    cdef int learn(self) except -1:
        """Take in the rows that came since the last time: they are append-only, so each is looked at once."""
        cdef uint32_t count = self.map.instrument_count()
        cdef const InstrumentRow* row
        cdef uint8_t* memory
        cdef uint32_t i
        if count == self.known:
            return 0
        memory = <uint8_t*>realloc(self.wanted, count)
        if memory == NULL:
            raise MemoryError
        self.wanted = memory
        for i in range(self.known, count):
            row = self.map.row(i)
            name = records.text(row.name[:64])
            memory[i] = self.names is None or name in self.names
            self.refs.append(InstrumentRef(name, row.px_exp, row.sz_exp))
        self.known = count
        return 0

    cdef InstrumentRef ref(self, uint32_t instrument):
        """The instrument's reference; None for none."""
        if instrument == NO_INSTRUMENT:
            return None
        if instrument >= self.known:
            self.learn()
            if instrument >= self.known:
                raise LookupError(f"no such instrument: {instrument} of {self.known}")
        return <InstrumentRef>self.refs[instrument]

    # ---- for subclasses to say

    cdef bint ready(self) noexcept nogil:
        """Whether `take` has something to return, or rows to learn; steps over what is not wanted."""
        return False

    cdef Event take(self):
        """The next event, None if there is none yet."""
        return None

    cdef uint64_t place(self) noexcept nogil:
        """Where a reader would have to start to get what this one has not returned yet."""
        return self.ring.position

    cdef uint64_t before(self) noexcept nogil:
        """Records before that place."""
        return self.ring.count

    # ---- where it is

    @property
    def offset(self):
        """Ring position of the next record."""
        return self.place()

    @property
    def lost(self):
        """Records that were overwritten before they were read, before any filter; what a restart cost is not known."""
        return self.lost_before + self.ring.lost + self.torn

    @property
    def read(self):
        """Records before the position, since the start of this generation."""
        return self.before()

    @property
    def lag(self):
        """Records and bytes up to the tail of the last flush, before any filter; the age of the next record in ns."""
        cdef uint64_t tail, count
        cdef uint64_t place = self.place()
        while True:
            # The count is stored before the tail: between two equal tails it is of this flush or of the next.
            tail = ff_word(&self.map.control.tail)
            count = ff_word(&self.map.control.count)
            if ff_word(&self.map.control.tail) == tail:
                break
        return Lag(max(0, <int64_t>(count - self.before())), max(0, <int64_t>(tail - place)), self._age())

    cdef int64_t _age(self) noexcept nogil:
        """ns since the next record was committed, 0 if there is none."""
        cdef const ff_head* head = NULL
        cdef ff_ring_reader ring = self.ring
        cdef int64_t ts
        cdef int64_t length = ff_ring_peek(&ring, &head)
        if length < <int64_t>sizeof(Head):
            return 0
        ts = (<const Head*>head).ts_publish
        if not ff_ring_valid(&ring, ring.position):
            return 0
        return max(<int64_t>0, ff_realtime() - ts)

    cdef void tell(self) noexcept nogil:
        """Write the row."""
        self.slot.row.position = <int64_t>self.place()
        self.slot.row.read = <int64_t>self.before()
        self.slot.row.lost = <int64_t>(self.lost_before + self.ring.lost + self.torn)
        self.slot.row.behind = max(<int64_t>0, <int64_t>(ff_word(&self.map.control.count) - self.before()))
        self.slot.tell()

    cdef void measure(self, int64_t ts_publish, int64_t now) noexcept nogil:
        """Count one latency; only while `latency` is there."""
        histogram_add(self.latency, now - ts_publish)
        if now - ts_publish > self.slot.row.latency_max:
            self.slot.row.latency_max = now - ts_publish

    # ---- taking

    cdef Event get(self):
        """The next event, one that was pushed first; None if there is none yet."""
        cdef Event event
        if self.lent:
            self.claim_back()
        if self.pushed is not None:
            event = self.pushed
            self.pushed = None
            return event
        return self.take()

    def next(self):
        """Return the next event, None if there is none yet."""
        if self.map is None:
            raise ValueError("expected a reader of a bus, was one of none")
        return self.get()

    def poll(self, Py_ssize_t max=1000):
        """Return up to `max` events that are there, without waiting.

        Raises
        ------
        PublisherGone : the feed died; once
        """
        cdef list out = []
        cdef Event event
        if self.map is None:
            raise ValueError("expected a reader of a bus, was one of none")
        while max > 0:
            event = self.get()
            if event is None:
                if out or not self.rest():
                    break
                continue
            out.append(event)
            max -= 1
        if out:
            self.pulse()
        return out

    def __iter__(self):
        return self

    def __next__(self):
        cdef Event event
        cdef bint closed
        if self.map is None:
            raise ValueError("expected a reader of a bus, was one of none")
        while True:
            event = self.get()
            if event is not None:
                self.taken += 1
                if self.taken % PULSE_EVENTS == 0:
                    self.pulse()
                return event
            # The state is stored after the last record: closed, and nothing there afterwards, is the end.
            closed = self.map.is_closed()
            if self.rest() or self.is_there():
                continue
            if closed:
                raise StopIteration
            with nogil:
                self.wait_for(self.how, LOOK_EVERY)
            PyErr_CheckSignals()

    # ---- telling others, and looking whether the feed lives

    cdef int pulse(self) except -1:
        """In the middle of work: tell where we are, every so often."""
        cdef int64_t now
        if self.slot is not None:
            now = ff_monotonic_coarse()
            if now - self.told >= TELL_EVERY:
                self.told = now
                self.tell()
        return 0

    cdef int rest(self) except -1:
        """Nothing is there: tell, and look whether the feed lives, every so often; 1 if that pushed an event."""
        cdef int64_t now
        if self.slot is None:
            return 0
        now = ff_monotonic_coarse()
        if now - self.told >= TELL_EVERY:
            self.told = now
            self.tell()
            if now - self.looked >= LOOK_EVERY:
                self.looked = now
                self._look()
        return self.pushed is not None

    def idle(self):
        """Tell, and look whether the feed lives, if it is time to; returns whether that pushed an event."""
        return bool(self.rest())

    def rest_now(self):
        """Tell, and look whether the feed lives, whenever that was done last."""
        if self.slot is not None:
            self.told = self.looked = ff_monotonic_coarse()
            self.tell()
            self._look()

    def tell_now(self):
        """Tell others where we are."""
        if self.slot is not None:
            self.tell()

    def _look(self):
        """For subclasses: look whether the feed lives; push an event, or raise."""

    def push(self, Event event not None):
        """Have an event returned before all others."""
        self.pushed = event

    # ---- waiting

    def lend(self, bint on=True):
        """Leave the follower to a helper thread until `_claim_back` has fetched it, or it was given back."""
        self.lent = on

    cdef int claim_back(self) except -1:
        self._claim_back()
        return 0

    def _claim_back(self):
        """For subclasses that lend themselves: have the helper thread out, and `lend(False)`."""
        self.lent = False

    cdef bint is_there(self) noexcept nogil:
        return self.pushed is not None or self.ready()

    def await_record(self, str how not None, int64_t timeout_ns):
        """Wait until there is something to take: True; False after the time, a signal or an interrupt.

        "block" sleeps in the kernel until the feed wakes it, "yield" gives the core away between looks, "spin" keeps
        it. The GIL is released.
        """
        cdef int code = WAITS.index(how)
        cdef bint found
        with nogil:
            found = self.wait_for(code, timeout_ns)
        PyErr_CheckSignals()
        return bool(found)

    def interrupt(self, bint on=True):
        """Have a thread that waits for this reader return at once, and later ones as well, until told otherwise.

        A thread that is just about to sleep can miss it: repeat it until the thread is back.
        """
        ff_set_flag(&self.interrupt_flag, on)
        if on:
            ff_interrupt(<const uint32_t*>&self.map.live.wake, self._mask())

    @property
    def interrupted(self):
        """Whether somebody wants the thread back that waits for this reader."""
        return bool(ff_flag(&self.interrupt_flag))

    cdef uint32_t _mask(self) noexcept nogil:
        """The bit by which our own sleep can be ended: others that share it look once more and sleep on."""
        return <uint32_t>1 << (<uint64_t><void*>self >> 6 & 31)

    cdef bint wait_for(self, int how, int64_t timeout_ns) noexcept nogil:
        cdef int64_t until
        if self.is_there():
            return True
        if timeout_ns <= 0:
            return False
        until = ff_monotonic() + timeout_ns
        return self.sleep(until) if how == WAIT_BLOCK else self.look(how, until)

    cdef bint sleep(self, int64_t until) noexcept nogil:
        cdef const uint32_t* word = <const uint32_t*>&self.map.live.wake
        cdef uint32_t nobody = 0
        cdef uint32_t* sleepers = &nobody
        cdef int64_t longest = SLEEP_WITHOUT_BELL
        cdef int64_t now
        cdef uint32_t seen
        if self.map.bell != NULL:
            sleepers = &self.map.bell.sleepers
            longest = SLEEP_AT_MOST
        while True:
            now = ff_monotonic()
            if self.look(WAIT_SPIN, min(until, now + SPIN_BEFORE_SLEEP)):
                return True
            seen = ff_prepare_sleep(word, sleepers)
            # What was committed before the feed looked at the bell is seen here; what comes later wakes us.
            if self.ready():
                return True
            now = ff_monotonic()
            if now >= until or ff_flag(&self.interrupt_flag) or self.map.is_closed():
                return False
            if ff_sleep_as(word, seen, min(until - now, longest), self._mask()):
                return self.ready()         # a signal, for which the caller needs the GIL

    cdef bint look(self, int how, int64_t until) noexcept nogil:
        cdef int _i
        while True:
            # A clock read costs as much as many looks, and a yield may take a whole time slice.
            for _i in range(64 if how == WAIT_SPIN else 4):
                if self.ready():
                    return True
                if how == WAIT_SPIN:
                    ff_relax()
                else:
                    sched_yield()
            if ff_flag(&self.interrupt_flag) or self.map.is_closed() or ff_monotonic() >= until:
                return self.ready()
