"""Sessions without a network: make one, drive one to a state, and say what it answered in few words."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

from zmqcluster.protocol.handshake import Hello, Introduction, Ready, Welcome
from zmqcluster.protocol.session import Session
from zmqcluster.protocol.steps import Action, ConnectAsked, DialConnected

SETUP_MS = 7_000
VERIFY_MS = 2_000
A, B = "a@10.0.0.1:7100", "b@10.0.0.2:7100"
A_LINK, B_LINK = "tcp://10.0.0.1:7100", "tcp://10.0.0.2:7100"
HALF = 1_000  # of the session under test; the peer's halves are small numbers
FROM_B = b"connection of b"


def introduction(name: str = B, incarnation: int = 1, *, cluster: str = "c", versions: tuple[int, int] = (1, 1)) -> (
    Introduction
):
    link = A_LINK if name == A else B_LINK
    return Introduction(name, incarnation, cluster, versions, links=(link,), gossip=(f"{link}1",))


def session(name: str = A, peer: str = B, draw: Callable[[], int] | None = None) -> Session:
    """A session of the node a with b whose halves of the epoch are 1000, 1001, ..."""
    halves, attempts = count(HALF), count(1)
    return Session(
        introduction(name),
        peer,
        draw=draw or (lambda: next(halves)),
        next_attempt=lambda: next(attempts),
        setup_ms=SETUP_MS,
        verify_ms=VERIFY_MS,
    )


def hello(half: int = 7, attempt: int = 1, *, to: str = A, node: Introduction | None = None) -> Hello:
    """What b says when it has dialled a."""
    return Hello(node or introduction(), to, half, attempt)


def welcome(half: int = 7, attempt: int = 1, *, echo: int = HALF, node: Introduction | None = None) -> Welcome:
    """What b answers to a's first Hello."""
    return Welcome(node or introduction(), A, half, attempt, echo)


def greeted() -> Session:
    """It has dialled and said Hello."""
    made = session()
    made.on(ConnectAsked((B_LINK,)), 0)
    made.on(DialConnected(), 0)
    return made


def welcomed() -> Session:
    """It was greeted by b, has dialled back and said Welcome."""
    made = session()
    made.on(hello(), 0, FROM_B)
    made.on(DialConnected(), 0)
    return made


def up() -> Session:
    """Its Hello was welcomed with the half 7."""
    made = greeted()
    made.on(welcome(), 0, FROM_B)
    return made


def names(actions: list[Action]) -> list[str]:
    """The actions by class, with the class of the message that is sent."""
    return [
        f"{type(action).__name__} {type(message).__name__}"
        if (message := getattr(action, "message", None)) is not None
        else type(action).__name__
        for action in actions
    ]


def ready(of: Session) -> Ready:
    """The Ready with which the peer of ``of`` confirms."""
    assert of.epoch is not None
    return Ready(of.peer, of.epoch)
