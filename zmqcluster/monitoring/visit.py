"""A node of our own, to look at others: hidden, at any free port, with a patience for every timing.

    visit(look, target, cookie=...)  ──>  hidden node  ──>  look(target) as its first process  ──>  its result

Those it connects to neither list it nor tell others of it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from zmqcluster.discovery.local import Entry, listing
from zmqcluster.errors import ConfigError, ConnectionFailed
from zmqcluster.ids import NodeName
from zmqcluster.runtime.current import connect, node
from zmqcluster.runtime.run import run
from zmqcluster.runtime.timing import Timing
from zmqcluster.transport.addresses import is_loopback

__all__ = ["PATIENT", "TIMEOUT_S", "find", "reach", "visit"]

T = TypeVar("T")

TIMEOUT_S = 5.0
NOWHERE_PORT = 9  # of the datagram that is never sent
# The node looked at may have any timing: beat as often as its quickest preset wants, be as patient as its slowest.
PATIENT = Timing.of(Timing.local().beat_ms, beats_lost=100, delay_ms=2_000)


class AnyPort:
    """A topology that finds nobody, for a node that may listen at any port."""

    any_port = True

    async def start(self, node: Any) -> None:
        """There is nothing to find."""

    async def stop(self) -> None:
        """There was nothing to find."""


def visit(
    look: Callable[..., Awaitable[T]],
    *arguments: Any,
    toward: NodeName | None = None,
    purpose: str = "visit",
    cookie: str | bytes | None = None,
    **options: Any,
) -> T:
    """Return the result of ``look(*arguments)``, run on a hidden node of our own.

    Args:
        toward: a node that must be able to reach ours; None: one of this host.
        purpose: the beginning of our node's name, which shows in the logs of others.
        options: of ``Node``.
    Raises:
        ConfigError: ``toward`` is on another host, and there is no cookie.
    """
    host = "127.0.0.1" if toward is None else _own_address(toward.host)
    options = {"timing": PATIENT, "hidden": True, "topologies": [AnyPort()], **options}
    result: T = run(look, *arguments, name=f"{purpose}-{os.getpid()}@{host}", cookie=cookie, **options)
    return result


def _own_address(host: str) -> str:
    """Which of our addresses ``host`` would see. Nothing is sent."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, NOWHERE_PORT, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(address)
            own = str(probe.getsockname()[0])
    except OSError:
        return "127.0.0.1"  # the name is unknown or there is no way: to connect will fail, and say why
    if is_loopback(own):
        own = host if host.startswith("127.") else own
    return f"[{own}]" if ":" in own else own


def find(name: str) -> NodeName:
    """The full name that ``name`` stands for: itself, or that of the node of this host that is called so before its @.

    Raises:
        ConfigError: it is no name, or that of no node, or of several.
    """
    if "@" in name:
        return NodeName.parse(name)
    found = [entry.name for entry in listing() if _is_called(entry, name)]
    if len(found) != 1:
        raise ConfigError(f"{len(found)} nodes of this host are called {name!r}: {', '.join(found) or 'try ls'}")
    return NodeName.parse(found[0])


def _is_called(entry: Entry, name: str) -> bool:
    return entry.is_alive and entry.name.partition("@")[0] == name


async def reach(target: str) -> None:
    """Connect to ``target``.

    Raises:
        ConnectionFailed: it is not there, or does not let us in; the message says why.
    """
    if not await connect(target, timeout_s=TIMEOUT_S):
        problem = node().last_problem(target) or f"no answer within {TIMEOUT_S:g} s"
        raise ConnectionFailed(target, f"{problem} (to find out: python -m zmqcluster doctor {target})")
