"""Run CPython's own asyncio tests with every Task replaced by our Process, and count.

Idea: whoever calls ``loop.create_task`` gets a Process, so that the authors of asyncio judge whether it behaves as a
Task does. A run in which no Process was made proves nothing and fails.

    python -m tests.support.asyncio_suite [--plain] [module ...]      # --plain: real Tasks, to compare with
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import logging
import platform
import sys
import unittest
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from zmqcluster import core

MODULES = [
    "test_taskgroups",
    "test_timeouts",
    "test_waitfor",
    "test_locks",
    "test_queues",
    "test_threads",
    "test_runners",
    "test_pep492",
    "test_futures2",
    "test_staggered",
    "test_server",
    "test_streams",
    "test_subprocess",
    "test_sock_lowlevel",
    "test_sendfile",
    "test_buffered_proto",
    "test_context",
]

# It looks for the "..." that the repr of a Task which waits for itself has in 3.11; 3.12 dropped it.
ALLOWED = {"test_recursive_repr_for_pending_tasks"} if sys.version_info < (3, 12) else set()

CreateTask = Callable[..., Any]


@dataclass
class Count:
    """Tests run, and the names of those that did not pass, each with the last line of its trace."""

    run: int = 0
    skipped: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)

    def add(self, other: Count) -> None:
        self.run += other.run
        self.skipped += other.skipped
        self.failed += other.failed

    def unexpected(self) -> list[str]:
        return [name for name, _ in self.failed if name not in ALLOWED]

    def __str__(self) -> str:
        return f"run {self.run:4d}   failed {len(self.failed):3d}   skipped {self.skipped:3d}"


class Replacement:
    """Makes ``create_task`` of every event loop start a Process, and counts them."""

    def __init__(self) -> None:
        self.made = 0
        self._original: CreateTask = asyncio.BaseEventLoop.create_task

    def __enter__(self) -> Replacement:
        asyncio.BaseEventLoop.create_task = self._create_task_of()  # type: ignore[method-assign]
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.BaseEventLoop.create_task = self._original  # type: ignore[method-assign]

    def _create_task_of(self) -> CreateTask:
        original = self._original

        def create_task(loop: Any, coro: Any, **options: Any) -> Any:
            if not replaces(loop, coro):
                return original(loop, coro, **options)
            loop._check_closed()
            self.made += 1
            name, context = options.pop("name", None), options.pop("context", None)
            if options:
                raise TypeError(f"create_task got unexpected options {sorted(options)}")
            return core.spawn_task(loop, coro, name=name, context=context)

        return create_task


def replaces(loop: Any, coro: Any) -> bool:
    """Whether a Process takes the Task's place: not where a test brings its own factory, or no coroutine.

    ``TestLoop`` is a puppet of the tests: each tick is scripted, so another scheduler cannot take part in it.
    """
    return loop.get_task_factory() is None and type(loop).__name__ != "TestLoop" and hasattr(coro, "send")


def run_module(name: str) -> Count:
    suite = unittest.defaultTestLoader.loadTestsFromName(f"test.test_asyncio.{name}")
    result = unittest.TestResult()
    suite.run(result)
    bad = [*result.failures, *result.errors, *((test, "unexpected success") for test in result.unexpectedSuccesses)]
    failed = [(str(test).split(" ")[0], trace.strip().splitlines()[-1]) for test, trace in bad]
    return Count(result.testsRun, len(result.skipped), failed)


def run_modules(names: list[str]) -> Count:
    total = Count()
    for name in names:
        if importlib.util.find_spec(f"test.test_asyncio.{name}") is None:
            print(f"  {name:22s} not in this Python")
            continue
        count = run_module(name)
        print(f"  {name:22s} {count}", flush=True)
        for test, problem in count.failed:
            print(f"      {test}: {problem[:150]}{'   (allowed)' if test in ALLOWED else ''}", flush=True)
        total.add(count)
    return total


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="asyncio_suite", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--plain", action="store_true", help="real Tasks, to compare with")
    parser.add_argument("modules", nargs="*", default=MODULES, metavar="module")
    options = parser.parse_args(arguments)
    if importlib.util.find_spec("test") is None or importlib.util.find_spec("test.test_asyncio") is None:
        print("this Python has no test.test_asyncio (on Debian: apt-get install libpython3-testsuite)")
        return 2
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    print(f"CPython {platform.python_version()}, test.test_asyncio, {'real Tasks' if options.plain else 'Processes'}")
    if options.plain:
        total, made = run_modules(options.modules), 1
    else:
        with Replacement() as replacement:
            total = run_modules(options.modules)
        made = replacement.made
        print(f"  {made} Processes took the place of Tasks")
    print(f"  {'total':22s} {total}")
    return 1 if total.unexpected() or not made or not total.run else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
