"""The published tops of books, read without waiting: one by one, or several as of one moment.

A copy of a cell is checked against the cell's version after it was made, and made again if the feed has overwritten it.
The feed is never waited for but in one case: books as of one moment, which there is none of while it writes cells.
"""

from decimal import Decimal

from cpython.list cimport PyList_New, PyList_SET_ITEM
from cpython.ref cimport Py_INCREF
from libc.stdint cimport INT64_MIN, int32_t, int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from fastfeed_core.attach cimport BusMap
from fastfeed_core.decimal cimport POW10
from fastfeed_core.event cimport ABSENT
from fastfeed_core.publish cimport CELL_HEAD
from fastfeed_core.records cimport LevelPair, State, TopHead
from fastfeed_core.ring cimport ff_cell_read, ff_cell_same, ff_cell_valid, ff_cells, ff_cells_quiet

cdef extern from *:
    """
    #include <time.h>

    /* An instance of a subclass of tuple, its items still to be set: what its constructor would make of a tuple that
       is made for it alone. */
    static inline PyObject *ff_new_tuple(PyObject *type, Py_ssize_t n)
    {
        PyObject *tuple = ((PyTypeObject *)type)->tp_alloc((PyTypeObject *)type, n);
    #if PY_VERSION_HEX >= 0x030E0000
        if (tuple != NULL)
            ((PyTupleObject *)tuple)->ob_hash = -1; /* not computed yet; 0 would be believed */
    #endif
        return tuple;
    }

    static inline void ff_set_item(PyObject *tuple, Py_ssize_t i, PyObject *value)
    {
        Py_INCREF(value);
        PyTuple_SET_ITEM(tuple, i, value);
    }

    static inline void ff_pause(long ns)
    {
        struct timespec t = {0, ns};
        nanosleep(&t, 0);
    }
    """
    object ff_new_tuple(object type, Py_ssize_t n)
    void ff_set_item(object tuple, Py_ssize_t i, object value)
    void ff_pause(long ns) noexcept nogil

cdef enum:
    #: copies of a cell that may be overwritten under the reader before it gives up; the second hardly ever is
    RETRIES = 1000
    #: looks for a moment between two flushes: so many at once, then so many with a pause, 50 ms in all
    LOOKS = 1000
    SLEEPS = 500
    PAUSE = 50000
    #: ns between two looks whether the name leads to another generation or row
    LOOK_EVERY = 100000000
    #: 2**53: a double has every integer up to it
    EXACT = 9007199254740992


class Unstable(Exception):
    """What was to be copied was overwritten under every copy, or there was no moment to copy it."""


cdef double _unit(int exponent):
    return <double>POW10[-exponent] if -18 <= exponent <= 0 else 0.0


cdef inline object _float(int64_t mantissa, int exponent, double unit):
    """The float nearest to mantissa * 10**exponent.

    Up to 2**53 both operands are exact and the division rounds once; beyond, the decimal text is rounded once.
    """
    if unit != 0.0 and -<int64_t>EXACT <= mantissa <= <int64_t>EXACT:
        return <double>mantissa / unit
    return float(f"{mantissa}e{exponent}")


cdef inline object _decimal(int64_t mantissa, int exponent):
    # From text: arithmetic would round to the precision of the caller's context.
    return Decimal(f"{mantissa}E{exponent}")


cdef tuple _NOT_LIMITED = (None, None)


cdef class TopReader:
    """Reads the top cell of an instrument.

    Parameters
    ----------
    map : the bus
    instrument : row of the instrument table, of one with a book
    top : subclass of tuple: state, bids, asks, sequence, ts_event, ts_recv, position, complete_to
    states : what stands for the states syncing, live and stale
    position : subclass of tuple: generation, offset
    """

    def __cinit__(self, BusMap map not None, uint32_t instrument, type top not None, tuple states not None,
                  type position not None):
        if not issubclass(top, tuple) or not issubclass(position, tuple):
            raise TypeError("expected subclasses of tuple")
        self.map = map
        self.instrument = instrument
        self._top = top
        self._position = position
        self._states = states
        self._generation = map.generation
        self.px_exp = map.row(instrument).px_exp
        self.sz_exp = map.row(instrument).sz_exp
        self.px_unit = _unit(self.px_exp)
        self.sz_unit = _unit(self.sz_exp)
        self.version = <const uint64_t*>map.cell(instrument)
        self.slots = map.cell(instrument) + CELL_HEAD
        self.slot_size = (map.header.cells_stride - CELL_HEAD) // 2
        self.depth = <int32_t>map.header.cells_depth
        self.look_at = INT64_MIN
        self.copy = <char*>malloc(self.slot_size)
        if self.copy == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.copy)

    cdef void take(self, unsigned slot, int32_t n) noexcept nogil:
        """Copy the head and n levels a side; whether the copy is good is still to be seen."""
        cdef const char* source = self.slots + slot * self.slot_size
        cdef uint64_t side = <uint64_t>self.depth * sizeof(LevelPair)
        cdef uint64_t wanted = <uint64_t>n * sizeof(LevelPair)
        memcpy(self.copy, source, sizeof(TopHead) + wanted)
        if n:
            memcpy(self.copy + sizeof(TopHead) + side, source + sizeof(TopHead) + side, wanted)

    cdef bint read_cell(self, int32_t n) noexcept nogil:
        """A consistent copy of n levels a side; False if it was overwritten every time."""
        cdef const TopHead* head = <const TopHead*>self.copy
        cdef unsigned slot = 0
        cdef uint64_t cells
        cdef int _tries
        for _tries in range(RETRIES):
            # Before the version: all cells, this one too, have what stands before it.
            cells = ff_cells(self.map.control)
            self.seen = ff_cell_read(self.version, &slot)
            if self.seen < 2:               # the row is there, its first cell is still to come
                self.seen = 0
                self.position = cells
                return True
            self.take(slot, n)
            if ff_cell_valid(self.version, self.seen):
                self.position = max(<uint64_t>head.as_of, cells)
                return True
        return False

    def looked(self):
        """Say that name and generation have been looked at: `read` asks for that again after 0.1 s."""
        self.look_at = self.map.now() + LOOK_EVERY

    def state(self):
        """Return the effective state, or None if it is time to look at the name and the generation."""
        cdef int64_t now = self.map.now()
        if now >= self.look_at:
            return None
        if not self.read_cell(0):
            raise Unstable(f"{RETRIES} copies of its top were overwritten")
        if self.seen == 0:
            return self._states[0]
        return self._states[<int>self.map.effective(<State>(<TopHead*>self.copy).state, now)]

    def flags(self):
        """Return the flags of the cell: see `records.Flag`."""
        if not self.read_cell(0):
            raise Unstable(f"{RETRIES} copies of its top were overwritten")
        return 0 if self.seen == 0 else (<TopHead*>self.copy).flags

    def read(self, int32_t n, bint exact=False):
        """Return one consistent copy of the best n levels, whatever the state, as a `top`.

        None if it is time to look at the name and the generation (then call `looked`).

        Raises
        ------
        Unstable : the copy was overwritten every time
        ValueError : n is out of range
        """
        cdef int64_t now = self.map.now()
        if not 1 <= n <= self.depth:
            raise ValueError(f"levels out of range: expected 1 to {self.depth}, was {n}")
        if now >= self.look_at:
            return None
        if not self.read_cell(n):
            raise Unstable(f"{RETRIES} copies of its top were overwritten")
        return self.make(n, exact, now, self.make_position())

    cdef object make_position(self):
        cdef object position = ff_new_tuple(self._position, 2)
        ff_set_item(position, 0, self._generation)
        ff_set_item(position, 1, self.position)
        return position

    cdef object make(self, int32_t n, bint exact, int64_t now, object position):
        """What was copied, as a Python object."""
        cdef const TopHead* head = <const TopHead*>self.copy
        cdef const int64_t* pairs = <const int64_t*>(self.copy + sizeof(TopHead))
        cdef object top
        if self.seen == 0:
            memset(self.copy, 0, sizeof(TopHead))
            (<TopHead*>head).sequence = ABSENT
            (<TopHead*>head).ts_event = ABSENT
            (<TopHead*>head).ts_recv = ABSENT
            (<TopHead*>head).complete_bid_px = ABSENT
            (<TopHead*>head).complete_ask_px = ABSENT
        top = ff_new_tuple(self._top, 8)
        ff_set_item(top, 0, self._states[<int>self.map.effective(<State>head.state, now)])
        ff_set_item(top, 1, self._side(pairs, min(n, <int32_t>head.n_bids), exact))
        ff_set_item(top, 2, self._side(pairs + 2 * self.depth, min(n, <int32_t>head.n_asks), exact))
        ff_set_item(top, 3, None if head.sequence == ABSENT else head.sequence)
        ff_set_item(top, 4, None if head.ts_event == ABSENT else head.ts_event)
        ff_set_item(top, 5, None if head.ts_recv == ABSENT else head.ts_recv)
        ff_set_item(top, 6, position)
        ff_set_item(top, 7, self._complete(exact))
        return top

    cdef list _side(self, const int64_t* pairs, int32_t n, bint exact):
        cdef list out = PyList_New(n)
        cdef tuple level
        cdef int32_t i
        for i in range(n):
            if exact:
                level = (_decimal(pairs[2 * i], self.px_exp), _decimal(pairs[2 * i + 1], self.sz_exp))
            else:
                level = (_float(pairs[2 * i], self.px_exp, self.px_unit),
                         _float(pairs[2 * i + 1], self.sz_exp, self.sz_unit))
            Py_INCREF(level)
            PyList_SET_ITEM(out, i, level)
        return out

    cdef object _complete(self, bint exact):
        cdef const TopHead* head = <const TopHead*>self.copy
        if head.complete_bid_px == ABSENT and head.complete_ask_px == ABSENT:
            return _NOT_LIMITED
        return (self._price(head.complete_bid_px, exact), self._price(head.complete_ask_px, exact))

    def _price(self, int64_t px, bint exact):
        if px == ABSENT:
            return None
        return _decimal(px, self.px_exp) if exact else _float(px, self.px_exp, self.px_unit)


cdef class TopSet:
    """Reads the tops of several instruments of one bus at once.

    Parameters
    ----------
    readers : a TopReader of each
    """

    cdef readonly tuple readers
    cdef readonly BusMap map

    def __cinit__(self, readers):
        cdef TopReader reader
        self.readers = tuple(readers)
        if not self.readers:
            raise ValueError("no readers")
        self.map = (<TopReader?>self.readers[0]).map
        for reader in self.readers:
            if reader.map is not self.map:
                raise ValueError("expected readers of one bus")

    def read(self, int32_t n, bint exact=False, bint together=True):
        """Return the best n levels of each, in order; None as of `TopReader.read`.

        With `together` all are as of one position of the ring: every record before it is in them, none behind it.

        Raises
        ------
        Unstable : there was no such moment, or a copy was overwritten every time
        ValueError : n is out of range
        """
        cdef int64_t now = self.map.now()
        cdef TopReader reader
        cdef int32_t depth = <int32_t>self.map.header.cells_depth
        cdef object position = None
        if not 1 <= n <= depth:
            raise ValueError(f"levels out of range: expected 1 to {depth}, was {n}")
        if now >= (<TopReader>self.readers[0]).look_at:
            return None
        if together:
            if not self._copy_together(n):
                raise Unstable(f"no moment between two flushes in {LOOKS + SLEEPS} looks")
            position = (<TopReader>self.readers[0]).make_position()
        out = []
        for reader in self.readers:
            if not together:
                if not reader.read_cell(n):
                    raise Unstable(f"{RETRIES} copies of the top of row {reader.instrument} were overwritten")
                position = reader.make_position()
            out.append(reader.make(n, exact, now, position))
        return out

    cdef bint _copy_together(self, int32_t n):
        cdef int looks
        for looks in range(LOOKS + SLEEPS):
            if looks >= LOOKS:
                with nogil:                 # the feed may have lost its processor in the middle of a flush
                    ff_pause(PAUSE)
            if self._try_together(n):
                return True
        return False

    cdef bint _try_together(self, int32_t n):
        cdef TopReader reader
        cdef unsigned slot = 0
        cdef uint64_t cells
        for reader in self.readers:
            reader.seen = ff_cell_read(reader.version, &slot)
        cells = ff_cells(self.map.control)
        if not ff_cells_quiet(self.map.control, cells):
            return False
        for reader in self.readers:
            reader.take((reader.seen >> 1) & 1, n)
        for reader in self.readers:
            if not ff_cell_same(reader.version, reader.seen):
                return False
        for reader in self.readers:
            reader.position = cells
            if reader.seen < 2:
                reader.seen = 0
        return True
