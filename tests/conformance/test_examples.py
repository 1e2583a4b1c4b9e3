"""The small examples print what their last lines say they do."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.test_readme import ROOT, run_python

EXAMPLES = sorted((ROOT / "examples").glob("0[1-46]_*.py"))
LINES_MAX = 120


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_example_prints_its_output(example: Path) -> None:
    ran = run_python(str(example))
    assert (ran.stdout.splitlines(), ran.returncode) == (promised(example.read_text(encoding="utf-8")), 0), ran.stderr


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_example_is_short(example: Path) -> None:
    assert len(example.read_text(encoding="utf-8").splitlines()) <= LINES_MAX


def promised(text: str) -> list[str]:
    """Return the lines of the block ``Output:`` at the end, a comment or a docstring."""
    before, found, block = text.rpartition("Output:\n")
    assert found, "the example ends with a block 'Output:'"
    if before.endswith("# "):
        return [line.removeprefix("#").removeprefix(" ") for line in block.splitlines()]
    lines = block.rpartition('"""')[0].splitlines()
    return [line for line in lines if line.strip()]


def test_promised_reads_comments_and_docstrings() -> None:
    assert promised("print(1)\n\n# Output:\n# a\n#   b\n") == ["a", "  b"]
    assert promised('print(1)\n"""\nOutput:\n\na\n"""\n') == ["a"]
    with pytest.raises(AssertionError):
        promised("print(1)\n")
