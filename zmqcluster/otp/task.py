"""Task: one function in a process of its own, whose result its owner awaits.

    owner ── spawn, link, monitor ──> task: function(*arguments)
      ^                                 │
      └── TaskResult(ref, value) ───────┘   then Down(ref, pid, Normal()), which the await removes

The process that starts a task owns it: only the owner may await it, because the result is a message to the owner. A
server may let the message come to its ``handle_info`` instead of awaiting.
Invariant: once the outcome was taken, by whichever method, and once an await timed out, nothing of the task reaches the
owner's mailbox any more. Source: Elixir Task.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec, TypeVar, overload

from zmqcluster import _core
from zmqcluster._ids import Pid, Ref
from zmqcluster.core import Down, register_message
from zmqcluster.errors import CallTimeout, ConfigError, ServerExited, UsageError
from zmqcluster.exits import Kill, Killed, Shutdown
from zmqcluster.runtime.process import demonitor, exit, link, receive, send, spawn, spawn_link, unlink

__all__ = ["DEFAULT_TIMEOUT_S", "Exited", "Finished", "Outcome", "Task", "TaskResult", "call_function"]

DEFAULT_TIMEOUT_S = 5.0  # Source: Task.await/2

P = ParamSpec("P")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class TaskResult:
    """What a task sends to its owner: ``ref`` is the task's."""

    ref: Ref
    value: Any


@dataclass(frozen=True, slots=True)
class Finished(Generic[T_co]):
    """The function returned ``value``."""

    value: T_co


@dataclass(frozen=True, slots=True)
class Exited:
    """The process of the task ended with ``reason`` before the function returned."""

    reason: Any


register_message(TaskResult, "task.TaskResult")
register_message(Finished, "task.Finished")
register_message(Exited, "task.Exited")

Outcome = Finished[T] | Exited


class Task(Generic[T_co]):
    """A function that runs in a process of its own. Made by ``Task.spawn`` or by a TaskSupervisor.

    Attributes:
        pid: the process.
        ref: of its result and its Down.
        owner: who may await it.
    """

    __slots__ = ("_over", "label", "owner", "pid", "ref")

    def __init__(self, pid: Pid, ref: Ref, owner: Pid, label: str) -> None:
        self.pid = pid
        self.ref = ref
        self.owner = owner
        self.label = label
        self._over = False

    def __repr__(self) -> str:
        return f"<Task {self.label} {self.pid!r}>"

    # --- start
    @overload
    @classmethod
    def spawn(
        cls, function: Callable[P, Coroutine[Any, Any, T]], *arguments: P.args, **keywords: P.kwargs
    ) -> Task[T]: ...
    @overload
    @classmethod
    def spawn(cls, function: Callable[P, T], *arguments: P.args, **keywords: P.kwargs) -> Task[T]: ...
    @classmethod
    def spawn(cls, function: Any, *arguments: Any, **keywords: Any) -> Any:
        """Start ``function(*arguments)`` in a process linked to this one, which owns the task.

        Linked: when the function raises, the owner ends too, unless it traps exits; when the owner ends, so does the
        task. Start it with ``TaskSupervisor.spawn_nolink`` where only the await shall fail. Source: Task.async/1.
        """
        check_function(function)
        scheduler, owner, refs = _core.current_scheduler(), _core.self(), list[Ref]()
        label = label_of(function)
        pid: Pid = scheduler.spawn(_run(refs, function, arguments, keywords), link=True, label=label)
        refs.append(_core.monitor(pid, "demonitor"))
        return Task(pid, refs[0], owner, label)

    @staticmethod
    def start(function: Callable[..., Any], *arguments: Any) -> Pid:
        """Run the function for its effects only: nobody is told of its end. Source: Task.start/1."""
        return spawn(function, *arguments)

    @staticmethod
    def start_link(function: Callable[..., Any], *arguments: Any) -> Pid:
        """``start``, linked to this process. Source: Task.start_link/1."""
        return spawn_link(function, *arguments)

    # --- outcome
    async def result(self, timeout_s: float | None = DEFAULT_TIMEOUT_S) -> T_co:
        """Wait for the value of the function.

        Raises:
            CallTimeout: it has not returned yet, and may go on running; its result will not come any more.
            ServerExited: its process ended, with the reason.
            UsageError: this process is not the owner, or the outcome was taken already.
        Source: Task.await/2, which ends the caller where this raises.
        """
        outcome = await self.poll(timeout_s)
        if outcome is None:
            self._forget()
            raise CallTimeout(self, timeout_s)
        return self._value(outcome)

    async def poll(self, timeout_s: float | None = DEFAULT_TIMEOUT_S) -> Outcome[T_co] | None:
        """The outcome, or None when there is none within ``timeout_s``: then the task goes on and may be asked again.

        Source: Task.yield/2.
        """
        self._check()
        try:
            return self._take(await receive(self._is_mine, timeout_s=timeout_s))
        except TimeoutError:
            return None

    async def shutdown(self, timeout_s: float | None = 5.0) -> Outcome[T_co] | None:
        """End the task: ask it, and kill it after ``timeout_s``; 0 kills at once, None waits for ever.

        Returns:
            The outcome when it had come already or comes meanwhile; None when the task was ended by this.
        Source: Task.shutdown/2.
        """
        self._check()
        unlink(self.pid)
        asked_for: Any = Kill() if timeout_s == 0 else Shutdown()
        exit(self.pid, asked_for)
        outcome = await self.poll(timeout_s or None)
        if outcome is None:
            asked_for = Kill()
            exit(self.pid, asked_for)
            outcome = await self.poll(None)
        ended_by_this = Exited(Killed() if asked_for == Kill() else asked_for)
        return None if outcome == ended_by_this else outcome

    async def ignore(self) -> Outcome[T_co] | None:
        """Let the task run on, unlinked, and its result vanish; return the outcome if it is here.

        Source: Task.ignore/1.
        """
        outcome = await self.poll(0)
        if outcome is None:
            unlink(self.pid)
            self._forget()
        return outcome

    @staticmethod
    async def await_many(tasks: Iterable[Task[T]], timeout_s: float | None = DEFAULT_TIMEOUT_S) -> list[T]:
        """The values of all tasks, in their order, within ``timeout_s`` together.

        Raises:
            CallTimeout, ServerExited: as ``result``; the first task that ends without a value fails the call at once.
                The results of the others will not come any more.
        Source: Task.await_many/2.
        """
        waited = list(tasks)
        outcomes = await _take_all(waited, timeout_s, stop_at_exit=True)
        for task in waited:
            task._forget()
        for task, outcome in zip(waited, outcomes, strict=True):
            if isinstance(outcome, Exited):
                task._value(outcome)
        if None in outcomes:
            raise CallTimeout(waited, timeout_s)
        return [task._value(outcome) for task, outcome in zip(waited, outcomes, strict=True) if outcome is not None]

    @staticmethod
    async def poll_many(
        tasks: Iterable[Task[T]], timeout_s: float | None = DEFAULT_TIMEOUT_S
    ) -> list[tuple[Task[T], Outcome[T] | None]]:
        """Each task with its outcome, or with None when it still runs after ``timeout_s``.

        Source: Task.yield_many/2.
        """
        waited = list(tasks)
        return list(zip(waited, await _take_all(waited, timeout_s), strict=True))

    def _is_mine(self, message: Any) -> bool:
        return (type(message) is TaskResult or type(message) is Down) and message.ref == self.ref

    def _take(self, message: TaskResult | Down) -> Outcome[T_co]:
        self._forget()
        return Finished(message.value) if isinstance(message, TaskResult) else Exited(message.reason)

    def _value(self, outcome: Outcome[T_co]) -> T_co:
        if isinstance(outcome, Finished):
            return outcome.value
        raise ServerExited(self, outcome.reason) from getattr(outcome.reason, "exception", None)

    def _forget(self) -> None:
        """Let nothing of the task come any more."""
        self._over = True
        demonitor(self.ref, flush=True)

    def _check(self) -> None:
        if _core.self() != self.owner:
            raise UsageError(f"{self!r} belongs to {self.owner!r}: only the process that started a task may await it")
        if self._over:
            raise UsageError(f"the outcome of {self!r} was taken already, or its await timed out")


def adopt(pid: Pid, label: str, *, is_linked: bool) -> Task[Any]:
    """The running process becomes the owner of a task that waits to be ``released``."""
    if is_linked:
        link(pid)
    return Task(pid, _core.monitor(pid, "demonitor"), _core.self(), label)


async def call_function(function: Callable[..., Any], arguments: Sequence[Any], keywords: dict[str, Any]) -> Any:
    """Call a plain or an async function."""
    value = function(*arguments, **keywords)
    return await value if inspect.isawaitable(value) else value


def check_function(function: object) -> None:
    """Raises ConfigError for what cannot be called."""
    if not callable(function):
        raise ConfigError(f"a task is a function and its arguments, not {function!r}")


def label_of(function: object) -> str:
    """How a task is called in inspections."""
    return getattr(function, "__qualname__", None) or repr(function)


async def _run(refs: list[Ref], function: Callable[..., Any], arguments: Any, keywords: Any) -> None:
    value = await call_function(function, arguments, keywords)
    send_result(refs[0], value)


def send_result(ref: Ref, value: Any) -> None:
    """To whoever monitors the task under ``ref``; to nobody when that has ended."""
    send(ref, TaskResult(ref, value))


async def _take_all(
    tasks: list[Task[T]], timeout_s: float | None, *, stop_at_exit: bool = False
) -> list[Outcome[T] | None]:
    """The outcomes that come within ``timeout_s``, in the order of the tasks."""
    for task in tasks:
        task._check()
    pending = {task.ref: task for task in tasks}
    outcomes: dict[Ref, Outcome[T]] = {}
    loop = _core.current_scheduler().loop
    deadline = None if timeout_s is None else loop.time() + timeout_s

    def is_ours(message: Any) -> bool:
        return isinstance(message, TaskResult | Down) and message.ref in pending

    while pending:
        left_s = None if deadline is None else max(0.0, deadline - loop.time())
        try:
            message = await receive(is_ours, timeout_s=left_s)
        except TimeoutError:
            break
        outcome = outcomes[message.ref] = pending.pop(message.ref)._take(message)
        if stop_at_exit and isinstance(outcome, Exited):
            break
    return [outcomes.get(task.ref) for task in tasks]


