"""Groups against OTP's pg and Syn's: one test per case, named after it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.groups_world import HEAL_MS, PUSH_MS, end, is_whole, member, nodes, settle
from tests.support.running import arriving, forever, run
from zmqcluster.cluster.groups import Groups
from zmqcluster.cluster.replica import Parcel
from zmqcluster.core import encode
from zmqcluster.errors import ConfigError, UsageError
from zmqcluster.exits import Kill, Shutdown
from zmqcluster.ids import Pid, Ref
from zmqcluster.protocol.entries import Delta, Fetch, Hello, Snapshot
from zmqcluster.protocol.group_monitors import Joined, Left
from zmqcluster.runtime.process import exit, is_alive, receive, self, send, spawn, whereis
from zmqcluster.testing.simulation import Simulation

groups = Groups("test")


@pytest.fixture
def pair() -> Iterator[Simulation]:
    with nodes(2, groups) as world:
        yield world


@pytest.fixture
def trio() -> Iterator[Simulation]:
    with nodes(3, groups) as world:
        yield world


def joined(world: Simulation, name: str, *names: Any, heard: list[Any] | None = None) -> Pid:
    """A process of node ``name`` that is a member of the groups ``names``."""
    pid = member(world, name, heard)
    for group in names:
        world.at(name, lambda group=group: groups.join(group, pid))  # type: ignore[misc]
    return pid


def views(world: Simulation, group: Any) -> list[list[Pid]]:
    """What the nodes answer, in the order of their names."""
    return [sorted(world.at(name, lambda: groups.get_members(group))) for name in world.running]


def replica(world: Simulation, name: str) -> Pid:
    pid = world.at(name, lambda: whereis("zmqcluster.groups:test"))
    assert pid is not None
    return pid


class Watcher:
    """A process with monitors: what they began with and what they were told, and what the two come to."""

    def __init__(self, world: Simulation, name: str, group: Any = None) -> None:
        self.heard: list[Any] = []
        self.ref: Ref
        self.begun: Any
        self.pid = world.spawn(name, self.watch, group)
        world.run_ms(1)

    async def watch(self, group: Any) -> None:
        self.ref, self.begun = groups.monitor_scope() if group is None else groups.monitor(group)
        while True:
            event = await receive()
            self.heard.append(event)

    def members(self, group: Any) -> list[Pid]:
        """What is known of ``group`` to one who has only the snapshot and the events."""
        known = list(self.begun.get(group, []) if isinstance(self.begun, dict) else self.begun)
        for event in self.heard:
            assert event.ref == self.ref
            if event.group != group:
                continue
            if isinstance(event, Joined):
                known += event.pids
            else:
                for pid in event.pids:
                    known.remove(pid)
        return sorted(known)


def on_one_node(main: Any) -> Any:
    async def program() -> Any:
        await groups.start_link()
        return await main()

    return run(program)


# --- OTP: pg_SUITE


def test_pg_01_join_twice_then_a_member_twice_until_it_leaves_twice() -> None:
    async def main() -> None:
        p, q = spawn(forever), spawn(forever)
        groups.join("g", p)
        groups.join("g", p)
        assert groups.get_members("g") == [p, p] == groups.get_local_members("g")
        assert groups.leave("g", p)
        assert groups.get_members("g") == [p]
        assert groups.leave("g", [p, p])
        assert not groups.leave("g", p)
        groups.join("g", [p, p])
        assert groups.get_members("g") == [p, p]
        assert groups.leave("g", [q, p])  # one of them was
        assert not groups.leave("g", [q, q])
        assert not groups.leave("another", p)
        assert groups.get_members("g") == [p]

    on_one_node(main)


def test_pg_02_group_without_members_then_it_is_not_there() -> None:
    async def main() -> None:
        assert groups.get_members("g") == groups.get_local_members("g") == []
        groups.join("g")
        groups.join(("h", 1))
        assert groups.which_groups() == groups.which_local_groups() == ["g", ("h", 1)]
        groups.leave("g")
        groups.join("i", [])
        assert groups.which_groups() == [("h", 1)]

    on_one_node(main)


def test_groups_that_are_equal_but_not_the_same_then_each_has_its_own() -> None:
    async def main() -> None:
        pids = [spawn(forever) for _ in range(5)]
        names: list[Any] = [1, 1.0, True, "1", b"1"]
        for name, pid in zip(names, pids, strict=True):
            groups.join(name, pid)
        assert [groups.get_members(name) for name in names] == [[pid] for pid in pids]
        assert [type(name) for name in groups.which_groups()] == [type(name) for name in names]

    on_one_node(main)


def test_pg_04_join_of_a_process_of_another_node_then_refused_and_nothing_changed(pair: Simulation) -> None:
    local, remote = member(pair, "a"), member(pair, "b")
    for pids in (remote, [local, remote], "no pid", [local, None], 7):
        for ask in (groups.join, groups.leave):
            with pytest.raises(ConfigError):
                pair.at("a", lambda ask=ask, pids=pids: ask("g", pids))  # type: ignore[misc]
    with pytest.raises(ConfigError):
        pair.at("a", lambda: groups.join(["unhashable"], local))
    pair.run_ms(PUSH_MS)
    assert views(pair, "g") == [[], []]
    assert pair.at("a", groups.which_groups) == []


def test_pg_05_member_when_it_ends_then_all_its_memberships_go_everywhere(pair: Simulation) -> None:
    pid = joined(pair, "a", "g", "h", "i", "g", "h", "i")
    other = joined(pair, "a", "g")
    pair.run_ms(PUSH_MS)
    assert views(pair, "h") == [[pid, pid]] * 2
    end(pair, pid, Kill())
    pair.run_ms(PUSH_MS)
    assert [views(pair, group) for group in "ghi"] == [[[other]] * 2, [[]] * 2, [[]] * 2]
    assert pair.at("b", groups.which_groups) == ["g"]


def test_pg_05_leave_that_races_with_the_end_then_the_scope_lives() -> None:
    async def main() -> None:
        scope = whereis("zmqcluster.groups:test")
        for _ in range(100):
            pid = spawn(forever)
            groups.join("g", pid)
            exit(pid, Kill())
            groups.leave("g", pid)
            groups.join("g", pid)
            await asyncio.sleep(0)
            groups.leave("g", pid)
        await asyncio.sleep(0.01)
        assert groups.which_groups() == []
        assert whereis("zmqcluster.groups:test") == scope

    on_one_node(main)


def test_pg_05_join_of_a_process_that_has_ended_then_it_is_no_member() -> None:
    async def main() -> None:
        dead, alive = spawn(forever), spawn(forever)
        exit(dead, Kill())
        await asyncio.sleep(0.01)
        groups.join("g", [dead, alive])
        assert groups.get_members("g") == [alive]

    on_one_node(main)


def test_pg_07_partition_then_each_side_drops_the_other_and_the_heal_brings_what_is_true_then(pair: Simulation) -> None:
    stays, leaves, dies = (joined(pair, "b", "g") for _ in range(3))
    here = joined(pair, "a", "g")
    pair.run_ms(PUSH_MS)
    assert views(pair, "g") == [sorted([stays, leaves, dies, here])] * 2

    pair.cut("a", "b")
    pair.eventually(lambda: views(pair, "g") == [[here], sorted([stays, leaves, dies])], HEAL_MS)
    pair.at("b", lambda: groups.leave("g", leaves))
    end(pair, dies, Kill())
    new = joined(pair, "b", "g", "only in the split")
    pair.heal()
    settle(pair)

    assert views(pair, "g") == [sorted([stays, new, here])] * 2
    assert views(pair, "only in the split") == [[new]] * 2


def test_pg_07_restart_of_a_node_then_no_pid_of_its_earlier_life_is_left(pair: Simulation) -> None:
    joined(pair, "b", "g")
    pair.run_ms(PUSH_MS)
    pair.crash("b")
    pair.restart("b")
    settle(pair)
    new = joined(pair, "b", "g")
    pair.run_ms(PUSH_MS)
    assert views(pair, "g") == [[new]] * 2


def test_pg_08_bridge_then_membership_is_not_passed_on(trio: Simulation) -> None:
    trio.cut("a", "c")
    trio.eventually(lambda: [len(trio.node(name).nodes()) for name in "abc"] == [1, 2, 1], HEAL_MS)
    on_a, on_c = joined(trio, "a", "g"), joined(trio, "c", "g")
    trio.run_ms(2_000)
    assert views(trio, "g") == [[on_a], sorted([on_a, on_c]), [on_c]]


def test_pg_10_monitor_of_a_group_then_snapshot_and_events_are_the_members_at_any_time(pair: Simulation) -> None:
    first = joined(pair, "b", "g", "other")
    pair.run_ms(PUSH_MS)
    watcher = Watcher(pair, "a", "g")
    assert watcher.begun == [first] and watcher.heard == []

    here = joined(pair, "a", "g", "other")
    pair.at("a", lambda: groups.join("g", [here, here]))
    far = joined(pair, "b", "g")
    pair.run_ms(PUSH_MS)
    ref = watcher.ref
    assert watcher.heard == [
        Joined(ref, "g", [here], "join"),
        Joined(ref, "g", [here, here], "join"),
        Joined(ref, "g", [far], "join"),
    ]
    watcher.begun, watcher.heard = watcher.members("g"), []
    pair.at("b", lambda: groups.leave("g", first))
    end(pair, here, Kill())
    pair.run_ms(PUSH_MS)
    assert sorted(watcher.heard, key=repr) == sorted(
        [Left(ref, "g", [first], "leave"), Left(ref, "g", [here] * 3, "leave")], key=repr
    )
    assert watcher.members("g") == [far]


def test_pg_10_monitor_when_the_node_of_members_is_lost_and_comes_back_then_one_event_each(pair: Simulation) -> None:
    pids = sorted(joined(pair, "b", "g", "h") for _ in range(3))
    pair.run_ms(PUSH_MS)
    watcher = Watcher(pair, "a", "g")
    pair.cut("a", "b")
    pair.eventually(lambda: watcher.heard, HEAL_MS)
    pair.heal()
    settle(pair)
    down, up = watcher.heard
    assert (type(down), sorted(down.pids), down.reason) == (Left, pids, "scope_down")
    assert (type(up), sorted(up.pids), up.reason) == (Joined, pids, "scope_up")


def test_pg_10_monitor_of_the_scope_then_a_map_of_all_groups_and_all_their_events(pair: Simulation) -> None:
    p, q = joined(pair, "a", "g", "g"), joined(pair, "b", "h")
    pair.run_ms(PUSH_MS)
    watcher = Watcher(pair, "a")
    assert watcher.begun == {"g": [p, p], "h": [q]}
    r = joined(pair, "b", "g", "i")
    pair.at("b", lambda: groups.leave("i", r))  # within one broadcast: told all the same
    end(pair, q, Kill())
    pair.run_ms(PUSH_MS)
    assert [watcher.members(group) for group in "ghi"] == [sorted([p, p, r]), [], []]
    assert [(type(event), event.group) for event in watcher.heard if r in event.pids] == [
        (Joined, "g"),
        (Joined, "i"),
        (Left, "i"),
    ]


def test_pg_10_monitors_under_faults_then_each_agrees_with_the_table(trio: Simulation) -> None:
    watchers = {name: Watcher(trio, name) for name in trio.names}
    for _ in range(25):
        name = trio.chance.choice(trio.names)
        pid = joined(trio, name, *trio.chance.choices("ghi", k=2))
        if trio.chance.random() < 0.3:
            end(trio, pid, Kill())
        if trio.chance.random() < 0.2:
            trio.cut(*trio.chance.sample(trio.names, 2))
        if trio.chance.random() < 0.3:
            trio.heal()
        trio.run_ms(trio.chance.choice([1, 5, 400]))
        for here, watcher in watchers.items():
            for group in "ghi":
                assert watcher.members(group) == sorted(trio.at(here, lambda g=group: groups.get_members(g)))  # type: ignore[misc]
    trio.heal()
    trio.eventually(lambda: len({str(view) for view in views(trio, "g")}) == 1, HEAL_MS)


def test_pg_11_demonitor_then_queued_events_go_and_a_second_time_is_false() -> None:
    async def main() -> None:
        pid = spawn(forever)
        ref, _ = groups.monitor("g")
        other, _ = groups.monitor("g")
        groups.join("g", pid)
        send(self(), "message")
        groups.leave("g", pid)
        assert groups.demonitor(ref)
        assert not groups.demonitor(ref)
        groups.join("g", pid)
        assert await arriving() == [
            Joined(other, "g", [pid]),
            "message",
            Left(other, "g", [pid]),
            Joined(other, "g", [pid]),
        ]

    on_one_node(main)


def test_pg_11_demonitor_by_another_process_then_it_is_false() -> None:
    async def main() -> None:
        ref, _ = groups.monitor("g")
        answers: list[bool] = []

        async def stranger() -> None:
            answers.append(groups.demonitor(ref))

        spawn(stranger)
        await asyncio.sleep(0)
        assert answers == [False]
        assert groups.demonitor(ref)

    on_one_node(main)


def test_pg_11_process_that_joined_and_monitors_when_it_dies_then_the_scope_lives(pair: Simulation) -> None:
    """Case otp#7754."""

    async def both() -> None:
        groups.join("g")
        groups.monitor("g")
        groups.monitor_scope()
        await forever()

    before, pid = replica(pair, "a"), pair.spawn("a", both)
    pair.run_ms(PUSH_MS)
    assert views(pair, "g") == [[pid]] * 2
    end(pair, pid, Kill())
    pair.run_ms(PUSH_MS)
    assert views(pair, "g") == [[], []]
    joined(pair, "a", "g")
    pair.run_ms(PUSH_MS)
    assert replica(pair, "a") == before
    assert pair.at("a", lambda: len(core_of("a", pair)._monitors.pids())) == 0


def core_of(name: str, world: Simulation) -> Any:
    return world.node(name).scheduler.shelf["zmqcluster.groups:test"]


def test_pg_13_ten_thousand_groups_and_2000_requests_at_once_then_a_join_takes_no_time(pair: Simulation) -> None:
    pids = [joined(pair, "a") for _ in range(10)]
    began = time.perf_counter()

    def join_all() -> None:
        for number in range(10_000):
            groups.join(number, pids[number % 10])

    pair.at("a", join_all)
    pair.run_ms(2_000)
    assert len(pair.at("b", groups.which_groups)) == 10_000

    scope, peer = replica(pair, "a"), pair.full_name("b")
    for _ in range(2_000):
        pair.node("a").scheduler.deliver(scope, Parcel(peer, Fetch(scope, -1)))
    late = joined(pair, "a", "late")
    assert pair.at("a", lambda: groups.get_members("late")) == [late]
    pair.run_ms(PUSH_MS)
    assert views(pair, "late") == [[late]] * 2
    assert time.perf_counter() - began < 5


def test_pg_14_messages_out_of_session_then_they_are_ignored(pair: Simulation) -> None:
    far = joined(pair, "b", "g")
    pair.run_ms(PUSH_MS)
    old = replica(pair, "b")
    pair.crash("b")
    pair.run_ms(2_000)
    assert views(pair, "g") == [[]]

    scope = replica(pair, "a")
    row = (encode(("g", far.id)), far, 1, 1, 0)
    for node in (pair.full_name("b"), "stranger@10.0.0.9:7100"):
        foreign = Pid(node, old.incarnation, 1)
        for message in (
            Hello(foreign),
            Snapshot(foreign, 1, 0, 1, [row]),
            Delta(foreign, 1, [row]),
            Fetch(foreign, -1),
            "noise",
        ):
            pair.node("a").scheduler.deliver(scope, Parcel(node, message))
    pair.run_ms(PUSH_MS)
    assert views(pair, "g") == [[]]
    assert replica(pair, "a") == scope


# --- Syn and others: the cases G


def test_g_01_join_then_seen_here_at_once_and_elsewhere_in_a_moment(trio: Simulation) -> None:
    pid = joined(trio, "a", "g")
    assert views(trio, "g") == [[pid], [], []]
    trio.run_ms(PUSH_MS)
    assert views(trio, "g") == [[pid]] * 3
    assert [trio.at(name, lambda: groups.get_local_members("g")) for name in "abc"] == [[pid], [], []]
    assert [trio.at(name, groups.which_local_groups) for name in "abc"] == [["g"], [], []]


def test_g_02_join_twice_then_it_is_as_in_pg_and_seen_so_everywhere(pair: Simulation) -> None:
    pid = joined(pair, "a", "g", "g")
    pair.run_ms(PUSH_MS)
    assert views(pair, "g") == [[pid, pid]] * 2
    pair.at("a", lambda: groups.leave("g", pid))
    pair.run_ms(PUSH_MS)
    assert views(pair, "g") == [[pid]] * 2


def test_g_04_monitor_from_inside_a_server_then_the_snapshot_comes_first() -> None:
    """See also PG-10: joins before the monitor are in the snapshot only, those after it in events only."""

    async def main() -> None:
        pids = [spawn(forever) for _ in range(3)]
        groups.join("g", pids[0])
        ref, members = groups.monitor("g")
        groups.join("g", pids[1:])
        assert members == pids[:1]
        assert await arriving() == [Joined(ref, "g", pids[1:])]

    on_one_node(main)


def test_g_05_broadcast_then_each_member_gets_it_in_order_and_a_link_carries_it_once(trio: Simulation) -> None:
    inboxes: dict[str, list[list[Any]]] = {name: [[] for _ in range(50)] for name in "abc"}
    for name, heard in inboxes.items():
        for inbox in heard:
            joined(trio, name, "g", heard=inbox)
    twice: list[Any] = []
    joined(trio, "c", "g", "g", "elsewhere", heard=twice)
    trio.run_ms(10 * PUSH_MS)
    links = [trio.node("a").scheduler.link_of(trio.full_name(name)) for name in "bc"]
    before = [link.sent_count for link in links if link]

    async def speak() -> list[int]:
        return [groups.broadcast("g", number) for number in range(20)]

    assert trio.run_on("a", speak) == [152] * 20
    sent = [link.sent_count - count for link, count in zip(links, before, strict=True) if link]
    trio.run_ms(PUSH_MS)
    assert all(inbox == [*range(20)] for heard in inboxes.values() for inbox in heard)
    assert twice == [number for number in range(20) for _ in range(2)]
    assert sent == [20, 20]


def test_g_05_broadcast_to_nobody_then_none_are_told(pair: Simulation) -> None:
    assert pair.at("a", lambda: groups.broadcast("g", "message")) == 0
    heard: list[Any] = []
    pid = joined(pair, "b", "g", heard=heard)
    pair.run_ms(PUSH_MS)
    end(pair, pid, Kill())
    assert pair.at("a", lambda: groups.broadcast("g", "message")) == 1  # as far as it knows
    pair.run_ms(PUSH_MS)
    assert heard == []


def test_g_05_local_broadcast_then_only_this_node_gets_it(pair: Simulation) -> None:
    here: list[Any] = []
    far: list[Any] = []
    joined(pair, "a", "g", heard=here)
    joined(pair, "b", "g", heard=far)
    pair.run_ms(PUSH_MS)
    assert pair.at("a", lambda: groups.local_broadcast("g", "message")) == 1
    pair.run_ms(PUSH_MS)
    assert (here, far) == (["message"], [])


def test_g_08_split_then_events_say_that_the_scope_of_a_node_went_and_came(pair: Simulation) -> None:
    """See also PG-07 and PG-10."""
    joined(pair, "b", "g")
    pair.run_ms(PUSH_MS)
    watcher = Watcher(pair, "a")
    pair.cut("a", "b")
    pair.run_ms(3_000)
    assert not is_whole(pair)
    pair.heal()
    settle(pair)
    assert [event.reason for event in watcher.heard] == ["scope_down", "scope_up"]


def test_g_10_join_of_a_process_whose_node_is_not_in_the_scope_then_it_is_refused() -> None:
    with nodes(1, groups) as world:
        stranger = Pid("outside@10.0.0.9:7100", 1, 1)
        with pytest.raises(ConfigError):
            world.at("a", lambda: groups.join("g", stranger))
        with pytest.raises(UsageError):
            world.at("a", lambda: Groups("not here").join("g", member(world, "a")))


# --- what there is no case for


def test_scope_when_it_is_stopped_in_order_then_its_members_leave_elsewhere(pair: Simulation) -> None:
    joined(pair, "b", "g")
    pair.run_ms(PUSH_MS)
    watcher = Watcher(pair, "a", "g")
    scheduler = pair.node("b").scheduler
    tree = parent(pair, replica(pair, "b"))
    scheduler.exit(parent(pair, tree), tree, Shutdown())
    pair.run_ms(PUSH_MS)
    assert [(type(event), event.reason) for event in watcher.heard] == [(Left, "scope_down")]
    assert views(pair, "g") == [[], []]
    late = joined(pair, "b", "g")  # in the scope that its supervisor has started again
    pair.run_ms(PUSH_MS)
    assert views(pair, "g") == [[late]] * 2


def parent(world: Simulation, pid: Pid) -> Pid:
    described = world.node(pid.node[0]).scheduler.describe(pid)
    assert described is not None
    found: Pid = described["parent"]
    return found


def test_scope_when_it_crashes_then_members_and_monitors_go_on(pair: Simulation) -> None:
    here, far = joined(pair, "a", "g", "g"), joined(pair, "b", "g")
    pair.run_ms(PUSH_MS)
    on_a, on_b = Watcher(pair, "a", "g"), Watcher(pair, "b", "g")
    gone = joined(pair, "a", "g")
    pair.run_ms(PUSH_MS)

    end(pair, replica(pair, "a"), Kill())
    end(pair, gone, Kill())
    late = member(pair, "a")
    pair.at("a", lambda: groups.join("g", late))  # while there is no replica
    pair.run_ms(10 * PUSH_MS)

    assert views(pair, "g") == [sorted([here, here, late, far])] * 2
    assert on_a.members("g") == on_b.members("g") == views(pair, "g")[0]
    assert not [event for event in on_b.heard if here in event.pids]  # to others they were never away
    end(pair, here, Kill())
    pair.run_ms(PUSH_MS)
    assert views(pair, "g") == [sorted([late, far])] * 2


def test_watches_of_processes_that_left_then_none_are_left(pair: Simulation) -> None:
    pid = joined(pair, "a")
    scope = replica(pair, "a")
    described = pair.node("a").scheduler.describe(scope)
    assert described is not None
    for _ in range(5):
        pair.at("a", lambda: groups.join("g", pid))
        pair.run_ms(PUSH_MS)
        assert len((pair.node("a").scheduler.describe(scope) or {})["monitors"]) == len(described["monitors"]) + 1
        pair.at("a", lambda: groups.leave("g", pid))
        pair.run_ms(PUSH_MS)
        assert pair.node("a").scheduler.describe(scope)["monitors"] == described["monitors"]  # type: ignore[index]


def test_groups_on_a_node_without_the_scope_then_a_usage_error_says_what_to_do() -> None:
    async def main() -> None:
        for ask in (groups.which_groups, lambda: groups.join("g"), lambda: groups.broadcast("g", 1)):
            with pytest.raises(UsageError, match="children of a supervisor"):
                ask()  # type: ignore[operator]
        assert is_alive(self())

    run(main)


@pytest.mark.parametrize("scope", ["", 7, "x" * 300])
def test_scope_whose_name_is_none_then_a_config_error(scope: Any) -> None:
    with pytest.raises(ConfigError):
        Groups(scope)
