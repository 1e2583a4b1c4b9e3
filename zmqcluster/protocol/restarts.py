"""Whether a child that ended starts again: the table of OTP's supervisor, and the limit, here per child.

    ended with              permanent   transient   temporary
    Normal, Shutdown(...)   again       -           -
    anything else           again       again       -

More than ``max_restarts`` within ``max_restarts_ms`` and the child has failed; its siblings never notice. Source: OTP
supervisor, where the limit is the supervisor's and one bad child ends all others (erlang/otp#6123).
"""

from __future__ import annotations

from zmqcluster.exits import is_expected
from zmqcluster.protocol.children import Plan

__all__ = ["PERMANENT", "RESTARTS", "TEMPORARY", "TRANSIENT", "exceeds", "restarts"]

PERMANENT = "permanent"
TRANSIENT = "transient"
TEMPORARY = "temporary"

# By whether the end was expected.
RESTARTS = {
    PERMANENT: {True: True, False: True},
    TRANSIENT: {True: False, False: True},
    TEMPORARY: {True: False, False: False},
}


def restarts(plan: Plan, reason: object) -> bool:
    """Whether a child that ended with ``reason`` starts again."""
    return RESTARTS[plan.restart][is_expected(reason)]


def exceeds(plan: Plan, restarted_ms: list[int], now_ms: int) -> bool:
    """Note a restart in ``restarted_ms``, forget those out of the window; return whether they are too many."""
    restarted_ms.append(now_ms)
    while restarted_ms[0] <= now_ms - plan.max_restarts_ms:
        del restarted_ms[0]
    return len(restarted_ms) > plan.max_restarts
