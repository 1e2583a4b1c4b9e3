"""The formula of a suspicion, what helpers say, the limited broadcasts and the local health."""

from __future__ import annotations

from math import log10

import pytest

from zmqcluster.protocol.broadcasts import Broadcasts, transmits_max
from zmqcluster.protocol.health import LocalHealth
from zmqcluster.protocol.inquiries import Inquiries
from zmqcluster.protocol.suspicion import Suspicion, suspicion_ms


def everybody(_: str) -> bool:
    return True


@pytest.mark.parametrize("nodes", [3, 50, 100, 1_000])
def test_suspicion_then_it_falls_from_max_to_min_and_never_rises(nodes: int) -> None:
    """The numbers of memberlist's LAN preset."""
    min_ms = round(4 * max(1, log10(nodes)) * 1_000)
    steps_ms = [suspicion_ms(count, 2, min_ms=min_ms, max_ms=6 * min_ms) for count in range(5)]
    assert steps_ms[0] == 6 * min_ms and steps_ms[2:] == [min_ms] * 3
    assert steps_ms == sorted(steps_ms, reverse=True)


def test_suspicion_of_nobody_to_ask_then_min_at_once() -> None:
    assert suspicion_ms(0, 0, min_ms=300, max_ms=600) == 300


def test_vouchers_then_only_those_asked_and_fresh() -> None:
    suspicion = Suspicion(["b", "c"], number=57, fresh_ms=300)
    suspicion.on_alive("b", 58, 1_000)
    suspicion.on_alive("x", 99, 1_000)
    suspicion.on_alive("c", 58, 1_000)  # no news after b's word
    assert suspicion.vouchers(1_300) == ("b",) and suspicion.number == 58
    assert suspicion.vouchers(1_301) == ()
    suspicion.on_suspect("b")
    assert suspicion.vouchers(1_000) == ()


def test_unfit_helpers_then_their_silence_says_nothing() -> None:
    suspicion = Suspicion(["b", "c"], number=0, fresh_ms=300)
    assert suspicion.timeout_ms(0, everybody, min_ms=1, max_ms=9) == 9
    suspicion.on_suspect("b")
    assert suspicion.timeout_ms(0, lambda name: name == "b", min_ms=1, max_ms=9) == 1
    assert suspicion.timeout_ms(0, lambda name: False, min_ms=1, max_ms=9) == 1


def test_broadcast_then_told_so_often_and_no_more() -> None:
    broadcasts = Broadcasts(mult=2)
    broadcasts.add("a", b"a is lost")
    assert [broadcasts.take(9, 5) for _ in range(4)] == [[b"a is lost"], [b"a is lost"], [], []]
    assert [transmits_max(nodes, 2) for nodes in (1, 9, 10, 99, 100)] == [2, 2, 4, 4, 6]


def test_broadcasts_then_least_sent_first_and_then_the_newest() -> None:
    broadcasts = Broadcasts(mult=3)
    broadcasts.add("a", b"a")
    assert broadcasts.take(3, 1) == [b"a"]
    broadcasts.add("b", b"b")
    broadcasts.add("c", b"c")
    assert [broadcasts.take(3, 1) for _ in range(4)] == [[b"c"], [b"b"], [b"c"], [b"b"]]


def test_broadcast_about_the_same_then_the_older_is_gone() -> None:
    broadcasts = Broadcasts(mult=1)
    broadcasts.add("a", b"first")
    broadcasts.add("a", b"second")
    assert broadcasts.take(3, 9) == [b"second"] and len(broadcasts) == 0
    broadcasts.add("a", b"third")
    broadcasts.drop("a")
    broadcasts.drop("a")
    assert broadcasts.take(3, 9) == []


def test_health_then_it_falls_with_pauses_and_comes_back() -> None:
    health = LocalHealth(tick_ms=25, beat_ms=100, silence_ms=600)
    assert [health.on_tick(now_ms) for now_ms in (0, 25, 60, 185, 310)] == [0, 0, 10, 100, 100]
    assert health.score == 0
    assert health.on_tick(436) == 101 and health.score == 1 and health.factor == 2
    assert health.on_tick(436 + 1_225) == 1_200 and health.score == 3
    assert health.on_tick(1_661 + 5_000) == 4_975 and health.score == 7
    scores = []
    for now_ms in range(6_686, 6_661 + 7 * 100 + 1, 25):
        health.on_tick(now_ms)
        scores.append(health.score)
    assert scores[3::4] == [6, 5, 4, 3, 2, 1, 0]


def test_inquiries_then_one_per_asker_and_nothing_is_left_behind() -> None:
    inquiries = Inquiries()
    inquiries.open("t", "a", 5)
    inquiries.open("t", "a", 7)
    inquiries.open("t", "b", 3)
    inquiries.open("u", "b", 3)
    assert inquiries.answered_by("t", 6) == ["b"] and inquiries.answered_by("t", 7) == []
    inquiries.forget("a")
    assert inquiries.close("t") == [] and inquiries.close("u") == [("b", 3)] and inquiries.answered_by("u", 9) == []
