"""The pytest plugin: async tests that are processes, in virtual time, and leave nothing behind.

    async def test_counter_counts(node):            # runs as the first process of a node; no pytest-asyncio
        counter = await Counter.start_link()
        assert await counter.add(2) == 2

    @pytest.mark.zmqcluster(nodes=5, seed=17)
    async def test_names_survive_a_cut(cluster):    # on the first of five nodes, on a simulated network
        cluster.cut({"a"}, {"b", "c", "d", "e"})

Fixtures: ``node``, a ``Node`` without a name, and ``cluster``, a ``Simulation`` whose nodes are connected. Messages are
copied as if every process were on another node. When the test returns, what is linked to it ends; a process, timer or
asyncio task that is then left fails the test, and the failure says which line started it.
A plain ``def`` test may use the fixtures too, and moves time itself: ``cluster.run_ms(500)``.
Installed with the package; it touches only tests that use its fixtures or its mark.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

import pytest

from zmqcluster.runtime.node import Node
from zmqcluster.testing.simulation import Simulation
from zmqcluster.testing.worlds import WITHIN_S, ClusterWorld, NodeWorld, World

__all__ = ["cluster", "node"]

W = TypeVar("W", bound=World)

MARK = "zmqcluster"
ABOUT = (
    f"{MARK}(nodes=3, seed=0, within_s={WITHIN_S:g}, copy_messages=True): "
    "run an async test as a process, in virtual time; see zmqcluster.testing.plugin"
)
WORLD = pytest.StashKey[World]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", ABOUT)


def pytest_itemcollected(item: pytest.Item) -> None:
    """A test with the mark and without our fixtures runs on a node too."""
    if not isinstance(item, pytest.Function) or item.get_closest_marker(MARK) is None or not _is_async(item):
        return
    if not {"node", "cluster"} & set(item.fixturenames):
        item.fixturenames.append("node")


@pytest.fixture
def node(request: pytest.FixtureRequest) -> Iterator[Node]:
    """The node whose first process the test is."""
    yield from _given(request, _made(request, NodeWorld, "copy_messages"), lambda world: world.node)


@pytest.fixture
def cluster(request: pytest.FixtureRequest) -> Iterator[Simulation]:
    """Connected nodes a, b, c ...; the test is a process of the first."""
    world = _made(request, ClusterWorld, "nodes", "seed", "copy_messages")
    yield from _given(request, world, lambda world: world.simulation)


def _made(request: pytest.FixtureRequest, kind: Callable[..., W], *names: str) -> W:
    """A world with those of the mark's settings that concern it."""
    settings = _settings(request.node)
    return kind(**{name: settings[name] for name in names if name in settings})


def _given(request: pytest.FixtureRequest, world: W, shown: Callable[[W], Any]) -> Iterator[Any]:
    stash = request.node.stash
    if WORLD in stash:
        world.close()
        raise pytest.UsageError("a test runs on a node or in a cluster: take one of the fixtures")
    stash[WORLD] = world
    try:
        yield shown(world)
        if not world.has_run:  # a plain test: nobody has looked yet
            _fail_for(world.left())
    finally:
        del stash[WORLD]
        world.close()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an async test in the world of its fixture."""
    world = pyfuncitem.stash.get(WORLD, None)
    if world is None or not _is_async(pyfuncitem):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    try:
        world.run(partial(pyfuncitem.obj, **arguments), _settings(pyfuncitem).get("within_s", WITHIN_S))
    except Exception as error:
        if notes := world.notes():
            error.add_note(notes)
        raise
    _fail_for(world.left())
    return True


def _fail_for(left: list[str]) -> None:
    if left:
        pytest.fail("the test has left behind:\n" + "\n".join(f"  {line}" for line in left), pytrace=False)


def _is_async(item: pytest.Function) -> bool:
    return inspect.iscoroutinefunction(item.obj)


def _settings(item: pytest.Item) -> dict[str, Any]:
    mark = item.get_closest_marker(MARK)
    return dict(mark.kwargs) if mark else {}
