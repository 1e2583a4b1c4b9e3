"""Processes on other nodes: ``spawn`` with a node in front.

    pid = await spawn_on("b@10.0.0.6", archive, "2024-06")          # or its name, "shop.orders:archive"

The request goes out at once, and the pid comes back. From then on the process is as one of this node: send to it, link,
monitor, exit it. When its node cannot be reached, or goes down first, there is a pid all the same, of nobody: a link to
it and a monitor of it end with ``NoConnection``; what the function then did over there is not known.
Source: erlang:spawn/4, spawn_link/4, spawn_monitor/4.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

from zmqcluster import _core
from zmqcluster._ids import Pid, Ref
from zmqcluster.core import Call, decode, encode
from zmqcluster.errors import ConnectionFailed, NoConnectionError, RemoteError
from zmqcluster.exits import NoConnection
from zmqcluster.ids import NodeName
from zmqcluster.runtime.current import node as own_node
from zmqcluster.runtime.exported import Function, function_name
from zmqcluster.runtime.held import Go
from zmqcluster.runtime.process import Policy, link, monitor, send
from zmqcluster.runtime.remote import SPAWN
from zmqcluster.runtime.remote_errors import restored

__all__ = ["Spawning", "ask_node", "spawn_link_on", "spawn_monitor_on", "spawn_on"]

NODE_ID: Final = 0  # among the ids of processes: the node itself
NOBODY_ID: Final = 2**64 - 1  # no process of any node

Options = dict[str, Any]


def ask_node(node: str, method: str, request: tuple[Any, ...], keywords: Options, timeout_s: float | None) -> Call:
    """Ask the service of a node, which may be ours.

    Raises:
        ConfigError: ``node`` is no node name.
        EncodeError, FrameTooLarge: the request cannot be sent.
    """
    scheduler, node = _core.current_scheduler(), str(node)  # it may be a NodeName
    if node == scheduler.node:
        promise = scheduler.promise(node, timeout_s)
        if scheduler.copy_messages:
            copies: Any = decode(encode((request, keywords)))  # as if it came from another node
            request, keywords = copies
        own_node().remote.perform(promise, method, request, keywords)
        return promise
    if scheduler.link_of(node) is None:
        NodeName.parse(node)
    try:
        return scheduler.call(Pid(node, 0, NODE_ID), request, timeout_s, method, keywords)
    except ConnectionFailed as error:
        promise = scheduler.promise(node)
        promise.fail(error)
        return promise


class Spawning:
    """A process that was asked for: ``await`` it for the pid. It is started all the same when nobody does."""

    __slots__ = ("_call", "node")

    def __init__(self, node: str, call: Call) -> None:
        self.node = node
        self._call = call

    def __await__(self) -> Generator[Any, Any, Pid]:
        try:
            pid: Pid = yield from self._call.__await__()
            return pid
        except NoConnectionError:
            return Pid(str(self.node), 0, NOBODY_ID)
        except RemoteError as error:
            told = restored(error)
            raise told from told.__cause__

    def __repr__(self) -> str:
        return f"<Spawning on {self.node}>"


def spawn_on(
    node: str,
    function: Function,
    *arguments: Any,
    name: str | None = None,
    bound: int | None = None,
    policy: Policy = "drop_new",
) -> Spawning:
    """Start a process on ``node`` that runs ``function(*arguments)``; await the result for its pid.

    Args:
        node: its name; ours is one too.
        function: exported there with ``@remote``, or the name of such a one.
        name, bound, policy: of the process, as for ``spawn``.
    Raises:
        ConfigError: the function has no name, or ``node`` is none. EncodeError: an argument cannot be sent.
        The await raises NotExported when the node does not offer the function, AlreadyRegistered when ``name`` is
        taken there, LinkBusy when nothing was sent, RemoteError when the call itself fails, as with wrong arguments.
    """
    return _ask(node, function, arguments, None, name, bound, policy)


async def spawn_link_on(
    node: str,
    function: Function,
    *arguments: Any,
    name: str | None = None,
    bound: int | None = None,
    policy: Policy = "drop_new",
) -> Pid:
    """``spawn_on`` and ``link`` in one step: however soon the process ends, its reason arrives."""
    owner = _core.self()
    pid = await _ask(node, function, arguments, owner, name, bound, policy)
    if _is_nobody(pid):
        _core.current_scheduler().exit(pid, owner, NoConnection(pid.node))
    else:
        link(pid)
        send(pid, Go(owner))
    return pid


async def spawn_monitor_on(
    node: str,
    function: Function,
    *arguments: Any,
    name: str | None = None,
    bound: int | None = None,
    policy: Policy = "drop_new",
) -> tuple[Pid, Ref]:
    """``spawn_on`` and ``monitor`` in one step: however soon the process ends, Down tells its reason."""
    owner = _core.self()
    pid = await _ask(node, function, arguments, owner, name, bound, policy)
    if _is_nobody(pid):
        return pid, _core.monitor_fired(pid, NoConnection(pid.node))
    ref = monitor(pid)
    send(pid, Go(owner))
    return pid, ref


def _ask(
    node: str,
    function: Function,
    arguments: tuple[Any, ...],
    owner: Pid | None,
    name: str | None,
    bound: int | None,
    policy: Policy,
) -> Spawning:
    options: Options = {} if name is None else {"name": name}
    if bound is not None:
        options |= {"bound": bound, "policy": policy}
    return Spawning(node, ask_node(node, SPAWN, (function_name(function), arguments, owner), options, None))


def _is_nobody(pid: Pid) -> bool:
    return pid.id == NOBODY_ID
