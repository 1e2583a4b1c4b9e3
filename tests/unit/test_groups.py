"""Memberships and their monitors: what one replica shows and says."""

from __future__ import annotations

from typing import Any

from zmqcluster.ids import Pid, Ref
from zmqcluster.protocol.effects import Effect, Emit, Send
from zmqcluster.protocol.entries import Fetch, Hello
from zmqcluster.protocol.group_monitors import GroupMonitors, Joined, Left
from zmqcluster.protocol.groups import Members, Memberships
from zmqcluster.protocol.streams import LOG_CHANGES_MAX, PART_ENTRIES_MAX

A, B = "a@host", "b@host"


def pid(node: str, number: int, incarnation: int = 1) -> Pid:
    return Pid(node, incarnation, number)


def ref(number: int) -> Ref:
    return Ref(A, 1, number)


def replica(node: str, number: int = 0) -> Memberships:
    return Memberships(pid(node, number))


def deliver(source: Memberships, target: Memberships, effects: list[Effect]) -> list[Any]:
    """Give ``target`` what ``source`` said; return the events that it emitted."""
    events: list[Any] = []
    for effect in effects:
        if not isinstance(effect, Emit):
            answer = target.on_message(source.me.node, effect.message, 0)  # type: ignore[union-attr]
            events += [each.event for each in answer if isinstance(each, Emit)]
            deliver(target, source, answer)
    return [event for event in events if isinstance(event, Joined | Left)]


def pair() -> tuple[Memberships, Memberships]:
    a, b = replica(A), replica(B)
    effects = a.on_node_up(B, 0)
    b.on_node_up(A, 0)
    deliver(a, b, effects)
    return a, b


def test_listed_when_some_joined_twice_then_they_are_listed_so_often() -> None:
    members = Members()
    assert members.listed() == []
    members[pid(A, 1)], members[pid(A, 2)], members.total = 2, 1, 3
    assert members.listed() == [pid(A, 1), pid(A, 1), pid(A, 2)]


def test_flush_when_much_was_written_then_deltas_are_of_bounded_size() -> None:
    a, b = pair()
    for number in range(2 * PART_ENTRIES_MAX + 1):
        a.join(number, [pid(A, 1)])

    effects = a.flush()
    deliver(a, b, effects)

    assert [len(effect.message.changes) for effect in effects] == [PART_ENTRIES_MAX] * 2 + [1]  # type: ignore[union-attr]
    assert len(b.groups()) == 2 * PART_ENTRIES_MAX + 1
    assert a.flush() == []


def test_flush_when_more_was_written_than_is_kept_then_it_is_missed_and_fetched() -> None:
    a, b = pair()
    for number in range(3 * LOG_CHANGES_MAX):
        a.join(number, [pid(A, 1)])

    deliver(a, b, a.flush())

    assert sorted(b.groups()) == [*range(3 * LOG_CHANGES_MAX)]


def test_merge_when_a_member_comes_and_goes_within_one_delta_then_both_are_told() -> None:
    a, b = pair()
    b.monitor(ref(1), "g", pid(B, 9))
    a.join("g", [pid(A, 1)])
    a.leave("g", [pid(A, 1)])
    a.join("g", [pid(A, 2)])

    events = deliver(a, b, a.flush())

    one, other = [pid(A, 1)], [pid(A, 2)]
    assert events == [Joined(ref(1), "g", one), Left(ref(1), "g", one), Joined(ref(1), "g", other)]


def test_replica_when_its_successor_has_the_same_members_then_nothing_is_told() -> None:
    a, b = pair()
    b.monitor_scope(ref(1), pid(B, 9))
    a.join("g", [pid(A, 1), pid(A, 1), pid(A, 2)])
    deliver(a, b, a.flush())

    successor = replica(A, 99)
    assert successor.adopt(a, lambda each: each != pid(A, 2), 0) == []
    events = deliver(successor, b, successor.on_node_up(B, 0))

    assert events == []  # the snapshot comes with the answer to the greeting
    assert b.members("g") == successor.members("g") == [pid(A, 1), pid(A, 1)]


def test_adopt_when_there_were_members_elsewhere_then_they_have_left_until_they_come_again() -> None:
    a, b = pair()
    b.join("g", [pid(B, 1)])
    deliver(b, a, b.flush())
    a.monitor(ref(1), "g", pid(A, 9))

    successor = replica(A, 99)
    effects = successor.adopt(a, lambda each: True, 0)

    assert effects == [Emit(Left(ref(1), "g", [pid(B, 1)], "scope_down"))]
    assert successor.is_holder(pid(A, 9)) and pid(A, 9) in successor.touched


def test_fetch_when_it_names_an_earlier_replica_then_everything_is_sent() -> None:
    a, b = pair()
    a.join("g", [pid(A, 1)])
    (answer,) = a.on_message(B, Fetch(pid(A, 77), 0), 0)
    assert isinstance(answer, Send) and answer.peer == B
    assert b.on_message("c@host", Hello(pid("c@host", 0)), 0) == []


# --- monitors


def test_told_when_there_are_no_monitors_then_nothing() -> None:
    assert GroupMonitors().told([("g", pid(A, 1), 1)]) == []


def test_told_when_steps_of_one_group_follow_each_other_then_they_are_one_event() -> None:
    monitors = GroupMonitors()
    monitors.add(ref(1), "g", pid(A, 1))
    monitors.add(ref(2), None, pid(A, 1))
    p, q = pid(A, 2), pid(A, 3)

    effects = monitors.told([("g", p, 2), ("g", q, 1), ("h", p, 1), ("g", q, 0), ("g", p, -1)])

    assert effects == [
        Emit(Joined(ref(1), "g", [p, p, q])),
        Emit(Joined(ref(2), "g", [p, p, q])),
        Emit(Joined(ref(2), "h", [p])),
        Emit(Left(ref(1), "g", [p])),
        Emit(Left(ref(2), "g", [p])),
    ]


def test_remove_pid_when_it_has_several_then_all_go_and_the_others_stay() -> None:
    monitors = GroupMonitors()
    for number, (group, owner) in enumerate([("g", 1), (None, 1), ("g", 2)]):
        monitors.add(ref(number), group, pid(A, owner))

    monitors.remove_pid(pid(A, 1))
    monitors.remove_pid(pid(A, 1))

    assert monitors.pids() == [pid(A, 2)]
    assert not monitors.has(pid(A, 1)) and not monitors.is_owner(pid(A, 2), ref(0))
    assert [effect.event.ref for effect in monitors.told([("g", pid(B, 1), 1)])] == [ref(2)]  # type: ignore[union-attr]
