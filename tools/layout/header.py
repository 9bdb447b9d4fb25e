"""The C header: structs with their comments and assertions, the read side of the ring, opening and reading a bus."""

from __future__ import annotations

import re
from pathlib import Path

from fastfeed_core import records
from fastfeed_core.bus import KINDS, OPTION_TYPES
from fastfeed_core.message import INSTRUMENT_STATUSES
from tools.layout import declarations, extract
from tools.layout.declarations import CORE, Field, Struct

PATH = CORE / "include" / "fastfeed.h"
PARTS = Path(__file__).parent

#: numbers of other files of the core that a reader needs
CONSTANTS = {
    "LIVE_OFFSET": "of ff_bus_live in the data file",
    "LIVE_READY": "values of ff_bus_live.state",
    "LIVE_CLOSED": "",
    "CELL_HEAD": "bytes in front of the two slots of a cell or an image: the version word, alone",
    "READER_ROWS": "rows of the readers' file",
    "READER_STRIDE": "bytes from one of them to the next",
    "STALE_AFTER": "ns without a heartbeat after which nothing that the feed wrote is live",
    "ID_INTEGER": "values of ff_trade_record.id_kind",
    "ID_UUID": "",
    "ID_TEXT": "",
    "SIDE_BUY": "values of side",
    "SIDE_SELL": "",
}

NUMBERS = """/* Times are ns since the Unix epoch unless a comment says otherwise; px and sz are mantissas:
   value = mantissa * 10**exponent of the instrument's row; ff_value makes a double of one. */"""

BOTTOM = """
#ifdef __cplusplus
}
#endif

#endif
"""


def c_name(name: str) -> str:
    """Return the C name of a struct: BboRecord is ff_bbo_record; Head, of which ring.h has a part, ff_record_head."""
    return "ff_record_head" if name == "Head" else "ff_" + re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def section(title: str) -> str:
    """Return a line that parts the header."""
    return f"\n/* ---- {title} {'-' * (108 - len(title))} */\n"


def struct(declared: Struct, names: frozenset[str]) -> str:
    """Return the typedef of a struct with its comments."""
    out = [f"/* {declared.comment} */"] if declared.comment else []
    out.append("typedef struct {")
    lines = [(_declare(each, names), each) for each in declared.fields]
    width = max(len(text) for text, _ in lines)
    for text, each in lines:
        if each.above:
            out.append(f"    /* {each.above} */")
        comment = re.sub(r"see ([A-Z]\w+)$", lambda match: f"enum {enum_name(match[1])}", each.comment)
        out.append(f"    {text.ljust(width)} /* {comment} */" if comment else f"    {text}")
    out.append(f"}} {c_name(declared.name)};")
    return "\n".join(out)


def assertions(declared: Struct, names: frozenset[str]) -> str:
    """Return what holds the reader's compiler to the places where the feed's put the fields."""
    c = c_name(declared.name)
    out = [f'FF_STATIC_ASSERT(sizeof({c}) == {records.SIZES[declared.name]}, "size of {c}");']
    places = {name: offset for name, _, _, offset in records.FORMATS[declared.name]}
    for each in declared.fields:
        offset = 0 if each.type in names else places[each.name]
        out.append(f'FF_STATIC_ASSERT(offsetof({c}, {each.name}) == {offset}, "{c}.{each.name}");')
    return "\n".join(out)


def enum_name(name: str) -> str:
    """Return the C name of an enum: Kind is ff_kind."""
    return "ff_" + re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _declare(each: Field, names: frozenset[str]) -> str:
    kind = c_name(each.type) if each.type in names else each.type
    return f"{kind} {each.name}{f'[{each.count}]' if each.count > 1 else ''};"


def numbers(members: list[tuple[str, int, str]], name: str = "") -> str:
    """Return an enum of names with their numbers and comments."""
    lines = [f"FF_{label} = {value}," for label, value, _ in members]
    width = max(map(len, lines))
    body = [
        f"    {line.ljust(width)} /* {comment} */" if comment else f"    {line}"
        for line, (_, _, comment) in zip(lines, members, strict=True)
    ]
    return f"enum {name + ' ' if name else ''}{{\n" + "\n".join(body) + "\n};"


def defines(members: list[tuple[str, int, str]]) -> str:
    """Return #defines: numbers that array sizes are made of."""
    lines = [f"#define FF_{label} {value}" for label, value, _ in members]
    width = min(max(map(len, lines)), 28)
    return "\n".join(
        f"{line.ljust(width)} /* {comment} */" if comment else line
        for line, (_, _, comment) in zip(lines, members, strict=True)
    )


def words(name: str, texts: tuple[str | None, ...]) -> str:
    """Return an enum of the words that a row holds the index of."""
    return numbers([(f"{name}_{text or 'none'}".upper(), index, "") for index, text in enumerate(texts)])


def render() -> str:
    """Return the header's text."""
    structs, enums = declarations.read()
    names = frozenset(each.name for each in structs)
    plain = [(each.name, each.value, each.comment) for each in enums[0].members]
    out = [(PARTS / "top.part.h").read_text(), section("Numbers").strip("\n")]
    out.append(f"#define FF_MAGIC {declarations.magic():#x}ULL /* the first word of a data file */")
    out.append(defines([*plain, *((name, declarations.constant(name), why) for name, why in CONSTANTS.items())]))
    out.append("#define FF_ABSENT INT64_MIN /* a value that the venue did not give */")
    out.append("#define FF_NO_INSTRUMENT UINT32_MAX /* head.instrument of a status of a connection or of the bus */\n")
    for each in enums[1:]:
        out.append(numbers([(m.name, m.value, m.comment) for m in each.members], enum_name(each.name)) + "\n")
    out.append("/* The words of an instrument row: kind, option_type, status. */")
    out += [words("INSTRUMENT", KINDS), words("OPTION", OPTION_TYPES), words("STATUS", INSTRUMENT_STATUSES)]
    out.append(section("Records, cells and rows").rstrip("\n"))
    out.append(NUMBERS)
    for each_struct in structs:
        out.append("\n" + struct(each_struct, names))
    out.append("\n/* The compiler lays them out as the feed's did. */")
    out += [assertions(each_struct, names) for each_struct in structs]
    out.append("\n/* The same as text: what the feed writes into each data file. */")
    out.append("static const char *const ff_description[] = {")
    for line in records.description().split("\n"):
        pieces = re.findall(r".{1,100}(?: |$)", line)
        out.append("\n".join(f'    "{piece}"' for piece in pieces) + ",")
    out.append("};")
    out.append(section("The ring and the cells, as the feed's own readers have them").rstrip("\n"))
    sources = [(CORE / name).read_text() for name in ("ring.h", "wake.h")]
    out.append("\n\n".join(extract.closure(sources)))
    for part in ("bus", "cells", "reader"):
        out.append("\n" + (PARTS / f"{part}.part.h").read_text().rstrip("\n"))
    return "\n".join(out) + "\n" + BOTTOM
