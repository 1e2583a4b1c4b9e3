"""How fast a cluster reacts: every interval, with its formula.

    beat ──beat_ms──> beat ──> ...                          stalled: the loop did not turn for stalled_ms
      └── suspect_ms ──> others are asked
      └──────── silence_ms = beats_lost × beat_ms + delay ──────────> down, if nobody hears it
      └──────────────────────── unreachable_ms ──────────────────────────────> down, whoever hears it

Rules: all in whole milliseconds; all nodes of a cluster use the same. ``Timing`` refuses what can't work.
"""

from __future__ import annotations

from dataclasses import dataclass

from zmqcluster.constants import SETUP_MS_MAX
from zmqcluster.errors import ConfigError
from zmqcluster.protocol.signs import Limits

__all__ = ["Timing"]

UNACKED_MS_MIN = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The intervals of a node; ``Timing.lan()`` unless told otherwise.

    Attributes:
        beat_ms: between two signs of life, sent by a thread of their own.
        silence_ms: a peer unheard for longer is down: beats that may be lost × beat_ms + the longest delay. It is the T
            that others of these are told in.
        suspect_ms: a peer unheard for longer is doubted, and others are asked: half of silence_ms, so that their
            answers are there in time.
        unreachable_ms: a peer that others hear is down when unheard here for longer: 1.5 × silence_ms, so that every
            view is settled within 2 × silence_ms.
        helpers_max: how many others are asked. Source: SWIM, IndirectChecks of memberlist.
        stalled_ms: a loop that did not turn for longer is stalled: beat_ms, so that it shows within two beats.
        tick_ms: between two turns of the node's clockwork: silence_ms / 20, so that a silence is noticed within 5 %,
            and at most beat_ms / 2, so that a lag is told to half a beat.
        verify_ms: between two checks that the peer still knows the session: 3 × silence_ms. Rarely needed: whoever
            gives a session up tells the peer in three ways.
        unacked_ms: a connection whose data no kernel acknowledges for so long is over: 10 × silence_ms, at least 20 s,
            which is seven retransmissions, each twice as late as the one before. It is for the one connection that a
            box on the way has forgotten; a peer that is cut off is noticed by its silence.
        goodbye_ms: how long a leaving node waits for its peers: half of silence_ms, at least 500.
        setup_ms: a handshake that takes longer has failed. Source: OTP net_setuptime.
        retry_ms: before the second attempt to connect; doubled at each failure, with jitter.
        retry_ms_max: the longest wait between attempts: silence_ms, at most 5 s, so that a heal shows about as soon
            as a cut does.
        rejoin_ms: for how long topologies do not look for a node that said goodbye.
    """

    beat_ms: int
    suspect_ms: int
    silence_ms: int
    unreachable_ms: int
    stalled_ms: int
    tick_ms: int
    verify_ms: int
    unacked_ms: int
    goodbye_ms: int
    helpers_max: int = 3
    setup_ms: int = SETUP_MS_MAX
    retry_ms: int = 50
    retry_ms_max: int = 5_000
    rejoin_ms: int = 30_000

    def __post_init__(self) -> None:
        rules = (
            (self.tick_ms >= 1, "tick_ms is at least 1"),
            (self.tick_ms <= self.beat_ms, "a tick is not longer than a beat, or every beat tells of a lag"),
            (self.silence_ms > 3 * self.beat_ms, "silence_ms is more than 3 beats: one lost beat is no silence"),
            (self.suspect_ms > self.beat_ms, "suspect_ms is more than a beat: a late one is no reason to doubt"),
            (
                self.suspect_ms < self.silence_ms <= self.unreachable_ms,
                "first suspect_ms, then silence_ms, then unreachable_ms",
            ),
            (self.helpers_max >= 0, "helpers_max is not negative"),
            (self.unacked_ms >= self.silence_ms, "unacked_ms is at least silence_ms: beats decide first"),
            (self.stalled_ms >= 2 * self.tick_ms, "stalled_ms is at least 2 ticks: a lag of one tick is usual"),
            (self.verify_ms >= self.tick_ms, "verify_ms is at least a tick"),
            (self.goodbye_ms < self.setup_ms, "goodbye_ms is less than setup_ms"),
            (0 < self.retry_ms <= self.retry_ms_max, "retry_ms is more than 0 and not above retry_ms_max"),
            (self.rejoin_ms >= 0, "rejoin_ms is not negative"),
        )
        for holds, rule in rules:
            if not holds:
                raise ConfigError(f"Timing: {rule}; got {self}")

    @classmethod
    def of(cls, beat_ms: int, *, beats_lost: int, delay_ms: int) -> Timing:
        """Derive all from the interval of beats, how many of them may be lost, and the longest delay."""
        silence_ms = beats_lost * beat_ms + delay_ms
        return cls(
            beat_ms=beat_ms,
            suspect_ms=silence_ms // 2,
            silence_ms=silence_ms,
            unreachable_ms=silence_ms * 3 // 2,
            stalled_ms=beat_ms,
            tick_ms=min(silence_ms // 20, beat_ms // 2),
            verify_ms=3 * silence_ms,
            unacked_ms=max(10 * silence_ms, UNACKED_MS_MIN),
            goodbye_ms=min(max(500, silence_ms // 2), SETUP_MS_MAX // 2),
            retry_ms_max=min(silence_ms, 5_000),
        )

    @classmethod
    def local(cls) -> Timing:
        """Nodes of one host: down after 0.6 s of silence."""
        return cls.of(100, beats_lost=5, delay_ms=100)

    @classmethod
    def lan(cls) -> Timing:
        """One data centre: down after 2 s."""
        return cls.of(250, beats_lost=7, delay_ms=250)

    @classmethod
    def wan(cls) -> Timing:
        """Several regions: down after 10 s."""
        return cls.of(1_000, beats_lost=8, delay_ms=2_000)

    @property
    def limits(self) -> Limits:
        """What of this the failure detector needs."""
        return Limits(
            beat_ms=self.beat_ms,
            tick_ms=self.tick_ms,
            stalled_ms=self.stalled_ms,
            suspect_ms=self.suspect_ms,
            silence_ms=self.silence_ms,
            unreachable_ms=self.unreachable_ms,
            unacked_ms=self.unacked_ms,
            helpers_max=self.helpers_max,
        )
