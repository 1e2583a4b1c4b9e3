"""mypy --strict and pyright find in the samples exactly the errors that they expect, each on its line.

What mypy says there is in the sample, after ``# E:``; pyright says it in other words.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SAMPLES = sorted(Path(__file__).parent.glob("typed_*.py"))

FOUND = re.compile(r"(?P<path>[^:]+):(?P<line>\d+): error: (?P<text>.*?)(  \[[\w-]+\])?$")
EXPECTED = re.compile(r"  # E: (?P<text>.*)$")

Problems = dict[int, list[str]]


def expected(sample: Path) -> Problems:
    """The texts after ``# E:``, by line."""
    lines = enumerate(sample.read_text().splitlines(), start=1)
    return {number: [match["text"]] for number, line in lines if (match := EXPECTED.search(line))}


def found_by_mypy(sample: Path) -> Problems:
    """What mypy says, by line."""
    flags = ["--strict", "--no-error-summary", "--hide-error-context", "--no-pretty"]
    problems: Problems = {}
    for line in output_of("mypy", *flags, str(sample.relative_to(ROOT))).splitlines():
        if match := FOUND.match(line):
            assert match["path"] == str(sample.relative_to(ROOT)), line
            problems.setdefault(int(match["line"]), []).append(match["text"])
    return problems


def found_by_pyright(sample: Path) -> Problems:
    """What pyright says, by line."""
    said = json.loads(output_of("pyright", "--pythonpath", sys.executable, "--outputjson", str(sample)))
    problems: Problems = {}
    for each in said["generalDiagnostics"]:
        if each["severity"] == "error":
            problems.setdefault(each["range"]["start"]["line"] + 1, []).append(each["message"])
    return problems


def output_of(checker: str, *arguments: str) -> str:
    command = [sys.executable, "-m", checker, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout


@pytest.mark.skipif(find_spec("mypy") is None, reason="mypy is not installed")
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_sample_has_the_errors_it_expects_and_no_other(sample: Path) -> None:
    want, have = expected(sample), found_by_mypy(sample)
    assert want
    unexpected = {number: texts for number, texts in have.items() if number not in want}
    assert unexpected == {}
    for number, (text,) in want.items():
        assert any(each.startswith(text) for each in have.get(number, [])), f"line {number}: {have.get(number)}"


@pytest.mark.skipif(find_spec("pyright") is None, reason="pyright is not installed: `make lint` brings it")
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_sample_has_errors_where_it_expects_them_for_pyright_too(sample: Path) -> None:
    want, have = expected(sample), found_by_pyright(sample)
    assert {number: texts for number, texts in have.items() if number not in want} == {}
    assert sorted(want) == sorted(have)
