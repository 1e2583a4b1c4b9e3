"""The run directory: where it is, whom it is refused, and one holder per name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from zmqcluster.errors import ConfigError, NameInUse
from zmqcluster.ids import NodeName
from zmqcluster.transport.rundir import NameLock, local_endpoint, nearest, run_directory, socket_path

NAME = NodeName.parse("orders@127.0.0.1:7101")


def test_run_directory_is_made_for_us_alone(tmp_path: Path) -> None:
    path = run_directory(tmp_path / "deep" / "run")
    assert path.stat().st_mode & 0o777 == 0o700
    assert run_directory(path) == path


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"ZMQCLUSTER_RUN_DIR": "{}/named", "XDG_RUNTIME_DIR": "{}/xdg"}, "named"),
        ({"XDG_RUNTIME_DIR": "{}/xdg"}, "xdg/zmqcluster"),
        ({}, f"zmqcluster-{os.getuid()}"),
    ],
)
def test_default_run_directory_follows_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: str
) -> None:
    for variable in ("ZMQCLUSTER_RUN_DIR", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value.format(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert run_directory() == tmp_path / expected


def test_run_directory_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = tmp_path.stat().st_uid
    monkeypatch.setattr("os.getuid", lambda: owner + 1)
    with pytest.raises(ConfigError, match=f"belongs to user {owner}"):
        run_directory(tmp_path)


def test_run_directory_that_others_may_write_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(ConfigError, match="chmod 700"):
        run_directory(tmp_path)


def test_run_directory_that_is_a_link_or_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="not a directory"):
        run_directory(tmp_path / "link")
    with pytest.raises(ConfigError, match="exists"):
        run_directory(tmp_path / "file")


def test_socket_paths_differ_by_name_and_suffix(tmp_path: Path) -> None:
    paths = {socket_path(tmp_path, name, suffix) for name in ("a@h", "b@h") for suffix in (".ipc", ".lock")}
    assert len(paths) == 4
    assert socket_path(tmp_path, "a@h") in paths


def test_run_directory_too_deep_for_sockets_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="too long"):
        socket_path(tmp_path / ("x" * 100), NAME)


@pytest.mark.parametrize(
    ("name", "own_host", "is_local"),
    [
        ("a@127.0.0.1:7101", "", True),
        ("a@127.3.2.1:7101", "", True),
        ("a@localhost", "", True),
        ("a@[::1]:7101", "", True),
        ("a@10.0.0.7", "10.0.0.7", True),
        ("a@10.0.0.7", "10.0.0.8", False),
        ("a@10.0.0.7", "", False),
    ],
)
def test_local_endpoint_is_for_nodes_of_this_host(tmp_path: Path, name: str, own_host: str, is_local: bool) -> None:
    node = NodeName.parse(name)
    assert local_endpoint(node, tmp_path, own_host) is None
    path = socket_path(tmp_path, node)
    path.touch()
    assert local_endpoint(node, tmp_path, own_host) == (f"ipc://{path}" if is_local else None)


def test_nearest_is_the_first_that_is_here(tmp_path: Path) -> None:
    path = tmp_path / "a.ipc"
    endpoints = (f"ipc://{path}", "tcp://10.0.0.7:7101")
    assert nearest(endpoints) == endpoints[1]
    path.touch()
    assert nearest(endpoints) == endpoints[0]
    assert nearest(()) is None


def test_name_has_one_holder_at_a_time(tmp_path: Path) -> None:
    first, second = NameLock(tmp_path, NAME), NameLock(tmp_path, NAME)
    first.acquire()
    with pytest.raises(NameInUse, match=NAME):
        second.acquire()
    first.release()
    first.release()
    second.acquire()
    second.release()
    assert list(tmp_path.iterdir()) == []


def test_two_names_have_two_locks(tmp_path: Path) -> None:
    locks = [NameLock(tmp_path, name) for name in ("a@h", "b@h")]
    for lock in locks:
        lock.acquire()
    assert len(list(tmp_path.iterdir())) == 2
    for lock in locks:
        lock.release()


def test_lock_of_a_file_that_was_removed_meanwhile_is_taken_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The holder removes its file and goes, between our open and our flock: the lock we get is on no name.
    holder, late, third = (NameLock(tmp_path, NAME) for _ in range(3))
    holder.acquire()
    real_open = os.open

    def open_then_lose_it(path: Path, *rest: int) -> int:
        fd = real_open(path, *rest)
        holder.release()
        return fd

    monkeypatch.setattr("os.open", open_then_lose_it)
    late.acquire()
    with pytest.raises(NameInUse):
        third.acquire()
    late.release()
