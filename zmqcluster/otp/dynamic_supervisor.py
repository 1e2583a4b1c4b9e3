"""DynamicSupervisor: children that come and go, each started when somebody asks for it.

    start_child ──> a linked process at once ──init──> Started ──────> its pid to the caller
                                              └──────> NotStarted ──> StartFailed to the caller; in a restart: again
    Exit(child) ──> restart as its spec says, within the limit that all children share

Every child stands alone: a failure stops no other, their order means nothing and they have no ids. The supervisor waits
for no ``init``, so a slow one delays nobody and a thousand start side by side; a child that is starting or restarting
counts as one. It stops all of them together, each within its own time. A temporary child's arguments are not kept.
Source: Elixir DynamicSupervisor, which runs one init after the other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from zmqcluster import _core
from zmqcluster._ids import Pid
from zmqcluster.core import Call, Exit, NoReply, Stop
from zmqcluster.errors import ConfigError, MaxChildren, NoProcessError, Refusal, StartFailed, SupervisionError
from zmqcluster.exits import Killed, Shutdown, is_expected
from zmqcluster.otp.child_spec import Child, ChildSpec, child_spec, starts_again
from zmqcluster.otp.children import ChildEntry, ChildInfo, report
from zmqcluster.otp.gen_server import GenServer
from zmqcluster.otp.launching import NotStarted, Started, launch
from zmqcluster.otp.methods import call, cast
from zmqcluster.otp.starting import IGNORED
from zmqcluster.otp.stop_together import stop_together
from zmqcluster.runtime.process import send, trap_exits

__all__ = ["DynamicSupervisor"]

UNDEFINED = "undefined"  # the id of every child. Source: DynamicSupervisor.which_children/1
LATER = NoReply()

Result = Pid | None | SupervisionError


@dataclass(slots=True)
class _Request:
    """A caller that waits for one child, or for many."""

    caller: Call
    results: list[Result]
    pending_count: int
    is_batch: bool

    def settle(self, position: int, result: Result) -> None:
        self.results[position] = result
        self.pending_count -= 1
        if self.pending_count:
            return
        if self.is_batch:
            self.caller.reply(self.results)
        elif isinstance(result, SupervisionError):
            self.caller.fail(result)
        else:
            self.caller.reply(result)


@dataclass(slots=True, eq=False)
class _Child(ChildEntry):
    """``request``: who waits for its start, until it has started."""

    is_starting: bool = True
    request: _Request | None = None
    position: int = 0

    def tell(self, result: Result) -> None:
        request, self.request = self.request, None
        if request is not None:
            request.settle(self.position, result)


class DynamicSupervisor(GenServer):
    """A supervisor of children that are started on demand. Subclass it to set its limits, or pass them to ``start``."""

    is_supervisor: ClassVar[bool] = True
    max_children: ClassVar[int | None] = None
    max_restarts: ClassVar[int] = 3
    max_seconds: ClassVar[float] = 5.0
    extra_arguments: ClassVar[tuple[Any, ...]] = ()

    def init(
        self,
        *,
        max_children: int | None = None,
        max_restarts: int | None = None,
        max_seconds: float | None = None,
        extra_arguments: tuple[Any, ...] | None = None,
    ) -> None:
        """Begin with no child.

        Args:
            max_children: more are refused; None for no limit.
            max_restarts: of all children together, within ``max_seconds``; one more ends the supervisor.
            extra_arguments: go before the arguments of every child, at each of its starts.
        """
        self._children_max = self.max_children if max_children is None else max_children
        self._restarts_max = self.max_restarts if max_restarts is None else max_restarts
        self._within_s = self.max_seconds if max_seconds is None else max_seconds
        self._extra = tuple(self.extra_arguments if extra_arguments is None else extra_arguments)
        _check_limits(self._children_max, self._restarts_max, self._within_s)
        self._children: dict[Pid, _Child] = {}  # by the pid it has or, if it is restarting, had
        self._bare_specs: dict[tuple[Any, ...], ChildSpec] = {}
        self._restarts: deque[float] = deque()
        trap_exits(True)

    # --- clients
    async def start_child(self, child: Child) -> Pid | None:
        """Start a child and return its pid, when its init has returned; None when that returned Ignore.

        Raises:
            ConfigError: ``child`` is no child specification; the supervisor was not asked.
            MaxChildren: the supervisor is full.
            StartFailed: its init failed; nothing is left of it.
        """
        result: Pid | None = await self._ask((child_spec(child),), is_batch=False)
        return result

    async def start_children(self, children: Iterable[Child]) -> list[Pid | None | SupervisionError]:
        """``start_child`` for many in one request; for those that did not start, its errors are in the list."""
        specs = tuple([child_spec(child) for child in children])
        result: list[Result] = await self._ask(specs, is_batch=True) if specs else []
        return result

    def _ask(self, specs: tuple[ChildSpec, ...], *, is_batch: bool) -> Any:
        return _core.current_scheduler().call(self.dest, (specs, is_batch), None)

    @call
    async def terminate_child(self, pid: Pid) -> None:
        """Stop a child and forget it. Raises NoProcessError when it is none of ours."""
        child = self._children.get(pid)
        if child is None:
            raise Refusal(NoProcessError(pid))
        await self._stop([child])

    @call
    def which_children(self) -> list[ChildInfo]:
        """The children in no order; the id of each is ``undefined``."""
        return [
            ChildInfo(UNDEFINED, None if child.restarting else child.pid, _state(child), child.spec.kind)
            for child in self._children.values()
        ]

    @call
    def count_children(self) -> dict[str, int]:
        """How many ``specs``, ``active`` (alive), ``supervisors`` and ``workers`` there are."""
        children = self._children.values()
        supervisors = sum(child.spec.kind == "supervisor" for child in children)
        return {
            "specs": len(children),
            "active": sum(not child.restarting for child in children),
            "supervisors": supervisors,
            "workers": len(children) - supervisors,
        }

    # --- starts
    def handle_call(self, request: tuple[tuple[ChildSpec, ...], bool], caller: Call) -> NoReply:
        """Start children; the answer follows when they have started."""
        specs, is_batch = request
        waiting = _Request(caller, [None] * len(specs), len(specs), is_batch)
        for position, spec in enumerate(specs):
            if self._children_max is not None and len(self._children) >= self._children_max:
                waiting.settle(position, MaxChildren(self._children_max))
                continue
            pid = launch(spec, *self._extra)
            kept = self._bare(spec) if spec.restart == "temporary" else spec
            self._children[pid] = _Child(kept, pid, request=waiting, position=position)
        return LATER

    def _bare(self, spec: ChildSpec) -> ChildSpec:
        """What is kept of a temporary child, which is never started again: no arguments."""
        key = spec.server, spec.shutdown_s, spec.kind
        if key not in self._bare_specs:
            self._bare_specs[key] = ChildSpec(
                UNDEFINED, spec.server, restart="temporary", shutdown_s=spec.shutdown_s, kind=spec.kind
            )
        return self._bare_specs[key]

    def handle_info(self, message: Any) -> Stop | None:
        """A child has started, has not, or has ended."""
        child = self._children.get(message.pid) if isinstance(message, Started | NotStarted | Exit) else None
        if child is None:
            return None if isinstance(message, Started | NotStarted | Exit) else super().handle_info(message)
        if isinstance(message, Started):
            child.is_starting = child.restarting = False
            child.tell(child.pid)
            return None
        if isinstance(message, NotStarted):
            return self._not_started(child, message.reason)
        if child.is_starting:  # what became of its start is on its way
            send(_core.self(), message)
            return None
        return self._ended(child, message.reason)

    def _not_started(self, child: _Child, reason: Any) -> Stop | None:
        child.is_starting = False
        if reason == IGNORED:
            self._forget(child)
            child.tell(None)
        elif child.restarting:
            report("start_error", child, None, reason)
            type(self).at(_core.self())._retry(child.pid)
        else:
            self._forget(child)
            child.tell(StartFailed(child.spec.server.__name__, reason))
        return None

    # --- ends
    def _ended(self, child: _Child, reason: Any) -> Stop | None:
        if not is_expected(reason):
            report("child_terminated", child, child.pid, reason)
        if starts_again(child.spec.restart, reason):
            return self._restart(child)
        self._forget(child)
        return None

    @cast
    def _retry(self, pid: Pid) -> Stop | None:
        """The restart of a child failed: try again, unless it was stopped meanwhile."""
        child = self._children.get(pid)
        return None if child is None else self._restart(child)

    def _restart(self, child: _Child) -> Stop | None:
        if not self._may_restart():
            report("shutdown", child, None, "reached_max_restart_intensity")
            return Stop(Shutdown("reached_max_restart_intensity"))
        self._forget(child)
        child.pid = launch(child.spec, *self._extra)
        child.restarting = child.is_starting = True
        self._children[child.pid] = child
        return None

    def _may_restart(self) -> bool:
        """Count one restart, and say whether it is within the limit."""
        now_s = _core.current_scheduler().loop.time()
        self._restarts.append(now_s)
        while self._restarts[0] < now_s - self._within_s:
            self._restarts.popleft()
        return len(self._restarts) <= self._restarts_max

    def _forget(self, child: _Child) -> None:
        if child.pid is not None:
            self._children.pop(child.pid, None)

    async def terminate(self, reason: Any) -> None:
        """Stop all children together."""
        await self._stop(list(self._children.values()))

    async def _stop(self, children: list[_Child]) -> None:
        by_pid = {child.pid: child for child in children if child.pid is not None}
        for child in children:
            self._forget(child)
        for pid, reason in (await stop_together({pid: _shutdown_s(child) for pid, child in by_pid.items()})).items():
            child = by_pid[pid]
            if not is_expected(reason) and not (isinstance(reason, Killed) and child.spec.shutdown_s == 0):
                report("shutdown_error", child, pid, reason)


def _state(child: _Child) -> Literal["running", "restarting"]:
    return "restarting" if child.restarting else "running"


def _shutdown_s(child: _Child) -> float | None:
    seconds = child.spec.shutdown_s
    return None if seconds is None or isinstance(seconds, str) else seconds


def _check_limits(max_children: object, max_restarts: object, max_seconds: object) -> None:
    if max_children is not None and not (type(max_children) is int and max_children >= 0):
        raise ConfigError(f"max_children is None or an int of at least 0, not {max_children!r}")
    if not (type(max_restarts) is int and max_restarts >= 0):
        raise ConfigError(f"max_restarts is an int of at least 0, not {max_restarts!r}")
    if isinstance(max_seconds, bool) or not isinstance(max_seconds, int | float) or not max_seconds > 0:
        raise ConfigError(f"max_seconds is more than 0, not {max_seconds!r}")
