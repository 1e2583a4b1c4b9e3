"""A dial as a node wants it: authenticated by whatever way the peer takes, before it is told that it is connected.

    way 1 ──SocketDial──failed──> way 2 ──SocketDial──CONNECTED──> ASK ... PROVED ──> CONNECTED for the node
                                                        CURVE: at once ─────────────> CONNECTED for the node

There is more than one way while a cluster changes its cookie, or goes from no encryption to encryption; see ``ways``.
Invariant: the node hears of one connection only, and of no failure but that of the last way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from zmqcluster._ports import Outlet
from zmqcluster.transport.dial import SocketDial
from zmqcluster.transport.interface import DialEvent
from zmqcluster.transport.proof import Identity, Prover
from zmqcluster.transport.ways import Mechanism, Way

__all__ = ["Connect", "SecuredDial"]

OVER = (DialEvent.DISCONNECTED, DialEvent.AUTH_FAILED, DialEvent.HANDSHAKE_FAILED)


class Connect(Protocol):
    """Opens a socket that is secured in a way, and connects it."""

    def __call__(
        self, way: Way, on_event: Callable[[DialEvent], None], on_reply: Callable[[bytes], None]
    ) -> SocketDial: ...


class SecuredDial:
    """See ``transport.interface.Dial``.

    Args:
        ways: to try, one after the other; at least one.
        own: who dials, to be proven where the connection does not prove it.
        on_good: told of the way that succeeded.
    """

    def __init__(
        self,
        connect: Connect,
        ways: Sequence[Way],
        own: Identity,
        on_event: Callable[[DialEvent], None],
        on_reply: Callable[[bytes], None],
        on_good: Callable[[Way], None],
    ) -> None:
        self._connect = connect
        self._ways = list(ways)
        self._own = own
        self._on_event = on_event
        self._on_reply = on_reply
        self._on_good = on_good
        self._is_up = False
        self._is_closed = False
        self._next()

    @property
    def endpoint(self) -> str:
        return self._dial.endpoint

    @property
    def outlet(self) -> Outlet:
        return self._dial.outlet

    def established(self) -> None:
        self._dial.established()

    def close(self) -> None:
        self._is_closed = True
        self._dial.close()

    def _next(self) -> None:
        self._way = self._ways.pop(0)
        self._prover = None if self._way.mechanism is not Mechanism.CHALLENGE else self._new_prover()
        self._dial = self._connect(self._way, self._on_inner_event, self._on_inner_reply)

    def _new_prover(self) -> Prover:
        assert self._way.key is not None
        return Prover(self._way.key, self._own)

    def _on_inner_event(self, event: DialEvent) -> None:
        if self._is_up or event is DialEvent.REFUSED:
            self._on_event(event)
        elif event is DialEvent.CONNECTED and self._prover:
            self._dial.outlet.push_bytes(self._prover.ask())
        elif event is DialEvent.CONNECTED:
            self._up()
        elif event in OVER and self._ways:
            self._next()
        elif event in OVER:  # in the midst of the proofs, too
            self._on_event(DialEvent.AUTH_FAILED if event is DialEvent.DISCONNECTED else event)

    def _on_inner_reply(self, frame: bytes) -> None:
        if self._is_up or self._prover is None:
            self._on_reply(frame)
            return
        answer = self._prover.on_reply(frame)
        if answer is not None:
            self._dial.outlet.push_bytes(answer)
        elif self._prover.is_done:
            self._up()

    def _up(self) -> None:
        self._is_up = True
        self._on_good(self._way)
        if not self._is_closed:
            self._on_event(DialEvent.CONNECTED)
