"""mypy --strict finds in the samples exactly the errors that they expect, each on its line."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mypy")

ROOT = Path(__file__).parents[2]
SAMPLES = sorted(Path(__file__).parent.glob("typed_*.py"))

FOUND = re.compile(r"(?P<path>[^:]+):(?P<line>\d+): error: (?P<text>.*?)(  \[[\w-]+\])?$")
EXPECTED = re.compile(r"  # E: (?P<text>.*)$")

Problems = dict[int, list[str]]


def expected(sample: Path) -> Problems:
    """The texts after ``# E:``, by line."""
    lines = enumerate(sample.read_text().splitlines(), start=1)
    return {number: [match["text"]] for number, line in lines if (match := EXPECTED.search(line))}


def found(sample: Path) -> Problems:
    """What mypy says, by line."""
    flags = ["--strict", "--no-error-summary", "--hide-error-context", "--no-pretty"]
    command = [sys.executable, "-m", "mypy", *flags, str(sample.relative_to(ROOT))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    problems: Problems = {}
    for line in done.stdout.splitlines():
        if match := FOUND.match(line):
            assert match["path"] == str(sample.relative_to(ROOT)), line
            problems.setdefault(int(match["line"]), []).append(match["text"])
    return problems


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_sample_has_the_errors_it_expects_and_no_other(sample: Path) -> None:
    want, have = expected(sample), found(sample)
    assert want
    unexpected = {number: texts for number, texts in have.items() if number not in want}
    assert unexpected == {}
    for number, (text,) in want.items():
        assert any(each.startswith(text) for each in have.get(number, [])), f"line {number}: {have.get(number)}"
