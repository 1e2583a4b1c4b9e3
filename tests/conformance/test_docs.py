"""The code of the documentation runs.

A page's blocks opened with ``python runnable`` are run in their order, in one namespace, as one program would be; a
``text`` block right after one is what it prints.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [page for page in sorted((ROOT / "docs").glob("*.md")) if "```python runnable" in page.read_text("utf-8")]
BLOCK = re.compile(r"^```python runnable\n(.*?)^```\n(?:\n?```text\n(.*?)^```$)?", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code, the line it begins at, and what it is to print; None: that is not said."""

    line: int
    code: str
    output: str | None


def blocks(text: str) -> Iterator[Block]:
    for found in BLOCK.finditer(text):
        yield Block(text.count("\n", 0, found.start()) + 2, found[1], found[2])


def run_page(page: str, text: str) -> None:
    """Run the blocks of a page; an error names the page and the line."""
    module = ModuleType(f"docs_{page.removesuffix('.md')}")
    with module_in_place(module):
        for block in blocks(text):
            printed = io.StringIO()
            code = compile("\n" * (block.line - 1) + block.code, f"docs/{page}", "exec", dont_inherit=True)
            with contextlib.redirect_stdout(printed):
                exec(code, vars(module))
            if block.output is not None:
                assert printed.getvalue() == block.output, f"docs/{page}:{block.line}"


@contextlib.contextmanager
def module_in_place(module: ModuleType) -> Iterator[None]:
    """Dataclasses look for their module; the crashes a page shows on purpose are not to be told."""
    sys.modules[module.__name__] = module
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        del sys.modules[module.__name__]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_blocks_of_page_run(page: Path) -> None:
    run_page(page.name, page.read_text(encoding="utf-8"))


def test_blocks_share_names_and_their_output_is_compared() -> None:
    text = "```python runnable\nx = 1\n```\nwords\n\n```python runnable\nprint(x)\n```\n\n```text\n2\n```\n"
    assert [block.line for block in blocks(text)] == [2, 7]
    with pytest.raises(AssertionError, match=r"docs/page\.md:7"):
        run_page("page.md", text)
    run_page("page.md", text.replace("2", "1"))


def test_block_that_is_not_marked_is_left_alone() -> None:
    assert list(blocks("```python\nnonsense\n```\n")) == []
