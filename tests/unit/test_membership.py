"""The failure detector: silence, stalls, and our own pauses."""

from __future__ import annotations

from zmqcluster.protocol.effects import Core, Emit
from zmqcluster.protocol.membership import Beat, Membership, PeerResumed, PeerSilent, PeerStalled

SILENCE_MS, STALLED_MS, TICK_MS = 600, 100, 25
B = "b@10.0.0.2:7100"


def watching(*peers: str) -> Membership:
    """Has ticked at 0 and watches the peers since then."""
    membership = Membership(silence_ms=SILENCE_MS, stalled_ms=STALLED_MS, tick_ms=TICK_MS)
    membership.on_tick(0)
    for peer in peers or (B,):
        membership.on_node_up(peer, 0)
    return membership


def tick_to(membership: Membership, last_ms: int, first_ms: int = TICK_MS) -> list[object]:
    """Tick on time up to ``last_ms``; return what was emitted."""
    effects = [effect for now_ms in range(first_ms, last_ms + 1, TICK_MS) for effect in membership.on_tick(now_ms)]
    return [effect.event for effect in effects if isinstance(effect, Emit)]


def test_membership_is_a_core() -> None:
    core: Core = watching()
    assert core.deadline_ms() == TICK_MS


def test_silence_then_accused_once_and_watched_no_more() -> None:
    membership = watching()
    assert tick_to(membership, SILENCE_MS) == []
    assert tick_to(membership, 2 * SILENCE_MS, SILENCE_MS + TICK_MS) == [PeerSilent(B, SILENCE_MS + TICK_MS)]
    assert membership.on_message(B, Beat(9, 0), 2 * SILENCE_MS) == []


def test_beats_then_no_silence_and_it_counts_from_the_last() -> None:
    membership = watching()
    tick_to(membership, 500)
    membership.on_message(B, Beat(1, 0), 500)
    assert tick_to(membership, 500 + SILENCE_MS, 525) == []
    assert tick_to(membership, 500 + SILENCE_MS + TICK_MS, 500 + SILENCE_MS + TICK_MS) != []


def test_beat_that_was_overtaken_then_says_nothing() -> None:
    membership = watching()
    membership.on_message(B, Beat(5, 0), 10)
    assert membership.on_message(B, Beat(4, 5_000), 20) == []
    assert not membership.is_stalled(B)


def test_beat_of_a_stranger_then_ignored() -> None:
    assert watching().on_message("c@10.0.0.3:7100", Beat(1, 5_000), 10) == []


def test_lag_then_stalled_and_resumed_alternate() -> None:
    membership = watching()
    lags = [0, STALLED_MS, STALLED_MS + 1, 900, 3, 0, 500]
    effects = [
        effect for number, lag_ms in enumerate(lags, 1) for effect in membership.on_message(B, Beat(number, lag_ms), 1)
    ]
    assert effects == [Emit(PeerStalled(B, STALLED_MS + 1)), Emit(PeerResumed(B)), Emit(PeerStalled(B, 500))]
    assert membership.is_stalled(B)


def test_stalled_peer_then_not_silent_while_it_beats() -> None:
    membership = watching()
    for number in range(1, 50):
        membership.on_message(B, Beat(number, number * 100), number * 100)
        assert PeerSilent not in map(type, tick_to(membership, number * 100, number * 100 - 75))


def test_own_pause_then_nobody_is_accused_for_it() -> None:
    membership = watching()
    tick_to(membership, 100)
    pause_end_ms = 100 + 10 * SILENCE_MS
    assert membership.on_tick(pause_end_ms) == []
    late_ms = pause_end_ms - 100 - TICK_MS
    assert tick_to(membership, SILENCE_MS + late_ms, pause_end_ms + TICK_MS) == []
    assert tick_to(membership, SILENCE_MS + late_ms + 2 * TICK_MS, SILENCE_MS + late_ms + TICK_MS) != []


def test_tick_a_little_late_then_silence_is_not_stretched() -> None:
    membership = watching()
    now_ms = 0
    while now_ms <= SILENCE_MS:
        now_ms += 2 * TICK_MS
        effects = membership.on_tick(now_ms)
    assert effects == [Emit(PeerSilent(B, now_ms))]


def test_peer_down_then_not_accused_and_a_new_session_starts_afresh() -> None:
    membership = watching()
    membership.on_message(B, Beat(50, 900), 10)
    membership.on_node_down(B, 20)
    assert tick_to(membership, 2 * SILENCE_MS) == [] and not membership.is_stalled(B)
    membership.on_node_up(B, 2 * SILENCE_MS)
    assert membership.on_message(B, Beat(1, 900), 2 * SILENCE_MS + 1) == [Emit(PeerStalled(B, 900))]


def test_several_silent_then_accused_in_the_order_of_their_sessions() -> None:
    peers = ["c@h", "a@h", "b@h"]
    assert [event.peer for event in tick_to(watching(*peers), 625) if isinstance(event, PeerSilent)] == peers
