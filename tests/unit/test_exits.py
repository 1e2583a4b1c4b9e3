"""Exit reasons: values that compare, travel, and say whether the end was in order."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from zmqcluster import exits
from zmqcluster.core import decode, encode

REASONS: list[Any] = [
    exits.Normal(),
    exits.Shutdown(),
    exits.Shutdown(("detail", 1)),
    exits.Kill(),
    exits.Killed(),
    exits.NoProcess(),
    exits.NoConnection("b@10.0.0.7:7101"),
    exits.TimedOut("init"),
    exits.NameConflict("key", "value", "registry", "winner"),
    exits.BadReturn("init", "'x'"),
    exits.Crashed("ValueError", "boom", "Traceback ..."),
]


def test_every_reason_class_has_a_sample_here() -> None:
    classes = {getattr(exits, name) for name in exits.__all__ if name not in ("ExitReason", "is_expected")}
    assert {type(reason) for reason in REASONS} == classes


@pytest.mark.parametrize("reason", REASONS, ids=repr)
def test_reason_when_it_crossed_a_link_then_it_is_equal(reason: Any) -> None:
    assert decode(encode(reason)) == reason


@pytest.mark.parametrize("reason", REASONS, ids=repr)
def test_reason_is_frozen_and_hashable(reason: Any) -> None:
    assert hash(reason) == hash(dataclasses.replace(reason))
    with pytest.raises((dataclasses.FrozenInstanceError, AttributeError, TypeError)):
        reason.detail = "other"


@pytest.mark.parametrize("reason", REASONS, ids=repr)
def test_expected_when_normal_shutdown_or_lost_name_then_and_only_then(reason: Any) -> None:
    expected = isinstance(reason, exits.Normal | exits.Shutdown | exits.NameConflict)
    assert exits.is_expected(reason) is expected


@pytest.mark.parametrize("reason", ["normal", None, 0, exits.Normal, ("shutdown",)])
def test_expected_when_any_other_value_then_no(reason: Any) -> None:
    assert exits.is_expected(reason) is False


def test_crashed_when_compared_or_shown_then_without_the_exception_and_shown_without_the_trace() -> None:
    error = ValueError("boom")
    reason = exits.Crashed("ValueError", "boom", "a long trace", error)
    assert reason == exits.Crashed("ValueError", "boom", "a long trace")
    assert repr(reason) == "Crashed(kind='ValueError', text='boom')"
    arrived: Any = decode(encode(reason))
    assert arrived.exception is None
