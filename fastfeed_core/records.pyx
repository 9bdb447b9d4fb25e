"""The layout of everything in shared memory, as text and as numpy dtypes, both derived from the structs."""

import re

from libc.stdlib cimport calloc, free

_SINGLE = {
    "c": ("S", 1), "b": ("i1", 1), "B": ("u1", 1), "h": ("i2", 2), "H": ("u2", 2), "i": ("i4", 4), "I": ("u4", 4),
    "l": ("i8", 8), "L": ("u8", 8), "q": ("i8", 8), "Q": ("u8", 8),
}
_FIELD = re.compile(r"(?:\((\d+)\))?([a-zA-Z]):([A-Za-z0-9_]+):|T\{(.*?)\}:([A-Za-z0-9_]+):")


def _formats():
    """PEP 3118 formats of the structs: what the compiler laid out, told by Cython's own memoryviews."""
    cdef char* room = <char*>calloc(1, 65536)
    if room == NULL:
        raise MemoryError
    try:
        return {
            "Head": _format(<Head[:1]> <Head*>room),
            "BboRecord": _format(<BboRecord[:1]> <BboRecord*>room),
            "TradeRecord": _format(<TradeRecord[:1]> <TradeRecord*>room),
            "LevelsRecord": _format(<LevelsRecord[:1]> <LevelsRecord*>room),
            "StatusRecord": _format(<StatusRecord[:1]> <StatusRecord*>room),
            "TickerRecord": _format(<TickerRecord[:1]> <TickerRecord*>room),
            "BarRecord": _format(<BarRecord[:1]> <BarRecord*>room),
            "LiquidationRecord": _format(<LiquidationRecord[:1]> <LiquidationRecord*>room),
            "LevelPair": _format(<LevelPair[:1]> <LevelPair*>room),
            "BusHeader": _format(<BusHeader[:1]> <BusHeader*>room),
            "BusLive": _format(<BusLive[:1]> <BusLive*>room),
            "InstrumentRow": _format(<InstrumentRow[:1]> <InstrumentRow*>room),
            "ConnectionRow": _format(<ConnectionRow[:1]> <ConnectionRow*>room),
            "LatencyHead": _format(<LatencyHead[:1]> <LatencyHead*>room),
            "TopHead": _format(<TopHead[:1]> <TopHead*>room),
            "ImageHead": _format(<ImageHead[:1]> <ImageHead*>room),
            "ReaderRow": _format(<ReaderRow[:1]> <ReaderRow*>room),
        }
    finally:
        free(room)


def _format(view):
    plain = memoryview(view)
    return plain.format, plain.itemsize


def _fields(text):
    """[(name, numpy type, count, offset)] of a PEP 3118 struct format; fields of a nested head are lifted."""
    body = text[2:len(text) - 1]
    fields = []
    offset = 0
    for count, code, name, nested, nested_name in _FIELD.findall(body):
        if nested_name:
            inner = _fields("T{" + nested + "}")
            fields += [(n, t, c, offset + o) for n, t, c, o in inner]
            last = inner[len(inner) - 1]
            offset += last[3] + int(last[1][1:]) * last[2]
            continue
        kind, size = _SINGLE[code]
        n = int(count) if count else 1
        offset += -offset % size
        if kind == "S":
            fields.append((name, f"S{n}", 1, offset))
        else:
            fields.append((name, kind, n, offset))
        offset += size * n
    return fields


FORMATS = {name: _fields(text) for name, (text, _) in _formats().items()}
SIZES = {name: size for name, (_, size) in _formats().items()}


def description():
    """Return the layout as text, a struct a line: what a bus header carries and a reader compares with its own."""
    lines = []
    for name, fields in FORMATS.items():
        words = " ".join(f"{field}:{kind}{f'*{count}' if count > 1 else ''}@{at}" for field, kind, count, at in fields)
        lines.append(f"{name} {SIZES[name]} {words}")
    return "\n".join(lines)


def difference(found):
    """Return None if `found` describes this layout, else (field, expected, found) of the first that differs."""
    ours = dict(line.split(" ", 1) for line in description().split("\n"))
    theirs = dict(line.split(" ", 1) for line in found.split("\n") if " " in line)
    for name, body in ours.items():
        other = theirs.get(name)
        if other == body:
            continue
        if other is None:
            return name, body, "nothing"
        for mine, its in zip(body.split(" ")[1:], other.split(" ")[1:]):
            if mine != its:
                return f"{name}.{mine.split(':')[0]}", mine, its
        return name, body, other
    return None


def dtype(name):
    """Return the numpy dtype of a struct, its nested head flattened, fields named `_*` left out."""
    import numpy as np

    fields = [field for field in FORMATS[name] if not field[0].startswith("_")]
    return np.dtype({
        "names": [field for field, _, _, _ in fields],
        "formats": [kind if count == 1 else (kind, (count,)) for _, kind, count, _ in fields],
        "offsets": [at for _, _, _, at in fields],
        "itemsize": SIZES[name],
    })


def text(bytes raw not None):
    """Return the text of a zero-padded field."""
    return raw.split(b"\0", 1)[0].decode("utf-8", "replace")
