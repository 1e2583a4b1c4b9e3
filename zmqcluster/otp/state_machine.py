"""StateMachine: a server whose answer to an event depends on the state it is in. States are methods.

    event ──> the method of the state ──> Keep(*actions)           stay; returning None is Keep()
                                      ├─> Next(self.open, *actions) change the state
                                      ├─> Repeat(*actions)         stay, and enter the state anew
                                      └─> Stop(reason)

    class Door(StateMachine):
        def initial(self, code: str) -> State:
            self.code = code
            return self.locked

        def locked(self, event: Event) -> Result:
            match event:
                case Told(code) if code == self.code:
                    return Next(self.open, Timeout(10.0))
            return None

Order: events that an action inserted come first, then those that were postponed and are tried again because the state
changed, then zero time-outs, then the mailbox. Source: OTP gen_statem, callback mode state_functions.
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

    # --- what a GenServer is told becomes an event
    async def init(self, *arguments: Any, **keywords: Any) -> Any:
        self._state = ""
        self._queue: deque[Event | Due] = deque()
        self._postponed: list[Event] = []
        self._timers = StateTimers()
        first = await settle(self.initial(*arguments, **keywords))
        if isinstance(first, Stop | Ignore):
            return first
        result = first if isinstance(first, Next) else Next(first)
        self._state = self._name_of(result)
        return Continue(result.actions)

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
        result = await settle(getattr(self, self._state)(event))
        if result is None:
            return Keep()
        if not isinstance(result, Keep | Stop):
            raise UsageError(f"state {self._state} returned {result!r}, not Keep, Next, Repeat, Stop or None")
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
            self._state = self._name_of(result)
        has_changed = self._state != previous
        if has_changed:
            self._timers.cancel("state")
            self._queue.extendleft(reversed(self._postponed))
            self._postponed.clear()
        self._insert(result.actions)
        self._set_timers(result.actions)
        return await self._enter(previous) if has_changed or isinstance(result, Repeat) else None

    async def _enter(self, previous: str | None) -> Stop | None:
        if not self.state_enter:
            return None
        result = await self._ask(Entered(previous))
        if isinstance(result, Stop):
            return result
        if type(result) is not Keep or any(isinstance(action, Postpone | Insert) for action in result.actions):
            raise UsageError(f"entering {self._state} may answer and set time-outs, and nothing else")
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

    def _name_of(self, result: Next) -> str:
        name = getattr(result.state, "__name__", "")
        if not name or getattr(self, name, None) != result.state:
            raise UsageError(f"{result.state!r} is no state of {type(self).__name__}: give one of its methods")
        return name
