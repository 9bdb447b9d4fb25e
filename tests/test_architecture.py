"""The floors, and what no module may know."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PYTHON = sorted((ROOT / "fastfeed").rglob("*.py"))
CORE = sorted((ROOT / "fastfeed_core").rglob("*.p[yx][xd]*")) + sorted((ROOT / "fastfeed_core").glob("*.h"))
VENUES = ("binance", "bybit", "okx", "deribit", "bitstamp", "kraken", "krakenfutures")

# A module may import those of its own floor and of lower ones.
FLOORS = {
    "errors": 0, "include": 0, "instrument": 0, "pause": 0, "waiting": 0, "proxies": 1,
    "rows": 1, "config": 2, "venues": 2, "reader": 2, "book": 2, "bus": 2, "best": 2, "credentials": 2, "inventory": 2,
    "control": 2, "snapshots": 3, "requests": 3, "link": 3, "attempt": 3, "lifecycle": 3, "breaker": 3, "places": 3,
    "reports": 3, "resubscribe": 3, "verify": 3, "books": 3, "plan": 3, "budget": 3, "calls": 3, "health": 3,
    "streams": 3, "links": 3, "subscriptions": 3,
    "protocol": 4, "markets": 4, "offline": 5, "engine": 5, "sim": 5, "cli": 6, "__main__": 7,
}  # fmt: skip


def module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> set[str]:
    """All modules that a file names in an import, also inside of functions; those for type checkers apart."""
    tree = ast.parse(path.read_text())
    checked = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        if node in checked:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            # `from package import module` names the module too.
            folder = ROOT / node.module.replace(".", "/")
            modules = [alias.name for alias in node.names if (folder / f"{alias.name}.py").exists()]
            packages = [alias.name for alias in node.names if (folder / alias.name / "__init__.py").exists()]
            found |= {node.module, *(f"{node.module}.{name}" for name in modules + packages)}
    return found


def floor(name: str) -> int | None:
    parts = name.split(".")
    return FLOORS[parts[1]] if parts[0] == "fastfeed" and len(parts) > 1 else None


@pytest.mark.parametrize("path", PYTHON, ids=module)
def test_imports_go_down_or_sideways(path):
    mine = floor(module(path))
    if mine is None:
        return
    for name in imports(path):
        other = floor(name)
        if other is not None and "venues.load" not in name:
            # Instruments are read by venues, and the public function that asks them lives with the instruments.
            late = (module(path), name.split(".")[1]) == ("fastfeed.instrument", "venues")
            assert other <= mine or late, f"{module(path)} imports {name}"


def test_every_module_has_a_floor():
    assert {module(path).split(".")[1] for path in PYTHON if "." in module(path)} == set(FLOORS)


@pytest.mark.parametrize("name", ["best", "book", "bus", "reader"])
def test_a_consumer_imports_what_is_below_the_venues_and_the_reading_side_of_the_core(name):
    ours = {name for name in imports(ROOT / "fastfeed" / f"{name}.py") if name.startswith("fastfeed")}
    allowed = {"fastfeed.errors", "fastfeed.instrument", "fastfeed.rows", "fastfeed.book", "fastfeed.bus",
               "fastfeed.reader", "fastfeed.waiting", "fastfeed_core.attach", "fastfeed_core.message",
               "fastfeed_core.replica", "fastfeed_core.conflation", "fastfeed_core.follower",
               "fastfeed_core.subscription", "fastfeed_core.top", "fastfeed_core.records"}  # fmt: skip
    assert ours <= allowed


def test_the_simulator_is_a_stranger():
    for path in (ROOT / "fastfeed" / "sim").rglob("*.py"):
        for name in imports(path):
            assert not name.startswith("fastfeed_core"), path
            assert not name.startswith("fastfeed.") or name.startswith("fastfeed.sim"), f"{path} imports {name}"


def test_the_core_knows_neither_the_package_above_nor_the_network():
    for path in CORE:
        text = path.read_text()
        assert not re.search(r"^\s*(from|import|cimport) fastfeed(\.| )", text, re.MULTILINE), path
        for word in ("asyncio", "aiohttp", "uvloop"):
            assert not re.search(rf"^\s*(from|import|cimport) {word}\b", text, re.MULTILINE), path
        if path.name != "session.pyx":
            assert not re.search(r"^\s*(from|import|cimport) picows", text, re.MULTILINE), path


def is_a_venues_own(path: Path) -> bool:
    parts = path.relative_to(ROOT).parts
    if path.stem == "fields":
        return False  # what decoders of all venues share
    return parts[:2] in {("fastfeed", "venues"), ("fastfeed_core", "decoders")} or parts[:3] == (
        "fastfeed", "sim", "profiles"
    )  # fmt: skip


GENERIC = [path for path in PYTHON + CORE if not is_a_venues_own(path)]


@pytest.mark.parametrize("path", GENERIC, ids=lambda path: path.name)
def test_no_generic_module_names_a_venue(path):
    text = path.read_text().lower()
    for venue in VENUES:
        assert not re.search(rf"\b{venue}\b", text), f"{path} names {venue}"


def test_what_the_generic_code_of_the_venues_folder_knows_of_venues_is_one_list():
    assert "binance" not in (ROOT / "fastfeed" / "venues" / "spec.py").read_text().lower()


HOT = ["decimal.pxd", "decimal.pyx", "cursor.pxd", "cursor.pyx", "sync.pxd", "pool.pxd", "pool.pyx", "publish.pxd",
       "publish.pyx", "book.pxd", "book.pyx", "ring.pxd", "routes.pyx", "event.pxd", "state.pxd", "keeper.pxd",
       "keeper.pyx", "tape.pxd", "tape.pyx", "connection.pyx", "counters.pxd",
       *(f"decoders/{path.name}" for path in sorted((ROOT / "fastfeed_core" / "decoders").glob("*.p[yx][xd]"))
         if path.name not in ("__init__.pxd", "fields.pyx"))]  # fmt: skip
# Made and freed once, or for tests.
COLD = re.compile(r"_(init|free|close)\b|routes_(add|add_next|drop|remove|reserve)\b")


@pytest.mark.parametrize("name", HOT)
def test_the_hot_path_touches_no_python(name):
    text = (ROOT / "fastfeed_core" / name).read_text()
    functions = re.findall(r"^cdef (?!class|extern)[^\n(=]*\([^)]*\)[^\n]*$", text, re.MULTILINE)
    hot = [signature for signature in functions if not COLD.search(signature)]
    assert hot
    for signature in hot:
        assert "noexcept nogil" in signature, f"{name}: {signature}"


def test_a_consumer_loads_nothing_of_the_network():
    code = (
        "import sys, fastfeed; fastfeed.open; fastfeed.BestVenue; fastfeed.Instrument; fastfeed.PublisherGone\n"
        "print(sorted({'picows', 'uvloop', 'aiohttp', 'aiolimiter', 'stamina', 'fastfeed.venues', 'fastfeed.engine',"
        " 'fastfeed.protocol', 'fastfeed_core.session', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("path", PYTHON + CORE, ids=lambda path: path.name)
def test_files_have_one_idea(path):
    # About 400 lines is the aim; beyond 650 a file has two ideas for sure.
    assert len(path.read_text().splitlines()) <= 650
