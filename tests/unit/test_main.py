"""The command line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.unit.test_listing import NAME, announce
from zmqcluster.__main__ import main


def test_ls_prints_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    announce(tmp_path, NAME)
    assert main(["ls", "--run-dir", str(tmp_path)]) == 0
    header, line = capsys.readouterr().out.splitlines()
    assert header.split() == ["NODE", "PID", "STATE", "PEERS", "WORKERS", "AGE", "MEMORY", "ENDPOINTS"]
    assert line.split()[0] == NAME and "dead" in line.split()


def test_ls_without_nodes_prints_header_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls", "--run-dir", str(tmp_path)]) == 0
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 1 and "no node" in printed.err


def test_ls_as_json_is_a_list_of_nodes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    announce(tmp_path, NAME)
    assert main(["ls", "--json", "--run-dir", str(tmp_path)]) == 0
    (node,) = json.loads(capsys.readouterr().out)
    assert (node["node"], node["state"], node["endpoints"]) == (NAME, "dead", ["ipc:///run/x.ipc"])


def test_ls_of_unusable_run_directory_exits_2_and_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file"
    file.write_text("")
    assert main(["ls", "--run-dir", str(file)]) == 2
    assert "run directory" in capsys.readouterr().err


def test_run_dir_of_a_command_then_the_environment_is_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ZMQCLUSTER_RUN_DIR", raising=False)
    main(["ls", "--run-dir", str(tmp_path)])
    assert "ZMQCLUSTER_RUN_DIR" not in os.environ
    monkeypatch.setenv("ZMQCLUSTER_RUN_DIR", "before")
    main(["ls", "--run-dir", str(tmp_path)])
    assert os.environ["ZMQCLUSTER_RUN_DIR"] == "before"


def test_top_of_a_node_that_is_not_there_exits_2_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZMQCLUSTER_RUN_DIR", "replaced")
    announce(tmp_path, NAME)
    assert main(["top", NAME.partition("@")[0], "--once", "--run-dir", str(tmp_path)]) == 2
    assert "0 nodes of this host" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["fly"], ["ls", "--watch", "soon"], ["top"], ["top", "a", "--every", "x"]])
def test_wrong_arguments_exit_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        main(arguments)
    assert exit_info.value.code == 2
    assert "usage: zmqcluster" in capsys.readouterr().err
