"""Child specifications: what stands for one, and when a child is started again."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from zmqcluster.errors import ConfigError
from zmqcluster.exits import Killed, NameConflict, NoConnection, Normal, Shutdown
from zmqcluster.otp.child_spec import ChildSpec, child_spec, child_specs, starts_again
from zmqcluster.otp.gen_server import GenServer
from zmqcluster.otp.supervisor import Supervisor


class Worker(GenServer):
    """A worker."""


class Tree(Supervisor):
    """A supervisor."""


class Described:
    """Knows its own specification."""

    def child_spec(self) -> ChildSpec:
        return ChildSpec("described", Worker, ("from the object",))


FORMS: list[tuple[Any, ChildSpec]] = [
    (ChildSpec("a", Worker), ChildSpec("a", Worker)),
    (Worker, ChildSpec("Worker", Worker)),
    ((Worker, 1, 2), ChildSpec("Worker", Worker, (1, 2))),
    ((Worker,), ChildSpec("Worker", Worker)),
    (Tree, ChildSpec("Tree", Tree, kind="supervisor", shutdown_s=None)),
    ((Tree, []), ChildSpec("Tree", Tree, ([],), kind="supervisor", shutdown_s=None)),
    (Described(), ChildSpec("described", Worker, ("from the object",))),
]


@pytest.mark.parametrize(("form", "spec"), FORMS)
def test_child_when_given_in_any_form_then_it_is_this_spec(form: Any, spec: ChildSpec) -> None:
    assert child_spec(form) == spec


@pytest.mark.parametrize("form", [None, "Worker", Worker(), (), ("Worker", 1), object, int])
def test_child_when_it_stands_for_none_then_the_message_lists_the_forms(form: Any) -> None:
    with pytest.raises(ConfigError, match="give a ChildSpec, a GenServer class"):
        child_spec(form)


def test_children_when_an_id_is_used_twice_then_it_is_named() -> None:
    with pytest.raises(ConfigError, match="'Worker' is used twice"):
        child_specs([Worker, (Worker, 1)])
    assert [spec.id for spec in child_specs([Worker, ChildSpec("other", Worker)])] == ["Worker", "other"]


def test_spec_is_frozen_and_can_be_varied() -> None:
    spec = ChildSpec("a", Worker)
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.id = "b"  # type: ignore[misc]
    assert dataclasses.replace(spec, id="b").server is Worker


def test_shutdown_when_given_then_it_is_kept() -> None:
    kept = [ChildSpec("a", Worker, shutdown_s=value).shutdown_s for value in (0, 0.5, 10, None)]
    assert kept == [0, 0.5, 10, None]
    assert ChildSpec("a", Tree, shutdown_s=1).shutdown_s == 1


@pytest.mark.parametrize("shutdown_s", [-0.1, float("nan"), True, "5"])
def test_shutdown_when_it_is_no_duration_then_it_is_refused(shutdown_s: Any) -> None:
    with pytest.raises(ConfigError, match="shutdown_s"):
        ChildSpec("a", Worker, shutdown_s=shutdown_s)


REASONS: list[tuple[Any, bool]] = [
    (Normal(), False),
    (Shutdown(), False),
    (Shutdown("detail"), False),
    (NameConflict("key", "value", "registry", "winner"), False),
    (Killed(), True),
    (NoConnection("b@h"), True),
    ("bang", True),
    (None, True),
]


@pytest.mark.parametrize(("reason", "is_abnormal"), REASONS)
def test_starts_again_when_permanent_always_transient_if_abnormal_temporary_never(
    reason: Any, is_abnormal: bool
) -> None:
    assert starts_again("permanent", reason)
    assert starts_again("transient", reason) is is_abnormal
    assert not starts_again("temporary", reason)
