"""Names with one writer each: what one replica shows, says and gives up."""

from __future__ import annotations

from typing import Any

import pytest

from zmqcluster.errors import AlreadyRegistered, NotRegistered
from zmqcluster.ids import Pid
from zmqcluster.protocol.effects import Broadcast, Effect, Emit, Send
from zmqcluster.protocol.entries import Delta, Digest, Entry, Fetch, Hello, Snapshot
from zmqcluster.protocol.ownership import DIGEST_MS, Conflict, Ownership, precedence
from zmqcluster.protocol.replication import ORPHAN_MS, ReplicaJoined
from zmqcluster.protocol.streams import AHEAD_DELTAS_MAX, LOG_CHANGES_MAX, PART_ENTRIES_MAX, Copy, Stream

A, B, C = "a@host", "b@host", "c@host"


def pid(node: str, number: int, incarnation: int = 1) -> Pid:
    return Pid(node, incarnation, number)


def replica(node: str, incarnation: int = 1) -> Ownership:
    return Ownership(pid(node, 0, incarnation))


def deliver(source: Ownership, target: Ownership, effects: list[Effect], now_ms: int = 0) -> None:
    """Give ``target`` what ``source`` said, and what follows from it, until both are silent."""
    for effect in effects:
        if isinstance(effect, Broadcast) or (isinstance(effect, Send) and effect.peer == target.me.node):
            deliver(target, source, target.on_message(source.me.node, effect.message, now_ms), now_ms)


def join(one: Ownership, other: Ownership, now_ms: int = 0) -> None:
    greetings = one.on_node_up(other.me.node, now_ms), other.on_node_up(one.me.node, now_ms)
    deliver(one, other, greetings[0], now_ms)
    deliver(other, one, greetings[1], now_ms)


def joined(*nodes: str) -> list[Ownership]:
    cores = [replica(node) for node in nodes]
    for number, core in enumerate(cores):
        for other in cores[:number]:
            join(other, core)
    return cores


def conflicts(effects: list[Effect]) -> list[Conflict]:
    return [effect.event for effect in effects if isinstance(effect, Emit)]


# --- on one node


def test_register_when_free_then_the_same_node_reads_it_at_once() -> None:  # R01
    core = replica(A)

    core.register("k", pid(A, 1), {"v": 1}, now_ms=0)

    assert core.lookup("k") == (pid(A, 1), {"v": 1})
    assert core.count() == 1
    assert core.keys_of(pid(A, 1)) == ["k"]


def test_register_when_held_then_the_second_is_told_by_whom() -> None:  # R04
    core = replica(A)
    core.register("k", pid(A, 1), None, now_ms=0)

    with pytest.raises(AlreadyRegistered) as error:
        core.register("k", pid(A, 2), None, now_ms=1)

    assert (error.value.name, error.value.pid) == ("k", pid(A, 1))


def test_register_when_refused_100_times_then_nothing_is_kept() -> None:  # R28
    core = replica(A)
    core.register("k", pid(A, 1), None, now_ms=0)
    core.flush()

    for number in range(100):
        with pytest.raises(AlreadyRegistered):
            core.register("k", pid(A, 2 + number), None, now_ms=1)

    assert core.flush() == []
    assert not core.is_holder(pid(A, 2))


@pytest.mark.parametrize(
    "keys", [[1, 1.0, True, "1", b"1"], [("k", 1), ("k", 1.0), ("k", True)], ["k", b"k", "\xa1k", b"\xa1k"]]
)
def test_register_when_keys_are_equal_but_not_the_same_then_each_is_its_own(keys: list[Any]) -> None:
    core = replica(A)

    for number, key in enumerate(keys):
        core.register(key, pid(A, number), None, now_ms=0)

    assert [core.lookup(key) for key in keys] == [(pid(A, number), None) for number in range(len(keys))]
    assert [type(core.keys_of(pid(A, number))[0]) for number in range(len(keys))] == [type(key) for key in keys]


def test_unregister_when_asked_by_another_then_it_is_refused() -> None:
    core = replica(A)
    core.register("k", pid(A, 1), None, now_ms=0)

    with pytest.raises(NotRegistered):
        core.unregister("k", pid(A, 2))
    core.unregister("k", pid(A, 1))

    assert core.lookup("k") is None
    with pytest.raises(NotRegistered):
        core.unregister("k", pid(A, 1))


def test_remove_pid_when_it_holds_two_keys_then_both_are_free_and_the_others_stay() -> None:  # R11
    core = replica(A)
    for key, number in (("k", 1), ("l", 1), ("m", 2)):
        core.register(key, pid(A, number), None, now_ms=0)

    core.remove_pid(pid(A, 1))

    assert [core.lookup(key) for key in ("k", "l", "m")] == [None, None, (pid(A, 2), None)]
    assert not core.is_holder(pid(A, 1))


def test_keys_of_when_the_process_is_unknown_then_there_are_none() -> None:  # R16
    assert replica(A).keys_of(pid(A, 9)) == replica(A).keys_of(pid(B, 9)) == []


# --- between nodes


def test_flush_when_many_were_written_then_one_delta_carries_them_all() -> None:
    a, b = joined(A, B)
    for number in range(3):
        a.register(number, pid(A, 1), None, now_ms=0)

    effects = a.flush()
    deliver(a, b, effects)

    assert len(effects) == 1
    assert a.flush() == []
    assert [b.lookup(number) for number in range(3)] == [(pid(A, 1), None)] * 3
    assert sorted(b.keys_of(pid(A, 1))) == [0, 1, 2]


def test_node_up_when_names_exist_then_each_side_gets_one_snapshot() -> None:
    a, b = replica(A), replica(B)
    a.register("x", pid(A, 1), None, now_ms=0)
    b.register("y", pid(B, 1), None, now_ms=0)

    first = a.on_node_up(B, 0)
    answer = b.on_node_up(A, 0) + b.on_message(A, first[0].message, 0)

    assert [type(effect.message) for effect in answer[:-1]] == [Hello, Hello, Snapshot]
    assert answer[-1] == Emit(ReplicaJoined(a.me))
    deliver(b, a, answer)
    assert a.view == b.view
    assert b.on_message(A, Hello(a.me), 0) == []


def test_node_up_when_told_twice_then_the_second_says_nothing() -> None:
    a = replica(A)

    assert a.on_node_up(B, 0) == [Send(B, Hello(a.me))]
    assert a.on_node_up(B, 0) == []


def test_snapshot_when_large_then_it_comes_in_parts() -> None:
    a, b = replica(A), replica(B)
    for number in range(2 * PART_ENTRIES_MAX + 1):
        a.register(f"k{number}", pid(A, number), None, now_ms=0)

    assert len(a.on_message(B, Hello(b.me), 0)) == 0  # not up yet
    join(a, b)

    assert b.count() == 2 * PART_ENTRIES_MAX + 1


def test_delta_when_it_overtakes_the_snapshot_then_it_is_applied_after_it() -> None:
    a, b = replica(A), replica(B)
    a.register("x", pid(A, 1), None, now_ms=0)
    a.flush()
    a.on_node_up(B, 0)
    b.on_node_up(A, 0)
    snapshot = a.on_message(B, Hello(b.me), 0)[1:]
    a.unregister("x", pid(A, 1))
    a.register("y", pid(A, 1), None, now_ms=0)

    deliver(a, b, [*snapshot, *a.flush()])

    assert b.lookup("x") is None
    assert b.lookup("y") == (pid(A, 1), None)


def test_snapshot_when_it_is_older_than_what_is_here_then_it_changes_nothing() -> None:
    a, b = joined(A, B)
    a.register("x", pid(A, 1), None, now_ms=0)
    old = a.on_message(B, Fetch(a.me, -1), 0)
    a.register("y", pid(A, 1), None, now_ms=0)
    deliver(a, b, a.flush())

    deliver(a, b, old)

    assert b.lookup("y") == (pid(A, 1), None)


def test_delta_when_one_was_lost_then_the_writer_is_asked_once_and_repairs_both() -> None:
    a, b = joined(A, B)
    a.register("lost", pid(A, 1), None, now_ms=0)
    a.flush()
    a.register("k", pid(A, 1), None, now_ms=0)
    delta = a.flush()[0].message

    asked = b.on_message(A, delta, 0)

    assert asked == [Send(A, Fetch(a.me, 0))]
    assert b.on_message(A, delta, 1) == []
    deliver(b, a, asked)
    assert b.view == a.view
    assert b.count() == 2


def test_digest_when_the_last_delta_was_lost_then_it_is_fetched() -> None:  # R02
    a, b = joined(A, B)
    a.register("k", pid(A, 1), None, now_ms=0)
    a.flush()

    deliver(a, b, a.on_tick(DIGEST_MS))

    assert b.lookup("k") == (pid(A, 1), None)


def test_digest_when_a_copy_is_wrong_then_a_snapshot_replaces_it() -> None:
    a, b = joined(A, B)
    a.register("k", pid(A, 1), None, now_ms=0)
    deliver(a, b, a.flush())
    copy = b._copies[A]
    assert copy is not None
    copy.entries.put("k", Entry(pid(A, 7), None, 99, 0))

    asked = b.on_message(A, a.on_tick(DIGEST_MS)[0].message, DIGEST_MS)

    assert asked == [Send(A, Fetch(a.me, -1))]
    deliver(b, a, asked)
    assert b.lookup("k") == (pid(A, 1), None)


def test_digest_when_the_stream_is_unknown_then_everything_is_fetched() -> None:
    a, b = replica(A), replica(B)
    a.register("k", pid(A, 1), None, now_ms=0)
    a.on_node_up(B, 0)
    b.on_node_up(A, 0)

    deliver(a, b, a.on_tick(0)[-1:])

    assert b.lookup("k") == (pid(A, 1), None)


def test_fetch_when_the_log_is_too_short_then_a_snapshot_answers() -> None:
    a, _ = joined(A, B)
    for number in range(2 * LOG_CHANGES_MAX):
        a.register(number, pid(A, 1), None, now_ms=0)

    assert isinstance(a.on_message(B, Fetch(a.me, LOG_CHANGES_MAX), 0)[0].message, Delta)
    assert isinstance(a.on_message(B, Fetch(a.me, 0), 0)[0].message, Snapshot)


def test_tick_when_alone_then_nothing_is_said() -> None:
    a = replica(A)

    assert a.on_tick(0) == []
    assert a.deadline_ms() == DIGEST_MS


def test_node_down_when_it_held_names_then_they_leave_and_the_heal_brings_them_back() -> None:  # P01, P02
    a, b = joined(A, B)
    b.register("k", pid(B, 1), None, now_ms=0)
    deliver(b, a, b.flush())

    a.on_node_down(B, 1)
    b.on_node_down(A, 1)
    assert a.lookup("k") is None
    assert b.lookup("k") == (pid(B, 1), None)

    join(a, b)
    assert a.lookup("k") == (pid(B, 1), None)


def test_gossip_when_the_node_is_not_up_then_it_is_dropped() -> None:
    a, b = joined(A, B)
    b.register("k", pid(B, 1), None, now_ms=0)
    delta = b.flush()[0].message
    a.on_node_down(B, 1)

    assert a.on_message(B, delta, 2) == []
    assert a.lookup("k") is None


def test_restart_when_gossip_of_the_earlier_incarnation_comes_late_then_nothing_resurfaces() -> None:  # R29
    a, old = joined(A, B)
    old.register("k", pid(B, 1), None, now_ms=0)
    late = [old.flush()[0].message, old.on_tick(DIGEST_MS)[0].message]
    a.on_node_down(B, 1)
    new = replica(B, incarnation=2)
    join(a, new, now_ms=2)
    new.register("l", pid(B, 1, incarnation=2), None, now_ms=2)
    deliver(new, a, new.flush())

    for message in late:
        deliver(a, new, a.on_message(B, message, 3), 3)

    assert a.lookup("k") is None
    assert a.lookup("l") == (pid(B, 1, incarnation=2), None)


def test_restart_when_only_the_replica_restarts_then_its_earlier_names_leave() -> None:
    a, old = joined(A, B)
    old.register("k", pid(B, 1), None, now_ms=0)
    deliver(old, a, old.flush())
    new = Ownership(pid(B, 99))
    new.register("l", pid(B, 2), None, now_ms=1)

    deliver(new, a, new.on_node_up(A, 1), 1)

    assert a.lookup("k") is None
    assert a.lookup("l") == new.lookup("l") == (pid(B, 2), None)
    assert new.on_message(A, Hello(a.me), 1) == []


def test_replica_when_it_ended_in_order_then_its_names_leave_at_once_and_its_successor_brings_others() -> None:
    a, old = joined(A, B)
    old.register("k", pid(B, 1), None, now_ms=0)
    deliver(old, a, old.flush())

    assert a.on_replica_down(pid(C, 0), is_final=True, now_ms=1) == []
    assert a.on_replica_down(pid(B, 99), is_final=True, now_ms=1) == []
    assert a.lookup("k") is not None
    a.on_replica_down(old.me, is_final=True, now_ms=1)

    assert a.lookup("k") is None
    new = Ownership(pid(B, 99))
    new.register("l", pid(B, 2), None, now_ms=2)
    deliver(new, a, new.on_node_up(A, 2), 2)
    assert a.lookup("l") == (pid(B, 2), None)


def test_replica_when_it_crashed_then_its_names_wait_for_the_successor_but_not_for_ever() -> None:
    a, old = joined(A, B)
    old.register("k", pid(B, 1), None, now_ms=0)
    deliver(old, a, old.flush())

    a.on_replica_down(old.me, is_final=False, now_ms=1)
    a.on_tick(ORPHAN_MS)
    assert a.lookup("k") == (pid(B, 1), None)
    a.on_tick(ORPHAN_MS + DIGEST_MS)
    assert a.lookup("k") is None


def test_replica_when_its_successor_came_then_the_names_it_kept_were_never_away() -> None:
    a, old = joined(A, B)
    old.register("k", pid(B, 1), None, now_ms=0)
    deliver(old, a, old.flush())
    a.on_replica_down(old.me, is_final=False, now_ms=1)
    new = Ownership(pid(B, 99))
    new.register("k", pid(B, 1), None, now_ms=2)
    for number in range(PART_ENTRIES_MAX):
        new.register(number, pid(B, 1), None, now_ms=2)
    parts = [effect for effect in new.on_node_up(A, 2) + new.on_message(A, Hello(a.me), 2) if isinstance(effect, Send)]

    for part in parts:
        assert a.lookup("k") is not None
        a.on_message(B, part.message, 2)

    a.on_tick(2 * ORPHAN_MS)
    assert a.count() == PART_ENTRIES_MAX + 1


def test_fetch_when_asked_2000_times_then_one_snapshot_answers_them() -> None:
    a, _ = joined(A, B)
    a.register("k", pid(A, 1), None, now_ms=0)

    answers = [effect for _ in range(2_000) for effect in a.on_message(B, Fetch(a.me, -1), 1)]

    assert len(answers) == 1
    assert len(a.on_message(B, Fetch(a.me, -1), 1 + DIGEST_MS)) == 1


# --- two claims


def claim(a: Ownership, b: Ownership, a_ms: int, b_ms: int) -> None:
    """Let both register "k" without having heard of each other."""
    a.register("k", pid(A, 1), "of a", a_ms)
    b.register("k", pid(B, 1), "of b", b_ms)


def test_conflict_when_two_nodes_claim_then_the_first_wins_everywhere_and_one_loser_is_told() -> None:  # R05, R07
    a, b, c = joined(A, B, C)
    claim(a, b, a_ms=11_000, b_ms=1_000)
    from_a, from_b = a.flush(), b.flush()

    deliver(a, c, from_a)
    deliver(b, c, from_b)
    on_a = a.on_message(B, from_b[0].message, 0)
    on_b = b.on_message(A, from_a[0].message, 0)

    assert conflicts(on_a) == [Conflict("k", "of a", loser=pid(A, 1), winner=pid(B, 1))]
    assert conflicts(on_b) == []
    assert [core.lookup("k") for core in (a, b, c)] == [(pid(B, 1), "of b")] * 3
    deliver(a, b, on_a)
    deliver(a, c, on_a)
    assert b.view == c.view == a.view


def test_conflict_when_the_times_are_equal_then_the_smaller_node_wins() -> None:
    a, b = joined(A, B)
    claim(a, b, a_ms=5, b_ms=5)
    from_a = a.flush()

    assert conflicts(b.on_message(A, from_a[0].message, 5)) == [Conflict("k", "of b", pid(B, 1), pid(A, 1))]


def test_conflict_when_the_winner_goes_then_the_loser_does_not_resurface() -> None:
    a, b, c = joined(A, B, C)
    claim(a, b, a_ms=1, b_ms=2)
    from_a, from_b = a.flush(), b.flush()
    deliver(b, c, from_b)
    deliver(a, c, from_a)
    lost = b.on_message(A, from_a[0].message, 2)
    deliver(b, a, lost)
    deliver(b, c, lost)

    a.unregister("k", pid(A, 1))
    gone = a.flush()
    deliver(a, b, gone)
    deliver(a, c, gone)

    assert [core.lookup("k") for core in (a, b, c)] == [None] * 3


def test_conflict_when_a_split_heals_then_each_key_has_one_holder() -> None:  # P04
    a, b = replica(A), replica(B)
    for number in range(10):
        a.register(number, pid(A, number), None, now_ms=10 * number + number % 2)
        b.register(number, pid(B, number), None, now_ms=10 * number + (number + 1) % 2)

    join(a, b)
    for core, other in ((a, b), (b, a)):
        deliver(core, other, core.flush())

    assert a.view == b.view
    expected = [(pid((A, B)[number % 2], number), None) for number in range(10)]
    assert [a.lookup(number) for number in range(10)] == expected
    assert [len(core._own.entries) for core in (a, b)] == [5, 5]


def test_conflict_when_the_claim_was_given_up_within_one_delta_then_nobody_loses() -> None:
    a, b = joined(A, B)
    claim(a, b, a_ms=1, b_ms=2)
    a.unregister("k", pid(A, 1))

    assert b.on_message(A, a.flush()[0].message, 2) == []
    assert b.lookup("k") == (pid(B, 1), "of b")


def test_conflict_when_ranks_differ_then_the_higher_wins_though_it_came_later() -> None:
    a, b = joined(A, B)
    a.register("k", pid(A, 1), None, now_ms=1, rank=1)
    b.register("k", pid(B, 1), None, now_ms=9, rank=2)

    assert conflicts(a.on_message(B, b.flush()[0].message, 9)) == [Conflict("k", None, pid(A, 1), pid(B, 1))]


def test_precedence_when_ranks_are_equal_then_the_smaller_node_comes_first() -> None:
    late_on_a, early_on_b = Entry(pid(A, 5), None, 9, 3), Entry(pid(B, 1), None, 1, 3)

    assert precedence(late_on_a) < precedence(early_on_b)


def test_register_when_an_earlier_run_of_the_child_elsewhere_holds_it_then_the_later_run_takes_it() -> None:
    a, b = joined(A, B)
    a.register("child", pid(A, 1), None, now_ms=1, rank=1)
    a.register("plain", pid(A, 2), None, now_ms=1)
    deliver(a, b, a.flush())

    b.register("child", pid(B, 1), None, now_ms=2, rank=2)
    with pytest.raises(AlreadyRegistered):
        b.register("plain", pid(B, 1), None, now_ms=2, rank=2)

    assert conflicts(a.on_message(B, b.flush()[0].message, 2)) == [Conflict("child", None, pid(A, 1), pid(B, 1))]


# --- streams


def test_copy_when_too_many_deltas_wait_then_memory_is_bounded() -> None:
    copy = Copy(pid(A, 0))

    for number in range(AHEAD_DELTAS_MAX + 10):
        assert copy.take(Delta(copy.pid, number + 2, [("k",)])) is None

    assert len(copy._ahead) == AHEAD_DELTAS_MAX


def test_checksum_when_the_same_entries_came_in_another_order_then_it_is_equal() -> None:
    one, other = Stream(pid(A, 0)), Stream(pid(A, 0))
    entries = [(f"k{number}", Entry(pid(A, 1), None, number, 0)) for number in range(5)]

    for key, entry in entries:
        one.put(key, entry)
    other.put("gone", Entry(pid(A, 1), None, 9, 0))
    for key, entry in reversed(entries):
        other.put(key, entry)
    other.drop("gone")

    assert one.digest().checksum == other.digest().checksum != Stream(pid(A, 0)).digest().checksum


def test_message_when_it_is_none_of_ours_then_it_is_ignored() -> None:
    a, _ = joined(A, B)

    assert a.on_message(B, "noise", 0) == []
    assert a.on_message(C, Digest(pid(C, 0), 1, 1), 0) == []
