"""Which functions other nodes find by which name, and which they never do."""

from __future__ import annotations

import functools
import os
import sys
import types
from collections.abc import Iterator
from typing import Any

import pytest

from zmqcluster.errors import ConfigError
from zmqcluster.runtime.exported import exported_function, function_name, remote

MODULE = "tests.allowed_jobs"


@remote
def offered() -> str:
    return "first"


@pytest.fixture
def jobs() -> Iterator[types.ModuleType]:
    """A module with all that a module may have."""
    module = types.ModuleType(MODULE)
    source = """
import os
from os import getcwd
from functools import partial

def job(): return "job"
async def slow(): return "slow"
def _private(): return "private"
class Tool:
    def method(self): return "method"
    @staticmethod
    def plain(): return "plain"
class _Hidden:
    @staticmethod
    def plain(): return "hidden"
half = partial(job)
shout = lambda: "loud"
def factory():
    def inner(): return "inner"
    return inner
made = factory()
"""
    exec(compile(source, MODULE, "exec"), vars(module))
    sys.modules[MODULE] = module
    yield module
    del sys.modules[MODULE]


def test_exported_by_its_module_and_name_or_a_name_of_its_own() -> None:
    assert exported_function(f"{__name__}:offered") is offered
    named = remote(name="tests.exported.named")(lambda: 1)
    assert exported_function("tests.exported.named") is named
    assert function_name(offered) == f"{__name__}:offered"
    assert function_name(named) == "tests.exported.named"
    assert function_name("any:name") == "any:name"


def test_decorated_function_stays_as_it_is() -> None:
    assert offered() == "first" and offered.__name__ == "offered"


def test_exported_again_then_the_last_of_a_name_counts() -> None:
    def again(answer: int) -> Any:
        return remote(name="tests.exported.again")(lambda: answer)

    first, second = again(1), again(2)
    assert exported_function("tests.exported.again") is second is not first


def test_not_exported_then_none_whatever_is_imported() -> None:
    for name in ("os:system", "builtins:eval", f"{__name__}:test_not_exported_then_none", "", ":", "a:b", "offered"):
        assert exported_function(name) is None


def test_function_without_a_name_then_config_error() -> None:
    class Callable:
        def __call__(self) -> None:
            """Has a type, and no name."""

        def method(self) -> None:
            """Has an object."""

    for each in (lambda: 1, functools.partial(offered), Callable(), Callable().method, Callable, [].append, 7, None):
        with pytest.raises(ConfigError, match="cannot be run on another node"):
            function_name(each)  # type: ignore[arg-type]
    assert function_name(os.getcwd) == "posix:getcwd"


@pytest.mark.parametrize("wrong", [7, "", "name"])
def test_remote_of_what_is_no_function_then_config_error(wrong: Any) -> None:
    with pytest.raises(ConfigError):
        remote(wrong)


@pytest.mark.parametrize("name", ["", 7, None, b"bytes"])
def test_remote_under_what_is_no_name_then_config_error(name: Any) -> None:
    with pytest.raises(ConfigError):
        remote(name=name)(offered)


def test_allowed_module_then_its_own_public_functions_and_nothing_else(jobs: types.ModuleType) -> None:
    def found(name: str, *allowed: str) -> Any:
        return exported_function(f"{MODULE}:{name}", allowed or (MODULE,))

    assert found("job") is jobs.job and found("slow") is jobs.slow
    assert found("Tool.plain") is jobs.Tool.plain and found("job", "tests") is jobs.job
    for name in (
        "_private",
        "getcwd",
        "os.system",
        "os:system",
        "half",
        "shout",
        "made",
        "Tool",
        "_Hidden.plain",
        "factory.<locals>.inner",
        "job.__globals__",
        "job.__call__",
        "__builtins__",
        "nothing",
        "",
    ):
        assert found(name) is None, name


def test_allowed_is_a_module_and_not_the_beginning_of_its_name(jobs: types.ModuleType) -> None:
    assert exported_function(f"{MODULE}:job", ("tests.allowed",)) is None
    assert exported_function("tests.allowed_jobs.missing:job", ("tests",)) is None
    assert exported_function(f"{MODULE}:job", ()) is None
