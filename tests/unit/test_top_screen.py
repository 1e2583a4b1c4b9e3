"""The textual screen of ``top``, driven by textual's pilot; the data is made up."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.test_top import NODE, WORKER
from zmqcluster.errors import NoProcessError
from zmqcluster.monitoring.inspect import Branch, Order
from zmqcluster.monitoring.top import Seen

pytest.importorskip("textual", reason="textual is not installed: pip install 'zmqcluster[tui]'")

from textual.widgets import DataTable, Static, Tree

from zmqcluster.monitoring.top_screen import TopScreen

LEDGER = Branch("accounts", WORKER.pid, "Ledger", ("accounts",), "worker", "running")
BOOKS = Branch(None, WORKER.pid, "Books", (), "supervisor", "running", (LEDGER,), 7)
OTHER = replace(WORKER, names=("receipts",), queued=1)


class Looked:
    """Looks, and remembers in which order it was asked for processes."""

    def __init__(self) -> None:
        self.orders: list[Order] = []
        self.failure: Exception | None = None

    async def __call__(self, order: Order) -> Seen:
        self.orders.append(order)
        if self.failure is not None:
            raise self.failure
        return Seen(NODE, [BOOKS], [WORKER, OTHER] if order == "queued" else [OTHER])


async def until_shown(pilot: Any, text: str) -> None:
    """Let the screen work until its summary says so."""
    for _ in range(100):
        if text in str(pilot.app.query_one("#summary", Static).content):
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"never shown: {text}")


def test_screen_shows_the_node_its_trees_and_its_processes() -> None:
    async def main() -> None:
        app = TopScreen(Looked(), every_s=3600)
        async with app.run_test(size=(120, 30)) as pilot:
            await until_shown(pilot, "a@h:1  os pid 4711")
            tree = app.query_one("#trees", Tree)
            (books,) = tree.root.children
            assert str(books.label) == "Books"
            assert [str(child.label) for child in books.children] == ["Ledger (accounts)", "... and 7 more"]
            table = app.query_one(DataTable)
            assert [table.get_row_at(row)[1:4] for row in range(table.row_count)] == [
                ["accounts", "waiting", "12"],
                ["receipts", "waiting", "1"],
            ]
            await pilot.press("q")
        assert app.failure is None

    asyncio.run(main())


def test_screen_orders_by_another_column_and_stands_still_when_paused() -> None:
    async def main() -> None:
        look = Looked()
        app = TopScreen(look, every_s=0.05)
        async with app.run_test(size=(120, 30)) as pilot:
            await until_shown(pilot, "processes by queued")
            await pilot.press("p")
            await until_shown(pilot, "paused") if False else await pilot.pause()
            count = len(look.orders)
            await asyncio.sleep(0.1)
            assert len(look.orders) == count
            await pilot.press("o")
            await until_shown(pilot, "processes by memory_bytes  paused")
            assert look.orders[count:] == ["memory_bytes"]
            assert app.query_one(DataTable).row_count == 1
            await pilot.press("p")
            while len(look.orders) < count + 3:
                await asyncio.sleep(0.01)

    asyncio.run(main())


def test_screen_when_the_node_is_gone_then_it_ends_and_says_why() -> None:
    async def main() -> None:
        look = Looked()
        look.failure = NoProcessError("orders")
        app = TopScreen(look, every_s=3600)
        async with app.run_test(size=(120, 30)):
            for _ in range(100):
                if app.failure is not None:
                    break
                await asyncio.sleep(0.01)
        assert app.failure is look.failure

    asyncio.run(main())
