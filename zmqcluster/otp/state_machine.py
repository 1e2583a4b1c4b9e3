"""StateMachine: a server whose answer to an event depends on the state it is in. States are methods.

    event ──> the method of the state ──> Keep(*actions)           stay; returning None is Keep()
                                      ├─> Next(self.open, *actions) change the state
                                      ├─> Repeat(*actions)         stay, and enter the state anew
                                      └─> Stop(reason), or StopAndReply(reason, *answers)

    class Door(StateMachine):
        def initial(self, code: str) -> State:
            self.code = code
            return self.locked

        def locked(self, event: Event) -> Result:
            match event:
                case Told(code) if code == self.code:
                    return Next(self.open, Timeout(10.0))
            return None

A class with a ``handle_event(event, state)`` of its own has one method for all states, which are then values of any
kind: ``Next(("open", visitors))``. States are compared with ``==`` and by type.

Order: events that an action inserted come first, then those that were postponed and are tried again because the state
changed, then zero time-outs, then the mailbox.
Source: OTP gen_statem, callback modes state_functions and handle_event_function.
"""

from __future__ import annotations

from collections import deque
from typing import Any, ClassVar

from zmqcluster.core import Call, Continue, Ignore, NoReply, Stop
from zmqcluster.errors import UsageError
from zmqcluster.otp.gen_server import GenServer
from zmqcluster.otp.serving import settle
from zmqcluster.otp.state_timers import Due, StateTimers
from zmqcluster.otp.transitions import (
    Action,
    Answer,
    Called,
    Elapsed,
    Entered,
    Event,
    Insert,
    Internal,
    Keep,
    Next,
    Postpone,
    Received,
    Repeat,
    Result,
    State,
    StopAndReply,
    Timeout,
    Told,
)

__all__ = [
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
    "StateMachine",
    "StopAndReply",
    "Timeout",
    "Told",
]

SOON = NoReply()
PRIVATE = ("_state", "_queue", "_postponed", "_timers")


class StateMachine(GenServer):
    """Base of state machines; see the module. Attributes of ``self`` are its data. States may be ``async``."""

    state_enter: ClassVar[bool] = False

    def initial(self, *arguments: Any, **keywords: Any) -> Any:
        """Set up the data, and return the first state, or Next(state, *actions), Ignore() or Stop(reason)."""
        raise NotImplementedError(f"{type(self).__name__} has no initial()")

    def handle_event(self, event: Event, state: Any) -> Any:
        """Answer any event in any state; by default, the method of the state does."""
        return getattr(self, state)(event)

    def code_change(self, old_version: Any, extra: Any) -> Any:
        """Adapt the data that a machine of an older class left; return Next(state) when its state is another now."""

    # --- what a GenServer is told becomes an event
    async def init(self, *arguments: Any, **keywords: Any) -> Any:
        self._state: Any = None
        self._queue: deque[Event | Due] = deque()
        self._postponed: list[Event] = []
        self._timers = StateTimers()
        first = await settle(self.initial(*arguments, **keywords))
        if isinstance(first, Stop | Ignore):
            return first
        result = first if isinstance(first, Next) else Next(first)
        self._state = self._state_of(result)
        return Continue(result.actions)

    async def _adopt(self, old_version: Any, extra: Any) -> None:
        result = await settle(self.code_change(old_version, extra))
        if isinstance(result, Next) and not result.actions:
            self._state = self._state_of(result)
        elif result is not None:
            raise UsageError(f"code_change returns None or Next(state), not {result!r}")
        elif self._has_methods and not callable(getattr(self, self._state, None)):
            raise UsageError(f"{type(self).__name__} has no state {self._state!r}: let code_change return Next(state)")

    @property
    def _has_methods(self) -> bool:
        """Whether states are methods."""
        return type(self).handle_event is StateMachine.handle_event

    async def handle_continue(self, value: tuple[Action, ...]) -> Stop | None:
        for action in value:
            if isinstance(action, Postpone):
                raise UsageError("there is no event to postpone at the start")
        self._insert(value)
        self._set_timers(value)
        return await self._enter(None) or await self._run()

    async def handle_call(self, request: Any, caller: Call) -> Stop | NoReply:
        return await self._take(Called(request, caller)) or SOON

    async def handle_cast(self, request: Any) -> Stop | None:
        return await self._take(Told(request))

    async def handle_info(self, message: Any) -> Stop | None:
        return await self._take(message if isinstance(message, Due) else Received(message))

    async def _take(self, event: Event | Due) -> Stop | None:
        self._queue.append(event)
        return await self._run()

    async def _run(self) -> Stop | None:
        """Handle all events that come before the mailbox."""
        while self._queue:
            event = self._queue.popleft()
            found = self._timers.take(event) if isinstance(event, Due) else event
            if found is None:
                continue
            self._timers.cancel("event")
            stop = await self._apply(found, await self._ask(found))
            if stop is not None:
                return stop
        return None

    async def _ask(self, event: Event) -> Keep | Stop:
        result = await settle(self.handle_event(event, self._state))
        if result is None:
            return Keep()
        if isinstance(result, StopAndReply):
            self._answer(result.actions)
            return Stop(result.reason)
        if not isinstance(result, Keep | Stop):
            raise UsageError(f"state {self._state!r} returned {result!r}, not Keep, Next, Repeat, Stop or None")
        return result

    def format_status(self) -> Any:
        data = {name: value for name, value in vars(self).items() if name not in PRIVATE}
        return {"state": self._state, "data": data, "postponed": list(self._postponed)}

    # --- transitions
    async def _apply(self, event: Event, result: Keep | Stop) -> Stop | None:
        """Do what the state answered: replies, the change of state, inserted and postponed events, time-outs."""
        if isinstance(result, Stop):
            return result
        self._answer(result.actions)
        if any(isinstance(action, Postpone) for action in result.actions):
            self._postponed.append(event)
        previous = self._state
        if isinstance(result, Next):
            self._state = self._state_of(result)
        has_changed = type(self._state) is not type(previous) or self._state != previous
        if has_changed:
            self._timers.cancel("state")
            self._queue.extendleft(reversed(self._postponed))
            self._postponed.clear()
        self._insert(result.actions)
        self._set_timers(result.actions)
        return await self._enter(previous) if has_changed or isinstance(result, Repeat) else None

    async def _enter(self, previous: Any) -> Stop | None:
        if not self.state_enter:
            return None
        result = await self._ask(Entered(previous))
        if isinstance(result, Stop):
            return result
        if type(result) is not Keep or any(isinstance(action, Postpone | Insert) for action in result.actions):
            raise UsageError(f"entering {self._state!r} may answer and set time-outs, and nothing else")
        self._answer(result.actions)
        self._set_timers(result.actions)
        return None

    def _answer(self, actions: tuple[Action, ...]) -> None:
        for action in actions:
            if isinstance(action, Answer):
                action.caller.reply(action.value)

    def _insert(self, actions: tuple[Action, ...]) -> None:
        inserted = [action.content for action in actions if isinstance(action, Insert)]
        for content in reversed(inserted):
            self._queue.appendleft(content if isinstance(content, Event) else Internal(content))

    def _set_timers(self, actions: tuple[Action, ...]) -> None:
        for action in actions:
            if isinstance(action, Timeout):
                due = self._timers.set(action)
                if due is not None:
                    self._queue.append(due)

    def _state_of(self, result: Next) -> Any:
        if not self._has_methods:
            return result.state
        name = getattr(result.state, "__name__", "")
        if not name or getattr(self, name, None) != result.state:
            raise UsageError(f"{result.state!r} is no state of {type(self).__name__}: give one of its methods")
        return name
