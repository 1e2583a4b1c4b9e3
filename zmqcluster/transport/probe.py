"""Why could libzmq not connect? It does not tell, so the kernel is asked by one connection of our own.

    refused      nobody listens there: the process is gone, and whoever waits for it may act at once
    anything else (no route, no answer, a full backlog, success meanwhile)      no news: libzmq tries on

The difference matters: a refusal is proof that the peer's process has ended, a silence is only a silence.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable

from zmqcluster.transport.addresses import tcp_address

__all__ = ["Probe"]

# ENOENT: the socket file was removed by its owner's orderly end; after a kill it stands and refuses.
GONE = (errno.ECONNREFUSED, errno.ENOENT)


class Probe:
    """Asks at most one question at a time about one endpoint; ``on_refused`` is called only for a refusal."""

    def __init__(self, loop: asyncio.AbstractEventLoop, endpoint: str, on_refused: Callable[[], None]) -> None:
        self._loop = loop
        self._endpoint = endpoint
        self._on_refused = on_refused
        self._socket: socket.socket | None = None

    def ask(self) -> None:
        """Begin to connect; the answer comes now or from the loop. While it is awaited, another one is not sought."""
        if self._socket is not None:
            return
        address = tcp_address(self._endpoint)
        family = socket.AF_UNIX if address is None else socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        problem = self._socket.connect_ex(address or self._endpoint.removeprefix("ipc://"))
        if problem == errno.EINPROGRESS:
            self._loop.add_writer(self._socket.fileno(), self._on_writable)
        else:
            self._answered(problem)

    def _on_writable(self) -> None:
        if self._socket is not None:
            self._answered(self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))

    def _answered(self, problem: int) -> None:
        self.close()
        if problem in GONE:
            self._on_refused()

    def close(self) -> None:
        """Stop asking; no call follows. Idempotent."""
        if self._socket is not None:
            self._loop.remove_writer(self._socket.fileno())
            self._socket.close()
            self._socket = None
