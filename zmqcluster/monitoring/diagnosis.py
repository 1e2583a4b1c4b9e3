"""Why does this node not connect to that one? Each cause by its name, with what to do about it.

    name ok? ──> connect ──> up ──> clocks agree? ──> no cause
      │             └─ no: was it refused?  version  cluster  name  cookie  firewall on the way back
      │                 └─ no word: dial    port: refused, or no node listens there      firewall: silence, no way
      └─ name                               silent: it listens, and does not answer

Rule: nothing is dialled by hand before a usual connection has failed, or gets no answer for a while: that shows in the
log over there.
"""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

from zmqcluster import telemetry
from zmqcluster.constants import DEFAULT_PORT
from zmqcluster.core import message
from zmqcluster.discovery.local import listing
from zmqcluster.errors import ClusterError, ConfigError, ConnectionFailed
from zmqcluster.ids import NodeName
from zmqcluster.protocol import handshake
from zmqcluster.runtime.addresses import dial_endpoints
from zmqcluster.runtime.current import connect, node
from zmqcluster.transport.addresses import resolve, tcp_address
from zmqcluster.transport.rundir import run_directory

__all__ = ["CAUSES", "Diagnosis", "diagnose"]

CONNECT_S_MAX = 9.0  # a node that cannot dial back says so when its set-up time, 7 s, is over
ANSWER_S_MAX = 2.0
DIAL_S_MAX = 2.0
GREETING_S_MAX = 1.0
CLOCK_S_MAX = 5.0  # clocks that differ by more are wrong; NTP keeps them within milliseconds

NAME: Final = "name"
PORT: Final = "port"
FIREWALL: Final = "firewall"
COOKIE: Final = "cookie"
VERSION: Final = "version"
CLUSTER: Final = "cluster"
CLOCK: Final = "clock"
SILENT: Final = "silent"
OTHER: Final = "other"

CAUSES: Mapping[str, str] = {
    NAME: "compare the name with `python -m zmqcluster ls` over there",
    PORT: "start the node, or give its port in the name",
    FIREWALL: "let both hosts reach each other's ports: each node dials the other. Has the node an allow list?",
    COOKIE: "give both nodes the same cookie and encryption; without encryption their clocks may differ by 2 minutes",
    VERSION: "upgrade the older node, one version at a time",
    CLUSTER: "give both nodes the same cluster=",
    CLOCK: "set the clocks by NTP: time decides between two registrations of one name, and what gossip is too old",
    SILENT: "look at the process: is it stopped, or in a debugger?",
    OTHER: "look into the logs of both nodes",
}
# Reasons of refusals, as in the log records, and their causes.
REFUSALS: Mapping[str, str] = {
    "cookie": COOKIE,
    handshake.NO_COMMON_VERSION: VERSION,
    handshake.WRONG_CLUSTER: CLUSTER,
    handshake.WRONG_NAME: NAME,
    handshake.OWN_NAME: NAME,
    handshake.NAME_TAKEN: NAME,
    handshake.IMPOSTOR: NAME,
    handshake.UNREACHABLE: FIREWALL,
}
NO_WAY = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EACCES, errno.EPERM, errno.EHOSTDOWN, errno.ETIMEDOUT)
ZMTP_SIGNATURE = b"\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f"  # Source: RFC 37, ZMTP 3.1; the length may be any
_numbers = count(1)


@message(tag="inspect.diagnosis")
@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found out, in its order, and the ``cause``, one of ``CAUSES``; None: the two nodes are connected."""

    target: str
    findings: tuple[str, ...]
    cause: str | None


class Undone(Exception):
    """The connection fails for ``cause``."""

    def __init__(self, cause: str, finding: str) -> None:
        super().__init__(cause, finding)
        self.cause = cause
        self.finding = finding


async def diagnose(target: str, clock_ms: Callable[[NodeName], Awaitable[int]]) -> Diagnosis:
    """Return why the node that runs this code does not connect to ``target``, by trying to.

    Args:
        clock_ms: asks a connected node for its time.
    """
    findings: list[str] = []
    try:
        name = await _checked_name(target, findings)
        await _connected(name, findings)
        await _checked_clock(name, findings, clock_ms)
    except Undone as undone:
        return Diagnosis(target, (*findings, undone.finding), undone.cause)
    return Diagnosis(target, tuple(findings), None)


async def _checked_name(target: str, findings: list[str]) -> NodeName:
    try:
        name = NodeName.parse(target)
        address = await resolve(name.host)
    except (ConfigError, ConnectionFailed) as error:
        raise Undone(NAME, str(error)) from None
    port = name.port or DEFAULT_PORT
    findings.append(f"{name} is at {address}, port {port}{'' if name.port else ', the default'}")
    return name


# --- connect


async def _connected(name: NodeName, findings: list[str]) -> None:
    with _refusals(name) as refusals:
        connecting = asyncio.ensure_future(connect(name, timeout_s=CONNECT_S_MAX))
        try:
            await asyncio.wait({connecting}, timeout=ANSWER_S_MAX)
            if is_slow := not connecting.done():
                await _dialled(name, findings)
            is_connected = await connecting
        finally:
            connecting.cancel()
    if is_connected:
        terms = node().terms(name)
        findings.append(f"connected, in version {terms.version if terms else '?'} of the protocol")
        return
    for reason, detail in refusals:
        if reason in REFUSALS and REFUSALS[reason] != COOKIE:
            raise Undone(REFUSALS[reason], f"the connection is refused: {detail}")
    if not is_slow:
        await _dialled(name, findings)
    if refusals:
        reason, detail = refusals[0]
        raise Undone(REFUSALS.get(reason, OTHER), f"it listens, but {detail}")
    own = " ".join(node().link_endpoints)
    raise Undone(SILENT, f"it does not answer: its loop hangs, or it cannot dial back, to {own}")


@contextmanager
def _refusals(name: NodeName) -> Iterator[list[tuple[str, str]]]:
    """The refusals of connections between this node and ``name``, as (reason, detail)."""
    found: list[tuple[str, str]] = []
    own, handler_id, event = node().name, f"diagnosis {next(_numbers)}", "zmqcluster.node.refused"

    def note(_: str, fields: Mapping[str, Any]) -> None:
        if (fields["node"], fields["peer"]) == (own, name):
            found.append((fields["reason"], fields["detail"]))

    telemetry.attach(handler_id, event, note)
    try:
        yield found
    finally:
        telemetry.detach(handler_id, event)


# --- dial by hand


async def _dialled(name: NodeName, findings: list[str]) -> None:
    """Raise Undone unless a node listens there, as far as can be told without a secret."""
    own = node().name
    assert own is not None
    endpoints = await dial_endpoints(own, run_directory(), name)
    for endpoint in endpoints:
        try:
            async with asyncio.timeout(DIAL_S_MAX):
                reader, writer = await _open(endpoint)
        except TimeoutError:
            raise Undone(FIREWALL, f"{endpoint} does not answer: what is sent there is dropped on the way") from None
        except OSError as error:
            if endpoint is endpoints[-1]:
                raise _why_not(name, endpoint, error) from None
            continue
        with closing(writer):
            await _greeted(endpoint, reader)
        findings.append(f"a node listens at {endpoint}")
        return


def _open(endpoint: str) -> Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    address = tcp_address(endpoint)
    if address is None:
        return asyncio.open_unix_connection(endpoint.removeprefix("ipc://"))
    return asyncio.open_connection(*address)


def _why_not(name: NodeName, endpoint: str, error: OSError) -> Undone:
    if error.errno in NO_WAY:
        return Undone(FIREWALL, f"there is no way to {endpoint}: {error.strerror}")
    return Undone(PORT, f"nobody listens at {endpoint}{_elsewhere(name)}")


def _elsewhere(name: NodeName) -> str:
    """Where the nodes of this host listen that are called the same before the @."""
    with suppress(ConfigError):
        called = [entry for entry in listing() if entry.is_alive and entry.name.partition("@")[0] == name.name]
        if called:
            found = ", ".join(f"{entry.name} at {' '.join(entry.endpoints)}" for entry in called)
            return f"; on this host there is {found}"
    return ""


async def _greeted(endpoint: str, reader: asyncio.StreamReader) -> None:
    said = b""
    try:
        async with asyncio.timeout(GREETING_S_MAX):
            said = await reader.readexactly(len(ZMTP_SIGNATURE))
    except asyncio.IncompleteReadError as error:
        said = error.partial
    except TimeoutError:
        raise Undone(SILENT, f"{endpoint} takes the connection and does not speak: the node is stopped") from None
    except OSError:
        pass  # it hung up
    if not said:
        raise Undone(FIREWALL, f"{endpoint} hangs up at once: this host is not allowed there, or a proxy finds nobody")
    if not (said[:1] == ZMTP_SIGNATURE[:1] and said[-1:] == ZMTP_SIGNATURE[-1:] and len(said) == len(ZMTP_SIGNATURE)):
        raise Undone(PORT, f"what listens at {endpoint} is no node, it says {said!r}")


# --- clock


async def _checked_clock(
    name: NodeName, findings: list[str], clock_ms: Callable[[NodeName], Awaitable[int]]
) -> None:
    began_ms = _now_ms()
    try:
        theirs_ms = await clock_ms(name)
    except ClusterError as error:
        findings.append(f"its clock was not looked at: {error}")
        return
    ahead_s = (theirs_ms - (began_ms + _now_ms()) / 2) / 1000
    if abs(ahead_s) > CLOCK_S_MAX:
        raise Undone(CLOCK, f"its clock is {abs(ahead_s):,.1f} s {'ahead of' if ahead_s > 0 else 'behind'} ours")
    findings.append("the clocks agree")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
