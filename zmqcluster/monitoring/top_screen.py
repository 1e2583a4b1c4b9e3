"""``top`` as a live screen, with textual: the extra ``zmqcluster[tui]``.

    ┌ the node, its peers and registries ──────────────────────┐
    ├ its supervision trees ──┬ its processes, longest queue ──┤
    └ q quit  o order  p pause ────────────────────────────────┘

Rule: the screen looks again ``every_s`` seconds after the last look came back, never twice at a time; what it shows is
what plain ``top`` prints.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any, ClassVar

from textual import work
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.widgets import DataTable, Footer, Static, Tree
from textual.widgets.tree import TreeNode

from zmqcluster.monitoring.inspect import Branch, Order
from zmqcluster.monitoring.top import PROCESS_COLUMNS, Look, Seen, branch_title, process_cells, summary, watch

__all__ = ["TopScreen", "top_screen"]

ORDERS: tuple[Order, ...] = ("queued", "memory_bytes", "pid")


def top_screen(name: str, *, every_s: float = 1.0, **security: Any) -> None:
    """Show what the node ``name`` of this host does until the user has seen enough. Raises as ``top.watch``."""

    async def show(look: Look) -> None:
        await look("queued")  # what is wrong with the connection is said before the screen comes up
        logging.getLogger("zmqcluster").addHandler(logging.NullHandler())  # or logs would be printed across it
        screen = TopScreen(look, every_s)
        await screen.run_async()
        if screen.failure is not None:
            raise screen.failure

    watch(name, show, **security)


class TopScreen(App[None]):
    """The screen; ``failure`` is why it has ended by itself."""

    CSS = """
    #summary { height: auto; padding: 0 1; background: $boost; }
    #trees { width: 2fr; }
    #processes { width: 5fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        ("q", "quit", "Quit"),
        ("o", "order", "Order"),
        ("p", "pause", "Pause"),
    ]
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, look: Look, every_s: float) -> None:
        super().__init__()
        self.failure: Exception | None = None
        self._look = look
        self._every_s = every_s
        self._order: Order = ORDERS[0]
        self._is_paused = False
        self._again = asyncio.Event()

    def compose(self) -> ComposeResult:
        yield Static(id="summary", markup=False)
        with Horizontal():
            yield Tree[None]("trees", id="trees")
            yield DataTable[str](id="processes", cursor_type="row", zebra_stripes=True)
        yield Footer()

    def on_mount(self) -> None:
        self.query_one("#trees", Tree).show_root = False
        self.query_one(DataTable).add_columns(*PROCESS_COLUMNS)
        self._look_on()

    def action_order(self) -> None:
        """Order the processes by the next of queue, memory and pid."""
        self._order = ORDERS[(ORDERS.index(self._order) + 1) % len(ORDERS)]
        self._again.set()

    def action_pause(self) -> None:
        """Stand still, or go on."""
        self._is_paused = not self._is_paused
        self._again.set()

    @work
    async def _look_on(self) -> None:
        while self.failure is None:
            try:
                self.show(await self._look(self._order))
            except Exception as failure:
                self.failure = failure
                self.exit()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._again.wait(), None if self._is_paused else self._every_s)
            self._again.clear()

    def show(self, seen: Seen) -> None:
        """Bring the screen up to date."""
        paused = "  paused" if self._is_paused else ""
        lines = [*summary(seen.node), f"processes by {self._order}{paused}"]
        self.query_one("#summary", Static).update("\n".join(lines))
        trees = self.query_one("#trees", Tree)
        trees.clear()
        for branch in seen.trees:
            _grow(trees.root, branch)
        table = self.query_one(DataTable)
        row = table.cursor_row
        table.clear()
        table.add_rows([process_cells(process) for process in seen.processes])
        table.move_cursor(row=row)


def _grow(parent: TreeNode[None], branch: Branch) -> None:
    if not branch.children and not branch.left_out:
        parent.add_leaf(branch_title(branch))
        return
    node = parent.add(branch_title(branch), expand=True)
    for child in branch.children:
        _grow(node, child)
    if branch.left_out:
        node.add_leaf(f"... and {branch.left_out} more")
