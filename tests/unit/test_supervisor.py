"""Supervisor beyond the conformance cases: as a class, as a main, by name, and what a start may raise."""

from __future__ import annotations

from typing import Any

import pytest

import zmqcluster as zc
from tests.support.running import arriving, end_of, run
from zmqcluster.otp.children import Children
from zmqcluster.otp.supervisor import stop_process


class Named(zc.GenServer):
    """A worker that can be told to end."""

    def init(self, *arguments: Any) -> None:
        self.arguments = arguments

    def handle_call(self, request: Any, caller: zc.Call) -> Any:
        return self.arguments

    def handle_cast(self, request: Any) -> zc.Stop:
        return zc.Stop(request)


class Tree(zc.Supervisor):
    """A tree as a class."""

    children = (zc.ChildSpec("one", Named, (1,), name="one"), zc.ChildSpec("two", Named, (2,), name="two"))
    strategy = "rest_for_one"
    max_restarts = 1


def test_subclass_then_its_settings_hold_and_children_are_found_by_name() -> None:
    async def main() -> None:
        tree = await Tree.start_link(name="tree")
        assert [await zc.call(name, "who") for name in ("one", "two")] == [(1,), (2,)]
        before = zc.whereis("two")
        zc.cast("one", "bang")
        await arriving()
        assert zc.whereis("two") not in (None, before)
        assert [info.id for info in await Tree.at("tree").which_children()] == ["one", "two"]
        zc.trap_exits(True)
        zc.cast("one", "bang")
        assert await zc.receive() == zc.Exit(tree.pid, zc.Shutdown("reached_max_restart_intensity"))
        assert (zc.whereis("one"), zc.whereis("two")) == (None, None)

    run(main)


def test_settings_given_to_start_go_before_those_of_the_class() -> None:
    async def main() -> None:
        tree = await Tree.start([], strategy="one_for_one", max_restarts=0)
        assert await tree.which_children() == []
        await tree.start_child(zc.ChildSpec("a", Named, name="a"))
        zc.cast("a", "bang")
        assert await end_of(tree.pid) == zc.Shutdown("reached_max_restart_intensity")

    run(main)


def test_supervisor_as_main_then_the_node_runs_until_the_tree_ends() -> None:
    class Short(zc.Supervisor):
        children = (zc.ChildSpec("ender", Named, name="ender", restart="transient", significant=True),)
        auto_shutdown = "any_significant"

    class Ender(zc.GenServer):
        def init(self) -> None:
            zc.cast("ender", zc.Normal())

    class Main(zc.Supervisor):
        children = (Short, Ender)
        max_restarts = 0

    with pytest.raises(zc.ServerExited, match="ended with Shutdown") as caught:
        run(Main)
    assert caught.value.reason == zc.Shutdown("reached_max_restart_intensity")


def test_child_whose_name_is_taken_then_the_start_names_the_holder() -> None:
    async def main() -> None:
        zc.register("one")
        with pytest.raises(zc.StartFailed) as caught:
            await Tree.start()
        assert caught.value.reason == zc.Shutdown(("failed_to_start_child", "one", ("already_started", zc.self())))

    run(main)


def test_child_whose_name_was_taken_meanwhile_then_restarts_fail_until_the_limit(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        tree = await Tree.start(max_restarts=5)
        one = Named.at("one").pid
        zc.unregister("one")
        zc.register("one")
        zc.exit(one, "bang")
        assert await end_of(tree.pid) == zc.Shutdown("reached_max_restart_intensity")

    run(main)
    contexts = [vars(record)["zmqcluster"]["context"] for record in caplog.records]
    assert contexts == ["child_terminated", *["start_error"] * 5, "shutdown"]


def test_exit_of_a_stranger_then_the_supervisor_does_not_care() -> None:
    async def main() -> None:
        tree = await Tree.start()
        zc.exit(tree.pid, "a stranger's")
        zc.send(tree, "a message")
        assert await arriving() == []
        assert zc.is_alive(tree.pid)
        assert await tree.count_children() == {"specs": 2, "active": 2, "supervisors": 0, "workers": 2}

    run(main)


def test_stop_process_when_it_is_dead_already_then_it_tells_noproc_at_once() -> None:
    async def main() -> None:
        worker = await Named.start()
        await zc.stop(worker)
        assert await stop_process(worker.pid, 5) == zc.NoProcess()

    run(main)


def test_stop_process_when_linked_and_trapping_then_no_exit_message_stays() -> None:
    async def main() -> None:
        zc.trap_exits(True)
        worker = await Named.start_link()
        assert await stop_process(worker.pid, 5) == zc.Shutdown()
        assert await arriving() == []

    run(main)


def test_children_then_entries_are_found_by_pid_exactly_while_they_run() -> None:
    children = Children()
    entries = [children.add(zc.ChildSpec(id, Named)) for id in "abc"]
    pids = [zc.Pid("a@h", 1, number) for number in range(3)]
    for entry, pid in zip(entries, pids, strict=True):
        children.started(entry, pid)
    assert [children.of_pid(pid) for pid in pids] == entries
    assert children.ended(entries[1]) == pids[1]
    assert children.ended(entries[1]) is None
    assert children.of_pid(pids[1]) is None
    groups = {
        strategy: children.group(entries[1], strategy) for strategy in ("one_for_one", "rest_for_one", "one_for_all")
    }
    assert groups == {"one_for_one": entries[1:2], "rest_for_one": entries[1:], "one_for_all": entries}
    children.remove(entries[1])
    assert (len(children), list(children), children.find("b")) == (2, [entries[0], entries[2]], None)
