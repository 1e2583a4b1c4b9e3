"""Exit reasons: the values that travel to links and monitors when a process ends.

A reason may be any message value; the ones below have a meaning of their own. ``Normal`` and ``Shutdown`` are
expected ends: no crash report, and a transient child is not restarted. Source: OTP "Processes: Errors".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "BadReturn",
    "Crashed",
    "ExitReason",
    "Kill",
    "Killed",
    "NameConflict",
    "NoConnection",
    "NoProcess",
    "Normal",
    "Shutdown",
    "TimedOut",
    "is_expected",
]


class ExitReason:
    """Base of the reasons this package defines; a process may exit with any other value too."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Normal(ExitReason):
    """The process returned, or asked to end in order."""


@dataclass(frozen=True, slots=True)
class Shutdown(ExitReason):
    """Asked to stop by its supervisor or its application; ``detail`` says why."""

    detail: Any = None


@dataclass(frozen=True, slots=True)
class Kill(ExitReason):
    """Sent with ``exit(pid, Kill())``: ends the process whether it traps exits or not; others then see ``Killed``."""


@dataclass(frozen=True, slots=True)
class Killed(ExitReason):
    """The process was ended by ``Kill``."""


@dataclass(frozen=True, slots=True)
class NoProcess(ExitReason):
    """There was no such process when it was linked, monitored or called. OTP: ``noproc``."""


@dataclass(frozen=True, slots=True)
class NoConnection(ExitReason):
    """The link to the node went down; the process there may still live. OTP: ``noconnection``."""

    node: str = ""


@dataclass(frozen=True, slots=True)
class TimedOut(ExitReason):
    """What the process waited for did not come in time; ``detail`` says what."""

    detail: Any = None


@dataclass(frozen=True, slots=True)
class NameConflict(ExitReason):
    """Two owners of one unique name met; this one lost to ``winner``. Counts as an orderly end."""

    key: Any
    value: Any
    registry: str
    winner: Any


@dataclass(frozen=True, slots=True)
class BadReturn(ExitReason):
    """A callback returned what its contract does not allow."""

    callback: str
    value: str


@dataclass(frozen=True, slots=True)
class Crashed(ExitReason):
    """An exception ended the process. ``exception`` stays on the node where it was raised."""

    kind: str
    text: str
    trace: str = field(default="", repr=False)
    exception: BaseException | None = field(default=None, compare=False, repr=False)


def is_expected(reason: object) -> bool:
    """Whether ``reason`` is an orderly end: no crash report, and a transient child is not restarted."""
    return isinstance(reason, Normal | Shutdown | NameConflict)
