"""The files of a bus as files: their names, how they are opened, who owns them, what dead feeds left behind.

The folder may be one that everybody writes (/dev/shm): what lies there under our names is believed only if it is a
plain file of this user, symbolic links are never followed, and what is new is made under a name that nobody can guess.
"""

import errno
import fcntl
import os
import re
import secrets
import stat
import time

from libc.stdint cimport int64_t

PARTS = ("data", "readers", "lock", "ctl")

_FILE = re.compile(r"fastfeed\.(.+)\.(?:(data|readers|lock|ctl)|(?:data|readers)\.[0-9a-f]{16}\.tmp)")

#: bytes that are allocated at once: the kernel begins anew after a signal, and must come to an end between two
_CHUNK = 64 << 20

#: looks at a lock before it is called taken, and seconds between them: those who only ask hold it for a moment
_TRIES = 10
_PAUSE_S = 0.005


def folder():
    """Return the folder of the bus files: FASTFEED_SHM if set, else the system's shared memory."""
    return os.environ.get("FASTFEED_SHM") or ("/dev/shm" if os.path.isdir("/dev/shm") else "/tmp")


def path(str name not None, str part not None, str where=None):
    """Return the path of a bus file; `part` is lock, data, readers or ctl (the socket of `fastfeed ctl`)."""
    return os.path.join(where or folder(), f"fastfeed.{name}.{part}")


def names(str where not None):
    """Return {bus: [names of its files in the folder]}, those among them that a crashed start left unfinished."""
    found = {}
    for entry in sorted(os.listdir(where)):
        match = _FILE.fullmatch(entry)
        if match is not None:
            found.setdefault(match[1], []).append(entry)
    return found


def is_unfinished(str entry not None):
    """Return True for the name of a file that was still being made."""
    return entry.endswith(".tmp")


def is_locked(str target not None):
    """Return True if a process holds the lock of a file; OSError if it cannot be asked."""
    fd = os.open(target, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def take_lock(str name not None, str where not None, bint any_owner=False):
    """Take the lock of a bus and return its descriptor: nobody else writes or removes the bus until it is closed.

    Raises
    ------
    BlockingIOError : a feed holds it
    PermissionError : the file is another user's (unless `any_owner`), or no plain file
    """
    target = path(name, "lock", where)
    while True:
        fd = _open_or_make(target)
        try:
            _check_plain(fd, target, any_owner)
            _flock(fd)
            # The one who held it may have removed the file while we waited: then ours is no lock of anything.
            if same_file(fd, target):
                return fd
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)


def _open_or_make(target):
    """Never both in one call: the kernel refuses O_CREAT on others' files in /dev/shm, to root as well."""
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    while True:
        try:
            return os.open(target, flags)
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            raise PermissionError(errno.EPERM, "a symbolic link stands in the place of a bus file", target) from None
        try:
            fd = os.open(target, flags | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            continue
        os.fchmod(fd, 0o600)                # whatever the umask took away
        return fd


def _check_plain(fd, target, any_owner):
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        raise PermissionError(errno.EPERM, "no plain file stands in the place of a bus file", target)
    if found.st_uid != os.geteuid() and not any_owner:
        raise PermissionError(errno.EPERM, f"the file belongs to user {found.st_uid}, not to {os.geteuid()}", target)


def _flock(fd):
    for left in range(_TRIES, 0, -1):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if left == 1:
                raise
            time.sleep(_PAUSE_S)


def same_file(int fd, str target not None):
    """Return True if the name leads to the open file."""
    try:
        found = os.stat(target, follow_symlinks=False)
    except FileNotFoundError:
        return False
    mine = os.fstat(fd)
    return (found.st_dev, found.st_ino) == (mine.st_dev, mine.st_ino)


def make(str target not None):
    """Return (descriptor, name) of a new empty file that will be renamed to `target`; only this user can open it."""
    while True:
        building = f"{target}.{secrets.token_hex(8)}.tmp"
        try:
            fd = os.open(building, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            continue
        os.fchmod(fd, 0o600)
        return fd, building


def share(int fd, group, int mode):
    """Let a group (its id, None for nobody) use a file as `mode` says; before others know the file's name."""
    if group is not None:
        os.fchown(fd, -1, group)
        os.fchmod(fd, mode)


def allocate(int fd, int64_t start, int64_t size):
    """Take memory for a part of a file now, so that touching it later cannot fail (OSError ENOSPC)."""
    cdef int64_t at = start
    while at < start + size:
        os.posix_fallocate(fd, at, min(<int64_t>_CHUNK, start + size - at))
        at += _CHUNK


def remove(str name not None, str where not None, bint unfinished_only=False, bint but_lock=False):
    """Remove the files of a bus whose lock the caller holds, the lock last; return [(name, bytes that it held)]."""
    removed = []
    lock = os.path.basename(path(name, "lock", where))
    entries = sorted(names(where).get(name, ()), key=lambda entry: entry == lock)
    for entry in entries:
        if unfinished_only and not is_unfinished(entry) or but_lock and entry == lock:
            continue
        target = os.path.join(where, entry)
        try:
            size = os.stat(target, follow_symlinks=False).st_blocks * 512
            os.unlink(target)
        except FileNotFoundError:
            continue
        except PermissionError:
            if not unfinished_only:
                raise
            continue                        # another user's, who put it there: it is in nobody's way
        removed.append((entry, size))
    return removed
