"""Child specifications: how a supervisor starts a child, when it starts it again, and how it stops it.

Accepted where children are listed: a ``ChildSpec``; a GenServer class (no arguments, its name is the id); a tuple of
class and arguments; an object with a ``child_spec()``. Source: OTP supervisor, Elixir Supervisor.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, get_args, runtime_checkable

from zmqcluster.errors import ConfigError
from zmqcluster.exits import is_expected
from zmqcluster.otp.gen_server import GenServer
from zmqcluster.runtime.process import Via

__all__ = ["Child", "ChildSpec", "Restart", "child_spec", "child_specs", "starts_again"]

Restart = Literal["permanent", "transient", "temporary"]
Kind = Literal["worker", "supervisor"]

SHUTDOWN_S = 5.0  # a worker's time to stop in order. Source: supervisor, default shutdown


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """One child of a supervisor.

    Args:
        id: unique in its supervisor.
        server: the class to start, with ``args`` and ``kwargs`` for its init.
        name: registered before init, as for ``GenServer.start``.
        restart: ``permanent`` always, ``transient`` after an abnormal end only, ``temporary`` never.
        shutdown_s: seconds to stop in order before it is killed; 0 kills at once, None waits for ever.
            By default 5 for a worker and None for a supervisor.
        kind: ``worker`` or ``supervisor``; by default what the class is.
        start_timeout_s: seconds its init may take; one that takes longer is killed, and did not start. None: no limit.
        significant: its end may end the supervisor, see ``auto_shutdown`` there; not for a permanent child.
    """

    id: str
    server: type[GenServer]
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    name: str | Via | None = None
    restart: Restart = "permanent"
    shutdown_s: float | Literal["default"] | None = "default"
    kind: Kind | Literal["default"] = "default"
    significant: bool = False
    start_timeout_s: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.id, str) or not self.id:
            raise ConfigError(f"child spec: id is a non-empty string, not {self.id!r}")
        if not (isinstance(self.server, type) and issubclass(self.server, GenServer)):
            raise ConfigError(f"child {self.id!r}: server is a GenServer class, not {self.server!r}")
        if self.restart not in get_args(Restart):
            raise ConfigError(f"child {self.id!r}: restart is one of {get_args(Restart)}, not {self.restart!r}")
        if self.significant and self.restart == "permanent":
            raise ConfigError(f"child {self.id!r}: a permanent child cannot be significant, it never ends by itself")
        if self.kind == "default":
            object.__setattr__(self, "kind", _kind(self.server))
        elif self.kind not in get_args(Kind):
            raise ConfigError(f"child {self.id!r}: kind is one of {get_args(Kind)}, not {self.kind!r}")
        if self.shutdown_s == "default":
            object.__setattr__(self, "shutdown_s", None if self.kind == "supervisor" else SHUTDOWN_S)
        elif self.shutdown_s is not None and not _is_duration(self.shutdown_s):
            raise ConfigError(f"child {self.id!r}: shutdown_s is None or at least 0, not {self.shutdown_s!r}")
        if self.start_timeout_s is not None and not _is_duration(self.start_timeout_s):
            raise ConfigError(f"child {self.id!r}: start_timeout_s is None or at least 0, not {self.start_timeout_s!r}")
        if self.name is not None and not (isinstance(self.name, str) and self.name) and not isinstance(self.name, Via):
            raise ConfigError(f"child {self.id!r}: name is a non-empty string or a Via, not {self.name!r}")


@runtime_checkable
class _Specified(Protocol):
    def child_spec(self) -> ChildSpec: ...


Child = ChildSpec | type[GenServer] | tuple[Any, ...] | _Specified


def child_spec(child: Child) -> ChildSpec:
    """The specification that ``child`` stands for. Raises ConfigError when it stands for none."""
    match child:
        case ChildSpec():
            return child
        case type() if issubclass(child, GenServer):
            return ChildSpec(child.__qualname__, child)
        case (type() as server, *arguments) if issubclass(server, GenServer):
            return ChildSpec(server.__qualname__, server, tuple(arguments))
        case _Specified():
            return child.child_spec()
    raise ConfigError(
        f"{child!r} is not a child: give a ChildSpec, a GenServer class, (class, *arguments), "
        "or an object with child_spec()"
    )


def _is_duration(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


def _kind(server: type[GenServer]) -> Kind:
    return "supervisor" if getattr(server, "is_supervisor", False) else "worker"


def child_specs(children: Iterable[Child]) -> list[ChildSpec]:
    """The specifications of ``children``, with distinct ids."""
    specs = [child_spec(child) for child in children]
    seen: set[str] = set()
    for spec in specs:
        if spec.id in seen:
            raise ConfigError(f"child id {spec.id!r} is used twice: give each child of a supervisor its own id")
        seen.add(spec.id)
    return specs


def starts_again(restart: Restart, reason: object) -> bool:
    """Whether a child with this ``restart`` is started again after it ended with ``reason``."""
    return restart == "permanent" or (restart == "transient" and not is_expected(reason))
