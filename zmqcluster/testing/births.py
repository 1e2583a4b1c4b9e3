"""Who started what: every process, timer and asyncio task that a test has begun, with the line that did, and what is
left of them at its end.

    spawn, send_after, create_task ──> on_birth ── first frame of the user's own code ──> site
    left() ──> "process <a 7.0> processor, started in test_x at tests/test_a.py:12"

Rules: a task, or a timer, that no code of the user asked for is the library's own business. A process that no code of
the user is seen to start, a child of a supervisor for one, is shown with its parent instead of a line.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from zmqcluster.core import Scheduler
from zmqcluster.ids import Pid, Ref

__all__ = ["Births"]

PACKAGE = str(Path(__file__).parents[1]) + os.sep
ASYNCIO = str(Path(asyncio.__file__).parent) + os.sep
TURN = "_run_once"  # of the loop: what called it is not what started anything


class Births:
    """Of the schedulers that it watches, and of their loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._processes: dict[Pid, tuple[Scheduler, str | None]] = {}
        self._timers: dict[Ref, tuple[Scheduler, str]] = {}
        self._tasks: dict[asyncio.Task[Any], str] = {}
        loop.set_task_factory(self._make_task)

    def watch(self, scheduler: Scheduler) -> None:
        """Note what starts there from now on."""

        def on_birth(born: Pid | Ref) -> None:
            site = user_site(sys._getframe(1))
            if isinstance(born, Pid):
                self._processes[born] = (scheduler, site)
            elif site is not None:
                self._timers[born] = (scheduler, site)

        scheduler.birth_observer = on_birth

    def ignore(self, pid: Pid) -> None:
        """It is no part of the test."""
        self._processes.pop(pid, None)

    def forget(self, scheduler: Scheduler) -> None:
        """Its machine is gone, and what ran there with it."""
        self._processes = {pid: birth for pid, birth in self._processes.items() if birth[0] is not scheduler}
        self._timers = {ref: birth for ref, birth in self._timers.items() if birth[0] is not scheduler}

    def _make_task(self, loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, **options)
        site = user_site(sys._getframe(1))
        if site is not None:
            self._tasks[task] = site
        return task

    def any_process(self) -> bool:
        """Whether a process is left."""
        return any(scheduler.is_alive(pid) for pid, (scheduler, _) in self._processes.items())

    def left(self) -> list[str]:
        """A line for each process, timer and task that is left, in the order of their starts."""
        return [*self._processes_left(), *self._timers_left(), *self._tasks_left()]

    def _processes_left(self) -> Iterator[str]:
        for pid, (scheduler, site) in self._processes.items():
            seen = scheduler.describe(pid)
            if seen is not None:
                name = " ".join(seen["names"]) or seen["label"]
                origin = f"started in {site}" if site else f"a child of {seen['parent']!r}"
                yield f"process {pid!r} {name}, {origin}"

    def _timers_left(self) -> Iterator[str]:
        for ref, (scheduler, site) in self._timers.items():
            left_s = scheduler.read_timer(ref)
            if left_s is not None:
                yield f"timer {ref!r} with {left_s:g} s to go, started in {site}"

    def _tasks_left(self) -> Iterator[str]:
        for task, site in self._tasks.items():
            if not task.done():
                coroutine = task.get_coro()
                yield f"task {getattr(coroutine, '__qualname__', coroutine)}, started in {site}"


def user_site(frame: FrameType | None) -> str | None:
    """``function at file:line`` of the innermost frame that is neither ours nor asyncio's; None without one."""
    while frame is not None:
        code = frame.f_code
        if code.co_filename.startswith(ASYNCIO) and code.co_name == TURN:
            return None
        if not code.co_filename.startswith((PACKAGE, ASYNCIO)):
            return f"{code.co_name} at {os.path.relpath(code.co_filename)}:{frame.f_lineno}"
        frame = frame.f_back
    return None
