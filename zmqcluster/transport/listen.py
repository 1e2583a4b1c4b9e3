"""Tcp ports of our own making, so that a port can change hands between two listeners while connections go on.

    port 7101 ──> listener with key 1 ──> its connections go on
        └─ use ─> listener with key 2 ──> whoever comes from now on

libzmq fixes the key of a listener when it is made, and ends its connections with it. So a change of the key is a second
listener at the same port. Both are in one group of the kernel (SO_REUSEPORT), which a filter tells to give all new
connections to the latest. Linux only; others cannot say which of the listeners gets a connection.

Rule: the first listener of a port is bound without SO_REUSEPORT, so two nodes never share a port by mistake.
"""

from __future__ import annotations

import contextlib
import ctypes
import socket
import struct
import sys

from zmqcluster.errors import ConfigError

__all__ = ["BACKLOG", "Port"]

BACKLOG = 512
SO_ATTACH_REUSEPORT_CBPF = 51
BPF_RETURN = 0x06  # BPF_RET | BPF_K. Source: linux/bpf_common.h
BPF_INSTRUCTION = struct.Struct("=HBBI")  # code, two jumps, constant
BPF_PROGRAM = struct.Struct("@HP")  # count, where


class Port:
    """One bound tcp port; ``listener`` is to be handed to libzmq, which closes its own copy.

    Args:
        address: an IP address of this machine.
    Raises:
        OSError: EADDRINUSE, or the address is not for us.
    """

    def __init__(self, address: str, port: int) -> None:
        self._family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._place = (address, port)
        self._count = 1
        self.listener = self._bound(shares=False)

    def renew(self) -> None:
        """Let a new ``listener`` have all connections that come from now on.

        Raises:
            ConfigError: this system cannot.
        """
        if sys.platform != "linux":
            raise ConfigError("only Linux can change the key of an open port: restart the nodes one by one instead")
        try:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            with contextlib.ExitStack() as undo:
                listener = undo.enter_context(self._bound(shares=True))
                choose_member(listener, self._count)
                undo.pop_all()
        except OSError as error:
            raise ConfigError(f"the key of port {self._place[1]} cannot be changed: {error.strerror}") from error
        self._count += 1
        self.listener.close()
        self.listener = listener

    def close(self) -> None:
        self.listener.close()

    def _bound(self, *, shares: bool) -> socket.socket:
        listener = socket.socket(self._family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if self._family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            if shares:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listener.bind(self._place)
            listener.listen(BACKLOG)
        except BaseException:
            listener.close()
            raise
        return listener


def choose_member(listener: socket.socket, index: int) -> None:
    """Give all new connections of the listener's group to its ``index``-th member, in the order of their joining."""
    instruction = ctypes.create_string_buffer(BPF_INSTRUCTION.pack(BPF_RETURN, 0, 0, index))
    program = BPF_PROGRAM.pack(1, ctypes.addressof(instruction))
    listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, program)

