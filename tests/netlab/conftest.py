"""Labs for the tests here, where there can be any."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.netlab import LabCluster, why_not

HERE = Path(__file__).parent
SEED = 7


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip all of this folder, with the reason, where no lab can be made."""
    here = [item for item in items if HERE in item.path.parents]
    reason = why_not() if here else None
    for item in here:
        item.add_marker(pytest.mark.netlab)
        if reason is not None:
            item.add_marker(pytest.mark.skip(reason=f"no network lab here: {reason}"))


@pytest.fixture(scope="session")
def quick_cluster() -> Iterator[LabCluster]:
    """Four nodes that take 0.6 s of silence for an end."""
    with LabCluster(4, timing="local", seed=SEED) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def lan_cluster() -> Iterator[LabCluster]:
    """Four nodes as they are by default: down after 2 s."""
    with LabCluster(4, timing="lan", seed=SEED) as cluster:
        yield cluster


@pytest.fixture
def quick(quick_cluster: LabCluster) -> Iterator[LabCluster]:
    """Healthy before the test and, whatever it did, after it."""
    quick_cluster.mark()
    yield quick_cluster
    quick_cluster.recover()


@pytest.fixture
def lan(lan_cluster: LabCluster) -> Iterator[LabCluster]:
    lan_cluster.mark()
    yield lan_cluster
    lan_cluster.recover()
