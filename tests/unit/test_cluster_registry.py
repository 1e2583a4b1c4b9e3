"""Names across nodes, on whole nodes in virtual time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from zmqcluster.cluster.registry import ClusterRegistry, RegistryServer
from zmqcluster.core import Exit
from zmqcluster.errors import (
    AlreadyRegistered,
    AlreadyStarted,
    ConfigError,
    EncodeError,
    NoProcessError,
    NotRegistered,
    UsageError,
)
from zmqcluster.exits import Kill, NameConflict, Shutdown
from zmqcluster.ids import Pid
from zmqcluster.otp.gen_server import GenServer
from zmqcluster.otp.methods import call
from zmqcluster.otp.supervisor import Supervisor
from zmqcluster.protocol.ownership import DIGEST_MS
from zmqcluster.runtime.process import exit, is_alive, receive, spawn, trap_exits, whereis
from zmqcluster.testing.network import Conditions
from zmqcluster.testing.simulation import Simulation

names = ClusterRegistry("test.names")
PUSH_MS = 30  # a broadcast and its delay


class Adder(GenServer):
    """Adds."""

    @call
    def add(self, one: int, other: int) -> int:
        """Return the sum."""
        return one + other


async def main() -> None:
    await Supervisor.start_link([names])
    await receive(match=lambda _: False)


@pytest.fixture
def cluster() -> Iterator[Simulation]:
    with Simulation(1, 3, conditions=Conditions(gossip_loss=0.0)) as simulation:  # else PUSH_MS is no promise
        for name in simulation.names:
            simulation.start(name, main)
        simulation.eventually(lambda: all(len(simulation.node(n).nodes()) == 2 for n in simulation.names), 5_000)
        simulation.run_ms(DIGEST_MS)
        yield simulation


async def idle() -> None:
    await receive(match=lambda _: False)


def lookups(cluster: Simulation, key: Any) -> list[Any]:
    return [cluster.at(name, lambda: names.lookup(key)) for name in cluster.running]


def registered(cluster: Simulation, name: str, key: Any, value: Any = None) -> Pid:
    async def register() -> Pid:
        pid = spawn(idle)
        await names.register(key, pid, value)
        assert names.lookup(key) == (pid, value)  # R01
        return pid

    return cluster.run_on(name, register)


def test_register_when_done_then_every_node_finds_it(cluster: Simulation) -> None:  # R01, R02
    pid = registered(cluster, "a", ("donor", 7), {"region": "north"})
    cluster.run_ms(PUSH_MS)

    assert lookups(cluster, ("donor", 7)) == [(pid, {"region": "north"})] * 3
    assert cluster.at("b", lambda: (names.whereis(("donor", 7)), names.count())) == (pid, 1)
    assert cluster.at("c", lambda: names.keys(pid)) == [("donor", 7)]


def test_register_when_no_pid_is_given_then_it_is_the_running_process(cluster: Simulation) -> None:
    async def register() -> list[Any]:
        await names.register("k")
        before = names.keys()
        await names.unregister("k")
        return [*before, names.lookup("k")]

    assert cluster.run_on("a", register) == ["k", None]


def test_register_when_a_name_is_held_on_any_node_then_it_is_refused(cluster: Simulation) -> None:  # R04
    pid = registered(cluster, "a", "k")
    cluster.run_ms(PUSH_MS)

    for name in ("a", "b"):
        with pytest.raises(AlreadyRegistered) as refused:
            registered(cluster, name, "k")
        assert (refused.value.name, refused.value.pid) == ("k", pid)


def test_register_when_the_process_is_on_another_node_then_that_node_writes_it(cluster: Simulation) -> None:
    async def process() -> Pid:
        return spawn(idle)

    pid = cluster.run_on("b", process)

    cluster.run_on("a", lambda: names.register("k", pid))
    cluster.run_ms(PUSH_MS)
    assert lookups(cluster, "k") == [(pid, None)] * 3
    cluster.run_on("c", lambda: names.unregister("k", pid))
    cluster.run_ms(PUSH_MS)
    assert lookups(cluster, "k") == [None] * 3


def test_register_when_it_cannot_be_then_the_caller_is_told_and_the_registry_lives(cluster: Simulation) -> None:
    async def refused() -> None:
        pid = spawn(idle)
        with pytest.raises(EncodeError):
            await names.register("k", pid, object())
        with pytest.raises(EncodeError):
            await names.register(object(), pid)
        with pytest.raises(NotRegistered):
            await names.unregister("k", pid)
        exit(pid, Kill())
        with pytest.raises(NoProcessError):  # R26
            await names.register("k", pid)

    server = cluster.at("a", lambda: whereis("zmqcluster.registry:test.names"))
    cluster.run_on("a", refused)
    assert cluster.at("a", lambda: whereis("zmqcluster.registry:test.names")) == server


def test_process_when_it_ends_then_its_names_go_everywhere(cluster: Simulation) -> None:  # R11
    pid = registered(cluster, "a", "k")
    cluster.run_ms(PUSH_MS)

    cluster.at("a", lambda: cluster.node("a").scheduler.exit(pid, pid, Kill()))
    cluster.run_ms(PUSH_MS)

    assert lookups(cluster, "k") == [None] * 3


def test_node_when_it_crashes_then_its_names_go_and_the_next_start_has_none(cluster: Simulation) -> None:  # R29
    registered(cluster, "c", "k")
    cluster.run_ms(PUSH_MS)

    cluster.crash("c")
    cluster.eventually(lambda: lookups(cluster, "k") == [None] * 2, 5_000)
    cluster.restart("c")
    cluster.eventually(lambda: len(cluster.node("c").nodes()) == 2, 5_000)
    cluster.run_ms(2 * DIGEST_MS)

    assert lookups(cluster, "k") == [None] * 3


def test_split_when_both_sides_take_a_name_then_the_first_keeps_it_and_the_other_is_told(cluster: Simulation) -> None:
    told: list[Any] = []

    async def trapping() -> None:
        trap_exits(True)
        await names.register("k", value="second")
        told.append(await receive(Exit))

    cluster.cut(["c"], ["a", "b"])
    cluster.eventually(lambda: cluster.node("c").nodes() == [], 20_000)
    first = registered(cluster, "a", "k", "first")
    cluster.run_ms(10)
    cluster.run_on("c", lambda: _spawned(trapping))
    cluster.heal()  # R05, R08, P04
    cluster.eventually(lambda: lookups(cluster, "k") == [(first, "first")] * 3, 20_000)
    cluster.run_ms(2 * DIGEST_MS)

    assert [exit.reason for exit in told] == [NameConflict("k", "second", "test.names", first)]


async def _spawned(function: Any) -> None:
    spawn(function)


def test_split_when_it_heals_then_all_names_are_back(cluster: Simulation) -> None:  # P01
    pids = {f"k{number}": registered(cluster, "abc"[number % 3], f"k{number}") for number in range(60)}

    cluster.cut(["c"], ["a", "b"])
    cluster.run_ms(4_000)
    assert cluster.at("a", names.count) == 40
    cluster.heal()
    cluster.eventually(lambda: len(cluster.node("c").nodes()) == 2, 20_000)
    cluster.run_ms(1_000)

    for key, pid in pids.items():
        assert lookups(cluster, key) == [(pid, None)] * 3


def test_via_when_a_server_is_started_with_it_then_calls_from_anywhere_reach_it(cluster: Simulation) -> None:
    cluster.run_on("a", lambda: Adder.start(name=names.via("adder")))
    cluster.run_ms(PUSH_MS)

    async def use() -> int:
        adder = Adder.at(names.via("adder"))
        assert adder.pid.node == cluster.full_name("a")
        return await adder.add(1, 2)

    assert [cluster.run_on(name, use) for name in cluster.names] == [3, 3, 3]
    with pytest.raises(AlreadyStarted):  # R22
        cluster.run_on("b", lambda: Adder.start(name=names.via("adder")))


def test_via_when_nobody_holds_it_then_a_call_says_so(cluster: Simulation) -> None:
    async def use() -> None:
        adder = await Adder.start(name=names.via("adder"))
        await names.via("adder").unregister(adder.pid)
        assert names.via("adder").whereis() is None
        with pytest.raises(NoProcessError):
            await Adder.at(names.via("adder")).add(1, 2)

    cluster.run_on("a", use)


def test_registry_when_its_replica_crashes_then_processes_and_names_live_on(cluster: Simulation) -> None:  # R25
    pid = registered(cluster, "a", "k")
    other = registered(cluster, "b", "l")
    server = cluster.at("a", lambda: whereis("zmqcluster.registry:test.names"))
    assert server is not None

    cluster.at("a", lambda: cluster.node("a").scheduler.exit(server, server, Kill()))
    cluster.run_ms(3 * DIGEST_MS)

    assert cluster.at("a", lambda: whereis("zmqcluster.registry:test.names")) not in (None, server)
    assert cluster.at("a", lambda: is_alive(pid))
    assert lookups(cluster, "k") == [(pid, None)] * 3
    assert lookups(cluster, "l") == [(other, None)] * 3
    cluster.at("a", lambda: cluster.node("a").scheduler.exit(pid, pid, Kill()))
    cluster.run_ms(PUSH_MS)
    assert lookups(cluster, "k") == [None] * 3


def test_handle_when_no_replica_runs_on_the_node_then_it_says_so(cluster: Simulation) -> None:
    other = ClusterRegistry("elsewhere")

    async def use() -> None:
        for read in (lambda: other.lookup("k"), other.count, other.keys, other.via("k").whereis):
            with pytest.raises(UsageError, match="elsewhere"):
                read()
        with pytest.raises(UsageError, match="elsewhere"):
            await other.register("k")

    cluster.run_on("a", use)


def test_handle_when_malformed_then_it_is_refused() -> None:
    for scope in ("", None, 7):
        with pytest.raises(ConfigError):
            ClusterRegistry(scope)  # type: ignore[arg-type]


def test_child_spec_when_listed_then_it_names_the_replica() -> None:
    spec = names.child_spec()

    assert (spec.server, spec.args, spec.name) == (RegistryServer, ("test.names",), "zmqcluster.registry:test.names")
    assert repr(names) == "ClusterRegistry('test.names')"


def test_registry_when_it_is_stopped_in_order_on_a_node_then_its_names_leave_the_others(cluster: Simulation) -> None:
    registered(cluster, "a", "k")
    cluster.run_ms(PUSH_MS)
    scheduler = cluster.node("a").scheduler
    server = cluster.at("a", lambda: whereis("zmqcluster.registry:test.names"))
    assert server is not None
    parent = (scheduler.describe(server) or {})["parent"]

    scheduler.exit(parent, server, Shutdown())
    cluster.run_ms(PUSH_MS)

    assert lookups(cluster, "k") == [None] * 3


def test_process_when_it_registers_again_and_again_then_it_is_watched_once(cluster: Simulation) -> None:
    async def again() -> None:
        for _ in range(5):
            await names.register("k")
            await names.unregister("k")
        await names.register("k")
        await names.register("l")

    server = cluster.at("a", lambda: whereis("zmqcluster.registry:test.names"))
    assert server is not None
    before = len((cluster.node("a").scheduler.describe(server) or {})["monitors"])
    seen: list[int] = []

    async def count() -> None:
        await again()
        seen.append(len((cluster.node("a").scheduler.describe(server) or {})["monitors"]))

    cluster.run_on("a", count)
    assert seen == [before + 1]
