"""DynamicSupervisor: children that come and go, each started when somebody asks for it.

    start_child ──> a linked process at once ──init──> Started ──────> its pid to the caller
                                              └──────> NotStarted ──> StartFailed to the caller; in a restart: again
    Exit(child) ──> restart as its spec says, within the limit that all children share; with a back-off, after a wait

Every child stands alone: a failure stops no other, their order means nothing and they have no ids. The supervisor waits
for no ``init``, so a slow one delays nobody and a thousand start side by side; a child that is starting or restarting
counts as one. It stops all of them together, each within its own time. A temporary child's arguments are not kept.
Source: Elixir DynamicSupervisor, which runs one init after the other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, ClassVar, Literal, NamedTuple

from zmqcluster import _core
from zmqcluster._ids import Pid
from zmqcluster.core import Call, Exit, NoReply, Stop
from zmqcluster.errors import (
    AlreadyStarted,
    ConfigError,
    MaxChildren,
    NoProcessError,
    Refusal,
    StartFailed,
    SupervisionError,
)
from zmqcluster.exits import Killed, Shutdown, is_expected
from zmqcluster.otp import starting
from zmqcluster.otp.backoff import Backoff, check_backoff
from zmqcluster.otp.child_spec import Child, ChildSpec, child_spec, starts_again
from zmqcluster.otp.children import ChildEntry, ChildInfo, report
from zmqcluster.otp.gen_server import GenServer
from zmqcluster.otp.launching import NotStarted, Started, launch
from zmqcluster.otp.methods import call, cast
from zmqcluster.otp.start_requests import Order, Request, Starting
from zmqcluster.otp.stop_together import stop_together
from zmqcluster.runtime.process import TimerFired, send, trap_exits

__all__ = ["DynamicSupervisor"]

UNDEFINED = "undefined"  # the id of every child. Source: DynamicSupervisor.which_children/1
LATER = NoReply()
STARTS_MAX = 64  # children of one request that are started before another message is served


class DynamicSupervisor(GenServer):
    """A supervisor of children that are started on demand. Subclass it to set its limits, or pass them to ``start``."""

    is_supervisor: ClassVar[bool] = True
    max_children: ClassVar[int | None] = None
    max_restarts: ClassVar[int] = 3
    max_seconds: ClassVar[float] = 5.0
    extra_arguments: ClassVar[tuple[Any, ...]] = ()
    backoff: ClassVar[Backoff | None] = None

    def init(
        self,
        *,
        max_children: int | None = None,
        max_restarts: int | None = None,
        max_seconds: float | None = None,
        extra_arguments: tuple[Any, ...] | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        """Begin with no child.

        Args:
            max_children: more are refused; None for no limit.
            max_restarts: of all children together, within ``max_seconds``; one more ends the supervisor.
            extra_arguments: go before the arguments of every child, at each of its starts.
            backoff: wait before a child is started again, see ``Backoff``; each child has its own waits.
        """
        self._children_max = self.max_children if max_children is None else max_children
        self._restarts_max = self.max_restarts if max_restarts is None else max_restarts
        self._within_s = self.max_seconds if max_seconds is None else max_seconds
        self._extra = tuple(self.extra_arguments if extra_arguments is None else extra_arguments)
        self._backoff = self.backoff if backoff is None else backoff
        _check_limits(self._children_max, self._restarts_max, self._within_s)
        check_backoff(self._backoff)
        self._running: dict[Pid, ChildSpec] = {}
        self._starting: dict[Pid, Starting] = {}
        self._retrying: dict[Pid, Starting] = {}  # by known_as: between two tries, with no process
        self._waited: dict[Pid, Waited] = {}  # with a back-off: the running children that were started again
        self._bare_specs: dict[tuple[Any, ...], ChildSpec] = {}
        self._restarts: deque[float] = deque()
        trap_exits(True)

    # --- clients
    async def start_child(self, child: Child) -> Pid | None:
        """Start a child and return its pid, when its init has returned; None when that returned Ignore.

        Raises:
            ConfigError: ``child`` is no child specification; the supervisor was not asked.
            MaxChildren: the supervisor is full.
            AlreadyStarted: its name is taken.
            StartFailed: its init failed; nothing is left of it.
        """
        result: Pid | None = await self._ask((child_spec(child),), is_batch=False)
        return result

    async def start_children(self, children: Iterable[Child]) -> list[Pid | SupervisionError | None]:
        """``start_child`` for many in one request; for those that did not start, its errors are in the list."""
        specs = tuple([child_spec(child) for child in children])
        return (await self._ask(specs, is_batch=True)).results if specs else []

    def _ask(self, specs: tuple[ChildSpec, ...], *, is_batch: bool) -> Any:
        return _core.current_scheduler().call(self.dest, Order(specs, is_batch), None)

    @call
    async def terminate_child(self, pid: Pid) -> None:
        """Stop a child and forget it; one that restarts is known by the pid it had. Raises NoProcessError."""
        waiting = self._retrying.pop(pid, None)
        if waiting is not None:
            waiting.wait_no_more()
            return
        restarting = [key for key, entry in self._starting.items() if entry.known_as == pid]
        if not restarting and pid not in self._running and pid not in self._starting:
            raise Refusal(NoProcessError(pid))
        await self._stop(restarting or [pid])

    @call
    def which_children(self) -> list[ChildInfo]:
        """The children in no order; the id of each is ``undefined``."""
        running = [ChildInfo(UNDEFINED, pid, "running", spec.kind) for pid, spec in self._running.items()]
        others = [*self._starting.values(), *self._retrying.values()]
        return running + [ChildInfo(UNDEFINED, entry.pid, _state(entry), entry.spec.kind) for entry in others]

    @call
    def count_children(self) -> dict[str, int]:
        """How many ``specs``, ``active`` (alive), ``supervisors`` and ``workers`` there are."""
        others = [*self._starting.values(), *self._retrying.values()]
        specs = [*self._running.values(), *[entry.spec for entry in others]]
        supervisors = sum(spec.kind == "supervisor" for spec in specs)
        restarting = sum(entry.restarting for entry in others)
        return {
            "specs": len(specs),
            "active": len(specs) - restarting,
            "supervisors": supervisors,
            "workers": len(specs) - supervisors,
        }

    # --- starts
    def handle_call(self, request: Order, caller: Call) -> NoReply:
        """Start children; the answer follows when they have started."""
        self.handle_cast(Request(caller, request, [None] * len(request.specs)))
        return LATER

    def handle_cast(self, request: Request) -> None:
        """Start some of the children of a request, and the rest after the other messages."""
        first, specs = request.taken_count, request.order.specs
        request.taken_count = min(first + STARTS_MAX, len(specs))
        for position in range(first, request.taken_count):
            spec = specs[position]
            if self._is_full():
                request.settle(position, MaxChildren(self._children_max))
                continue
            pid, has_started = launch(spec, *self._extra)
            kept = spec if spec.restart != "temporary" else self._bare(spec)
            if has_started:
                self._running[pid] = kept
                request.settle(position, pid)
            else:
                self._starting[pid] = Starting(kept, pid, request=request, position=position)
        if request.taken_count < len(specs):
            _core.current_scheduler().cast(_core.self(), request)

    def _is_full(self) -> bool:
        count = len(self._running) + len(self._starting) + len(self._retrying)
        return self._children_max is not None and count >= self._children_max

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
        match message:
            case Started(pid) if pid in self._starting:
                entry = self._starting.pop(pid)
                self._runs(entry.spec, pid, entry.delay_s)
                entry.tell(pid)
            case NotStarted(pid, reason) if pid in self._starting:
                self._not_started(self._starting.pop(pid), reason)
            case Exit(pid, reason) if pid in self._running:
                return self._ended(self._running.pop(pid), pid, reason)
            case TimerFired(ref, Pid() as known_as):
                waiting = self._retrying.get(known_as)
                if waiting is not None and waiting.timer == ref:
                    del self._retrying[known_as]
                    self._start_again(waiting.spec, known_as, waiting.delay_s)
            case Exit(pid) if pid in self._starting:
                send(_core.self(), message)  # what became of its start is on its way
            case Started() | NotStarted() | Exit():
                pass  # of a child that was stopped meanwhile
            case _:
                super().handle_info(message)
        return None

    def _not_started(self, entry: Starting, reason: Any) -> None:
        if entry.known_as is not None and reason != starting.IGNORED:
            report("start_error", entry, None, reason)
            entry.pid = None
            self._retrying[entry.known_as] = entry
            type(self).at(_core.self())._retry(entry.known_as)
            return
        match reason:
            case starting.IGNORED:
                entry.tell(None)
            case ("already_started", Pid() as pid):
                entry.tell(AlreadyStarted(pid))
            case _:
                entry.tell(StartFailed(entry.spec.server.__name__, reason))

    # --- ends
    def _ended(self, spec: ChildSpec, pid: Pid, reason: Any) -> Stop | None:
        if not is_expected(reason):
            report("child_terminated", ChildEntry(spec, pid), pid, reason)
        waited = self._waited.pop(pid, None)
        if not starts_again(spec.restart, reason):
            return None
        return self._restart(spec, pid, None if waited is None else self._wait_of(waited))

    def _wait_of(self, waited: Waited) -> float | None:
        """How long a child that ended had waited for its start; None when that is long ago."""
        assert self._backoff is not None
        return None if self._backoff.is_over(_now_s() - waited.started_s) else waited.delay_s

    @cast
    def _retry(self, known_as: Pid) -> Stop | None:
        """The restart of a child failed: try again, unless it was stopped meanwhile."""
        entry = self._retrying.pop(known_as, None)
        return None if entry is None else self._restart(entry.spec, known_as, entry.delay_s)

    def _restart(self, spec: ChildSpec, known_as: Pid, waited_s: float | None) -> Stop | None:
        if not self._may_restart():
            report("shutdown", ChildEntry(spec), None, "reached_max_restart_intensity")
            return Stop(Shutdown("reached_max_restart_intensity"))
        if self._backoff is None:
            self._start_again(spec, known_as, None)
        else:
            waiting = self._retrying[known_as] = Starting(spec, known_as=known_as)
            waiting.wait(self._backoff.after_s(waited_s), known_as)
        return None

    def _start_again(self, spec: ChildSpec, known_as: Pid, waited_s: float | None) -> None:
        pid, has_started = launch(spec, *self._extra)
        if has_started:
            self._runs(spec, pid, waited_s)
        else:
            self._starting[pid] = Starting(spec, pid, restarting=True, known_as=known_as, delay_s=waited_s)

    def _runs(self, spec: ChildSpec, pid: Pid, waited_s: float | None) -> None:
        self._running[pid] = spec
        if waited_s is not None:
            self._waited[pid] = Waited(waited_s, _now_s())

    def _may_restart(self) -> bool:
        """Count one restart, and say whether it is within the limit."""
        now_s = _now_s()
        self._restarts.append(now_s)
        while self._restarts[0] < now_s - self._within_s:
            self._restarts.popleft()
        return len(self._restarts) <= self._restarts_max

    async def terminate(self, reason: Any) -> None:
        """Stop all children together."""
        for waiting in self._retrying.values():
            waiting.wait_no_more()
        self._retrying.clear()
        await self._stop([*self._running, *self._starting])

    async def _stop(self, pids: list[Pid]) -> None:
        specs: dict[Pid, ChildSpec] = {}
        for pid in pids:
            entry = self._starting.pop(pid, None)
            self._waited.pop(pid, None)
            specs[pid] = self._running.pop(pid) if entry is None else entry.spec
            if entry is not None:
                entry.tell(StartFailed(entry.spec.server.__name__, Shutdown()))
        reasons = await stop_together({pid: _shutdown_s(spec) for pid, spec in specs.items()})
        for pid, reason in reasons.items():
            spec = specs[pid]
            if not is_expected(reason) and not (isinstance(reason, Killed) and spec.shutdown_s == 0):
                report("shutdown_error", ChildEntry(spec, pid), pid, reason)


class Waited(NamedTuple):
    """A running child that was started again after a wait: how long that was, and since when it runs."""

    delay_s: float
    started_s: float


def _now_s() -> float:
    return _core.current_scheduler().loop.time()


def _state(entry: Starting) -> Literal["running", "restarting"]:
    return "restarting" if entry.restarting else "running"


def _shutdown_s(spec: ChildSpec) -> float | None:
    return None if isinstance(spec.shutdown_s, str) else spec.shutdown_s


def _check_limits(max_children: object, max_restarts: object, max_seconds: object) -> None:
    if max_children is not None and not (type(max_children) is int and max_children >= 0):
        raise ConfigError(f"max_children is None or an int of at least 0, not {max_children!r}")
    if not (type(max_restarts) is int and max_restarts >= 0):
        raise ConfigError(f"max_restarts is an int of at least 0, not {max_restarts!r}")
    if isinstance(max_seconds, bool) or not isinstance(max_seconds, int | float) or not max_seconds > 0:
        raise ConfigError(f"max_seconds is more than 0, not {max_seconds!r}")
