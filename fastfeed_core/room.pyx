"""How much memory shared files may still take: of the folder, of the machine, of the control group.

A full folder is an error of the call that allocates. A full control group or machine is not: the kernel kills. So room
is asked for before it is taken.
"""

import errno
import os

cdef extern from *:
    """
    #ifdef __linux__
    #include <sys/vfs.h>
    static int ff_is_memory(const char *folder)
    {
        struct statfs s;
        return statfs(folder, &s) == 0 && (s.f_type == 0x01021994 || s.f_type == 0x858458f6);   /* tmpfs, ramfs */
    }
    #else
    static int ff_is_memory(const char *folder) { (void)folder; return 0; }
    #endif
    """
    bint ff_is_memory(const char* folder)

#: bytes left to everybody else: the books, the sockets and Python itself have to live, too
RESERVE = 32 << 20


class NoRoom(OSError):
    """Shared memory that does not fit: `needed` and `free` are bytes, `place` is what has no more."""

    def __init__(self, needed, free, place):
        super().__init__(errno.ENOSPC, f"{in_units(needed)} needed, {in_units(free)} free in {place}")
        self.needed = needed
        self.free = free
        self.place = place


def in_units(size):
    """Return a number of bytes as text, such as "1.5 GiB"."""
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} bytes"


def limits(str where not None, str proc="/proc", str groups="/sys/fs/cgroup"):
    """Return [(bytes free, place)] of all that bounds files in a folder; a place that cannot be asked is left out."""
    found = os.statvfs(where)
    free = [(found.f_bavail * found.f_frsize, where)]
    if ff_is_memory(os.fsencode(where)):
        free += _machine(proc)
        free += _groups(proc, groups)
    return free


def require(size, str where not None):
    """See that `size` more bytes fit into a folder (NoRoom)."""
    for free, place in limits(where):
        if size > free:
            raise NoRoom(size, free, place)


def huge_bytes(size_t address):
    """Bytes of the mapping at an address that lie in huge pages, as the kernel tells."""
    inside = False
    total = 0
    try:
        with open("/proc/self/smaps") as file:
            for line in file:
                key, _, text = line.partition(" ")
                if not key.endswith(":"):
                    start, _, end = key.partition("-")
                    inside = int(start, 16) <= address < int(end, 16)
                elif inside and key in ("ShmemPmdMapped:", "FilePmdMapped:"):
                    total += int(text.replace("kB", "")) << 10
    except OSError:
        return 0
    return total


def _machine(proc):
    try:
        with open(os.path.join(proc, "meminfo")) as file:
            words = {key: text for key, _, text in (line.partition(":") for line in file)}
        free = sum(int(words[key].replace("kB", "")) << 10 for key in ("MemAvailable", "SwapFree"))
    except (OSError, KeyError, ValueError):
        return []
    return [(max(0, free - RESERVE), "the machine's memory")]


def _groups(proc, root):
    """The control groups of this process, of the second version or the first, up to the root."""
    try:
        with open(os.path.join(proc, "self", "cgroup")) as file:
            lines = [line.rstrip("\n").partition(":") for line in file]
    except OSError:
        return []
    free = []
    for _, _, rest in lines:
        controllers, _, path = rest.partition(":")
        if controllers == "":
            top, names = root, ("memory.max", "memory.current", "inactive_file", "active_file")
        elif "memory" in controllers.split(","):
            top = os.path.join(root, "memory")
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file", "total_active_file")
        else:
            continue
        at = path.strip("/")
        while True:
            left = _group(os.path.join(top, at), *names)
            if left is not None:
                free.append((max(0, left - RESERVE), f"the memory of control group /{at}"))
            if not at:
                break
            at = os.path.dirname(at)
    return free


def _group(folder, limit, used, *caches):
    """Bytes that a group may still take, or None where it has no limit. Cached files make room when asked to."""
    try:
        text = _read(folder, limit)
        if not text.isdigit() or int(text) >= 1 << 60:
            return None
        lines = _read(folder, "memory.stat").split("\n")
        stat = {key: text for key, _, text in (line.partition(" ") for line in lines)}
        return int(text) - int(_read(folder, used)) + sum(int(stat.get(each, 0)) for each in caches)
    except (OSError, ValueError):
        return None


def _read(folder, name):
    with open(os.path.join(folder, name)) as file:
        return file.read().strip()
