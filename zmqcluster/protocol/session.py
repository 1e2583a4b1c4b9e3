"""One peer's session: from the first dial to the last frame, as a state machine without I/O.

                 ConnectAsked                       Hello
       +--------------------- IDLE ----------------------------+
       v                       ^                               v
    DIALING --- Hello -------- | --------------------------> ANSWERING
       | DialConnected:        | failed, or ended              | DialConnected:
       v send Hello            |                               v send Welcome
    GREETED --- Hello: send Welcome --------------------->  WELCOMED
       |                       |                               |
       | Welcome: send Ready   |        Ready, or Welcome      |
       +-------------------> [ UP ] <--------------------------+
                               | LeaveAsked: send Goodbye
                               v
                            LEAVING

Invariants: Up and Down alternate, starting with Up; between an Up and its Down one epoch, one source and one connection
of our own belong to the session, and none of them ever belongs to another. Simultaneous connects make one session:
each side answers the other's Hello on the connection it has dialled already, and both halves meet in one epoch.

Half a session: when one side ends it and can't say so (its own connection broke), the other goes on repeating Ready,
and the first connects anew; its Hello ends the old session there.

Rules: ``TABLE`` says what is expected in which state; all else is ignored. A handler sets the state and returns the
actions; CloseDial comes before Down, Down before the next Dial.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import Any

from zmqcluster.protocol import handshake, steps
from zmqcluster.protocol.attempt import Attempt, Offers
from zmqcluster.protocol.handshake import (
    Goodbye,
    GoodbyeAck,
    Hello,
    Introduction,
    Neighbours,
    Ready,
    Refused,
    Welcome,
    common_version,
)
from zmqcluster.protocol.steps import (
    Action,
    CloseDial,
    ConnectAsked,
    DialConnected,
    DialLost,
    Down,
    End,
    Failed,
    Heard,
    LeaveAsked,
    Log,
    SendBack,
    SendControl,
    Up,
)

__all__ = ["Session", "State"]


class State(Enum):
    IDLE = auto()
    DIALING = auto()
    GREETED = auto()
    ANSWERING = auto()
    WELCOMED = auto()
    UP = auto()
    LEAVING = auto()


class Session:
    """The sessions of this node with one peer, one after the other.

    Args:
        own: what this node says of itself.
        peer: the full name of the other node.
        draw: gives 64 random bits.
        next_attempt: gives a number greater than all before, for any peer.
        setup_ms: a set-up that takes longer has failed.
        verify_ms: how often Ready is repeated, to find out that the peer has lost the session.
    """

    def __init__(
        self,
        own: Introduction,
        peer: str,
        *,
        draw: Callable[[], int],
        next_attempt: Callable[[], int],
        setup_ms: int,
        verify_ms: int,
    ) -> None:
        self.own = own
        self.peer = peer
        self.state = State.IDLE
        self.has_left = False
        self.offer: Hello | Welcome | None = None  # of the attempt or session that goes on
        self.source = b""  # the connection it came on
        self.offers = Offers(own)
        self._draw = draw
        self._next_attempt = next_attempt
        self._setup_ms = setup_ms
        self._verify_ms = verify_ms
        self._attempt = Attempt(0, 0, (), 0)
        self._deadline_ms: int | None = None
        self._ended_ms = 0
        self._now_ms = 0

    @property
    def epoch(self) -> int | None:
        """The epoch of the session, once both halves are known."""
        return self._attempt.half ^ self.offer.epoch if self.offer else None

    def on(self, event: Any, now_ms: int, source: bytes = b"") -> list[Action]:
        """Return what to do about ``event``: an input of ``steps``, or a message that came from ``source``."""
        self._now_ms = now_ms
        handler = TABLE.get((self.state, type(event))) or UNEXPECTED.get(type(event))
        return handler(self, event, source) if handler else []

    def deadline_ms(self) -> int | None:
        """When ``on_tick`` is due."""
        return self._deadline_ms

    def on_tick(self, now_ms: int) -> list[Action]:
        """Give up what takes too long; repeat Ready while up."""
        self._now_ms = now_ms
        if self._deadline_ms is None or now_ms < self._deadline_ms:
            return []
        if self.state is State.UP:
            self._deadline_ms = now_ms + self._verify_ms
            return [self._send_ready()]
        if self.state in (State.DIALING, State.ANSWERING):
            return self._dial_next("no connection in time")
        return self._fail("no answer in time")

    # --- our own connection

    def _connect(self, asked: ConnectAsked, _: bytes) -> list[Action]:
        self.state = State.DIALING
        self.offer = None
        return self._begin(asked.endpoints)

    def _begin(self, endpoints: tuple[str, ...]) -> list[Action]:
        """Start an attempt: a new half, a new number, and the first of ``endpoints``."""
        self._attempt = Attempt(self._draw(), self._next_attempt(), endpoints, self._now_ms + self._setup_ms)
        dial = self._attempt.next_dial(self._now_ms)
        self._deadline_ms = self._attempt.dial_ends_ms
        return [dial] if dial else self._fail("there is no address")

    def _dial_next(self, problem: str) -> list[Action]:
        dial = self._attempt.next_dial(self._now_ms)
        self._deadline_ms = self._attempt.dial_ends_ms
        return [CloseDial(), dial] if dial else self._fail(problem)

    def _dial_lost(self, lost: DialLost, _: bytes) -> list[Action]:
        return self._dial_next(lost.problem)

    def _setup_lost(self, lost: DialLost, _: bytes) -> list[Action]:
        return self._fail(lost.problem)

    def _greet(self, _: DialConnected, __: bytes) -> list[Action]:
        self.state = State.GREETED
        self._deadline_ms = self._attempt.ends_ms
        return [SendControl(Hello(self.own, self.peer, self._attempt.half, self._attempt.number))]

    def _send_welcome(self, _: object, __: bytes) -> list[Action]:
        assert self.offer is not None
        self.state = State.WELCOMED
        self._deadline_ms = self._attempt.ends_ms
        attempt = self._attempt
        return [SendControl(Welcome(self.own, self.peer, attempt.half, attempt.number, self.offer.epoch))]

    # --- the peer's offer

    def _judge(self, offer: Hello | Welcome, source: bytes) -> list[Action] | None:
        """Refuse ``offer``, ignore it when it was overtaken, or take note of it and return None."""
        if fault := self.offers.fault(offer):
            refused = Refused(offer.epoch, *fault)
            return [SendBack(source, refused), Log(refused, by_peer=False)]
        if not self.offers.counts(offer):
            return []
        self.offer, self.source, self.has_left = offer, source, False
        return None

    def _answer(self, hello: Hello, source: bytes) -> list[Action]:
        """Dial the peer back, instead of whatever went on before."""
        if (verdict := self._judge(hello, source)) is not None:
            return verdict
        self.state = State.ANSWERING
        return [CloseDial(), *self._begin(hello.node.links)]

    def _join(self, hello: Hello, source: bytes) -> list[Action]:
        """Both connect at once, and our dial is on its way: it will carry the Welcome."""
        if (verdict := self._judge(hello, source)) is not None:
            return verdict
        self.state = State.ANSWERING
        self._attempt.add(hello.node.links)
        return []

    def _join_greeted(self, hello: Hello, source: bytes) -> list[Action]:
        """Both connect at once, and our Hello is out: our connection carries the Welcome too."""
        verdict = self._judge(hello, source)
        return verdict if verdict is not None else self._send_welcome(hello, source)

    def _replace(self, hello: Hello, source: bytes) -> list[Action]:
        """The peer starts anew, so for it our session is over."""
        assert self.offer is not None
        is_restart = hello.node.incarnation != self.offer.node.incarnation
        if is_restart and (address := handshake.another_address(self.offer.node, hello.node)):
            refused = Refused(hello.epoch, handshake.NAME_TAKEN, f"{self.peer} is connected already, from {address}")
            return [SendBack(source, refused), Log(refused, by_peer=False)]
        if (verdict := self._judge(hello, source)) is not None:
            return verdict
        self.state = State.ANSWERING
        reason = steps.INCARNATION if is_restart else steps.CONNECTION_CLOSED
        return [CloseDial(), Down(reason), *self._begin(hello.node.links)]

    def _welcomed(self, welcome: Welcome, source: bytes) -> list[Action]:
        if welcome.echo != self._attempt.half:
            return self._stray_welcome(welcome, source)
        verdict = self._judge(welcome, source)
        if verdict is None:
            return [self._send_ready(), *self._up()]
        return [*verdict, *self._fail("its answer was refused")] if verdict else []

    def _stray_welcome(self, welcome: Welcome, source: bytes) -> list[Action]:
        """Answers an attempt that is over; the peer need not wait for its time-out."""
        if self.offer and welcome.epoch == self.offer.epoch:
            return []
        return [SendBack(source, Refused(welcome.epoch, handshake.STALE))]

    # --- up and down

    def _send_ready(self) -> Action:
        return SendControl(Ready(self.own.name, self._joint_epoch()))

    def _ready(self, ready: Ready, source: bytes) -> list[Action]:
        return self._up() if ready.epoch == self.epoch and source == self.source else []

    def _stray_ready(self, _: Ready, __: bytes) -> list[Action]:
        """The peer holds on to a session that ended here, unless this was under way when it ended."""
        if self.offer is None or self._now_ms - self._ended_ms < self._verify_ms:
            return []
        return self._connect(ConnectAsked(self.offer.node.links), b"")

    def _up(self) -> list[Action]:
        assert self.offer is not None
        self.state = State.UP
        self._deadline_ms = self._now_ms + self._verify_ms
        version = common_version(self.own.versions, self.offer.node.versions)
        assert version is not None
        return [Up(self._joint_epoch(), self.source, self.offer.node, version)]

    def _joint_epoch(self) -> int:
        assert self.epoch is not None
        return self.epoch

    def _end(self, end: End, _: bytes) -> list[Action]:
        """End the session, and tell the peer: its own connection to us may be in perfect health."""
        notice = SendControl(Refused(self._joint_epoch(), handshake.ENDED))
        self._rest()
        return [notice, CloseDial(lingers=True), Down(end.reason)]

    def _lost(self, _: DialLost, __: bytes) -> list[Action]:
        self._rest()
        return [CloseDial(), Down(steps.CONNECTION_CLOSED)]

    def _rest(self) -> None:
        self.state = State.IDLE
        self._ended_ms = self._now_ms
        self._deadline_ms = None

    def _fail(self, problem: str) -> list[Action]:
        """Give up the attempt; a peer that waits for our Welcome, or has it, is told."""
        close: list[Action] = [CloseDial()]
        if self.offer and self.state is State.ANSWERING:
            detail = f"{self.own.name} can't dial back: {problem}"
            close = [SendBack(self.source, Refused(self.offer.epoch, handshake.UNREACHABLE, detail)), CloseDial()]
        elif self.offer and self.state is State.WELCOMED:
            close = [SendControl(Refused(self.offer.epoch, handshake.ENDED)), CloseDial(lingers=True)]
        self._rest()
        return [*close, Failed(problem)]

    def _abandon(self, end: End, _: bytes) -> list[Action]:
        return self._fail(end.reason)

    def _refused(self, refused: Refused, _: bytes) -> list[Action]:
        if refused.epoch not in (self._attempt.half, self.epoch):
            return []
        log = [Log(refused, by_peer=True)] if refused.reason in handshake.FAULTS else []
        self.has_left = self.has_left or refused.reason == handshake.LEAVING
        self._rest()
        return [*log, CloseDial(), Failed(f"refused: {refused.detail or refused.reason}")]

    def _ended(self, refused: Refused, _: bytes) -> list[Action]:
        if refused.epoch not in (self._attempt.half, self.epoch):
            return []
        self._rest()
        return [CloseDial(), Down(steps.CONNECTION_CLOSED)]

    def _heard(self, neighbours: Neighbours, source: bytes) -> list[Action]:
        is_ours = neighbours.epoch == self.epoch and source == self.source
        return [Heard(neighbours.nodes)] if is_ours else []

    # --- goodbye

    def _leave(self, _: LeaveAsked, __: bytes) -> list[Action]:
        self.state = State.LEAVING
        self._deadline_ms = None
        return [SendControl(Goodbye(self._joint_epoch()))]

    def _goodbye(self, goodbye: Goodbye, _: bytes) -> list[Action]:
        if goodbye.epoch != self.epoch:
            return []
        self._rest()
        self.has_left = True
        return [SendControl(GoodbyeAck(goodbye.epoch)), CloseDial(lingers=True), Down(steps.LEFT)]

    def _crossing_goodbye(self, goodbye: Goodbye, _: bytes) -> list[Action]:
        """Both leave at once: each waits for the other's acknowledgement."""
        return [SendControl(GoodbyeAck(goodbye.epoch))]

    def _goodbye_acknowledged(self, acknowledged: GoodbyeAck, _: bytes) -> list[Action]:
        return self._left() if acknowledged.epoch == self.epoch else []

    def _left(self, *_: object) -> list[Action]:
        self._rest()
        return [CloseDial(), Down(steps.STOPPED)]

    def _refuse_leaving(self, hello: Hello, source: bytes) -> list[Action]:
        return [SendBack(source, Refused(hello.epoch, handshake.LEAVING))]


Handler = Callable[[Session, Any, bytes], list[Action]]

TABLE: dict[tuple[State, type], Handler] = {
    (State.IDLE, ConnectAsked): Session._connect,
    (State.IDLE, Hello): Session._answer,
    (State.IDLE, Ready): Session._stray_ready,
    #
    (State.DIALING, DialConnected): Session._greet,
    (State.DIALING, DialLost): Session._dial_lost,
    (State.DIALING, Hello): Session._join,
    (State.DIALING, End): Session._abandon,
    #
    (State.GREETED, DialLost): Session._setup_lost,
    (State.GREETED, Hello): Session._join_greeted,
    (State.GREETED, Welcome): Session._welcomed,
    (State.GREETED, Refused): Session._refused,
    (State.GREETED, End): Session._abandon,
    #
    (State.ANSWERING, DialConnected): Session._send_welcome,
    (State.ANSWERING, DialLost): Session._dial_lost,
    (State.ANSWERING, Hello): Session._answer,
    (State.ANSWERING, End): Session._abandon,
    #
    (State.WELCOMED, DialLost): Session._setup_lost,
    (State.WELCOMED, Hello): Session._answer,
    (State.WELCOMED, Welcome): Session._welcomed,
    (State.WELCOMED, Ready): Session._ready,
    (State.WELCOMED, Refused): Session._refused,
    (State.WELCOMED, End): Session._abandon,
    #
    (State.UP, DialLost): Session._lost,
    (State.UP, Hello): Session._replace,
    (State.UP, Refused): Session._ended,
    (State.UP, Goodbye): Session._goodbye,
    (State.UP, Neighbours): Session._heard,
    (State.UP, End): Session._end,
    (State.UP, LeaveAsked): Session._leave,
    #
    (State.LEAVING, DialLost): Session._left,
    (State.LEAVING, Hello): Session._refuse_leaving,
    (State.LEAVING, Refused): Session._left,
    (State.LEAVING, Goodbye): Session._crossing_goodbye,
    (State.LEAVING, GoodbyeAck): Session._goodbye_acknowledged,
    (State.LEAVING, End): Session._left,
}

# What the peer may say at any time without meaning this session: it gets an answer, so that it need not wait.
UNEXPECTED: dict[type, Handler] = {
    Welcome: Session._stray_welcome,
}
