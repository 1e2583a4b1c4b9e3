"""What a node does, as a screen of text: the node, its trees, and the processes with the longest queues.

``show`` runs on a node of its own that the others do not list, asks the inspector of the node it looks at, and prints.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from zmqcluster.discovery.local import Entry, listing
from zmqcluster.errors import ConfigError, ConnectionFailed, NoProcessError
from zmqcluster.ids import NodeName
from zmqcluster.monitoring import inspect
from zmqcluster.monitoring.columns import columns, size
from zmqcluster.monitoring.inspect import Branch, NodeInfo, ProcessInfo
from zmqcluster.runtime.current import connect
from zmqcluster.runtime.run import run
from zmqcluster.runtime.timing import Timing

__all__ = ["screen", "show", "top"]

PROCESSES_SHOWN = 20
CHILDREN_SHOWN = 10
CHARACTERS_MAX = 60  # of a label
TIMEOUT_S = 5.0
# The node looked at may have any timing: beat as often as its quickest preset wants, be as patient as its slowest.
PATIENT = Timing.of(Timing.local().beat_ms, beats_lost=100, delay_ms=2_000)


class AnyPort:
    """A topology that finds nobody, for a node that may listen at any port."""

    any_port = True

    async def start(self, node: Any) -> None:
        """There is nothing to find."""

    async def stop(self) -> None:
        """There was nothing to find."""


def top(
    name: str,
    tell: Callable[[str], None],
    *,
    cookie: str | None = None,
    every_s: float | None = None,
) -> None:
    """Print what the node ``name`` of this host does, once or every ``every_s`` seconds until a signal comes.

    Args:
        name: its full name, or the part before the ``@`` of one that uses ``zc.Local()``.
        tell: is given each screen.
    Raises:
        ConfigError: it is no name, or that of no node, or of several.
        ConnectionFailed: the node cannot be reached, or has another cookie.
        NoProcessError: it runs no inspector.
    """
    target = find(name)
    run(
        show,
        target,
        tell,
        every_s,
        name=f"top-{os.getpid()}@{target.host}",
        cookie=cookie,
        topologies=[AnyPort()],
        timing=PATIENT,
        hidden=True,
    )


def find(name: str) -> NodeName:
    """The full name that ``name`` stands for. Raises ConfigError."""
    if "@" in name:
        return NodeName.parse(name)
    found = [entry.name for entry in listing() if _is_called(entry, name)]
    if len(found) != 1:
        raise ConfigError(f"{len(found)} nodes of this host are called {name!r}: {', '.join(found) or 'try ls'}")
    return NodeName.parse(found[0])


def _is_called(entry: Entry, name: str) -> bool:
    return entry.is_alive and entry.name.partition("@")[0] == name


async def show(target: NodeName, tell: Callable[[str], None], every_s: float | None) -> None:
    """Tell what ``target`` does, again and again unless ``every_s`` is None."""
    if not await connect(target, timeout_s=TIMEOUT_S):
        raise ConnectionFailed(target, "nobody there, or its cookie is not ours (--cookie, ZMQCLUSTER_COOKIE)")
    inspector = inspect.at(target)
    while True:
        try:
            seen = await asyncio.gather(
                inspector.node(),
                inspector.tree(CHILDREN_SHOWN),
                inspector.processes("queued", PROCESSES_SHOWN),
            )
        except NoProcessError:
            raise NoProcessError(f"{target}: it runs no inspector, start it with zc.run") from None
        tell("\n".join(screen(*seen)))
        if every_s is None:
            return
        await asyncio.sleep(every_s)


def screen(node: NodeInfo, trees: Sequence[Branch], processes: Sequence[ProcessInfo]) -> Iterator[str]:
    """The lines of one screen."""
    yield f"{node.name}  os pid {node.os_pid}  {node.processes} processes  {node.dropped_messages} dropped messages"
    wrong = ", ".join(f"{count} {what}" for what, count in sorted(node.counters.items()) if count)
    if wrong:
        yield f"on the wire: {wrong}"
    for peer in node.peers:
        traffic = f"sent {size(peer.sent_bytes)}, received {size(peer.received_bytes)}"
        yield f"  connected to {peer.node}: {traffic}, waiting {size(peer.buffered_bytes)}"
    for registry in node.registries:
        yield f"  registry {registry.name} ({registry.kind}): {registry.count}"
    yield ""
    for branch in trees:
        yield from _branch(branch, "")
    yield ""
    header = ("PROCESS", "NAME", "STATUS", "QUEUED", "MEMORY", "LINKS", "CURRENT")
    yield from columns(header, [_row(process) for process in processes])
    if len(processes) < node.processes:
        yield f"... and {node.processes - len(processes)} with no longer queue"


def _branch(branch: Branch, indent: str) -> Iterator[str]:
    title = " ".join(dict.fromkeys(filter(None, (branch.id, *branch.names))))
    state = "" if branch.state == "running" else f"  {branch.state}"
    yield f"{indent}{branch.label or '-'}{f' ({title})' if title else ''}{state}"
    for child in branch.children:
        yield from _branch(child, indent + "  ")
    if branch.left_out:
        yield f"{indent}  ... and {branch.left_out} more"


def _row(process: ProcessInfo) -> tuple[str, ...]:
    name = " ".join(process.names) or process.label
    return (
        f"{process.pid.id & 0xFFFFFFFF}.{process.pid.id >> 32}",
        name if len(name) <= CHARACTERS_MAX else f"{name[:CHARACTERS_MAX]}…",
        process.status,
        str(process.queued),
        size(process.memory_bytes),
        str(len(process.links)),
        process.current or "",
    )
