"""GenServer: a process with state that answers requests, one after the other.

    init ──> [ handle_call | handle_cast | handle_info ]* ──> terminate

State lives on ``self``. A plain ``def`` handler is called by the core directly; an ``async def`` handler may await
anything, and meanwhile the server takes no other message. Plain handlers of one node share its context variables.

A handler returns its reply, or a Control: Reply, NoReply (reply later with ``reply``), Stop, Continue. What happens
then, and what a crash does, runs as a coroutine of the server itself: the functions at the end of this file.
Source: OTP gen_server.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from typing import Any, ClassVar, Self, cast

from zmqcluster import _core, telemetry
from zmqcluster._ids import Pid
from zmqcluster.core import Behaviour, Call, Continue, Control, Ignore, NoReply, Reply, Stop
from zmqcluster.errors import (
    AlreadyRegistered,
    AlreadyStarted,
    CallTimeout,
    ConfigError,
    NoSuchMethod,
    NotRegistered,
    ProcessExit,
    ServerExited,
    StartFailed,
    UsageError,
)
from zmqcluster.exits import BadReturn, Kill, Normal, TimedOut, is_expected
from zmqcluster.otp.methods import CallMethod, CastMethod
from zmqcluster.runtime.process import Destination, Via, unlink
from zmqcluster.runtime.reports import reason_of

__all__ = ["GenServer", "reply", "resolve_server", "server_name", "stop"]

_log = logging.getLogger("zmqcluster.gen_server")
_servers: dict[str, type[GenServer]] = {}


class GenServer:
    """Base of server classes; see the module. An instance is the server's state, or a client handle made by ``at``."""

    __slots__ = ("__dict__", "_dest")

    _dest: Destination
    _behaviour: ClassVar[Behaviour | None] = None
    _isolated: ClassVar[bool] = False

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        cls._behaviour = None
        _servers[server_name(cls)] = cls

    # --- callbacks
    def init(self, *arguments: Any, **keywords: Any) -> Any:
        """Set up the state from the arguments of ``start``. Return None, Ignore(), Stop(reason) or Continue(value)."""
        if arguments or keywords:
            raise TypeError(f"{type(self).__name__} has no init that takes {arguments} {keywords}")

    def handle_call(self, request: Any, caller: Call) -> Any:
        """Answer ``request``: return the reply, or a Control."""
        raise NoSuchMethod(type(self).__name__, "handle_call for", request)

    def handle_cast(self, request: Any) -> Any:
        """Take note of ``request``."""
        raise NoSuchMethod(type(self).__name__, "handle_cast for", request)

    def handle_info(self, message: Any) -> Any:
        """Any other message: sent with ``send``, Down, Exit when trapping, TIMEOUT. By default logged and dropped."""
        _log.warning("%s dropped an unexpected message: %r", type(self).__name__, message)

    def handle_continue(self, value: Any) -> Any:
        """Go on after a Continue, before any message."""
        raise NoSuchMethod(type(self).__name__, "handle_continue for", value)

    def terminate(self, reason: Any) -> Any:
        """Called before the server ends by itself, crashes, or is stopped while trapping exits. Not when killed."""

    def format_status(self) -> Any:
        """The state as reports show it; override it to hide secrets or size."""
        return {name: value for name, value in vars(self).items() if name != "_dest"}

    # --- clients
    @classmethod
    async def start(
        cls, *arguments: Any, name: str | Via | None = None, timeout_s: float | None = None, **keywords: Any
    ) -> Self:
        """Start a server and wait until its init has returned; return a handle to it.

        Raises:
            AlreadyStarted: ``name`` is taken; init was not run.
            StartFailed: init raised, returned Stop or Ignore, or took longer than ``timeout_s``. Nothing is left of it.
        """
        return cls.at(await start_process(cls, arguments, keywords, name=name, timeout_s=timeout_s))

    @classmethod
    async def start_link(
        cls, *arguments: Any, name: str | Via | None = None, timeout_s: float | None = None, **keywords: Any
    ) -> Self:
        """``start``, linked to the running process, which is the server's parent: its exit stops the server."""
        return cls.at(await start_process(cls, arguments, keywords, name=name, timeout_s=timeout_s, link=True))

    @classmethod
    def at(cls, dest: Destination) -> Self:
        """A handle to a server of this class at ``dest``; whether one is there shows when it is used."""
        handle = cls.__new__(cls)
        handle._dest = dest
        return handle

    @property
    def dest(self) -> Destination:
        """Where the requests of this handle go."""
        try:
            return self._dest
        except AttributeError:
            raise UsageError(
                f"this is the state of {type(self).__name__}, not a handle: "
                f"inside the server call the plain function {type(self).__name__}.<method>.function(self, ...)"
            ) from None

    @property
    def pid(self) -> Pid:
        """The pid behind this handle. Raises NotRegistered when its name is nobody's."""
        pid = self.whereis()
        if pid is None:
            raise NotRegistered(self.dest)
        return pid

    def whereis(self) -> Pid | None:
        """The pid behind this handle, or None; so a handle is itself a destination."""
        dest = self.dest
        if isinstance(dest, Pid):
            return dest
        if isinstance(dest, str):
            return _core.current_scheduler().whereis(dest)
        if isinstance(dest, tuple):
            raise UsageError("the pid of (name, node) is known on that node only")
        return dest.whereis()

    def __repr__(self) -> str:
        dest = getattr(self, "_dest", None)
        return f"<{type(self).__name__} {'server' if dest is None else f'at {dest!r}'}>"


def server_name(cls: type[GenServer]) -> str:
    """How the class is called on the wire: ``module:qualname``."""
    return f"{cls.__module__}:{cls.__qualname__}"


def resolve_server(name: str) -> type[GenServer]:
    """The server class of that wire name. Raises ConfigError when this node has not imported it."""
    try:
        return _servers[name]
    except KeyError:
        raise ConfigError(f"no server class {name!r} is loaded on this node: import its module here too") from None


def reply(caller: Call, value: Any) -> None:
    """Send the reply that a handler promised with NoReply; from any process of the node. Only the first counts."""
    caller.reply(value)


async def stop(dest: Destination, reason: Any = Normal(), timeout_s: float | None = None) -> None:
    """Stop a server with ``reason``; return when it has ended.

    Raises:
        NoProcessError, CallingSelf: as for ``call``.
        CallTimeout: it has not ended yet; it may still.
        ServerExited: it ended with another reason.
    """
    try:
        await _core.current_scheduler().call(dest, (reason,), timeout_s, "$stop")
    except ServerExited as ended:
        if ended.reason != reason:
            raise


async def start_process(
    cls: type[GenServer],
    arguments: tuple[Any, ...],
    keywords: dict[str, Any],
    *,
    name: str | Via | None = None,
    timeout_s: float | None = None,
    link: bool = False,
) -> Pid:
    """Start a server process of ``cls``, wait for its init, return its pid. Raises as ``GenServer.start`` does."""
    _check_name(name)
    scheduler = _core.current_scheduler()
    server = cls.__new__(cls)
    promise = scheduler.promise(cls.__name__, timeout_s)
    parent = _core.self() if link else None
    starting = _starting(server, arguments, keywords, name, promise, parent)
    pid: Pid = scheduler.start_server(
        behaviour_of(cls), server, starting, promise=promise, link=link, isolated=cls._isolated, parent=parent
    )
    try:
        return cast(Pid, await promise)
    except ServerExited as ended:
        raise StartFailed(cls.__name__, ended.reason) from _cause(ended.reason)
    except CallTimeout:
        if link:
            unlink(pid)
        scheduler.exit(parent or pid, pid, Kill())
        raise StartFailed(cls.__name__, TimedOut("init")) from None


def _cause(reason: Any) -> BaseException | None:
    return getattr(reason, "exception", None)


def _check_name(name: object) -> None:
    if name is not None and not (isinstance(name, str) and name) and not isinstance(name, Via):
        raise ConfigError(f"name= takes a non-empty string or a Via (whereis, register, unregister), not {name!r}")


# --- what the core needs to know of a class


def behaviour_of(cls: type[GenServer]) -> Behaviour:
    """The table of handlers of ``cls``, made at its first start."""
    if cls._behaviour is None or "_behaviour" not in cls.__dict__:
        calls: dict[str, Callable[..., Any]] = {"$stop": _stop, "$get_state": _get_state}
        casts: dict[str, Callable[..., Any]] = {}
        for base in reversed(cls.__mro__):
            for attribute, value in vars(base).items():
                if isinstance(value, CallMethod):
                    calls[attribute] = value.function
                elif isinstance(value, CastMethod):
                    casts[attribute] = value.function
        functions = (cls.init, cls.handle_call, cls.handle_cast, cls.handle_info, *calls.values(), *casts.values())
        cls._isolated = any(inspect.iscoroutinefunction(function) for function in functions)
        cls._behaviour = Behaviour(
            cls.__qualname__,
            calls,
            casts,
            handle_call=cls.handle_call,
            handle_cast=cls.handle_cast,
            handle_info=cls.handle_info,
            controlled=_controlled,
            stopping=_stopping,
            crashed=_crashed,
        )
    return cls._behaviour


def _stop(server: GenServer, reason: Any) -> Stop:
    return Stop(reason)


def _get_state(server: GenServer) -> Any:
    return server.format_status()


# --- slow paths: coroutines that the core steps as the server itself


async def _settle(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


async def _starting(
    server: GenServer,
    arguments: tuple[Any, ...],
    keywords: dict[str, Any],
    name: str | Via | None,
    promise: Call,
    parent: Pid | None,
) -> None:
    if name is not None:
        await _take_name(name, promise, parent)
    try:
        result = server.init(*arguments, **keywords)
        if result is not None:
            result = await _settle(result)
    except BaseException as error:
        _give_up(parent)
        reason = reason_of(error)
        _report(server, "init", reason)
        raise ProcessExit(reason) from error
    match result:
        case None:
            promise.reply(_core.self())
        case Continue():
            promise.reply(_core.self())
            await _controlled(server, None, result)
        case Stop():
            _give_up(parent)
            raise ProcessExit(result.reason)
        case Ignore():
            _give_up(parent)
            raise ProcessExit(Normal())
        case _:
            _give_up(parent)
            raise ProcessExit(BadReturn("init", repr(result)))


def _give_up(parent: Pid | None) -> None:
    """A failed start is told to the starter by an exception, not by an exit signal too."""
    if parent is not None:
        unlink(parent)


async def _take_name(name: str | Via, promise: Call, parent: Pid | None) -> None:
    try:
        if isinstance(name, str):
            _core.current_scheduler().register(name, _core.self())
        else:
            await _settle(name.register(_core.self()))
    except AlreadyRegistered as taken:
        _give_up(parent)
        promise.fail(AlreadyStarted(taken.pid))
        raise ProcessExit(Normal()) from None
    except BaseException as error:
        _give_up(parent)
        raise ProcessExit(reason_of(error)) from error


async def _controlled(server: GenServer, message: Any, control: Control) -> None:
    """A handler returned a Control: do what it says, and what the handlers it leads to say."""
    call = message if isinstance(message, Call) else None
    while True:
        match control:
            case Stop():
                await _end(server, message, control.reason, call, control)
            case Continue():
                if control.has_reply and call is not None:
                    call.reply(control.reply)
                try:
                    following = await _settle(server.handle_continue(control.value))
                except BaseException as error:
                    await _crashed(server, control, error)
                if not isinstance(following, Control):
                    return
                control = following
                continue
            case Reply() if call is not None:
                call.reply(control.value)
            case Reply() | NoReply():
                pass
            case _:
                await _crashed(server, message, TypeError(f"a handler returned {control!r}"))
        if control.timeout_s is not None:
            _core.expect_message(control.timeout_s)
        return


async def _stopping(server: GenServer, reason: Any) -> None:
    """The parent of a server that traps exits has ended."""
    await _end(server, None, reason, None, None)


async def _crashed(server: GenServer, message: Any, error: BaseException) -> None:
    """A handler raised: ``exit(reason)`` inside it, or a failure."""
    await _end(server, message, reason_of(error), None, None)


async def _end(server: GenServer, message: Any, reason: Any, call: Call | None, stop_: Stop | None) -> None:
    """Run terminate, report, reply, end: in this order."""
    try:
        await _settle(server.terminate(reason))
    except BaseException as error:
        reason = reason_of(error)
    _report(server, message, reason)
    if stop_ is not None and stop_.has_reply and call is not None:
        call.reply(stop_.reply)
    raise ProcessExit(reason)


def _report(server: GenServer, message: Any, reason: Any) -> None:
    """Log the crash of a server: who, at which message, in which state, why. Nothing for an orderly end."""
    if is_expected(reason):
        return
    try:
        state = server.format_status()
    except Exception as error:
        state = f"format_status raised {error!r}"
    fields = {
        "server": type(server).__name__,
        "pid": _core.self(),
        "last_message": message,
        "state": state,
        "reason": reason,
    }
    _log.error(
        "%(server)s %(pid)r terminates\n  last message: %(last_message)r\n  state: %(state)r\n  reason: %(reason)r\n%(trace)s",
        {**fields, "trace": getattr(reason, "trace", "")},
        extra={"zmqcluster": fields},
    )
    telemetry.emit("zmqcluster.gen_server.terminated", **fields)
