"""Single datagrams beside the links: what is asked of a peer that its connections are silent about.

    knock(endpoint, bytes) ──UDP to the port of the links──> on_datagram(bytes, from where)

TCP repeats a lost packet before all that follows, and waits longer each time: with 30 % loss a connection is silent for
three seconds, thirty times in a thousand. Of datagrams the next one is not late because the last one was lost. That is
why SWIM probes with them; here they are sent only about a peer that is suspected already.

Best effort: where UDP is closed, or its port is taken, nobody notices.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
from collections.abc import Callable, Sequence

from zmqcluster.errors import DatagramRefused
from zmqcluster.transport.addresses import tcp_address, tcp_endpoint
from zmqcluster.transport.refusals import Refusals
from zmqcluster.transport.sealed import OVERHEAD_BYTES, Sealer

__all__ = ["DATAGRAM_BYTES_MAX", "Datagrams"]

DATAGRAM_BYTES_MAX = 512  # a name, and a few numbers
RECEIVED_BYTES_MAX = DATAGRAM_BYTES_MAX + OVERHEAD_BYTES
TURN_MAX = 32  # then the loop's other callbacks have their turn

log = logging.getLogger("zmqcluster.transport")

OnDatagram = Callable[[bytes, str], None]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Datagrams:
    """One socket, beside the one that accepts links.

    Args:
        endpoint: where links are accepted, ``tcp://address:port``.
        on_datagram: takes what came, and the endpoint it came from. From anybody: it says nothing that is not proven.
        networks: who may send; empty: all.
        sealer: seals what leaves and opens what comes; None: there is no cookie.
        on_refused: told who sent what could not be opened, and why.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        endpoint: str,
        on_datagram: OnDatagram,
        networks: Sequence[Network] = (),
        sealer: Sealer | None = None,
        on_refused: Callable[[str, str], None] | None = None,
    ) -> None:
        self.refused_count = 0
        self._sealer = sealer
        self._refusals = Refusals(on_refused, loop.time) if on_refused else None
        self._loop = loop
        self._on_datagram = on_datagram
        self._networks = tuple(networks)
        self._socket: socket.socket | None = None
        address = tcp_address(endpoint)
        assert address is not None, endpoint
        opened = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_DGRAM)
        opened.setblocking(False)
        try:
            opened.bind(address)
        except OSError as error:
            log.info("no datagrams at %s: %s", endpoint, error)
            opened.close()
            return
        self._socket = opened
        loop.add_reader(opened.fileno(), self._on_ready)

    def send(self, endpoint: str, datagram: bytes) -> None:
        """Send to where a peer accepts links; nothing happens for one of this host's own ways."""
        address = tcp_address(endpoint)
        if self._socket is not None and address is not None:
            sealed = self._sealer.seal(datagram) if self._sealer else datagram
            with contextlib.suppress(OSError):  # no route, no room, a port that refused an earlier one
                self._socket.sendto(sealed, address)

    def close(self) -> None:
        """Idempotent."""
        if self._socket is not None:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def _on_ready(self) -> None:
        for _ in range(TURN_MAX):
            if self._socket is None:
                return
            try:
                datagram, address = self._socket.recvfrom(RECEIVED_BYTES_MAX + 1)
            except BlockingIOError:
                return
            except OSError:  # an ICMP answer to one of ours
                continue
            if self._may_send(address[0]):
                self._take(datagram, tcp_endpoint(address[0], address[1]))

    def _take(self, datagram: bytes, source: str) -> None:
        try:
            content = self._opened(datagram)
        except DatagramRefused as refused:
            self.refused_count += 1
            if self._refusals:
                self._refusals.refused(source, refused.problem)
        else:
            self._on_datagram(content, source)

    def _opened(self, datagram: bytes) -> bytes:
        if len(datagram) > DATAGRAM_BYTES_MAX + (OVERHEAD_BYTES if self._sealer else 0):
            raise DatagramRefused(f"it has more than {DATAGRAM_BYTES_MAX} bytes")
        return self._sealer.open(datagram) if self._sealer else datagram

    def _may_send(self, address: str) -> bool:
        return not self._networks or any(_plain(address) in network for network in self._networks)


def _plain(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """A v4 peer looks like a v6 one where the socket is one."""
    return ipaddress.ip_address(address.removeprefix("::ffff:"))
