"""One outgoing connection of the memory transport: tried, established, cut, broken, closed.

    trying ──both ways pass, somebody listens──> CONNECTED ──peer gone, given up──> DISCONNECTED, over
      │ nobody listens: REFUSED, and again          │ window full: False ... drained: WRITABLE
      └ no route, or stalled: waits in silence      └ cut: silence; at the heal it speaks again, or is broken

Invariant: events and replies reach a dial in the context of its own node, and none after ``close``.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from contextvars import Context
from typing import Protocol

from zmqcluster._ports import CallableOutlet
from zmqcluster.transport.interface import DialEvent, Handler
from zmqcluster.transport.memory_pipe import Faults, Pipe

__all__ = ["Connection", "Machine", "MemoryDial", "Wiring", "keep_all"]

FIN = b""  # ends a connection; the wire has no empty frames


class Machine(Protocol):
    """What a connection needs to know of the transports at its ends."""

    name: str
    endpoint: str
    cookie: bytes
    context: Context
    incoming: dict[bytes, Connection]

    @property
    def handler(self) -> Handler: ...

    def receive(self, source: bytes, frames: list[bytes]) -> None: ...

    def forget(self, dial: MemoryDial) -> None: ...


class Wiring:
    """Who listens where, and which machines packets can reach: shared by all dials of one wiring."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, faults: Faults, window_frames: int, unacked_ms_max: float | None
    ) -> None:
        self.loop = loop
        self.faults = faults
        self.window_frames = window_frames
        self.unacked_ms_max = unacked_ms_max
        self.dials: dict[MemoryDial, None] = {}
        self.connections: dict[Connection, None] = {}  # also those that only still carry what is in flight
        self.listeners: dict[str, Machine] = {}  # link endpoint -> who listens
        self.owners: dict[str, str] = {}  # endpoint -> machine, also after its node is gone
        self.stalled: dict[str, None] = {}
        self._source_count = 0

    def owner(self, endpoint: str) -> str:
        """The machine behind an endpoint, whether its node lives or not."""
        return self.owners.get(endpoint, endpoint)

    def joins(self, one: str, other: str) -> bool:
        """Whether packets pass both ways."""
        return self.faults.passes(one, other) and self.faults.passes(other, one)

    def next_source(self) -> bytes:
        """A connection id nobody else has."""
        self._source_count += 1
        return struct.pack(">BI", 0, self._source_count)


def keep_all(frames: int) -> int:
    """An orderly end: what is in flight arrives."""
    return frames


class Connection:
    """One established connection from a dial to the node that accepted it."""

    def __init__(self, dial: MemoryDial, acceptor: Machine) -> None:
        wiring = dial.wiring
        there, back = (dial.machine, acceptor.name), (acceptor.name, dial.machine)
        self.dialler, self.acceptor = there
        self.source = wiring.next_source()
        self.forward = Pipe(wiring.loop, wiring.faults, there, self._deliver, acceptor.context)
        self.backward = Pipe(wiring.loop, wiring.faults, back, self._reply, dial.context)
        self._dial = dial
        self._acceptor = acceptor
        self._wiring = wiring
        self._was_cut = False
        self._give_up: asyncio.TimerHandle | None = None
        self._user_timeout: asyncio.TimerHandle | None = None
        acceptor.incoming[self.source] = self
        wiring.connections[self] = None

    def push(self, frame: bytes) -> None:
        """Send to the acceptor."""
        self.forward.push(frame)
        if self._was_cut:
            self._await_ack()

    def _await_ack(self) -> None:
        """The dialler's kernel gives up what nobody acknowledges for too long. Source: TCP_USER_TIMEOUT."""
        if self._user_timeout is None and self._wiring.unacked_ms_max is not None:
            self._user_timeout = self._break_after(self._wiring.unacked_ms_max)

    def _deliver(self, frames: list[bytes]) -> None:
        if self._acceptor.incoming.get(self.source) is not self:
            return
        self._acceptor.receive(self.source, frames)
        self._dial.drained()
        self._forget_if_over()

    def _forget_if_over(self) -> None:
        if self._dial.is_closed and not self.forward.is_busy:
            self._forget()

    def _forget(self) -> None:
        self._acceptor.incoming.pop(self.source, None)
        self._wiring.connections.pop(self, None)

    def _reply(self, frames: list[bytes]) -> None:
        for frame in frames:
            if frame == FIN:
                self._forget()
                self._dial.lost(self)
            else:
                self._dial.on_reply(frame)

    def dialler_left(self, kept: Callable[[int], int]) -> None:
        """The dial was closed, or its node killed; the acceptor sees no event, only silence."""
        self.forward.end(kept)
        self.backward.end()
        self._stop_giving_up()
        self._forget_if_over()

    def acceptor_left(self, kept: Callable[[int], int]) -> None:
        """The accepting node is gone; its kernel says so as soon as the route lets it."""
        self._acceptor.incoming.pop(self.source, None)
        self.forward.end()
        self.backward.end(kept)
        self.backward.push_last(FIN)

    def break_soon(self) -> None:
        """Both ends are told that the connection is gone."""
        self._stop()
        self._give_up = self._break_after(0)

    def broken(self) -> None:
        """Both kernels gave the connection up."""
        self._stop()
        self._stop_giving_up()
        self._forget()
        self._dial.lost(self)

    def _stop(self) -> None:
        self.forward.end()
        self.backward.end()

    def route_changed(self) -> None:
        """A cut begins, moves or ends. Idempotent while nothing changes."""
        is_cut = not self._wiring.joins(self._dial.machine, self._acceptor.name)
        was_cut, self._was_cut = self._was_cut, is_cut
        faults = self._wiring.faults
        if is_cut and not was_cut:
            self._give_up = self._break_after(faults.gives_up_ms())
            if self.forward.unacked_count:
                self._await_ack()
        elif was_cut and not is_cut:
            self._stop_giving_up()
            if faults.outlives_cut():
                self._release()
            else:
                self._stop()
                self._give_up = self._break_after(faults.notice_ms())
        elif is_cut:
            self._release()

    def _release(self) -> None:
        pause_ms = self._wiring.faults.notice_ms()
        self.forward.release(pause_ms)
        self.backward.release(pause_ms)
        self._dial.drained()

    def _break_after(self, ms: float | None) -> asyncio.TimerHandle | None:
        if ms is None:
            return None
        return self._wiring.loop.call_later(ms / 1000, self.broken, context=self._dial.context)

    def _stop_giving_up(self) -> None:
        for timer in (self._give_up, self._user_timeout):
            if timer is not None:
                timer.cancel()
        self._give_up = self._user_timeout = None


class MemoryDial:
    """One outgoing connection: see ``transport.interface.Dial``."""

    def __init__(
        self,
        wiring: Wiring,
        machine: Machine,
        endpoint: str,
        on_event: Callable[[DialEvent], None],
        on_reply: Callable[[bytes], None],
    ) -> None:
        self.endpoint = endpoint
        self.wiring = wiring
        self.machine = machine.name
        self.context = machine.context
        self.on_reply = on_reply
        self.is_closed = False
        self.outlet = CallableOutlet(self._push)
        self._machine = machine
        self._on_event = on_event
        self._connection: Connection | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_waiting = False  # for a route: no event, as a SYN nobody answers
        self._is_full = False
        self.wiring.dials[self] = None
        owner = self.wiring.owner(endpoint)
        faults = self.wiring.faults
        self._try_after(faults.latency_ms(self.machine, owner) + faults.latency_ms(owner, self.machine))

    def established(self) -> None:
        """Nothing to free here."""

    def close(self) -> None:
        """Idempotent; no event after it. What is in flight still arrives."""
        self.leave(keep_all)

    def leave(self, kept: Callable[[int], int]) -> None:
        if self.is_closed:
            return
        self.is_closed = True
        self._machine.forget(self)
        del self.wiring.dials[self]
        if self._timer is not None:
            self._timer.cancel()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.dialler_left(kept)

    def drained(self) -> None:
        """The window may have room again."""
        connection = self._connection
        if self._is_full and connection and connection.forward.unacked_count < self.wiring.window_frames:
            self._is_full = False
            # A turn of its own, in our context: this may be called from the acceptor's.
            self.wiring.loop.call_soon(self._tell, DialEvent.WRITABLE, context=self.context)

    def lost(self, connection: Connection) -> None:
        """The connection ended, and this dial with it: a session has one connection."""
        if self._connection is connection:
            self._connection = None
            self._tell(DialEvent.DISCONNECTED)

    def route_changed(self) -> None:
        """What was in the way may be gone."""
        if self._is_waiting:
            self._is_waiting = False
            self._try_after(self.wiring.faults.retry_ms())

    def _push(self, frame: bytes) -> bool:
        connection = self._connection
        if connection is None or connection.forward.unacked_count >= self.wiring.window_frames:
            self._is_full = True
            return False
        connection.push(frame)
        return True

    def _tell(self, event: DialEvent) -> None:
        if not self.is_closed:
            self._on_event(event)

    def _try_after(self, ms: float) -> None:
        if not self.is_closed:
            self._timer = self.wiring.loop.call_later(ms / 1000, self._try, context=self.context)

    def _try(self) -> None:
        wiring = self.wiring
        owner = wiring.owner(self.endpoint)
        acceptor = wiring.listeners.get(self.endpoint)
        if not wiring.joins(self.machine, owner) or owner in wiring.stalled:
            self._is_waiting = True
        elif acceptor is None:
            self._tell(DialEvent.REFUSED)
            self._try_after(wiring.faults.retry_ms())
        elif acceptor.cookie != self._machine.cookie:
            refused = acceptor.handler.on_refused
            wiring.loop.call_soon(refused, self._machine.endpoint, "its cookie is another", context=acceptor.context)
            self._tell(DialEvent.AUTH_FAILED)
        else:
            self._connection = Connection(self, acceptor)
            self._tell(DialEvent.CONNECTED)
            self.drained()
