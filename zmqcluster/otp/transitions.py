"""The words of a state machine: the events it is told, and what a state may answer.

Source: gen_statem:event_type(), gen_statem:action(); ``Timeout`` is its three kinds, which differ in what cancels them:

    Timeout(s)                  of the state: a change of the state
    Timeout(s, name="event")    of the event: any event at all
    Timeout(s, name="retry")    one of your own: only another ``Timeout`` of its name
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from zmqcluster.core import Call, Stop
from zmqcluster.errors import ConfigError

__all__ = [
    "Action",
    "Answer",
    "Called",
    "Elapsed",
    "Entered",
    "Event",
    "Insert",
    "Internal",
    "Keep",
    "Next",
    "Postpone",
    "Received",
    "Repeat",
    "Result",
    "State",
    "StopAndReply",
    "Timeout",
    "Told",
]


# --- events


@dataclass(frozen=True, slots=True)
class Called:
    """Somebody waits for an ``Answer(caller, value)``."""

    request: Any
    caller: Call


@dataclass(frozen=True, slots=True)
class Told:
    """Somebody cast ``request``."""

    request: Any


@dataclass(frozen=True, slots=True)
class Received:
    """Any other message."""

    message: Any


@dataclass(frozen=True, slots=True)
class Internal:
    """The machine said it to itself, with ``Insert``."""

    content: Any


@dataclass(frozen=True, slots=True)
class Elapsed:
    """The ``Timeout`` of this name is over."""

    name: str
    content: Any


@dataclass(frozen=True, slots=True)
class Entered:
    """The state was entered, if the class has ``state_enter``.

    ``previous`` is the state before, by its name or as its value; None at the start.
    """

    previous: Any


Event = Called | Told | Received | Internal | Elapsed | Entered


# --- actions


@dataclass(frozen=True, slots=True)
class Answer:
    """Reply to the caller of a ``Called``, in whatever state it came."""

    caller: Call
    value: Any


@dataclass(frozen=True, slots=True)
class Insert:
    """Handle ``Internal(content)``, or the event given, before anything else. Several keep their order."""

    content: Any


@dataclass(frozen=True, slots=True)
class Postpone:
    """Try this event again after the state has changed."""


@dataclass(frozen=True, slots=True)
class Timeout:
    """``Elapsed(name, content)`` comes in ``delay_s`` seconds; it replaces one of its name, and None cancels it."""

    delay_s: float | None
    content: Any = None
    name: str = "state"

    def __post_init__(self) -> None:
        delay_s = self.delay_s
        if delay_s is not None and (
            isinstance(delay_s, bool) or not isinstance(delay_s, int | float) or not delay_s >= 0
        ):
            raise ConfigError(f"a delay is None or a number of seconds of at least 0, not {delay_s!r}")


Action = Answer | Insert | Postpone | Timeout


# --- what a state returns


class Keep:
    """Stay in the state."""

    __slots__ = ("actions",)

    def __init__(self, *actions: Action) -> None:
        for action in actions:
            if not isinstance(action, Action):
                raise ConfigError(f"{action!r} is no action")
        self.actions = actions


class Repeat(Keep):
    """Stay in the state, and enter it anew: ``Entered`` comes again."""

    __slots__ = ()


class Next(Keep):
    """Change to ``state``; to the present one is the same as Keep.

    ``state`` is a method of the machine, or any value where the class has a ``handle_event`` of its own.
    """

    __slots__ = ("state",)

    def __init__(self, state: object, *actions: Action) -> None:
        super().__init__(*actions)
        self.state = state


class StopAndReply(Keep):
    """Give the answers, then end the machine with ``reason``; ``Stop(reason, reply=...)`` ends it first."""

    __slots__ = ("reason",)

    actions: tuple[Answer, ...]

    def __init__(self, reason: object, *answers: Answer) -> None:
        super().__init__(*answers)
        if not all(isinstance(answer, Answer) for answer in answers):
            raise ConfigError(f"who stops can give answers, and nothing else: {answers!r}")
        self.reason = reason


Result = Keep | Stop | None
State = Callable[[Any], "Result | Awaitable[Result]"]
