"""Rows gathered by kind, and numpy arrays made of them."""

from cpython.bytearray cimport PyByteArray_FromStringAndSize
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport free, realloc
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

cdef list _NAMES = [None] * KIND_COUNT
for _name, _kind in KINDS.items():
    _NAMES[<int>_kind] = _name


cdef class Batch:
    """Columns that are filled from the ring and emptied into arrays; their memory is kept for the next batch."""

    def __cinit__(self):
        self.columns[<int>KIND_BBO].size = 16 + sizeof(BboRecord)
        self.columns[<int>KIND_TRADE].size = 16 + sizeof(TradeRecord)
        self.columns[<int>KIND_DELTA].size = 16 + sizeof(LevelsRecord)
        self.columns[<int>KIND_SNAPSHOT].size = 16 + sizeof(LevelsRecord)
        self.columns[<int>KIND_STATUS].size = 16 + sizeof(StatusRecord)
        self.columns[<int>KIND_TICKER].size = 16 + sizeof(TickerRecord)
        self.columns[<int>KIND_BAR].size = 16 + sizeof(BarRecord)
        self.columns[<int>KIND_LIQUIDATION].size = 16 + sizeof(LiquidationRecord)
        self.levels.size = sizeof(LevelPair)
        self.dtypes = [None] * (KIND_COUNT + 1)

    def __dealloc__(self):
        cdef int i
        for i in range(KIND_COUNT):
            free(self.columns[i].rows)
        free(self.levels.rows)

    cdef void clear(self) noexcept nogil:
        cdef int i
        for i in range(KIND_COUNT):
            self.columns[i].count = 0
        self.levels.count = 0

    cdef bint gather(self, const Head* head, int64_t length, uint64_t offset) noexcept nogil:
        """Append a record; False without memory.

        It may be overwritten meanwhile: no size is taken from it that `length` does not cover. `head.kind` was found to
        be one of ours by the caller, who may see another one than we do.
        """
        cdef int kind = head.kind
        cdef Column* column
        cdef char* row
        cdef int64_t n
        if kind >= KIND_COUNT or kind == 0:
            return True
        column = &self.columns[kind]
        row = _room(column, 1)
        if row == NULL:
            return False
        (<uint64_t*>row)[0] = offset
        (<int64_t*>row)[1] = self.levels.count
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
                row = _room(&self.levels, n)
                if row == NULL:
                    return False
                memcpy(row, <const char*>head + sizeof(LevelsRecord), n * sizeof(LevelPair))
        else:
            memcpy(row, head, column.size - 16)
        return True

    cdef dict arrays(self):
        cdef int kind
        cdef Column* column
        cdef dict out = {}
        if self.frombuffer is None:
            import numpy as np

            self.frombuffer = np.frombuffer
        for kind in range(1, KIND_COUNT):
            column = &self.columns[kind]
            if column.count:
                if self.dtypes[kind] is None:
                    self.dtypes[kind] = _batch_dtype(_NAMES[kind])
                out[_NAMES[kind]] = _array(self.frombuffer, column, self.dtypes[kind])
        if self.levels.count:
            if self.dtypes[KIND_COUNT] is None:
                self.dtypes[KIND_COUNT] = records.dtype("LevelPair")
            out["levels"] = _array(self.frombuffer, &self.levels, self.dtypes[KIND_COUNT])
        return out


cdef object _array(frombuffer, const Column* column, dtype):
    """An array with memory of its own: of the size that it needs, and untouched by the next batch."""
    return frombuffer(PyByteArray_FromStringAndSize(column.rows, column.count * column.size), dtype)


cdef inline char* _room(Column* column, int64_t rows) noexcept nogil:
    """Room for more rows at the column's end; NULL without memory."""
    cdef char* memory
    cdef int64_t at = column.count
    if at + rows > column.capacity:
        memory = <char*>realloc(column.rows, 2 * (at + rows + 32) * column.size)
        if memory == NULL:
            return NULL
        column.rows = memory
        column.capacity = 2 * (at + rows + 32)
    column.count = at + rows
    return column.rows + at * column.size


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
