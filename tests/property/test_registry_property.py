"""The local registry against a plain model, over random histories of processes that come, register, and die.

The model is a list of (owner, key, value); it knows nothing of tables, partitions, or cleaning.
"""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.running import run
from zmqcluster.core import encode
from zmqcluster.errors import AlreadyRegistered
from zmqcluster.exits import Kill
from zmqcluster.ids import Pid
from zmqcluster.otp.gen_server import GenServer
from zmqcluster.otp.methods import call
from zmqcluster.otp.registry import Registry
from zmqcluster.runtime.process import exit

KEYS: list[Any] = ["a", "b", 1, 1.0, True, ("a", 1), ("a", 1.0), None]
OWNERS = 4

Row = tuple[int, Any, int]


class Model:
    """Rows (owner, key, value) in the order of their registration."""

    def __init__(self, unique: bool) -> None:
        self.unique = unique
        self.rows: list[Row] = []

    def register(self, owner: int, key: Any, value: int) -> int | None:
        """The owner that is in the way, if one is."""
        for present, held, _ in self.rows:
            if self.unique and same(held, key):
                return present
        self.rows.append((owner, key, value))
        return None

    def unregister(self, owner: int, key: Any) -> None:
        self.rows = [row for row in self.rows if row[0] != owner or not same(row[1], key)]

    def end(self, owner: int) -> None:
        self.rows = [row for row in self.rows if row[0] != owner]


def same(one: Any, other: Any) -> bool:
    return encode(one) == encode(other)


class Owner(GenServer):
    """Does with the registry what it is asked to do."""

    def init(self, registry: Registry) -> None:
        self.registry = registry

    @call
    def register(self, key: Any, value: int) -> Pid | None:
        try:
            self.registry.register(key, value)
        except AlreadyRegistered as taken:
            return taken.pid  # type: ignore[no-any-return]
        return None

    @call
    def unregister(self, key: Any) -> None:
        self.registry.unregister(key)



step = st.one_of(
    st.tuples(st.just("register"), st.integers(0, OWNERS - 1), st.sampled_from(KEYS)),
    st.tuples(st.just("unregister"), st.integers(0, OWNERS - 1), st.sampled_from(KEYS)),
    st.tuples(st.just("kill"), st.integers(0, OWNERS - 1), st.booleans()),
)


async def compare(unique: bool, partitions: int, steps: list[tuple[Any, ...]]) -> None:
    registry = await Registry("names", "unique" if unique else "duplicate", partitions=partitions).start_link()
    model = Model(unique)
    owners = [await Owner.start(registry) for _ in range(OWNERS)]
    for number, (what, who, argument) in enumerate(steps):
        pids = [owner.pid for owner in owners]
        if what == "register":
            in_the_way = model.register(who, argument, number)
            assert await owners[who].register(argument, number) == (None if in_the_way is None else pids[in_the_way])
        elif what == "unregister":
            model.unregister(who, argument)
            await owners[who].unregister(argument)
        else:
            model.end(who)
            exit(pids[who], Kill())
            owners[who] = await Owner.start(registry)  # and at once the next may take its keys
            if argument:
                await asyncio.sleep(0)
    await asyncio.sleep(0.001)
    check(registry, model, [owner.pid for owner in owners])


def check(registry: Registry, model: Model, pids: list[Pid]) -> None:
    expected = [(pids[owner], repr(key), value) for owner, key, value in model.rows]
    assert sorted((row.pid, repr(row.key), row.value) for row in registry.select()) == sorted(expected)
    assert registry.count() == len(expected)
    for key in KEYS:
        found = [(entry.pid, entry.value) for entry in registry.lookup(key)]
        assert sorted(found) == sorted((pid, value) for pid, held, value in expected if held == repr(key))
    for pid in pids:
        held = [repr(key) for key in registry.keys(pid)]
        assert sorted(held) == sorted(key for owner, key, _ in expected if owner == pid)


@settings(max_examples=60, deadline=None)
@given(unique=st.booleans(), partitions=st.sampled_from([1, 3]), steps=st.lists(step, max_size=40))
def test_registry_is_as_its_model(unique: bool, partitions: int, steps: list[tuple[Any, ...]]) -> None:
    run(compare, unique, partitions, steps)
