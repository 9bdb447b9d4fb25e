"""docs/memory-order.md names every atomic access, and what a compiler makes of it."""

from __future__ import annotations

import platform
import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from cprogram import ROOT, compiler

CORE = ROOT / "fastfeed_core"
PAGE = ROOT / "docs" / "memory-order.md"
ROW = re.compile(r"^\| `(\w+)` \| (load|store|fence|add|swap)\b[^|]* \| (\w+) \| `([^`]+)` \|", re.MULTILINE)
WORDS = {"load_n": "load", "store_n": "store", "thread_fence": "fence", "fetch_add": "add",
         "exchange_n": "swap", "compare_exchange_n": "swap"}  # fmt: skip


def rows() -> list[tuple[str, str, str, str]]:
    """(function, access, order, instruction) of each row of the page."""
    return ROW.findall(PAGE.read_text())


def accesses(text: str) -> list[tuple[str, str, str]]:
    """(function, access, order) of each atomic builtin in a C text, in its order."""
    found = []
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
    # A macro without arguments stands for its access; of two, the one that is not for tests comes last.
    macro = r"^\s*#\s*define (\w+)\(\) (.*__atomic_.*)$"
    macros = dict(re.findall(macro, text, re.MULTILINE))
    text = re.sub(macro, "", text, flags=re.MULTILINE)
    for name, body in macros.items():
        text = text.replace(f"{name}()", body)
    starts = [(match.start(), match[1]) for match in re.finditer(r"static inline [^(;]*?(\w+)\(", text)]
    for match in re.finditer(r"__atomic_(\w+)\(", text):
        order = re.search(r"__ATOMIC_(\w+)", text[match.end() :])
        name = [function for start, function in starts if start < match.start()][-1]
        found.append((name, WORDS.get(match[1], match[1]), order[1].lower()))
    return found


def sources() -> list[Path]:
    return [path for pattern in ("*.h", "*.pyx", "*.pxd") for path in sorted(CORE.glob(pattern))]


def test_every_atomic_access_has_its_row_and_every_row_its_access():
    found = Counter(each for path in sources() for each in accesses(path.read_text()))
    said = Counter((function, access, order) for function, access, order, _ in rows())
    assert found
    assert sorted((found - said).elements()) == [], "accesses without a row"
    assert sorted((said - found).elements()) == [], "rows without an access"


def test_an_access_and_its_function_are_found():
    text = """
    /* __atomic_load_n(x, __ATOMIC_RELAXED) */
    #ifdef TEST
    #define full() __atomic_signal_fence(__ATOMIC_SEQ_CST)
    #else
    #define full() __atomic_thread_fence(__ATOMIC_SEQ_CST)
    #endif
    static inline void f(int *x) { __atomic_store_n(x,
        1, __ATOMIC_RELEASE); }
    static inline int g(int *x)
    {
        full();
        return __atomic_load_n(x, __ATOMIC_ACQUIRE);
    }
    """
    assert accesses(text) == [("f", "store", "release"), ("g", "fence", "seq_cst"), ("g", "load", "acquire")]


STRONG = {
    ("load", "acquire"): "ldar",
    ("store", "release"): "stlr",
    ("store", "seq_cst"): "stlr",
    ("fence", "acquire"): "dmb ishld",
    ("fence", "release"): "dmb ish",
    ("fence", "seq_cst"): "dmb ish",
    ("add", "release"): "ldaddl",
}


def test_relaxed_rows_are_plain_and_the_others_are_not():
    for function, access, order, instruction in rows():
        plain = {"load": "ldr", "store": "str"}.get(access)
        assert instruction == (plain if order == "relaxed" else STRONG[access, order]), function


def functions(name: str, folder: Path, cc: str, objdump: str, *flags: str) -> dict[str, str]:
    """Disassemble every function of a header, each as one of its own: nothing is inlined."""
    text = (CORE / name).read_text()
    names = re.findall(r"^static inline [^(]*?(\w+)\(", text, re.MULTILINE)
    source = folder / "all.c"
    uses = "\n".join(f"    (void (*)(void)){each}," for each in names)
    source.write_text(f'#define _GNU_SOURCE\n#include "{name}"\nvoid (*all[])(void) = {{\n{uses}\n}};\n')
    target = folder / "all.o"
    command = [cc, "-std=c11", "-O2", "-fno-inline", "-fno-ipa-sra", "-fno-ipa-cp", "-fno-ipa-icf", *flags, f"-I{CORE}",
               "-c", str(source), "-o", str(target)]  # fmt: skip
    subprocess.run(command, check=True)
    listing = subprocess.run([objdump, "-d", "--no-show-raw-insn", target], capture_output=True, text=True, check=True)
    parts = re.split(r"^[0-9a-f]+ <(\w+)>:$", listing.stdout, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


ORDERED = re.compile(r"\t(ldar|ldapr|ldapur|stlr|stlur|dmb|ldaddl|stlxr|ldaxr)\s+([^\n]*)")


@pytest.mark.parametrize("name", ["ring.h", "wake.h"])
def test_a_compiler_for_aarch64_makes_the_instructions_that_the_page_names(tmp_path, name):
    cc = compiler("aarch64-linux-gnu-gcc")
    found = functions(name, tmp_path, cc, compiler("aarch64-linux-gnu-objdump"), "-march=armv8.1-a")
    assert found
    checked = 0
    for function, text in found.items():
        said = {instruction for each, _, _, instruction in rows() if each == function} - {"ldr", "str"}
        made = set()
        for word, operands in ORDERED.findall(text):
            word = {"ldapr": "ldar", "ldapur": "ldar", "stlur": "stlr"}.get(word, word)
            made.add(f"dmb {operands.split()[0]}" if word == "dmb" else word)
        assert made == said, function
        checked += len(said)
    assert checked >= 3


@pytest.mark.skipif(platform.machine() != "x86_64", reason="about x86")
@pytest.mark.parametrize("name", ["ring.h", "wake.h"])
def test_on_x86_only_the_full_fences_cost_anything(tmp_path, name):
    found = functions(name, tmp_path, compiler("cc"), compiler("objdump"))
    assert found
    costly = {
        each for each, text in found.items() if re.search(r"\t(lock|mfence|lfence|sfence|xchg\s+%e?\w+,[^%])", text)
    }
    full = {function for function, _, order, _ in rows() if order == "seq_cst"}
    assert costly == full & set(found)
