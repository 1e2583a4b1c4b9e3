"""The door of a node whose connections are not encrypted: judges tickets, on the loop.

    libzmq's handshakes ──question──> TicketDoor ──Tickets──> "200", or "400" and a reason for our own log

The door of CURVE is in the beat thread, for a peer must get in while the loop is busy. Here it waits: who chose to go
without encryption is told no sooner.
"""

from __future__ import annotations

import asyncio

from zmqcluster.transport import zap
from zmqcluster.transport.channel import Door
from zmqcluster.transport.ticket import Tickets

__all__ = ["TicketDoor"]


class TicketDoor:
    """Answers at ``door`` until it is closed; whoever opened the socket closes it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, door: Door, tickets: Tickets) -> None:
        self.last_problem = "it has no ticket"
        self._loop = loop
        self._door = door
        self._tickets = tickets
        self._is_closed = False
        loop.add_reader(door.fd, self._on_ready)
        loop.call_soon(self._on_ready)

    def close(self) -> None:
        self._is_closed = True
        self._loop.remove_reader(self._door.fd)

    def _on_ready(self) -> None:
        while not self._is_closed and (request := self._door.next()) is not None:
            problem = zap.ticket_refusal(request, self._tickets)
            self.last_problem = problem or self.last_problem
            self._door.answer(zap.answer(request, problem))
