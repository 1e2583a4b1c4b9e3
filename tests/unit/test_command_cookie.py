"""The secret of a command: where it comes from, and ``cookie gen``."""

from __future__ import annotations

import stat
from argparse import Namespace
from pathlib import Path

import pytest

from zmqcluster.__main__ import main
from zmqcluster.commands.command import keyring_of
from zmqcluster.transport.cookie import read_cookie_file
from zmqcluster.transport.keyring import Keyring


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without any cookie."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("ZMQCLUSTER_COOKIE", raising=False)
    monkeypatch.delenv("ZMQCLUSTER_COOKIE_FILE", raising=False)
    return tmp_path


def test_cookie_gen_then_a_file_of_mode_0600_with_a_secret_of_its_own(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [home / "one", home / "other"]
    for path in paths:
        assert main(["cookie", "gen", str(path)]) == 0
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (one,), (other,) = map(read_cookie_file, paths)
    assert one != other and len(one) == 32
    assert one not in capsys.readouterr().out


def test_cookie_gen_without_a_name_then_where_nodes_look_for_it(home: Path) -> None:
    assert keyring_of(options()) is None
    assert main(["cookie", "gen"]) == 0
    (cookie,) = read_cookie_file(home / ".zmqcluster.cookie")
    assert ids(keyring_of(options())) == Keyring(cookie).ids()


def test_cookie_gen_when_the_file_is_there_then_2_unless_forced(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = home / "cookie"
    path.write_text("old")
    assert main(["cookie", "gen", str(path)]) == 2
    assert "--force" in capsys.readouterr().err and path.read_text() == "old"
    assert main(["cookie", "gen", str(path), "--force"]) == 0
    assert read_cookie_file(path) != ["old"]


def test_cookie_gen_where_nothing_can_be_written_then_2(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cookie", "gen", str(home / "no" / "cookie")]) == 2
    assert "cannot be made" in capsys.readouterr().err


def test_cookie_file_that_others_can_read_then_2_and_why(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = home / "cookie"
    path.write_text("secret")
    path.chmod(0o640)
    assert main(["ping", "a@127.0.0.1:7", "--cookie-file", str(path)]) == 2
    assert "chmod 600" in capsys.readouterr().err


def test_cookie_then_the_options_come_before_the_environment(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = home / "cookie"
    path.write_text("of the file\n")
    path.chmod(0o600)
    monkeypatch.setenv("ZMQCLUSTER_COOKIE", "of the environment")
    assert ids(keyring_of(options())) == Keyring("of the environment").ids()
    assert ids(keyring_of(options(cookie_file=path))) == Keyring("of the file").ids()
    assert ids(keyring_of(options(cookie="of the command"))) == Keyring("of the command").ids()


def options(**given: object) -> Namespace:
    return Namespace(**{"cookie": None, "cookie_file": None, **given})


def ids(keyring: Keyring | None) -> tuple[str, ...]:
    assert keyring is not None
    return keyring.ids()
