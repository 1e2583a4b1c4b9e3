"""Supervised children across nodes, on whole nodes in virtual time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from zmqcluster.cluster.registry import ClusterRegistry
from zmqcluster.cluster.supervisor import ClusterSupervisor, SupervisorServer
from zmqcluster.core import Ignore
from zmqcluster.errors import (
    CallTimeout,
    ConfigError,
    EncodeError,
    NoProcessError,
    RestartsExceeded,
    ServerExited,
    StartFailed,
    UsageError,
)
from zmqcluster.exits import Crashed, Kill, NameConflict, Shutdown
from zmqcluster.ids import Pid
from zmqcluster.otp.gen_server import GenServer, stop
from zmqcluster.otp.methods import call
from zmqcluster.otp.supervisor import Supervisor
from zmqcluster.protocol.catalogue import DIGEST_MS
from zmqcluster.runtime.process import exit, receive, spawn, trap_exits, whereis
from zmqcluster.runtime.process import self as this_process
from zmqcluster.testing.network import Conditions
from zmqcluster.testing.simulation import Simulation

names = ClusterRegistry("test.names")
workers = ClusterSupervisor("test.workers")
SERVER = "zmqcluster.supervisor:test.workers"
PUSH_MS = 30


class Worker(GenServer):
    """Knows its id, and fails when told to."""

    def init(self, worker_id: str, problem: str = "", wait_s: float = 0.0) -> Any:
        self.worker_id = worker_id
        if problem == "ignore":
            return Ignore()
        if problem:
            raise ValueError(problem)
        return asyncio.sleep(wait_s) if wait_s else None

    @call
    def whoami(self) -> str:
        """Return the id."""
        return self.worker_id

    @call
    def fail(self) -> None:
        """Crash."""
        raise ValueError("told to")


class Stubborn(GenServer):
    """Does not end when asked."""

    def init(self) -> None:
        trap_exits(True)

    async def terminate(self, reason: Any) -> None:
        """Never return."""
        await receive(match=lambda _: False)


async def main() -> None:
    await Supervisor.start_link([names, workers])
    await receive(match=lambda _: False)


@pytest.fixture
def cluster() -> Iterator[Simulation]:
    with Simulation(1, 3, conditions=Conditions(gossip_loss=0.0)) as simulation:  # else PUSH_MS is no promise
        for name in simulation.names:
            simulation.start(name, main)
        simulation.eventually(lambda: is_complete(simulation), 5_000)
        yield simulation


def is_complete(cluster: Simulation) -> bool:
    """Whether all replicas run and have met."""
    return all(
        SERVER in cluster.node(name).scheduler.shelf
        and len(cluster.at(name, workers.members)) == len(cluster.names)
        for name in cluster.running
    )


def ensured(cluster: Simulation, name: str, *ids: str, **options: Any) -> list[Worker]:
    async def ensure() -> list[Worker]:
        return [
            await workers.ensure(worker_id, Worker, worker_id, name=names.via(worker_id), **options)
            for worker_id in ids
        ]

    return cluster.run_on(name, ensure)


def processes(cluster: Simulation) -> Counter[str]:
    """How many live workers each id has, by the process tables."""
    servers = [
        scheduler.server_of(pid)
        for scheduler in (cluster.node(name).scheduler for name in cluster.running)
        for pid in scheduler.pids()
    ]
    return Counter(server.worker_id for server in servers if isinstance(server, Worker))


def views(cluster: Simulation) -> list[Any]:
    return [cluster.at(name, workers.which_children) for name in cluster.running]


def id_on(cluster: Simulation, name: str, *taken: str) -> str:
    """An id that placement gives to this node."""
    members = tuple(cluster.at(name, workers.members))
    ids = (f"w{number}" for number in range(1_000))
    place = workers.distribution.choose
    return next(i for i in ids if i not in taken and place(i, members) == cluster.full_name(name))


# --- ensure


def test_ensure_when_called_on_any_node_then_one_process_runs_and_all_reach_it(cluster: Simulation) -> None:
    ids = [f"w{number}" for number in range(30)]

    for name in cluster.names:
        handles = ensured(cluster, name, *ids)
    cluster.run_ms(PUSH_MS)

    async def use() -> list[str]:
        return [await handle.whoami() for handle in handles]

    assert processes(cluster) == Counter(ids)
    assert [cluster.run_on(name, use) for name in cluster.names] == [ids] * 3
    assert views(cluster) == [views(cluster)[0]] * 3
    assert {state for _, _, state in views(cluster)[0]} == {"running"}
    assert {node for _, node, _ in views(cluster)[0]} == {cluster.full_name(name) for name in cluster.names}
    assert cluster.at("a", workers.count) == 30


def test_ensure_when_it_has_no_name_then_the_handle_is_bound_to_its_pid(cluster: Simulation) -> None:
    async def use() -> tuple[str, Pid, Pid | None]:
        worker = await workers.ensure("w1", Worker, "w1")
        return await worker.whoami(), worker.pid, workers.where("w1")

    who, pid, where = cluster.run_on("a", use)

    assert (who, pid) == ("w1", where)


def test_ensure_when_many_ask_at_once_on_all_nodes_then_it_starts_once(cluster: Simulation) -> None:
    pids: list[Pid] = []

    async def ask() -> None:
        pids.append((await workers.ensure("w1", Worker, "w1")).pid)

    for name in cluster.names:
        for _ in range(5):
            cluster.node(name).scheduler.spawn(ask())
    cluster.eventually(lambda: len(pids) == 15, 5_000)

    assert len(set(pids)) == 1


def test_ensure_when_the_first_init_fails_then_the_caller_is_told_and_it_may_be_tried_again(
    cluster: Simulation,
) -> None:
    async def refused(problem: str) -> Any:
        with pytest.raises(StartFailed) as failed:
            await workers.ensure("w1", Worker, "w1", problem)
        return failed.value.reason

    for name in cluster.names:
        reason = cluster.run_on(name, lambda: refused("no database"))
        assert (reason.kind, reason.text) == ("ValueError", "no database")
    assert cluster.run_on("a", lambda: refused("ignore")) == "ignore"
    assert cluster.at("a", workers.count) == 0
    ensured(cluster, "a", "w1")
    assert processes(cluster) == {"w1": 1}


def test_ensure_when_its_name_is_held_by_another_then_the_start_fails(cluster: Simulation) -> None:
    async def hold() -> Pid:
        async def idle() -> None:
            await names.register("w1")
            await receive(match=lambda _: False)

        return spawn(idle)

    holder = cluster.run_on("b", hold)
    cluster.run_ms(PUSH_MS)

    with pytest.raises(StartFailed) as failed:
        ensured(cluster, "a", "w1")
    assert isinstance(failed.value.reason, NameConflict)
    assert failed.value.reason.winner == holder


def test_ensure_when_one_init_takes_long_then_others_do_not_wait_for_it(cluster: Simulation) -> None:
    async def slow_then_fast() -> str:
        slow_id = id_on(cluster, "a")
        fast_id = id_on(cluster, "a", slow_id)
        with pytest.raises(CallTimeout):
            await workers.ensure(slow_id, Worker, slow_id, kwargs={"wait_s": 3.0}, timeout_s=0.2)
        await workers.ensure(fast_id, Worker, fast_id, timeout_s=0.2)
        worker = await workers.ensure(slow_id, Worker, slow_id, timeout_s=4.0)
        return await worker.whoami()

    assert cluster.run_on("a", slow_then_fast) == id_on(cluster, "a")


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"restart": "always"}, ConfigError),
        ({"server": "Worker"}, ConfigError),
        ({"args": (object(),)}, EncodeError),
        ({"name": object()}, EncodeError),
    ],
)
def test_ensure_when_it_cannot_be_then_the_caller_is_told(cluster: Simulation, wrong: Any, error: Any) -> None:
    async def ask() -> None:
        options = {"server": Worker, "args": (), **wrong}
        with pytest.raises(error):
            await workers.ensure("w1", options.pop("server"), *options.pop("args"), **options)

    cluster.run_on("a", ask)


def test_ensure_when_the_supervisor_does_not_run_here_then_it_says_so(cluster: Simulation) -> None:
    other = ClusterSupervisor("elsewhere")

    async def ask() -> None:
        with pytest.raises(UsageError, match="elsewhere"):
            await other.ensure("w1", Worker, "w1")

    cluster.run_on("a", ask)


# --- restarts


def test_child_when_it_crashes_then_it_runs_again_under_its_name(cluster: Simulation) -> None:
    (worker,) = ensured(cluster, "a", "w1")

    async def crash() -> str:
        before = worker.pid
        with pytest.raises(ServerExited):
            await worker.fail()
        while worker.whereis() in (None, before):
            await asyncio.sleep(0.01)
        return await worker.whoami()

    assert cluster.run_on(_home(cluster, "w1"), crash) == "w1"
    assert processes(cluster) == {"w1": 1}


def test_child_when_it_crashes_always_then_it_alone_fails_and_is_not_moved(cluster: Simulation) -> None:  # S10
    bad, _ = ensured(cluster, "a", "bad", "good")

    async def crash() -> None:
        for _ in range(4):
            with pytest.raises(ServerExited):
                await bad.fail()
            await asyncio.sleep(0.1)

    async def ask() -> None:
        with pytest.raises(RestartsExceeded) as failed:
            await workers.ensure("bad", Worker, "bad")
        assert (failed.value.child, failed.value.max_restarts, failed.value.max_seconds) == ("bad", 3, 5.0)

    cluster.run_on("a", crash)
    cluster.run_ms(6_000)

    assert processes(cluster) == {"good": 1}
    assert ("bad", cluster.full_name(_home(cluster, "bad")), "failed") in views(cluster)[0]
    for name in cluster.names:
        cluster.run_on(name, ask)
    assert cluster.run_on("b", lambda: workers.terminate("bad"))
    ensured(cluster, "c", "bad")
    assert processes(cluster) == {"good": 1, "bad": 1}


def test_child_when_it_is_transient_and_finishes_then_it_is_gone(cluster: Simulation) -> None:  # S11
    (worker,) = ensured(cluster, "a", "w1", restart="transient")

    cluster.run_on("a", lambda: stop(worker.pid))
    cluster.run_ms(PUSH_MS)

    assert processes(cluster) == {}
    assert views(cluster) == [[], [], []]


# --- terminate


def test_terminate_when_called_anywhere_then_it_ends_and_is_forgotten(cluster: Simulation) -> None:  # S19
    ensured(cluster, "a", "w1", "w2", "w3")

    async def end(worker_id: str) -> list[bool]:
        return [await workers.terminate(worker_id), await workers.terminate(worker_id)]

    for name, worker_id in zip(cluster.names, ("w1", "w2", "w3"), strict=True):
        assert cluster.run_on(name, lambda i=worker_id: end(i)) == [True, False]
    cluster.run_ms(PUSH_MS)

    assert processes(cluster) == {}
    assert views(cluster) == [[], [], []]
    assert cluster.at("a", lambda: workers.where("w1")) is None


def test_terminate_when_the_child_does_not_end_then_it_is_killed(cluster: Simulation) -> None:
    async def end() -> bool:
        worker = await workers.ensure("w1", Stubborn, shutdown_s=0.5)
        assert worker.pid
        return await workers.terminate("w1")

    assert cluster.run_on("a", end)


# --- loss and return of nodes


def _home(cluster: Simulation, worker_id: str) -> str:
    homes = {child_id: node for child_id, node, _ in cluster.at(cluster.running[0], workers.which_children)}
    return next(name for name in cluster.names if homes[worker_id] == cluster.full_name(name))


def test_node_when_it_crashes_then_its_children_run_elsewhere_once_and_are_found(cluster: Simulation) -> None:  # S07
    ids = [f"w{number}" for number in range(60)]
    handles = ensured(cluster, "a", *ids)
    cluster.run_ms(PUSH_MS)

    cluster.crash("c")
    cluster.eventually(lambda: processes(cluster) == Counter(ids), 2_000, step_ms=5)
    cluster.run_ms(PUSH_MS)

    async def use() -> list[str]:
        return [await handle.whoami() for handle in handles]

    assert [cluster.run_on(name, use) for name in ("a", "b")] == [ids] * 2
    cluster.restart("c")
    cluster.eventually(lambda: is_complete(cluster), 5_000)
    cluster.run_ms(2 * DIGEST_MS)
    assert processes(cluster) == Counter(ids)
    assert cluster.run_on("c", use) == ids
    assert views(cluster) == [views(cluster)[0]] * 3


def test_split_when_it_heals_then_each_child_runs_once_and_none_is_lost(cluster: Simulation) -> None:  # P05
    ids = [f"w{number}" for number in range(60)]
    ensured(cluster, "a", *ids)
    cluster.run_ms(PUSH_MS)

    cluster.cut(["c"], ["a", "b"])
    cluster.run_ms(5_000)
    assert processes(cluster) == Counter(dict.fromkeys(ids, 2))
    before = {cluster.at(name, lambda i=i: workers.where(i)) for name in cluster.names for i in ids}
    cluster.heal()
    cluster.eventually(lambda: is_complete(cluster), 20_000)
    cluster.run_ms(2_000)

    assert processes(cluster) == Counter(ids)
    assert views(cluster) == [views(cluster)[0]] * 3
    after = cluster.at("a", lambda: [workers.where(i) for i in ids])
    assert set(after) <= before, "a process that was to stay has ended"
    assert cluster.at("b", lambda: [names.whereis(i) for i in ids]) == after


def test_node_when_it_leaves_in_order_then_its_children_move_and_none_runs_twice(cluster: Simulation) -> None:
    ids = [f"w{number}" for number in range(20)]
    ensured(cluster, "a", *ids)
    cluster.run_ms(PUSH_MS)

    server = cluster.at("c", lambda: whereis(SERVER))
    assert server is not None
    scheduler = cluster.node("c").scheduler
    parent = scheduler.describe(server)["parent"]  # type: ignore[index]
    scheduler.exit(parent, server, Shutdown())
    for _ in range(20):
        cluster.run_ms(1)
        assert max(processes(cluster).values()) == 1
    cluster.eventually(lambda: processes(cluster) == Counter(ids), 2_000)


def test_replica_when_it_crashes_then_its_children_run_again_once(cluster: Simulation) -> None:
    ids = [f"w{number}" for number in range(20)]
    ensured(cluster, "a", *ids)
    cluster.run_ms(PUSH_MS)

    server = cluster.at("a", lambda: whereis(SERVER))
    assert server is not None
    cluster.node("a").scheduler.exit(server, server, Kill())
    cluster.run_ms(2_000)

    assert processes(cluster) == Counter(ids)
    assert views(cluster) == [views(cluster)[0]] * 3


def test_replica_when_the_only_one_crashes_then_its_children_run_again() -> None:
    with Simulation(1, 1) as cluster:
        cluster.start("a", main)
        cluster.eventually(lambda: is_complete(cluster), 1_000)
        ids = [f"w{number}" for number in range(20)]
        ensured(cluster, "a", *ids)
        server = cluster.at("a", lambda: whereis(SERVER))
        assert server is not None

        cluster.node("a").scheduler.exit(server, server, Kill())
        cluster.run_ms(2_000)

        assert processes(cluster) == Counter(ids)


def test_replica_when_asked_what_it_does_not_know_then_it_refuses_and_lives(cluster: Simulation) -> None:
    async def ask() -> None:
        with pytest.raises(UsageError):
            await call(SERVER, "nonsense")

    server = cluster.at("a", lambda: whereis(SERVER))
    cluster.run_on("a", ask)
    assert cluster.at("a", lambda: whereis(SERVER)) == server


def test_child_when_another_node_lacks_its_class_then_it_fails_there_and_says_why(cluster: Simulation) -> None:
    class Local(GenServer):
        """Known by no other name than this."""

    async def ask() -> Any:
        Local.__qualname__ = "Renamed"  # what the wire says is nobody's class
        with pytest.raises(StartFailed) as failed:
            await workers.ensure("w1", Local)
        return failed.value.reason

    reason = cluster.run_on("a", ask)
    assert isinstance(reason, Crashed)
    assert "no server class" in reason.text


def test_name_when_nobody_runs_then_a_call_says_so(cluster: Simulation) -> None:
    (worker,) = ensured(cluster, "a", "w1")

    async def use() -> None:
        await workers.terminate("w1")
        with pytest.raises(NoProcessError):
            await worker.whoami()
        exit(this_process(), Shutdown())

    cluster.node(_home(cluster, "w1")).scheduler.spawn(use())
    cluster.run_ms(500)
    assert processes(cluster) == {}


def test_handle_when_malformed_then_it_is_refused() -> None:
    for scope in ("", None, 7):
        with pytest.raises(ConfigError):
            ClusterSupervisor(scope)  # type: ignore[arg-type]
    assert repr(workers) == "ClusterSupervisor('test.workers')"
    assert workers.child_spec().server is SupervisorServer
