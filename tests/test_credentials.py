"""Logins: whose files are read, and that what is in them is shown nowhere."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from processes import fastfeed as run
from processes import simulator, wait_for, write_config

import fastfeed
from fastfeed import BookState, cli
from fastfeed.config import load_config, read_config
from fastfeed.credentials import read_file
from fastfeed.errors import ConfigError
from fastfeed.sim.profiles.deribit.session import CLIENT_ID, CLIENT_SECRET
from fastfeed.venues.spec import Credentials

GOOD = 'key = "k3y"\nsecret = "s3cret"\npassphrase = "p4ss"\n'
NOBODY = 65534


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "login.toml"
    path.write_text(GOOD)
    path.chmod(0o600)
    return path


def refusal(path) -> str:
    with pytest.raises(ConfigError) as caught:
        read_file(str(path), "feed[0].credentials_file")
    for secret in ("k3y", "s3cret", "p4ss"):
        assert secret not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return str(caught.value)


def written(path) -> bytes:
    """What was ever written to a file: a bus reserves far more than it has."""
    parts, end = [], 0
    with path.open("rb") as file:
        while True:
            try:
                start = os.lseek(file.fileno(), end, os.SEEK_DATA)
            except OSError:  # no more
                return b"".join(parts)
            end = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            parts.append(os.pread(file.fileno(), end - start, start))


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_a_file_of_its_owner_alone_is_read(file, mode):
    file.chmod(mode)
    assert read_file(str(file), "") == Credentials(key="k3y", secret="s3cret", passphrase="p4ss")
    file.chmod(0o600)
    file.write_text('key = "k3y"\nsecret = "s3cret"\n')
    assert read_file(str(file), "").passphrase == ""


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o620, 0o601])
def test_a_file_that_others_can_use_is_refused_with_what_to_do(file, mode):
    file.chmod(mode)
    assert refusal(file) == (
        f"feed[0].credentials_file: expected a file that its owner alone can read (chmod 600 {file}), "
        f"was mode {mode:04o}"
    )


def test_a_link_of_our_own_is_followed(file, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(file)
    assert read_file(str(link), "").key == "k3y"
    file.chmod(0o644)  # what counts is what it leads to
    assert "chmod 600" in refusal(link)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another user, which takes root")
def test_files_and_links_of_others_are_refused(file, tmp_path):
    link, folder = tmp_path / "link", tmp_path / "folder"
    link.symlink_to(file)
    folder.symlink_to(tmp_path)
    for each in (link, folder):
        os.lchown(each, NOBODY, NOBODY)
    assert f"expected a path without links of other users, was {link}, a link of user {NOBODY}" in refusal(link)
    assert f"was {folder}, a link of user" in refusal(folder / "login.toml")
    os.chown(file, NOBODY, NOBODY)
    assert f"expected a file of user 0 (chown 0 {file}), was one of user {NOBODY}" in refusal(file)


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe", 0o600)
    assert "expected a regular file, was" in refusal(tmp_path / "pipe")
    assert "expected a regular file, was" in refusal(tmp_path)
    assert "expected a readable file, was" in refusal(tmp_path / "none")


@pytest.mark.parametrize(
    ("text", "was"),
    [
        ("s3cret", "no TOML"),
        ('key = "k3y"\nkey = "s3cret"\n', "no TOML"),
        ("key = 's3cret\n", "no TOML"),
        ("\xff", "none of them"),
        ('key = "k3y"\n', "key"),
        (f'{GOOD}s3cret = "x"\n', "key, secret, passphrase, 1 other keys"),
        ('key = "k3y"\nsecret = 7\n', "one that is no text, or empty"),
        ('key = "k3y"\nsecret = ""\n', "one that is no text, or empty"),
    ],
)
def test_what_a_file_should_hold_is_said_and_what_it_holds_is_not(file, text, was):
    file.write_text(text if text != "\xff" else "")
    assert refusal(file).endswith(
        f"expected key and secret, and passphrase where the venue has one, in {file}, was {was}"
    )


def test_what_cannot_log_in_is_found_before_anything_is_connected(file):
    def text(*lines):
        head = ['[bus]\nname = "b"\n[[feed]]\nvenue = "deribit"\ninstruments = ["BTC/USD:BTC"]\nchannels = ["book"]']
        return "\n".join([*head, 'book = "raw"', *lines])

    assert read_config(text(f'credentials_file = "{file}"')).feeds[0].login().key == "k3y"
    with pytest.raises(ConfigError, match="expected credentials from one place, was credentials as well"):
        read_config(text(f'credentials_file = "{file}"', 'credentials = "MINE"'))
    file.chmod(0o644)
    with pytest.raises(ConfigError, match=r"feed\[0\].credentials_file: expected a file that its owner alone"):
        read_config(text(f'credentials_file = "{file}"'))
    # Somebody puts the secret itself where its name belongs.
    with pytest.raises(ConfigError, match="expected a name, with NAME_KEY") as caught:
        read_config(text('credentials = "my+s3cret=="'))
    assert "s3cret" not in str(caught.value)


def test_credentials_show_nothing_of_themselves():
    login = Credentials(key="k3y", secret="s3cret", passphrase="p4ss")
    for text in (repr(login), str(login), f"{login}", repr([login]), repr({"a": login})):
        assert text.count("Credentials(***)") == 1
        assert not any(secret in text for secret in ("k3y", "s3cret", "p4ss"))


@pytest.mark.parametrize("place", ["environment", "file"])
@pytest.mark.parametrize(("venue", "form"), [("deribit", "raw"), ("okx", "books-l2-tbt")])
def test_no_secret_is_found_in_logs_on_the_bus_or_in_what_is_printed(
    venue, form, place, shm, tmp_path, monkeypatch, capsys
):
    # The simulated venue knows its own pair, or none.
    key, secret = (CLIENT_ID, CLIENT_SECRET) if venue == "deribit" else ("k3y-of-okx", "s3cret-of-okx")
    passphrase = "p4ss-of-both"
    options = {"book": form, "credentials": "MINE"}
    if place == "environment":
        for part, value in (("KEY", key), ("SECRET", secret), ("PASSPHRASE", passphrase)):
            monkeypatch.setenv(f"MINE_{part}", value)
    else:
        file = tmp_path / "login.toml"
        file.write_text(f'key = "{key}"\nsecret = "{secret}"\npassphrase = "{passphrase}"\n')
        file.chmod(0o600)
        options = {"book": form, "credentials_file": str(file)}
    name = {"deribit": "BTC/USD:BTC", "okx": "BTC/USDT"}[venue]
    with simulator(tmp_path, "--venues", venue, venue=venue) as served:
        config = write_config(tmp_path, "secret", served, [name], venue=venue, channels=["book"], options=options)
        with run("run", str(config), "--log", "DEBUG", out=tmp_path / "feed.log"):
            bus = fastfeed.open("secret", timeout=30)
            wait_for(lambda: bus.instruments and bus.book(f"{venue}:{name}").state is BookState.LIVE)
            assert bus.book(f"{venue}:{name}").top().bids  # it is logged in: else there is no such book
            assert cli.main(["check", str(config)]) == 0
            assert cli.main(["status", "secret", "--json"]) == 0
            assert cli.main(["status", "secret"]) == 0
            printed = capsys.readouterr()
            shown = {path.name: written(path) for path in shm.iterdir() if path.is_file()}
    shown |= {
        "log": (tmp_path / "feed.log").read_bytes(),
        "printed": (printed.out + printed.err).encode(),
        "config": repr(load_config(config)).encode(),
    }
    assert b"connected url=" in shown["log"]
    assert name.encode() in shown["fastfeed.secret.data"]  # the search finds what is there
    for where, content in shown.items():
        for word in (key, secret, passphrase):
            assert word.encode() not in content, where


def test_a_login_that_is_refused_shows_nothing_either(shm, tmp_path, monkeypatch):
    monkeypatch.setenv("MINE_KEY", "k3y-that-is-wrong")
    monkeypatch.setenv("MINE_SECRET", "s3cret-that-is-wrong")
    with simulator(tmp_path, "--venues", "deribit", venue="deribit") as served:
        options = {"book": "raw", "credentials": "MINE"}
        config = write_config(
            tmp_path, "refused", served, ["BTC/USD:BTC"], venue="deribit", channels=["book"], options=options
        )
        log = tmp_path / "feed.log"
        with run("run", str(config), "--log", "DEBUG", out=log):
            wait_for(lambda: log.exists() and b"invalid_credentials" in log.read_bytes())
            content = log.read_bytes()
    assert b"that-is-wrong" not in content


def test_without_its_login_a_feed_says_so_and_makes_no_bus(shm, tmp_path, monkeypatch):
    monkeypatch.delenv("MINE_KEY", raising=False)
    served = {"ws": {}, "rest": {}}
    config = write_config(
        tmp_path, "none", served, ["BTC/USD:BTC"], venue="deribit", channels=["book"],
        options={"book": "raw", "credentials": "MINE"},
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "fastfeed", "run", str(config)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        "fastfeed: feed[0].credentials: expected MINE_KEY and MINE_SECRET in the environment, was nothing"
    )
    assert list(shm.iterdir()) == []
