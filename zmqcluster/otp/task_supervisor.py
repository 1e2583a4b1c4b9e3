"""TaskSupervisor: tasks that belong to a supervisor, which counts, limits and shows them, and stops them with the tree.

    owner ── start ──> TaskSupervisor ── starts ──> task, which waits
      └── link (spawn only), monitor, Go(ref) ───────> task: function(*arguments) ──> TaskResult to the owner

``spawn`` links the task to its owner, ``spawn_nolink`` does not: when the task crashes only the await fails. Tasks are
temporary children by default. Functions stay on their node, so a supervisor serves its own node only.
Source: Elixir Task.Supervisor.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar, Unpack, overload

from zmqcluster import _core
from zmqcluster._ids import Pid, Ref
from zmqcluster.core import Continue, Down, Stop, message
from zmqcluster.otp.child_spec import SHUTDOWN_S, ChildSpec, Restart
from zmqcluster.otp.dynamic_supervisor import DynamicSupervisor
from zmqcluster.otp.gen_server import GenServer
from zmqcluster.otp.task import Task, adopt, call_function, check_function, label_of, send_result
from zmqcluster.otp.task_stream import Source, StreamOptions, TaskStream, stream_tasks
from zmqcluster.runtime.process import demonitor, monitor, receive, send, set_label

__all__ = ["TaskServer", "TaskSupervisor"]

P = ParamSpec("P")
T = TypeVar("T")
Item = TypeVar("Item")


@message(tag="task.Go")
@dataclass(frozen=True, slots=True)
class Go:
    """The owner watches the task under ``ref``: it may begin."""

    ref: Ref


class TaskServer(GenServer):
    """The process of one task: a server, so that any supervisor can start it, that runs a function and ends."""

    def init(
        self,
        function: Callable[..., Any],
        arguments: tuple[Any, ...] = (),
        keywords: dict[str, Any] | None = None,
        owner: Pid | None = None,
    ) -> Continue:
        """Begin: with an owner, when it says ``Go``."""
        self.function = label_of(function)
        set_label(self.function)
        return Continue((function, arguments, keywords or {}, owner))

    async def handle_continue(self, value: Any) -> Stop:
        function, arguments, keywords, owner = value
        ref = None if owner is None else await _released_by(owner)
        if owner is None or ref is not None:
            result = await call_function(function, arguments, keywords)
            if ref is not None:
                send_result(ref, result)
        return Stop()


async def _released_by(owner: Pid) -> Ref | None:
    """The ref under which the owner watches us; None when it has ended before it could."""
    watching = monitor(owner)
    message = await receive(
        lambda message: isinstance(message, Go) or (isinstance(message, Down) and message.ref == watching)
    )
    demonitor(watching, flush=True)
    return message.ref if isinstance(message, Go) else None


class TaskSupervisor(DynamicSupervisor):
    """A DynamicSupervisor whose children are functions."""

    # --- tasks to be awaited
    @overload
    async def spawn(
        self, function: Callable[P, Coroutine[Any, Any, T]], *arguments: P.args, **keywords: P.kwargs
    ) -> Task[T]: ...
    @overload
    async def spawn(self, function: Callable[P, T], *arguments: P.args, **keywords: P.kwargs) -> Task[T]: ...
    async def spawn(self, function: Any, *arguments: Any, **keywords: Any) -> Any:
        """``Task.spawn``, as a child of this supervisor. Raises MaxChildren, NoProcessError.

        Source: Task.Supervisor.async/2.
        """
        return await self._spawn(function, arguments, keywords, is_linked=True)

    @overload
    async def spawn_nolink(
        self, function: Callable[P, Coroutine[Any, Any, T]], *arguments: P.args, **keywords: P.kwargs
    ) -> Task[T]: ...
    @overload
    async def spawn_nolink(self, function: Callable[P, T], *arguments: P.args, **keywords: P.kwargs) -> Task[T]: ...
    async def spawn_nolink(self, function: Any, *arguments: Any, **keywords: Any) -> Any:
        """``spawn``, not linked to its owner: when it crashes, ``result`` raises ServerExited, and that is all.

        Source: Task.Supervisor.async_nolink/2.
        """
        return await self._spawn(function, arguments, keywords, is_linked=False)

    async def _spawn(self, function: Any, arguments: Any, keywords: Any, *, is_linked: bool) -> Task[Any]:
        check_function(function)
        spec = ChildSpec("task", TaskServer, (function, arguments, keywords, _core.self()), restart="temporary")
        task = adopt(await self._start(spec), label_of(function), is_linked=is_linked)
        send(task.pid, Go(task.ref))
        return task

    # --- tasks for their effects
    async def start_child(
        self,
        child: Any,
        *arguments: Any,
        restart: Restart = "temporary",
        shutdown_s: float | None = SHUTDOWN_S,
    ) -> Pid:
        """Run the function ``child(*arguments)`` for its effects; nobody is told of its end.

        Args:
            restart: ``transient`` runs it again when it crashed, ``permanent`` whenever it ended.
        Raises:
            MaxChildren: the supervisor is full.
        Source: Task.Supervisor.start_child/3.
        """
        check_function(child)
        return await self._start(
            ChildSpec("task", TaskServer, (child, arguments), restart=restart, shutdown_s=shutdown_s)
        )

    async def _start(self, spec: ChildSpec) -> Pid:
        pid: Pid = await self._ask((spec,), is_batch=False)
        return pid

    # --- streams
    @overload
    def stream(
        self,
        function: Callable[[Item], Coroutine[Any, Any, T]],
        items: Source[Item],
        **options: Unpack[StreamOptions],
    ) -> TaskStream[T]: ...
    @overload
    def stream(
        self, function: Callable[[Item], T], items: Source[Item], **options: Unpack[StreamOptions]
    ) -> TaskStream[T]: ...
    def stream(self, function: Any, items: Any, **options: Unpack[StreamOptions]) -> TaskStream[Any]:
        """``stream_tasks`` with children of this supervisor, linked: a crash ends the consumer unless it traps."""

        async def start(item: Any) -> Task[Any]:
            return await self._spawn(function, (item,), {}, is_linked=True)

        return stream_tasks(function, items, start, **options)

    @overload
    def stream_nolink(
        self,
        function: Callable[[Item], Coroutine[Any, Any, T]],
        items: Source[Item],
        **options: Unpack[StreamOptions],
    ) -> TaskStream[T]: ...
    @overload
    def stream_nolink(
        self, function: Callable[[Item], T], items: Source[Item], **options: Unpack[StreamOptions]
    ) -> TaskStream[T]: ...
    def stream_nolink(self, function: Any, items: Any, **options: Unpack[StreamOptions]) -> TaskStream[Any]:
        """``stream`` without links: the crash of a task is an outcome, ``Exited(reason)``, like any other."""

        async def start(item: Any) -> Task[Any]:
            return await self._spawn(function, (item,), {}, is_linked=False)

        return stream_tasks(function, items, start, **options)
