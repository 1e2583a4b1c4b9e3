"""The local registry: what it refuses, its handles, and its table."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.running import end_of, forever, run
from zmqcluster.errors import AlreadyStarted, ConfigError, EncodeError, NotInProcess, UsageError
from zmqcluster.exits import Kill
from zmqcluster.ids import Pid
from zmqcluster.otp.child_spec import child_spec
from zmqcluster.otp.registry import Entry, Registry
from zmqcluster.otp.supervisor import Supervisor
from zmqcluster.runtime.node import Node
from zmqcluster.runtime.process import Via, exit, is_alive, scheduler, self, spawn


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (("",), {}),
        ((7,), {}),
        (("names", "uniqe"), {}),
        (("names",), {"partitions": 0}),
        (("names",), {"partitions": True}),
        (("names",), {"partitions": "2"}),
    ],
)
def test_registry_refuses_bad_setups(arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Registry(*arguments, **options)


def test_handles_of_one_name_are_equal() -> None:
    assert Registry("a") == Registry("a", "duplicate")
    assert Registry("a") != Registry("b")
    assert len({Registry("a"), Registry("a"), Registry("b")}) == 2
    assert Registry("a") != "a"
    assert repr(Registry("a")) == "Registry('a')"
    assert Registry("a").via("k") == Registry("a").via("k") != Registry("a").via("l")
    assert isinstance(Registry("a").via("k"), Via)
    assert child_spec(Registry("a")).kind == "supervisor"


def test_registry_that_does_not_run_is_a_usage_error() -> None:
    async def main() -> None:
        registry = Registry("names")
        for use in (registry.lookup, registry.register, registry.unregister, registry.whereis, registry.lock):
            with pytest.raises(UsageError, match="no registry 'names' runs on"):
                use("k")
        with pytest.raises(UsageError):
            registry.count()

    run(main)


def test_registry_needs_a_process_to_write() -> None:
    async def main() -> None:
        registry = await Registry("names").start_link()

        async def plain_task() -> list[Entry]:
            with pytest.raises(NotInProcess):
                registry.register("k")
            return registry.lookup("k")

        assert await asyncio.get_running_loop().create_task(plain_task()) == []

    run(main)


def test_key_that_cannot_be_sent_is_refused_and_nothing_is_written() -> None:
    async def main() -> None:
        registry = await Registry("names").start_link()
        for use in (registry.register, registry.lookup, registry.unregister, registry.lock):
            with pytest.raises(EncodeError):
                use(object())
        assert registry.count() == 0
        assert registry._table().only is not None
        assert registry._table().parts[0].owned == {}

    run(main)


def test_what_needs_unique_keys_says_so() -> None:
    async def main() -> None:
        registry = await Registry("topics", "duplicate").start_link()
        with pytest.raises(UsageError, match="whereis needs unique keys"):
            registry.whereis("k")
        with pytest.raises(UsageError, match="whereis needs unique keys"):
            registry.via("k").whereis()
        with pytest.raises(UsageError, match="update_value needs unique keys"):
            registry.update_value("k", str)

    run(main)


def test_via_registers_the_running_process_only() -> None:
    async def main() -> None:
        registry = await Registry("names").start_link()
        other = spawn(forever)
        with pytest.raises(UsageError, match="must register itself"):
            registry.via("k").register(other)
        registry.via("k", 1).register(self())
        assert registry.lookup("k") == [Entry(self(), 1)]
        with pytest.raises(UsageError, match="must unregister itself"):
            registry.via("k").unregister(other)
        registry.via("k").unregister(self())
        assert registry.lookup("k") == []

    run(main)


def test_two_nodes_of_one_loop_have_registries_of_their_own() -> None:
    registry = Registry("names")
    held: list[Pid] = []

    async def on_other_node() -> None:
        await registry.start_link()
        assert registry.lookup("k") == []
        registry.register("k")
        held.append(self())
        await forever()

    async def main() -> None:
        await registry.start_link()
        registry.register("k")
        other = Node(incarnation=2)
        await other.start()
        other.scheduler.spawn(on_other_node())
        await asyncio.sleep(0.01)
        assert registry.lookup("k") == [Entry(self(), None)]
        assert held[0] != self()
        other.scheduler.close()
        await other.stop()

    run(main)


def test_registry_is_started_once_under_its_name() -> None:
    async def main() -> None:
        await Registry("names").start_link()
        with pytest.raises(AlreadyStarted):
            await Registry("names").start_link()

    run(main)


def test_register_while_the_partition_is_down_is_refused_and_works_after_its_restart() -> None:
    async def main() -> None:
        registry = Registry("names")
        await Supervisor.start_link([registry])
        (part,) = registry._table().parts
        exit(part.pid, Kill())
        assert not is_alive(part.pid)
        with pytest.raises(UsageError, match="is being started again"):
            registry.register("k")
        await end_of(part.pid)
        await asyncio.sleep(0.01)
        registry.register("k")
        assert registry.lookup("k") == [Entry(self(), None)]

    run(main)


def test_partitions_share_the_keys_and_are_looked_up_together() -> None:
    async def main() -> None:
        unique = await Registry("unique", partitions=4).start_link()
        many = await Registry("many", "duplicate", partitions=4).start_link()
        for number in range(100):
            unique.register(f"key {number}", number)
            many.register("k", number)
        sizes = [len(part.entries) for part in unique._table().parts]
        assert sum(sizes) == 100 and min(sizes) > 10
        assert [unique.lookup(f"key {number}")[0].value for number in range(100)] == list(range(100))
        assert many.values("k") == list(range(100))  # one process: one partition
        assert len(many.keys()) == 100
        with pytest.raises(UsageError):
            many.update_value("k", str)
        for number in range(100):
            unique.unregister(f"key {number}")
        assert [part.owned for part in unique._table().parts] == [{}, {}, {}, {}]

    run(main)


def test_killed_partition_of_many_takes_all_along_and_keys_are_free_again() -> None:
    async def main() -> None:
        registry = Registry("names", partitions=3)
        await Supervisor.start_link([registry])
        pids = []

        async def hold(key: int) -> None:
            registry.register(key)
            await forever()

        pids = [spawn(hold, key) for key in range(30)]
        await asyncio.sleep(0)
        assert registry.count() == 30
        exit(registry._table().parts[1].pid, Kill())  # one_for_all: the others are stopped and started too
        await asyncio.sleep(0.01)
        assert not any(map(is_alive, pids))
        assert registry.count() == 0
        assert len({part.pid for part in registry._table().parts if is_alive(part.pid)}) == 3
        assert scheduler().process_count < 10

    run(main)
