"""Children of a cluster supervisor: what one replica decides."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from zmqcluster.exits import Crashed, NameConflict, Normal, Shutdown
from zmqcluster.ids import Pid
from zmqcluster.protocol.announcements import UPDATE_CHILDREN_MAX
from zmqcluster.protocol.catalogue import DIGEST_MS, HOPS_MAX, Catalogue
from zmqcluster.protocol.catalogue_messages import (
    Acknowledged,
    ChildFailed,
    Compare,
    Digest,
    Elsewhere,
    Failed,
    Found,
    Hello,
    Later,
    Leaving,
    Members,
    NotFound,
    Refused,
    StartChild,
    StopChild,
    Terminated,
    Update,
)
from zmqcluster.protocol.children import FAILED, FINISHED, RUNNING, STARTING, TERMINATED, Child, Plan, ended, rank
from zmqcluster.protocol.effects import Broadcast, Effect, Emit, Reply, Send
from zmqcluster.protocol.keeper import CONFLICT_MS_MAX, CONFLICT_RETRY_MS, FIRST_CONFLICT_MS_MAX
from zmqcluster.protocol.replicas import Replicas
from zmqcluster.protocol.replication import ReplicaJoined
from zmqcluster.protocol.table import TOMBSTONE_MS, Table

A, B, C = "a@host", "b@host", "c@host"
PLAN = Plan("tests:Worker")
BOOM = Crashed("ValueError", "boom")


class Pinned:
    """Places every child on the first of the members that its list names."""

    def __init__(self, *order: str) -> None:
        self.order = order

    def choose(self, child_id: str, members: tuple[str, ...]) -> str:
        return next(node for node in self.order if node in members)


def replica(node: str, start: int = 1) -> Pid:
    return Pid(node, start, 0)


def process(node: str, number: int = 1) -> Pid:
    return Pid(node, 1, number)


def row(child_id: str, owner: Pid, *, life: int = 1, generation: int = 1, version: int = 1, **other: Any) -> Child:
    defaults: dict[str, Any] = {"ended": 0, "state": RUNNING, "pid": process(owner.node), "plan": PLAN}
    return Child(
        id=child_id, life=life, generation=generation, owner=owner, version=version, **{**defaults, **other}
    )


def alone(node: str = A, *order: str) -> Catalogue:
    return Catalogue(replica(node), Pinned(*(order or (A, B, C))))


def hello(node: str, *reaches: str, start: int = 1) -> Hello:
    members = tuple(replica(each) for each in reaches)
    return Hello(replica(node, start), members, [0] * 64)


def among(*peers: str, node: str = A, order: tuple[str, ...] = (A, B, C)) -> Catalogue:
    """A replica that has met ``peers``, who all reach each other."""
    core = alone(node, *order)
    for peer in peers:
        core.on_node_up(peer, 0)
        core.on_message(peer, hello(peer, node, *peers), 0)
    return core


def starts(effects: list[Effect]) -> list[StartChild]:
    return [effect.event for effect in effects if isinstance(effect, Emit) and isinstance(effect.event, StartChild)]


def stops(effects: list[Effect]) -> list[StopChild]:
    return [effect.event for effect in effects if isinstance(effect, Emit) and isinstance(effect.event, StopChild)]


def replies(effects: list[Effect]) -> list[tuple[Any, Any]]:
    return [(effect.ref, effect.value) for effect in effects if isinstance(effect, Reply)]


def sent(effects: list[Effect], kind: type) -> list[tuple[str, Any]]:
    return [(e.peer, e.message) for e in effects if isinstance(e, Send) and isinstance(e.message, kind)]


def run_child(core: Catalogue, child_id: str = "x", plan: Plan = PLAN, now_ms: int = 1) -> int:
    """Let ``child_id`` run here and everybody know; return the number of its run."""
    run = starts(core.ensure(child_id, plan, "ref", 0, now_ms))[0].run
    core.on_started(run, process(core.me.node, run), now_ms)
    core.flush()
    for peer in core.replicas.peers:
        core.on_message(peer, Acknowledged(1_000), now_ms)
    return run


# --- ensure


def test_ensure_when_alone_then_it_starts_and_answers_when_it_runs() -> None:
    core = alone()

    (start,) = starts(core.ensure("x", PLAN, "ref", 0, 1))
    assert (start.id, start.plan) == ("x", PLAN)
    assert core.where("x") is None

    assert core.on_started(start.run, process(A), 2) == []
    assert replies(core.flush()) == [("ref", Found(process(A)))]
    assert core.where("x") == process(A)
    assert core.which() == [("x", A, RUNNING)]


def test_ensure_when_others_are_there_then_the_answer_waits_until_one_of_them_knows() -> None:
    core = among(B, C)
    (start,) = starts(core.ensure("x", PLAN, "ref", 0, 1))
    core.on_started(start.run, process(A), 2)

    told = core.flush()

    assert replies(told) == []
    assert [peer for peer, _ in sent(told, Update)] == [B, C]
    number = sent(told, Update)[0][1].number
    assert replies(core.on_message(B, Acknowledged(number - 1), 3)) == []
    assert replies(core.on_message(B, Acknowledged(number), 3)) == [("ref", Found(process(A)))]
    assert replies(core.on_message(C, Acknowledged(number), 3)) == []


def test_ensure_when_who_was_told_is_lost_then_the_others_are_told_again() -> None:
    core = among(B, C)
    (start,) = starts(core.ensure("x", PLAN, "ref", 0, 1))
    core.on_started(start.run, process(A), 2)
    core.flush()

    told = core.on_node_down(B, 3)

    ((peer, update),) = sent(told, Update)
    assert (peer, [child.id for child in update.children]) == (C, ["x"])
    assert replies(core.on_message(C, Acknowledged(update.number), 4)) == [("ref", Found(process(A)))]


def test_ensure_when_everybody_who_was_told_is_lost_then_it_answers() -> None:
    core = among(B)
    (start,) = starts(core.ensure("x", PLAN, "ref", 0, 1))
    core.on_started(start.run, process(A), 2)
    core.flush()

    assert replies(core.on_node_down(B, 3)) == [("ref", Found(process(A)))]


def test_ensure_when_it_is_starting_then_all_who_ask_are_answered_and_it_starts_once() -> None:
    core = alone()

    effects = core.ensure("x", PLAN, "one", 0, 1) + core.ensure("x", PLAN, "other", 0, 1)
    (start,) = starts(effects)
    core.on_started(start.run, process(A), 2)

    assert replies(core.flush()) == [("one", Found(process(A))), ("other", Found(process(A)))]


def test_ensure_when_it_runs_then_it_is_found_on_every_node_without_a_start() -> None:  # S04
    here, elsewhere = among(B), among(B)
    run_child(here)
    elsewhere.on_message(B, Update(1, [row("x", replica(B))]), 1)

    assert here.ensure("x", PLAN, "ref", 0, 2) == [Reply("ref", Found(process(A)))]
    assert elsewhere.ensure("x", PLAN, "ref", 0, 2) == [Reply("ref", Found(process(B)))]
    assert (here.found("x"), elsewhere.found("x"), elsewhere.found("y")) == (process(A), process(B), None)


def test_ensure_when_another_is_chosen_then_the_caller_is_sent_there() -> None:
    core = among(B, order=(B, A))

    assert core.ensure("x", PLAN, "ref", 0, 1) == [Reply("ref", Elsewhere(B))]
    assert len(starts(core.ensure("x", PLAN, "ref", HOPS_MAX, 1))) == 1


def test_ensure_when_another_is_starting_it_then_the_caller_is_sent_there() -> None:
    core = among(B)
    core.on_message(B, Update(1, [row("x", replica(B), state=STARTING, pid=None)]), 1)

    assert core.ensure("x", PLAN, "ref", 0, 1) == [Reply("ref", Elsewhere(B))]
    assert core.ensure("x", PLAN, "ref", HOPS_MAX, 1) == [Reply("ref", Later())]


def test_ensure_when_its_node_is_lost_and_another_takes_over_then_the_caller_is_sent_there() -> None:
    core = among(B, C, order=(B, C, A))
    core.on_message(C, Update(1, [row("x", replica(C))]), 1)
    core.on_message(B, Members((replica(A), replica(B))), 1)
    core.on_node_down(C, 1)

    assert core.ensure("x", PLAN, "ref", 0, 1) == [Reply("ref", Elsewhere(B))]
    assert core.found("x") is None


def test_ensure_when_the_first_start_fails_then_the_caller_is_told_and_no_trace_is_left() -> None:
    core = among(B)
    (start,) = starts(core.ensure("x", PLAN, "ref", 0, 1))

    assert core.on_ended(start.run, BOOM, 1) == [Reply("ref", Refused(BOOM))]
    assert (core.which(), core.flush()) == ([], [])
    assert len(starts(core.ensure("x", PLAN, "ref", 0, 2))) == 1


def test_ensure_when_the_child_holds_its_name_elsewhere_and_its_row_comes_later_then_the_caller_asks_again() -> None:
    """After a heal the registry may be quicker than the catalogue."""
    core = among(B)
    (start,) = starts(core.ensure("x", PLAN, "ref", 0, 5))
    assert core.on_ended(start.run, NameConflict("x", None, "names", process(B)), 6) == []

    effects = core.on_message(B, Update(1, [row("x", replica(B))]), 7)

    assert replies(effects) == [("ref", Later())]
    assert starts(core.on_tick(CONFLICT_RETRY_MS + 6)) == []


def test_ensure_when_its_name_stays_held_then_it_is_refused_and_no_trace_is_left() -> None:
    core = alone()
    conflict = NameConflict("x", None, "names", process(B))
    (start,) = starts(core.ensure("x", PLAN, "ref", 0, 1))
    assert core.on_ended(start.run, conflict, 2) == []
    (start,) = starts(core.on_tick(CONFLICT_RETRY_MS + 2))

    assert core.on_ended(start.run, conflict, FIRST_CONFLICT_MS_MAX + 2) == [Reply("ref", Refused(conflict))]
    assert (core.which(), core.flush()) == ([], [])


def test_ensure_when_two_nodes_began_it_then_the_first_stays_whatever_the_clocks_say_later() -> None:
    core = among(B)
    run = run_child(core, now_ms=100)

    assert stops(core.on_message(B, Update(1, [row("x", replica(B), life=101)]), 101)) == []
    assert stops(core.on_message(B, Update(2, [row("x", replica(B), life=99)]), 102)) == [
        StopChild(run, Shutdown("duplicate"))
    ]
    assert core.where("x") == process(B)


def test_ensure_when_a_duplicate_is_told_while_it_starts_then_who_waits_asks_again() -> None:
    core = among(B)
    (start,) = starts(core.ensure("x", PLAN, "ref", 0, 100))

    effects = core.on_message(B, Update(1, [row("x", replica(B), life=1)]), 101)

    assert replies(effects) == [("ref", Later())]
    assert stops(effects) == [StopChild(start.run, Shutdown("duplicate"))]
    assert core.ensure("x", PLAN, "again", 0, 102) == [Reply("again", Later())]
    assert core.on_started(start.run, process(A), 103) == []
    assert core.on_ended(start.run, Shutdown("duplicate"), 104) == []
    assert core.where("x") == process(B)


# --- a child ends


@pytest.mark.parametrize(
    ("restart", "reason", "goes_on"),
    [
        ("permanent", Normal(), True),
        ("permanent", BOOM, True),
        ("transient", Normal(), False),
        ("transient", Shutdown("x"), False),
        ("transient", BOOM, True),
        ("temporary", Normal(), False),
        ("temporary", BOOM, False),
    ],
)
def test_end_when_a_child_ends_then_its_restart_says_what_follows(restart: str, reason: Any, goes_on: bool) -> None:
    core = alone()  # S11
    run = run_child(core, plan=replace(PLAN, restart=restart))

    effects = core.on_ended(run, reason, 2)

    assert len(starts(effects)) == goes_on
    assert [state for _, _, state in core.which()] == ([STARTING] if goes_on else [])
    assert core.on_ended(run, reason, 3) == []


def test_end_when_it_ends_too_often_then_it_alone_has_failed_and_stays_so() -> None:  # S10
    core = among(B)
    run_child(core, "good")
    run = run_child(core, "bad")
    for _ in range(PLAN.max_restarts):
        (start,) = starts(core.on_ended(run, BOOM, 10))
        run = start.run
        core.on_started(run, process(A, run), 10)

    effects = core.on_ended(run, BOOM, 11)

    assert effects == [Emit(ChildFailed("bad", BOOM))]
    assert core.which() == [("good", A, RUNNING), ("bad", A, FAILED)]
    assert replies(core.ensure("bad", PLAN, "ref", 0, 12)) == [("ref", Failed(3, 5_000))]


def test_end_when_the_restarts_are_far_apart_then_it_goes_on() -> None:
    core = alone()
    run = run_child(core)

    for number in range(3 * PLAN.max_restarts):
        (start,) = starts(core.on_ended(run, BOOM, number * PLAN.max_restarts_ms))
        run = start.run
        core.on_started(run, process(A, run), number * PLAN.max_restarts_ms)


def test_end_when_restarts_fail_to_start_then_they_count_and_who_waits_is_told() -> None:
    core = alone()
    run = run_child(core)
    (start,) = starts(core.on_ended(run, BOOM, 2))
    core.ensure("x", PLAN, "ref", 0, 2)

    for _ in range(PLAN.max_restarts - 1):
        (start,) = starts(core.on_ended(start.run, BOOM, 2))
    effects = core.on_ended(start.run, BOOM, 2)

    assert replies(effects) == [("ref", Failed(3, 5_000))]
    assert core.which() == [("x", A, FAILED)]


def test_end_when_its_name_is_held_elsewhere_then_it_is_tried_again_and_does_not_count() -> None:
    core = alone()
    run = run_child(core, plan=replace(PLAN, restart="transient"))
    conflict = NameConflict("x", None, "names", process(B))
    core.on_tick(1)
    now_ms = 2

    for _ in range(PLAN.max_restarts + 1):
        assert starts(core.on_ended(run, conflict, now_ms)) == []
        assert core.deadline_ms() == now_ms + CONFLICT_RETRY_MS or now_ms + CONFLICT_RETRY_MS > DIGEST_MS
        now_ms += CONFLICT_RETRY_MS
        (start,) = starts(core.on_tick(now_ms))
        run = start.run
    core.on_started(run, process(A, run), now_ms)

    assert core.which() == [("x", A, RUNNING)]


def test_end_when_its_name_stays_held_then_it_has_failed() -> None:
    core = alone()
    run = run_child(core)
    conflict = NameConflict("x", None, "names", process(B))
    core.on_ended(run, conflict, 2)
    (start,) = starts(core.on_tick(CONFLICT_RETRY_MS + 2))

    core.on_ended(start.run, conflict, CONFLICT_MS_MAX + 3)

    assert core.which() == [("x", A, FAILED)]


def test_end_when_the_name_went_with_the_child_elsewhere_then_nothing_starts_again() -> None:
    core = among(B)
    run = run_child(core)
    core.on_ended(run, NameConflict("x", None, "names", process(B)), 2)

    core.on_message(B, Update(1, [row("x", replica(B), generation=2)]), 3)

    assert starts(core.on_tick(CONFLICT_RETRY_MS + 2)) == []
    assert core.where("x") == process(B)


# --- a node is lost


def lose(core: Catalogue, node: str, *survivors: str, now_ms: int = 10) -> list[Effect]:
    """All survivors lose ``node``."""
    effects = core.on_node_down(node, now_ms)
    for peer in survivors:
        effects += core.on_message(peer, Members(tuple(replica(each) for each in (A, *survivors))), now_ms)
    return effects


def test_loss_when_placement_chooses_me_then_i_start_the_next_generation() -> None:  # S07
    core = among(B, C)
    core.on_message(C, Update(1, [row("x", replica(C)), row("y", replica(B))]), 1)

    effects = lose(core, C, B)

    (start,) = starts(effects)
    assert (start.id, start.plan) == ("x", PLAN)
    (taken,) = sent(effects, Update)[0][1].children
    assert (taken.generation, taken.owner, taken.state, taken.pid) == (2, core.me, STARTING, None)
    assert start.rank == rank(taken) > rank(row("x", replica(C)))
    core.on_started(start.run, process(A), 11)
    assert core.where("x") == process(A)


def test_loss_when_placement_chooses_another_then_i_do_nothing() -> None:
    core = among(B, C, order=(C, B, A))
    core.on_message(C, Update(1, [row("x", replica(C))]), 1)

    assert starts(lose(core, C, B)) == []


def test_loss_when_a_peer_still_reaches_the_node_then_i_wait_until_it_does_not() -> None:  # P08
    core = among(B, C)
    core.on_message(C, Update(1, [row("x", replica(C))]), 1)

    assert starts(core.on_node_down(C, 2)) == []
    assert starts(core.on_message(B, Members((replica(A), replica(B))), 3)) != []


def test_loss_when_the_peer_that_reached_the_node_is_lost_too_then_i_take_over() -> None:
    core = among(B, C)
    core.on_message(C, Update(1, [row("x", replica(C))]), 1)
    core.on_node_down(C, 2)

    assert [start.id for start in starts(core.on_node_down(B, 3))] == ["x"]


def test_loss_when_only_the_replica_ends_then_its_children_are_taken_over() -> None:
    core = among(B)
    core.on_message(B, Update(1, [row("x", replica(B))]), 1)

    assert [start.id for start in starts(core.on_replica_down(replica(B), 2))] == ["x"]
    assert core.on_replica_down(replica(B), 3) == []


def test_loss_when_the_node_comes_back_with_another_replica_then_its_former_children_are_placed_anew() -> None:
    core = among(B, C)
    core.on_message(C, Update(1, [row("x", replica(C))]), 1)
    core.on_node_down(C, 2)
    core.on_node_up(C, 3)

    effects = core.on_message(C, hello(C, C, start=2), 3)

    assert [start.id for start in starts(effects)] == ["x"]  # though B still says that it reaches the earlier one


def test_loss_when_the_child_is_temporary_then_it_has_ended() -> None:
    core = among(B)
    core.on_message(B, Update(1, [row("x", replica(B), plan=replace(PLAN, restart="temporary"))]), 1)

    effects = core.on_node_down(B, 2)

    assert (starts(effects), core.which()) == ([], [])


def test_loss_when_the_child_had_finished_or_failed_then_it_is_not_started() -> None:  # S10, S11
    core = among(B)
    finished = ended(row("x", replica(B)), FINISHED, replica(B), 5)
    core.on_message(B, Update(1, [finished, row("y", replica(B), state=FAILED, pid=None)]), 6)

    assert starts(core.on_node_down(B, 7)) == []
    assert core.which() == [("y", B, FAILED)]


def test_loss_when_1000_children_are_taken_over_then_they_are_told_of_in_few_messages() -> None:
    core = among(B, C)
    rows = [row(f"x{number}", replica(C)) for number in range(1_000)]
    core.on_message(C, Update(1, rows), 1)

    effects = lose(core, C, B)

    assert len(starts(effects)) == 1_000
    updates = [update for _, update in sent(effects, Update)]
    assert [len(update.children) for update in updates] == [UPDATE_CHILDREN_MAX] * 2
    assert [update.number > 0 for update in updates] == [False, True]


# --- heal


def test_heal_when_another_has_taken_over_then_my_process_ends_and_does_not_start_again() -> None:  # P05
    core = among()
    run = run_child(core)
    core.on_node_up(B, 5)
    core.on_message(B, hello(B, B), 5)

    effects = core.on_message(B, Update(1, [row("x", replica(B), generation=2)]), 6)

    assert stops(effects) == [StopChild(run, Shutdown("duplicate"))]
    assert starts(core.on_ended(run, Shutdown("duplicate"), 7)) == []
    assert core.where("x") == process(B)


def test_heal_when_generations_are_equal_then_the_smaller_node_keeps_it() -> None:
    core = among(B)
    run_child(core, now_ms=1)

    assert stops(core.on_message(B, Update(1, [row("x", replica(B))]), 2)) == []
    assert core.where("x") == process(A)


def test_heal_when_who_took_over_has_failed_with_it_then_my_process_stays() -> None:
    core = among(B)
    run_child(core)

    effects = core.on_message(B, Update(1, [row("x", replica(B), generation=2, state=FAILED, pid=None)]), 2)

    assert stops(effects) == []
    assert core.which() == [("x", A, RUNNING)]
    (told,) = sent(effects, Update)[0][1].children
    assert (told.generation, told.owner, told.pid) == (3, core.me, process(A))


def test_heal_when_the_winner_is_lost_while_my_process_still_ends_then_it_starts_after_that() -> None:
    core = among(B)
    run = run_child(core)
    core.on_message(B, Update(1, [row("x", replica(B), generation=2)]), 2)

    assert starts(core.on_node_down(B, 3)) == []
    (start,) = starts(core.on_ended(run, Shutdown("duplicate"), 4))
    assert start.id == "x"


# --- terminate


def test_terminate_when_it_runs_here_then_it_answers_after_its_end_and_others_know() -> None:  # S19
    core = among(B)
    run = run_child(core)

    assert stops(core.terminate("x", "ref", 2)) == [StopChild(run, Shutdown("terminated"))]
    ((_, update),) = sent(core.flush(), Update)
    assert update.children[0].state == TERMINATED
    core.on_message(B, Acknowledged(update.number), 3)

    assert replies(core.on_ended(run, Shutdown("terminated"), 4)) == [("ref", Terminated())]
    assert core.which() == []


def test_terminate_when_it_runs_elsewhere_then_the_caller_is_sent_there() -> None:
    core = among(B)
    core.on_message(B, Update(1, [row("x", replica(B))]), 1)

    assert core.terminate("x", "ref", 2) == [Reply("ref", Elsewhere(B))]


def test_terminate_when_there_is_none_or_it_has_ended_then_it_says_so() -> None:
    core = alone()
    run = run_child(core)
    core.terminate("x", "ref", 2)

    assert core.terminate("x", "again", 3) == core.terminate("y", "again", 3) == [Reply("again", NotFound())]
    assert core.on_ended(run, Shutdown("terminated"), 4) == []


def test_terminate_when_its_node_is_lost_and_nobody_has_taken_over_then_it_stays_ended() -> None:
    core = among(B, C, order=(B, C, A))
    core.on_message(C, Update(1, [row("x", replica(C))]), 1)
    lose(core, C, B)

    core.terminate("x", "ref", 20)
    ((_, update),) = sent(core.flush(), Update)

    assert replies(core.on_message(B, Acknowledged(update.number), 21)) == [("ref", Terminated())]
    assert stops(core.on_message(B, Update(5, [row("x", replica(B), generation=2)]), 22)) == []
    assert core.which() == []


def test_terminate_when_it_is_starting_for_the_first_time_then_it_ends() -> None:
    core = alone()
    (start,) = starts(core.ensure("x", PLAN, "asked", 0, 1))

    effects = core.terminate("x", "ref", 2)

    assert replies(effects) == [("asked", Later())]
    assert stops(effects) == [StopChild(start.run, Shutdown("terminated"))]
    core.flush()
    assert replies(core.on_ended(start.run, Shutdown("terminated"), 3)) == [("ref", Terminated())]


def test_terminate_when_it_has_failed_then_it_can_be_asked_for_again() -> None:
    core = alone()
    plan = replace(PLAN, max_restarts=0)
    run = run_child(core, plan=plan)
    core.on_ended(run, BOOM, 2)

    core.terminate("x", "ref", 3)

    assert replies(core.flush()) == [("ref", Terminated())]
    (start,) = starts(core.ensure("x", plan, "again", 0, 3))
    core.on_started(start.run, process(A, 2), 4)
    assert core.where("x") == process(A, 2)


def test_terminate_when_a_row_of_that_life_comes_late_then_it_does_not_come_back() -> None:
    core = among(B)
    run = run_child(core)
    core.terminate("x", "ref", 5)
    core.on_ended(run, Shutdown("terminated"), 6)

    core.on_message(B, Update(1, [row("x", replica(B), generation=9)]), 7)

    assert core.which() == []


# --- meeting


def test_node_up_when_told_twice_then_the_replica_greets_once() -> None:
    core = alone()

    assert [peer for peer, _ in sent(core.on_node_up(B, 0), Hello)] == [B]
    assert core.on_node_up(B, 0) == []


def test_hello_when_a_replica_is_new_then_it_gets_what_it_lacks_and_others_hear_of_it() -> None:
    core = among(C)
    run_child(core)
    core.on_node_up(B, 1)

    effects = core.on_message(B, hello(B, B), 1)

    assert Emit(ReplicaJoined(replica(B))) in effects
    assert [child.id for child in sent(effects, Update)[0][1].children] == ["x"]
    assert [peer for peer, _ in sent(effects, Members)] == [B, C]
    assert core.on_message(B, hello(B, B), 2) == []


def test_message_when_its_node_is_not_up_then_it_is_dropped() -> None:
    core = alone()

    assert core.on_message(B, Update(1, [row("x", replica(B))]), 1) == []
    assert core.which() == []
    assert among(B).on_message(B, "noise", 1) == []


def test_digest_when_tables_differ_for_an_interval_then_they_are_compared() -> None:
    core = among(B)
    run_child(core)
    theirs = Digest(1)

    assert core.on_message(B, theirs, DIGEST_MS) == []
    assert sent(core.on_message(B, theirs, 2 * DIGEST_MS), Compare) == [(B, Compare(core.table.buckets))]
    assert core.on_message(B, Digest(core.table.digest()), 3 * DIGEST_MS) == []


def test_digest_when_the_table_changes_meanwhile_then_nothing_is_compared() -> None:
    core = among(B)
    core.on_message(B, Digest(1), DIGEST_MS)
    run_child(core)

    assert core.on_message(B, Digest(1), 2 * DIGEST_MS) == []


def test_compare_when_buckets_differ_then_their_rows_are_sent_and_no_others() -> None:
    core = among(B)
    run_child(core, "x")
    run_child(core, "y")
    other = Table()
    other.merge(core.table.children["x"], 0)

    ((_, update),) = sent(core.on_message(B, Compare(other.buckets), 1), Update)

    assert (update.number, [child.id for child in update.children]) == (0, ["y"])
    assert core.on_message(B, Compare(core.table.buckets), 1) == []


def test_tick_when_others_are_there_then_the_digest_goes_out_once_per_interval() -> None:
    core = among(B)

    assert core.on_tick(DIGEST_MS) == [Broadcast(Digest(core.table.digest()))]
    assert core.on_tick(DIGEST_MS + 1) == []
    assert core.deadline_ms() == 2 * DIGEST_MS
    assert alone().on_tick(DIGEST_MS) == []


# --- leaving


def test_leave_when_children_run_then_they_end_are_not_restarted_and_others_take_over() -> None:
    core = among(B)
    run = run_child(core)

    assert stops(core.leave()) == [StopChild(run, Shutdown("leaving"))]
    assert core.ensure("y", PLAN, "ref", 0, 2) == [Reply("ref", Later())]
    assert core.on_ended(run, Shutdown("leaving"), 3) == []
    assert core.which() == [("x", A, RUNNING)]
    assert core.farewell() == [Send(B, Leaving(core.me))]

    heir = among(A, node=B)
    heir.on_message(A, Update(1, list(core.table.children.values())), 4)
    assert [start.id for start in starts(heir.on_message(A, Leaving(core.me), 5))] == ["x"]


# --- parts


def test_table_when_a_child_has_ended_long_ago_then_its_row_is_forgotten() -> None:
    table = Table()
    table.merge(ended(row("x", replica(A)), TERMINATED, replica(A), 5), 5)
    table.merge(row("y", replica(A)), 5)

    table.forget_ended(TOMBSTONE_MS + 4)
    assert sorted(table.children) == ["x", "y"]
    table.forget_ended(TOMBSTONE_MS + 5)
    assert sorted(table.children) == ["y"]


def test_table_when_very_many_have_ended_then_the_oldest_rows_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zmqcluster.protocol.table.TOMBSTONES_MAX", 10)
    table = Table()
    last = ended(row("x", replica(A)), TERMINATED, replica(A), 5)
    for number in range(13):
        table.merge(replace(last, id=str(number)), 5)

    table.forget_ended(6)

    assert sorted(table.children) == sorted(str(number) for number in range(3, 13))


def test_replicas_when_a_node_is_reached_again_by_another_replica_then_the_earlier_one_is_gone() -> None:
    replicas = Replicas(replica(A))
    replicas.join(replica(B))
    replicas.join(replica(C))
    replicas.claim(B, (replica(C),))

    replicas.leave(C)
    assert replicas.is_alive(replica(C))  # B reaches it
    replicas.join(replica(C, start=2))
    assert not replicas.is_alive(replica(C))
    assert replicas.nodes == (A, B, C)
    assert not replicas.leave(A)
