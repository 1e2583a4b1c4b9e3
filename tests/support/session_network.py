"""Two session machines and the connections between them, all of whose delays and faults are chosen from outside.

    end a ── connection 1: [Hello, Ready, data, data] ──> end b         in order, whatever else happens
    end a <── connection 2: [Welcome, data] ───────────── end b         a connection that was closed still delivers

A frame that goes back on a connection is heard by its dialler until that one is up. The model checks what must hold at
every step: Up and Down alternate, a connection is dialled only when none is open, control is sent only on an open one,
and data is accepted from exactly one session of the peer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from tests.support.sessions import SETUP_MS, VERIFY_MS, A, B
from zmqcluster.protocol import steps
from zmqcluster.protocol.handshake import Introduction
from zmqcluster.protocol.session import Session, State
from zmqcluster.protocol.steps import Action, ConnectAsked, DialConnected, DialLost, End, LeaveAsked


@dataclass(frozen=True)
class Payload:
    """Data, marked with the session of its sender."""

    epoch: int
    session: tuple[str, int]


@dataclass
class Connection:
    """One dial, its two directions, and what became of it."""

    number: int
    owner: Side
    is_connected: bool = False
    is_open: bool = True
    is_broken: bool = False
    forward: list[object] = field(default_factory=list)
    backward: list[object] = field(default_factory=list)

    @property
    def source(self) -> bytes:
        return f"connection {self.number}".encode()


class Side:
    """One node's side, with the history that the checks are made on."""

    def __init__(self, network: SessionNetwork, name: str, peer: str) -> None:
        self.network = network
        self.name = name
        self.peer = peer
        self.incarnation = 0
        self.attempts = 0
        self.history: list[str] = []
        self.epochs: list[int] = []
        self.heard_from: dict[int, set[tuple[str, int]]] = {}
        self.restart()

    def restart(self) -> None:
        """A new life of the node: it knows nothing."""
        self.incarnation += 1
        self.source = b""
        self.dial: Connection | None = None
        self.history.append("start")
        self.session = Session(
            Introduction(self.name, self.incarnation, "c", links=("link",)),
            self.peer,
            draw=lambda: self.network.random.getrandbits(64),
            next_attempt=self._next_attempt,
            setup_ms=SETUP_MS,
            verify_ms=VERIFY_MS,
        )

    def _next_attempt(self) -> int:
        self.attempts += 1
        return self.attempts

    @property
    def is_up(self) -> bool:
        return self.history[-1] == "up"

    def on(self, event: object, source: bytes = b"") -> None:
        self.perform(self.session.on(event, self.network.now_ms, source))

    def perform(self, actions: list[Action]) -> None:
        for action in actions:
            self._perform(action)

    def _perform(self, action: Action) -> None:
        match action:
            case steps.Dial():
                assert self.dial is None, "dialled while a connection was open"
                self.dial = self.network.connection(self)
            case steps.CloseDial(lingers):
                self._close(lingers)
            case steps.SendControl(message):
                assert self.dial and self.dial.is_connected, "control without a connection"
                self.dial.forward.append(message)
            case steps.SendBack(source, message):
                self.network.send_back(source, message)
            case steps.Up(epoch, source, _, _):
                assert not self.is_up, "up twice"
                assert epoch not in self.epochs, "an epoch came again"
                self.history.append("up")
                self.epochs.append(epoch)
                self.source = source
            case steps.Down():
                assert self.is_up, "down without up"
                self.history.append("down")

    def _close(self, lingers: bool) -> None:
        if self.dial:
            self.dial.is_open = False
            if not lingers:
                del self.dial.forward[self.network.random.randint(0, len(self.dial.forward)) :]
        self.dial = None

    def send_data(self) -> None:
        if self.is_up and self.dial:
            self.dial.forward.append(Payload(self.epochs[-1], (self.name, len(self.epochs))))

    def receive(self, source: bytes, frame: object) -> None:
        if not isinstance(frame, Payload):
            self.on(frame, source)
        elif self.is_up and frame.epoch == self.epochs[-1] and source == self.source:
            heard = self.heard_from.setdefault(len(self.epochs), set())
            heard.add(frame.session)
            assert len(heard) == 1, "data of two sessions in one"


class SessionNetwork:
    """Runs the machines; each method is one thing that may happen next."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.now_ms = 0
        self.connections: list[Connection] = []
        self.ends = (Side(self, A, B), Side(self, B, A))

    def connection(self, owner: Side) -> Connection:
        made = Connection(len(self.connections), owner)
        self.connections.append(made)
        return made

    def other(self, end: Side) -> Side:
        return self.ends[1] if end is self.ends[0] else self.ends[0]

    def send_back(self, source: bytes, message: object) -> None:
        for connection in self.connections:
            if connection.source == source and connection.is_open:
                connection.backward.append(message)

    # --- what may happen

    def connect(self, side: int) -> None:
        self.ends[side].on(ConnectAsked(("link",)))

    def establish(self, side: int) -> None:
        dial = self.ends[side].dial
        if dial and not dial.is_connected and not dial.is_broken:
            dial.is_connected = True
            self.ends[side].on(DialConnected())

    def deliver(self, number: int) -> None:
        """The next frame of any connection, also of one that was closed."""
        waiting = [connection for connection in self.connections if connection.forward]
        if waiting:
            connection = waiting[number % len(waiting)]
            self.other(connection.owner).receive(connection.source, connection.forward.pop(0))

    def deliver_back(self, number: int) -> None:
        waiting = [connection for connection in self.connections if connection.backward]
        if waiting:
            connection = waiting[number % len(waiting)]
            message = connection.backward.pop(0)
            if connection.owner.dial is connection and not connection.owner.is_up:
                connection.owner.on(message)

    def lose(self, number: int) -> None:
        """A control frame that is under way."""
        for connection in self._with_control(number):
            connection.forward.pop(0)

    def duplicate(self, number: int) -> None:
        for connection in self._with_control(number):
            connection.forward.insert(0, connection.forward[0])

    def _with_control(self, number: int) -> list[Connection]:
        found = [each for each in self.connections if each.forward and not isinstance(each.forward[0], Payload)]
        return [found[number % len(found)]] if found else []

    def break_dial(self, side: int) -> None:
        dial = self.ends[side].dial
        if dial:
            dial.is_broken = True
            dial.is_open = False
            self.ends[side].on(DialLost("broke"))

    def end(self, side: int) -> None:
        self.ends[side].on(End(steps.SILENCE))

    def leave(self, side: int) -> None:
        """Its goodbye is or isn't acknowledged: then it is a new node."""
        self.ends[side].on(LeaveAsked())

    def restart(self, side: int) -> None:
        """Kill -9: what the peer had dialled breaks."""
        end = self.ends[side]
        for connection in self.connections:
            if connection.owner is end:
                connection.is_open = False
        end.restart()
        self.break_dial(1 - side)

    def data(self, side: int) -> None:
        self.ends[side].send_data()

    def pass_time(self, ms: int) -> None:
        self.now_ms += ms
        for end in self.ends:
            end.perform(end.session.on_tick(self.now_ms))

    # --- what must follow

    def settle(self) -> None:
        """Everything that can happen without a fault or the passing of time happens."""
        while self.in_flight() or any(end.dial and not end.dial.is_connected for end in self.ends):
            self.establish(0)
            self.establish(1)
            self.deliver(0)
            self.deliver_back(0)

    def in_flight(self) -> int:
        return sum(len(each.forward) + len(each.backward) for each in self.connections)

    def is_joined(self) -> bool:
        """Whether both are up, in one and the same session."""
        a, b = self.ends
        return a.is_up and b.is_up and a.epochs[-1] == b.epochs[-1] and a.session.state is State.UP is b.session.state
