"""Whatever happens on the way, two session machines keep their promises; left in peace they come together."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.support.session_network import SessionNetwork
from tests.support.sessions import SETUP_MS, VERIFY_MS
from zmqcluster.protocol.handshake import Hello
from zmqcluster.protocol.session import TABLE, Session, State
from zmqcluster.protocol.steps import Action

SIDES = st.integers(0, 1)
NUMBERS = st.integers(0, 5)
HARMLESS = {
    "connect": SIDES,
    "establish": SIDES,
    "deliver": NUMBERS,
    "deliver_back": NUMBERS,
    "data": SIDES,
}
FAULTS = {
    "lose": NUMBERS,
    "duplicate": NUMBERS,
    "break_dial": SIDES,
    "end": SIDES,
    "leave": SIDES,
    "restart": SIDES,
    "pass_time": st.sampled_from([10, VERIFY_MS, SETUP_MS]),
}
Step = tuple[str, int]


def steps_of(*tables: dict[str, st.SearchStrategy[int]]) -> st.SearchStrategy[list[Step]]:
    each = [st.tuples(st.just(name), numbers) for table in tables for name, numbers in table.items()]
    return st.lists(st.one_of(each), max_size=60)


def run(seed: int, steps: list[Step]) -> SessionNetwork:
    """Half of the runs begin with a session."""
    network = SessionNetwork(seed)
    if seed % 2:
        network.connect(0)
        network.settle()
    for name, number in steps:
        getattr(network, name)(number)
    return network


def come_together(network: SessionNetwork) -> None:
    """A time without faults in which both sides look for each other."""
    for _ in range(4):
        network.settle()
        for side in (0, 1):
            network.connect(side)
        network.settle()
        network.pass_time(SETUP_MS)


WEATHER = (st.integers(0, 2**32), steps_of(HARMLESS, HARMLESS, FAULTS))


def check_faults(seed: int, steps: list[Step]) -> None:
    network = run(seed, steps)
    for side, end in enumerate(network.ends):
        if end.session.state is State.LEAVING:
            network.restart(side)
    come_together(network)
    assert network.is_joined()


@settings(max_examples=300, deadline=None)
@given(*WEATHER)
def test_any_faults_then_up_and_down_alternate_and_after_them_one_session(seed: int, steps: list[Step]) -> None:
    check_faults(seed, steps)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32), steps_of({name: HARMLESS[name] for name in HARMLESS if name != "connect"}))
def test_simultaneous_connects_then_one_session_in_any_order_of_events(seed: int, steps: list[Step]) -> None:
    network = SessionNetwork(seed)
    network.connect(0)
    network.connect(1)
    for name, number in steps:
        getattr(network, name)(number)
    network.settle()
    assert network.is_joined()
    assert [end.history for end in network.ends] == [["start", "up"]] * 2


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32), steps_of(HARMLESS, FAULTS))
def test_joined_then_left_in_peace_it_stays_so(seed: int, steps: list[Step]) -> None:
    network = run(seed, [step for step in steps if step[0] != "leave"])
    come_together(network)
    counts = [len(end.history) for end in network.ends]
    for _ in range(5):
        network.pass_time(VERIFY_MS)
        network.settle()
    assert [len(end.history) for end in network.ends] == counts


# --- the laws bite


def keeps_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """The peer starts anew, and its Hello is ignored."""
    monkeypatch.delitem(TABLE, (State.UP, Hello))


def keeps_half(monkeypatch: pytest.MonkeyPatch) -> None:
    """The half of the epoch is drawn once, and not for each attempt."""
    begin = Session._begin

    def begin_again(session: Session, endpoints: tuple[str, ...]) -> list[Action]:
        half = session._attempt.half
        actions = begin(session, endpoints)
        session._attempt.half = half or session._attempt.half
        return actions

    monkeypatch.setattr(Session, "_begin", begin_again)


@pytest.mark.parametrize("plant", [keeps_session, keeps_half])
def test_planted_bug_then_found(plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """The same examples each time: whether chance finds the bug is not what is asked."""
    plant(monkeypatch)
    often = settings(max_examples=2_000, derandomize=True, deadline=None, database=None, phases=[Phase.generate])
    with pytest.raises(AssertionError):
        often(given(*WEATHER)(check_faults))()
