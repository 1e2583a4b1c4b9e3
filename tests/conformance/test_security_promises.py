"""SECURITY.md promises what is tested, and its numbers are those of the code."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
TESTS = re.findall(r"`([\w/]+\.py)::(\w+)`", TEXT)
LIMITS = re.findall(r"^\| [^|]+ \| ([\d,]+)[^|]* \| `([\w.]+)\.(\w+)` \|$", TEXT, re.MULTILINE)
PROMISES = TEXT.partition("## Promises")[2].partition("\n## ")[0]


@pytest.mark.parametrize(("path", "name"), TESTS)
def test_promise_is_tested(path: str, name: str) -> None:
    module = ast.parse((ROOT / "tests" / path).read_text(encoding="utf-8"))
    tests = [node.name for node in module.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert name in tests


def test_every_promise_names_a_test() -> None:
    promises = [line for line in PROMISES.splitlines() if line.startswith("| ")][1:]
    assert len(promises) > 15
    assert [promise for promise in promises if "::test_" not in promise] == []


@pytest.mark.parametrize(("number", "module", "constant"), LIMITS)
def test_limit_is_the_code_s(number: str, module: str, constant: str) -> None:
    assert getattr(importlib.import_module(f"zmqcluster.{module}"), constant) == int(number.replace(",", ""))


def test_limits_are_found() -> None:
    assert len(LIMITS) == TEXT.partition("## Limits")[2].partition("\n## ")[0].count("\n| ") - 1
