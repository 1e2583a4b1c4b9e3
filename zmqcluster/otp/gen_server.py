"""GenServer: a process with state that answers requests, one after the other.

    init ──> [ handle_call | handle_cast | handle_info ]* ──> terminate

State lives on ``self``. A plain ``def`` handler is called by the core directly; an ``async def`` handler may await
anything, and meanwhile the server takes no other message. Plain handlers of one node share its context variables.

A handler returns its reply, or a Control: Reply, NoReply (reply later with ``reply``), Stop, Continue.
Source: OTP gen_server.
"""

from __future__ import annotations

import logging
from typing import Any, ClassVar, Self

from zmqcluster import _core
from zmqcluster._ids import Pid, Ref
from zmqcluster.core import Behaviour, Call
from zmqcluster.errors import ConfigError, NotRegistered, ServerExited, UsageError
from zmqcluster.exits import Normal
from zmqcluster.otp.servers import add_server, resolve_server, server_name
from zmqcluster.otp.serving import behaviour_of, is_isolated, settle
from zmqcluster.otp.starting import start_process
from zmqcluster.otp.starting_on import start_process_on
from zmqcluster.runtime.process import Destination, Via

__all__ = ["GenServer", "caller", "reply", "resolve_server", "server_name", "start_process", "stop"]

_log = logging.getLogger("zmqcluster.gen_server")

NORMAL = Normal()
caller = _core.caller


class GenServer:
    """Base of server classes; see the module. An instance is the server's state, or a client handle made by ``at``."""

    __slots__ = ("__dict__", "_dest")

    mailbox_bound: ClassVar[int | None] = None  # messages that wait at most
    mailbox_policy: ClassVar[str] = "drop_new"  # what a full mailbox does: or "drop_old", "refuse"
    hibernate_after_s: ClassVar[float | None] = None  # idle for so long, its mailbox gives back its memory

    _dest: Destination
    _behaviour: ClassVar[Behaviour | None] = None
    _isolated: ClassVar[bool] = False

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        cls._behaviour = None
        add_server(cls)

    @classmethod
    def _table(cls) -> Behaviour:
        """What the core needs to know of the class, made at its first start."""
        if cls._behaviour is None:
            _check_idle(cls)
            cls._isolated = is_isolated(cls)
            cls._behaviour = behaviour_of(cls)
        return cls._behaviour

    # --- callbacks
    def init(self, *arguments: Any, **keywords: Any) -> Any:
        """Set up the state from the arguments of ``start``.

        Return None, Ignore(), Stop(reason), Continue(value), or NoReply(timeout_s=...) to expect a message.
        """
        if arguments or keywords:
            raise TypeError(f"{type(self).__name__} has no init that takes {arguments} {keywords}")

    def handle_call(self, request: Any, caller: Call) -> Any:
        """Answer ``request``: return the reply, or a Control."""
        raise UsageError(f"{type(self).__name__} has no handle_call, but was called with {request!r}")

    def handle_cast(self, request: Any) -> Any:
        """Take note of ``request``."""
        raise UsageError(f"{type(self).__name__} has no handle_cast, but was cast {request!r}")

    def handle_info(self, message: Any) -> Any:
        """Any other message: sent with ``send``, Down, Exit when trapping, TIMEOUT. By default logged and dropped."""
        _log.warning("%s dropped an unexpected message: %r", type(self).__name__, message)

    def handle_continue(self, value: Any) -> Any:
        """Go on after a Continue, before any message."""
        raise UsageError(f"{type(self).__name__} has no handle_continue, but was to go on with {value!r}")

    def terminate(self, reason: Any) -> Any:
        """Called before the server ends by itself, crashes, or is stopped while trapping exits. Not when killed."""

    def format_status(self) -> Any:
        """The state as reports and ``sys.get_status`` show it; override it to hide secrets or size."""
        return dict(vars(self))

    def code_change(self, old_version: Any, extra: Any) -> Any:
        """Adapt the attributes that a server of an older class left: see ``sys.change_code``."""

    async def _adopt(self, old_version: Any, extra: Any) -> None:
        """The class was changed: let ``code_change`` see to the state."""
        await settle(self.code_change(old_version, extra))

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
    async def start_on(
        cls,
        node: str,
        *arguments: Any,
        name: str | Via | None = None,
        timeout_s: float | None = None,
        **keywords: Any,
    ) -> Self:
        """``start`` on another node, which must have imported this class; a ``name`` is registered there.

        Raises:
            NotExported: the node does not know the class; nothing was started.
            NoConnectionError: the node cannot be reached, or went down meanwhile; the server may run.
            AlreadyStarted, StartFailed: as ``start``.
        """
        return cls.at(await start_process_on(node, cls, arguments, keywords, name=name, timeout_s=timeout_s))

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
        if isinstance(dest, tuple | Ref):
            raise UsageError("the pid behind (name, node) or an alias is known on its node only")
        return dest.whereis()

    def __repr__(self) -> str:
        dest = getattr(self, "_dest", None)
        return f"<{type(self).__name__} {'server' if dest is None else f'at {dest!r}'}>"


def _check_idle(cls: type[GenServer]) -> None:
    idle_s = cls.hibernate_after_s
    if idle_s is not None and (isinstance(idle_s, bool) or not isinstance(idle_s, int | float) or not idle_s >= 0):
        raise ConfigError(f"{cls.__qualname__}.hibernate_after_s is None or at least 0, not {idle_s!r}")


def reply(caller: Call, value: Any) -> None:
    """Send the reply that a handler promised with NoReply; from any process of the node.

    Only the first counts: a second one is dropped, and reported as ``zmqcluster.call.replied_twice``.
    """
    caller.reply(value)


async def stop(dest: Destination, reason: Any = NORMAL, timeout_s: float | None = None) -> None:
    """Stop a server with ``reason``, suspended or not; return when it has ended.

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
