"""Run an exported function on another node, once, for its result.

    total = await erpc.call("b@10.0.0.6", count_words, "a text")        # or its name, "shop.texts:count_words"

Every way it can go is told apart from the others:

    it returned                          the value
    it raised                            RemoteError      with the kind, the message and the traceback, as text
    it exited, or a signal ended it      RemoteExit       with the reason
    the node cannot be reached, or went  NoConnectionError
    it took longer                       CallTimeout
    the node does not offer it           NotExported
    the node runs too many already       RemoteBusy

After NoConnectionError and CallTimeout the function may have run, or may run still; a late result never shows up.
Source: erpc. What rpc cannot tell apart, a value from an error, can be told here.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, overload

from zmqcluster.core import Call
from zmqcluster.errors import (
    CallTimeout,
    ClusterError,
    LinkBusy,
    NoConnectionError,
    NotExported,
    RemoteBusy,
    RemoteError,
    RemoteExit,
    ServerExited,
)
from zmqcluster.otp.methods import DEFAULT_TIMEOUT_S
from zmqcluster.otp.requests import Request
from zmqcluster.runtime.exported import Function, function_name
from zmqcluster.runtime.remote import CALL
from zmqcluster.runtime.remote_errors import restored
from zmqcluster.runtime.spawning import ask_node

__all__ = ["Failed", "Outcome", "RemoteRequest", "Returned", "call", "cast", "multicall", "multicast", "send_request"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Returned(Generic[T_co]):
    """The function returned ``value``."""

    value: T_co


@dataclass(frozen=True, slots=True)
class Failed:
    """There is no value; ``error`` is what ``call`` raises."""

    error: Exception


Outcome = Returned[T] | Failed


class RemoteRequest(Request):
    """A call that was made and is not awaited yet: ``await`` it, or ``add`` it to ``Requests``."""

    __slots__ = ("function", "node", "timeout_s")

    def __init__(self, node: str, function: str, call: Call, label: Any, timeout_s: float | None) -> None:
        super().__init__((function, node), call, label)
        self.node = node
        self.function = function
        self.timeout_s = timeout_s

    def _outcome(self) -> Generator[Any, Any, Any]:
        try:
            return (yield from self._call.__await__())
        except ClusterError as error:
            told = self._told(error)
            raise told from told.__cause__

    def _result(self) -> Any:
        try:
            return self._call.result()
        except ClusterError as error:
            told = self._told(error)
            raise told from told.__cause__

    def _told(self, error: ClusterError) -> ClusterError:
        """What the caller is to know, of what the core knows."""
        match error:
            case RemoteError():
                return restored(error)
            case ServerExited():
                return RemoteExit(self.node, error.reason, True)
            case CallTimeout():
                return CallTimeout(f"{self.function} on {self.node}", self.timeout_s)
            case NoConnectionError() | LinkBusy() | NotExported() | RemoteBusy() | RemoteExit():
                return error
        told = RemoteError(self.node, self.function, type(error).__name__, str(error), "", error)
        told.__cause__ = error  # it ran, and its result cannot be sent
        return told


@overload
async def call(
    node: str,
    function: Callable[..., Coroutine[Any, Any, T]],
    /,
    *arguments: Any,
    timeout_s: float | None = DEFAULT_TIMEOUT_S,
    **keywords: Any,
) -> T: ...
@overload
async def call(
    node: str,
    function: Callable[..., T],
    /,
    *arguments: Any,
    timeout_s: float | None = DEFAULT_TIMEOUT_S,
    **keywords: Any,
) -> T: ...
@overload
async def call(
    node: str, function: str, /, *arguments: Any, timeout_s: float | None = DEFAULT_TIMEOUT_S, **keywords: Any
) -> Any: ...
async def call(
    node: str, function: Function, /, *arguments: Any, timeout_s: float | None = DEFAULT_TIMEOUT_S, **keywords: Any
) -> Any:
    """Run ``function(*arguments, **keywords)`` on ``node``, in a process of its own; return what it returns.

    Args:
        node: its name; ours is one too.
        function: exported there with ``@remote``, or the name of such a one.
        timeout_s: to wait at most; None waits for ever. Not given to the function.
    Raises:
        RemoteError, RemoteExit, NoConnectionError, CallTimeout, NotExported, RemoteBusy: see the module.
        EncodeError, FrameTooLarge: an argument cannot be sent. ConfigError: the function has no name. Nothing was sent.
        LinkBusy: the link is full; the request was not sent, or the reply, as its text says.
    Source: erpc:call/5, which waits for ever by default.
    """
    return await send_request(node, function, *arguments, timeout_s=timeout_s, **keywords)


def cast(node: str, function: Function, /, *arguments: Any, **keywords: Any) -> None:
    """``call`` without its outcome: returns at once, and whatever goes wrong, nobody is told here.

    Raises:
        EncodeError: an argument cannot be sent. ConfigError: the function, or the node, has no name.
    Source: erpc:cast/4.
    """
    _ask(node, function, arguments, keywords, None).cancel()


def multicast(nodes: Iterable[str], function: Function, /, *arguments: Any, **keywords: Any) -> None:
    """``cast`` to each of ``nodes``. Source: erpc:multicast/4."""
    for node in nodes:
        cast(node, function, *arguments, **keywords)


@overload
async def multicall(
    nodes: Iterable[str],
    function: Callable[..., Coroutine[Any, Any, T]],
    /,
    *arguments: Any,
    timeout_s: float | None = DEFAULT_TIMEOUT_S,
    **keywords: Any,
) -> list[Outcome[T]]: ...
@overload
async def multicall(
    nodes: Iterable[str],
    function: Callable[..., T],
    /,
    *arguments: Any,
    timeout_s: float | None = DEFAULT_TIMEOUT_S,
    **keywords: Any,
) -> list[Outcome[T]]: ...
@overload
async def multicall(
    nodes: Iterable[str],
    function: str,
    /,
    *arguments: Any,
    timeout_s: float | None = DEFAULT_TIMEOUT_S,
    **keywords: Any,
) -> list[Outcome[Any]]: ...
async def multicall(
    nodes: Iterable[str],
    function: Function,
    /,
    *arguments: Any,
    timeout_s: float | None = DEFAULT_TIMEOUT_S,
    **keywords: Any,
) -> list[Outcome[Any]]:
    """``call`` to all of ``nodes`` at the same time.

    Args:
        timeout_s: for all of it.
    Returns:
        an outcome for each of ``nodes``, in their order; a node that is named twice is called twice.
    Raises:
        EncodeError, ConfigError: as ``call``; some nodes may have been called.
    Source: erpc:multicall/5.
    """
    requests = [send_request(node, function, *arguments, timeout_s=timeout_s, **keywords) for node in nodes]
    outcomes: list[Outcome[Any]] = []
    try:
        for request in requests:
            try:
                outcomes.append(Returned(await request))
            except ClusterError as error:
                outcomes.append(Failed(error))
    finally:
        for request in requests:
            request.abandon()
    return outcomes


def send_request(
    node: str,
    function: Function,
    /,
    *arguments: Any,
    label: Any = None,
    timeout_s: float | None = None,
    **keywords: Any,
) -> RemoteRequest:
    """``call``, and go on at once: the result is awaited later, or taken from a collection.

    Args:
        label: what a collection tells the result by.
        timeout_s: after this long the request has failed with CallTimeout; None: never.
    Raises:
        EncodeError, ConfigError: as ``call``; all else is raised where the result is awaited.
    Source: erpc:send_request/4, receive_response/2, reqids_new/0.
    """
    name = function_name(function)
    return RemoteRequest(str(node), name, _ask(node, name, arguments, keywords, timeout_s), label, timeout_s)


def _ask(
    node: str, function: Function, arguments: tuple[Any, ...], keywords: dict[str, Any], timeout_s: float | None
) -> Call:
    return ask_node(node, CALL, (function_name(function), arguments), keywords, timeout_s)
