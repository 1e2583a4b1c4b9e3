"""A loop whose time is virtual: an hour of cluster life passes as fast as its callbacks run.

    ready ──run──> callbacks ──call_at──> timers
      ^                                     |
      └── select(timeout): now += timeout ──┘      nothing waits, nothing is read

Invariant: time moves only in ``VirtualSelector.select``, and only when no callback is ready; so equal programs with
equal seeds run the same callbacks in the same order, on any machine.
Rules: there is no real I/O (it raises); an executor runs its function at once, in the loop; nothing ready and no timer
is a ``Deadlock``; a program that never lets time pass is a ``Livelock``.
"""

from __future__ import annotations

import asyncio
import math
from asyncio.events import Handle
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, NoReturn, TypeVar, TypeVarTuple

from zmqcluster.errors import UsageError
from zmqcluster.testing.cells import CellLoop

__all__ = ["Deadlock", "Livelock", "VirtualLoop"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

RESOLUTION_S = 1e-9  # timers that close together fall due together; asyncio's own on Linux
TURNS_MAX = 100_000  # turns of the loop in one instant; a program with more of them spins
STEP_MS = 5.0  # how often ``run_until`` looks, unless told


class Deadlock(UsageError):
    """Nothing is scheduled, so the loop would wait for ever. Pending: {0.pending}"""

    FIELDS = ("pending",)
    pending: str


class Livelock(UsageError):
    """{0.turns} turns of the loop at {0.now_ms:.3f} ms and time does not move: something reschedules itself at once."""

    FIELDS = ("turns", "now_ms")
    turns: int
    now_ms: float


class VirtualSelector:
    """Stands where a loop has its selector: to wait is to move the clock."""

    def __init__(self, loop: VirtualLoop, turns_max: int) -> None:
        self._loop = loop
        self._turns = 0
        self._turns_max = turns_max

    def select(self, timeout: float | None) -> list[Any]:
        """Move the clock by ``timeout``; there are never any events."""
        if timeout is None:
            raise Deadlock(self._loop.pending())
        if timeout > 0:
            self._turns = 0
            self._loop.advance(timeout)
            return []
        self._turns += 1
        if self._turns > self._turns_max:
            raise Livelock(self._turns, self._loop.now * 1000)
        return []


class VirtualLoop(CellLoop):
    """An asyncio loop in virtual time: Tasks, ``asyncio.timeout``, TaskGroups and the core run in it unchanged."""

    _clock_resolution: float

    is_virtual = True  # a scheduler on such a loop counts its turns instead of timing them

    def __init__(self, start_s: float = 0.0, *, turns_max: int = TURNS_MAX) -> None:
        super().__init__()
        self.now = start_s
        self.advance(0.0)
        self.failures: list[dict[str, Any]] = []
        self._is_ending = False
        self._selector = VirtualSelector(self, turns_max)
        self.set_exception_handler(lambda _, context: self.failures.append(context))

    def time(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Move the clock.

        A timer is due when it is less than the resolution ahead. After 97 days the next float is further away than a
        nanosecond: with a resolution below that, a timer of this very instant would never be due.
        """
        self.now += seconds
        self._clock_resolution = max(RESOLUTION_S, 2 * math.ulp(self.now))

    @property
    def now_ms(self) -> float:
        """Virtual milliseconds, to the microsecond."""
        return round(self.now * 1000, 3)

    def run_ms(self, ms: float) -> None:
        """Run all that falls due in the next ``ms`` virtual milliseconds, and all that follows from it at once.

        Raises:
            Exception: what a callback raised and nobody caught; everything else was run.
        """
        self._run_until_ended(self.now + ms / 1000)

    def run_for(self, future: asyncio.Future[Any], within_ms: float) -> bool:
        """Run until ``future`` is done; return whether it is, in time."""
        if not future.done():
            future.add_done_callback(self._end)
            self._run_until_ended(self.now + within_ms / 1000)
            future.remove_done_callback(self._end)
        return future.done()

    def run_until(self, predicate: Callable[[], object], within_ms: float, *, step_ms: float = STEP_MS) -> bool:
        """Run until ``predicate()`` is true, looking every ``step_ms``; return whether it became so in time."""
        deadline = self.now + within_ms / 1000
        while not predicate():
            left_ms = (deadline - self.now) * 1000
            if left_ms < 0.001:
                return False
            self.run_ms(min(step_ms, left_ms))
        return True

    def _run_until_ended(self, deadline: float) -> None:
        timer = self.call_at(deadline, self._end)
        try:
            self.run_forever()
        finally:
            timer.cancel()
            self._is_ending = False
        self._raise_failure()

    def _end(self, _: object = None) -> None:
        """Stop as soon as nothing is left to do at this instant: a view in mid-turn is nobody's view."""
        if not self._is_ending:
            self._is_ending = True
            self._settle()

    def _settle(self) -> None:
        if self._is_ending and self._ready:
            self.call_soon(self._settle)
        elif self._is_ending:
            self.stop()

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run ``main`` to its end and return its result.

        Raises:
            Deadlock: ``main`` waits for what nobody will do.
        """
        result = self.run_until_complete(main)
        self._raise_failure()
        return result

    def _raise_failure(self) -> None:
        if self.failures:
            failure = self.failures[0]
            self.failures.clear()
            raise failure.get("exception") or RuntimeError(failure["message"])

    def pending(self) -> str:
        """Name the tasks that wait, for the message of a ``Deadlock``."""
        names = sorted(f"{task.get_name()} in {_place(task)}" for task in asyncio.all_tasks(self))
        return ", ".join(names) or "no task"

    # --- the world outside, which there is none of

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> Handle:
        return self.call_soon(callback, *args, context=context)

    def run_in_executor(self, executor: object, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """Run ``func`` here and now: a thread would bring another order in every run."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none."""


def _place(task: asyncio.Task[Any]) -> str:
    coroutine = task.get_coro()
    return getattr(coroutine, "__qualname__", repr(coroutine))


def _refuse(name: str) -> Callable[..., NoReturn]:
    def refused(*args: object, **options: object) -> NoReturn:
        raise UsageError(f"{name}() does real I/O, which a VirtualLoop has none of: use the simulated network")

    return refused


REAL_IO = """
    add_reader add_writer remove_reader remove_writer add_signal_handler create_connection create_server
    create_unix_connection create_unix_server create_datagram_endpoint connect_read_pipe connect_write_pipe
    connect_accepted_socket subprocess_exec subprocess_shell sock_accept sock_connect sock_recv sock_recv_into
    sock_recvfrom sock_sendall sock_sendto sock_sendfile sendfile start_tls getaddrinfo getnameinfo
"""
for _name in REAL_IO.split():
    setattr(VirtualLoop, _name, _refuse(_name))
