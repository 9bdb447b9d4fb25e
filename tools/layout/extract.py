"""The read side of `ring.h` and `wake.h`: what a few functions need, and what that needs, in the files' own words."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

#: what the header's own part calls, or offers to its users as it stands
ROOTS = (
    "ff_ring_attach", "ff_ring_peek", "ff_ring_valid", "ff_ring_advance", "ff_ring_seek", "ff_ring_seek_tail",
    "ff_ring_seek_oldest", "ff_ring_recover", "ff_cell_read", "ff_cell_valid", "ff_cells", "ff_realtime",
    "ff_monotonic", "ff_prepare_sleep", "ff_sleep", "ff_bell_attach", "ff_bell_detach",
)  # fmt: skip

_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
_WORD = re.compile(r"[A-Za-z_]\w*")


@dataclass
class Item:
    """A piece of C at the top level: its text with the comment above it, the names that it makes, all words in it."""

    text: str
    names: frozenset[str]
    words: frozenset[str]


def items(source: str) -> list[Item]:
    """Cut a C header into its definitions; its guard and its includes are left out."""
    lines = source.split("\n")
    # The guard: from its #ifndef to the last #endif.
    first = next(number for number, line in enumerate(lines) if line.startswith("#ifndef"))
    last = max(number for number, line in enumerate(lines) if line.startswith("#endif"))
    found: list[Item] = []
    piece: list[str] = []
    for line in lines[first + 2 : last]:
        if not piece and not line.strip():
            continue
        piece.append(line)
        text = "\n".join(piece)
        if not line.strip() and not _COMMENT.sub("", text).strip():
            piece = []  # a comment that stands alone is about the file
        elif _ends(text):
            if item := _item(text):
                found.append(item)
            piece = []
    if "".join(piece).strip():
        raise ValueError(f"expected a definition that ends, was {piece[0]!r}")
    return found


def _ends(text: str) -> bool:
    """Whether a definition is complete: its braces and its conditionals are closed."""
    if text.count("/*") != text.count("*/"):
        return False
    bare = _COMMENT.sub("", text).strip()
    if not bare:
        return False
    opened = len(re.findall(r"^\s*#\s*if", bare, re.MULTILINE)) - len(re.findall(r"^\s*#\s*endif", bare, re.MULTILINE))
    if opened or bare.count("{") != bare.count("}"):
        return False
    if bare.startswith("#"):
        return not bare.endswith("\\")
    return bare[-1] in ";}"


def _item(text: str) -> Item | None:
    bare = _COMMENT.sub("", text).strip()
    if bare.startswith("#"):
        text = re.sub(r"^\s*#\s*include.*\n?", "", text, flags=re.MULTILINE)
        names = set(re.findall(r"^\s*#\s*define (\w+)", text, re.MULTILINE))
        names |= set(re.findall(r"^static inline [^(]*?(\w+)\(", text, re.MULTILINE))
        if not names:
            return None
    elif bare.startswith("_Static_assert"):
        names = set()
    elif bare.startswith("enum"):
        names = set(re.findall(r"[{,]\s*(\w+)", bare))
    elif bare.startswith("typedef"):
        names = {_WORD.findall(bare)[-1]}
    else:
        match = re.match(r"[^(]*?(\w+)\(", bare)
        if match is None:
            raise ValueError(f"expected a function, was {bare.splitlines()[0]!r}")
        names = {match[1]}
    return Item(text.rstrip(), frozenset(names), frozenset(_WORD.findall(bare)))


def closure(sources: Iterable[str], roots: Iterable[str] = ROOTS) -> list[str]:
    """Return the texts of the definitions that `roots` need, in the order of `sources`.

    Raises
    ------
    LookupError : a root that no source defines
    """
    pieces = [item for source in sources for item in items(source)]
    home = {name: item for item in pieces for name in item.names}
    wanted: set[str] = set()
    todo = list(roots)
    while todo:
        name = todo.pop()
        if name not in home:
            raise LookupError(f"no definition of {name}")
        if name not in wanted:
            wanted |= home[name].names
            todo += [word for word in home[name].words if word in home and word not in wanted]
    kept = []
    for item in pieces:
        # An assertion makes no names: it is about what is kept, or not at all.
        needs = item.names & wanted if item.names else item.words & home.keys() <= wanted
        if needs:
            kept.append(item.text.replace("_Static_assert", "FF_STATIC_ASSERT"))
    return kept
