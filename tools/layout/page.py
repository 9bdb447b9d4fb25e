"""The page of the layout: the words of `page.part.md`, with tables where it says @struct, @enum or @control."""

from __future__ import annotations

import re
from pathlib import Path

from fastfeed_core import records
from fastfeed_core.bus import KINDS, OPTION_TYPES
from fastfeed_core.message import INSTRUMENT_STATUSES
from tools.layout import declarations
from tools.layout.declarations import CORE, ROOT, Enum, Struct

PATH = ROOT / "docs" / "layout.md"
TEXT = Path(__file__).parent / "page.part.md"

_WORD = {"S": "char", "i": "int", "u": "uint"}


def table(declared: Struct, names: frozenset[str]) -> str:
    """Return a struct as a table: offsets and sizes are the compiler's, comments those of the declaration."""
    places = {name: (kind, count, offset) for name, kind, count, offset in records.FORMATS[declared.name]}
    size = records.SIZES[declared.name]
    out = [f"**{declared.name}**, {size} bytes" + (f": {declared.comment}." if declared.comment else "."), ""]
    out += ["| offset | size | type | field | |", "|---:|---:|---|---|---|"]
    for each in declared.fields:
        comment = "; ".join(filter(None, (each.above, each.comment))).replace("|", "\\|")
        if each.type in names:
            out.append(f"| 0 | {records.SIZES[each.type]} | {each.type} | `{each.name}` | {comment} |")
            continue
        kind, count, offset = places[each.name]
        width = int(kind[1:])
        if kind[0] == "S":
            word, total = f"char[{width}]", width
        else:
            word = f"{_WORD[kind[0]]}{8 * width}" + (f"[{count}]" if count > 1 else "")
            total = width * count
        out.append(f"| {offset} | {total} | {word} | `{each.name}` | {comment} |")
    return "\n".join(out) + "\n"


def values(declared: Enum) -> str:
    """Return an enum as a table."""
    out = [f"| {declared.name} | | |", "|---:|---|---|"]
    prefix = f"{declared.members[0].name.split('_')[0]}_"
    out += [f"| {m.value} | {m.name.removeprefix(prefix).lower()} | {m.comment} |" for m in declared.members]
    return "\n".join(out) + "\n"


def control() -> str:
    """Return the ring's control words as a table.

    Raises
    ------
    ValueError : they are not all uint64
    """
    source = (CORE / "ring.h").read_text()
    numbers = _numbers(source)
    found = re.search(r"typedef struct \{([^}]*)\} ff_ring_control;", source)
    if found is None:
        raise ValueError("ring.h has no ff_ring_control")
    out = ["| offset | size | type | field | |", "|---:|---:|---|---|---|"]
    offset = 0
    for line in filter(None, map(str.strip, found[1].split("\n"))):
        field = re.fullmatch(r"uint64_t (\w+)(?:\[(\w+)\])?;(?:\s*/\* (.*) \*/)?", line)
        if field is None:
            raise ValueError(f"expected a uint64_t of ff_ring_control, was {line!r}")
        name, many, comment = field.groups()
        count = 1 if many is None else numbers[many] if many in numbers else int(many)
        if not name.startswith("_"):
            word = "uint64" + (f"[{count}]" if count > 1 else "")
            out.append(f"| {offset} | {8 * count} | {word} | `{name}` | {comment or CONTROL.get(name, '')} |")
        offset += 8 * count
    return "\n".join(out) + "\n"


#: of words that ring.h explains elsewhere
CONTROL = {
    "claimed": "first position that the producer may not write yet; moves a block at a time, before any byte does"
}


def _numbers(source: str) -> dict[str, int]:
    return {name: int(value) for name, value in re.findall(r"^#define (FF_\w+) (\d+)", source, re.MULTILINE)}


def render() -> str:
    """Return the page's text."""
    structs, enums = declarations.read()
    names = frozenset(each.name for each in structs)
    by_name = {each.name: each for each in structs}
    enum_by_name = {each.name: each for each in enums}
    shown: set[str] = set()

    def block(match: re.Match[str]) -> str:
        what, name = match[1], match[2]
        shown.add(name)
        if what == "struct":
            return table(by_name[name], names)
        return values(enum_by_name[name]) if what == "enum" else control()

    def value(match: re.Match[str]) -> str:
        name = match[1]
        lists = {"KINDS": KINDS, "OPTION_TYPES": OPTION_TYPES, "INSTRUMENT_STATUSES": INSTRUMENT_STATUSES}
        if name in lists:
            return ", ".join(str(each or "none") for each in lists[name])
        ring = _numbers((CORE / "ring.h").read_text())
        return str(ring[name] if name in ring else declarations.constant(name))

    text = re.sub(r"\{([A-Z_]+)\}", value, TEXT.read_text())
    text = re.sub(r"^@(struct|enum|control) ?(\w*)$", block, text, flags=re.MULTILINE)
    missing = (names | {each.name for each in enums if each.name}) - shown
    if missing:
        raise LookupError(f"page.part.md says nothing of {', '.join(sorted(missing))}")
    return re.sub(r"\n{3,}", "\n\n", text)
