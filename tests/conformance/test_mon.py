"""MON: monitors. One test per case of the behaviour list, named after it."""

from __future__ import annotations

from typing import Any

import pytest

import zmqcluster as zc
from tests.support.running import arriving, end_of, forever, run
from zmqcluster.testing.simulation import Simulation


async def exits_with(reason: Any) -> None:
    zc.exit(reason)


@pytest.mark.parametrize("reason", [zc.Normal(), "bang", zc.Shutdown("over")])
def test_MON_01_watcher_gets_exactly_one_down_with_the_reason(reason: Any) -> None:
    """Source: monitor_SUITE:mon_1."""

    async def main() -> None:
        pid = zc.spawn(exits_with, reason)
        ref = zc.monitor(pid)
        assert await arriving() == [zc.Down(ref, pid, reason)]

    run(main)


def test_MON_01_end_of_the_watcher_does_not_touch_the_watched() -> None:
    """Source: monitor_SUITE:mon_1."""

    async def watches(pid: zc.Pid) -> None:
        zc.monitor(pid)
        zc.exit("bang")

    async def main() -> None:
        watched = zc.spawn(forever)
        assert await end_of(zc.spawn(watches, watched)) == "bang"
        info = zc.process_info(watched)
        assert info is not None
        assert info["watchers"] == []

    run(main)


def test_MON_02_two_monitors_of_one_process_are_two_downs_with_their_refs() -> None:
    """Source: seen on OTP 25."""

    async def main() -> None:
        pid = zc.spawn(exits_with, "bang")
        refs = [zc.monitor(pid), zc.monitor(pid)]
        assert refs[0] != refs[1]
        assert await arriving() == [zc.Down(ref, pid, "bang") for ref in refs]

    run(main)


@pytest.mark.parametrize("flush", [True, False])
def test_MON_04_demonitor_with_flush_removes_a_down_that_is_queued(flush: bool) -> None:
    """Source: monitor_SUITE:demonitor_flush."""

    async def main() -> None:
        pid, ref = zc.spawn_monitor(exits_with, "bang")
        other = zc.spawn(forever)
        zc.send(zc.self(), "before")
        await end_of(pid)
        zc.send(zc.self(), "after")
        zc.demonitor(ref, flush=flush)
        queued = [] if flush else [zc.Down(ref, pid, "bang")]
        assert [message for message in await arriving() if not isinstance(message, str)] == queued
        assert zc.is_alive(other)

    run(main)


def test_MON_05_demonitor_with_info_tells_whether_the_monitor_had_fired() -> None:
    """Source: monitor_SUITE:local_remove_monitor."""

    async def main() -> None:
        pid = zc.spawn(forever)
        assert zc.demonitor(zc.monitor(pid), info=True) is True
        fired = zc.monitor(pid)
        zc.exit(pid, "bang")
        await end_of(pid)
        assert zc.demonitor(fired, info=True) is False
        assert await arriving() == [zc.Down(fired, pid, "bang")]

    run(main)


def test_MON_05_demonitor_with_info_and_flush_is_false_when_the_down_was_flushed() -> None:
    """Source: erlang:demonitor/2."""

    async def main() -> None:
        pid = zc.spawn(exits_with, "bang")
        ref = zc.monitor(pid)
        await end_of(pid)
        assert zc.demonitor(ref, flush=True, info=True) is False
        assert await arriving() == []

    run(main)


def test_MON_07_spawn_monitor_of_a_function_that_ends_at_once_tells_its_real_reason() -> None:
    """Source: monitor_SUITE:mon_1."""

    async def main() -> None:
        started = [zc.spawn_monitor(exits_with, number) for number in range(100)]
        assert await arriving() == [zc.Down(ref, pid, number) for number, (pid, ref) in enumerate(started)]

    run(main)


def test_MON_08_monitor_of_oneself_delivers_nothing_and_leaves_nothing() -> None:
    """Source: erl_link_SUITE:process_monitors."""

    async def watches_itself(owner: zc.Pid) -> None:
        ref = zc.monitor(zc.self())
        info = zc.process_info(zc.self())
        assert info is not None
        zc.send(owner, (ref, info["monitors"], info["watchers"]))

    async def main() -> None:
        pid, ref = zc.spawn_monitor(watches_itself, zc.self())
        (own_ref, monitors, watchers), down = await arriving()
        assert isinstance(own_ref, zc.Ref)
        assert (monitors, watchers) == ([], [zc.self()])
        assert down == zc.Down(ref, pid, zc.Normal())

    run(main)


def test_monitor_of_a_dead_process_or_a_free_name_then_noproc_at_once() -> None:
    """Source: erlang:monitor/2."""

    async def main() -> None:
        pid = zc.spawn(exits_with, "bang")
        await end_of(pid)
        by_pid, by_name = zc.monitor(pid), zc.monitor("nobody")
        assert await arriving(0) == [
            zc.Down(by_pid, pid, zc.NoProcess()),
            zc.Down(by_name, ("nobody", "nonode@nohost"), zc.NoProcess()),
        ]

    run(main)


def test_monitor_by_name_then_down_names_the_pair_and_the_name_is_free_already() -> None:
    """Source: seen on OTP 25: names are released before DOWN goes out."""

    async def main() -> None:
        pid = zc.spawn(forever, name="worker")
        ref = zc.monitor("worker")
        zc.exit(pid, "bang")
        assert await zc.receive() == zc.Down(ref, ("worker", "nonode@nohost"), "bang")
        assert zc.whereis("worker") is None

    run(main)


def test_MON_10_monitor_of_a_free_name_on_another_node_tells_noproc_of_the_pair() -> None:
    """Source: seen on OTP 25."""
    with Simulation(seed=1, nodes=2) as simulation:
        for name in simulation.names:
            simulation.start(name)

        async def watches() -> tuple[zc.Ref, Any]:
            ref = zc.monitor(("nobody", simulation.full_name("b")))
            return ref, await zc.receive()

        ref, down = simulation.run_on("a", watches)
        assert down == zc.Down(ref, ("nobody", simulation.full_name("b")), zc.NoProcess())
