"""The failure detector: silence, doubts, help, stalls, and our own pauses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zmqcluster.protocol.effects import Core, Effect, Emit, Send
from zmqcluster.protocol.membership import Membership
from zmqcluster.protocol.probes import Ack, Alive, Ping, PingRequest, Suspect
from zmqcluster.protocol.signs import (
    Beat,
    Limits,
    PeerRefuted,
    PeerResumed,
    PeerSilent,
    PeerStalled,
    PeerSuspected,
)

LIMITS = Limits(
    beat_ms=100,
    tick_ms=25,
    stalled_ms=100,
    suspect_ms=300,
    silence_ms=600,
    unreachable_ms=900,
    unacked_ms=6_000,
    helpers_max=3,
)
SUSPECT_MS, SILENCE_MS, UNREACHABLE_MS, TICK_MS = 300, 600, 900, 25
B, C, D = "b@10.0.0.2:7100", "c@10.0.0.3:7100", "d@10.0.0.4:7100"


def first(names: Sequence[str], count: int) -> list[str]:
    return list(names[:count])


def watching(*peers: str) -> Membership:
    """Has ticked at 0 and watches the peers since then."""
    membership = Membership(LIMITS, first)
    membership.on_tick(0)
    for peer in peers or (B,):
        membership.on_node_up(peer, 0)
    return membership


def tick_to(membership: Membership, last_ms: int, first_ms: int = TICK_MS) -> list[Effect]:
    """Tick on time up to ``last_ms``; return all effects."""
    return [effect for now_ms in range(first_ms, last_ms + 1, TICK_MS) for effect in membership.on_tick(now_ms)]


def events(effects: list[Effect]) -> list[Any]:
    return [effect.event for effect in effects if isinstance(effect, Emit)]


def sent(effects: list[Effect]) -> list[tuple[str, object]]:
    return [(effect.peer, effect.message) for effect in effects if isinstance(effect, Send)]


def test_membership_is_a_core() -> None:
    core: Core = watching()
    assert core.deadline_ms() == TICK_MS


# --- one peer, nobody to ask


def test_silence_then_suspected_once_and_given_up_once_and_watched_no_more() -> None:
    membership = watching()
    assert events(tick_to(membership, SUSPECT_MS)) == []
    effects = tick_to(membership, SILENCE_MS, SUSPECT_MS + TICK_MS)
    assert events(effects) == [PeerSuspected(B, SUSPECT_MS + TICK_MS, ())]
    assert membership.state(B) == "suspect"
    assert events(tick_to(membership, 3 * SILENCE_MS, SILENCE_MS + TICK_MS)) == [PeerSilent(B, SILENCE_MS + TICK_MS)]
    assert membership.state(B) == "down"
    assert membership.on_message(B, Beat(9, 0), 3 * SILENCE_MS) == []


def test_suspected_then_it_is_pinged_once_a_beat() -> None:
    effects = tick_to(watching(), SILENCE_MS)
    assert [message for _, message in sent(effects)] == [Ping(325), Ping(425), Ping(525)]


def test_answer_or_data_or_beat_of_a_suspect_then_refuted_and_up() -> None:
    for sign in (Ack(325), Ping(7), PingRequest(C, 0, 5), Beat(1, 0), None):
        membership = watching()
        tick_to(membership, 400)
        effects = membership.on_sign(B, 410) if sign is None else membership.on_message(B, sign, 410)
        assert events(effects) == [PeerRefuted(B)], sign
        assert membership.state(B) == "up"
        assert events(tick_to(membership, 410 + SUSPECT_MS, 425)) == []


def test_beats_then_no_silence_and_it_counts_from_the_last() -> None:
    membership = watching()
    tick_to(membership, 250)
    membership.on_message(B, Beat(1, 0), 250)
    assert PeerSilent not in map(type, events(tick_to(membership, 250 + SILENCE_MS, 275)))
    assert PeerSilent in map(type, events(tick_to(membership, 275 + SILENCE_MS, 275 + SILENCE_MS)))


def test_beat_that_was_overtaken_then_says_nothing() -> None:
    membership = watching()
    membership.on_message(B, Beat(5, 0), 10)
    assert membership.on_message(B, Beat(4, 5_000), 20) == []
    assert membership.state(B) == "up"


def test_message_of_a_stranger_then_ignored() -> None:
    for message in (Beat(1, 5_000), Ping(1), PingRequest(B, 0, 1), Alive(B, 0, 1), Suspect(B, 0, 1), Ack(1)):
        assert watching().on_message(C, message, 10) == []
    assert watching().on_sign(C, 10) == []


# --- stalled


def test_lag_then_stalled_and_resumed_alternate() -> None:
    membership = watching()
    lags = [0, 100, 101, 900, 3, 0, 500]
    effects = [
        effect for number, lag_ms in enumerate(lags, 1) for effect in membership.on_message(B, Beat(number, lag_ms), 1)
    ]
    assert effects == [Emit(PeerStalled(B, 101)), Emit(PeerResumed(B)), Emit(PeerStalled(B, 500))]
    assert membership.state(B) == "stalled"


def test_stalled_peer_then_not_silent_while_it_beats() -> None:
    membership = watching()
    for number in range(1, 50):
        membership.on_message(B, Beat(number, number * 100), number * 100)
        assert PeerSilent not in map(type, events(tick_to(membership, number * 100, number * 100 - 75)))


# --- several peers


def test_suspected_then_the_fit_are_asked_with_the_last_beat_that_is_known() -> None:
    membership = watching(B, C, D)
    membership.on_node_up("e@h", 0, helps=False)  # a hidden node
    for number, peer in ((7, B), (1, C), (1, D)):
        membership.on_message(peer, Beat(number, 0), 0)
    for now_ms in range(TICK_MS, SUSPECT_MS + 1, TICK_MS):
        membership.on_tick(now_ms)
        membership.on_message(C, Beat(1 + now_ms, 500 if now_ms > 250 else 0), now_ms)  # stalls at the end
        membership.on_message(D, Beat(1 + now_ms, 0), now_ms)
        membership.on_sign("e@h", now_ms)
    effects = membership.on_tick(SUSPECT_MS + TICK_MS)
    assert sent(effects) == [(B, Ping(325)), (D, PingRequest(B, 0, 7))]
    assert events(effects) == [PeerSuspected(B, 325, (D,))]


def beating(membership: Membership, until_ms: int, *peers: str, from_ms: int = TICK_MS) -> list[Effect]:
    """Tick on time, with a beat of ``peers`` before each."""
    effects: list[Effect] = []
    for now_ms in range(from_ms, until_ms + 1, TICK_MS):
        for peer in peers:
            effects += membership.on_message(peer, Beat(now_ms, 0), now_ms)
        effects += membership.on_tick(now_ms)
    return effects


def given_up_ms(membership: Membership, *peers: str, from_ms: int) -> int:
    """When B is given up, while ``peers`` beat."""
    for now_ms in range(from_ms, 10_000, TICK_MS):
        if any(isinstance(event, PeerSilent) for event in events(beating(membership, now_ms, *peers, from_ms=now_ms))):
            return now_ms
    raise AssertionError("not given up")


def test_helpers_that_miss_it_too_then_down_after_the_silence() -> None:
    membership = watching(B, C, D)
    beating(membership, 400, C, D)
    for helper in (C, D):
        membership.on_message(helper, Suspect(B, 0, 0), 410)
    assert given_up_ms(membership, C, D, from_ms=425) == SILENCE_MS + TICK_MS


def test_helpers_that_do_not_answer_then_down_later_the_fewer_confirm() -> None:
    at_ms = []
    for answers in ((), (C,), (C, D)):
        membership = watching(B, C, D)
        beating(membership, 400, C, D)
        for helper in answers:
            membership.on_message(helper, Suspect(B, 0, 0), 410)
        at_ms.append(given_up_ms(membership, C, D, from_ms=425))
    assert at_ms == [UNREACHABLE_MS + TICK_MS, 725, SILENCE_MS + TICK_MS]


def test_helper_that_hears_it_then_more_patience_but_not_for_ever() -> None:
    membership = watching(B, C, D)
    beating(membership, 400, C, D)
    membership.on_message(D, Suspect(B, 0, 0), 410)
    effects: list[Effect] = []
    for now_ms in range(425, 1_000, TICK_MS):
        effects += membership.on_message(C, Alive(B, 0, now_ms), now_ms)
        effects += beating(membership, now_ms, C, D, from_ms=now_ms)
    silent = [event for event in events(effects) if isinstance(event, PeerSilent)]
    assert silent == [PeerSilent(B, UNREACHABLE_MS + TICK_MS, (C, D), (C,))]


def test_helper_that_heard_nothing_new_then_its_word_is_no_news() -> None:
    membership = watching(B, C)
    membership.on_message(B, Beat(57, 0), 0)
    beating(membership, 400, C)
    membership.on_message(C, Alive(B, 0, 57), 410)
    membership.on_message(C, Alive(B, 1, 58), 410)  # another life
    membership.on_message(C, Suspect(B, 0, 57), 410)
    assert given_up_ms(membership, C, from_ms=425) == SILENCE_MS + TICK_MS


def test_helper_whose_word_is_old_then_it_counts_no_more() -> None:
    membership = watching(B, C)
    beating(membership, 325, C)
    membership.on_message(C, Alive(B, 0, 1), 330)
    membership.on_message(C, Suspect(B, 0, 1), 590)  # it died meanwhile
    assert given_up_ms(membership, C, from_ms=350) == SILENCE_MS + TICK_MS


def test_cut_off_from_all_then_all_are_down_after_the_silence() -> None:
    """The others are suspects themselves: nobody waits for their answers."""
    membership = watching(B, C, D)
    silent = [event for event in events(tick_to(membership, 700)) if isinstance(event, PeerSilent)]
    assert [(event.peer, event.silent_ms) for event in silent] == [(B, 625), (C, 625), (D, 625)]


def test_word_of_one_who_was_not_asked_then_nothing() -> None:
    membership = watching(B, C)
    beating(membership, 400, C)
    membership.on_node_up(D, 400)
    for now_ms in range(425, 600, TICK_MS):
        membership.on_message(D, Alive(B, 0, now_ms), now_ms)
        membership.on_message(C, Suspect(B, 0, 0), now_ms)
        beating(membership, now_ms, C, D, from_ms=now_ms)
    assert given_up_ms(membership, C, D, from_ms=600) == SILENCE_MS + TICK_MS


# --- asked by others


def test_asked_then_told_at_once_when_it_has_news_and_else_with_the_next_beat() -> None:
    membership = watching(B, C)
    membership.on_message(C, Beat(58, 0), 10)
    assert sent(membership.on_message(B, PingRequest(C, 0, 57), 20)) == [(B, Alive(C, 0, 58))]
    assert sent(membership.on_message(B, PingRequest(C, 0, 58), 20)) == []
    assert sent(membership.on_message(C, Beat(59, 0), 30)) == [(B, Alive(C, 0, 59))]
    assert sent(membership.on_message(C, Beat(60, 0), 40)) == []  # an inquiry is answered once


def test_asked_about_one_we_miss_then_confirmed_when_we_do() -> None:
    membership = watching(B, C)
    membership.on_message(B, PingRequest(C, 0, 0), 20)
    effects = beating(membership, SUSPECT_MS + TICK_MS, B)
    assert (B, Suspect(C, 0, 0)) in sent(effects)
    assert sent(membership.on_message(B, PingRequest(C, 0, 0), 330)) == [(B, Suspect(C, 0, 0))]


def test_asked_about_a_stranger_or_another_life_then_confirmed() -> None:
    membership = watching(B, C)
    assert sent(membership.on_message(B, PingRequest(D, 0, 3), 20)) == [(B, Suspect(D, 0, 3))]
    assert sent(membership.on_message(B, PingRequest(C, 99, 3), 20)) == [(B, Suspect(C, 99, 3))]


def test_asked_and_the_session_with_it_ends_then_confirmed() -> None:
    membership = watching(B, C)
    membership.on_message(B, PingRequest(C, 0, 0), 20)
    assert sent(membership.on_node_down(C, 30)) == [(B, Suspect(C, 0, 0))]


def test_asked_by_one_who_is_gone_then_nobody_is_told() -> None:
    membership = watching(B, C)
    membership.on_message(B, PingRequest(C, 0, 0), 20)
    membership.on_node_down(B, 30)
    assert sent(membership.on_message(C, Beat(1, 0), 40)) == []


# --- our own pauses


def test_own_pause_then_nobody_is_accused_for_it_and_patience_grows() -> None:
    membership = watching()
    tick_to(membership, 100)
    pause_end_ms = 100 + 10 * SILENCE_MS
    assert membership.on_tick(pause_end_ms) == []
    assert membership.health.score == 7
    assert events(tick_to(membership, pause_end_ms + SUSPECT_MS, pause_end_ms + TICK_MS)) == []
    later = tick_to(membership, pause_end_ms + 2 * SILENCE_MS, pause_end_ms + SUSPECT_MS + TICK_MS)
    assert PeerSuspected in map(type, events(later)) and membership.health.score == 0


def test_paused_then_it_confirms_nothing_until_it_is_well() -> None:
    membership = watching(B, C)
    membership.on_tick(TICK_MS)
    membership.on_tick(TICK_MS + 200)
    assert membership.health.score == 1
    assert sent(membership.on_message(B, PingRequest(D, 0, 3), 230)) == []
    for now_ms in range(250, 250 + SILENCE_MS + 1, TICK_MS):
        membership.on_sign(B, now_ms)
        membership.on_sign(C, now_ms)
        membership.on_tick(now_ms)
    assert membership.health.score == 0
    assert sent(membership.on_message(B, PingRequest(D, 0, 3), 900)) == [(B, Suspect(D, 0, 3))]


def test_heard_in_a_late_turn_before_its_tick_then_it_counts_from_then() -> None:
    membership = watching()
    membership.on_tick(TICK_MS)
    membership.on_message(B, Beat(1, 0), 5_000)
    membership.on_tick(5_000)
    health = membership.health.factor
    late = tick_to(membership, 5_000 + SUSPECT_MS * health + TICK_MS, 5_000 + TICK_MS)
    assert PeerSuspected in map(type, events(late))


def test_tick_a_little_late_then_silence_is_not_stretched() -> None:
    membership = watching()
    now_ms = 0
    while now_ms <= SILENCE_MS:
        now_ms += 2 * TICK_MS
        effects = membership.on_tick(now_ms)
    assert events(effects) == [PeerSilent(B, now_ms)]


def test_peer_down_then_not_accused_and_a_new_session_starts_afresh() -> None:
    membership = watching()
    membership.on_message(B, Beat(50, 900), 10)
    membership.on_node_down(B, 20)
    assert tick_to(membership, 2 * SILENCE_MS) == [] and membership.state(B) == "down"
    membership.on_node_up(B, 2 * SILENCE_MS)
    assert membership.on_message(B, Beat(1, 900), 2 * SILENCE_MS + 1) == [Emit(PeerStalled(B, 900))]


def test_several_silent_then_accused_in_the_order_of_their_sessions() -> None:
    peers = ["c@h", "a@h", "b@h"]
    silent = [event for event in events(tick_to(watching(*peers), 625)) if isinstance(event, PeerSilent)]
    assert [event.peer for event in silent] == peers
