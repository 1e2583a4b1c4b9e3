"""Processes and servers within one node, a whole run per round: ``benchmarks/run.py`` compares them with others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import zmqcluster as zc
from benchmarks import local_ours
from benchmarks.contender import Figures

MEASURES = [name for name in local_ours.MEASURES if not name.startswith(("local.memory", "local.timer"))]


@pytest.mark.parametrize("name", MEASURES)
def test_local(benchmark: BenchmarkFixture, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The time of a fiftieth of what the runner measures, with the start and the end of the node."""
    monkeypatch.setenv("BENCH_QUICK", "1")
    benchmark.group = "processes"
    measure: Callable[[], Awaitable[Figures]] = local_ours.MEASURES[name]
    figures = benchmark(lambda: zc.run(measure))
    assert figures[name] > 0
