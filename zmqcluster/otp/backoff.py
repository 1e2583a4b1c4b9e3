"""Back-off: how long a supervisor waits before it starts a child again.

    ends ── first_s ──> ends ── first_s × factor ──> ends ── first_s × factor² ──> ... ── max_s at most
     ^                                                                                  │
     └────────────────────── it had lived reset_after_s ────────────────────────────────┘

For what fails because something else is away, and would only fail again at once. OTP's supervisors know no back-off:
they start again at once, and give up sooner. Each child has its own; there is no randomness in it.
"""

from __future__ import annotations

from dataclasses import dataclass

from zmqcluster.errors import ConfigError

__all__ = ["Backoff", "check_backoff"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """The ``backoff`` of a Supervisor or DynamicSupervisor: growing waits between the restarts of one child.

    Args:
        first_s: before the first restart, more than 0.
        factor: each wait is so many times the last, at least 1.
        max_s: the longest wait.
        reset_after_s: a child that lived so long begins with ``first_s`` again; by default ``max_s``.
    Raises:
        ConfigError: a value is none of these.
    """

    first_s: float = 0.1
    factor: float = 2.0
    max_s: float = 30.0
    reset_after_s: float | None = None

    def __post_init__(self) -> None:
        reset_after_s = self.max_s if self.reset_after_s is None else self.reset_after_s
        _check(self, _is_at_least(0, self.first_s) and self.first_s != 0, "first_s is more than 0")
        _check(self, _is_at_least(1, self.factor), "factor is at least 1")
        _check(self, _is_at_least(self.first_s, self.max_s), "max_s is at least first_s")
        _check(self, _is_at_least(0, reset_after_s) and reset_after_s != 0, "reset_after_s is None or more than 0")

    def after_s(self, last_s: float | None) -> float:
        """The wait that follows one of ``last_s``; None: the first."""
        return self.first_s if last_s is None else min(last_s * self.factor, self.max_s)

    def is_over(self, lived_s: float) -> bool:
        """Whether a child that lived so long begins anew."""
        return lived_s >= (self.max_s if self.reset_after_s is None else self.reset_after_s)


def check_backoff(backoff: object) -> None:
    """Raises ConfigError for what is neither a Backoff nor None."""
    if backoff is not None and not isinstance(backoff, Backoff):
        raise ConfigError(f"backoff is None or a Backoff(first_s=..., factor=..., max_s=...), not {backoff!r}")


def _check(backoff: Backoff, holds: bool, rule: str) -> None:
    if not holds:
        raise ConfigError(f"Backoff: {rule}; got {backoff}")


def _is_at_least(least: float, value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= least
