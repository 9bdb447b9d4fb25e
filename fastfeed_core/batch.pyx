"""Rows gathered by kind, and numpy arrays made of them."""

cimport cython
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint64_t, uintptr_t
from libc.string cimport memcpy

from fastfeed_core.records cimport (
    KIND_BAR,
    KIND_BBO,
    KIND_DELTA,
    KIND_LIQUIDATION,
    KIND_SNAPSHOT,
    KIND_STATUS,
    KIND_TICKER,
    KIND_TRADE,
    BarRecord,
    BboRecord,
    Head,
    LevelPair,
    LevelsRecord,
    LiquidationRecord,
    StatusRecord,
    TickerRecord,
    TradeRecord,
)

from fastfeed_core import records
from fastfeed_core.message import KINDS

cdef enum:
    #: arrays of a column that are kept: what the consumer still holds, what it gets next, and one to spare
    POOL = 4
    FIRST_ROWS = 256
    #: bytes that an array may hold in vain; it is copied if its memory would waste more
    SLACK = 65536

cdef list _NAMES = [None] * KIND_COUNT
for _name, _kind in KINDS.items():
    _NAMES[<int>_kind] = _name


cdef class Batch:
    """Columns that are filled from the ring and handed over as arrays.

    Arrays are views of larger ones that are kept: those that nobody looks at any more are filled again, for the page
    faults of fresh memory cost more than filling it, and making an array more than slicing one.
    """

    def __cinit__(self):
        self.columns[<int>KIND_BBO].size = 16 + sizeof(BboRecord)
        self.columns[<int>KIND_TRADE].size = 16 + sizeof(TradeRecord)
        self.columns[<int>KIND_DELTA].size = 16 + sizeof(LevelsRecord)
        self.columns[<int>KIND_SNAPSHOT].size = 16 + sizeof(LevelsRecord)
        self.columns[<int>KIND_STATUS].size = 16 + sizeof(StatusRecord)
        self.columns[<int>KIND_TICKER].size = 16 + sizeof(TickerRecord)
        self.columns[<int>KIND_BAR].size = 16 + sizeof(BarRecord)
        self.columns[<int>KIND_LIQUIDATION].size = 16 + sizeof(LiquidationRecord)
        self.columns[<int>LEVELS].size = sizeof(LevelPair)
        self.dtypes = [None] * (KIND_COUNT + 1)
        self.filling = [None] * (KIND_COUNT + 1)
        self.pools = [[] for _ in range(KIND_COUNT + 1)]

    cdef void clear(self) noexcept nogil:
        cdef int i
        for i in range(KIND_COUNT + 1):
            self.columns[i].count = 0

    cdef inline char* room(self, int column, int64_t rows) noexcept nogil:
        """Room for more rows at the column's end; NULL if `grow` has to make it."""
        cdef Column* c = &self.columns[column]
        cdef int64_t at = c.count
        if at + rows > c.capacity:
            self.full = column
            self.needed = at + rows
            return NULL
        c.count = at + rows
        return c.rows + at * c.size

    cdef bint gather(self, const Head* head, int64_t length, uint64_t offset) noexcept nogil:
        """Append a record; False if there is no room: nothing is appended then.

        It may be overwritten meanwhile: no size is taken from it that `length` does not cover. `head.kind` was found to
        be one of ours by the caller, who may have seen another one than we do.
        """
        cdef int kind = head.kind
        cdef char* row
        cdef char* pairs
        cdef int64_t n
        if kind >= KIND_COUNT or kind == 0:
            return True
        row = self.room(kind, 1)
        if row == NULL:
            return False
        (<uint64_t*>row)[0] = offset
        (<int64_t*>row)[1] = self.columns[<int>LEVELS].count
        row += 16
        # Sizes that the compiler knows are copied without a call.
        if kind == KIND_BBO:
            memcpy(row, head, sizeof(BboRecord))
        elif kind == KIND_TRADE:
            memcpy(row, head, sizeof(TradeRecord))
        elif kind == KIND_DELTA or kind == KIND_SNAPSHOT:
            memcpy(row, head, sizeof(LevelsRecord))
            n = min(<int64_t>((<LevelsRecord*>row).n_bids + (<LevelsRecord*>row).n_asks),
                    (length - <int64_t>sizeof(LevelsRecord)) // <int64_t>sizeof(LevelPair))
            if n > 0:
                pairs = self.room(LEVELS, n)
                if pairs == NULL:
                    self.columns[kind].count -= 1
                    return False
                memcpy(pairs, <const char*>head + sizeof(LevelsRecord), n * sizeof(LevelPair))
        else:
            memcpy(row, head, self.columns[kind].size - 16)
        return True

    cdef int grow(self) except -1:
        """Give the column that had no room a larger array, with its rows in it."""
        cdef int i = self.full
        cdef Column* c = &self.columns[i]
        cdef int64_t capacity = max(FIRST_ROWS, self.largest[i])
        cdef list pool = self.pools[i]
        cdef Buffer buffer
        if capacity < self.needed:
            capacity = 2 * self.needed
        if self.dtypes[i] is None:
            import numpy as np

            self.empty = np.empty
            self.dtypes[i] = records.dtype("LevelPair") if i == LEVELS else _batch_dtype(_NAMES[i])
        buffer = Buffer(self.empty(capacity, self.dtypes[i]))
        if c.count:
            memcpy(buffer.rows, c.rows, c.count * c.size)
        if self.filling[i] is not None:
            pool.remove(self.filling[i])
        elif len(pool) == POOL:
            del pool[0]
        pool.append(buffer)
        self.largest[i] = capacity
        self.fill(i, buffer)
        return 0

    cdef int fill(self, int column, Buffer buffer) except -1:
        self.filling[column] = buffer
        self.columns[column].rows = NULL if buffer is None else buffer.rows
        self.columns[column].capacity = 0 if buffer is None else buffer.capacity
        return 0

    cdef dict arrays(self):
        cdef int i
        cdef dict out = {}
        for i in range(1, KIND_COUNT + 1):
            if self.columns[i].count:
                out["levels" if i == LEVELS else _NAMES[i]] = self.hand_over(i)
        return out

    cdef object hand_over(self, int column):
        """The column's rows as an array that no later batch touches."""
        cdef Column* c = &self.columns[column]
        cdef Buffer buffer = self.filling[column]
        cdef Buffer each
        array = buffer.array[:c.count]
        if c.capacity * c.size > 2 * c.count * c.size + SLACK:
            return array.copy()
        self.fill(column, None)
        for each in self.pools[column]:
            if each.is_free() and each.capacity > self.columns[column].capacity:
                self.fill(column, each)
        return array


@cython.final
cdef class Buffer:
    """The memory of an array."""

    def __cinit__(self, array):
        self.array = array
        self.rows = <char*><uintptr_t>array.__array_interface__["data"][0]
        self.capacity = len(array)

    cdef bint is_free(self):
        """Whether nobody else holds the array, or a view of it: numpy has all views refer to the array itself."""
        return (<PyObject*>self.array).ob_refcnt == 1


def _batch_dtype(name):
    """The dtype of a kind's rows: the record's fields behind `position`, and for levels `first_level`."""
    import numpy as np

    record = "LevelsRecord" if name in ("delta", "snapshot") else f"{name.capitalize()}Record"
    plain = records.dtype(record)
    names = [field for field in plain.names if field != "stamp"]
    extra = ["position", "first_level"] if name in ("delta", "snapshot") else ["position"]
    return np.dtype({
        "names": extra + names,
        "formats": ["i8"] * len(extra) + [plain.fields[field][0] for field in names],
        "offsets": [8 * i for i in range(len(extra))] + [16 + plain.fields[field][1] for field in names],
        "itemsize": 16 + plain.itemsize,
    })
