"""The structs, enums and comments of `records.pxd`, and numbers that other files of the core give names to."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
CORE = ROOT / "fastfeed_core"

_STRUCT = re.compile(r"^cdef struct (\w+):")
_ENUM = re.compile(r"^cp?def enum ?(\w*):")
_COMMENT = re.compile(r"^\s*#: ?(.*)$")
_FIELD = re.compile(r"^    (\w+)(?:\[(\d+)\])? (\w+)(?:\s+#:? ?(.*))?$")
_MEMBER = re.compile(r"^    (\w+) = ([^#]+?)(?:\s+#:? ?(.*))?$")


@dataclass
class Field:
    """One field of a struct as it is declared: `count` above 1 is an array."""

    type: str
    name: str
    count: int = 1
    comment: str = ""
    above: str = ""  # a comment on lines of its own: it is about the fields from here on


@dataclass
class Struct:
    name: str
    comment: str = ""
    fields: list[Field] = field(default_factory=list)


@dataclass
class Member:
    name: str
    value: int
    comment: str = ""


@dataclass
class Enum:
    name: str
    members: list[Member] = field(default_factory=list)


def read(path: Path = CORE / "records.pxd") -> tuple[list[Struct], list[Enum]]:
    """Return what a `.pxd` of plain structs and enums declares, in its order.

    Raises
    ------
    ValueError : a line inside of a struct or an enum that is neither a field nor a comment
    """
    structs: list[Struct] = []
    enums: list[Enum] = []
    known: dict[str, int] = {}
    above: list[str] = []
    inside: Struct | Enum | None = None
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip():
            continue
        if match := _COMMENT.match(line):
            above.append(match[1])
            continue
        comment = " ".join(above)
        if match := _STRUCT.match(line):
            inside = Struct(match[1], comment)
            structs.append(inside)
        elif match := _ENUM.match(line):
            inside = Enum(match[1])
            enums.append(inside)
        elif not line.startswith(" "):
            inside = None
        elif line.lstrip().startswith("#"):
            continue  # about the file, not about the layout
        elif isinstance(inside, Struct):
            match = _FIELD.match(line)
            if match is None:
                raise ValueError(f"{path.name}:{number}: expected a field, was {line!r}")
            inside.fields.append(Field(match[1], match[3], int(match[2] or 1), match[4] or "", comment))
        elif isinstance(inside, Enum):
            match = _MEMBER.match(line)
            if match is None:
                raise ValueError(f"{path.name}:{number}: expected a name and its number, was {line!r}")
            known[match[1]] = _number(match[2], known)
            inside.members.append(Member(match[1], known[match[1]], " ".join(filter(None, (comment, match[3])))))
        above = []
    return structs, enums


def _number(text: str, known: dict[str, int]) -> int:
    """The value of an expression of numbers and names that stand above it."""
    return int(eval(text, {"__builtins__": {}}, known))


def constant(name: str) -> int:
    """Return the number that the core's files call `name`, in whichever of them it stands.

    Raises
    ------
    LookupError : none does, or two differ
    """
    found: dict[int, str] = {}
    for path in sorted(CORE.glob("*.p[xy]*")):
        for value in re.findall(rf"^    {name} = (\w+)", path.read_text(), re.MULTILINE):
            if re.fullmatch(r"\d+|0[xX][0-9a-fA-F]+", value):
                found[int(value, 0)] = path.name
    if len(found) != 1:
        raise LookupError(f"expected one number called {name}, was {found or 'none'}")
    return next(iter(found))


def magic() -> int:
    """Return the first word of a data file."""
    match = re.search(r"FF_MAGIC (0x[0-9a-fA-F]+)", (CORE / "records.pxd").read_text())
    if match is None:
        raise LookupError("records.pxd has no FF_MAGIC")
    return int(match[1], 16)
