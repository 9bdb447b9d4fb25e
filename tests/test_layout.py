"""What is derived from the layout of shared memory: current, and true."""

from __future__ import annotations

import re

import numpy as np
import pytest

from fastfeed_core import records
from tools.layout import __main__ as command
from tools.layout import declarations, extract, header, page

STRUCTS, ENUMS = declarations.read()
NUMPY = {"uint8_t": "u1", "uint16_t": "u2", "uint32_t": "u4", "uint64_t": "u8",
         "int8_t": "i1", "int16_t": "i2", "int32_t": "i4", "int64_t": "i8"}  # fmt: skip


def test_the_header_and_the_page_are_current():
    assert command.main(["--check"]) == 0, "run `python -m tools.layout`"


def test_a_file_that_is_not_current_is_named_and_written(tmp_path, monkeypatch, capsys):
    for module, name in ((header, "fastfeed.h"), (page, "layout.md")):
        (tmp_path / name).write_text(module.PATH.read_text())
        monkeypatch.setattr(module, "PATH", tmp_path / name)
    assert command.main(["--check"]) == 0
    old = page.PATH.read_text()
    page.PATH.write_text(old.replace("`ts_recv`", "`ts_received`", 1))
    header.PATH.unlink()
    assert command.main(["--check"]) == 1
    assert capsys.readouterr().out == f"{header.PATH}: not current\n{page.PATH}: not current\n"
    assert not header.PATH.exists()
    assert command.main([]) == 0
    assert command.main(["--check"]) == 0
    assert page.PATH.read_text() == old


@pytest.mark.parametrize("declared", STRUCTS, ids=lambda each: each.name)
def test_declarations_are_read_as_the_compiler_laid_them_out(declared):
    names = {each.name: each for each in STRUCTS}
    found = []
    for each in declared.fields:
        if each.type in names:
            found += [(inner.name, NUMPY[inner.type], inner.count) for inner in names[each.type].fields]
        elif each.type == "char":
            found.append((each.name, f"S{each.count}", 1))
        else:
            found.append((each.name, NUMPY[each.type], each.count))
    assert found == [(name, kind, count) for name, kind, count, _ in records.FORMATS[declared.name]]


def test_all_structs_and_enums_are_declared():
    assert [each.name for each in STRUCTS if each.name not in records.FORMATS] == []
    assert set(records.FORMATS) == {each.name for each in STRUCTS}
    for each in ENUMS:
        if each.name:
            known = {member.name: member.value for member in getattr(records, each.name)}
            assert {member.name: member.value for member in each.members} == known


def tables() -> dict[str, list[tuple[int, int, str, str]]]:
    """The page's tables of structs: (offset, size, type, field)."""
    found: dict[str, list[tuple[int, int, str, str]]] = {}
    name = ""
    for line in page.PATH.read_text().splitlines():
        if match := re.match(r"\*\*(\w+)\*\*, (\d+) bytes", line):
            name = match[1]
            found[name] = []
            assert int(match[2]) == records.SIZES[name]
        elif match := re.match(r"\| (\d+) \| (\d+) \| (\S+) \| `(\w+)` \|", line):
            if name:
                found[name].append((int(match[1]), int(match[2]), match[3], match[4]))
        elif not line.startswith("|") and line:
            name = ""
    return found


def test_a_reader_that_believes_the_page_reads_what_numpy_reads():
    found = tables()
    assert set(found) == set(records.FORMATS)
    for struct, rows in found.items():
        plain = [row for row in rows if row[2] != "Head"]
        lifted = found["Head"] if len(plain) < len(rows) else []
        fields = {name: (offset, size, kind) for offset, size, kind, name in [*lifted, *plain]}
        dtype = records.dtype(struct)
        assert {name for name in fields if not name.startswith("_")} == set(dtype.names)
        end = 0
        for name, (offset, size, kind) in fields.items():
            assert offset == end, f"{struct}.{name}"
            end = offset + size
            if not name.startswith("_"):
                what, at = dtype.fields[name][:2]
                base = re.sub(r"\[\d+\]$", "", kind)
                assert (at, what.itemsize) == (offset, size)
                assert what.base.kind == "S" if base == "char" else what.base == np.dtype(base)
        assert end == records.SIZES[struct]


def test_numbers_that_the_core_names_twice_must_agree(monkeypatch, tmp_path):
    assert declarations.constant("CELL_HEAD") == 128
    (tmp_path / "a.pxd").write_text("cdef enum:\n    SIZE = 12\n    WORD = 0x10\n")
    (tmp_path / "b.pyx").write_text("cdef enum:\n    SIZE = 12\n    WORD = 17\n")
    monkeypatch.setattr(declarations, "CORE", tmp_path)
    assert declarations.constant("SIZE") == 12
    with pytest.raises(LookupError, match="WORD"):
        declarations.constant("WORD")
    with pytest.raises(LookupError, match="none"):
        declarations.constant("NOWHERE")


@pytest.mark.parametrize("line", ["    int64_t x, y", "    ??", "    FIVE"])
def test_a_declaration_that_is_not_understood_is_an_error(tmp_path, line):
    (tmp_path / "r.pxd").write_text(f"cdef struct A:\n    int64_t fine\n{line}\n")
    with pytest.raises(ValueError, match=r"r\.pxd:3"):
        declarations.read(tmp_path / "r.pxd")


SOURCE = """/* About the file. */
#ifndef X_H
#define X_H

#include <stdint.h>

#define SIZE 64 /* of a line */

#ifdef __linux__
#include <limits.h>
#endif

/* Unused. */
typedef struct {
    int other;
} unused;

typedef struct { char c[SIZE]; } line;

_Static_assert(sizeof(line) == SIZE, "size");
_Static_assert(sizeof(unused) == 4, "size");

#if defined(A)
#define HINT() a()
#else
#define HINT() ((void)0)
#endif

/* Helps. */
static inline int helper(const line *l)
{
    if (l->c[0]) { HINT(); }
    return 1;
}

static inline void writer(unused *u) { u->other = 1; }

/* Wanted; not about writer. */
static inline int wanted(line *l) { return helper(l); }

#endif
"""


def test_what_a_function_needs_comes_with_it_and_nothing_else():
    found = extract.closure([SOURCE], ["wanted"])
    assert found == [
        "#define SIZE 64 /* of a line */",
        "typedef struct { char c[SIZE]; } line;",
        'FF_STATIC_ASSERT(sizeof(line) == SIZE, "size");',
        "#if defined(A)\n#define HINT() a()\n#else\n#define HINT() ((void)0)\n#endif",
        "/* Helps. */\nstatic inline int helper(const line *l)\n{\n    if (l->c[0]) { HINT(); }\n    return 1;\n}",
        "/* Wanted; not about writer. */\nstatic inline int wanted(line *l) { return helper(l); }",
    ]
    with pytest.raises(LookupError, match="nothing_like_it"):
        extract.closure([SOURCE], ["nothing_like_it"])


def test_the_header_has_no_way_to_write_a_ring():
    text = header.PATH.read_text()
    assert "ff_ring_peek" in text
    for name in ("ff_ring_writer *", "ff_ring_claim(", "ff_store_commit(", "ff_cell_begin(", "ff_wake("):
        assert name not in text
