"""The mailbox against a deque, for drawn histories of puts and takes."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zmqcluster import _core, _reference
from zmqcluster.errors import MailboxFull

STEPS = st.lists(
    st.tuples(st.just("put"), st.integers(0, 9))
    | st.tuples(st.just("put"), st.integers(0, 9))
    | st.tuples(st.sampled_from(["take", "match", "type", "clear"]), st.integers(0, 9)),
    max_size=60,
)


class Model:
    """What a mailbox should hold, and what each step should answer."""

    def __init__(self, bound: int | None, policy: str) -> None:
        self.held: deque[object] = deque()
        self.bound, self.policy = bound, policy

    def put(self, message: object) -> object:
        if self.bound is None or len(self.held) < self.bound:
            self.held.append(message)
            return True
        if self.policy == "refuse":
            return "full"
        if self.policy == "drop_old":
            self.held.popleft()
            self.held.append(message)
        return False

    def take(self, accepts: Any) -> object:
        for message in self.held:
            if accepts(message):
                self.held.remove(message)
                return message
        return "nothing"


def stepped(mailbox: Any, verb: str, number: int, message: object) -> object:
    try:
        if verb == "put":
            return mailbox.put(message)
        if verb == "clear":
            return mailbox.clear()
        if verb == "take":
            return mailbox.take()
        return mailbox.take_match(str if verb == "type" else lambda held: held[0] == number)
    except MailboxFull:
        return "full"
    except LookupError:
        return "nothing"


def modelled(model: Model, verb: str, number: int, message: object) -> object:
    if verb == "put":
        return model.put(message)
    if verb == "clear":
        return model.held.clear()
    accepts = {"take": lambda held: True, "type": lambda held: False, "match": lambda held: held[0] == number}
    return model.take(accepts[verb])


@pytest.mark.parametrize("mailbox_type", [_core.Mailbox, _reference.Mailbox], ids=["core", "reference"])
@settings(max_examples=200, deadline=None)
@given(steps=STEPS, bound=st.none() | st.integers(1, 8), policy=st.sampled_from(["drop_new", "drop_old", "refuse"]))
def test_a_mailbox_answers_as_a_deque_would(
    mailbox_type: Any, steps: list[tuple[str, int]], bound: int | None, policy: str
) -> None:
    mailbox, model = mailbox_type(bound, policy), Model(bound, policy)
    for position, (verb, number) in enumerate(steps):
        message = (number, position)
        assert stepped(mailbox, verb, number, message) == modelled(model, verb, number, message)
        assert list(mailbox) == list(model.held)
        assert len(mailbox) == len(model.held)
