"""``zc.run``: one node, from its start to its orderly end.

    node.start ──> main, as the node's first process ──> it returns, or SIGTERM / SIGINT ──> node.stop

On SIGTERM or SIGINT the first process gets an exit signal ``Shutdown``: a supervisor then stops its children in reverse
order within their time-outs, a plain function ends at once. A second SIGINT ends the program without waiting, with
KeyboardInterrupt.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from zmqcluster import _core
from zmqcluster._ids import Pid
from zmqcluster.errors import ConfigError, ServerExited
from zmqcluster.exits import Normal, Shutdown, is_expected
from zmqcluster.runtime.node import Node
from zmqcluster.runtime.signals import STOP_S_MAX, Signals

__all__ = ["Main", "end_last", "first_pid", "first_process", "run", "run_node"]

Main = Callable[..., Any]
FIRST, LAST = "runtime.first", "runtime.last"  # on the shelf: the first process, and those that are ended in order


def run(
    main: Main,
    *arguments: Any,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
    **node: Any,
) -> Any:
    """Run ``main(*arguments)`` as the first process of a node, and return what it returns.

    Args:
        main: an async function, or a Supervisor class, which then runs until a signal comes.
        loop_factory: for another event loop, such as ``uvloop.new_event_loop``.
        node: the arguments of ``Node``: name, cookie, topologies, ... Without a name the node opens no socket.
    Raises:
        what ``main`` raises; ServerExited when an exit signal ended it abnormally; ConfigError, NameInUse;
        KeyboardInterrupt at the second SIGINT.
    """
    if not callable(main):
        raise ConfigError(f"run takes an async function or a Supervisor class, not {main!r}")
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(run_node(Node(**node), main, *arguments))


async def run_node(node: Node, main: Main, *arguments: Any) -> Any:
    """``run`` in a loop that runs already."""
    await node.start()
    try:
        first, ended = first_process(node, main, *arguments)
        with Signals(node.scheduler, first) as signals:
            try:
                return await ended
            finally:
                await _end_in_order(node, signals.hurry)
                if signals.hurry.done():
                    raise KeyboardInterrupt from None
    finally:
        node.scheduler.close()
        await node.stop()


def first_process(node: Node, main: Main, *arguments: Any) -> tuple[Pid, asyncio.Future[Any]]:
    """Start ``main`` on a started node; the future has its result, or its exception."""
    ended: asyncio.Future[Any] = node.scheduler.loop.create_future()
    first: Pid = node.scheduler.spawn(_first(main, arguments, ended))
    node.scheduler.shelf[FIRST] = first
    node.scheduler.spawn(_watch(first, ended))
    return first, ended


def first_pid() -> Pid | None:
    """The process that runs the program of this node; None where the node was started by other means."""
    first: Pid | None = _core.current_scheduler().shelf.get(FIRST)
    return first


def end_last(pid: Pid) -> None:
    """Let ``pid`` live until the first process has ended, and then end in order before the other processes do."""
    _core.current_scheduler().shelf.setdefault(LAST, []).append(pid)


async def _end_in_order(node: Node, hurry: asyncio.Future[None]) -> None:
    """Ask those of ``end_last`` to shut down, the latest first, and wait for each; for nobody when there is a hurry."""
    for pid in reversed(node.scheduler.shelf.pop(LAST, [])):
        ended: asyncio.Future[None] = node.scheduler.loop.create_future()
        node.scheduler.spawn(_end_one(pid, ended))
        await asyncio.wait((ended, hurry), timeout=STOP_S_MAX, return_when=asyncio.FIRST_COMPLETED)


async def _end_one(pid: Pid, ended: asyncio.Future[None]) -> None:
    ref = _core.monitor(pid)
    _core.current_scheduler().exit(_core.self(), pid, Shutdown("node stopped"))
    await _core.receive(lambda message: isinstance(message, _core.Down) and message.ref == ref)
    if not ended.done():
        ended.set_result(None)


async def _first(main: Main, arguments: tuple[Any, ...], ended: asyncio.Future[Any]) -> None:
    try:
        if getattr(main, "is_supervisor", False):
            await _run_tree(main, arguments)
            result = None
        else:
            result = main(*arguments)
            result = await result if inspect.isawaitable(result) else result
    except Exception as error:
        if not ended.done():
            ended.set_exception(error)
        return
    if not ended.done():
        ended.set_result(result)


async def _run_tree(supervisor: Any, arguments: tuple[Any, ...]) -> None:
    """Run a supervision tree until it ends by itself or this process is told to shut down."""
    _core.trap_exits(True)
    tree = await supervisor.start_link(*arguments)
    stopping = False
    while True:
        message: _core.Exit = await _core.receive(_core.Exit)
        if message.pid == tree.pid:
            if not is_expected(message.reason) or (not stopping and message.reason != Normal()):
                raise ServerExited(tree, message.reason)
            return
        if not stopping:
            stopping = True
            _core.current_scheduler().exit(_core.self(), tree.pid, message.reason)


async def _watch(first: Pid, ended: asyncio.Future[Any]) -> None:
    """Settle ``ended`` when an exit signal ended the first process."""
    ref = _core.monitor(first)
    down: _core.Down = await _core.receive(lambda message: isinstance(message, _core.Down) and message.ref == ref)
    if ended.done():
        return
    if is_expected(down.reason):
        ended.set_result(None)
    else:
        ended.set_exception(ServerExited("main", down.reason))
