"""The local Registry against Elixir's: one test per case, named after it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.running import arriving, end_of, forever, run
from zmqcluster.errors import (
    AlreadyRegistered,
    AlreadyStarted,
    ConfigError,
    NoProcessError,
    NotRegistered,
    UsageError,
)
from zmqcluster.exits import Kill, Killed
from zmqcluster.ids import Pid
from zmqcluster.otp.gen_server import GenServer
from zmqcluster.otp.key_lock import LockScope
from zmqcluster.otp.methods import call
from zmqcluster.otp.registry import Entry, Registered, Registry, Row, Unregistered
from zmqcluster.otp.supervisor import Supervisor
from zmqcluster.otp.sys import resume, suspend
from zmqcluster.otp.task import Task
from zmqcluster.runtime.process import (
    exit,
    is_alive,
    process_info,
    receive,
    register,
    self,
    send,
    spawn,
    spawn_monitor,
    trap_exits,
)


def holder(registry: Registry, *keys: Any, value: Any = None) -> Pid:
    """A process that registers the keys and waits."""

    async def hold() -> None:
        for key in keys:
            registry.register(key, value)
        await forever()

    return spawn(hold)


def links_of(pid: Pid) -> list[Pid]:
    info = process_info(pid)
    return info["links"] if info else []


def partitions(registry: Registry) -> list[Pid]:
    return [part.pid for part in registry._table().parts]


def test_REG_01_unique_key_has_one_owner() -> None:
    async def main() -> None:
        registry = await Registry("names").start_link()
        owner = holder(registry, "k", value=1)
        await asyncio.sleep(0)
        for attempt in (registry, Registry("names")):
            with pytest.raises(AlreadyRegistered) as taken:
                attempt.register("k", 2)
            assert (taken.value.name, taken.value.pid) == ("k", owner)
        registry.register("mine", 1)
        with pytest.raises(AlreadyRegistered):
            registry.register("mine", 2)
        assert registry.lookup("k") == [Entry(owner, 1)]
        assert registry.lookup("mine") == [Entry(self(), 1)]
        assert registry.lookup("nobody's") == []
        assert registry.count() == 2
        assert registry.keys() == ["mine"]

    run(main)


def test_REG_01_refused_process_is_not_linked() -> None:
    async def main() -> None:
        registry = await Registry("names").start_link()
        registry.register("k")

        async def refused() -> None:
            with pytest.raises(AlreadyRegistered):
                registry.register("k")
            assert links_of(self()) == [parent]

        parent = self()
        await Task.spawn(refused).result()

    run(main)


def test_REG_02_duplicate_key_has_many_entries() -> None:
    async def main() -> None:
        registry = await Registry("topics", "duplicate").start_link()
        other = holder(registry, "news", value=1)
        await asyncio.sleep(0)
        registry.register("news", 2)
        registry.register("news", 2)
        registry.register("sports", 3)
        assert registry.lookup("news") == [Entry(other, 1), Entry(self(), 2), Entry(self(), 2)]
        assert registry.values("news") == [2, 2]
        assert registry.values("news", other) == [1]
        assert sorted(registry.keys()) == ["news", "news", "sports"]
        registry.unregister("news")
        assert registry.lookup("news") == [Entry(other, 1)]
        assert registry.keys() == ["sports"]

    run(main)


def test_REG_04_new_owner_survives_the_late_cleanup_of_the_dead_one() -> None:
    async def main() -> None:
        registry = await Registry("names").start_link()
        dead = holder(registry, "k", value="old")
        await asyncio.sleep(0)
        (cleaner,) = partitions(registry)
        await suspend(cleaner)
        exit(dead, Kill())
        await end_of(dead)
        assert not is_alive(dead)
        registry.register("k", "new")
        assert registry.lookup("k") == [Entry(self(), "new")]
        await resume(cleaner)
        await asyncio.sleep(0.01)
        assert registry.lookup("k") == [Entry(self(), "new")]
        assert registry.keys(dead) == []
        assert registry.count() == 1

    run(main)


def test_REG_05_whereis_checks_liveness_where_lookup_does_not() -> None:
    async def main() -> None:
        registry = await Registry("names").start_link()
        pid = holder(registry, "k")
        await asyncio.sleep(0)
        assert registry.via("k").whereis() == pid
        await suspend(partitions(registry)[0])
        exit(pid, Kill())
        await end_of(pid)
        assert registry.lookup("k") == [Entry(pid, None)]
        assert registry.whereis("k") is None
        assert registry.via("k").whereis() is None
        with pytest.raises(NotRegistered):
            send(registry.via("k"), "hello")

    run(main)


def test_REG_07_dispatch_calls_in_the_caller_and_not_at_all_when_empty() -> None:
    async def main() -> None:
        registry = await Registry("topics", "duplicate").start_link()
        pids = [holder(registry, "news", value=number) for number in range(3)]
        await asyncio.sleep(0)
        calls: list[tuple[Pid, list[Entry]]] = []
        registry.dispatch("news", lambda entries: calls.append((self(), entries)))
        registry.dispatch("nothing", lambda entries: calls.append((self(), entries)))
        assert calls == [(self(), [Entry(pid, number) for number, pid in enumerate(pids)])]

    run(main)


def test_REG_07_dispatch_parallel_runs_a_task_for_each_partition() -> None:
    async def main() -> None:
        registry = await Registry("topics", "duplicate", partitions=4).start_link()
        pids = [holder(registry, "news") for _ in range(16)]
        await asyncio.sleep(0)
        calls: list[tuple[Pid, list[Entry]]] = []
        await registry.dispatch_parallel("news", lambda entries: calls.append((self(), entries)))
        assert len({pid for pid, _ in calls}) == len(calls) == 4
        assert self() not in [pid for pid, _ in calls]
        assert sorted(entry.pid for _, entries in calls for entry in entries) == sorted(pids)
        await registry.dispatch_parallel("nothing", lambda entries: calls.append((self(), entries)))
        assert len(calls) == 4

    run(main)


@pytest.mark.parametrize("partition_by", ["process", "key"])
def test_REG_02_duplicate_keys_are_spread_by_process_or_by_key(partition_by: Any) -> None:
    """Source: Elixir 1.19, keys: {:duplicate, :pid | :key}."""

    async def main() -> None:
        registry = await Registry("topics", "duplicate", partitions=8, partition_by=partition_by).start_link()
        first = holder(registry, "news", "k1", "k3", value=1)
        second = holder(registry, "news", value=2)
        await asyncio.sleep(0)
        parts = partitions(registry)
        assert registry.lookup("news") == [Entry(first, 1), Entry(second, 2)]
        assert registry.count() == 4
        linked = [pid for pid in links_of(first) if pid in parts]
        assert len(linked) == (1 if partition_by == "process" else 3)
        calls: list[list[Entry]] = []
        await registry.dispatch_parallel("news", calls.append)
        assert len(calls) == (2 if partition_by == "process" else 1)
        exit(first, Kill())
        await arriving(0.01)
        assert (registry.lookup("news"), registry.lookup("k1"), registry.count()) == ([Entry(second, 2)], [], 1)

    run(main)


def test_REG_02_spread_that_makes_no_sense_is_refused() -> None:
    for keys, partition_by in (("unique", "process"), ("duplicate", "value")):
        with pytest.raises(ConfigError, match="partition_by is one of"):
            Registry("names", keys, partition_by=partition_by)  # type: ignore[arg-type]


def test_REG_08_keys_are_compared_exactly() -> None:
    async def main() -> None:
        registry = await Registry("names").start_link()
        keys = [1, 1.0, True, "1", b"1", (1,), (1.0,), ("a", (1,)), ("a", (True,)), None, -1, 0.0, -0.0, "_", "$1"]
        for number, key in enumerate(keys):
            registry.register(key, number)
        assert registry.count() == len(keys)
        assert [registry.lookup(key)[0].value for key in keys] == list(range(len(keys)))
        held = registry.keys()
        assert list(map(repr, held)) == list(map(repr, keys))
        for key in keys:
            registry.unregister(key)
        assert registry.count() == 0

    run(main)


def test_REG_08_match_select_and_count_filter_by_pattern_and_guard() -> None:
    async def main() -> None:
        registry = await Registry("topics", "duplicate").start_link()
        values: list[Any] = [("atom", 1), ("atom", 2), ("other", 1), 7, 7.0]
        for value in values:
            registry.register("k", value)
        registry.register("_", 0)
        me = self()
        assert [entry.value for entry in registry.match("k", ("atom", int))] == values[:2]
        assert [entry.value for entry in registry.match("k", (str, ...), lambda value: value[1] > 1)] == [("atom", 2)]
        assert [entry.value for entry in registry.match("k", 7)] == [7]
        assert registry.count_match("k", ...) == 5
        assert registry.count_match("_", ...) == 1
        assert registry.match("...", ...) == []
        assert registry.select(value=("atom", ...)) == [Row("k", me, value) for value in values[:2]]
        assert registry.select(key="_") == [Row("_", me, 0)]
        assert registry.select(where=lambda row: row.value == 0) == [Row("_", me, 0)]
        assert registry.select(pid=lambda pid: pid != me) == []
        assert len(registry.select()) == registry.count() == registry.count_select() == 6
        assert registry.count_select(value=("atom", ...)) == 2

    run(main)


def test_REG_08_pattern_that_is_none_is_refused() -> None:
    async def main() -> None:
        registry = await Registry("topics", "duplicate").start_link()
        registry.register("k", [1])
        for look in (registry.match, registry.count_match, registry.unregister_match):
            with pytest.raises(ConfigError, match="is no pattern"):
                look("k", list[int])
        with pytest.raises(ConfigError, match="is no pattern"):
            registry.select(value=list[int])
        assert registry.count() == 1

    run(main)


def test_REG_08_unregister_match_removes_own_entries_that_match() -> None:
    async def main() -> None:
        registry = await Registry("topics", "duplicate").start_link()
        other = holder(registry, "k", value=1)
        await asyncio.sleep(0)
        for value in (1, 2, 3):
            registry.register("k", value)
        registry.unregister_match("k", int, lambda value: value < 3)
        assert registry.lookup("k") == [Entry(other, 1), Entry(self(), 3)]
        registry.unregister_match("k", "no such value")
        assert registry.values("k") == [3]
        assert len(links_of(self())) == 2  # to the tree, which it started, and still to the partition

    run(main)


def test_REG_10_first_register_links_and_last_unregister_unlinks() -> None:
    async def main() -> None:
        registry = await Registry("names").start_link()
        (partition,) = partitions(registry)
        steps: list[bool] = []

        async def hold() -> None:
            for change, key in (
                (registry.register, "a"),
                (registry.register, "b"),
                (registry.unregister, "a"),
                (registry.unregister, "a"),
                (registry.unregister, "b"),
            ):
                change(key)
                steps.append(partition in links_of(self()))

        await Task.spawn(hold).result()
        assert steps == [True, True, True, True, False]

    run(main)


def test_REG_10_killing_the_registry_kills_its_registrants() -> None:
    async def main() -> None:
        registry = Registry("names")
        await Supervisor.start_link([registry])
        registered, bystander = holder(registry, "k"), spawn(forever)
        await asyncio.sleep(0)
        exit(partitions(registry)[0], Kill())
        assert await end_of(registered) == Killed()
        assert is_alive(bystander)
        await asyncio.sleep(0.01)
        registry.register("k")  # it was started again, empty
        assert registry.lookup("k") == [Entry(self(), None)]

    run(main)


def test_REG_10_end_of_a_process_frees_its_keys() -> None:
    async def main() -> None:
        for setup in (Registry("one"), Registry("many", "duplicate"), Registry("parts", partitions=3)):
            registry = await setup.start_link()
            pid = holder(registry, *range(10))
            await asyncio.sleep(0)
            assert registry.count() == 10
            exit(pid, "enough")
            await asyncio.sleep(0.01)
            assert registry.count() == 0
            assert all(part.owned == {} for part in registry._table().parts)

    run(main)


def in_turn(registry: Registry, key: Any, log: list[Any]) -> Callable[[int, float], Any]:
    async def work(number: int, lasts_s: float) -> None:
        async with registry.lock(key):
            log.append(("in", number))
            await asyncio.sleep(lasts_s)
            log.append(("out", number))

    return work


def test_REG_11_lock_excludes_others_of_the_same_key_only() -> None:
    async def main() -> None:
        registry = await Registry("names").start_link()
        log: list[Any] = []
        same, different = in_turn(registry, 1, log), in_turn(registry, 1.0, log)
        await Task.await_many([Task.spawn(same, 1, 0.03), Task.spawn(same, 2, 0.01), Task.spawn(different, 3, 0.02)])
        assert log == [("in", 1), ("in", 3), ("out", 3), ("out", 1), ("in", 2), ("out", 2)]
        assert registry._table().locks == {}

    run(main)


def test_REG_11_lock_is_released_when_the_holder_raises_or_is_killed() -> None:
    async def main() -> None:
        registry = await Registry("names").start_link()
        with pytest.raises(ValueError, match="inside"):
            async with registry.lock("k"):
                raise ValueError("inside")
        log: list[Any] = []
        holding = spawn(in_turn(registry, "k", log), 1, 1000.0)
        await asyncio.sleep(0)
        waiting = Task.spawn(in_turn(registry, "k", log), 2, 0.0)
        await asyncio.sleep(0.01)
        assert log == [("in", 1)]
        exit(holding, Kill())
        await waiting.result()
        assert log == [("in", 1), ("in", 2), ("out", 2)]
        assert registry._table().locks == {}

    run(main)


def test_REG_11_lock_passes_over_a_waiter_that_was_killed() -> None:
    async def main() -> None:
        registry = await Registry("names").start_link()
        log: list[Any] = []
        work = in_turn(registry, "k", log)
        first = Task.spawn(work, 1, 0.05)
        await asyncio.sleep(0)
        killed = spawn(work, 2, 0.0)
        third = Task.spawn(work, 3, 0.0)
        await asyncio.sleep(0.01)
        exit(killed, Kill())
        await Task.await_many([first, third])
        assert [number for _, number in log] == [1, 1, 3, 3]

    run(main)


def test_REG_11_lock_granted_to_a_process_that_is_ended_is_passed_on() -> None:
    async def main() -> None:
        registry = await Registry("names").start_link()
        log: list[Any] = []
        work = in_turn(registry, "k", log)
        scope = registry.lock("k")
        await scope.__aenter__()
        killed = spawn(work, 1, 0.0)
        last = Task.spawn(work, 2, 0.0)
        await asyncio.sleep(0)
        await scope.__aexit__(None, None, None)  # its turn has come, and before it runs, its end
        exit(killed, Kill())
        await last.result()
        assert log == [("in", 2), ("out", 2)]

    run(main)


def test_REG_11_lock_cannot_be_taken_twice_by_its_holder() -> None:
    async def main() -> None:
        registry = await Registry("names").start_link()
        scope: LockScope = registry.lock("k")
        async with scope:
            with pytest.raises(UsageError, match="holds the lock of 'k' already"):
                async with registry.lock("k"):
                    raise AssertionError("not reached")

    run(main)


class Counter(GenServer):
    def init(self, first: int) -> None:
        self.count = first

    @call
    def next(self) -> int:
        self.count += 1
        return self.count


def test_REG_via_names_a_server() -> None:
    async def main() -> None:
        registry = await Registry("names").start_link()
        name = registry.via("counter", "meta")
        counter = await Counter.start(5, name=name)
        assert await Counter.at(registry.via("counter")).next() == 6
        assert registry.lookup("counter") == [Entry(counter.pid, "meta")]
        with pytest.raises(AlreadyStarted) as taken:
            await Counter.start(0, name=name)
        assert taken.value.pid == counter.pid
        exit(counter.pid, Kill())
        await end_of(counter.pid)
        with pytest.raises(NoProcessError):
            await Counter.at(name).next()
        again = await Counter.start(1, name=name)
        assert registry.whereis("counter") == again.pid

    run(main)


def test_REG_update_value_is_for_the_owner_only() -> None:
    async def main() -> None:
        registry = await Registry("names").start_link()
        other = holder(registry, "theirs", value=1)
        await asyncio.sleep(0)
        registry.register("mine", 1)
        assert registry.update_value("mine", lambda value: value + 1) == (2, 1)
        assert registry.lookup("mine") == [Entry(self(), 2)]
        for key in ("theirs", "nobody's"):
            with pytest.raises(NotRegistered):
                registry.update_value(key, lambda value: value + 1)
        registry.unregister("theirs")  # no error, and no effect
        assert registry.lookup("theirs") == [Entry(other, 1)]

    run(main)


def test_REG_listeners_are_told_of_every_change() -> None:
    async def main() -> None:
        register("listener")
        registry = await Registry("names", listeners=["listener", "nobody"]).start_link()
        me = self()
        registry.register("k", 1)
        registry.unregister("k")
        registry.unregister("k")
        assert await arriving() == [Registered("names", "k", me, 1), Unregistered("names", "k", me)]
        pid, watching = spawn_monitor(lambda: registry.register(1.5, 2))
        messages = await arriving()
        assert messages[0] == Registered("names", 1.5, pid, 2)
        assert Unregistered("names", 1.5, pid) in messages[1:]
        assert any(getattr(message, "ref", None) == watching for message in messages)

    run(main)


def test_REG_meta_is_kept_with_the_registry() -> None:
    async def main() -> None:
        registry = await Registry("names", meta={"limit": 3, 1: "int"}).start_link()
        assert (registry.meta("limit"), registry.meta(1), registry.meta(1.0, "default")) == (3, "int", "default")
        registry.put_meta("limit", 4)
        assert registry.meta("limit") == 4
        registry.delete_meta("limit")
        with pytest.raises(NotRegistered):
            registry.meta("limit")

    run(main)


def test_REG_is_gone_when_its_supervisor_stops_it() -> None:
    async def main() -> None:
        trap_exits()
        registry = Registry("names")
        tree = await Supervisor.start_link([registry])
        pid = holder(registry, "k")
        await asyncio.sleep(0)
        exit(tree.pid, "stop")
        await receive()
        assert not is_alive(pid)
        with pytest.raises(UsageError, match="no registry 'names' runs on"):
            registry.lookup("k")

    run(main)
