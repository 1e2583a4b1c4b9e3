"""What a node does: itself, its trees, and the processes with the longest queues; as a screen of text.

    top ──> a node of its own, that the others do not list ──look──> inspector of the node ──> Seen ──> lines of text
                                                                                                └──> top_screen

``top_screen`` shows the same with textual, where that is installed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, NamedTuple

from zmqcluster.errors import NoProcessError
from zmqcluster.ids import NodeName
from zmqcluster.monitoring import inspect
from zmqcluster.monitoring.columns import columns, size
from zmqcluster.monitoring.inspect import Branch, NodeInfo, Order, ProcessInfo
from zmqcluster.monitoring.visit import find, reach, visit

__all__ = ["PROCESS_COLUMNS", "Look", "Seen", "branch_title", "process_cells", "screen", "summary", "top", "watch"]

PROCESSES_SHOWN = 20
CHILDREN_SHOWN = 10
CHARACTERS_MAX = 60  # of a label
PROCESS_COLUMNS = ("PROCESS", "NAME", "STATUS", "QUEUED", "MEMORY", "LINKS", "CURRENT")


class Seen(NamedTuple):
    """One look at a node."""

    node: NodeInfo
    trees: Sequence[Branch]
    processes: Sequence[ProcessInfo]


Look = Callable[[Order], Awaitable[Seen]]  # the processes in this order


def top(
    name: str,
    tell: Callable[[str], None],
    *,
    every_s: float | None = None,
    **security: Any,
) -> None:
    """Tell what the node ``name`` of this host does, once or every ``every_s`` seconds until a signal comes.

    Raises:
        as ``watch``.
    """

    async def show(look: Look) -> None:
        while True:
            tell("\n".join(screen(*await look("queued"))))
            if every_s is None:
                return
            await asyncio.sleep(every_s)

    watch(name, show, **security)


def watch(name: str, show: Callable[[Look], Awaitable[None]], **security: Any) -> None:
    """Run ``show`` with a function that looks at the node ``name`` of this host.

    Args:
        name: its full name, or the part before the ``@`` of one that uses ``zc.Local()``.
        security: what ``Node`` needs to be let in: cookie, encryption.
    Raises:
        ConfigError: it is no name, or that of no node, or of several.
        ConnectionFailed: the node cannot be reached, or has another cookie.
        NoProcessError: it runs no inspector.
    """
    target = find(name)
    visit(_connect_and, show, target, toward=target, purpose="top", **security)


async def _connect_and(show: Callable[[Look], Awaitable[None]], target: NodeName) -> None:
    await reach(target)
    inspector = inspect.at(target)

    async def look(order: Order) -> Seen:
        try:
            return Seen(
                *await asyncio.gather(
                    inspector.node(),
                    inspector.tree(CHILDREN_SHOWN),
                    inspector.processes(order, PROCESSES_SHOWN),
                )
            )
        except NoProcessError:
            raise NoProcessError(f"{target}: it runs no inspector, start it with zc.run") from None

    await show(look)


def screen(node: NodeInfo, trees: Sequence[Branch], processes: Sequence[ProcessInfo]) -> Iterator[str]:
    """The lines of one screen."""
    yield from summary(node)
    yield ""
    for branch in trees:
        yield from _branch(branch, "")
    yield ""
    yield from columns(PROCESS_COLUMNS, [process_cells(process) for process in processes])
    if len(processes) < node.processes:
        yield f"... and {node.processes - len(processes)} with no longer queue"


def summary(node: NodeInfo) -> Iterator[str]:
    """The lines about the node as a whole."""
    yield f"{node.name}  os pid {node.os_pid}  {node.processes} processes  {node.dropped_messages} dropped messages"
    wrong = ", ".join(f"{count} {what}" for what, count in sorted(node.counters.items()) if count)
    if wrong:
        yield f"on the wire: {wrong}"
    for peer in node.peers:
        traffic = f"sent {size(peer.sent_bytes)}, received {size(peer.received_bytes)}"
        yield f"  connected to {peer.node}: {traffic}, waiting {size(peer.buffered_bytes)}"
    for registry in node.registries:
        yield f"  registry {registry.name} ({registry.kind}): {registry.count}"


def branch_title(branch: Branch) -> str:
    """One line for a supervised process."""
    title = " ".join(dict.fromkeys(filter(None, (branch.id, *branch.names))))
    state = "" if branch.state == "running" else f"  {branch.state}"
    return f"{branch.label or '-'}{f' ({title})' if title else ''}{state}"


def _branch(branch: Branch, indent: str) -> Iterator[str]:
    yield f"{indent}{branch_title(branch)}"
    for child in branch.children:
        yield from _branch(child, indent + "  ")
    if branch.left_out:
        yield f"{indent}  ... and {branch.left_out} more"


def process_cells(process: ProcessInfo) -> tuple[str, ...]:
    """One row of the table of processes, see ``PROCESS_COLUMNS``."""
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
