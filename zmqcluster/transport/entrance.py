"""Where one accepting socket listens: a tcp port for all, and an ipc path for the nodes of this host and user.

    Entrance ──> Port ──its listener──> libzmq       tcp, by name and port or any free one
        └──────> the run directory ──> libzmq        ipc

``renew`` makes both listen anew: with the key the socket has by then, for whoever comes from then on.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from zmqcluster.errors import ConfigError, NameInUse
from zmqcluster.ids import NodeName
from zmqcluster.transport.addresses import tcp_endpoint
from zmqcluster.transport.listen import Port
from zmqcluster.transport.rundir import socket_path

__all__ = ["Bindable", "Entrance", "Site"]


class Bindable(Protocol):
    """A socket that can be told where to listen."""

    def bind(self, endpoint: str, fd: int) -> None:
        """Listen at ``endpoint``, by the listener ``fd`` where that is not -1; raises OSError."""


@dataclass(frozen=True, slots=True)
class Site:
    """Where a node listens, and where others find it: two addresses, for a node may be behind a forwarded port."""

    name: NodeName
    run_dir: Path
    bound: str
    reachable: str


class Entrance:
    """The two addresses of one socket; not open yet.

    Args:
        suffix: of the ipc path.
    """

    def __init__(self, channel: Bindable, site: Site, suffix: str) -> None:
        self._channel = channel
        self._site = site
        self._ipc = f"ipc://{socket_path(site.run_dir, site.name, suffix)}"
        self._tcp = ""
        self._port: Port | None = None

    def open(self, ports: Iterable[int]) -> tuple[str, str]:
        """Listen at the first free port and in the run directory; return how others reach it, this host's way first.

        Raises:
            NameInUse: another process has the only port, or the path.
            ConfigError: it is no address of this machine, or not for us.
        """
        port, self._port = self._take(ports)
        self._tcp = tcp_endpoint(self._site.bound, port)
        self._listen()
        return self._ipc, tcp_endpoint(self._site.reachable, port)

    def _take(self, ports: Iterable[int]) -> tuple[int, Port]:
        problem = "no port to listen at"
        for port in ports:
            try:
                return port, Port(self._site.bound, port)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise self._unusable(tcp_endpoint(self._site.bound, port), error) from error
                problem = f"port {port} of {self._site.bound} is taken by another process"
        raise NameInUse(self._site.name, problem)

    def renew(self) -> None:
        """Listen anew.

        Raises:
            ConfigError: this system cannot; all is as before.
        """
        assert self._port is not None
        self._port.renew()
        self._listen()

    def _listen(self) -> None:
        assert self._port is not None
        self._bind(self._tcp, os.dup(self._port.listener.fileno()))
        self._bind(self._ipc, -1)

    def _bind(self, endpoint: str, fd: int) -> None:
        try:
            self._channel.bind(endpoint, fd)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise NameInUse(self._site.name, f"{endpoint} is taken by another process") from error
            raise self._unusable(endpoint, error) from error

    def _unusable(self, endpoint: str, error: OSError) -> ConfigError:
        return ConfigError(f"cannot listen at {endpoint}: {error.strerror}; listen= chooses another address")

    def close(self) -> None:
        """Give the port up, once libzmq has closed its copy."""
        if self._port:
            self._port.close()
