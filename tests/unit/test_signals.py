"""SIGTERM and SIGINT end a program in order, a second SIGINT at once. Real signals, to this very process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

import zmqcluster as zc

LOG: list[str] = []
LONG_S = 30.0
SOON_S = 0.05  # a loop that is not held up has heard of a signal by then


@pytest.fixture(autouse=True)
def log() -> Iterator[None]:
    LOG.clear()
    yield


@pytest.fixture
def before() -> Iterator[Any]:
    """The handler of SIGINT, which must be the same after the program."""
    handler = signal.getsignal(signal.SIGINT)
    yield handler
    assert signal.getsignal(signal.SIGINT) is handler


class Worker(zc.GenServer):
    """Takes its time to stop."""

    def init(self, how: str = "quick") -> None:
        zc.trap_exits()
        self.how = how
        tell_started.set()

    async def terminate(self, reason: Any) -> None:
        LOG.append(f"stops: {reason!r}")
        tell_stopping.set()
        if self.how == "slow":
            await asyncio.sleep(LONG_S)
        if self.how == "blocked":
            time.sleep(LONG_S)
        LOG.append("stopped")


tell_started, tell_stopping = threading.Event(), threading.Event()


@contextlib.contextmanager
def sending(*signals: signal.Signals) -> Iterator[None]:
    """The first signal when the worker runs, the others when it is stopping."""
    tell_started.clear()
    tell_stopping.clear()

    def send() -> None:
        for number, event in zip(signals, (tell_started, tell_stopping), strict=False):
            assert event.wait(10)
            time.sleep(SOON_S)
            os.kill(os.getpid(), number)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def tree(how: str) -> type[zc.Supervisor]:
    class Tree(zc.Supervisor):
        children = [zc.ChildSpec("worker", Worker, (how,), shutdown_s=None)]

    return Tree


@pytest.mark.usefixtures("before")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_first_signal_when_a_tree_runs_then_it_is_stopped_in_order(number: signal.Signals) -> None:
    with sending(number):
        assert zc.run(tree("quick")) is None
    assert LOG == ["stops: Shutdown(detail=None)", "stopped"]


@pytest.mark.usefixtures("before")
@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_second_sigint_when_the_tree_takes_long_then_it_ends_at_once(first: signal.Signals) -> None:
    began_s = time.monotonic()
    with sending(first, signal.SIGINT), pytest.raises(KeyboardInterrupt):
        zc.run(tree("slow")) if first == signal.SIGINT else stop_twice()
    assert time.monotonic() - began_s < LONG_S / 3
    assert LOG == ["stops: Shutdown(detail=None)"]


def stop_twice() -> None:
    """After SIGTERM it takes two SIGINT: the first asks again for an end in order."""
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:
        zc.run(tree("slow"))
    finally:
        timer.join()


@pytest.mark.usefixtures("before")
def test_second_sigint_when_a_handler_holds_up_the_loop_then_it_ends_at_once() -> None:
    began_s = time.monotonic()
    with sending(signal.SIGINT, signal.SIGINT), contextlib.suppress(KeyboardInterrupt):
        zc.run(tree("blocked"))
    assert time.monotonic() - began_s < LONG_S / 3
    assert "stopped" not in LOG


@pytest.mark.usefixtures("before")
def test_second_sigint_when_applications_take_long_after_the_program_then_they_are_not_waited_for() -> None:
    class App(zc.Application):
        children = [zc.ChildSpec("worker", Worker, ("slow",), shutdown_s=None)]

    async def main() -> None:
        await App.start()
        await zc.receive()

    began_s = time.monotonic()
    with sending(signal.SIGINT, signal.SIGINT), pytest.raises(KeyboardInterrupt):
        zc.run(main)
    assert time.monotonic() - began_s < LONG_S / 3
    assert LOG == ["stops: Shutdown(detail=None)"]
