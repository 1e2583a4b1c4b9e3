"""Typed calls and casts: ``@call`` and ``@cast`` turn a method of a server class into its client's method.

    class Counter(GenServer):
        @call
        def add(self, amount: int) -> int: ...

    counter = await Counter.start()          # a Counter bound to the process, not the server's state
    total = await counter.add(2)             # mypy knows: int

The decorator is a descriptor. On a client handle it gives a function that sends the request; the server's own function
is kept beside it, and the core calls that one. Inside the server the plain function is ``Counter.add.function``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, overload
from typing import cast as typed

from zmqcluster import _core
from zmqcluster.errors import UsageError
from zmqcluster.runtime.process import Destination

__all__ = ["DEFAULT_TIMEOUT_S", "BoundCall", "BoundCast", "CallMethod", "CastMethod", "call", "cast"]

DEFAULT_TIMEOUT_S = 5.0  # Source: gen_server:call/2

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)
R = TypeVar("R")


class _Handle(Protocol):
    @property
    def dest(self) -> Destination: ...


class BoundCall(Generic[P, R_co]):
    """A call method of one server: call it, or ``within`` another time."""

    __slots__ = ("_dest", "_name", "_timeout_s")

    def __init__(self, dest: Destination, name: str, timeout_s: float | None) -> None:
        self._dest = dest
        self._name = name
        self._timeout_s = timeout_s

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Awaitable[R_co]:
        """Ask the server; await the reply. Raises ServerExited, NoProcessError, NoConnectionError, CallTimeout."""
        return _core.current_scheduler().call(self._dest, args, self._timeout_s, self._name, kwargs or None)

    def within(self, timeout_s: float | None) -> BoundCall[P, R_co]:
        """The same method with another time-out; None waits for ever."""
        return BoundCall(self._dest, self._name, timeout_s)


class BoundCast(Generic[P]):
    """A cast method of one server."""

    __slots__ = ("_dest", "_name")

    def __init__(self, dest: Destination, name: str) -> None:
        self._dest = dest
        self._name = name

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Tell the server; nothing comes back, not even that it is not there."""
        _core.current_scheduler().cast(self._dest, args, self._name, kwargs or None)


class CallMethod(Generic[P, R_co]):
    """What ``@call`` leaves in the class."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.name = function.__name__
        self.__doc__ = function.__doc__

    @overload
    def __get__(self, handle: None, owner: type) -> CallMethod[P, R_co]: ...
    @overload
    def __get__(self, handle: _Handle, owner: type) -> BoundCall[P, R_co]: ...
    def __get__(self, handle: _Handle | None, owner: type) -> CallMethod[P, R_co] | BoundCall[P, R_co]:
        if handle is None:
            return self
        return BoundCall(handle.dest, self.name, DEFAULT_TIMEOUT_S)


class CastMethod(Generic[P]):
    """What ``@cast`` leaves in the class."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.name = function.__name__
        self.__doc__ = function.__doc__

    @overload
    def __get__(self, handle: None, owner: type) -> CastMethod[P]: ...
    @overload
    def __get__(self, handle: _Handle, owner: type) -> BoundCast[P]: ...
    def __get__(self, handle: _Handle | None, owner: type) -> CastMethod[P] | BoundCast[P]:
        if handle is None:
            return self
        return BoundCast(handle.dest, self.name)


class _Missing:
    """Stands for a request that was not given, so that None can be one."""


_MISSING = _Missing()


@overload
def call(
    dest: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]], request: _Missing = ..., timeout_s: float | None = ...
) -> CallMethod[P, R]: ...
@overload
def call(
    dest: Callable[Concatenate[Any, P], R], request: _Missing = ..., timeout_s: float | None = ...
) -> CallMethod[P, R]: ...
@overload
def call(dest: Destination, request: Any, timeout_s: float | None = ...) -> Awaitable[Any]: ...
def call(dest: Any, request: Any = _MISSING, timeout_s: float | None = DEFAULT_TIMEOUT_S) -> Any:
    """``await call(dest, request)``: ask a server's handle_call. As a decorator, ``@call`` makes a typed method.

    Args:
        timeout_s: after this long CallTimeout is raised; a late reply vanishes. None waits for ever.
    Raises:
        NoProcessError: nobody there. CallingSelf: the caller is the server.
        ServerExited: the server ended before it replied; the request may have been handled.
        NoConnectionError: the link to its node went down; the request may have been handled.
        CallTimeout: no reply in time; the call may still run.
    Source: gen_server:call/3.
    """
    if request is _MISSING:
        if not callable(dest):
            raise UsageError("call(dest, request) needs a request")
        return CallMethod(dest)
    return _core.current_scheduler().call(dest, request, timeout_s)


@overload
def cast(dest: Callable[Concatenate[Any, P], Any], request: _Missing = ...) -> CastMethod[P]: ...
@overload
def cast(dest: Destination, request: Any) -> None: ...
def cast(dest: Any, request: Any = _MISSING) -> Any:
    """``cast(dest, request)``: tell a server's handle_cast, and go on. As a decorator it makes a typed method.

    Nobody there is no error, and a node that cannot be reached is none either. Source: gen_server:cast/2.
    """
    if request is _MISSING:
        if not callable(dest):
            raise UsageError("cast(dest, request) needs a request")
        return CastMethod(dest)
    _core.current_scheduler().cast(dest, request)
    return typed(Any, None)
