"""What the kernel knows of a connection that libzmq holds: its descriptor is looked at, and closed by libzmq alone.

Rule: a descriptor may have become another connection's since we were told of it. So whoever acts on one names the
address it was accepted from, and nothing happens where that is not its peer.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["Sight", "borrowed", "hang_up", "look"]

THIS_HOST = "this host"
IS_TOLD = sys.platform == "linux"
TCP_INFO_BYTES = 208
RECEIVED, SENT = 128, 200  # offsets of tcpi_bytes_received and tcpi_bytes_sent. Source: linux/tcp.h, since 4.19
COUNT = struct.Struct("=Q")


class Sight(NamedTuple):
    """A connection: its peer's address, and how much it sent and was sent; None: this kernel does not say."""

    host: str
    port: int
    received_bytes: int
    sent_bytes: int | None

    @property
    def is_local(self) -> bool:
        """Whether it came over the run directory, which only we can open."""
        return self.host == THIS_HOST

    @property
    def address(self) -> str:
        if self.is_local:
            return THIS_HOST
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def look(fd: int) -> Sight | None:
    """Return what there is to see; None: it is closed, or no connection."""
    with borrowed(fd) as connection:
        if connection is None:
            return None
        try:
            if connection.family == socket.AF_UNIX:
                return Sight(THIS_HOST, 0, 0, None)
            host, port = connection.getpeername()[:2]
            received, sent = _counts(connection)
        except (OSError, ValueError):
            return None
        return Sight(host.removeprefix("::ffff:"), port, received, sent)
    return None


def hang_up(fd: int, address: str) -> bool:
    """End the connection if its peer is still ``address``; libzmq then finds its end and closes it."""
    with borrowed(fd) as connection, contextlib.suppress(OSError):
        sight = look(fd)
        if connection is not None and sight is not None and sight.address == address:
            connection.shutdown(socket.SHUT_RDWR)
            return True
    return False


def _counts(connection: socket.socket) -> tuple[int, int | None]:
    if not IS_TOLD:
        return 0, None
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_BYTES)
    if len(info) < TCP_INFO_BYTES:
        return 0, None
    return COUNT.unpack_from(info, RECEIVED)[0], COUNT.unpack_from(info, SENT)[0]


@contextlib.contextmanager
def borrowed(fd: int) -> Iterator[socket.socket | None]:
    """A socket object around a descriptor that is not ours to close; None: it is no socket."""
    try:
        connection = socket.socket(fileno=fd)
    except OSError:
        yield None
        return
    try:
        yield connection
    finally:
        connection.detach()
