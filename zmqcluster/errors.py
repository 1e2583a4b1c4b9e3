"""Exceptions, for a caller who can act now. What travels to links and monitors is a value: see ``exits``.

Rules: an error carries fields, its docstring is its message, it survives pickle and copy, and where something may
still be true after it ("the call may still run") the message says so.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "AlreadyRegistered",
    "AlreadyRunning",
    "AlreadyStarted",
    "AlreadyTracked",
    "AuthenticationFailed",
    "CallRefused",
    "CallTimeout",
    "CallbackFailed",
    "CallingSelf",
    "ChildPresent",
    "ClusterError",
    "ConfigError",
    "ConnectionFailed",
    "CookieFileError",
    "DatagramRefused",
    "DecodeError",
    "EncodeError",
    "FrameTooLarge",
    "InternalError",
    "LinkBusy",
    "LocalProtocolError",
    "MailboxFull",
    "MaxChildren",
    "NameInUse",
    "NoConnectionError",
    "NoMember",
    "NoProcessError",
    "NoSuchMethod",
    "NotExported",
    "NotInProcess",
    "NotRegistered",
    "NotTracked",
    "ProcessError",
    "ProcessExit",
    "ProtocolError",
    "QuorumLost",
    "Refusal",
    "RegistrationError",
    "RemoteBusy",
    "RemoteError",
    "RemoteExit",
    "RemoteProtocolError",
    "RequestFailed",
    "RestartsExceeded",
    "ServerExited",
    "StartFailed",
    "SupervisionError",
    "UsageError",
    "VersionMismatch",
]


class ClusterError(Exception):
    """Base of every exception of this package. Fields are positional and named in ``FIELDS``."""

    FIELDS: tuple[str, ...] = ()

    def __init__(self, *fields: Any) -> None:
        super().__init__(*fields)
        if self.FIELDS:
            if len(fields) != len(self.FIELDS):
                raise TypeError(f"{type(self).__name__} takes {self.FIELDS}, got {len(fields)} values")
            for name, value in zip(self.FIELDS, fields, strict=True):
                setattr(self, name, value)

    def __str__(self) -> str:
        if not self.FIELDS or not self.__doc__:
            return super().__str__()
        return self.__doc__.split("\n", 1)[0].format(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.args


class ConfigError(ClusterError, ValueError):
    """A setting or an argument is malformed; nothing was started."""


class UsageError(ClusterError, RuntimeError):
    """The API was used where it cannot work."""


class NotInProcess(UsageError):
    """{0.what} works only inside a process; spawn one, or use the methods of Node."""

    FIELDS = ("what",)
    what: str


class AlreadyRunning(UsageError):
    """{0.what} is running already."""

    FIELDS = ("what",)
    what: str


class ProtocolError(ClusterError):
    """The rules of the wire were broken."""


class DatagramRefused(ProtocolError):
    """A datagram was dropped unread: {0.problem}."""

    FIELDS = ("problem",)
    problem: str


class LocalProtocolError(ProtocolError):
    """Our caller broke the rules of the wire; nothing was sent."""


class RemoteProtocolError(ProtocolError):
    """The peer broke the rules of the wire; its session ends."""


class EncodeError(LocalProtocolError, TypeError):
    """Cannot send {0.path}: {0.problem}. Nothing was sent."""

    FIELDS = ("path", "problem")
    path: str
    problem: str


class DecodeError(RemoteProtocolError, ValueError):
    """Malformed value at byte {0.offset}: {0.problem}."""

    FIELDS = ("offset", "problem")
    offset: int
    problem: str


class FrameTooLarge(LocalProtocolError):
    """A message of {0.size_bytes} bytes exceeds the limit of {0.limit_bytes}; nothing was sent."""

    FIELDS = ("size_bytes", "limit_bytes")
    size_bytes: int
    limit_bytes: int


class ConnectionFailed(ClusterError, ConnectionError):
    """Could not connect to {0.node}: {0.problem}."""

    FIELDS = ("node", "problem")
    node: str
    problem: str


class NoConnectionError(ConnectionFailed):
    """No connection to {0.node}: {0.problem}. What was sent before may have arrived."""


class AuthenticationFailed(ConnectionFailed):
    """{0.node} does not share our cookie: {0.problem}."""


class VersionMismatch(ConnectionFailed):
    """{0.node} speaks another protocol version: {0.problem}."""


class LinkBusy(ConnectionFailed):
    """The link to {0.node} is full: {0.problem}. This message was not sent."""


class NameInUse(ConfigError):
    """The node name {0.name} is in use: {0.problem}."""

    FIELDS = ("name", "problem")
    name: str
    problem: str


class CookieFileError(ConfigError):
    """The cookie file {0.path} cannot be used: {0.problem}."""

    FIELDS = ("path", "problem")
    path: str
    problem: str


class ProcessError(ClusterError):
    """A process could not do what was asked of it."""


class NoProcessError(ProcessError, LookupError):
    """No process at {0.dest!r}."""

    FIELDS = ("dest",)
    dest: Any


class CallingSelf(ProcessError):
    """{0.server} called itself; the call would wait for ever."""

    FIELDS = ("server",)
    server: Any


class NoSuchMethod(ProcessError, AttributeError):
    """{0.server} has no {0.kind} {0.method!r}; the server was not disturbed."""

    FIELDS = ("server", "kind", "method")
    server: str
    kind: str
    method: str


class ServerExited(ProcessError):
    """{0.server} ended with {0.reason!r} before it replied; the request may have been handled."""

    FIELDS = ("server", "reason")
    server: Any
    reason: Any


class CallTimeout(ProcessError, TimeoutError):
    """No reply from {0.server} within {0.timeout_s} s; the call may still run."""

    FIELDS = ("server", "timeout_s")
    server: Any
    timeout_s: float


class MailboxFull(ProcessError):
    """The mailbox of {0.dest} is full ({0.bound} messages); this message was not delivered."""

    FIELDS = ("dest", "bound")
    dest: Any
    bound: int


class RegistrationError(ClusterError):
    """A name could not be registered."""


class AlreadyRegistered(RegistrationError):
    """{0.name!r} is held by {0.pid}."""

    FIELDS = ("name", "pid")
    name: Any
    pid: Any


class NotRegistered(RegistrationError, LookupError):
    """No process is registered as {0.name!r}."""

    FIELDS = ("name",)
    name: Any


class AlreadyTracked(RegistrationError):
    """{0.pid} is present at {0.topic!r} under {0.key!r} already."""

    FIELDS = ("topic", "key", "pid")
    topic: str
    key: str
    pid: Any


class NotTracked(RegistrationError, LookupError):
    """{0.pid} is not present at {0.topic!r} under {0.key!r}."""

    FIELDS = ("topic", "key", "pid")
    topic: str
    key: str
    pid: Any


class SupervisionError(ClusterError):
    """A supervisor could not do what was asked of it."""


class AlreadyStarted(SupervisionError):
    """Already started as {0.pid}."""

    FIELDS = ("pid",)
    pid: Any


class ChildPresent(SupervisionError):
    """The supervisor has a child {0.id!r}, which is {0.state}; nothing was changed."""

    FIELDS = ("id", "state")
    id: str
    state: str


class StartFailed(SupervisionError):
    """{0.server} did not start: {0.reason!r}."""

    FIELDS = ("server", "reason")
    server: Any
    reason: Any


class MaxChildren(SupervisionError):
    """The supervisor has its maximum of {0.limit} children."""

    FIELDS = ("limit",)
    limit: int


class RestartsExceeded(SupervisionError):
    """Child {0.child!r} ended more than {0.max_restarts} times in {0.max_seconds} s."""

    FIELDS = ("child", "max_restarts", "max_seconds")
    child: Any
    max_restarts: int
    max_seconds: float


class QuorumLost(ClusterError):
    """Only {0.have} of the {0.need} members needed can be reached; nothing was changed."""

    FIELDS = ("have", "need")
    have: int
    need: int


class NoMember(ClusterError, LookupError):
    """No member can take this; retry after a nodeup."""


class InternalError(ClusterError):
    """A bug of zmqcluster: please report it."""


class CallRefused(ProcessError):
    """{0.server} refused the call: {0.kind}: {0.text}. The server goes on."""

    FIELDS = ("server", "kind", "text")
    server: Any
    kind: str
    text: str


class RequestFailed(ProcessError):
    """The request {0.label!r} failed: {0.error}. The collection goes on without it."""

    FIELDS = ("label", "error")
    label: Any
    error: Exception


class CallbackFailed(ProcessError):
    """{0.callback} raised {0.kind}: {0.text}. The server is as before."""

    FIELDS = ("callback", "kind", "text")
    callback: str
    kind: str
    text: str


class NotExported(ProcessError, LookupError):
    """{0.node} does not offer {0.function!r}; nothing ran there.

    Decorate it with ``@remote``, and import its module there too; of a server class, importing it is enough.
    """

    FIELDS = ("node", "function")
    node: str
    function: str


class RemoteBusy(ProcessError):
    """{0.node} runs {0.limit} functions for other nodes, its maximum; this one did not run."""

    FIELDS = ("node", "limit")
    node: str
    limit: int


class RemoteError(ProcessError):
    """{0.function} on {0.node} raised {0.kind}: {0.text}

    ``kind`` is the name of the exception's type, ``trace`` the text of its traceback. An exception of this package is
    there as ``error`` too, made anew; else that is None.
    """

    FIELDS = ("node", "function", "kind", "text", "trace", "error")
    node: str
    function: str
    kind: str
    text: str
    trace: str
    error: Any


class RemoteExit(ProcessError):
    """The process of the call on {0.node} ended with {0.reason!r} before it had a result.

    ``by_signal``: an exit signal ended it; else the function called ``exit``.
    """

    FIELDS = ("node", "reason", "by_signal")
    node: str
    reason: Any
    by_signal: bool


class Refusal(Exception):
    """Raised by a handler to let the call fail with ``error`` in the caller; the server goes on.

    Any other exception of a handler is a failure of the server. Across nodes, errors of this package arrive as they
    are, others as ``CallRefused`` with their kind and text.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


class ProcessExit(BaseException):
    """Unwinds a process that was told to end. Not an Exception: catching it does not keep the process alive."""

    def __init__(self, reason: Any) -> None:
        super().__init__(reason)
        self.reason = reason
