"""What the tests of remote calls let other nodes run: one function for each way that a call can go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from zmqcluster.errors import NoProcessError
from zmqcluster.exits import Kill
from zmqcluster.ids import Pid
from zmqcluster.otp import erpc
from zmqcluster.runtime.current import node
from zmqcluster.runtime.exported import remote
from zmqcluster.runtime.process import exit, receive, send
from zmqcluster.runtime.process import self as this_process

done: list[Any] = []  # by functions that say so, on whichever node of the simulation


@remote
def add(one: int, other: int = 1) -> int:
    return one + other


@remote
async def where() -> str:
    return str(node().name)


@remote
def me() -> Pid:
    return this_process()


@remote
def fail(text: str) -> None:
    raise ValueError(text)


@remote
async def fail_as_the_package_does() -> None:
    raise NoProcessError("the ledger")


@remote
async def leave(reason: Any) -> None:
    exit(reason)


@remote
async def signal_itself(reason: Any) -> int:
    try:
        exit(this_process(), reason)
        await asyncio.sleep(10)
    except BaseException:
        """EXIT-08: a signal cannot be caught."""
    return 7


@remote
async def killed() -> None:
    exit(this_process(), Kill())


@remote
async def sleep_then(seconds: float, what: Any) -> Any:
    await asyncio.sleep(seconds)
    done.append(what)
    return what


@remote
async def wait_for_ever() -> None:
    await receive(lambda _: False)


@remote
def unsendable() -> object:
    return object()


@remote
async def stop_the_program() -> None:
    raise SystemExit(3)


@remote
async def echo(to: Pid) -> None:
    """Send back what comes."""
    while True:
        send(to, ("echo", await receive()))


@remote(name="tests.by_a_name_of_its_own")
def by_name() -> str:
    return "found"


def not_exported() -> None:
    done.append("must not run")


def local_function() -> Callable[[], None]:
    def inner() -> None:
        """Another node could not find it."""

    return inner


@remote(name="tests.identity")
def identity(value: Any) -> Any:
    return value


@remote
async def ask_back(whom: str, depth: int) -> int:
    """How deep the calls have gone, from node to node and back."""
    if depth == 0:
        return 0
    return 1 + int(await erpc.call(whom, ask_back, str(node().name), depth - 1))
