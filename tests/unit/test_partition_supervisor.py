"""The partition supervisor: what it refuses, and its names."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.running import run
from zmqcluster.core import Ignore, Stop
from zmqcluster.errors import AlreadyRegistered, ConfigError, NoProcessError, NotRegistered, StartFailed, UsageError
from zmqcluster.otp.child_spec import ChildSpec, child_spec
from zmqcluster.otp.gen_server import GenServer
from zmqcluster.otp.methods import call
from zmqcluster.otp.partition_supervisor import PartitionSupervisor, Place
from zmqcluster.runtime.process import Via, self, send, trap_exits


class Part(GenServer):
    def init(self, *arguments: Any) -> Any:
        self.arguments = arguments
        return arguments[-1] if arguments and isinstance(arguments[-1], Stop | Ignore) else None

    @call
    def told(self) -> tuple[Any, ...]:
        return self.arguments


@pytest.mark.parametrize(
    ("name", "child", "options"),
    [
        ("", Part, {}),
        (7, Part, {}),
        ("parts", 7, {}),
        ("parts", Part, {"partitions": 0}),
        ("parts", Part, {"partitions": True}),
        ("parts", Part, {"with_arguments": 7}),
        ("parts", ChildSpec("part", Part, name="one"), {}),
    ],
)
def test_it_refuses_bad_setups(name: Any, child: Any, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        PartitionSupervisor(name, child, **options)


def test_handle_alone_cannot_be_started() -> None:
    with pytest.raises(ConfigError, match="say which child it starts"):
        PartitionSupervisor("parts").child_spec()
    assert child_spec(PartitionSupervisor("parts", Part)).kind == "supervisor"
    assert repr(PartitionSupervisor("parts")) == "PartitionSupervisor('parts')"


def test_one_that_does_not_run_is_a_usage_error() -> None:
    async def main() -> None:
        parts = PartitionSupervisor("parts")
        with pytest.raises(UsageError, match="no partition supervisor 'parts' runs on"):
            parts.partitions()
        with pytest.raises(UsageError):
            send(parts.via(1), "hello")
        with pytest.raises(NoProcessError):
            await parts.which_children()

    run(main)


def test_start_fails_when_a_partition_does_not_start() -> None:
    async def main() -> None:
        refuse = PartitionSupervisor("parts", Part, partitions=3, with_arguments=lambda _, at: (Stop(f"no {at}"),))
        with pytest.raises(StartFailed) as failure:
            await refuse.start_link()
        assert failure.value.reason.detail == ("failed_to_start_child", "0", "no 0")

    run(main)


def test_key_of_a_partition_that_has_no_process_is_nobody() -> None:
    async def main() -> None:
        ignoring = PartitionSupervisor("parts", (Part, Ignore()), partitions=2)
        await ignoring.start_link()
        assert ignoring.via("k").whereis() is None
        with pytest.raises(NotRegistered):
            send(ignoring.via("k"), "hello")

    run(main)


def test_routes_do_not_depend_on_the_run() -> None:
    async def main() -> None:
        parts = PartitionSupervisor("parts", Part, partitions=8, with_arguments=lambda _, at: (at,))
        await parts.start_link()
        found = [(await Part.at(parts.via(key)).told())[0] for key in ("DON-1", "DON-2", b"x", 1.5, -3, True)]
        assert found == FOUND

    run(main)


FOUND = [0, 0, 3, 0, 5, 4]  # of the hash of the ring: another one would move every key of a running system


def test_resize_routes_around_a_partition_that_takes_long_to_stop() -> None:
    class Slow(GenServer):
        def init(self) -> None:
            trap_exits()

        async def terminate(self, reason: Any) -> None:
            await asyncio.sleep(1.0)

    async def main() -> None:
        parts = await PartitionSupervisor("parts", Slow, partitions=2).start_link()
        first = parts.via(0).whereis()
        resizing = asyncio.ensure_future(parts.resize(1))
        await asyncio.sleep(0.5)
        assert parts.via(1).whereis() == first
        assert await resizing == 2

    run(main)


def test_places_are_for_their_children_only() -> None:
    async def main() -> None:
        parts = await PartitionSupervisor("parts", Part, partitions=2).start_link()
        assert isinstance(parts.via(1), Via)
        with pytest.raises(UsageError, match="nobody else registers there"):
            parts.via(1).register(self())
        with pytest.raises(AlreadyRegistered):
            Place("parts", 0).register(self())
        before = parts.via(0).whereis()
        assert Place("parts", 0).whereis() == before

    run(main)
