"""Sealed datagrams: unreadable and unforgeable without the cookie, and worth nothing a second time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zmqcluster.errors import DatagramRefused
from zmqcluster.transport.keyring import Keyring
from zmqcluster.transport.sealed import OVERHEAD_BYTES, WINDOW_MS, Sealer

NOW_MS = 1_700_000_000_000


class Clock:
    def __init__(self) -> None:
        self.now_ms = NOW_MS

    def __call__(self) -> int:
        return self.now_ms


def sealer(*cookies: str, clock: Clock | None = None) -> Sealer:
    return Sealer(Keyring(*(cookies or ("monster",))), clock or Clock())


@given(st.binary(max_size=600))
def test_content_comes_back_as_it_was(content: bytes) -> None:
    assert sealer().open(sealer().seal(content)) == content


def test_content_is_not_to_be_seen_and_never_looks_the_same() -> None:
    content = b"orders@10.0.0.7:7101" * 5
    first, second = sealer().seal(content), sealer().seal(content)
    assert len(first) == len(content) + OVERHEAD_BYTES
    assert b"orders" not in first
    assert first[29:] != second[29:]


def test_any_listed_cookie_opens_and_the_primary_seals() -> None:
    both, old, new = sealer("new", "old"), sealer("old"), sealer("new")
    assert both.open(old.seal(b"x")) == b"x"
    assert new.open(both.seal(b"x")) == b"x"
    with pytest.raises(DatagramRefused, match="cookie"):
        old.open(both.seal(b"x"))


def test_datagram_that_was_opened_is_a_replay_from_then_on() -> None:
    clock = Clock()
    receiver, datagram = sealer(clock=clock), sealer().seal(b"x")
    assert receiver.open(datagram) == b"x"
    for later_ms in (0, 1_000, WINDOW_MS, 3_600_000):
        clock.now_ms = NOW_MS + later_ms
        with pytest.raises(DatagramRefused, match="replay"):
            receiver.open(datagram)


def test_old_datagram_is_refused_by_who_never_saw_it() -> None:
    clock = Clock()
    datagram = sealer().seal(b"x")
    clock.now_ms += WINDOW_MS + 1
    with pytest.raises(DatagramRefused, match="clock"):
        sealer(clock=clock).open(datagram)


def test_refused_datagrams_are_not_remembered() -> None:
    receiver, datagram = sealer(), sealer("another").seal(b"x")
    for _ in range(100):
        with pytest.raises(DatagramRefused):
            receiver.open(datagram)
    assert len(receiver._freshness) == 0
