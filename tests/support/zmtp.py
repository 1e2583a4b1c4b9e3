"""Raw ZMTP 3 over a plain socket, to say what no honest peer says. Source: RFC 23, RFC 24 (PLAIN)."""

from __future__ import annotations

import contextlib
import socket
import struct

__all__ = ["Wire", "command", "frame", "greeting", "plain_hello", "ready"]

Address = tuple[str, int]


def greeting(mechanism: bytes = b"NULL", *, as_server: bool = False) -> bytes:
    return b"\xff" + bytes(8) + b"\x7f\x03\x00" + mechanism.ljust(20, b"\0") + bytes((as_server,)) + bytes(31)


def frame(body: bytes, *, more: bool = False, flags: int = 0) -> bytes:
    """A frame of a message; ``flags`` 4 makes it a command."""
    flags |= int(more)
    if len(body) < 256:
        return bytes((flags, len(body))) + body
    return bytes((flags | 2,)) + struct.pack(">Q", len(body)) + body


def header(size_bytes: int, *, flags: int = 0) -> bytes:
    """The beginning of a long frame."""
    return bytes((flags | 2,)) + struct.pack(">Q", size_bytes)


def command(name: bytes, body: bytes = b"") -> bytes:
    return frame(bytes((len(name),)) + name + body, flags=4)


def ready(socket_type: bytes) -> bytes:
    return command(b"READY", b"\x0bSocket-Type" + struct.pack(">I", len(socket_type)) + socket_type)


def plain_hello(user: bytes, password: bytes) -> bytes:
    return command(b"HELLO", bytes((len(user),)) + user + bytes((len(password),)) + password)


class Wire:
    """One connection of an attacker."""

    def __init__(self, address: Address) -> None:
        self.socket = socket.create_connection(address, timeout=5)
        self.sent_bytes = 0

    def send(self, content: bytes) -> bool:
        """Return whether the other end still took it."""
        try:
            self.socket.sendall(content)
        except OSError:
            return False
        self.sent_bytes += len(content)
        return True

    def received(self, within_s: float = 5.0) -> bytes:
        """All that comes until the other end hangs up, or ``within_s`` of silence."""
        self.socket.settimeout(within_s)
        parts: list[bytes] = []
        with contextlib.suppress(OSError):
            while part := self.socket.recv(65_536):
                parts.append(part)
        return b"".join(parts)

    def is_hung_up(self, within_s: float = 5.0) -> bool:
        """Whether the other end ends the connection within that time; what it says before is read."""
        self.socket.settimeout(within_s)
        try:
            while self.socket.recv(65_536):
                pass
        except TimeoutError:
            return False
        except OSError:
            return True
        return True

    def open_null(self, socket_type: bytes) -> None:
        """Behave until the handshake of NULL is over."""
        self.send(greeting() + ready(socket_type))
        said = b""
        while b"READY" not in said:  # what is sent before it is taken for a part of the handshake
            part = self.socket.recv(4_096)
            assert part, "hung up"
            said += part

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
