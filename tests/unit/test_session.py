"""The session machine, state by state: what it asks for, and what it ignores."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.sessions import (
    A_LINK,
    B_LINK,
    FROM_B,
    HALF,
    SETUP_MS,
    VERIFY_MS,
    A,
    B,
    greeted,
    hello,
    introduction,
    names,
    ready,
    session,
    up,
    welcome,
    welcomed,
)
from zmqcluster.protocol import handshake, steps
from zmqcluster.protocol.handshake import (
    Control,
    Goodbye,
    GoodbyeAck,
    Hello,
    Introduction,
    Neighbour,
    Neighbours,
    Ready,
    Refused,
    Welcome,
    common_version,
)
from zmqcluster.protocol.session import State
from zmqcluster.protocol.steps import (
    CloseDial,
    ConnectAsked,
    Dial,
    DialConnected,
    DialLost,
    Down,
    End,
    Failed,
    Heard,
    LeaveAsked,
    Log,
    SendBack,
    SendControl,
    Up,
)

EPOCH = HALF ^ 7
TWO = (B_LINK, "tcp://10.0.0.2:7200")

# --- from one side


def test_connect_then_hello_welcome_up() -> None:
    a = session()
    assert a.on(ConnectAsked((B_LINK,)), 0) == [Dial(B_LINK)]
    assert a.on(DialConnected(), 1) == [SendControl(Hello(introduction(A), B, HALF, 1))]
    assert a.on(welcome(), 2, FROM_B) == [
        SendControl(Ready(A, EPOCH)),
        Up(EPOCH, FROM_B, introduction(), 1),
    ]
    assert a.state is State.UP


def test_hello_then_dial_back_welcome_up_at_ready() -> None:
    a = session()
    assert a.on(hello(), 0, FROM_B) == [CloseDial(), Dial(B_LINK)]
    assert a.on(DialConnected(), 1) == [SendControl(Welcome(introduction(A), B, HALF, 1, 7))]
    assert a.on(Ready(B, EPOCH), 2, FROM_B) == [Up(EPOCH, FROM_B, introduction(), 1)]


@pytest.mark.parametrize("confirmation", ["ready", "welcome"])
def test_simultaneous_hello_then_our_connection_carries_the_welcome_too(confirmation: str) -> None:
    a = greeted()
    assert a.on(hello(), 0, FROM_B) == [SendControl(Welcome(introduction(A), B, HALF, 1, 7))]
    confirmed: Control = Ready(B, EPOCH) if confirmation == "ready" else welcome()
    assert names(a.on(confirmed, 1, FROM_B))[-1] == "Up"
    assert a.epoch == EPOCH


def test_hello_while_dialling_then_the_dial_carries_the_welcome() -> None:
    a = session()
    a.on(ConnectAsked((A_LINK,)), 0)
    assert a.on(hello(), 0, FROM_B) == []
    assert names(a.on(DialConnected(), 1)) == ["SendControl Welcome"]
    assert a.state is State.WELCOMED


def test_hello_while_dialling_in_vain_then_its_endpoints_are_tried_too() -> None:
    a = session()
    a.on(ConnectAsked(("tcp://10.9.9.9:7100",)), 0)
    a.on(hello(), 0, FROM_B)
    assert a.on(DialLost("nobody listens there"), 1) == [CloseDial(), Dial(B_LINK)]


# --- endpoints and time-outs


def test_dial_lost_then_next_endpoint_then_failed() -> None:
    a = session()
    assert a.on(ConnectAsked(TWO), 0) == [Dial(TWO[0])]
    assert a.on(DialLost("nobody listens there"), 1) == [CloseDial(), Dial(TWO[1])]
    assert a.on(DialLost("nobody listens there"), 2) == [CloseDial(), Failed("nobody listens there")]
    assert a.state is State.IDLE


def test_dial_without_answer_then_each_endpoint_has_its_share_of_the_time() -> None:
    a = session()
    a.on(ConnectAsked(TWO), 0)
    assert a.deadline_ms() == SETUP_MS // 2
    assert a.on_tick(SETUP_MS // 2 - 1) == []
    assert a.on_tick(SETUP_MS // 2) == [CloseDial(), Dial(TWO[1])]
    assert names(a.on_tick(SETUP_MS)) == ["CloseDial", "Failed"]
    assert a.deadline_ms() is None


def test_connect_without_endpoints_then_failed() -> None:
    assert names(session().on(ConnectAsked(()), 0)) == ["CloseDial", "Failed"]


def test_hello_without_answer_then_failed_at_the_end_of_the_setup_time() -> None:
    a = greeted()
    assert a.on_tick(SETUP_MS - 1) == []
    assert names(a.on_tick(SETUP_MS)) == ["CloseDial", "Failed"]


def test_dial_back_fails_then_the_peer_is_told() -> None:
    a = session()
    a.on(hello(), 0, FROM_B)
    refused = Refused(7, handshake.UNREACHABLE, f"{A} can't dial back: nobody listens there")
    assert a.on(DialLost("nobody listens there"), 1) == [
        SendBack(FROM_B, refused),
        CloseDial(),
        Failed("nobody listens there"),
    ]


def test_welcome_without_ready_then_the_peer_is_told_on_our_connection() -> None:
    a = welcomed()
    assert a.on_tick(SETUP_MS) == [
        SendControl(Refused(7, handshake.ENDED)),
        CloseDial(lingers=True),
        Failed("no answer in time"),
    ]


# --- refusals

STRANGERS = {
    handshake.WRONG_CLUSTER: hello(node=introduction(cluster="other")),
    handshake.WRONG_NAME: hello(to="c@10.0.0.1:7100"),
    handshake.OWN_NAME: hello(node=introduction(A)),
    handshake.NO_COMMON_VERSION: hello(node=introduction(versions=(2, 3))),
}


@pytest.mark.parametrize("reason", STRANGERS)
def test_hello_of_a_stranger_then_refused_and_logged_and_nothing_else(reason: str) -> None:
    a = session()
    actions = a.on(STRANGERS[reason], 0, FROM_B)
    assert names(actions) == ["SendBack Refused", "Log"]
    sent, logged = actions
    assert isinstance(sent, SendBack) and isinstance(sent.message, Refused)
    assert (sent.source, sent.message.epoch, sent.message.reason) == (FROM_B, 7, reason)
    assert logged == Log(sent.message, by_peer=False)
    assert a.state is State.IDLE and a.offers.last is None


@pytest.mark.parametrize("reason", STRANGERS)
def test_hello_of_a_stranger_while_up_then_the_session_goes_on(reason: str) -> None:
    a = up()
    assert names(a.on(STRANGERS[reason], 0, b"another")) == ["SendBack Refused", "Log"]
    assert a.state is State.UP and a.epoch == EPOCH


def test_refused_hello_then_failed_with_what_the_peer_said() -> None:
    a = greeted()
    refused = Refused(HALF, handshake.WRONG_CLUSTER, "this is cluster 'x'")
    assert a.on(refused, 1) == [
        Log(refused, by_peer=True),
        CloseDial(),
        Failed("refused: this is cluster 'x'"),
    ]


def test_refused_of_another_attempt_then_ignored() -> None:
    a = greeted()
    assert a.on(Refused(HALF + 1, handshake.STALE), 1) == []
    assert a.state is State.GREETED


def test_refused_by_one_who_leaves_then_not_logged_and_known_to_leave() -> None:
    a = greeted()
    assert names(a.on(Refused(HALF, handshake.LEAVING), 1)) == ["CloseDial", "Failed"]
    assert a.has_left


def test_welcome_from_another_cluster_then_refused_and_failed() -> None:
    a = greeted()
    actions = a.on(welcome(node=introduction(cluster="other")), 1, FROM_B)
    assert names(actions) == ["SendBack Refused", "Log", "CloseDial", "Failed"]


def test_welcome_of_another_attempt_then_its_sender_need_not_wait() -> None:
    a = greeted()
    assert a.on(welcome(echo=HALF - 1), 1, FROM_B) == [SendBack(FROM_B, Refused(7, handshake.STALE))]
    assert a.state is State.GREETED


def test_ready_of_another_epoch_or_connection_then_not_up() -> None:
    a = welcomed()
    assert a.on(Ready(B, EPOCH + 1), 1, FROM_B) == []
    assert a.on(Ready(B, EPOCH), 1, b"another") == []
    assert a.state is State.WELCOMED


@pytest.mark.parametrize(
    ("ours", "theirs", "common"),
    [((1, 1), (1, 1), 1), ((1, 3), (2, 5), 3), ((4, 6), (1, 4), 4), ((1, 1), (2, 2), None), ((3, 4), (1, 2), None)],
)
def test_versions_then_the_highest_of_both_ranges(
    ours: tuple[int, int], theirs: tuple[int, int], common: int | None
) -> None:
    assert common_version(ours, theirs) == common
    assert common_version(theirs, ours) == common


# --- one session ends, another begins


@pytest.mark.parametrize(
    ("incarnation", "reason"), [(1, steps.CONNECTION_CLOSED), (2, steps.INCARNATION)], ids=["reconnect", "restart"]
)
def test_hello_while_up_then_down_first_and_the_peer_is_dialled_anew(incarnation: int, reason: str) -> None:
    a = up()
    again = hello(8, 2, node=introduction(incarnation=incarnation))
    assert a.on(again, 5, b"new") == [CloseDial(), Down(reason), Dial(B_LINK)]
    assert names(a.on(DialConnected(), 6)) == ["SendControl Welcome"]
    assert a.on(ready(a), 7, b"new") == [Up((HALF + 1) ^ 8, b"new", again.node, 1)]


def test_hello_of_another_incarnation_at_another_address_while_up_then_refused_with_the_address_of_the_first() -> None:
    a = up()
    second = replace(introduction(incarnation=2), links=("ipc:///run/b.ipc", "tcp://10.0.0.9:7100"))
    refused = Refused(8, handshake.NAME_TAKEN, f"{B} is connected already, from {B_LINK}")
    assert a.on(hello(8, 1, node=second), 5, b"new") == [SendBack(b"new", refused), Log(refused, by_peer=False)]
    assert a.state is State.UP and a.epoch == EPOCH
    a.on(DialLost("broke"), 6)
    assert names(a.on(hello(9, 2, node=second), 7, b"new")) == ["CloseDial", "Dial"]


@pytest.mark.parametrize("links", [(B_LINK, "tcp://x"), ("ipc:///run/b.ipc",), ()])
def test_hello_of_another_incarnation_that_may_be_at_the_same_address_then_it_replaces_the_first(
    links: tuple[str, ...],
) -> None:
    a = up()
    again = replace(introduction(incarnation=2), links=links)
    assert Down(steps.INCARNATION) in a.on(hello(8, 1, node=again), 5, b"new")


def test_neighbours_then_told_if_they_are_of_this_session() -> None:
    a = up()
    nodes = (Neighbour("c@10.0.0.3", 1, ()),)
    assert a.on(Neighbours(EPOCH, nodes), 1, FROM_B) == [Heard(nodes)]
    assert a.on(Neighbours(EPOCH + 1, nodes), 1, FROM_B) == a.on(Neighbours(EPOCH, nodes), 1, b"another") == []
    assert welcomed().on(Neighbours(EPOCH, nodes), 1, FROM_B) == []


@pytest.mark.parametrize("make", [up, welcomed])
def test_hello_that_was_overtaken_then_ignored(make: type) -> None:
    a = make()
    state = a.state
    assert a.on(hello(6, 1), 1, b"old") == []
    assert a.on(hello(6, 0), 1, b"old") == []
    assert a.state is state


def test_hello_of_an_incarnation_that_was_replaced_then_refused() -> None:
    a = up()
    a.on(hello(8, 2, node=introduction(incarnation=2)), 1, b"new")
    sent = a.on(hello(9, 3, node=introduction(incarnation=1)), 2, b"old")[0]
    assert isinstance(sent, SendBack) and isinstance(sent.message, Refused)
    assert sent.message.reason == handshake.EARLIER_INCARNATION
    assert a.state is State.ANSWERING


def test_many_restarts_then_the_last_ones_are_remembered() -> None:
    a = session()
    for incarnation in range(1, 21):
        a.on(hello(incarnation, 1, node=introduction(incarnation=incarnation)), 0, FROM_B)
    assert a.offers.ended == list(range(12, 20))


ENDS: dict[str, tuple[object, list[str], str]] = {
    "our connection broke": (DialLost("broke"), ["CloseDial", "Down"], steps.CONNECTION_CLOSED),
    "the peer ended it": (Refused(EPOCH, handshake.ENDED), ["CloseDial", "Down"], steps.CONNECTION_CLOSED),
    "the peer refused our half": (Refused(HALF, handshake.ENDED), ["CloseDial", "Down"], steps.CONNECTION_CLOSED),
    "disconnect": (End(steps.DISCONNECT), ["SendControl Refused", "CloseDial", "Down"], steps.DISCONNECT),
    "silence": (End(steps.SILENCE), ["SendControl Refused", "CloseDial", "Down"], steps.SILENCE),
    "goodbye": (Goodbye(EPOCH), ["SendControl GoodbyeAck", "CloseDial", "Down"], steps.LEFT),
}


@pytest.mark.parametrize("end", ENDS)
def test_end_while_up_then_down_with_its_reason(end: str) -> None:
    event, expected, reason = ENDS[end]
    a = up()
    actions = a.on(event, 5, FROM_B)
    assert names(actions) == expected
    assert actions[-1] == Down(reason)
    assert a.state is State.IDLE and a.has_left is (end == "goodbye")


@pytest.mark.parametrize("make", [session, greeted, welcomed])
def test_end_without_a_session_then_no_down(make: type) -> None:
    actions = make().on(End(steps.DISCONNECT), 5)
    assert "Down" not in names(actions)


@pytest.mark.parametrize("message", [Refused(1, handshake.ENDED), Goodbye(1), GoodbyeAck(1), Ready(B, 1)])
def test_message_of_another_session_while_up_then_ignored(message: Control) -> None:
    a = up()
    assert a.on(message, 5, FROM_B) == []
    assert a.state is State.UP


def test_up_then_ready_is_repeated() -> None:
    a = up()
    assert a.on_tick(VERIFY_MS - 1) == []
    assert a.on_tick(VERIFY_MS) == [SendControl(Ready(A, EPOCH))]
    assert a.deadline_ms() == 2 * VERIFY_MS


def test_ready_of_a_session_that_ended_here_then_connect_anew() -> None:
    a = up()
    a.on(DialLost("broke"), 10)
    assert a.on(Ready(B, EPOCH), 11, FROM_B) == []  # it was under way when the session ended
    assert a.on(Ready(B, EPOCH), 10 + VERIFY_MS, FROM_B) == [Dial(B_LINK)]


def test_ready_of_a_session_that_never_was_then_ignored() -> None:
    assert session().on(Ready(B, EPOCH), 5, FROM_B) == []


# --- leaving


def test_leave_then_goodbye_and_down_at_its_acknowledgement() -> None:
    a = up()
    assert a.on(LeaveAsked(), 5) == [SendControl(Goodbye(EPOCH))]
    assert a.on(GoodbyeAck(EPOCH + 1), 6) == []
    assert a.on(GoodbyeAck(EPOCH), 6) == [CloseDial(), Down(steps.STOPPED)]


@pytest.mark.parametrize("event", [DialLost("broke"), End(steps.STOPPED), Refused(EPOCH, handshake.ENDED)])
def test_leave_without_acknowledgement_then_down_all_the_same(event: object) -> None:
    a = up()
    a.on(LeaveAsked(), 5)
    assert a.on(event, 6) == [CloseDial(), Down(steps.STOPPED)]


def test_both_leave_then_each_acknowledges() -> None:
    a = up()
    a.on(LeaveAsked(), 5)
    assert a.on(Goodbye(EPOCH), 6) == [SendControl(GoodbyeAck(EPOCH))]
    assert a.state is State.LEAVING


def test_hello_while_leaving_then_refused() -> None:
    a = up()
    a.on(LeaveAsked(), 5)
    assert a.on(hello(8, 2), 6, FROM_B) == [SendBack(FROM_B, Refused(8, handshake.LEAVING))]


def test_peer_that_left_then_no_longer_left_when_it_is_back() -> None:
    a = up()
    a.on(Goodbye(EPOCH), 5)
    assert a.has_left
    a.on(hello(8, 2), 6, FROM_B)
    assert not a.has_left


# --- the table


@pytest.mark.parametrize("make", [session, greeted, welcomed, up])
def test_unknown_input_then_ignored(make: type) -> None:
    a = make()
    state = a.state
    assert a.on(object(), 5) == []
    assert a.state is state


def test_introduction_then_defaults_are_what_this_version_speaks() -> None:
    assert Introduction(A, 1, "c").versions == (handshake.VERSION_MIN, handshake.VERSION_MAX)
