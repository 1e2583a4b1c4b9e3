"""``python -m zmqcluster doctor``: every cause of which two nodes do not connect, each with a node broken that way."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from tests.support.commands import Child, Host, Ran, host_in
from tests.support.node_process import free_name, free_port
from zmqcluster.commands.doctor import EXIT_CODES
from zmqcluster.monitoring import diagnosis
from zmqcluster.transport.interface import Endpoints, Handler
from zmqcluster.transport.zmq import ZmqTransport

pytestmark = pytest.mark.cluster


NODES: dict[str, tuple[tuple[str, ...], dict[str, str | None]]] = {
    "well": (("--local", "--import", "tests.support.hasty_setup"), {}),
    "another cookie": ((), {"ZMQCLUSTER_COOKIE": "another"}),
    "no cookie": ((), {"ZMQCLUSTER_COOKIE": None}),
    "another version": (("--import", "tests.support.future_version"), {}),
    "another cluster": (("--cluster", "staging"), {}),
    "wrong clock": (("--import", "tests.support.broken_clock"), {}),
    "other networks": (("--allow", "192.0.2.0/24"), {}),
}


@pytest.fixture(scope="module")
def nodes() -> dict[str, str]:
    """The names of the nodes, by what is wrong with them."""
    return {problem: free_name(problem.split()[-1]) for problem in NODES}


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, nodes: dict[str, str]) -> Iterator[Host]:
    """A host on which all of them run."""
    with host_in(tmp_path_factory.mktemp("run")) as host:
        for problem, (options, changes) in NODES.items():
            host.node(nodes[problem], *options, **changes)
        assert all(child.ready.startswith(name) for child, name in zip(host.children, nodes.values(), strict=True))
        yield host


def child(host: Host, problem: str) -> Child:
    return host.children[list(NODES).index(problem)]


def assert_cause(ran: Ran, cause: str, *words: str) -> None:
    assert ran.lines[-1].startswith(f"cause: {cause}. "), ran
    assert (ran.code, ran.err) == (EXIT_CODES[cause], "")
    for word in words:
        assert word in ran.lines[-2]


def test_exit_codes_are_those_of_the_documentation() -> None:
    page = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text("utf-8")
    assert all(f"| {code} | `{cause}` |" in page for cause, code in EXIT_CODES.items())


def test_doctor_of_a_node_that_is_well_then_0(host: Host, nodes: dict[str, str]) -> None:
    ran = host.run("doctor", nodes["well"])
    assert (ran.code, ran.err, ran.lines[-1]) == (0, "", "nothing is wrong")
    assert ran.lines[1:3] == ["connected, in version 1 of the protocol", "the clocks agree"]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("a@@127.0.0.1", "is not a host name"),
        ("a@no-such-host.invalid", "cannot be resolved"),
        ("nobody", "0 nodes of this host are called 'nobody'"),
    ],
)
def test_doctor_of_a_name_that_is_none(name: str, problem: str, host: Host) -> None:
    assert_cause(host.run("doctor", name), "name", problem)


def test_doctor_of_a_node_that_is_called_otherwise(host: Host, nodes: dict[str, str]) -> None:
    name = nodes["well"]
    assert_cause(host.run("doctor", f"s{name}"), "name", f"this is {name}, not s{name}")


def test_doctor_of_a_port_where_nobody_listens_then_where_the_node_is(host: Host, nodes: dict[str, str]) -> None:
    address = f"127.0.0.1:{free_port()}"
    wrong = f"well@{address}"
    found = f"nobody listens at tcp://{address}; on this host there is {nodes['well']} at "
    assert_cause(host.run("doctor", wrong), "port", found)


def test_doctor_of_a_port_where_something_else_listens(host: Host) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        ran = run_with(server, host, b"SSH-2.0-OpenSSH_9.6\r\n")
    assert_cause(ran, "port", "is no node, it says b'SSH-2.0-Op'")


def run_with(server: socket.socket, host: Host, greeting: bytes) -> Ran:
    """The doctor's opinion of a server that says ``greeting`` and hangs up."""
    stopped = False

    def serve() -> None:
        while not stopped:
            connection, _ = server.accept()
            connection.sendall(greeting)
            connection.close()

    thread = Thread(target=serve)
    thread.start()
    try:
        return host.run("doctor", f"a@127.0.0.1:{server.getsockname()[1]}")
    finally:
        stopped = True
        socket.create_connection(server.getsockname()).close()
        thread.join()


@pytest.mark.parametrize("problem", ["another cookie", "no cookie"])
def test_doctor_of_a_node_with_another_cookie_or_none(problem: str, host: Host, nodes: dict[str, str]) -> None:
    assert_cause(host.run("doctor", nodes[problem]), "cookie", "cookie")


def test_doctor_of_a_node_that_allows_other_networks_only(host: Host, nodes: dict[str, str]) -> None:
    ran = host.run("doctor", nodes["other networks"], "--run-dir", str(host.elsewhere()))
    assert_cause(ran, "firewall", "hangs up at once")


def test_doctor_of_a_node_of_another_version(host: Host, nodes: dict[str, str]) -> None:
    ran = host.run("doctor", nodes["another version"])
    assert_cause(ran, "version", "this node speaks versions (7, 9), not (1, 1)")
    assert "this node speaks versions (7, 9)" in child(host, "another version").log.read_text()  # it says so too


def test_doctor_of_a_node_of_another_cluster(host: Host, nodes: dict[str, str]) -> None:
    name = nodes["another cluster"]
    assert_cause(host.run("doctor", name), "cluster", "this is cluster 'staging', not 'zmqcluster'")
    assert host.run("doctor", name, "--cluster", "staging").code == 0


def test_doctor_of_a_node_whose_clock_is_wrong(host: Host, nodes: dict[str, str]) -> None:
    assert_cause(host.run("doctor", nodes["wrong clock"]), "clock", "its clock is 3,600.0 s ahead of ours")


def test_doctor_of_a_node_that_is_stopped(
    host: Host, nodes: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnosis, "ANSWER_S_MAX", 0.5)
    with child(host, "well").paused():
        assert_cause(host.run("doctor", nodes["well"]), "silent", "takes the connection and does not speak")


def test_doctor_of_a_node_behind_a_firewall_that_drops(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """A listener whose queue is full drops what comes, as a firewall does; netlab has one with a real cut."""
    monkeypatch.setattr(diagnosis, "ANSWER_S_MAX", 0.5)
    monkeypatch.setattr(diagnosis, "DIAL_S_MAX", 0.5)
    with socket.socket() as full, contextlib.ExitStack() as fillers:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(3):
            filler = fillers.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        ran = host.run("doctor", f"a@127.0.0.1:{full.getsockname()[1]}")
    assert_cause(ran, "firewall", "does not answer: what is sent there is dropped on the way")


def test_doctor_of_a_node_that_cannot_dial_back(
    host: Host, nodes: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A firewall on the way back: what the doctor's own node says of its address is true for itself only."""
    opened = ZmqTransport.open
    closed = f"tcp://127.0.0.1:{free_port()}"

    async def open_elsewhere(transport: ZmqTransport, handler: Handler) -> Endpoints:
        return Endpoints((closed,), (await opened(transport, handler)).gossip)

    monkeypatch.setattr(ZmqTransport, "open", open_elsewhere)
    assert_cause(host.run("doctor", nodes["well"]), "firewall", f"{nodes['well']} can't dial back: ")


def test_doctor_of_two_nodes_then_the_first_one_tries(host: Host, nodes: dict[str, str]) -> None:
    well = host.run("doctor", nodes["well"], nodes["wrong clock"])
    assert well.lines[-3].startswith("connected, in version 1")
    assert_cause(well, "clock", "ahead of ours")
    ran = host.run("doctor", nodes["well"], nodes["another cookie"])
    assert f"seen from {nodes['well']}:" in ran.lines
    assert_cause(ran, "cookie")
    assert_cause(host.run("doctor", nodes["another cookie"], nodes["well"]), "cookie")  # it does not let us in either
