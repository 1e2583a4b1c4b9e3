"""Agent: a value in a process of its own, and functions that are sent to it.

    totals = await Agent[dict[str, int]].start_link(dict)
    await totals.update(lambda value: value | {"DON-7": 1000})
    amount = await totals.get(lambda value: value["DON-7"])

The functions run inside the agent, one after the other, each with the value as its argument. One that raises ends the
agent, and its caller gets ServerExited. Functions stay on their node, so an agent serves its own node only.
Source: Elixir Agent.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from zmqcluster import _core
from zmqcluster._core import Resident
from zmqcluster.core import Call
from zmqcluster.errors import ConfigError
from zmqcluster.otp.gen_server import GenServer
from zmqcluster.otp.methods import DEFAULT_TIMEOUT_S

__all__ = ["Agent"]

V = TypeVar("V")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Work(Resident):
    """A function to be run in the agent, which it is given."""

    function: Callable[[Agent[Any]], Any]


class Agent(GenServer, Generic[V]):
    """A server whose state is one value; ``start`` takes the function that makes it, and its arguments."""

    def init(self, function: Callable[..., V], *arguments: Any) -> None:
        """The value is what ``function(*arguments)`` returns."""
        _check(function)
        self._value: V = function(*arguments)

    async def get(self, function: Callable[[V], R], *, timeout_s: float | None = DEFAULT_TIMEOUT_S) -> R:
        """What ``function(value)`` returns; it shall not change the value. Raises as ``call``."""
        result: R = await self._ask(function, lambda agent: function(agent._value), timeout_s)
        return result

    async def update(self, function: Callable[[V], V], *, timeout_s: float | None = DEFAULT_TIMEOUT_S) -> None:
        """Let the value be what ``function(value)`` returns. Raises as ``call``."""

        def work(agent: Agent[V]) -> None:
            agent._value = function(agent._value)

        await self._ask(function, work, timeout_s)

    async def get_and_update(
        self, function: Callable[[V], tuple[R, V]], *, timeout_s: float | None = DEFAULT_TIMEOUT_S
    ) -> R:
        """``function(value)`` returns a pair: what the caller gets, and the new value. Raises as ``call``."""

        def work(agent: Agent[V]) -> R:
            result, agent._value = function(agent._value)
            return result

        result: R = await self._ask(function, work, timeout_s)
        return result

    def cast(self, function: Callable[[V], V]) -> None:
        """``update`` without waiting, nor knowing whether it is done."""

        def work(agent: Agent[V]) -> None:
            agent._value = function(agent._value)

        _check(function)
        _core.current_scheduler().cast(self.dest, Work(work))

    async def _ask(
        self, function: Callable[..., Any], work: Callable[[Agent[V]], Any], timeout_s: float | None
    ) -> Any:
        _check(function)
        return await _core.current_scheduler().call(self.dest, Work(work), timeout_s)

    def handle_call(self, request: Work, caller: Call) -> Any:
        """Run what a client sent."""
        return request.function(self)

    def handle_cast(self, request: Work) -> None:
        request.function(self)


def _check(function: object) -> None:
    if not callable(function) or inspect.iscoroutinefunction(function):
        raise ConfigError(f"an agent runs plain functions, not {function!r}: for async work write a GenServer")
