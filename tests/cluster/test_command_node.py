"""``python -m zmqcluster`` node, ls, ping and call, against nodes that run."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import Host, host_in
from tests.support.node_process import free_port
from zmqcluster.monitoring import listing

pytestmark = pytest.mark.cluster

WORKERS = 40


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """Two nodes of one host, with workers on both."""
    with host_in(tmp_path_factory.mktemp("run")) as host:
        shop = host.node("a@127.0.0.1", "--local", "--timing", "local", "--app", "tests.support.shop:Shop")
        app = ("--app", "tests.support.shop:busy", "--arg", str(WORKERS))
        busy = host.node("b@127.0.0.1", "--local", "--timing", "local", *app)
        assert shop.ready and busy.ready and busy.line() == "busy"
        yield host


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with host_in(tmp_path) as host:
        yield host


# --- node


def test_node_then_it_says_where_it_listens_and_its_name_is_taken_until_it_stops_in_order(host: Host) -> None:
    name = f"a@127.0.0.1:{free_port()}"
    first = host.node(name)
    assert first.ready.startswith(f"{name} listens at ipc:///") and first.ready.endswith(f" tcp://{name[2:]}")
    second = host.run("node", name)
    assert (second.code, second.out) == (2, "")
    assert re.search(rf"is in use: process {first.process.pid} .* tcp://{name[2:]}", second.err)
    assert first.stop() == 0
    assert "SIGTERM: stopping in order" in first.log.read_text()


def test_node_with_a_list_and_an_import_then_it_joins_and_logs_it(host: Host) -> None:
    names = [f"{letter}@127.0.0.1:{free_port()}" for letter in "ab"]
    static = ("--static", ",".join(names), "--import", "tests.support.shop")
    children = [host.node(name, *static) for name in names]
    assert all(child.ready for child in children)
    assert host.run("ping", names[1]).code == 0
    seen = host.run("ls", names[0], "--json")
    assert [(line["node"], line["state"]) for line in json.loads(seen.out)] == [(name, "up") for name in names]
    assert f"{names[0]}: {names[1]} is up" in children[0].log.read_text()
    children[0].stop()
    assert f"{names[1]}: {names[0]} is down: left" in children[1].log.read_text()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("no name",), "lacks '@host'"),
        (("a@127.0.0.1", "--app", "nonsense"), "written module:name"),
        (("a@127.0.0.1", "--app", "json:nothing"), "json has no nothing"),
        (("a@127.0.0.1", "--import", "no_such_module"), "cannot import no_such_module"),
        (("a@127.0.0.1", "--cookie-file", "/no/such/file"), "cookie file /no/such/file cannot be used"),
        (("a@192.0.2.1",), "without a cookie"),
    ],
)
def test_node_that_cannot_be_then_exit_2_and_why(arguments: tuple[str, ...], problem: str, host: Host) -> None:
    ran = host.run("node", *arguments, ZMQCLUSTER_COOKIE=None)
    assert (ran.code, ran.out) == (2, "") and problem in ran.err


# --- ls


def test_ls_then_peers_and_workers_of_each_node(pair: Host) -> None:
    ran = pair.run("ls", "--json")
    lines = json.loads(ran.out)
    assert (ran.code, ran.err) == (0, "")
    assert [(line["node"], line["state"], line["peers"]) for line in lines] == [
        ("a@127.0.0.1", "up", 1),
        ("b@127.0.0.1", "up", 1),
    ]
    assert sum(line["workers"] for line in lines) == WORKERS and min(line["workers"] for line in lines) > 0


def test_ls_without_a_cookie_then_what_the_system_tells_and_how_to_see_more(pair: Host) -> None:
    ran = pair.run("ls", ZMQCLUSTER_COOKIE=None)
    assert [line.split()[2] for line in ran.lines[1:]] == ["up", "up"]
    assert "to see peers and workers" in ran.err and "refused" not in pair.children[0].log.read_text()


def test_ls_of_nodes_without_a_cookie_then_they_need_none(host: Host) -> None:
    assert host.node("a@127.0.0.1", "--local", ZMQCLUSTER_COOKIE=None).ready
    ran = host.run("ls", "--json", ZMQCLUSTER_COOKIE=None)
    (line,) = json.loads(ran.out)
    assert (line["state"], line["peers"], line["workers"], ran.err) == ("up", 0, 0, "")


def test_ls_of_nodes_that_are_not_encrypted_then_asked_likewise(host: Host) -> None:
    assert host.node("a@127.0.0.1", "--local", "--encryption", "none").ready
    (line,) = json.loads(host.run("ls", "--json", "--encryption", "none").out)
    assert (line["state"], line["peers"]) == ("up", 0)


def test_ls_with_a_node_that_is_stopped_and_one_of_another_cookie(host: Host) -> None:
    stopped = host.node("a@127.0.0.1", "--local")
    other = host.node("b@127.0.0.1", "--local", "--cookie", "another")
    assert stopped.ready and other.ready
    with stopped.paused():
        states = [line.split()[2] for line in host.run("ls").lines[1:]]
    assert states == ["stopped", "silent"]


def test_ls_with_a_node_whose_loop_hangs(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "STALLED_MS_MIN", 200)
    assert host.node("a@127.0.0.1", "--local", "--timing", "local", "--app", "tests.support.shop:hang").ready
    time.sleep(0.5)
    assert [line.split()[2] for line in host.run("ls").lines[1:]] == ["stalled"]


def test_ls_of_a_node_then_its_cluster_as_it_sees_it(pair: Host) -> None:
    ran = pair.run("ls", "a")
    header, *lines = (line.split() for line in ran.lines)
    assert header == ["NODE", "STATE", "TYPE", "VERSION", "PEERS", "WORKERS"]
    assert [line[:-1] for line in lines] == [
        ["a@127.0.0.1", "up", "this", "1"],
        ["b@127.0.0.1", "up", "visible", "1", "1"],
    ]
    assert sum(int(line[-1]) for line in lines) == WORKERS


# --- ping


def test_ping_then_how_long_it_took(pair: Host) -> None:
    ran = pair.run("ping", "b", "--count", "3", "--every", "0")
    assert (ran.code, ran.err) == (0, "")
    assert all(re.fullmatch(r"b@127\.0\.0\.1 answers in \d+\.\d\d ms, protocol version 1", line) for line in ran.lines)
    assert len(ran.lines) == 3


@pytest.mark.parametrize(
    ("node", "cookie", "code", "problem"),
    [
        ("nobody", "", 2, "0 nodes of this host are called 'nobody'"),
        ("no@name@", "", 2, "node name 'no@name@'"),
        ("c@127.0.0.1:7", "", 1, "nobody listens there"),
        ("b", "another", 1, "share our cookie"),
    ],
)
def test_ping_of_who_is_not_there_or_does_not_let_us_in(
    node: str, cookie: str, code: int, problem: str, pair: Host
) -> None:
    ran = pair.run("ping", node, **({"ZMQCLUSTER_COOKIE": cookie} if cookie else {}))
    assert (ran.code, ran.out) == (code, "") and problem in ran.err


# --- spawn


def test_spawn_then_its_pid_and_it_goes_on(pair: Host) -> None:
    ran = pair.run("spawn", "a", "tests.support.shop:archive", "2024-06", "--name", "archive")
    assert (ran.code, ran.err) == (0, "") and re.fullmatch(r"<a@127\.0\.0\.1 \d+\.\d+>\n", ran.out)
    again = pair.run("spawn", "a", "tests.support.shop:archive", "2024-06", "--name", "archive")
    assert again.code == 1 and "'archive' is held by" in again.err


@pytest.mark.parametrize(("month", "code", "reason"), [("now", 0, "Normal()"), ("5", 1, "Crashed")])
def test_spawn_and_wait_then_how_it_ended(month: str, code: int, reason: str, pair: Host) -> None:
    ran = pair.run("spawn", "b", "tests.support.shop:archive", month, "--wait")
    assert (ran.code, ran.err) == (code, "") and ran.lines[1].startswith(reason)


def test_spawn_of_what_is_not_offered_then_exit_1_and_why(pair: Host) -> None:
    ran = pair.run("spawn", "a", "os:getcwd")
    assert (ran.code, ran.out) == (1, "") and "os:getcwd" in ran.err


# --- call


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (("add", "5", "2.5"), '"7.50 EUR"'),
        (("add", "5", "currency=JOD"), '"5.00 JOD"'),
        (("add", 'currency="5"'), '"0.00 5"'),
        (("--request", '{"a": [1, null]}'), '{"asked": {"a": [1, null]}}'),
        (("--request", "plain"), '{"asked": "plain"}'),
    ],
)
def test_call_then_the_answer_as_json(arguments: tuple[str, ...], answer: str, pair: Host) -> None:
    ran = pair.run("call", "a/accounts", *arguments)
    assert (ran.code, ran.err, ran.out) == (0, "", f"{answer}\n")


def test_call_whose_answer_is_no_json_then_as_python_writes_it(pair: Host) -> None:
    ran = pair.run("call", "a@127.0.0.1/accounts", "--request", "pid")
    assert ran.code == 0 and ran.out.startswith("{'asked': 'pid', 'pid': ")


def test_cast_then_no_answer_and_the_next_call_sees_it(pair: Host) -> None:
    assert pair.run("call", "b/accounts", "note", "hello", "--cast").out == ""
    assert pair.run("call", "b/accounts", "noted_so_far").out == '["hello"]\n'


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (("a", "add"), 2, "written NODE/NAME"),
        (("a/accounts",), 2, "say what to call"),
        (("a/accounts", "add", "--request", "x"), 2, "say what to call"),
        (("a/nobody", "add"), 1, "No process"),
        (("a/accounts", "subtract"), 1, "subtract"),
        (("a/accounts", "refuse"), 1, "not today"),
        (("c@127.0.0.1:7/accounts", "add"), 1, "nobody listens there"),
    ],
)
def test_call_that_fails_then_why(arguments: tuple[str, ...], code: int, problem: str, pair: Host) -> None:
    ran = pair.run("call", *arguments)
    assert (ran.code, ran.out) == (code, "") and problem in ran.err
