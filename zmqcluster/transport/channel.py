"""A socket as the loop sees it: what the parts of the zmq transport know of libzmq, without importing it.

Rule of a descriptor: it tells of a change once. So read until ``receive`` answers None; only then will it tell again.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Protocol

__all__ = ["Channel", "Door", "Monitor", "MonitorEvent"]


class Channel(Protocol):
    """One socket; nothing blocks."""

    @property
    def fd(self) -> int: ...

    @property
    def handle(self) -> int:
        """The socket for a caller of libzmq's own functions."""
        ...

    def connect(self, endpoint: str) -> None: ...

    def disconnect(self, endpoint: str) -> None: ...

    def receive(self) -> bytes | None:
        """Return the next frame; None: nothing is left."""
        ...

    def receive_from(self) -> tuple[bytes, bytes] | None:
        """Return the connection and the frame that came over it; None: nothing is left."""
        ...

    def send(self, frame: bytes) -> bool:
        """Return whether there was room."""
        ...

    def send_to(self, source: bytes, frame: bytes) -> bool:
        """Return whether the connection is there and has room."""
        ...

    def has_room(self) -> bool:
        """Whether a frame would be taken. Takes notice of all that libzmq has to say to the socket."""
        ...

    def close(self) -> None: ...


class Door(Protocol):
    """Where libzmq asks whom to let in, one at a time: the next question comes when this one is answered."""

    @property
    def fd(self) -> int: ...

    def next(self) -> list[bytes] | None:
        """Return a question; None: nobody is there."""
        ...

    def answer(self, frames: list[bytes]) -> None: ...


class MonitorEvent(IntEnum):
    """What libzmq tells of a socket's connections, by its own numbers; the value is an fd unless said."""

    CONNECTED = 0x0001  # by the kernel: nobody has spoken yet
    CONNECT_RETRIED = 0x0004  # could not connect, tries again in so many ms; it does not say why
    ACCEPTED = 0x0020
    ACCEPT_FAILED = 0x0040  # an errno; of a connection that is filtered out it says nothing of meaning
    DISCONNECTED = 0x0200  # also after a failed handshake, directly after the event of the failure
    HANDSHAKE_FAILED_NO_DETAIL = 0x0800  # an errno; the other end hung up: over there it may be known why
    HANDSHAKE_SUCCEEDED = 0x1000
    HANDSHAKE_FAILED_AUTH = 0x4000  # the status of the door's answer


class Monitor(Protocol):
    """The events of one socket, in order; ``endpoint``: of ours or of theirs, that the last one is about."""

    endpoint: str

    @property
    def fd(self) -> int: ...

    def next(self) -> tuple[MonitorEvent, int] | None:
        """Return an event and its value; None: nothing is left."""
        ...

    def close(self) -> None: ...
