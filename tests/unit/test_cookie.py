"""Where the cookie comes from, and that a file which others may read is refused."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from zmqcluster.errors import ConfigError, CookieFileError
from zmqcluster.transport.cookie import cookie_path, find_keyring, make_cookie_file, read_cookie_file
from zmqcluster.transport.keyring import Keyring


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("ZMQCLUSTER_COOKIE", raising=False)
    monkeypatch.delenv("ZMQCLUSTER_COOKIE_FILE", raising=False)
    return tmp_path


def written(path: Path, text: str = "a cookie\n", mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def ids(*cookies: str) -> tuple[str, ...]:
    return Keyring(*cookies).ids()


def found(cookie: str | bytes | Path | Keyring | None = None) -> tuple[str, ...]:
    keyring = find_keyring(cookie)
    assert keyring is not None
    return keyring.ids()


def test_without_any_there_is_none() -> None:
    assert find_keyring(None) is None


def test_given_cookie_comes_before_the_environment_and_that_before_the_file(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(home / ".zmqcluster.cookie", "of the file")
    assert found() == ids("of the file")
    monkeypatch.setenv("ZMQCLUSTER_COOKIE", "of the environment")
    assert found() == ids("of the environment")
    assert found("given") == ids("given")


def test_environment_names_another_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZMQCLUSTER_COOKIE_FILE", str(written(home / "elsewhere", "of elsewhere")))
    assert cookie_path() == home / "elsewhere"
    assert found() == ids("of elsewhere")


def test_file_that_the_environment_names_must_be_there(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZMQCLUSTER_COOKIE_FILE", str(home / "missing"))
    with pytest.raises(CookieFileError, match="No such file"):
        find_keyring(None)


def test_empty_environment_is_an_error_and_not_no_cookie(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZMQCLUSTER_COOKIE", "")
    with pytest.raises(ConfigError, match="empty"):
        find_keyring(None)


def test_keyring_is_taken_as_it_is() -> None:
    keyring = Keyring("a", "b")
    assert find_keyring(keyring) is keyring


def test_lines_of_a_file_are_cookies_the_first_one_used(home: Path) -> None:
    path = written(home / "two", "  twenty random letters \n\nthe old one\n")
    assert found(path) == ids("twenty random letters", "the old one")


def test_missing_file_is_made_with_a_random_cookie_for_its_owner_alone(home: Path) -> None:
    before = os.umask(0)
    try:
        first = found(home / "made")
    finally:
        os.umask(before)
    assert stat.S_IMODE((home / "made").stat().st_mode) == 0o600
    assert found(home / "made") == first
    assert len((home / "made").read_text().strip()) == 32
    assert found(home / "made too") != first
    assert sorted(path.name for path in home.iterdir()) == ["made", "made too"]


def test_home_is_understood(home: Path) -> None:
    assert make_cookie_file(Path("~/mine")) == home / "mine"
    assert found(Path("~/mine")) == ids((home / "mine").read_text().strip())
    assert make_cookie_file() == home / ".zmqcluster.cookie"


def test_of_many_that_make_the_file_at_once_all_have_the_same(home: Path) -> None:
    read: list[list[str]] = []
    start = threading.Barrier(8)

    def make() -> None:
        start.wait()
        read.append(read_cookie_file(make_cookie_file(home / "shared")))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read) == 8
    assert read.count(read[0]) == 8


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o610, 0o777])
def test_file_that_others_may_use_is_refused(home: Path, mode: int) -> None:
    path = written(home / "open", mode=mode)
    with pytest.raises(CookieFileError, match="chmod 600") as caught:
        find_keyring(path)
    assert caught.value.path == str(path)
    assert f"{mode:04o}" in caught.value.problem


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_file_of_its_owner_alone_is_good(home: Path, mode: int) -> None:
    assert found(written(home / "good", mode=mode)) == ids("a cookie")


@pytest.mark.parametrize(("text", "problem"), [("", "empty"), (" \n", "empty"), ("x" * 5_000, "longer than")])
def test_file_without_a_cookie_is_refused(home: Path, text: str, problem: str) -> None:
    with pytest.raises(CookieFileError, match=problem):
        find_keyring(written(home / "bad", text))


def test_what_is_no_text_is_refused(home: Path) -> None:
    path = home / "binary"
    path.write_bytes(b"\xff\xfe")
    path.chmod(0o600)
    with pytest.raises(CookieFileError, match="not text"):
        find_keyring(path)


def test_what_is_no_file_is_refused_at_once(home: Path) -> None:
    with pytest.raises(CookieFileError):
        find_keyring(home)
    os.mkfifo(home / "fifo", 0o600)
    with pytest.raises(CookieFileError, match="not a file"):
        find_keyring(home / "fifo")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_file_of_another_user_is_refused(home: Path) -> None:
    path = written(home / "foreign")
    os.chown(path, 12345, 12345)
    with pytest.raises(CookieFileError, match="user 12345"):
        find_keyring(path)


def test_folder_that_is_not_there_is_a_cookie_file_error(home: Path) -> None:
    with pytest.raises(CookieFileError, match="cannot be made"):
        find_keyring(home / "missing" / "cookie")
