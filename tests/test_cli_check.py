"""The command line: dispatch, exit codes, and the verb `check`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import fastfeed
from fastfeed import cli
from fastfeed.cli import check
from fastfeed.errors import BusNotFound

ROOT = Path(__file__).parents[1]

GOOD = """
[bus]
name = "main"
[[feed]]
venue = "binance"
instruments = ["BTC/USDT", "BTC/USDT:USDT"]
channels = ["book", "trade"]
connections = 2
trades = "aggregate"
endpoints = {ws = {spot = "ws://127.0.0.1:8080"}}
"""


def run(*arguments, code=None):
    """Run the command, or a program, in a process of its own."""
    command = [sys.executable, *(["-c", code] if code else ["-m", "fastfeed"]), *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)


@pytest.fixture
def good(tmp_path):
    path = tmp_path / "feed.toml"
    path.write_text(GOOD)
    return path


def test_check_prints_what_would_be_subscribed(good, capsys):
    assert cli.main(["check", str(good)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{good}: valid",
        "bus main: ring 256MiB, top 25 and up to 8192 levels a side",
        "binance: BTC/USDT, BTC/USDT:USDT, 2 connections each",
        "  spot: ws://127.0.0.1:8080 https://api.binance.com",
        "    book        /stream <symbol>@depth@100ms",
        "    trade       /stream <symbol>@aggTrade",
        "  usdm: wss://fstream.binance.com https://fapi.binance.com",
        "    book        /public/stream <symbol>@depth@100ms",
        "    trade       /market/stream <symbol>@aggTrade",
    ]


def test_check_prints_each_way_of_redundant_connections(good, capsys):
    good.write_text(
        GOOD.replace('"ws://127.0.0.1:8080"', '["ws://127.0.0.1:8080", "ws://127.0.0.1:8081/"]').replace(
            "trades =", 'local_addresses = ["127.0.0.1", "127.0.0.2"]\ntrades ='
        )
    )
    assert cli.main(["check", str(good)]) == 0
    assert capsys.readouterr().out.splitlines()[2:5] == [
        "binance: BTC/USDT, BTC/USDT:USDT, 2 connections each",
        "  from 127.0.0.1, 127.0.0.2",
        "  spot: ws://127.0.0.1:8080 ws://127.0.0.1:8081 https://api.binance.com",
    ]


def test_check_reads_the_example_of_redundant_ways(capsys):
    assert cli.main(["check", str(ROOT / "examples" / "redundant.toml")]) == 0
    ways = "  spot: wss://stream.binance.com:9443 wss://data-stream.binance.vision https://api.binance.com"
    assert ways in capsys.readouterr().out.splitlines()


def test_check_names_file_path_and_reason(tmp_path, capsys):
    path = tmp_path / "feed.toml"
    path.write_text(GOOD.replace('"trade"', '"trades"'))
    assert cli.main(["check", str(path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"fastfeed: {path}: feed[0].channels[1]: expected one of book, ")
    assert err.endswith("was 'trades' (did you mean trade?)\n")


def test_check_of_a_missing_file_is_one_line(tmp_path):
    done = run("check", tmp_path / "none.toml")
    assert done.returncode == 2
    assert done.stderr == f"fastfeed: {tmp_path}/none.toml: expected a readable file, was No such file or directory\n"


@pytest.mark.parametrize("arguments", [[], ["check"], ["chek", "x"], ["check", "a", "b"]], ids=str)
def test_wrong_usage_ends_with_2(arguments):
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: fastfeed")


def test_help_lists_every_verb_and_imports_none():
    code = (
        "import sys; from fastfeed import cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted(name for name in sys.modules if name.startswith('fastfeed')))"
    )
    lines = run(code=code).stdout.splitlines()
    assert lines[-1] == "['fastfeed', 'fastfeed.cli', 'fastfeed.errors']"
    shown = {line.split()[0] for line in lines if line.startswith("    ")}
    assert set(cli.VERBS) <= shown


def test_check_imports_no_networking(good):
    code = (
        "import sys; from fastfeed import cli; cli.main(sys.argv[1:]); "
        "print(sorted({'aiohttp', 'picows', 'uvloop', 'asyncio', 'fastfeed_core'} & set(sys.modules)))"
    )
    assert run("check", good, code=code).stdout.splitlines()[-1] == "[]"


def test_version_is_printed():
    assert run("--version").stdout == f"fastfeed {fastfeed.__version__}\n"


@pytest.mark.parametrize(
    ("raised", "code", "says"),
    [
        (KeyboardInterrupt(), 130, "fastfeed: interrupted\n"),
        (BusNotFound("demo"), 1, "fastfeed: bus demo not found: is its feed running, under this user?\n"),
    ],
    ids=["interrupt", "failure"],
)
def test_failure_is_one_line_and_an_exit_code(monkeypatch, capsys, good, raised, code, says):
    def fail(args):
        raise raised

    monkeypatch.setattr(check, "main", fail)
    assert cli.main(["check", str(good)]) == code
    assert capsys.readouterr().err == says


def test_closed_pipe_is_quiet(good):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "fastfeed", "check", str(good)],
        stdout=writer,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        timeout=60,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")
