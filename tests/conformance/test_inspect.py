"""OBS-05: a node shows its processes, trees, registries and peers as plain data, its own and another's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import pytest

from tests.support.running import arriving, forever, run
from zmqcluster.cluster.registry import ClusterRegistry
from zmqcluster.core import decode, encode
from zmqcluster.errors import ConfigError
from zmqcluster.monitoring import inspect
from zmqcluster.otp import sys
from zmqcluster.otp.child_spec import ChildSpec
from zmqcluster.otp.dynamic_supervisor import DynamicSupervisor
from zmqcluster.otp.gen_server import GenServer
from zmqcluster.otp.registry import Registry
from zmqcluster.otp.supervisor import Supervisor
from zmqcluster.runtime.process import link, monitor, self, send, set_label, spawn, spawn_link
from zmqcluster.testing.simulation import Simulation


class Ledger(GenServer):
    def init(self) -> None:
        self.total = 0


class Books(Supervisor):
    children = [ChildSpec("accounts", Ledger, name="accounts"), ChildSpec("archive", Ledger)]


class Finance(Supervisor):
    children = [Books, ChildSpec("journal", Ledger, name="journal")]


async def labelled() -> None:
    set_label("busy with nothing")
    await forever()


def only(found: list[Any]) -> Any:
    (one,) = found
    return one


# --- processes


def test_process_then_all_that_is_known_of_it() -> None:
    async def main() -> None:
        pid = spawn_link(labelled, name="idle")
        other = spawn(forever)
        monitor(pid)
        await arriving(0.01)
        link(other)
        send(pid, 1)
        send(pid, 2)
        seen = inspect.process(pid)
        assert seen is not None
        assert (seen.pid, seen.names, seen.label, seen.queued) == (pid, ("idle",), "busy with nothing", 2)
        assert (seen.links, seen.watchers, seen.trap_exits, seen.parent) == ((self(),), (self(),), False, None)
        assert seen.memory_bytes > 0 and seen.bound is None
        assert seen.current is not None and seen.current.startswith("labelled:")
        own = inspect.process(self())
        assert own is not None and own.status == "running"
        assert own.links == (pid, other) and own.monitors == (pid,)

    run(main)


def test_process_that_has_ended_then_none() -> None:
    async def main() -> None:
        pid = spawn(lambda: None)
        await arriving(0.01)
        assert inspect.process(pid) is None

    run(main)


def test_server_then_its_class_is_the_label_and_suspended_shows() -> None:
    async def main() -> None:
        ledger = await Ledger.start()
        await sys.suspend(ledger.pid)
        seen = inspect.process(ledger.pid)
        assert seen is not None and (seen.label, seen.status, seen.current) == ("Ledger", "suspended", None)

    run(main)


def test_processes_in_order_then_the_largest_first_and_so_many() -> None:
    async def main() -> None:
        pids = [spawn(forever) for _ in range(3)]
        await arriving(0.01)
        for count, pid in enumerate(pids):
            for _ in range(count):
                send(pid, "message")
        assert [seen.pid for seen in inspect.processes("queued", 2)] == [pids[2], pids[1]]
        assert {seen.pid for seen in inspect.processes()} >= set(pids)
        assert len(inspect.processes(count=1)) == 1
        with pytest.raises(ConfigError, match="ordered by"):
            inspect.processes("colour")  # type: ignore[arg-type]

    run(main)


# --- trees


def test_tree_then_children_with_their_ids_in_start_order() -> None:
    async def main() -> None:
        finance = await Finance.start_link()
        root = only(inspect.tree())
        assert (root.id, root.pid, root.kind, root.label) == (None, finance.pid, "supervisor", "Finance")
        assert [(child.id, child.kind) for child in root.children] == [("Books", "supervisor"), ("journal", "worker")]
        assert [(child.id, child.names) for child in root.children[0].children] == [
            ("accounts", ("accounts",)),
            ("archive", ()),
        ]

    run(main)


def test_tree_with_a_stopped_child_then_its_branch_has_no_pid() -> None:
    async def main() -> None:
        finance = await Finance.start_link()
        await finance.terminate_child("journal")
        journal = only(inspect.tree()).children[1]
        assert (journal.id, journal.pid, journal.state) == ("journal", None, "stopped")

    run(main)


def test_tree_when_a_supervisor_is_suspended_then_it_is_shown_all_the_same() -> None:
    async def main() -> None:
        finance = await Finance.start_link()
        await sys.suspend(finance.pid)
        assert len(only(inspect.tree()).children) == 2

    run(main)


def test_tree_of_dynamic_supervisor_with_limit_then_the_rest_is_counted() -> None:
    async def main() -> None:
        workers = await DynamicSupervisor.start_link()
        for _ in range(5):
            await workers.start_child(Ledger)
        root = only(inspect.tree(2))
        assert (len(root.children), root.left_out) == (2, 3)
        assert [child.label for child in root.children] == ["Ledger", "Ledger"]

    run(main)


# --- the node, and others


@pytest.fixture
def pair() -> Iterator[Simulation]:
    async def main() -> None:
        await inspect.serve()
        await Supervisor.start([Registry("donations"), ClusterRegistry("names")])
        await ClusterRegistry("names").register("DON-7", spawn(forever))

    with Simulation(seed=3, nodes=2) as simulation:
        for name in simulation.names:
            simulation.start(name, main)
        simulation.eventually(lambda: simulation.node("a").nodes(), within_ms=5_000)
        yield simulation


def test_node_then_its_peers_names_and_registries(pair: Simulation) -> None:
    seen = pair.at("a", inspect.node)
    assert (seen.name, seen.incarnation) == (pair.full_name("a"), 1)
    assert only([peer.node for peer in seen.peers]) == pair.full_name("b")
    assert {"zmqcluster.inspector"} <= set(seen.names) and seen.processes >= 4
    assert [(each.name, each.kind) for each in seen.registries] == [("donations", "unique"), ("names", "cluster")]


def test_inspector_of_another_node_then_what_that_node_would_say(pair: Simulation) -> None:
    async def main() -> Any:
        inspector = inspect.at(pair.full_name("b"))
        processes = await inspector.processes("queued", 100)
        return await inspector.node(), processes, await inspector.tree(10), await inspector.registries()

    node, processes, tree, registries = pair.run_on("a", main)
    assert node.name == pair.full_name("b")
    assert len(processes) == node.processes and {seen.pid.node for seen in processes} == {node.name}
    assert only(tree).children[1].names == ("zmqcluster.registry:names",)
    assert registries == list(node.registries)


def test_inspector_asked_for_an_order_there_is_not_then_the_caller_is_told_and_it_goes_on(pair: Simulation) -> None:
    async def main() -> Any:
        inspector = inspect.at(pair.full_name("b"))
        with pytest.raises(ConfigError):
            await inspector.processes("colour")  # type: ignore[arg-type]
        return await inspector.process(pair.node("b").scheduler.pids()[0])

    assert pair.run_on("a", main).pid.node == pair.full_name("b")


def test_what_is_seen_can_be_sent_and_is_json(pair: Simulation) -> None:
    seen = pair.at("a", lambda: [inspect.node(), *inspect.processes(), *inspect.tree()])
    assert decode(encode(seen)) == seen
    assert json.loads(json.dumps([asdict(each) for each in seen], default=str))
