"""Change the cookie of a running cluster: one step after the other, each on all nodes.

    await keyring.add(new)        every node accepts it too
    await keyring.use(new)        every node listens and dials with it; connections that are up go on
    await keyring.remove(old)     no node accepts the old one for a new connection

Each step tells on how many of the nodes it was done. It is idempotent: where a node was away, do it again when it is
back, and take the next step only when all have taken this one. A node that starts meanwhile is given both cookies.

The new cookie travels over the links, so it is refused where they are not encrypted; there, change ``node().keyring``
on each node. Source: serf's ``keys -install``, ``-use`` and ``-remove``.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Literal

from zmqcluster.errors import UsageError
from zmqcluster.otp import erpc
from zmqcluster.runtime.current import node, nodes
from zmqcluster.runtime.exported import remote
from zmqcluster.transport.curve import derive
from zmqcluster.transport.keyring import Keyring

__all__ = ["KeyringReport", "add", "ids", "remove", "use"]

Step = Literal["add", "use", "remove", "ids"]
TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class KeyringReport:
    """What became of one step.

    Attributes:
        ids: node -> the ids of its cookies after the step, the one it uses first; only nodes that took the step.
        failed: node -> why it did not.
    """

    ids: dict[str, tuple[str, ...]]
    failed: dict[str, str]

    @property
    def is_complete(self) -> bool:
        """Whether all nodes took the step."""
        return not self.failed

    def __str__(self) -> str:
        problems = "".join(f"; {name}: {problem}" for name, problem in sorted(self.failed.items()))
        return f"{len(self.ids)} of {len(self.ids) + len(self.failed)} nodes{problems}"


async def add(cookie: str | bytes) -> KeyringReport:
    """Let this node and all connected ones accept ``cookie`` too.

    Raises:
        UsageError: this node has no cookie, or its links are not all encrypted; nothing was done.
        ConfigError: the cookie is empty.
    """
    return await _everywhere("add", cookie)


async def use(cookie: str | bytes) -> KeyringReport:
    """Let this node and all connected ones use ``cookie``, which each has on its keyring. Raises as ``add``."""
    return await _everywhere("use", cookie)


async def remove(cookie: str | bytes) -> KeyringReport:
    """Let this node and all connected ones accept ``cookie`` no more; none uses it. Raises as ``add``."""
    return await _everywhere("remove", cookie)


async def ids() -> KeyringReport:
    """Ask this node and all connected ones for the ids of their cookies. Raises as ``add``."""
    return await _everywhere("ids", b"")


async def _everywhere(step: Step, cookie: str | bytes) -> KeyringReport:
    own = node()
    _keyring()
    if own.encryption != "curve":
        raise UsageError("a cookie is not sent over links that are not encrypted: change node().keyring on each node")
    names = [str(own.name), *nodes()]
    outcomes = zip(names, await erpc.multicall(names, _step, step, cookie, timeout_s=TIMEOUT_S), strict=True)
    report = KeyringReport({}, {})
    for name, outcome in outcomes:
        if isinstance(outcome, erpc.Returned):
            report.ids[name] = outcome.value
        else:
            report.failed[name] = str(outcome.error)
    return report


@remote(name="zmqcluster.keyring")
async def _step(step: Step, cookie: str | bytes) -> tuple[str, ...]:
    keyring = _keyring()
    if step != "ids":
        await asyncio.to_thread(derive, cookie)  # takes 50 ms the first time, which the loop need not wait for
        {"add": keyring.add, "use": keyring.use, "remove": keyring.remove}[step](cookie)
    return keyring.ids()


def _keyring() -> Keyring:
    keyring = node().keyring
    if keyring is None:
        raise UsageError("this node has no cookie")
    return keyring
