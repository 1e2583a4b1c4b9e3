"""What the README and the examples promise is what they do."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


def run_python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a Python program with the package of this tree."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment, timeout=60)


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_smallest_program_prints_what_the_readme_says() -> None:
    (program,) = blocks("python")
    expected = blocks("text")[-1]
    ran = run_python("-c", program)
    assert (ran.stdout, ran.stderr, ran.returncode) == (expected, "", 0)


def test_hello_example_prints_its_lines() -> None:
    ran = run_python(str(ROOT / "examples" / "01_hello.py"))
    assert ran.stdout.splitlines() == ["Processed: $1000.00, Zakat: $25.00", "The processor ended: Normal()"]
    assert (ran.stderr, ran.returncode) == ("", 0)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_of_page_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_commands_of_readme_are_targets_of_make() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)", README)) <= targets
