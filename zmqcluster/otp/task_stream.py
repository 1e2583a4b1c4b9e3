"""A stream of tasks: a function applied to many items, a bounded number at once, outcomes in the order of the items.

    consumer ── item ──> stream server ── spawn ──> task: function(item)
             ── next ──>      │        <── TaskResult, Down ──┘
             <── outcome ─────┘

The consumer pulls: an item is taken from the source only when the consumer asks and fewer than ``max_concurrency``
items are on their way, so a slow consumer slows the source. The tasks belong to a server of the stream, linked to the
consumer: nothing of them is ever in the consumer's mailbox, and when it stops early or ends, they are killed.
Source: Task.async_stream, whose ordered form buffers without bound behind a slow item; this one waits for it.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Literal, Self, TypedDict, TypeVar, Unpack, get_args, overload

from zmqcluster import _core
from zmqcluster._ids import Pid, Ref
from zmqcluster.core import Call, Down, Exit, NoReply, Scheduler, Stop
from zmqcluster.errors import CallTimeout, ClusterError, ConfigError, NoProcessError, NotInProcess, UsageError
from zmqcluster.exits import Kill, Normal, TimedOut
from zmqcluster.otp.gen_server import GenServer, stop
from zmqcluster.otp.task import DEFAULT_TIMEOUT_S, Exited, Finished, Outcome, Task, TaskResult, check_function, label_of
from zmqcluster.runtime.process import cancel_timer, exit, process_info, send_after, trap_exits, unlink

__all__ = ["OnTimeout", "Source", "StreamOptions", "TaskStream", "stream_tasks"]

T = TypeVar("T")
Item = TypeVar("Item")
OnTimeout = Literal["exit", "kill_task"]
Starter = Callable[[Any], Awaitable[Task[Any]]]
Source = Iterable[Item] | AsyncIterable[Item]


class StreamOptions(TypedDict, total=False):
    """How a stream works through its items; see ``stream_tasks``."""

    max_concurrency: int | None
    timeout_s: float | None
    on_timeout: OnTimeout
    ordered: bool


@dataclass(frozen=True, slots=True)
class Limits:
    """Stream options, complete and checked."""

    max_concurrency: int | None = None
    timeout_s: float | None = DEFAULT_TIMEOUT_S
    on_timeout: OnTimeout = "exit"
    ordered: bool = True

    def __post_init__(self) -> None:
        if self.max_concurrency is None:
            object.__setattr__(self, "max_concurrency", os.cpu_count() or 1)
        elif type(self.max_concurrency) is not int or self.max_concurrency < 1:
            raise ConfigError(f"max_concurrency is an int of at least 1, not {self.max_concurrency!r}")
        if self.timeout_s is not None and not self.timeout_s >= 0:
            raise ConfigError(f"timeout_s is None or at least 0, not {self.timeout_s!r}")
        if self.on_timeout not in get_args(OnTimeout):
            raise ConfigError(f"on_timeout is one of {get_args(OnTimeout)}, not {self.on_timeout!r}")


@overload
def stream_tasks(
    function: Callable[[Item], Coroutine[Any, Any, T]],
    items: Source[Item],
    starter: Starter | None = ...,
    **options: Unpack[StreamOptions],
) -> TaskStream[T]: ...
@overload
def stream_tasks(
    function: Callable[[Item], T],
    items: Source[Item],
    starter: Starter | None = ...,
    **options: Unpack[StreamOptions],
) -> TaskStream[T]: ...
def stream_tasks(
    function: Any, items: Any, starter: Starter | None = None, **options: Unpack[StreamOptions]
) -> TaskStream[Any]:
    """``async for outcome in stream_tasks(function, items)``: Finished(value) or Exited(reason) for each item.

    Args:
        items: taken one by one, as the consumer asks for outcomes.
        starter: how a task is started; by default linked, so that the crash of one ends the consumer, unless it traps
            exits. ``TaskSupervisor.stream`` gives others.
        max_concurrency: items on their way at once; by default the number of cores.
        timeout_s: for each task; 5 by default. ``on_timeout="exit"``, the default, raises CallTimeout in the consumer;
            ``"kill_task"`` kills only that task, whose outcome is ``Exited(TimedOut())``.
        ordered: outcomes in the order of the items, the default; else in the order in which the tasks end.
    Source: Task.async_stream/3.
    """
    check_function(function)
    if not isinstance(items, Iterable | AsyncIterable):
        raise ConfigError(f"a stream takes its items from an iterable, not from {items!r}")

    async def start(item: Any) -> Task[Any]:
        return Task.spawn(function, item)

    return TaskStream(starter or start, items, Limits(**options), label_of(function))


class TaskStream(Generic[T]):
    """The consumer's end; an async iterator. Leave it early by ``break``, or with ``async with`` to be sure when."""

    def __init__(self, starter: Starter, items: Any, limits: Limits, label: str) -> None:
        self._starter = starter
        self._items: Iterator[Any] | AsyncIterator[Any] | None = (
            aiter(items) if isinstance(items, AsyncIterable) else iter(items)
        )
        self._limits = limits
        self._label = label
        self._server: Pid | None = None
        self._owner: Pid | None = None
        self._scheduler: Scheduler | None = None
        self._under_way = 0
        self._closed = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Outcome[T]:
        if self._closed:
            raise StopAsyncIteration
        server = self._server or await self._open()
        if self._owner != _core.self():
            raise UsageError(f"this stream of {self._label} is consumed by {self._owner!r}")
        try:
            await self._fill(server)
            if not self._under_way:
                await self.aclose()
                raise StopAsyncIteration
            outcome: Outcome[T] = await _core.current_scheduler().call(server, "next", None)
        except Exception:
            await self.aclose()
            raise
        self._under_way -= 1
        return outcome

    async def aclose(self) -> None:
        """Kill the tasks that still run, and wait until they have ended."""
        self._closed = True
        server, self._server = self._server, None
        if server is not None:
            unlink(server)
            with suppress(NoProcessError):
                await stop(server)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        """A consumer that breaks out of its loop drops the stream: tell the server, which kills the tasks."""
        if self._server is not None and self._owner is not None and self._scheduler is not None:
            with suppress(NotInProcess):
                if _core.self() == self._owner:
                    unlink(self._server)
            self._scheduler.exit(self._owner, self._server, Normal())

    async def _open(self) -> Pid:
        self._scheduler, self._owner = _core.current_scheduler(), _core.self()
        is_trapping = bool((process_info(self._owner) or {}).get("trap_exits"))
        server = await _StreamServer.start_link(self._starter, self._limits, self._label, is_trapping)
        self._server = server.pid
        return server.pid

    async def _fill(self, server: Pid) -> None:
        while self._under_way < (self._limits.max_concurrency or 1) and self._items is not None:
            try:
                item = await anext(self._items) if isinstance(self._items, AsyncIterator) else next(self._items)
            except (StopIteration, StopAsyncIteration):
                self._items = None
                return
            self._under_way += 1
            _core.current_scheduler().cast(server, item)


class _StreamServer(GenServer):
    """Owns the tasks of one stream; its parent is the consumer."""

    def init(self, starter: Starter, limits: Limits, label: str, consumer_traps: bool) -> None:
        trap_exits(True)
        self._starter = starter
        self._limits = limits
        self._label = label
        self._consumer_traps = consumer_traps
        self._running: dict[Ref, tuple[int, Task[Any], Ref | None]] = {}
        self._ended: dict[int, Outcome[Any]] = {}
        self._order: deque[int] = deque()  # positions not delivered yet; when unordered, of those that ended
        self._item_count = 0
        self._failure: ClusterError | None = None
        self._waiting: Call | None = None

    async def handle_cast(self, request: Any) -> None:
        """Start the task of one item."""
        position, self._item_count = self._item_count, self._item_count + 1
        if self._limits.ordered:
            self._order.append(position)
        try:
            task = await self._starter(request)
        except ClusterError as failure:
            self._failure = failure
            return self._answer()
        timer = None
        if self._limits.timeout_s is not None:
            timer = send_after(self._limits.timeout_s, _core.self(), ("late", task.ref))
        self._running[task.ref] = position, task, timer
        return None

    def handle_call(self, request: Any, caller: Call) -> NoReply:
        """The consumer asks for the next outcome."""
        self._waiting = caller
        self._answer()
        return NoReply()

    def handle_info(self, message: Any) -> Stop | None:
        match message:
            case TaskResult(ref, value):
                self._end(ref, Finished(value))
            case Down(ref, _, reason):
                self._end(ref, Exited(reason))
            case ("late", Ref() as ref):
                self._time_out(ref)
            case Exit(_, reason) if not self._consumer_traps and reason != Normal():
                return Stop(reason)
        return None

    def _time_out(self, ref: Ref) -> None:
        if ref in self._running:
            _, task, _ = self._running[ref]
            unlink(task.pid)
            exit(task.pid, Kill())
            if self._limits.on_timeout == "exit":
                self._failure = CallTimeout(self._label, self._limits.timeout_s)
            self._end(ref, Exited(TimedOut()))

    def _end(self, ref: Ref, outcome: Outcome[Any]) -> None:
        if ref not in self._running:
            return
        position, task, timer = self._running.pop(ref)
        task._forget()
        if timer is not None:
            cancel_timer(timer)
        if not self._limits.ordered:
            self._order.append(position)
        self._ended[position] = outcome
        self._answer()

    def _answer(self) -> None:
        """Give the next outcome to the consumer if both are there."""
        if self._waiting is None or self._waiting.done():
            return
        if self._failure is not None:
            self._waiting.fail(self._failure)
        elif self._order and self._order[0] in self._ended:
            self._waiting.reply(self._ended.pop(self._order.popleft()))

    async def terminate(self, reason: Any) -> None:
        """Kill what runs; each is gone when this returns."""
        tasks = [task for _, task, _ in self._running.values()]
        for task in tasks:
            exit(task.pid, Kill())
        for task in tasks:
            await task.shutdown(timeout_s=0)
