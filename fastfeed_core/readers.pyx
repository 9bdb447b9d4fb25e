"""The readers' file: a row for each reader of a bus, held by a lock.

The feed makes the file and never looks at it again; readers write their rows into it for whoever asks. Nobody maps it:
it is read and written by system calls, so that garbage in it, or its end being cut off, costs no more than the figures.
A row belongs to the reader that holds the lock of its first byte; the kernel frees the lock when the reader ends,
however it ends, and the row is used again.
"""

import os
import time

from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset

from fastfeed_core.event cimport ABSENT
from fastfeed_core.wake cimport ff_monotonic

from fastfeed_core import records
from fastfeed_core.files import make, share

cdef extern from *:
    """
    #include <fcntl.h>
    #include <unistd.h>

    #ifdef F_OFD_SETLK
    #define FF_SETLK F_OFD_SETLK
    #define FF_GETLK F_OFD_GETLK
    #else
    #define FF_SETLK F_SETLK
    #define FF_GETLK F_GETLK
    #endif

    static int ff_lock_byte(int fd, long long at)
    {
        struct flock l = {0};
        l.l_type = F_WRLCK;
        l.l_whence = SEEK_SET;
        l.l_start = at;
        l.l_len = 1;
        return fcntl(fd, FF_SETLK, &l) == 0;
    }

    static int ff_is_locked(int fd, long long at)
    {
        struct flock l = {0};
        l.l_type = F_WRLCK;
        l.l_whence = SEEK_SET;
        l.l_start = at;
        l.l_len = 1;
        return fcntl(fd, FF_GETLK, &l) == 0 && l.l_type != F_UNLCK;
    }
    """
    bint ff_lock_byte(int fd, long long at) nogil
    bint ff_is_locked(int fd, long long at) nogil
    ssize_t pwrite(int fd, const void* what, size_t size, long long at) nogil

WAITS = ("block", "yield", "spin")

# Nothing is followed: whoever may write the folder could lead a reader to a file of its user's.
_OPEN = os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0) | os.O_NONBLOCK


def create_rows(str path not None, group=None):
    """Make the file anew, for this user or for a group as well; sparse, so that rows cost memory only when used."""
    fd, building = make(path)
    try:
        os.ftruncate(fd, READER_ROWS * READER_STRIDE)
        share(fd, group, 0o660)
        os.rename(building, path)
    except BaseException:
        os.unlink(building)
        raise
    finally:
        os.close(fd)


cdef class ReaderSlot:
    """A row for a reader of this process; without a free one, or without the file, it has none and tells nothing.

    Parameters
    ----------
    path : of the readers' file
    generation : of the bus
    label : what people know the reader by; cut off after 47 bytes
    wait : index of the way to wait, of block, yield, spin
    latency : count the time from publish to read
    """

    def __cinit__(self, str path not None, generation, str label not None, int wait=0, bint latency=False):
        cdef bytes name = label.encode()[:47]
        self.fd = -1
        memset(&self.row, 0, sizeof(ReaderRow))
        self.row.generation = generation
        self.row.pid = os.getpid()
        self.row.wait = wait
        self.row.attached = time.time_ns()
        memcpy(self.row.label, <const char*>name, len(name))
        self.row.latency_max = ABSENT
        if latency:
            self.row.latency_max = 0
            self.counts = <int64_t*>calloc(HISTOGRAM_SIZE, sizeof(int64_t))
            if self.counts == NULL:
                raise MemoryError
        if path:
            self._claim(path)
        self.tell()

    def _claim(self, path):
        cdef int fd
        cdef int i
        try:
            fd = os.open(path, os.O_RDWR | _OPEN)
        except OSError:
            return
        for i in range(READER_ROWS):
            if ff_lock_byte(fd, <long long>i * READER_STRIDE):
                self.fd = fd
                self.at = <int64_t>i * READER_STRIDE
                return
        os.close(fd)

    def __dealloc__(self):
        free(self.counts)
        if self.fd >= 0:
            os.close(self.fd)

    @property
    def index(self):
        """Number of the row, -1 without one."""
        return self.at // READER_STRIDE if self.fd >= 0 else -1

    def close(self):
        """Free the row."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    @property
    def label(self):
        """What people know the reader by."""
        return records.text(self.row.label[:48])

    cdef void tell(self) noexcept nogil:
        """Write the row and its histogram; a full shared memory keeps the old figures."""
        self.row.heartbeat = ff_monotonic()
        if self.fd < 0:
            return
        pwrite(self.fd, &self.row, sizeof(ReaderRow), self.at)
        if self.counts != NULL:
            pwrite(self.fd, self.counts, HISTOGRAM_SIZE * sizeof(int64_t), self.at + <int64_t>sizeof(ReaderRow))


def list_rows(str path not None):
    """Return what the living readers say of themselves, as dicts; it is theirs to say, so believe it accordingly.

    Returns
    -------
    label, pid, generation, wait (block, yield, spin), attached (ns since the epoch), position, read, lost, behind
    (records up to the tail), heartbeat_age (seconds), latency: None or (counts as bytes, greatest), ns.
    """
    cdef int fd
    cdef int64_t at
    cdef ReaderRow row
    cdef bytes raw
    cdef int i
    out = []
    try:
        fd = os.open(path, os.O_RDONLY | _OPEN)
    except OSError:
        return out
    try:
        for i in range(READER_ROWS):
            at = <int64_t>i * READER_STRIDE
            if not ff_is_locked(fd, at):
                continue
            raw = _stable(fd, at)
            if len(raw) < <Py_ssize_t>sizeof(ReaderRow):
                continue
            memcpy(&row, <const char*>raw, sizeof(ReaderRow))
            latency = None
            if row.latency_max != ABSENT:
                counts = os.pread(fd, HISTOGRAM_SIZE * sizeof(int64_t), at + sizeof(ReaderRow))
                if len(counts) == HISTOGRAM_SIZE * sizeof(int64_t):
                    latency = counts, row.latency_max
            out.append({
                "label": records.text(row.label[:48]), "pid": row.pid, "generation": row.generation,
                "wait": WAITS[row.wait] if row.wait < 3 else None, "attached": row.attached,
                "position": row.position, "read": row.read, "lost": row.lost, "behind": row.behind,
                "heartbeat_age": (ff_monotonic() - row.heartbeat) / 1e9, "latency": latency,
            })
    finally:
        os.close(fd)
    return out


cdef bytes _stable(int fd, int64_t at):
    """A row that its reader did not write meanwhile, as far as a few tries tell."""
    cdef bytes one = os.pread(fd, sizeof(ReaderRow), at)
    cdef bytes other
    cdef int _tries
    for _tries in range(8):
        other = os.pread(fd, sizeof(ReaderRow), at)
        if len(one) == len(other) and memcmp(<const char*>one, <const char*>other, len(one)) == 0:
            break
        one = other
    return one
