"""The mailbox: order, selection, bounds, compiled and plain."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

from zmqcluster import _core, _reference
from zmqcluster.errors import ConfigError, MailboxFull


@pytest.fixture(params=[_core.Mailbox, _reference.Mailbox], ids=["core", "reference"])
def mailbox_type(request: pytest.FixtureRequest) -> Any:
    return request.param


def filled(mailbox: Any, *messages: object) -> Any:
    for message in messages:
        mailbox.put(message)
    return mailbox


def test_take_gives_messages_in_the_order_of_put(mailbox_type: Any) -> None:
    mailbox = filled(mailbox_type(), *range(1000))
    assert [mailbox.take() for _ in range(1000)] == list(range(1000))


def test_take_of_an_empty_mailbox_is_a_lookup_error(mailbox_type: Any) -> None:
    mailbox = mailbox_type()
    with pytest.raises(LookupError):
        mailbox.take()
    with pytest.raises(LookupError):
        mailbox.take_match(object)


def test_put_and_take_in_turns_keep_the_order(mailbox_type: Any) -> None:
    mailbox, taken = mailbox_type(), []
    for number in range(0, 900, 3):
        filled(mailbox, number, number + 1, number + 2)
        taken += [mailbox.take(), mailbox.take()]
    while len(mailbox):
        taken.append(mailbox.take())
    assert taken == list(range(900))


def test_take_match_of_a_type_takes_the_first_of_it(mailbox_type: Any) -> None:
    mailbox = filled(mailbox_type(), 1, "a", 2.0, "b", True)
    assert mailbox.take_match(str) == "a"
    assert mailbox.take_match(bool) is True
    assert list(mailbox) == [1, 2.0, "b"]


def test_take_match_of_a_predicate_takes_the_first_it_accepts(mailbox_type: Any) -> None:
    mailbox = filled(mailbox_type(), *range(10))
    assert [mailbox.take_match(lambda number: number % 3 == 2) for _ in range(3)] == [2, 5, 8]
    assert list(mailbox) == [0, 1, 3, 4, 6, 7, 9]
    assert len(mailbox) == 7


def test_take_match_of_what_is_true_in_python_counts(mailbox_type: Any) -> None:
    assert filled(mailbox_type(), [], [1]).take_match(lambda message: message) == [1]


def test_take_match_that_finds_nothing_leaves_all(mailbox_type: Any) -> None:
    mailbox = filled(mailbox_type(), 1, 2, 3)
    with pytest.raises(LookupError):
        mailbox.take_match(str)
    assert list(mailbox) == [1, 2, 3]


def test_take_match_whose_predicate_raises_leaves_all(mailbox_type: Any) -> None:
    mailbox = filled(mailbox_type(), 1, 0, 3)
    with pytest.raises(ZeroDivisionError):
        mailbox.take_match(lambda number: 1 // number == 5)
    assert list(mailbox) == [1, 0, 3]


def test_take_match_at_the_end_of_many_keeps_the_rest(mailbox_type: Any) -> None:
    mailbox = filled(mailbox_type(), *range(5000))
    assert [mailbox.take_match(lambda n, wanted=wanted: n == wanted) for wanted in (4999, 0, 2500)] == [4999, 0, 2500]
    assert list(mailbox) == [number for number in range(5000) if number not in (4999, 0, 2500)]


def test_clear_empties_and_the_mailbox_goes_on(mailbox_type: Any) -> None:
    mailbox = filled(mailbox_type(), 1, 2, 3)
    mailbox.clear()
    assert (len(mailbox), list(mailbox)) == (0, [])
    assert list(filled(mailbox, 4)) == [4]


def test_a_full_mailbox_drops_the_new_one(mailbox_type: Any) -> None:
    mailbox = mailbox_type(bound=2)
    assert [mailbox.put(number) for number in range(4)] == [True, True, False, False]
    assert list(mailbox) == [0, 1]
    assert mailbox.take() == 0
    assert mailbox.put(9) is True


def test_a_full_mailbox_drops_the_old_one_when_told_to(mailbox_type: Any) -> None:
    mailbox = mailbox_type(bound=2, policy="drop_old")
    assert [mailbox.put(number) for number in range(4)] == [True, True, False, False]
    assert list(mailbox) == [2, 3]


def test_a_full_mailbox_refuses_when_told_to(mailbox_type: Any) -> None:
    mailbox = filled(mailbox_type(1, "refuse"), 1)
    with pytest.raises(MailboxFull) as caught:
        mailbox.put(2)
    assert caught.value.args == (None, 1)
    assert list(mailbox) == [1]


def test_the_bound_counts_messages_and_not_their_traces(mailbox_type: Any) -> None:
    mailbox = filled(mailbox_type(bound=3), 0, 1, 2)
    mailbox.take_match(lambda number: number == 1)
    assert mailbox.put(3) is True
    assert mailbox.put(4) is False
    assert list(mailbox) == [0, 2, 3]


@pytest.mark.parametrize(
    ("bound", "policy"), [(0, "drop_new"), (-1, "drop_new"), (1.5, "drop_new"), (True, "drop_new"), (1, "drop")]
)
def test_a_bound_or_policy_that_is_none_is_refused(mailbox_type: Any, bound: Any, policy: str) -> None:
    with pytest.raises(ConfigError):
        mailbox_type(bound, policy)


class Message:
    """Something to be forgotten."""


def test_what_was_taken_dropped_or_cleared_is_let_go(mailbox_type: Any) -> None:
    messages = [Message() for _ in range(5)]
    seen = [weakref.ref(message) for message in messages]
    mailbox = filled(mailbox_type(bound=3, policy="drop_old"), *messages)
    del messages
    mailbox.take_match(lambda message: message is seen[3]())
    mailbox.take()
    mailbox.clear()
    gc.collect()
    assert [each() for each in seen] == [None] * 5


def test_a_mailbox_that_holds_itself_is_collected(mailbox_type: Any) -> None:
    message = Message()
    seen = weakref.ref(message)
    message.mailbox = mailbox_type()  # type: ignore[attr-defined]
    message.mailbox.put(message)  # type: ignore[attr-defined]
    del message
    gc.collect()
    assert seen() is None
