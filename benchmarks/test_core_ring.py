"""The hash ring of the core: build it, ask it."""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from zmqcluster.core import HashRing

nodes_counts = pytest.mark.parametrize("nodes_count", [3, 10, 100])


def names(count: int) -> list[str]:
    return [f"node{number}@10.0.0.{number}" for number in range(count)]


@nodes_counts
def test_build(benchmark: BenchmarkFixture, nodes_count: int) -> None:
    benchmark.group = "build a ring"
    ring = benchmark(HashRing, names(nodes_count))
    assert ring.owner(b"key") in names(nodes_count)


@nodes_counts
def test_owner(benchmark: BenchmarkFixture, nodes_count: int) -> None:
    benchmark.group = "owner of a key"
    ring = HashRing(names(nodes_count))
    assert benchmark(ring.owner, b"DON-001") in names(nodes_count)


@nodes_counts
def test_three_owners(benchmark: BenchmarkFixture, nodes_count: int) -> None:
    benchmark.group = "three owners of a key"
    ring = HashRing(names(nodes_count))
    assert len(benchmark(ring.owners, b"DON-001", 3)) == 3
