"""Whatever happens on the way, two session machines keep their promises; left in peace they come together."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.session_network import SessionNetwork
from tests.support.sessions import SETUP_MS, VERIFY_MS
from zmqcluster.protocol.handshake import Hello, Welcome
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
    network = SessionNetwork(seed)
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


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32), steps_of(HARMLESS, HARMLESS, FAULTS))
def test_any_faults_then_up_and_down_alternate_and_after_them_one_session(seed: int, steps: list[Step]) -> None:
    network = run(seed, steps)
    for side, end in enumerate(network.ends):
        if end.session.state is State.LEAVING:
            network.restart(side)
    come_together(network)
    assert network.is_joined()


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


def deaf_to_echo(session: Session, welcome: Welcome, source: bytes) -> list[Action]:
    session._half = welcome.echo
    return Session._welcomed(session, welcome, source)


def forgets_attempts(session: Session, hello: Hello, source: bytes) -> list[Action]:
    session.heard = None
    return Session._replace(session, hello, source)


def keeps_session(session: Session, hello: Hello, source: bytes) -> list[Action]:
    return []


PLANTED = {
    "a welcome of any attempt is taken": ((State.GREETED, Welcome), deaf_to_echo),
    "a session is kept when the peer starts anew": ((State.UP, Hello), keeps_session),
}


@pytest.mark.parametrize("bug", PLANTED)
def test_planted_bug_then_found(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    where, handler = PLANTED[bug]
    monkeypatch.setitem(TABLE, where, handler)
    with pytest.raises(AssertionError):
        test_any_faults_then_up_and_down_alternate_and_after_them_one_session()
